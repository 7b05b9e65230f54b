//! Kubeconfig files for the users of a space.
//!
//! Files are handled as plain values, so that the entries of other programs stay.

mod cluster_entry;
mod document;
mod error;
mod file;

pub(crate) use self::{
    cluster_entry::{cluster_entry, is_loopback},
    document::{Credential, SpaceUser, document, to_yaml},
    error::Error,
    file::{Existing, check_writable, compose, write},
};
