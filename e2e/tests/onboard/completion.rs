//! Completion, asked for by kubectl and by bash themselves.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use e2e::{binaries, command};

use crate::people::RITA;
use crate::stage::Stage;

/// As `docs/plugin.md` says: a program that kubectl looks for, made by the plugin itself.
pub async fn kubectl_completes_words_and_names(stage: &Stage) -> Result<()> {
    let bin = stage.folder("completing")?;
    let program = bin.join("kubectl_complete-dspace");
    fs::write(&program, stage.dspace(RITA, &["completion", "kubectl"]).await?.ok()?)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let cluster = &stage.cluster;
    let path = format!("{}:{}:{}:/usr/bin:/bin", bin.display(), binaries::own_folder()?.display(), cluster.programs().display());
    for (words, expected) in [
        (&["create", "x", "--class", "standar"][..], "standard"),
        (&["mem"], "members\tSay who else may get into a space"),
        (&["onboard", "x", "--auth", "o"], "oidc\tA login at the identity provider that the API server trusts"),
    ] {
        let mut command = tokio::process::Command::new(cluster.programs().join("kubectl"));
        command.env("PATH", &path).env("KUBECONFIG", cluster.kubeconfig()).args(["__complete", "dspace"]).args(words);
        let said = command::run(command, None).await?.ok()?;
        ensure!(said == format!("{expected}\n:4\n"), "{words:?} is completed by {said}");
    }
    Ok(())
}

/// bash takes the script, and its function finds a command.
pub async fn bash_completes(stage: &Stage) -> Result<()> {
    let script = stage.folder("bash")?.join("completion.bash");
    fs::write(&script, stage.dspace(RITA, &["completion", "bash"]).await?.ok()?)?;
    let ask = format!(
        "source {}; COMP_WORDS=(kubectl-dspace mem); COMP_CWORD=1; words=($(complete -p kubectl-dspace)); \
         for i in \"${{!words[@]}}\"; do [ \"${{words[i]}}\" = -F ] && f=${{words[i+1]}}; done; \
         $f kubectl-dspace mem kubectl-dspace; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let mut command = tokio::process::Command::new("bash");
    command.args(["-c", &ask]);
    let said = command::run(command, None).await?.ok()?;
    ensure!(said.trim() == "members", "bash completes mem by {said}");
    Ok(())
}
