//! Validates all `SpaceClass`es together and writes their status, which no other client writes.
//!
//! A class is validated again when any class changes, and every `RECHECK_INTERVAL`: ClusterRoles, the operator's
//! permissions and the namespaces of spaces change without an event of the class. In the steady state a validation
//! requests only the ClusterRoles that classes name, and writes nothing.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::api::{authorization::v1::ResourceAttributes, rbac::v1::ClusterRole};
use kube::{
    Api, Resource, ResourceExt,
    api::Patch,
    core::DeserializeGuard,
    runtime::reflector::{self, ObjectRef},
};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::Instant};

use super::{context::Context, io::Io};
use crate::{
    api::{
        SpaceClass, SpaceClassStatus,
        conditions::{self, WantedCondition, accepted::ROLE_NOT_FOUND},
    },
    cache::{store::Source, watches::CachedSpace},
    desired::{
        class::cluster_roles,
        class_validation::{ClassValidation, check},
        namespace::{Ownership, ownership},
        network_selectors::{SelectorContext, handed_out},
        plan::{ClassVerdict, class_verdict},
        status::Note,
    },
    runtime::{
        error::{Class, Error},
        permissions::may,
        write_params::patch_params,
    },
};

/// The interval at which all classes are validated again without an event.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// The number of ClusterRoles that are looked up concurrently.
const MAX_CONCURRENT_LOOK_UPS: usize = 8;

/// The longest time for one look-up. The classes are validated after all look-ups, and no space is reconciled before
/// the first ones are complete.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The spaces of the cluster.
pub type Spaces = reflector::Store<CachedSpace>;

/// The spaces that `class` concerns: those that name it or were admitted to it, and those that name none, since it may
/// be or become the default.
pub(crate) fn spaces_of(spaces: &Spaces, class: &str) -> Vec<ObjectRef<CachedSpace>> {
    let is_admitted = |space: &CachedSpace| space.kept.admitted_to.as_deref() == Some(class);
    let concerned =
        |space: &CachedSpace| is_admitted(space) || space.kept.class_name.as_deref().is_none_or(|name| name == class);
    spaces.state_filter(concerned).iter().map(|space| ObjectRef::new(&space.name_any())).collect()
}

/// Requests the validation of classes.
pub struct ClassValidator(mpsc::UnboundedSender<String>);

impl ClassValidator {
    /// Returns a sender, and the future that validates one class after the other, each until its status reports the
    /// result. The future runs concurrently with the queue.
    pub fn new(ctx: Arc<Context>, spaces: Spaces) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), validate_all(ctx, spaces, receiver))
    }

    /// Reports that the class of that name was changed or deleted.
    pub fn validate(&self, name: String) {
        // The receiver exists as long as the controller runs.
        let _ = self.0.send(name);
    }
}

async fn validate_all(ctx: Arc<Context>, spaces: Spaces, mut changed: mpsc::UnboundedReceiver<String>) {
    // A class is validated together with all others, and against the namespaces of all spaces.
    ctx.io.store.listed(&[Source::Classes, Source::Namespaces, Source::Spaces].into()).await;
    let mut recheck = tokio::time::interval(RECHECK_INTERVAL);
    let mut due: HashMap<String, (Instant, u32)> = HashMap::new();
    loop {
        let next =
            due.iter().min_by_key(|(_, (at, _))| *at).map(|(name, (at, failures))| (name.clone(), *at, *failures));
        let at = next.as_ref().map_or_else(|| Instant::now() + RECHECK_INTERVAL, |(_, at, _)| *at);
        tokio::select! {
            // Changes come first: each class is validated once for all of them.
            biased;
            name = changed.recv() => match name {
                Some(_) => all_are_due(&ctx, &mut due),
                None => return,
            },
            _ = recheck.tick() => {
                let changed = look_up_roles(&ctx.io).await;
                requeue_by_roles(&ctx, &spaces, &changed);
                all_are_due(&ctx, &mut due);
                // The interval counts from here: look-ups that take longer than the interval leave time for the
                // classes.
                recheck.reset();
            }
            () = tokio::time::sleep_until(at) => if let Some((name, _, failures)) = next {
                due.remove(&name);
                if let Some(wait) = validate_one(&ctx, &spaces, &name, failures).await {
                    due.insert(name, (Instant::now() + wait, failures.saturating_add(1)));
                }
            },
        }
    }
}

/// Makes the validation of every class due at once. A class whose validation failed keeps its count of failures, and a
/// class that is overdue keeps its turn.
fn all_are_due(ctx: &Context, due: &mut HashMap<String, (Instant, u32)>) {
    let now = Instant::now();
    for class in ctx.io.store.classes() {
        let (at, _) = due.entry(class.name_any()).or_insert((now, 0));
        *at = now.min(*at);
    }
}

