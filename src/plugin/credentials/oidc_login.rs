//! A login at the identity provider that the API server trusts. Issues nothing: kubectl logs in when it is used.

use super::issuance::{Issuance, IssuedCredential};
use crate::{
    access::{kubeconfig::Credential, oidc},
    api::time::rfc3339,
    plugin::{progress::Progress, spaces},
};

/// The login of the holder.
pub(super) fn issue(issuance: &Issuance<'_>, progress: &Progress) -> anyhow::Result<IssuedCredential> {
    let Issuance { space, request, .. } = *issuance;
    let parameters = request.oidc_parameters()?;
    if let Some(warning) = oidc::subject_warning(&request.holder.subject, &parameters) {
        progress.print(&format!("warning: {warning}"));
    }
    if let Some(at) = spaces::expires_at(space) {
        progress.print(&format!(
            "The login works as long as the identity provider accepts the user; the space expires at {}.",
            rfc3339(at)
        ));
    }
    Ok(IssuedCredential { credential: Credential::Exec(oidc::exec_entry(&parameters)), expires_at: None })
}
