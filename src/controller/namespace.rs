//! Writes to the namespace of a space. Each write to an existing namespace has the UID of the decision as its precondition, so that it fails for
//! another namespace of the same name.

use chrono::{DateTime, Utc};
use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
    client::Body,
    core::{Request, Status},
};
use serde_json::{Value, json};

use super::{
    children::{patch_params, post_params},
    context::Context,
    isolation::is_marked,
};
use crate::{
    api::{DeveloperSpace, names, time::rfc3339},
    desired::{
        Uid,
        adoption::{Adoption, adopt as adoption},
        metadata::{Metadata, WantedMetadata},
        namespace::{NamespaceMetadata, Ownership, SeenNamespace, ownership},
        ownership::recorded_uid,
    },
    runtime::error::Error,
};

/// Sends a POST. Returns `None` if another client took the name in the meantime.
pub async fn create(ctx: &Context, space: &DeveloperSpace, wanted: WantedMetadata) -> Result<Option<SeenNamespace>, Error> {
    let name = space.name_any();
    let Metadata { labels, mut annotations } = wanted.written;
    // The claim of a namespace that is created again holds because it names the UID of the recorded one.
    annotations.extend(recorded_uid(space).map(|uid| (names::ANNOTATION_REPLACES.to_owned(), uid.to_owned())));
    let namespace = Namespace {
        metadata: ObjectMeta { name: Some(name.clone()), labels: Some(labels), annotations: Some(annotations), ..ObjectMeta::default() },
        ..Namespace::default()
    };
    let api = namespaces(ctx);
    ctx.ends.go_first(&*ctx.clock).await;
    ctx.creations.begin(Uid::from_metadata(&space.metadata), &name);
    let live = match api.create(&post_params(), &namespace).await {
        Err(kube::Error::Api(status)) if status.is_already_exists() => api.get(&name).await,
        other => other,
    };
    let seen = see(ctx, &live.map_err(Error::api(format!("create namespace {name}")))?);
    match (ownership(space, &seen), &seen.terminating) {
        (Ownership::Ours, Some(_)) => Err(Error::Moved(format!("create namespace {name}"))),
        (Ownership::Ours, None) => Ok(Some(seen)),
        (Ownership::Offered | Ownership::Foreign, _) => {
            ctx.creations.end(&Uid::from_metadata(&space.metadata));
            Ok(None)
        }
    }
}

/// Adopts a namespace that an administrator hands over, and reports the values that this replaced. The offer stays until the status contains the
/// UID, so that it is found after a crash in between.
pub async fn adopt(
    ctx: &Context,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    metadata: NamespaceMetadata,
) -> Result<(SeenNamespace, String), Error> {
    let live = read_again(ctx, space, seen, Ownership::Offered).await?;
    let Adoption { patch, replaced } = adoption(space, metadata, &live.metadata);
    match patch {
        Some(patch) => Ok((self::patch(ctx, &space.name_any(), patch).await?, replaced)),
        None => Ok((SeenNamespace::from_namespace(&live), replaced)),
    }
}

/// Removes the accepted offer, so that the namespace is not handed over a second time.
pub async fn end_offer(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace) -> Result<SeenNamespace, Error> {
    let off = json!({"metadata": {"uid": seen.uid.to_string(), "annotations": {(names::ANNOTATION_ADOPT): null}}});
    patch(ctx, &space.name_any(), off).await
}

/// Writes the `wanted` labels and annotations to the space's own namespace.
pub async fn keep(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace, wanted: &WantedMetadata) -> Result<SeenNamespace, Error> {
    if seen.metadata.matches(wanted) {
        return Ok(seen.clone());
    }
    let live = read_again(ctx, space, seen, Ownership::Ours).await?;
    let current = SeenNamespace::from_namespace(&live);
    if current.metadata.matches(wanted) {
        return Ok(current);
    }
    patch(ctx, &space.name_any(), wanted.patch(&live.metadata)).await
}

/// Reads the namespace again before the first child is created in a namespace that had all of its children: a POST cannot name the UID of its
/// namespace, and the one in the store may have been replaced.
pub async fn confirm(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace) -> Result<(), Error> {
    read_again(ctx, space, seen, Ownership::Ours).await.map(|_| ())
}

