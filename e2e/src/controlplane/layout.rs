//! Owns the paths of a cluster's files, and the information that the supervisor prints about the cluster.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The files of one cluster, all below one folder.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The root folder.
    pub dir: PathBuf,
}

impl Layout {
    /// The layout below `dir`.
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// A certificate or key.
    pub fn pki(&self, file: &str) -> PathBuf {
        self.dir.join("pki").join(file)
    }

    /// The log of one process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.dir.join("logs").join(format!("{process}.log"))
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The kubeconfig of a named user or of a component of the control plane.
    pub fn kubeconfig_of(&self, name: &str) -> PathBuf {
        self.dir.join("users").join(format!("{name}.kubeconfig"))
    }

    /// The API server's audit log.
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// The file with the supervisor's process ID.
    pub fn pid_file(&self) -> PathBuf {
        self.dir.join("cluster.pid")
    }
}

/// The information that the supervisor prints, as one line of JSON, when the cluster is ready.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// The API server's address.
    pub server: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// The cluster's folder.
    pub dir: PathBuf,
    /// The folder with the control plane's programs, kubectl among them.
    pub binaries: PathBuf,
    /// The port on which etcd serves plain HTTP.
    pub etcd_port: u16,
    /// The supervisor's process ID.
    pub pid: u32,
}
