//! Owners with no more than a certificate can access the space itself once an administrator has allowed owners to do
//! so.

use anyhow::{Context, Result, ensure};
use e2e::fixtures::{a_space, expires_at, text, user};
use serde_json::json;

use crate::{
    newcomer::Newcomer,
    people::RITA,
    results::error_sentence,
    setup::{OnboardingSetup, warns_only_of_the_address},
};

/// The printed command grants the access.
pub(crate) async fn an_owner_reads_and_renews_after_the_printed_command(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "violet-lab";
    let file = setup.kubeconfig_path("viola")?;
    let arguments =
        ["onboard", "viola@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let output = setup.dspace(RITA, &arguments).await?;
    let warnings = output.stderr.clone();
    output.ok()?;
    ensure!(warnings.contains("cannot read and renew DeveloperSpace violet-lab"), "it says {warnings}");
    ensure!(warnings.lines().any(|line| line.trim() == "kubectl apply -k config/self-service"), "it says {warnings}");
    let printed_command =
        warnings.lines().map(str::trim).find(|line| line.starts_with("kubectl create clusterrolebinding"));
    let printed_command = printed_command.with_context(|| format!("no binding is advised: {warnings}"))?;
    let words: Vec<&str> = printed_command.split_whitespace().skip(1).collect();
    setup.cluster.kubectl(&words).await?.ok()?;

    let output = setup.dspace(RITA, &arguments).await?;
    ensure!(warns_only_of_the_address(&output.stderr), "it warns all the same: {}", output.stderr);
    output.ok()?;
    let before = setup.admin.get(a_space(SPACE)).await?;
    let newcomer = Newcomer::new(setup, &file).with_plugin()?;
    let listed = newcomer.kubectl(&["dspace", "list"]).await?;
    ensure!(listed.stderr.contains("You cannot list DeveloperSpaces"), "it says {}", listed.stderr);
    ensure!(listed.ok()?.contains(SPACE), "their own space is not listed");
    newcomer.kubectl(&["get", "dspace", SPACE]).await?.ok()?;
    newcomer.kubectl(&["dspace", "renew", SPACE, "--ttl", "3d"]).await?.ok()?;
    let after = setup.admin.get(a_space(SPACE)).await?;
    ensure!(expires_at(&before)? < expires_at(&after)?, "it was not renewed: {}", text(&after, "/status/expiresAt"));
    newcomer.forbidden(&["get", "dspace"]).await
}

/// The command does not onboard a member into a space of another owner.
pub(crate) async fn a_member_is_not_onboarded_into_a_space_of_another(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "yarrow-dev";
    let member = json!({"kind": "User", "name": "yarrow@example.com", "role": "edit"});
    setup
        .create_ready_space(
            SPACE,
            json!({"className": "greenhouse", "owner": user("mallory@example.com"), "members": [member]}),
        )
        .await?;
    let file = setup.kubeconfig_path("yarrow")?;
    let arguments = ["onboard", "yarrow@example.com", "--class", "greenhouse", "--auth", "cert", "-o", &file];
    let sentence = error_sentence(&setup.dspace(RITA, &arguments).await?)?;
    for words in ["belongs to User:mallory@example.com", "kubectl dspace kubeconfig yarrow-dev", "--name"] {
        ensure!(sentence.contains(words), "{sentence}");
    }
    Ok(())
}