/// Returns the warnings of the API server about a dry run that writes the `wanted` labels and annotations.
pub async fn rehearse(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace, wanted: &WantedMetadata) -> Result<Vec<String>, Error> {
    let live = read_again(ctx, space, seen, Ownership::Ours).await?;
    let name = space.name_any();
    let failed = Error::api(format!("check which pods in namespace {name} violate the Pod Security level"));
    let params = PatchParams { dry_run: true, ..patch_params() };
    let request = Request::new(Namespace::url_path(&(), None)).patch(&name, &params, &Patch::Merge(wanted.patch(&live.metadata)));
    dry_run(ctx, request).await.map_err(failed)
}

async fn dry_run(ctx: &Context, request: Result<http::Request<Vec<u8>>, kube::core::request::Error>) -> Result<Vec<String>, kube::Error> {
    let request = request.map_err(kube::Error::BuildRequest)?;
    let response = ctx.client.send(request.map(Body::from)).await?;
    let (head, body) = response.into_parts();
    if head.status.is_success() {
        return Ok(head.headers.get_all(http::header::WARNING).iter().filter_map(|header| warning(header.to_str().ok()?)).collect());
    }
    let bytes = body.collect_bytes().await?;
    let status = serde_json::from_slice::<Status>(&bytes).unwrap_or_else(|_| Status::failure("the response cannot be read", "Unknown"));
    Err(kube::Error::Api(status.with_code(head.status.as_u16()).boxed()))
}

/// The text of a header `299 - "text"`, see <https://www.rfc-editor.org/rfc/rfc7234#section-5.5>.
fn warning(header: &str) -> Option<String> {
    let text = header.split_once('"')?.1.strip_suffix('"')?;
    Some(text.replace(r#"\""#, "\"").replace(r"\\", r"\"))
}

/// Writes only the expiry to the namespace, if it differs.
pub async fn follow_expiry(ctx: &Context, name: &str, seen: &SeenNamespace, expires_at: Option<DateTime<Utc>>) -> Result<(), Error> {
    let end = expires_at.map(rfc3339);
    let is_right = match &end {
        Some(end) => seen.metadata.has_annotation_value(names::ANNOTATION_EXPIRES_AT, end),
        None => !seen.metadata.has_annotation(names::ANNOTATION_EXPIRES_AT),
    };
    if !is_right {
        let says = json!({"metadata": {"uid": seen.uid.to_string(), "annotations": {(names::ANNOTATION_EXPIRES_AT): end}}});
        patch(ctx, name, says).await?;
    }
    Ok(())
}

/// Writes only the label of enforced isolation: from then on admission allows no other client to create a NetworkPolicy in the namespace.
pub async fn mark_enforced(ctx: &Context, name: &str, seen: &SeenNamespace) -> Result<(), Error> {
    if is_marked(ctx, name) {
        return Ok(());
    }
    let mark = json!({"metadata": {"uid": seen.uid.to_string(), "labels": {(names::LABEL_NETWORK_ENFORCED): "true"}}});
    patch(ctx, name, mark).await.map(|_| ())
}

/// Sends a PATCH of the labels and annotations.
pub async fn patch(ctx: &Context, name: &str, patch: Value) -> Result<SeenNamespace, Error> {
    let answer = namespaces(ctx).patch(name, &patch_params(), &Patch::Merge(patch)).await;
    let live = answer.map_err(Error::api(format!("write the labels and annotations of namespace {name}")))?;
    Ok(see(ctx, &live))
}

/// Reads the namespace again and returns it if it is still the one that was `seen`, its ownership is still `to` and it is not terminating.
/// Otherwise returns a conflict, after which the operator decides again.
async fn read_again(ctx: &Context, space: &DeveloperSpace, seen: &SeenNamespace, to: Ownership) -> Result<Namespace, Error> {
    let name = space.name_any();
    let live = namespaces(ctx).get(&name).await.map_err(Error::api(format!("read namespace {name}")))?;
    let current = see(ctx, &live);
    if current.uid != seen.uid || ownership(space, &current) != to || current.terminating.is_some() {
        return Err(Error::Moved(format!("write the labels and annotations of namespace {name}")));
    }
    Ok(live)
}

fn see(ctx: &Context, live: &Namespace) -> SeenNamespace {
    ctx.store.put_namespace(live);
    SeenNamespace::from_namespace(live)
}

fn namespaces(ctx: &Context) -> Api<Namespace> {
    Api::all(ctx.client.clone())
}
