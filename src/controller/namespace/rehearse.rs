//! Dry runs of a change of the Pod Security level of a namespace.

use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Resource, ResourceExt,
    api::{Patch, PatchParams},
    client::Body,
    core::{Request, Status},
};

use super::api::read_again;
use crate::{
    api::DeveloperSpace,
    controller::io::Io,
    desired::{
        metadata::WantedMetadata,
        namespace::{Ownership, SeenNamespace},
    },
    runtime::{error::Error, write_params::patch_params},
};

/// Returns the warnings of the API server about a dry run that writes the `wanted` labels and annotations.
pub(crate) async fn rehearse(
    io: &Io,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    wanted: &WantedMetadata,
) -> Result<Vec<String>, Error> {
    let live = read_again(io, space, seen, Ownership::Ours).await?;
    let name = space.name_any();
    let failed = Error::api(format!("check which pods in namespace {name} violate the Pod Security level"));
    let params = PatchParams { dry_run: true, ..patch_params() };
    let request =
        Request::new(Namespace::url_path(&(), None)).patch(&name, &params, &Patch::Merge(wanted.patch(&live.metadata)));
    dry_run(io, request).await.map_err(failed)
}

async fn dry_run(
    io: &Io,
    request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
) -> Result<Vec<String>, kube::Error> {
    let request = request.map_err(kube::Error::BuildRequest)?;
    let response = io.client.send(request.map(Body::from)).await?;
    let (head, body) = response.into_parts();
    if head.status.is_success() {
        return Ok(head
            .headers
            .get_all(http::header::WARNING)
            .iter()
            .filter_map(|header| warning(header.to_str().ok()?))
            .collect());
    }
    let bytes = body.collect_bytes().await?;
    let status = serde_json::from_slice::<Status>(&bytes)
        .unwrap_or_else(|_| Status::failure("the response cannot be read", "Unknown"));
    Err(kube::Error::Api(status.with_code(head.status.as_u16()).boxed()))
}

/// The text of a header `299 - "text"`, see <https://www.rfc-editor.org/rfc/rfc7234#section-5.5>.
fn warning(header: &str) -> Option<String> {
    let text = header.split_once('"')?.1.strip_suffix('"')?;
    Some(text.replace(r#"\""#, "\"").replace(r"\\", r"\"))
}
