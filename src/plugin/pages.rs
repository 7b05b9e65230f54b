//! Lists that are read page by page.

use std::fmt::Debug;

use kube::{Api, api::ListParams};
use serde::de::DeserializeOwned;

use crate::api::without_managed_fields::WithoutManagedFields;

/// The page size of a list. The text of a page is in memory twice before it is parsed, and a tenant can make most
/// objects very large.
const PAGE_SIZE: u32 = 25;

/// The page size of a list of spaces. Most spaces are small, and there may be thousands of them.
pub(crate) const PAGE_SIZE_OF_SPACES: u32 = 50;

/// The page size of a list that is requested as `PartialObjectMetadata`, which has no spec and no status.
pub(crate) const PAGE_SIZE_OF_METADATA: u32 = 500;

/// The objects of all pages. The page size is the limit in `params`, or [`PAGE_SIZE`].
pub(crate) async fn list_all_pages<K>(
    api: &Api<WithoutManagedFields<K>>,
    params: ListParams,
) -> Result<Vec<K>, kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut found = Vec::new();
    for_each_page(api, params, |page| found.extend(page)).await?;
    Ok(found)
}

/// Calls `receive` with the objects of each page before the next page is requested. The page size is as in
/// [`list_all_pages`].
pub(crate) async fn for_each_page<K>(
    api: &Api<WithoutManagedFields<K>>,
    params: ListParams,
    mut receive: impl FnMut(Vec<K>),
) -> Result<(), kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut params = ListParams { limit: params.limit.or(Some(PAGE_SIZE)), ..params };
    loop {
        let page = api.list(&params).await?;
        receive(page.items.into_iter().map(|WithoutManagedFields(object)| object).collect());
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Namespace;
    use kube::{Client, client::Body};
    use serde_json::json;
    use tower_test::mock::pair;

    use super::*;

    #[tokio::test]
    async fn each_page_is_small() {
        for (params, limit) in [
            (ListParams::default(), "limit=25"),
            (ListParams::default().limit(PAGE_SIZE_OF_SPACES), "limit=50"),
            (ListParams::default().limit(PAGE_SIZE_OF_METADATA), "limit=500"),
        ] {
            let (service, mut server) = pair::<Request<Body>, Response<Body>>();
            let api: Api<WithoutManagedFields<Namespace>> = Api::all(Client::new(service, "default"));
            let serve = async {
                for token in ["next", ""] {
                    let (request, send) = server.next_request().await.unwrap();
                    let query = request.uri().query().unwrap_or_default();
                    assert!(query.split('&').any(|part| part == limit), "{query}");
                    let list = json!({"apiVersion": "v1", "kind": "NamespaceList", "metadata": {"continue": token}, "items": []});
                    send.send_response(Response::new(Body::from(list.to_string().into_bytes())));
                }
            };
            let (found, ()) = tokio::join!(list_all_pages(&api, params), serve);
            assert!(found.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn the_pages_before_an_error_are_received() {
        let (service, mut server) = pair::<Request<Body>, Response<Body>>();
        let api: Api<WithoutManagedFields<Namespace>> = Api::all(Client::new(service, "default"));
        let serve = async {
            let item = json!({"metadata": {"name": "orchid-lab"}});
            let list =
                json!({"apiVersion": "v1", "kind": "NamespaceList", "metadata": {"continue": "next"}, "items": [item]});
            let (_, send) = server.next_request().await.unwrap();
            send.send_response(Response::new(Body::from(list.to_string().into_bytes())));
            let (_, send) = server.next_request().await.unwrap();
            send.send_error("the connection was closed");
        };
        let mut found: Vec<Namespace> = Vec::new();
        let (listed, ()) = tokio::join!(for_each_page(&api, ListParams::default(), |page| found.extend(page)), serve);
        assert!(listed.is_err());
        assert_eq!(found.len(), 1);
    }
}
