//! Objects that no attack may change: the cluster's own namespace, another tenant's, one that no space created, and
//! their contents.

use anyhow::Result;
use e2e::fixtures::{Actor, CHILDREN, a_namespace, a_space, ensure_equal, name_of};
use serde_json::{Map, Value};

const NAMESPACES: [&str; 4] = ["kube-system", "default", "plain", "carol-lab"];

/// All bystanders to the last byte: versions, times and managed fields included.
pub(crate) async fn bystanders(admin: &Actor) -> Result<Value> {
    let mut all = Map::new();
    for namespace in NAMESPACES {
        all.insert(namespace.to_owned(), admin.get(a_namespace(namespace)).await?);
        for kind in CHILDREN {
            for object in admin.list(kind, namespace).await? {
                all.insert(format!("{namespace}/{kind}/{}", name_of(&object)), object);
            }
        }
    }
    all.insert("the space of carol-lab".to_owned(), admin.get(a_space("carol-lab")).await?);
    Ok(all.into())
}

/// Checks that nothing has changed since `before`.
pub(crate) async fn ensure_unchanged(admin: &Actor, before: &Value) -> Result<()> {
    ensure_equal("what no attack may move", &bystanders(admin).await?, before)
}
