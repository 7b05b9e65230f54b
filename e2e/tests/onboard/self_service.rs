//! Developers with self-service who use the plugin: they can do everything with their own spaces, and nothing with
//! those of others.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, a_namespace, a_space, expires_at, rbac_subject, uid_of, user},
};
use serde_json::Value;

use crate::{
    newcomer::Newcomer,
    people::{UWE, VERA},
    results::{check_kubeconfig, ensure_nothing_written, error_sentence},
    setup::OnboardingSetup,
};

/// From the creation of a space to its deletion, with no more than the shipped role.
pub(crate) async fn self_service_users_manage_their_own_spaces(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "loom-lab";
    let output = setup.dspace(UWE, &["create", SPACE, "--class", "standard", "--team", "weavers"]).await?.ok()?;
    ensure!(output.contains("ready"), "it says {output}");
    let created = setup.until_ready(SPACE).await?;
    ensure!(created["spec"]["owner"] == user(UWE), "it belongs to {}", created["spec"]["owner"]);
    let listed = setup.dspace(UWE, &["list", "--mine", "-o", "name"]).await?.ok()?;
    ensure!(listed.lines().any(|line| line.ends_with(&format!("/{SPACE}"))), "{UWE} has {listed}");

    setup.dspace(UWE, &["renew", SPACE, "--ttl", "10d"]).await?.ok()?;
    let renewed = setup.until_ready(SPACE).await?;
    ensure!(expires_at(&created)? < expires_at(&renewed)?, "it was not renewed: {}", renewed["status"]);

    let zora = rbac_subject("User", "zora@example.com");
    setup.dspace(UWE, &["members", "add", SPACE, "zora@example.com", "--role", "view"]).await?.ok()?;
    ensure!(subjects(setup, SPACE).await?.contains(&zora), "a member was not let in");
    setup.dspace(UWE, &["members", "remove", SPACE, "zora@example.com"]).await?.ok()?;
    eventually("a member to be out", SOON, || async {
        Ok((!subjects(setup, SPACE).await?.contains(&zora)).then_some(()))
    })
    .await?;

    let file = setup.kubeconfig_path("uwe")?;
    setup.dspace(UWE, &["kubeconfig", SPACE, "--auth", "token", "-o", &file]).await?.ok()?;
    check_kubeconfig(&file, SPACE)?;
    Newcomer::new(setup, &file).ensure_access_only_to(SPACE).await?;

    setup.dspace(UWE, &["delete", SPACE]).await?.ok()?;
    ensure!(setup.admin.find(a_space(SPACE)).await?.is_none(), "the space is still there");
    ensure!(setup.admin.find(a_namespace(SPACE)).await?.is_none(), "its namespace is still there");
    Ok(())
}

/// All subjects of the bindings in a space.
async fn subjects(setup: &OnboardingSetup, space: &str) -> Result<Vec<Value>> {
    let bindings = setup.admin.list("RoleBinding", space).await?;
    Ok(bindings.iter().flat_map(|binding| binding["subjects"].as_array().cloned().unwrap_or_default()).collect())
}

/// The policies refuse, and the plugin explains the reason.
pub(crate) async fn spaces_of_others_cannot_be_changed(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "kiln-lab";
    setup
        .dspace(
            VERA,
            &["create", SPACE, "--class", "standard", "--team", "potters", "--member", "view=arne@example.com"],
        )
        .await?
        .ok()?;
    let before = setup.until_ready(SPACE).await?;
    let file = setup.kubeconfig_path("uwe-at-the-kiln")?;
    for (arguments, expected_text) in [
        (&["renew", SPACE][..], "belongs to User vera@example.com"),
        (&["members", "add", SPACE, UWE, "--role", "edit"], "belongs to User vera@example.com"),
        (&["members", "remove", SPACE, "arne@example.com"], "belongs to User vera@example.com"),
        // Two policies refuse it, and the API server reports either: the space has another owner, and its class allows
        // no transfer.
        (&["transfer", SPACE, UWE], "denied request"),
        (&["delete", SPACE], "belongs to User vera@example.com"),
        (
            &["kubeconfig", SPACE, "--auth", "token", "-o", &file],
            "neither the owner nor a member of DeveloperSpace kiln-lab",
        ),
        (&["kubeconfig", SPACE, "--for", VERA, "--auth", "token", "-o", &file], "forbidden"),
        (&["create", "glaze-lab", "--class", "standard", "--team", "weavers", "--owner", VERA], "is neither"),
        (&["create", "glaze-lab", "--class", "greenhouse"], "you may not use SpaceClass greenhouse"),
    ] {
        let output = setup.dspace(UWE, arguments).await?;
        let sentence = error_sentence(&output).with_context(|| output.command.clone())?;
        ensure!(sentence.contains(expected_text), "`{}`: {sentence}", output.command);
    }
    ensure_nothing_written(&file)?;
    ensure!(setup.admin.find(a_space("glaze-lab")).await?.is_none(), "a space was made all the same");
    let after = setup.until_ready(SPACE).await?;
    ensure!(uid_of(&after) == uid_of(&before) && after["spec"] == before["spec"], "it is now {after}");
    setup.dspace(VERA, &["delete", SPACE]).await?.ok().map(drop)
}
