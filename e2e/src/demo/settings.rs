//! Owns the settings of the demo, and the paths below its folder that several parts of the demo use.

use std::path::{Path, PathBuf};

use crate::controlplane::Layout;

/// The settings of the demo.
#[derive(Clone, Debug)]
pub struct DemoSettings {
    /// The folder for the cluster's files, kubeconfigs, logs and process ids.
    pub dir: PathBuf,
    /// The kubeconfig of a cluster to use instead of an embedded one.
    pub kubeconfig: Option<PathBuf>,
}

/// The file with the process ID of the operator.
pub(super) fn operator_pid_file(dir: &Path) -> PathBuf {
    dir.join("operator.pid")
}

/// The files of the embedded cluster.
pub(super) fn cluster_layout(dir: &Path) -> Layout {
    Layout::new(&dir.join("cluster"))
}
