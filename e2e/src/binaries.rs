//! Owns finding programs: this project's next to the running program, the control plane's in the folder that `build.sh`
//! maintains.

use std::{
    env::{current_exe, var_os},
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// The programs that every cluster needs.
pub const CONTROL_PLANE: [&str; 4] = ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"];
/// The additional programs that a cluster needs to run pods.
pub const NODES: [&str; 2] = ["kube-scheduler", "kwok"];

/// The root folder of the repository.
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Returns the folder with this project's programs: the folder of the running program, or its parent for a test, which
/// is in `deps`.
pub fn own_folder() -> Result<PathBuf> {
    let executable = current_exe().context("the path of the running program is unknown")?;
    let folder = executable.parent().context("the running program lies in no folder")?;
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.to_owned())
}

/// Returns the path of one of this project's programs.
pub fn own(name: &str) -> Result<PathBuf> {
    let path = own_folder()?.join(name);
    if !path.is_file() {
        bail!("{name} is not built: run `cargo build --workspace` first (it is looked for at {})", path.display());
    }
    Ok(path)
}

/// Returns the path of the operator: `$DSPACE_OPERATOR_BIN`, or the one that was built next to this program.
pub fn operator() -> Result<PathBuf> {
    match var_os("DSPACE_OPERATOR_BIN").map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => bail!("DSPACE_OPERATOR_BIN names {}, which is no file: build it, or unset it", path.display()),
        None => own("developerspace-operator"),
    }
}

/// Returns the folder with the control plane's programs. Missing programs are built, with progress on standard error.
pub async fn control_plane(names: &[&str]) -> Result<PathBuf> {
    let script = repository().join("e2e/controlplane/build.sh");
    let output = Command::new(&script)
        .args(names)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()
        .await
        .with_context(|| format!("{} could not be run", script.display()))?;
    if !output.status.success() {
        bail!("the control plane could not be built; the lines above say why");
    }
    let stdout = String::from_utf8(output.stdout).context("build.sh printed no text")?;
    Ok(PathBuf::from(stdout.lines().last().context("build.sh printed no folder")?))
}
