//! Owners with no more than a certificate can access the space itself once an administrator has allowed owners to do so.

use anyhow::{Context, Result, ensure};
use e2e::fixtures::{a_space, text, time, user};
use serde_json::json;

use crate::{
    judge::one_sentence,
    newcomer::Newcomer,
    people::RITA,
    stage::{Stage, warns_of_its_address_only},
};

/// The printed command grants the access.
pub async fn an_owner_reads_and_renews_after_the_printed_command(stage: &Stage) -> Result<()> {
    const SPACE: &str = "violet-lab";
    let file = stage.file("viola")?;
    let arguments = ["onboard", "viola@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let output = stage.dspace(RITA, &arguments).await?;
    let warned = output.stderr.clone();
    output.ok()?;
    ensure!(warned.contains("cannot read and renew DeveloperSpace violet-lab"), "it says {warned}");
    ensure!(warned.lines().any(|line| line.trim() == "kubectl apply -k config/self-service"), "it says {warned}");
    let printed = warned.lines().map(str::trim).find(|line| line.starts_with("kubectl create clusterrolebinding"));
    let printed = printed.with_context(|| format!("no binding is advised: {warned}"))?;
    let words: Vec<&str> = printed.split_whitespace().skip(1).collect();
    stage.cluster.kubectl(&words).await?.ok()?;

    let output = stage.dspace(RITA, &arguments).await?;
    ensure!(warns_of_its_address_only(&output.stderr), "it warns all the same: {}", output.stderr);
    output.ok()?;
    let before = stage.admin.get(a_space(SPACE)).await?;
    let newcomer = Newcomer::new(stage, &file).with_the_plugin()?;
    let listed = newcomer.kubectl(&["dspace", "list"]).await?;
    ensure!(listed.stderr.contains("You cannot list DeveloperSpaces"), "it says {}", listed.stderr);
    ensure!(listed.ok()?.contains(SPACE), "their own space is not listed");
    newcomer.kubectl(&["get", "dspace", SPACE]).await?.ok()?;
    newcomer.kubectl(&["dspace", "renew", SPACE, "--ttl", "3d"]).await?.ok()?;
    let after = stage.admin.get(a_space(SPACE)).await?;
    ensure!(
        time(&before, "/status/expiresAt")? < time(&after, "/status/expiresAt")?,
        "it was not renewed: {}",
        text(&after, "/status/expiresAt")
    );
    newcomer.forbidden(&["get", "dspace"]).await
}

/// The command does not onboard a member into a space of another owner.
pub async fn a_member_is_not_onboarded_into_a_space_of_another(stage: &Stage) -> Result<()> {
    const SPACE: &str = "yarrow-dev";
    let member = json!({"kind": "User", "name": "yarrow@example.com", "role": "edit"});
    stage.create_ready_space(SPACE, json!({"className": "greenhouse", "owner": user("mallory@example.com"), "members": [member]})).await?;
    let file = stage.file("yarrow")?;
    let arguments = ["onboard", "yarrow@example.com", "--class", "greenhouse", "--auth", "cert", "-o", &file];
    let sentence = one_sentence(&stage.dspace(RITA, &arguments).await?)?;
    for words in ["belongs to User:mallory@example.com", "kubectl dspace kubeconfig yarrow-dev", "--name"] {
        ensure!(sentence.contains(words), "{sentence}");
    }
    Ok(())
}
