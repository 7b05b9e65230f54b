//! Access of users to their spaces: credentials, and the kubeconfigs that contain them. Every request is sent with the
//! caller's own permissions.
//!
//! Decides nothing: [`crate::desired::credential_lifetime`] has the methods that a class allows and the lifetime of a
//! credential.

pub(crate) mod certificate;
mod der;
mod encoding;
pub(crate) mod kubeconfig;
pub(crate) mod oidc;
pub(crate) mod request;
pub(crate) mod token;
