//! Checks at the start that the operator has the permissions that it needs: a permission that the manifests lack is
//! reported at once and by name, not by hundreds of spaces that fail one by one.
//!
//! The permission to `bind` is not checked here: it depends on the classes, and the status of each class reports it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    core::v1::ObjectReference,
};
use kube::{Api, Client, api::PostParams};

use super::{error::Error, events::Recorder};
use crate::{api::names, clock::Clock, desired::status::Note, lock::IgnorePoison};

/// Verbs on one resource.
#[derive(Clone, Copy, Debug)]
struct Permission {
    group: &'static str,
    /// The plural, optionally with a subresource: `developerspaces/status`.
    resource: &'static str,
    verbs: &'static [&'static str],
    /// The name of the object, if the permission is about a single object.
    name: Option<&'static str>,
    /// True if the permission is needed only in the operator's own namespace.
    at_home: bool,
}

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];
const CHILDREN: Permission = Permission { group: "", resource: "", verbs: WRITE, name: None, at_home: false };
const DEFINITION: Permission =
    Permission { group: "apiextensions.k8s.io", resource: "customresourcedefinitions", verbs: &["get"], ..CHILDREN };

/// All permissions that `config/rbac` grants, except `bind`.
const NEEDED: [Permission; 14] = [
    Permission {
        group: names::GROUP,
        resource: "developerspaces",
        verbs: &["get", "list", "watch", "patch", "delete", "operate"],
        ..CHILDREN
    },
    Permission { group: names::GROUP, resource: "developerspaces/status", verbs: &["patch"], ..CHILDREN },
    Permission { group: names::GROUP, resource: "spaceclasses", verbs: READ, ..CHILDREN },
    Permission { group: names::GROUP, resource: "spaceclasses/status", verbs: &["patch"], ..CHILDREN },
    Permission { resource: "namespaces", ..CHILDREN },
    Permission { resource: "resourcequotas", ..CHILDREN },
    Permission { resource: "limitranges", ..CHILDREN },
    Permission { group: "networking.k8s.io", resource: "networkpolicies", ..CHILDREN },
    Permission { group: "rbac.authorization.k8s.io", resource: "rolebindings", ..CHILDREN },
    Permission { group: "rbac.authorization.k8s.io", resource: "clusterroles", verbs: &["get"], ..CHILDREN },
    Permission { group: "events.k8s.io", resource: "events", verbs: &["create"], ..CHILDREN },
    Permission { name: Some(names::SPACE_CRD), ..DEFINITION },
    Permission { name: Some(names::CLASS_CRD), ..DEFINITION },
    Permission {
        group: "coordination.k8s.io",
        resource: "leases",
        verbs: &["get", "create", "update"],
        name: None,
        at_home: true,
    },
];

/// The number of permissions that are checked concurrently.
const MAX_CONCURRENT_REVIEWS: usize = 8;

/// The interval at which missing permissions are checked again: an administrator grants them, and no event reports
/// that.
const RECHECK_INTERVAL: Duration = Duration::from_secs(15);

/// The permissions that the operator lacks.
#[derive(Debug, Default)]
pub(crate) struct MissingPermissions(Mutex<Vec<String>>);

impl MissingPermissions {
    /// Each missing permission, as `verb resource.group`, followed by the name of the object if the permission is about
    /// a single object.
    pub(crate) fn list(&self) -> Vec<String> {
        self.0.lock().ignore_poison().clone()
    }

    fn set(&self, missing: Vec<String>) {
        *self.0.lock().ignore_poison() = missing;
    }
}

/// The message about missing permissions, with the remedy.
pub fn sentence(missing: &[String]) -> String {
    format!("the operator is not allowed to {}: apply config/rbac, or grant it these permissions", missing.join(", "))
}

/// Checks the permissions of one account.
pub(crate) struct PermissionCheck {
    /// The client with the account.
    pub client: Client,
    pub clock: Arc<dyn Clock>,
    /// The recorder of Events.
    pub recorder: Recorder,
    /// The namespace that the operator runs in.
    pub home: String,
}

impl PermissionCheck {
    /// Checks all permissions until none is missing. Missing permissions are reported in `known`, in the log and in an
    /// Event about the Deployment.
    pub(crate) async fn run(self, known: Arc<MissingPermissions>) {
        loop {
            match missing(&self.client, &self.home).await {
                Ok(lacking) => {
                    if lacking != known.list() {
                        self.report(&lacking);
                    }
                    let done = lacking.is_empty();
                    known.set(lacking);
                    if done {
                        return;
                    }
                }
                Err(error) => tracing::warn!(
                    error = error.sentence(),
                    "failed to check the permissions of the operator; retrying"
                ),
            }
            tokio::time::sleep(RECHECK_INTERVAL).await;
        }
    }

