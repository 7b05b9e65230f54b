//! The arguments of a command that issues a credential: the authentication method, the validity, and the kubeconfig to
//! write.

use std::path::{Path, PathBuf};

use clap::{ArgAction, Args, ValueEnum};

use crate::{
    access::{kubeconfig, oidc},
    api::duration::Period,
};

#[cfg(test)]
pub(crate) use self::tests::issue_args;

/// The credential, and the kubeconfig that contains it.
#[derive(Clone, Debug, Args)]
pub struct IssueArgs {
    /// The authentication method: a certificate, a login at the identity provider, or a token of a ServiceAccount in
    /// the space (for CI) [default: oidc if the class configures it, otherwise cert, or, for the owner only, token if
    /// the class allows neither]
    #[arg(long, value_enum, value_name = "WAY")]
    pub auth: Option<Auth>,

    /// The kubeconfig to write, readable only by you; - for standard output
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,

    /// Add to FILE if it exists, and set the space as its current context
    #[arg(long)]
    pub merge: bool,

    /// The validity of a certificate or a token: at most the remaining lifetime of the space and the maximum of the
    /// class [default: the maximum]
    #[arg(long, value_name = "DURATION")]
    pub duration: Option<Period>,

    /// With --auth token: the role of the ServiceAccount, one of the roles of the class [default: the role of the user
    /// of the kubeconfig; required for the owner if the class has no role with the ClusterRole of the owner]
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,

    /// Test the kubeconfig before it is written [default: true, except for oidc, which would open a browser]
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    #[arg(default_missing_value = "true")]
    pub check: Option<bool>,

    /// With --auth oidc: the issuer, instead of that of the class
    #[arg(long, value_name = "URL")]
    pub oidc_issuer_url: Option<String>,

    /// With --auth oidc: the client ID, instead of that of the class
    #[arg(long, value_name = "ID")]
    pub oidc_client_id: Option<String>,

    /// With --auth oidc: the prefix of user names in the API server, instead of that of the class
    #[arg(long, value_name = "PREFIX")]
    pub oidc_username_prefix: Option<String>,

    /// With --auth oidc: the prefix of group names in the API server, instead of that of the class
    #[arg(long, value_name = "PREFIX")]
    pub oidc_groups_prefix: Option<String>,

    /// The maximum time to wait for the space, and then for the certificate: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub timeout: Period,
}

/// An authentication method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Auth {
    /// A client certificate from the cluster's certificate authority
    Cert,
    /// A login at the identity provider that the API server trusts
    Oidc,
    /// A token of the ServiceAccount ci in the space
    Token,
}

impl IssueArgs {
    /// The file to write; `None` for standard output.
    pub(super) fn file(&self) -> Option<&Path> {
        (self.output.as_os_str() != "-").then_some(self.output.as_path())
    }

    /// The treatment of the file if it exists.
    pub(super) fn existing(&self) -> kubeconfig::Existing {
        if self.merge { kubeconfig::Existing::Merge } else { kubeconfig::Existing::Replace }
    }

    /// The parameters of the login that override those of the class.
    pub(super) fn oidc_overrides(&self) -> oidc::Overrides {
        oidc::Overrides {
            issuer_url: self.oidc_issuer_url.clone(),
            client_id: self.oidc_client_id.clone(),
            username_prefix: self.oidc_username_prefix.clone(),
            groups_prefix: self.oidc_groups_prefix.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: IssueArgs,
    }

    pub(crate) fn issue_args(words: &str) -> IssueArgs {
        <Line as clap::Parser>::try_parse_from(format!("issue {words}").split_whitespace()).unwrap().args
    }
}
