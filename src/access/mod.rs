//! Access of users to their spaces: credentials, and the kubeconfigs that contain them. Every request is sent with the caller's own permissions.
//!
//! Decides nothing: [`crate::desired::credential_lifetime`] has the methods that a class allows and the lifetime of a credential.

pub mod certificate;
mod der;
mod encoding;
pub mod kubeconfig;
pub mod oidc;
pub mod request;
pub mod token;
