//! Deletes a namespace that was created for a space that the API server deleted at the same time.
//!
//! The API server can lose a finalizer that is added while it handles a DELETE. A DELETE that finds no finalizer
//! retries after a conflict, and then compares the UID and the resourceVersion only (`Store.Delete` in
//! `k8s.io/apiserver/pkg/registry/generic/registry`, `conditionalDelete` in `pkg/storage/etcd3`). The operator has
//! added the finalizer by then, and creates the namespace of a space that no longer exists.
//!
//! Only a namespace that this process created under the name of its space, and that no status has recorded, is deleted.
//! A status records the namespace within seconds of its creation, so there is nothing in it that its users need. While
//! the CRD is being deleted, no namespace is deleted.

use super::{context::Context, io::Io, namespace};
use crate::{
    desired::{Uid, namespace::SeenNamespace},
    installed::crd_is_going,
    runtime::error::Error,
};

/// Deletes the namespaces among `orphans` that this process created and that no status has recorded. Returns the other
/// ones.
pub async fn delete(ctx: &Context, orphans: Vec<(String, SeenNamespace)>) -> Vec<(String, SeenNamespace)> {
    ctx.io.creations.forget_old();
    if ctx.io.installed.has_problem() {
        return orphans;
    }
    let mut others = Vec::new();
    for (name, seen) in orphans {
        let is_candidate =
            seen.adopt.is_none() && seen.claim.as_ref().is_some_and(|space| ctx.io.creations.contains(space, &name));
        let is_deleted =
            is_candidate && delete_one(&ctx.io, &name, &seen).await.unwrap_or_else(|error| failed(&name, &error));
        if !is_deleted {
            others.push((name, seen));
        }
    }
    others
}

fn failed(name: &str, error: &Error) -> bool {
    tracing::warn!(
        namespace = name,
        error = error.sentence(),
        "failed to delete the namespace of a space that no longer exists; retrying"
    );
    false
}

