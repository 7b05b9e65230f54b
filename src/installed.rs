//! The CRDs that are installed in the cluster. The API server drops fields that a CRD does not have, so an operator
//! that is newer than a CRD would lose its notices and the accepted specs of classes, see
//! <https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning>.

use std::{sync::Arc, time::Duration};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{DynamicObject, ListParams},
    core::ApiResource,
};
use tokio::sync::watch;

use crate::{
    api::{DeveloperSpace, SpaceClass, crd::crds, names, text::some_of, without_managed_fields::WithoutManagedFields},
    runtime::error::Error,
};

/// The time between two attempts while something is missing.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The interval at which the CRDs are read again: another client may replace them by an older version, and no event
/// reports that.
const RECHECK_INTERVAL: Duration = Duration::from_secs(60);

/// The requeue interval of a space while something is missing.
pub(crate) const INCOMPLETE_REQUEUE_INTERVAL: Duration = Duration::from_secs(15);

/// The number of fields that a sentence names.
const MAX_NAMED_FIELDS: usize = 10;

/// The last known state of the installed CRDs. The default is that they have everything.
#[derive(Debug)]
pub struct Installed(watch::Sender<Option<String>>);

impl Default for Installed {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Installed {
    /// The state before the CRDs are read for the first time.
    pub fn unread() -> Self {
        Self(watch::Sender::new(Some("the CustomResourceDefinitions have not been read yet".to_owned())))
    }

    /// A sentence about what is missing; `None` if both CRDs have every field of `status` that this version writes.
    pub fn problem(&self) -> Option<String> {
        self.0.borrow().clone()
    }

