//! People who help themselves, without anybody's rights but their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use e2e::fixtures::{class, condition};
use e2e::{binaries, command};
use serde_json::json;

use crate::stage::Stage;

const ALICE: &str = "alice@example.com";
const CAROL: &str = "carol@example.com";

pub async fn people_help_themselves(stage: &Stage) -> Result<()> {
    stage.dspace(ALICE, &["create", "alice-bench", "--class", "standard", "--ttl", "1h", "--team", "payments"]).await?.ok()?;
    let own = stage.dspace(ALICE, &["list", "--mine", "-o", "name"]).await?.ok()?;
    ensure!(own.trim() == "developerspace.developerspace.dev/alice-bench", "her spaces are {own}");
    let renewed = stage.dspace(ALICE, &["renew", "alice-bench", "--ttl", "2h"]).await?.ok()?;
    ensure!(renewed.contains("renewed: expires in 1h59m"), "{renewed}");
    stage.dspace(ALICE, &["members", "add", "alice-bench", "Group:checkout", "--role", "view"]).await?.ok()?;
    let members = stage.dspace(ALICE, &["members", "list", "alice-bench"]).await?.ok()?;
    ensure!(members.contains("Group:checkout"), "{members}");
    for said in ["describe", "tree", "usage", "events", "doctor"] {
        stage.dspace(ALICE, &[said, "alice-bench"]).await?.ok()?;
    }
    let columns = stage.dspace(ALICE, &["list", "alice-bench", "-o", "jsonpath={.spec.owner.name} {.spec.ttl}"]).await?.ok()?;
    ensure!(columns.contains("alice@example.com 2h"), "{columns}");
    for arguments in [
        &["renew", "alice-bench"][..],
        &["members", "add", "alice-bench", CAROL, "--role", "edit"],
        &["transfer", "alice-bench", CAROL],
        &["delete", "alice-bench"],
    ] {
        let output = stage.dspace(CAROL, arguments).await?;
        crate::stage::ensure_sentence(&output, "alice-bench")?;
    }
    let file = stage.file("alice-ci").to_string_lossy().into_owned();
    stage.dspace(ALICE, &["kubeconfig", "alice-bench", "--auth", "token", "-o", &file]).await?.ok()?;
    stage.dspace(ALICE, &["members", "remove", "alice-bench", "Group:checkout"]).await?.ok()?;
    stage.dspace(ALICE, &["delete", "alice-bench", "--dry-run=server"]).await?.ok()?;
    stage.dspace(ALICE, &["delete", "alice-bench"]).await?.ok()?;
    let gone = stage.dspace(ALICE, &["describe", "alice-bench"]).await?;
    crate::stage::ensure_sentence(&gone, "not found")
}

/// kubectl's own completion asks ours.
pub async fn kubectl_completes_names(stage: &Stage) -> Result<()> {
    stage.world.admin().create(&class("orchard", json!({"access": {"methods": ["Token"]}}))).await?;
    let accepted = stage.world.accepted("orchard").await?;
    ensure!(condition(&accepted, "Accepted")["status"] == "True", "{accepted}");
    // As `docs/plugin.md` says: the program that kubectl looks for, made by the plugin itself.
    let script = stage.dspace(ALICE, &["completion", "kubectl"]).await?.ok()?;
    let bin = stage.file("completing");
    fs::create_dir_all(&bin)?;
    fs::write(bin.join("kubectl_complete-dspace"), script)?;
    fs::set_permissions(bin.join("kubectl_complete-dspace"), fs::Permissions::from_mode(0o755))?;
    let cluster = stage.world.cluster();
    let path = format!("{}:{}:{}:/usr/bin:/bin", bin.display(), binaries::own_folder()?.display(), cluster.binaries().display());
    for (words, expected) in [
        (&["create", "x", "--class", "orch"][..], "orchard"),
        (&["mem"], "members\tSay who else may get into a space"),
        (&["onboard", "x", "--auth", "o"], "oidc\tA login at the identity provider that the API server trusts"),
    ] {
        let mut command = tokio::process::Command::new(cluster.binaries().join("kubectl"));
        command.env("PATH", &path).env("KUBECONFIG", cluster.kubeconfig_of(ALICE)).args(["__complete", "dspace"]).args(words);
        let said = command::run(command, None).await?.ok()?;
        ensure!(said == format!("{expected}\n:4\n"), "{words:?} is completed by {said}");
    }
    Ok(())
}

/// bash takes the script, and its function finds a command.
pub async fn bash_completes(stage: &Stage) -> Result<()> {
    let script = stage.file("completion.bash");
    fs::write(&script, stage.dspace(ALICE, &["completion", "bash"]).await?.ok()?)?;
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
