//! Creates the namespace of a space.

use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::ResourceExt;

use super::api::{keep_seen, namespaces};
use crate::{
    api::{DeveloperSpace, names},
    controller::context::Context,
    desired::{
        Uid,
        metadata::{Metadata, WantedMetadata},
        namespace::{Ownership, SeenNamespace, ownership},
        ownership::recorded_uid,
    },
    runtime::{error::Error, write_params::post_params},
};

/// Sends a POST. Returns `None` if another client took the name in the meantime.
pub(crate) async fn create(
    ctx: &Context,
    space: &DeveloperSpace,
    wanted: WantedMetadata,
) -> Result<Option<SeenNamespace>, Error> {
    let name = space.name_any();
    let Metadata { labels, mut annotations } = wanted.written;
    let recorded = recorded_uid(space);
    // The claim of a namespace that is created again holds because it names the UID of the recorded one.
    annotations.extend(recorded.map(|uid| (names::ANNOTATION_REPLACES.to_owned(), uid.to_owned())));
    let namespace = Namespace {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        ..Namespace::default()
    };
    let api = namespaces(&ctx.io);
    ctx.expiry_queue.yield_to_expiries(&*ctx.io.clock).await;
    ctx.io.creations.begin(Uid::from_metadata(&space.metadata), &name);
    let live = match api.create(&post_params(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&name).await,
        created => created.inspect(|created| {
            let reason = if recorded.is_some() {
                "the recorded namespace no longer exists"
            } else {
                "the DeveloperSpace was admitted"
            };
            tracing::info!(namespace = name, uid = created.metadata.uid, reason, "created a namespace");
        }),
    };
    let seen = keep_seen(&ctx.io, &live.map_err(Error::api(format!("create namespace {name}")))?);
    match (ownership(space, &seen), &seen.terminating) {
        (Ownership::Ours, Some(_)) => Err(Error::Moved(format!("create namespace {name}"))),
        (Ownership::Ours, None) => Ok(Some(seen)),
        (Ownership::Offered | Ownership::Foreign, _) => {
            ctx.io.creations.end(&Uid::from_metadata(&space.metadata));
            Ok(None)
        }
    }
}
