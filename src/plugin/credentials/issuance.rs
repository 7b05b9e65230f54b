//! A credential that is being issued for a space that is ready, and its lifetime.

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};

use super::request::CredentialRequest;
use crate::{
    access::kubeconfig::Credential,
    api::{DeveloperSpace, duration::Period},
    desired::credential_lifetime::{CredentialBounds, max_lifetime},
    plugin::{cluster::Cluster, format, spaces},
};

/// A credential that is being issued.
#[derive(Clone, Copy)]
pub(super) struct Issuance<'a> {
    /// The cluster that issues it.
    pub(super) cluster: &'a Cluster,
    /// The space, which is ready.
    pub(super) space: &'a DeveloperSpace,
    /// The request for it, which is valid.
    pub(super) request: CredentialRequest<'a>,
}

pub(super) struct IssuedCredential {
    pub(super) credential: Credential,
    /// The time at which the credential expires; `None` if that is not known.
    pub(super) expires_at: Option<DateTime<Utc>>,
}

impl Issuance<'_> {
    /// The lifetime of the credential: at most `max_duration`, the maximum of the class, and the remaining lifetime of
    /// the space.
    pub(super) fn lifetime(&self, max_duration: Option<&str>) -> anyhow::Result<TimeDelta> {
        let Self { cluster, space, request } = *self;
        let bounds = CredentialBounds {
            space: request.space,
            expires_at: spaces::expires_at(space),
            class: request.class_name(),
            max_duration,
        };
        // The lifetime counts from the time of issue, which may be as late as the end of the timeout.
        let timeout = TimeDelta::from_std(request.args.timeout.0).unwrap_or(TimeDelta::zero());
        let sooner = CredentialBounds { expires_at: bounds.expires_at.map(|at| at - timeout), ..bounds };
        let most = max_lifetime(sooner, cluster.now()).or_else(|_| max_lifetime(bounds, cluster.now()))?;
        let Some(Period(wanted)) = request.args.duration else { return Ok(most) };
        let wanted = TimeDelta::from_std(wanted).unwrap_or(TimeDelta::MAX);
        ensure!(
            wanted <= most,
            "--duration exceeds {}, the maximum that the class and the expiry of the space allow",
            format::short_duration(most)
        );
        Ok(wanted)
    }
}
