//! Errors of composing and writing a kubeconfig.

use std::{io, path::PathBuf};

/// The reason why no file is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It exists and is not a kubeconfig for that space alone.
    #[error(
        "{0} exists and is not a kubeconfig for DeveloperSpace {1} only: add to it with --merge, or write another file with -o"
    )]
    Exists(PathBuf, String),
    /// It cannot be read.
    #[error("failed to read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// It is not a kubeconfig.
    #[error("{0} is not a kubeconfig ({1}) and was not changed: write another file with -o")]
    Broken(PathBuf, String),
    /// An entry of that name exists and is not the plugin's.
    #[error("{file} already contains a different {kind} {name:?} and was not changed: write another file with -o")]
    Taken {
        file: PathBuf,
        /// `context` or `user`.
        kind: &'static str,
        /// The name of the entry.
        name: String,
    },
    /// Its cluster entry has another certificate authority.
    #[error(
        "{file} already contains cluster {name:?} with another certificate authority and was not changed: if the authority of the cluster has changed, delete this entry from the file, and run this command again; otherwise, write another file with -o"
    )]
    AnotherAuthority {
        file: PathBuf,
        /// The name of the entry.
        name: String,
    },
    /// It cannot be written.
    #[error("failed to write {0} (nothing was changed)")]
    Write(PathBuf, #[source] io::Error),
    /// The authority's file cannot be read.
    #[error("failed to read the certificate authority {0} of the current kubeconfig")]
    Authority(String, #[source] io::Error),
    /// It cannot be serialised.
    #[error("failed to write a kubeconfig as YAML: {0}")]
    Yaml(String),
}
