//! The objects that a sweep lists. It keeps little of them: managed fields are most of a space and of a namespace, and
//! a sweep that keeps them exceeds its memory limit when there are many namespaces to delete.

use chrono::{DateTime, Utc};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client, Resource, ResourceExt,
    api::ListParams,
    core::{DeserializeGuard, ObjectList, Request},
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::annotated::Plain;
use crate::{
    api::{DeveloperSpace, SpaceClass, own_fields::OwnFields},
    cache::reduced::Reduced,
    controller::io::Io,
    desired::namespace::SeenNamespace,
    runtime::error::Error,
};

/// The page size of the lists of classes and namespaces. The text of a page is in memory twice before it is parsed.
const PAGE_SIZE: u32 = 25;

/// The page size of the list of spaces, each of which its owner can make as large as an object may be.
const SPACES_PAGE_SIZE: u32 = 10;

/// The listed objects. Classes and namespaces are in the store.
pub struct Listing {
    /// The time at which the listing began.
    pub since: DateTime<Utc>,
    /// All spaces, readable or not.
    pub spaces: Vec<Reduced<DeveloperSpace>>,
    /// Namespaces that have an expiry annotation and no mark of the operator.
    pub plain: Vec<Plain>,
    /// Names of the namespaces that were created for a space.
    pub claimed: Vec<String>,
}

/// Fills the store and lists the rest.
pub(crate) async fn list_cluster(io: &Io) -> Result<Listing, Error> {
    let since = io.clock.now();
    list::<SpaceClass, DeserializeGuard<SpaceClass>>(&io.client, PAGE_SIZE, |DeserializeGuard(class)| match class {
        Ok(class) => io.store.put_class(class),
        Err(broken) => {
            tracing::warn!(class = broken.metadata.name, error = broken.error, "a stored SpaceClass cannot be read");
            io.store.put_unreadable_class(broken.metadata);
        }
    })
    .await?;
    // The controller validates a spec against these reservations too.
    io.store.reserved.read_classes(&io.store.classes());
    let (mut spaces, mut plain, mut claimed) = (Vec::new(), Vec::new(), Vec::new());
    // Spaces before namespaces: a namespace that is created in between is seen, and one that is deleted in between
    // needs nothing.
    list::<DeveloperSpace, Reduced<DeveloperSpace>>(&io.client, SPACES_PAGE_SIZE, |space| {
        io.store.reserved.put_space(&space.name_any(), space.kept.accounts.as_deref());
        spaces.push(space);
    })
    .await?;
    list::<Namespace, Swept>(&io.client, PAGE_SIZE, |Swept { name, seen, plain: found }| {
        if seen.claim.is_some() {
            claimed.push(name.clone());
        }
        plain.extend(found);
        io.store.put_seen_namespace(name, seen);
    })
    .await?;
    Ok(Listing { since, spaces, plain, claimed })
}

/// The part of a namespace that is kept. A namespace is reduced while it is read.
#[derive(Clone, Debug)]
struct Swept {
    name: String,
    seen: SeenNamespace,
    plain: Option<Plain>,
}

impl<'de> Deserialize<'de> for Swept {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OwnFields(namespace) = OwnFields::<Namespace>::deserialize(deserializer)?;
        let seen = SeenNamespace::from_namespace(&namespace);
        let plain = Plain::of(&namespace);
        Ok(Self { name: namespace.metadata.name.unwrap_or_default(), seen, plain })
    }
}

/// Lists all objects of a kind in pages of that size, each object read as `T`.
async fn list<K, T>(client: &Client, size: u32, mut keep: impl FnMut(T)) -> Result<(), Error>
where
    K: Resource<DynamicType = ()>,
    T: DeserializeOwned + Clone,
{
    let mut params = ListParams::default().limit(size);
    let action = || format!("list {}", K::plural(&()));
    loop {
        let request = Request::new(K::url_path(&(), None))
            .list(&params)
            .map_err(|error| Error::api(action())(kube::Error::BuildRequest(error)))?;
        let page = client.request::<ObjectList<T>>(request).await.map_err(Error::api(action()))?;
        page.items.into_iter().for_each(&mut keep);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn managed_fields_are_not_kept() {
        let managed = json!([{"manager": "kubectl", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": "x".repeat(8_000)}}}]);
        let metadata = json!({
            "name": "heath-lab", "uid": "ns-1", "resourceVersion": "7", "creationTimestamp": "2026-03-01T09:00:00Z",
            "annotations": {"developerspace.dev/ttl": "7d", "example.com/notes": "y".repeat(8_000)}, "managedFields": managed,
        });
        let namespace: Swept = serde_json::from_value(json!({"metadata": metadata})).unwrap();
        let spec = json!({"owner": {"kind": "User", "name": "ines@example.com"}});
        let space = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": metadata, "spec": spec});
        let space: Reduced<DeveloperSpace> = serde_json::from_value(space).unwrap();
        let kept = [format!("{namespace:?}"), format!("{:?}", space.unpack())];
        assert!(kept.iter().all(|kept| !kept.contains(&"x".repeat(8_000))), "{kept:?}");
        assert!(!kept[0].contains("yyyy") && namespace.plain.is_some(), "{}", kept[0]);
    }
}
