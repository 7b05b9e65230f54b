//! Reports namespaces that were created for a space that no longer exists: the metric counts them, and the log names
//! each one once.
//!
//! Reads the caches of the watches. Such a namespace is left unchanged, except one that was just created for a space
//! that was deleted at the same time.

use std::{cell::LazyCell, collections::HashSet, sync::Arc, time::Duration};

use kube::{
    core::DeserializeGuard,
    runtime::reflector::{self, ObjectRef},
};

use super::{context::Context, unrecorded};
use crate::{
    api::protected_namespaces::ProtectedNamespaces,
    cache::{store::Store, watches::CachedSpace},
    desired::{
        Uid,
        namespace::SeenNamespace,
        orphan::{advice, is_orphan},
    },
};

/// The interval between two comparisons of the namespaces with the spaces.
const SCAN_INTERVAL: Duration = Duration::from_secs(10);

/// Reports orphans as soon as all sources were listed, and new ones afterwards.
pub async fn report(ctx: Arc<Context>, spaces: reflector::Store<CachedSpace>) {
    ctx.io.store.ready().await;
    let mut known = HashSet::new();
    loop {
        let orphans = unrecorded::delete(&ctx, find(&ctx.io.store, &ctx.io.protected, &spaces)).await;
        ctx.io.metrics.set_orphans(orphans.len());
        for (name, sentence) in first_seen(&orphans, &mut known) {
            tracing::warn!(namespace = name, "{sentence}");
        }
        tokio::time::sleep(SCAN_INTERVAL).await;
    }
}

/// The orphans, with their names.
fn find(
    store: &Store,
    protected: &ProtectedNamespaces,
    spaces: &reflector::Store<CachedSpace>,
) -> Vec<(String, SeenNamespace)> {
    let of_name = |name: &str| spaces.get(&ObjectRef::new(name));
    // Nearly every namespace was created for the space of its name: the UIDs of all spaces are needed only for the
    // others.
    let uids = LazyCell::new(|| spaces.state().iter().map(|space| space.kept.uid.clone()).collect::<HashSet<Uid>>());
    let exists =
        |name: &str, uid: &Uid| of_name(name).is_some_and(|space| space.kept.uid == *uid) || uids.contains(uid);
    let is_left =
        |name: &str, seen: &SeenNamespace| !protected.contains(name) && is_orphan(seen, None, |uid| exists(name, uid));
    let mut found = store.namespaces_where(is_left);
    found.retain(|(name, seen)| match of_name(name).map(|space| space.unpack()) {
        None => true,
        Some(DeserializeGuard(Ok(space))) => is_orphan(seen, Some(&space), |_| false),
        // The status of this space cannot be read, so it may record the namespace.
        Some(DeserializeGuard(Err(_))) => false,
    });
    found
}

/// The name and the message of each orphan that is not `known`. Afterwards `known` contains exactly the UIDs of these
/// orphans.
fn first_seen<'a>(orphans: &'a [(String, SeenNamespace)], known: &mut HashSet<Uid>) -> Vec<(&'a str, String)> {
    let before = std::mem::replace(known, orphans.iter().map(|(_, seen)| seen.uid.clone()).collect());
    let new = orphans.iter().filter(|(_, seen)| !before.contains(&seen.uid));
    new.map(|(name, seen)| (name.as_str(), format!("namespace {name} {}", advice(name, seen)))).collect()
}

#[cfg(test)]
mod tests {
    use kube::runtime::watcher::Event;
    use serde_json::{Value, json};

    use super::*;

    fn space(name: &str, uid: &str, spec: &Value, recorded: &str) -> CachedSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": name, "uid": uid},
            "spec": spec, "status": {"namespace": {"name": name, "uid": recorded}},
        }))
        .unwrap()
    }

    fn namespace(name: &str, claim: Option<&str>) -> Value {
        let annotations = claim.map(|claim| json!({"developerspace.dev/space-uid": claim}));
        json!({"metadata": {"name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "7", "annotations": annotations}})
    }

    fn world() -> (Store, reflector::Store<CachedSpace>) {
        let (store, (spaces, mut writer)) = (Store::default(), reflector::store());
        let owned = json!({"owner": {"kind": "User", "name": "ines@example.com"}});
        for space in [
            space("heath-lab", "heath", &owned, "uid-of-heath-lab"),
            space("fen-lab", "fen", &owned, "another-namespace"),
            space("moor-lab", "moor", &owned, "uid-of-moor-lab"),
            space("bog-lab", "bog", &json!({"owner": "nobody"}), "uid-of-bog-lab"),
        ] {
            writer.apply_watcher_event(&Event::Apply(space.by_name()));
        }
        let mut going = namespace("going-lab", Some("lost"));
        going["metadata"]["deletionTimestamp"] = json!("2026-03-04T12:00:00Z");
        for namespace in [
            namespace("heath-lab", Some("heath")),
            namespace("copy-of-heath", Some("heath")),
            namespace("fen-lab", Some("lost")),
            namespace("moor-lab", Some("lost")),
            namespace("bog-lab", Some("lost")),
            namespace("lost-lab", Some("lost")),
            namespace("monitoring", Some("lost")),
            namespace("plain", None),
            going,
        ] {
            store.put_namespace(&serde_json::from_value(namespace).unwrap());
        }
        (store, spaces)
    }

    #[test]
    fn orphans_are_claimed_for_a_space_that_is_gone_and_recorded_by_none() {
        let (store, spaces) = world();
        let protected = ProtectedNamespaces::new("operators-home", &["monitoring".to_owned()]);
        let mut names: Vec<String> = find(&store, &protected, &spaces).into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, ["fen-lab", "lost-lab"]);
    }

    #[test]
    fn an_orphan_is_named_when_it_is_first_seen() {
        let orphan = |name: &str| {
            let seen: SeenNamespace = SeenNamespace {
                uid: format!("uid-of-{name}").as_str().into(),
                claim: Some("lost".into()),
                ..SeenNamespace::default()
            };
            (name.to_owned(), seen)
        };
        let (fen, moor) = (orphan("fen-lab"), orphan("moor-lab"));
        let mut known = HashSet::new();
        let sentence =
            |(name, seen): &(String, SeenNamespace)| (name.clone(), format!("namespace {name} {}", advice(name, seen)));
        for (orphans, named) in [
            (vec![fen.clone()], vec![sentence(&fen)]),
            (vec![fen.clone(), moor.clone()], vec![sentence(&moor)]),
            (vec![fen.clone(), moor], vec![]),
            (vec![fen], vec![]),
        ] {
            let seen: Vec<_> =
                first_seen(&orphans, &mut known).into_iter().map(|(name, said)| (name.to_owned(), said)).collect();
            assert_eq!(seen, named);
        }
    }
}
