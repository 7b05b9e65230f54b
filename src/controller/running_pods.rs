//! Checks the running pods of a space before it is admitted to another class. Pod Security admission validates pods
//! when they are created. For running pods the API server only returns warnings when the level of their namespace is
//! raised, and it does so in a dry run too, see
//! <https://kubernetes.io/docs/tasks/configure-pod-container/enforce-standards-namespace-labels/>.

use kube::ResourceExt;

use super::{io::Io, namespace};
use crate::{
    api::DeveloperSpace,
    desired::{SpecRefusal, desire, namespace::SeenNamespace, plan::AcceptedSpec, pod_security},
    runtime::error::Error,
};

/// Admits a space whose pods comply with the Pod Security level of the other class, or returns the refusal.
pub(crate) async fn comply(
    io: &Io,
    space: &DeveloperSpace,
    seen: &SeenNamespace,
    accepted: &AcceptedSpec,
) -> Result<Option<SpecRefusal>, Error> {
    let wanted = desire(space, accepted.resolved(), None).namespace.at_least(seen.adopted_security).granted();
    let Some((label, level)) = pod_security::enforced(&wanted.written.labels) else { return Ok(None) };
    if seen.metadata.has_label(label, level) {
        return Ok(None);
    }
    let warnings = namespace::rehearse(io, space, seen, &wanted).await?;
    Ok(pod_security::not_admitted(&accepted.class_name, &space.name_any(), level, &warnings))
}