/// Deletes the namespace, unless the API server has the space for which it was created, or a space that records it: the
/// caches may be behind.
async fn delete_one(io: &Io, name: &str, seen: &SeenNamespace) -> Result<bool, Error> {
    let found = io.spaces().get_opt(name).await.map_err(Error::api(format!("read DeveloperSpace {name}")))?;
    if let Some(space) = found {
        let recorded = space.status.as_ref().and_then(|status| status.namespace.as_ref());
        if seen.claim == Some(Uid::from_metadata(&space.metadata))
            || recorded.is_some_and(|recorded| seen.uid == *recorded.uid)
        {
            return Ok(false);
        }
    }
    if crd_is_going(&io.client).await? {
        return Ok(false);
    }
    namespace::delete_unrecorded(io, name, seen).await.map(|()| true)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Request, Response};
    use kube::{Client, client::Body};
    use serde_json::{Value, json};
    use tower_test::mock::pair;

    use super::*;
    use crate::{
        api::protected_namespaces::ProtectedNamespaces,
        clock::ServerCheckedClock,
        runtime::{events::recorder, worker_slots::WorkerSlots},
    };

    fn orphan(claim: &str, adopt: Option<&str>) -> (String, SeenNamespace) {
        let (uid, claim, adopt) = ("uid-of-the-namespace".into(), Some(claim.into()), adopt.map(Into::into));
        ("heath-lab".to_owned(), SeenNamespace { uid, claim, adopt, version: 7, ..SeenNamespace::default() })
    }

    fn space(uid: &str, recorded: &str) -> Value {
        json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "heath-lab", "uid": uid},
            "spec": {"owner": {"kind": "User", "name": "ines@example.com"}}, "status": {"namespace": {"name": "heath-lab", "uid": recorded}},
        })
    }

    /// Offers one orphan to [`delete`], while the API server answers with `found` for the space, with `crd` for the
    /// CRD, and with `deleted` for the namespace. Returns the number of orphans that are left, and the requests.
    async fn offer(
        orphan: (String, SeenNamespace),
        found: (u16, Value),
        crd: Value,
        deleted: u16,
    ) -> (usize, Vec<Value>) {
        let (service, mut server) = pair::<Request<Body>, Response<Body>>();
        let (client, slots) = (Client::new(service, "default"), WorkerSlots::new(1));
        let (recorder, _) = recorder(client.clone(), slots.clone(), "pod-a");
        let protected = ProtectedNamespaces::new("operators-home", &[]);
        let io = Io::new(client, Arc::new(ServerCheckedClock::default()), protected, recorder);
        io.creations.begin("space-1".into(), "heath-lab");
        io.creations.begin("space-2".into(), "heath-lab");
        io.creations.end(&"space-2".into());
        let ctx = Context::new(io, slots);
        let serving = tokio::spawn(async move {
            let mut requests = vec![];
            while let Some((request, send)) = server.next_request().await {
                let (head, body) = request.into_parts();
                let sent = body.collect_bytes().await.unwrap();
                let sent: Value = serde_json::from_slice(&sent).unwrap_or_default();
                requests.push(json!({"method": head.method.as_str(), "path": head.uri.path(), "preconditions": sent["preconditions"]}));
                let reason = |code: u16| match code {
                    404 => "NotFound",
                    409 => "Conflict",
                    _ => "InternalError",
                };
                let failure = |code: u16| {
                    (
                        code,
                        json!({"kind": "Status", "status": "Failure", "message": "refused", "reason": reason(code), "code": code}),
                    )
                };
                let (code, body) = match head.method.as_str() {
                    "GET" if head.uri.path().starts_with("/apis/apiextensions.k8s.io/") => (200, crd.clone()),
                    "GET" if found.0 == 200 => found.clone(),
                    "GET" => failure(found.0),
                    _ if deleted == 200 => (200, json!({"kind": "Status", "status": "Success"})),
                    _ => failure(deleted),
                };
                send.send_response(
                    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap(),
                );
            }
            requests
        });
        let left = delete(&ctx, vec![orphan]).await.len();
        drop(ctx);
        (left, serving.await.unwrap())
    }

    #[tokio::test]
    async fn only_a_namespace_that_was_just_created_for_a_space_that_no_longer_exists_is_deleted() {
        let read = json!({"method": "GET", "path": "/apis/developerspace.dev/v1alpha1/developerspaces/heath-lab", "preconditions": null});
        let delete = json!({
            "method": "DELETE", "path": "/api/v1/namespaces/heath-lab",
            "preconditions": {"uid": "uid-of-the-namespace", "resourceVersion": "7"},
        });
        let read_crd = json!({
            "method": "GET", "path": "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/developerspaces.developerspace.dev", "preconditions": null,
        });
        let absent = (404, Value::Null);
        let crd = |deleted: Option<&str>| json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": {"name": "x", "deletionTimestamp": deleted}});
        let (stays, goes) = (crd(None), crd(Some("2026-03-04T12:00:00Z")));
        let without_crd = vec![read.clone(), read_crd.clone()];
        let (both, only_read) = (vec![read.clone(), read_crd, delete], vec![read]);
        let (again, copy) = (orphan("space-1", None), ("copy-of-heath".to_owned(), orphan("space-1", None).1));
        assert_eq!(offer(again, absent.clone(), goes, 200).await, (1, without_crd), "the CRD is being deleted");
        assert_eq!(offer(copy, absent.clone(), stays.clone(), 200).await, (1, vec![]), "a copy with the same claim");
        for (orphan, found, deleted, expected) in [
            (orphan("space-1", None), absent.clone(), 200, (0, both.clone())),
            (orphan("space-1", None), absent.clone(), 404, (0, both.clone())),
            (orphan("space-1", None), (200, space("space-3", "another")), 200, (0, both.clone())),
            // The namespace has changed, or the cache is behind.
            (orphan("space-1", None), absent.clone(), 409, (1, both)),
            (orphan("space-1", None), (200, space("space-1", "another")), 200, (1, only_read.clone())),
            (orphan("space-1", None), (200, space("space-3", "uid-of-the-namespace")), 200, (1, only_read.clone())),
            (orphan("space-1", None), (500, Value::Null), 200, (1, only_read)),
            // An administrator offers it, the status of its space recorded it, or another process created it.
            (orphan("space-1", Some("heath-lab/space-3")), absent.clone(), 200, (1, vec![])),
            (orphan("space-2", None), absent.clone(), 200, (1, vec![])),
            (orphan("space-9", None), absent, 200, (1, vec![])),
        ] {
            let case = format!("{orphan:?} {found:?} {deleted}");
            assert_eq!(offer(orphan, found, stays.clone(), deleted).await, expected, "{case}");
        }
    }
}
