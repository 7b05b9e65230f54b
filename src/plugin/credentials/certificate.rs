//! A client certificate for a user, and the Event that records it.

use anyhow::anyhow;

use super::{
    certificate_event,
    issuance::{Issuance, IssuedCredential},
};
use crate::{
    access::{certificate, kubeconfig::Credential},
    api::time::rfc3339,
    plugin::{api_error::error_message, class_in_force::ClassInForce, progress::Progress},
};

/// Gets a certificate from the authority of the cluster.
pub(super) async fn issue(issuance: &Issuance<'_>, progress: &mut Progress) -> anyhow::Result<IssuedCredential> {
    let Issuance { cluster, space, request } = *issuance;
    let user = &request.holder.subject.name;
    let terms = request.access().and_then(|access| access.certificate.as_ref());
    let max = terms.and_then(|terms| terms.max_duration.as_deref());
    let organizations = request.class.map(ClassInForce::certificate_organizations).unwrap_or_default();
    let lifetime = issuance.lifetime(max)?;
    let wanted = certificate::CertificateRequest {
        user,
        organizations: &organizations,
        space: request.space,
        lifetime,
        timeout: request.args.timeout.0,
    };
    progress.step(&format!("requesting a certificate for {user}"));
    let issued = certificate::request_certificate(&cluster.client, &wanted, |step| progress.step(&step))
        .await
        .map_err(with_api_message)?;
    let certificate::IssuedCertificate { certificate, key, serial, not_after } = issued;
    let note = format!("a certificate was issued for {user}: serial {serial}, valid until {}", rfc3339(not_after));
    if let Err(error) = certificate_event::record_certificate(cluster, space, &note).await {
        progress.print(&format!(
            "warning: {note}; this could not be recorded in an Event ({}), so keep this line",
            error_message(&error)
        ));
    }
    Ok(IssuedCredential { credential: Credential::Certificate { certificate, key }, expires_at: Some(not_after) })
}

/// Replaces kube's error message with that of the API server.
fn with_api_message(error: certificate::Error) -> anyhow::Error {
    match error {
        certificate::Error::Api(action, source) => anyhow!("failed to {action}: {}", error_message(&source)),
        other => other.into(),
    }
}