/// Validates the class of that name. Returns the time until the next attempt after a failure, or while a CRD lacks
/// fields. `failures` is the number of consecutive failures before.
pub async fn validate_one(ctx: &Context, spaces: &Spaces, name: &str, failures: u32) -> Option<Duration> {
    let class = ctx.io.store.class(name)?;
    if ctx.io.installed.has_problem() {
        return Some(RECHECK_INTERVAL);
    }
    let Err(error) = validate(ctx, spaces, &class).await else {
        ctx.io.store.clear_validation_error(name);
        return None;
    };
    if error.class() != Class::Conflict {
        tracing::warn!(class = name, error = error.sentence(), "failed to validate a SpaceClass; retrying");
    }
    if error.lasts(failures) {
        report_error(ctx, spaces, &class, &error.sentence());
    }
    Some(error.retry_after(failures))
}

/// Reports an error that lasts by an Event, and in the conditions of the spaces that wait for the result: the status of
/// the class, which would report it, may be the object that cannot be written. An Event expires, so each attempt
/// publishes one, which the recorder limits.
fn report_error(ctx: &Context, spaces: &Spaces, class: &SpaceClass, error: &str) {
    let message = format!("the operator {error}; it retries, and a change of this SpaceClass has no effect until then");
    let note = Note { warning: true, reason: "ValidationFailed".into(), message, in_namespace: false };
    ctx.io.recorder.record(class.object_ref(&()), note, ctx.io.clock.now());
    let is_change = ctx.io.store.put_validation_error(class.name_any(), error);
    if is_change && class_verdict(class) == ClassVerdict::Pending {
        requeue_spaces_of(ctx, spaces, &class.name_any());
    }
}

fn requeue_spaces_of(ctx: &Context, spaces: &Spaces, class: &str) {
    for space in spaces_of(spaces, class) {
        ctx.requeue.requeue(space.name);
    }
}

/// Requeues the spaces of each class whose spec in force names a ClusterRole in `changed`. The status of a class
/// reports the ClusterRoles of its current spec. While an earlier spec is in force, no event of the class requeues the
/// spaces that have bindings to the ClusterRoles of that spec.
fn requeue_by_roles(ctx: &Context, spaces: &Spaces, changed: &BTreeSet<String>) {
    for class in ctx.io.store.classes() {
        if class.in_force().is_some_and(|spec| !cluster_roles(spec).is_disjoint(changed)) {
            requeue_spaces_of(ctx, spaces, &class.name_any());
        }
    }
}

/// Looks up every ClusterRole that a class names. A ClusterRole whose look-up fails keeps its last known state. Returns
/// the ClusterRoles that were created or deleted since the last look-up.
pub async fn look_up_roles(io: &Io) -> BTreeSet<String> {
    let classes = io.store.classes();
    let named: BTreeSet<String> = classes
        .iter()
        .flat_map(|class| std::iter::once(&class.spec).chain(class.in_force()))
        .flat_map(cluster_roles)
        .collect();
    io.store.retain_roles(&named);
    look_up(io, named).await
}

async fn look_up(io: &Io, roles: BTreeSet<String>) -> BTreeSet<String> {
    let api: Api<ClusterRole> = Api::all(io.client.clone());
    let asked = stream::iter(roles).map(|role| {
        let api = api.clone();
        async move { (tokio::time::timeout(LOOK_UP_TIMEOUT, api.get_metadata_opt(&encoded(&role))).await, role) }
    });
    let answers: Vec<_> = asked.buffer_unordered(MAX_CONCURRENT_LOOK_UPS).collect().await;
    let mut changed = BTreeSet::new();
    for (answer, role) in answers {
        match answer {
            Ok(Ok(found)) => {
                if io.store.put_role(role.clone(), found.is_some()) {
                    changed.insert(role);
                }
            }
            // The state of the role stays unknown. The check of the operator's permissions reports a missing permission
            // to read ClusterRoles.
            Ok(Err(error)) => tracing::debug!(role, %error, "failed to look up a ClusterRole"),
            Err(elapsed) => tracing::debug!(role, error = %elapsed, "failed to look up a ClusterRole"),
        }
    }
    changed
}

