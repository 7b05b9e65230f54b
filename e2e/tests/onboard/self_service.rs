//! Developers with self-service who use the plugin: they can do everything with their own spaces, and nothing with those of others.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, a_namespace, a_space, time, uid_of, user},
};
use serde_json::{Value, json};

use crate::{
    judge::{nothing_written, one_sentence, written},
    newcomer::Newcomer,
    people::{UWE, VERA},
    stage::Stage,
};

/// From the creation of a space to its deletion, with no more than the shipped role.
pub async fn people_help_themselves_with_the_plugin(stage: &Stage) -> Result<()> {
    const SPACE: &str = "loom-lab";
    let told = stage.dspace(UWE, &["create", SPACE, "--class", "standard", "--team", "weavers"]).await?.ok()?;
    ensure!(told.contains("ready"), "it says {told}");
    let made = stage.ready(SPACE).await?;
    ensure!(made["spec"]["owner"] == user(UWE), "it belongs to {}", made["spec"]["owner"]);
    let mine = stage.dspace(UWE, &["list", "--mine", "-o", "name"]).await?.ok()?;
    ensure!(mine.lines().any(|line| line.ends_with(&format!("/{SPACE}"))), "{UWE} has {mine}");

    stage.dspace(UWE, &["renew", SPACE, "--ttl", "10d"]).await?.ok()?;
    let renewed = stage.ready(SPACE).await?;
    ensure!(time(&made, "/status/expiresAt")? < time(&renewed, "/status/expiresAt")?, "it was not renewed: {}", renewed["status"]);

    let zora = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "zora@example.com"});
    stage.dspace(UWE, &["members", "add", SPACE, "zora@example.com", "--role", "view"]).await?.ok()?;
    ensure!(subjects(stage, SPACE).await?.contains(&zora), "a member was not let in");
    stage.dspace(UWE, &["members", "remove", SPACE, "zora@example.com"]).await?.ok()?;
    eventually("a member to be out", SOON, || async { Ok((!subjects(stage, SPACE).await?.contains(&zora)).then_some(())) }).await?;

    let file = stage.file("uwe")?;
    stage.dspace(UWE, &["kubeconfig", SPACE, "--auth", "token", "-o", &file]).await?.ok()?;
    written(&file, SPACE)?;
    Newcomer::new(stage, &file).works_there_and_nowhere_else(SPACE).await?;

    stage.dspace(UWE, &["delete", SPACE]).await?.ok()?;
    ensure!(stage.admin.find(a_space(SPACE)).await?.is_none(), "the space is still there");
    ensure!(stage.admin.find(a_namespace(SPACE)).await?.is_none(), "its namespace is still there");
    Ok(())
}

/// All subjects of the bindings in a space.
async fn subjects(stage: &Stage, space: &str) -> Result<Vec<Value>> {
    let bindings = stage.admin.list("RoleBinding", space).await?;
    Ok(bindings.iter().flat_map(|binding| binding["subjects"].as_array().cloned().unwrap_or_default()).collect())
}

/// The policies refuse, and the plugin explains the reason.
pub async fn nobody_helps_themselves_to_what_is_anothers(stage: &Stage) -> Result<()> {
    const SPACE: &str = "kiln-lab";
    stage.dspace(VERA, &["create", SPACE, "--class", "standard", "--team", "potters", "--member", "view=arne@example.com"]).await?.ok()?;
    let before = stage.ready(SPACE).await?;
    let file = stage.file("uwe-at-the-kiln")?;
    for (arguments, says) in [
        (&["renew", SPACE][..], "belongs to User vera@example.com"),
        (&["members", "add", SPACE, UWE, "--role", "edit"], "belongs to User vera@example.com"),
        (&["members", "remove", SPACE, "arne@example.com"], "belongs to User vera@example.com"),
        // Two policies refuse it, and the API server reports either: the space has another owner, and its class allows no transfer.
        (&["transfer", SPACE, UWE], "denied request"),
        (&["delete", SPACE], "belongs to User vera@example.com"),
        (&["kubeconfig", SPACE, "--auth", "token", "-o", &file], "neither the owner nor a member of DeveloperSpace kiln-lab"),
        (&["kubeconfig", SPACE, "--for", VERA, "--auth", "token", "-o", &file], "forbidden"),
        (&["create", "glaze-lab", "--class", "standard", "--team", "weavers", "--owner", VERA], "is neither"),
        (&["create", "glaze-lab", "--class", "greenhouse"], "you may not use SpaceClass greenhouse"),
    ] {
        let output = stage.dspace(UWE, arguments).await?;
        let sentence = one_sentence(&output).with_context(|| output.command.clone())?;
        ensure!(sentence.contains(says), "`{}`: {sentence}", output.command);
    }
    nothing_written(&file)?;
    ensure!(stage.admin.find(a_space("glaze-lab")).await?.is_none(), "a space was made all the same");
    let after = stage.ready(SPACE).await?;
    ensure!(uid_of(&after) == uid_of(&before) && after["spec"] == before["spec"], "it is now {after}");
    stage.dspace(VERA, &["delete", SPACE]).await?.ok().map(drop)
}
