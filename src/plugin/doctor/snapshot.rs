//! The objects about one space at one time, as far as the caller may read them. Sends no requests and evaluates nothing.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::ResourceExt as _;

use super::fetched::Look;
use crate::{
    api::{DeveloperSpace, SpaceClass},
    desired::standing::standing,
    plugin::class_in_force::default_class,
};

/// All objects that were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Observed {
    /// The requested name.
    pub(super) name: String,
    pub(super) space: Look<Option<DeveloperSpace>>,
    /// All spaces if there is none with that name; the owner's spaces if the space is refused because of the owner limit.
    pub(super) spaces: Look<Vec<DeveloperSpace>>,
    pub(super) classes: Look<Vec<SpaceClass>>,
    /// The Deployments that may be the operator's.
    pub(super) operator: Look<Vec<Deployment>>,
    pub(super) namespace: Look<Option<Namespace>>,
    pub(super) quotas: Look<Vec<ResourceQuota>>,
    pub(super) limits: Look<Vec<LimitRange>>,
    pub(super) policies: Look<Vec<NetworkPolicy>>,
    pub(super) bindings: Look<Vec<RoleBinding>>,
    pub(super) replica_sets: Look<Vec<ReplicaSet>>,
    pub(super) stateful_sets: Look<Vec<StatefulSet>>,
    pub(super) jobs: Look<Vec<Job>>,
    pub(super) pods: Look<Vec<Pod>>,
    /// The Events with the reason `FailedCreate`.
    pub(super) events: Look<Vec<Event>>,
}

impl Observed {
    /// The class that the spec names, else the class in the status, else the default class. A refusal of the spec is about this class.
    pub(super) fn class(&self) -> Option<&SpaceClass> {
        let space = self.space.found()?;
        let kept = || space.status.as_ref().and_then(|status| status.class_name.as_deref());
        match space.spec.class_name.as_deref().or_else(kept) {
            Some(name) => self.classes.all().iter().find(|class| class.name_any() == name),
            None => default_class(self.classes.all()),
        }
    }

    /// The class in force, which limits the lifetime and the namespace; before the space is admitted to a class, the class that it requests.
    pub(super) fn class_in_force(&self) -> Option<&SpaceClass> {
        match self.space.found().and_then(standing) {
            Some(standing) => self.classes.all().iter().find(|class| class.name_any() == standing.class_name),
            None => self.class(),
        }
    }

    /// Returns true if the namespace is terminating.
    pub(super) fn is_namespace_going(&self) -> bool {
        self.namespace.found().is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
    }
}