/// Encodes the name of a ClusterRole for a path: it may contain characters that a URL must not contain.
fn encoded(name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    name.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Validates a class and writes its status if it differs. A terminating class is validated too: a finalizer may hold
/// it, and it still applies to its spaces.
pub async fn validate(ctx: &Context, spaces: &Spaces, class: &SpaceClass) -> Result<(), Error> {
    let verdict = match validate_spec(&ctx.io, spaces, class) {
        Err(problem) => ClassValidation::Invalid(problem),
        Ok(()) => validate_roles(ctx, spaces, class).await?,
    };
    let condition = verdict.condition(&class.name_any(), &ctx.io.store.default_classes());
    let wanted = wanted_status(&ctx.io, class, condition, &verdict);
    if class.status.as_ref() == Some(&wanted) { Ok(()) } else { write(&ctx.io, class, &wanted).await }
}

fn validate_spec(io: &Io, spaces: &Spaces, class: &SpaceClass) -> Result<(), String> {
    let classes = io.store.classes();
    let is_a_spaces = |name: &str| is_a_spaces(io, spaces, name);
    check(
        class,
        &SelectorContext {
            handed_out: classes.iter().flat_map(|class| handed_out(class)).collect(),
            is_of_space: &is_a_spaces,
        },
    )
}

/// Returns true if the namespace of that name belongs to the space of that name.
fn is_a_spaces(io: &Io, spaces: &Spaces, name: &str) -> bool {
    let (Some(namespace), Some(space)) = (io.store.namespace(name), spaces.get(&ObjectRef::new(name))) else {
        return false;
    };
    matches!(space.unpack(), DeserializeGuard(Ok(space)) if ownership(&space, &namespace) == Ownership::Ours)
}

/// Validates the ClusterRoles of a class. The permission to bind is not checked again for a class that is accepted in
/// its current generation, or refused in it only for a missing ClusterRole, so that a restart sends no access review
/// and writes nothing.
async fn validate_roles(ctx: &Context, spaces: &Spaces, class: &SpaceClass) -> Result<ClassValidation, Error> {
    let standing = class_verdict(class);
    if standing == ClassVerdict::Pending {
        let changed = look_up(&ctx.io, cluster_roles(&class.spec)).await;
        requeue_by_roles(ctx, spaces, &changed);
    }
    let stands = standing == ClassVerdict::Accepted
        || matches!(standing, ClassVerdict::Refused(reason, _) if reason == ROLE_NOT_FOUND);
    let unbindable = if stands { None } else { unbindable(&ctx.io, class).await? };
    let missing = ctx.io.store.missing_roles(&class.spec);
    Ok(match unbindable {
        Some(role) => ClassValidation::NotBindable { exists: !missing.contains(&role), role },
        None => match missing {
            missing if missing.is_empty() => ClassValidation::Valid,
            missing => ClassValidation::RolesMissing(missing.into_iter().collect()),
        },
    })
}

/// The first ClusterRole that the operator is not allowed to bind,
/// see <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-binding-creation-or-update>.
async fn unbindable(io: &Io, class: &SpaceClass) -> Result<Option<String>, Error> {
    for role in cluster_roles(&class.spec) {
        let attributes = ResourceAttributes {
            group: Some(ClusterRole::group(&()).into_owned()),
            resource: Some(ClusterRole::plural(&()).into_owned()),
            verb: Some("bind".into()),
            name: Some(role.clone()),
            ..ResourceAttributes::default()
        };
        if !may(&io.client, attributes).await? {
            return Ok(Some(role));
        }
    }
    Ok(None)
}

fn wanted_status(
    io: &Io,
    class: &SpaceClass,
    condition: WantedCondition,
    verdict: &ClassValidation,
) -> SpaceClassStatus {
    let old = class.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    SpaceClassStatus {
        observed_generation: class.metadata.generation,
        conditions: conditions::set(old, &[condition], class.metadata.generation, io.clock.now()),
        accepted: verdict.accepted(class).cloned(),
    }
}

/// Writes the whole status at once: a merge patch would leave keys of an older accepted spec in the new one.
async fn write(io: &Io, class: &SpaceClass, status: &SpaceClassStatus) -> Result<(), Error> {
    let name = class.name_any();
    let operations = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": class.resource_version()},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let action = format!("write the status of SpaceClass {name}");
    let patch = parsed(operations).map_err(Error::api(action.clone()))?;
    let classes: Api<SpaceClass> = Api::all(io.client.clone());
    classes.patch_status(&name, &patch_params(), &patch).await.map(|_| ()).map_err(Error::api(action))
}

fn parsed(operations: Value) -> Result<Patch<SpaceClass>, kube::Error> {
    serde_json::from_value(operations).map(Patch::Json).map_err(kube::Error::SerdeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_role_fits_into_a_path() {
        for (name, path) in
            [("system:node", "system:node"), ("data scientist?", "data%20scientist%3F"), ("a/../b", "a%2F..%2Fb")]
        {
            assert_eq!(encoded(name), path);
        }
    }
}
