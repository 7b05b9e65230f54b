//! Lists that are read page by page.

use std::fmt::Debug;

use kube::{Api, api::ListParams};
use serde::de::DeserializeOwned;

use crate::api::without_managed_fields::WithoutManagedFields;

/// The number of objects of a page.
const PAGE: u32 = 500;

/// The objects of all pages.
pub(crate) async fn list_all_pages<K>(api: &Api<WithoutManagedFields<K>>, params: ListParams) -> Result<Vec<K>, kube::Error>
where
    K: Clone + Debug + DeserializeOwned,
{
    let mut params = params.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&params).await?;
        found.extend(page.items.into_iter().map(|WithoutManagedFields(object)| object));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
