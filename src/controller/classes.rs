//! `SpaceClass`es: says of each whether spaces may use it.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use k8s_openapi::api::authorization::v1::ResourceAttributes;
use kube::{Api, Client, ResourceExt, api::Patch};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use super::{
    apply::patch_params,
    context::Context,
    error::{Class, Error},
    observe::{ClassVerdict, class_verdict},
    rights::may,
};
use crate::{
    api::{
        SpaceClass,
        conditions::{self, Wanted, types},
        names,
    },
    desired::class::{check, cluster_roles},
};

/// How long before a class with an unbindable role is looked at again: the administrator mends the operator's rights, and no event tells.
const RECHECK: Duration = Duration::from_secs(60);

/// Asks for classes to be judged.
pub struct Judge(mpsc::UnboundedSender<String>);

impl Judge {
    /// A sender, and the work that has to be run beside it: one class after the other, each until its verdict stands.
    pub fn new(ctx: Arc<Context>) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), judge_all(ctx, receiver))
    }

    /// Asks for the class of that name.
    pub fn judge(&self, name: String) {
        // The receiver is there as long as the controller runs.
        let _ = self.0.send(name);
    }
}

async fn judge_all(ctx: Arc<Context>, mut asked: mpsc::UnboundedReceiver<String>) {
    let mut due: HashMap<String, (Instant, u32)> = HashMap::new();
    loop {
        let next = due.iter().min_by_key(|(_, (at, _))| *at).map(|(name, (at, failures))| (name.clone(), *at, *failures));
        let at = next.as_ref().map_or_else(|| Instant::now() + RECHECK, |(_, at, _)| *at);
        tokio::select! {
            name = asked.recv() => match name {
                Some(name) => {
                    due.insert(name, (Instant::now(), 0));
                }
                None => return,
            },
            () = tokio::time::sleep_until(at) => if let Some((name, _, failures)) = next {
                due.remove(&name);
                if let Some(wait) = judge_one(&ctx, &name, failures).await {
                    due.insert(name, (Instant::now() + wait, failures.saturating_add(1)));
                }
            },
        }
    }
}

/// Judges the class of that name; says when to look again, if by time.
async fn judge_one(ctx: &Context, name: &str, failures: u32) -> Option<Duration> {
    let class = ctx.store.class(name)?;
    match judge(ctx, &class).await {
        Ok(again) => again.then_some(RECHECK),
        Err(error) => {
            if error.class() != Class::Conflict {
                tracing::warn!(class = name, error = error.sentence(), "a SpaceClass could not be judged and is tried again");
            }
            Some(error.retry_after(failures))
        }
    }
}

/// Reasons of `Accepted`.
mod reasons {
    pub(super) const VALID: &str = "Valid";
    pub(super) const INVALID_SPEC: &str = "InvalidSpec";
    pub(super) const ROLE_NOT_BINDABLE: &str = "RoleNotBindable";
}

/// Judges a class and writes the verdict if it is another. Says whether it has to be looked at again by time.
///
/// Of a class that stands accepted in its present generation nothing is asked again, so that a restart writes nothing; but what costs no
/// question is looked at, since it may have been accepted by an older version of this operator.
async fn judge(ctx: &Context, class: &SpaceClass) -> Result<bool, Error> {
    let verdict = class_verdict(class);
    let checked = check_name(&class.name_any()).and_then(|()| check(&class.spec));
    if verdict == ClassVerdict::Accepted && checked.is_ok() {
        return Ok(false);
    }
    let (accepted, reason, message) = match checked {
        Err(problem) => (false, reasons::INVALID_SPEC, problem),
        Ok(()) => match unbindable(&ctx.client, class).await? {
            None => (true, reasons::VALID, "spaces may use this class".to_owned()),
            Some(role) => (false, reasons::ROLE_NOT_BINDABLE, unbindable_message(&role)),
        },
    };
    let same =
        matches!(&verdict, ClassVerdict::Refused(old_reason, old_message) if !accepted && old_reason == reason && *old_message == message);
    if !same {
        write(ctx, class, Wanted { type_: types::ACCEPTED, status: accepted, reason: reason.to_owned(), message }).await?;
    }
    Ok(reason == reasons::ROLE_NOT_BINDABLE)
}

/// The class's name stands in a label of every namespace of it.
fn check_name(name: &str) -> Result<(), String> {
    if names::is_label_value(name) {
        return Ok(());
    }
    Err(format!("the name has {} characters, and a label that carries it takes 63: make the class anew under a shorter name", name.len()))
}

fn unbindable_message(role: &str) -> String {
    format!(
        "the operator may not bind ClusterRole {role}: name another role, or add {role} to the resourceNames of the bind rule in the operator's ClusterRole"
    )
}

/// The first ClusterRole that the operator is not allowed to bind,
/// see <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#restrictions-on-role-binding-creation-or-update>.
async fn unbindable(client: &Client, class: &SpaceClass) -> Result<Option<String>, Error> {
    for role in cluster_roles(&class.spec) {
        let attributes = ResourceAttributes {
            group: Some("rbac.authorization.k8s.io".into()),
            resource: Some("clusterroles".into()),
            verb: Some("bind".into()),
            name: Some(role.clone()),
            ..ResourceAttributes::default()
        };
        if !may(client, attributes).await? {
            return Ok(Some(role));
        }
    }
    Ok(None)
}

async fn write(ctx: &Context, class: &SpaceClass, wanted: Wanted) -> Result<(), Error> {
    let name = class.name_any();
    let old = class.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let conditions = conditions::set(old, &[wanted], class.metadata.generation, ctx.clock.now());
    let patch = json!({
        "metadata": {"resourceVersion": class.resource_version()},
        "status": {"observedGeneration": class.metadata.generation, "conditions": conditions},
    });
    let classes: Api<SpaceClass> = Api::all(ctx.client.clone());
    let answer = classes.patch_status(&name, &patch_params(), &Patch::Merge(patch)).await;
    answer.map(|_| ()).map_err(Error::api(format!("write the status of SpaceClass {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_label_can_carry_is_refused() {
        assert_eq!(check_name(&"a".repeat(63)), Ok(()));
        assert!(check_name(&"a".repeat(64)).unwrap_err().contains("64 characters"));
    }
}
