//! What goes wrong: one sentence each, and nothing is written.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};

use crate::stage::{DAVE, Stage, ensure_sentence};

pub async fn each_mistake_is_one_sentence(stage: &Stage) -> Result<()> {
    let file = stage.file("nobody");
    for (arguments, says) in [
        (&["tina@example.com", "--auth", "cert", "--name", "tina-lab", "--duration", "5m"][..], "--duration is less than 10m"),
        (&["tina@example.com", "--auth", "cert", "--name", "tina-lab", "--duration", "3d"], "--duration is more than"),
        (&["Group:botany", "--auth", "cert", "--name", "botany-lab"], "a certificate is a user's"),
        (&["tina@example.com", "--auth", "token", "--name", "Tina"], "metadata.name"),
        (&["system:admin", "--auth", "token", "--name", "tina-two"], "system:"),
        (&["tina@example.com", "--auth", "token", "--name", "kube-tina"], "kube-"),
    ] {
        ensure_sentence(&stage.onboard(DAVE, arguments, &file).await?, says)?;
        ensure!(!file.exists(), "something was written for {arguments:?}");
    }
    let other = ["tina@example.com", "--auth", "token", "--name", "tina-three"];
    let path = file.to_string_lossy().into_owned();
    let absent = stage.dspace(DAVE, &[&["onboard", "-o", &path, "--class", "moon"], &other[..]].concat()).await?;
    ensure_sentence(&absent, "there is no SpaceClass moon")?;
    let may_not = stage.onboard("carol@example.com", &other, &file).await?;
    ensure_sentence(&may_not, "tina-three")?;
    fs::write(&file, "somebody else's")?;
    ensure_sentence(&stage.onboard(DAVE, &other, &file).await?, "--merge")?;
    ensure_sentence(&stage.onboard(DAVE, &[&other[..], &["--merge"]].concat(), &file).await?, "is not a kubeconfig")?;
    ensure!(fs::read_to_string(&file)? == "somebody else's", "the file was touched");
    fs::write(&file, "")?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400))?;
    ensure_sentence(&stage.onboard(DAVE, &[&other[..], &["--merge"]].concat(), &file).await?, "read-only")?;
    let folder = stage.file("no-such-folder").join("config");
    ensure_sentence(&stage.onboard(DAVE, &other, &folder).await?, "No such file or directory")?;
    let gone = stage.dspace(DAVE, &["doctor", "tina-thre"]).await?;
    ensure_sentence(&gone, "there is no DeveloperSpace tina-thre")
}