    fn report(&self, missing: &[String]) {
        let (warning, reason, message) = if missing.is_empty() {
            tracing::info!("the operator has all permissions that it needs");
            (false, "RightsComplete", "the operator has all permissions that it needs".to_owned())
        } else {
            let message = sentence(missing);
            tracing::error!("{message}");
            (true, "RightsMissing", message)
        };
        let regarding = ObjectReference {
            api_version: Some("apps/v1".into()),
            kind: Some("Deployment".into()),
            name: Some(names::OPERATOR.into()),
            namespace: Some(self.home.clone()),
            ..ObjectReference::default()
        };
        self.recorder.record(
            regarding,
            Note { warning, reason: reason.into(), message, in_namespace: false },
            self.clock.now(),
        );
    }
}

async fn missing(client: &Client, home: &str) -> Result<Vec<String>, Error> {
    let asked = stream::iter(questions(home)).map(|(what, attributes)| async move {
        let allowed = may(client, attributes).await?;
        Ok::<_, Error>((!allowed).then_some(what))
    });
    let answers: Vec<Option<String>> = asked.buffered(MAX_CONCURRENT_REVIEWS).try_collect().await?;
    Ok(answers.into_iter().flatten().collect())
}

/// Returns one question for each verb: its text, and the attributes of the access review.
fn questions(home: &str) -> Vec<(String, ResourceAttributes)> {
    let mut all = Vec::new();
    for Permission { group, resource, verbs, name, at_home } in NEEDED {
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let dotted = if group.is_empty() { String::new() } else { format!(".{group}") };
        let object = name.map(|name| format!(" {name}")).unwrap_or_default();
        let place = if at_home { format!(" in {home}") } else { String::new() };
        for verb in verbs {
            let attributes = ResourceAttributes {
                group: Some(group.into()),
                resource: Some(plural.into()),
                subresource: Some(subresource.into()),
                verb: Some((*verb).into()),
                name: name.map(Into::into),
                namespace: at_home.then(|| home.to_owned()),
                ..ResourceAttributes::default()
            };
            all.push((format!("{verb} {resource}{dotted}{object}{place}"), attributes));
        }
    }
    all
}

/// Returns true if the operator has that permission,
/// see <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>.
pub async fn may(client: &Client, attributes: ResourceAttributes) -> Result<bool, Error> {
    let what = format!(
        "check whether the operator may {} {} {}",
        attributes.verb.as_deref().unwrap_or_default(),
        attributes.resource.as_deref().unwrap_or_default(),
        attributes.name.as_deref().unwrap_or_default()
    );
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), non_resource_attributes: None },
        ..SelfSubjectAccessReview::default()
    };
    let answer = Api::<SelfSubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await;
    let answer = answer.map_err(Error::api(what.trim_end().to_owned()))?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// `verb group resource name` of every rule in the manifest.
    fn given(manifest: &str, at_home: bool) -> BTreeSet<(String, bool)> {
        let mut given = BTreeSet::new();
        let strings = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().filter_map(Value::as_str).map(ToOwned::to_owned).collect()
        };
        let documents = manifest.split("\n---\n").map(|document| serde_saphyr::from_str::<Value>(document).unwrap());
        for rule in documents.filter_map(|document| document["rules"].as_array().cloned()).flatten() {
            for group in strings(&rule["apiGroups"]) {
                for resource in strings(&rule["resources"]) {
                    for verb in strings(&rule["verbs"]).into_iter().filter(|verb| verb != "bind") {
                        let names = strings(&rule["resourceNames"]);
                        let names = if names.is_empty() { vec![String::new()] } else { names };
                        given.extend(names.iter().map(|name| (format!("{verb} {group} {resource} {name}"), at_home)));
                    }
                }
            }
        }
        given
    }

    #[test]
    fn what_is_asked_for_is_what_the_manifests_give() {
        let mut shipped = given(include_str!("../../config/rbac/role.yaml"), false);
        shipped.extend(given(include_str!("../../config/rbac/leader-election-role.yaml"), true));
        let asked = NEEDED.iter().flat_map(|permission| {
            let Permission { group, resource, verbs, name, at_home } = *permission;
            verbs.iter().map(move |verb| (format!("{verb} {group} {resource} {}", name.unwrap_or_default()), at_home))
        });
        assert_eq!(asked.collect::<BTreeSet<_>>(), shipped);
    }
}