    /// Returns true if something is missing. In that case no space and no class is written.
    pub fn has_problem(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until nothing is missing.
    pub async fn complete(&self) {
        let mut state = self.0.subscribe();
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = state.wait_for(Option::is_none).await;
    }

    /// Waits until something is missing, but not longer than `interval`: a write of the status may show it between two
    /// reads of the CRDs.
    async fn problem_within(&self, interval: Duration) {
        let mut state = self.0.subscribe();
        let _ = tokio::time::timeout(interval, state.wait_for(Option::is_some)).await;
    }

    /// Records that the API server dropped those fields of a space: another client has replaced the CRD since it was
    /// read.
    pub fn set_dropped(&self, fields: &[&str]) {
        let fields: Vec<String> = fields.iter().map(|field| format!("{} {field}", DeveloperSpace::kind(&()))).collect();
        self.set(Some(&sentence(&fields)));
    }

    fn set(&self, problem: Option<&str>) {
        let changed = self.0.send_if_modified(|known| {
            let changed = known.as_deref() != problem;
            *known = problem.map(str::to_owned);
            changed
        });
        match problem {
            Some(problem) if changed => tracing::warn!("{problem}"),
            None if changed => {
                tracing::info!("the installed CustomResourceDefinitions have every field that this operator writes");
            }
            Some(_) | None => {}
        }
    }
}

/// Waits until the cluster has both CRDs with every field of `status` that this version writes, and then reads them
/// again every minute. While something is missing, the interval is two seconds.
pub async fn follow(client: Client, installed: Arc<Installed>) {
    await_crds(&client, &installed).await;
    loop {
        installed.problem_within(RECHECK_INTERVAL).await;
        if installed.has_problem() {
            tokio::time::sleep(RETRY_INTERVAL).await;
        }
        check(&client, &installed).await;
    }
}

/// Waits until the cluster has both CRDs with every field of `status` that this version writes.
pub async fn await_crds(client: &Client, installed: &Installed) {
    while let Some(problem) = obstacle(client).await {
        installed.set(Some(&problem));
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    installed.set(None);
}

/// Reads the CRDs. If that fails, the last known state stays.
pub async fn check(client: &Client, installed: &Installed) {
    match lacking(client).await {
        Ok(problem) => installed.set(problem.as_deref()),
        Err(error) => {
            tracing::warn!(
                error = error.sentence(),
                "failed to read the installed CustomResourceDefinitions; retrying"
            );
        }
    }
}

/// The reason why the operator cannot begin to work.
async fn obstacle(client: &Client) -> Option<String> {
    for kind in [ApiResource::erase::<DeveloperSpace>(&()), ApiResource::erase::<SpaceClass>(&())] {
        // No stored object, readable or not, prevents the start of the operator.
        let objects: Api<WithoutManagedFields<DynamicObject>> = Api::all_with(client.clone(), &kind);
        match objects.list(&ListParams::default().limit(1)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                return Some(format!(
                    "the CustomResourceDefinition of {} is not installed: run kubectl apply -k config/crd",
                    kind.kind
                ));
            }
            Err(error) => return Some(Error::api(format!("list {}", kind.plural))(error).sentence()),
        }
    }
    lacking(client).await.unwrap_or_else(|error| Some(error.sentence()))
}

/// Reads the CRDs and returns a sentence about the fields of `status` that they lack. A CRD that does not exist, or
/// that this account is not allowed to read, lacks nothing: the operator works without the permission, which the
/// shipped role has.
pub async fn lacking(client: &Client) -> Result<Option<String>, Error> {
    let definitions: Api<WithoutManagedFields<CustomResourceDefinition>> = Api::all(client.clone());
    let mut fields = Vec::new();
    for ours in crds() {
        let name = ours.name_any();
        match definitions.get_opt(&name).await {
            Ok(Some(WithoutManagedFields(stored))) => {
                let missing = missing_fields(&ours, &stored);
                fields.extend(missing.into_iter().map(|field| format!("{} {field}", ours.spec.names.kind)));
            }
            Ok(None) => {}
            Err(kube::Error::Api(status)) if status.is_forbidden() => {}
            Err(error) => return Err(Error::api(format!("read CustomResourceDefinition {name}"))(error)),
        }
    }
    Ok((!fields.is_empty()).then(|| sentence(&fields)))
}

/// Returns true if the CRD of spaces is being deleted or no longer exists: every space is deleted with it, although no
/// user requested the deletion of the namespaces.
pub(crate) async fn crd_is_going(client: &Client) -> Result<bool, Error> {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crd = crds.get_metadata_opt(names::SPACE_CRD).await;
    let crd = crd.map_err(Error::api(format!("read CustomResourceDefinition {}", names::SPACE_CRD)))?;
    Ok(crd.is_none_or(|crd| crd.metadata.deletion_timestamp.is_some()))
}

fn sentence(fields: &[String]) -> String {
    format!(
        "the installed CustomResourceDefinitions lack fields that this operator writes ({}), and it changes no space and no class until they have them: \
         run kubectl apply -k config/crd",
        some_of(fields, MAX_NAMED_FIELDS, 0)
    )
}

/// The fields of `status` in `ours` that `stored` lacks. A CRD that is being deleted lacks nothing: its objects are
/// deleted too, and the operator has to remove its finalizer.
fn missing_fields(ours: &CustomResourceDefinition, stored: &CustomResourceDefinition) -> Vec<String> {
    let mut missing = Vec::new();
    if let Some(written) = status(ours).filter(|_| stored.metadata.deletion_timestamp.is_none()) {
        compare(written, status(stored), "status", &mut missing);
    }
    missing
}

fn status(crd: &CustomResourceDefinition) -> Option<&JSONSchemaProps> {
    let version = crd.spec.versions.iter().find(|version| version.name == DeveloperSpace::version(&()))?;
    version.schema.as_ref()?.open_api_v3_schema.as_ref()?.properties.as_ref()?.get("status")
}

/// Adds to `missing` the path of each field of `ours` that the API server drops under the schema `theirs`.
fn compare(ours: &JSONSchemaProps, theirs: Option<&JSONSchemaProps>, path: &str, missing: &mut Vec<String>) {
    let Some(theirs) = theirs else { return missing.push(path.to_owned()) };
    if theirs.x_kubernetes_preserve_unknown_fields == Some(true) {
        return;
    }
    let known = theirs.properties.as_ref();
    for (name, field) in ours.properties.iter().flatten() {
        compare(field, known.and_then(|known| known.get(name)), &format!("{path}.{name}"), missing);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The CRD of the kind at that place of [`crds`], without those fields of `status`, each a JSON pointer below its
    /// properties.
    fn without(place: usize, fields: &[&str]) -> CustomResourceDefinition {
        let mut crd = json!(crds()[place]);
        let status = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties").unwrap();
        for field in fields {
            let (parent, name) = field.rsplit_once('/').unwrap();
            assert!(status.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).is_some(), "{field}");
        }
        serde_json::from_value(crd).unwrap()
    }

    #[test]
    fn an_older_crd_is_recognized_by_the_fields_that_it_lacks() {
        for (place, fields, missing) in [
            (0, &["/postponed", "/terms"][..], &["status.postponed", "status.terms"][..]),
            (0, &["/terms/properties/maxLifetime"][..], &["status.terms.maxLifetime"][..]),
            (0, &[][..], &[][..]),
            (1, &["/accepted"][..], &["status.accepted"][..]),
            (1, &[][..], &[][..]),
        ] {
            assert_eq!(missing_fields(&crds()[place], &without(place, fields)), missing);
        }
    }

    #[test]
    fn a_crd_without_the_version_lacks_the_whole_status_and_a_terminating_one_lacks_nothing() {
        let mut older = without(0, &["/terms"]);
        older.metadata.deletion_timestamp = serde_json::from_value(json!("2026-03-04T12:00:00Z")).unwrap();
        assert_eq!(missing_fields(&crds()[0], &older), [""; 0]);
        older.metadata.deletion_timestamp = None;
        older.spec.versions[0].name = "v1alpha0".to_owned();
        assert_eq!(missing_fields(&crds()[0], &older), ["status"]);
    }
}
