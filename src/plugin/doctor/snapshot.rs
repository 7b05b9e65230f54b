//! The objects about one space at one time, as far as the caller may read them. Sends no requests and evaluates
//! nothing.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet, StatefulSet},
    batch::v1::Job,
    core::v1::{Event, LimitRange, Namespace, Pod, ResourceQuota},
    networking::v1::NetworkPolicy,
    rbac::v1::RoleBinding,
};
use kube::ResourceExt as _;

use super::fetched::Fetched;
use crate::{
    api::{DeveloperSpace, SpaceClass},
    desired::standing::standing,
    plugin::class_in_force::default_class,
};

/// All objects that were read.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterSnapshot {
    /// The requested name.
    pub(super) name: String,
    pub(super) space: Fetched<Option<DeveloperSpace>>,
    /// All spaces if there is none with that name; the owner's spaces if the space is refused because of the owner
    /// limit.
    pub(super) spaces: Fetched<Vec<DeveloperSpace>>,
    pub(super) classes: Fetched<Vec<SpaceClass>>,
    /// The Deployments that may be the operator's.
    pub(super) operator: Fetched<Vec<Deployment>>,
    pub(super) namespace: Fetched<Option<Namespace>>,
    pub(super) quotas: Fetched<Vec<ResourceQuota>>,
    pub(super) limits: Fetched<Vec<LimitRange>>,
    pub(super) policies: Fetched<Vec<NetworkPolicy>>,
    pub(super) bindings: Fetched<Vec<RoleBinding>>,
    pub(super) replica_sets: Fetched<Vec<ReplicaSet>>,
    pub(super) stateful_sets: Fetched<Vec<StatefulSet>>,
    pub(super) jobs: Fetched<Vec<Job>>,
    pub(super) pods: Fetched<Vec<Pod>>,
    /// The Events with the reason `FailedCreate`.
    pub(super) events: Fetched<Vec<Event>>,
}

impl ClusterSnapshot {
    /// The class that the spec names, else the class in the status, else the default class. A refusal of the spec is
    /// about this class.
    pub(super) fn class(&self) -> Option<&SpaceClass> {
        let space = self.space.object()?;
        let kept = || space.status.as_ref().and_then(|status| status.class_name.as_deref());
        match space.spec.class_name.as_deref().or_else(kept) {
            Some(name) => self.classes.items().iter().find(|class| class.name_any() == name),
            None => default_class(self.classes.items()),
        }
    }

    /// The class in force, which limits the lifetime and the namespace; before the space is admitted to a class, the
    /// class that it requests.
    pub(super) fn class_in_force(&self) -> Option<&SpaceClass> {
        match self.space.object().and_then(standing) {
            Some(standing) => self.classes.items().iter().find(|class| class.name_any() == standing.class_name),
            None => self.class(),
        }
    }

    /// Returns true if the namespace is terminating.
    pub(super) fn is_namespace_terminating(&self) -> bool {
        self.namespace.object().is_some_and(|namespace| namespace.metadata.deletion_timestamp.is_some())
    }
}
