//! Users: their requests without the consent of the class, and the spelling of their names.

use anyhow::{Result, bail, ensure};
use e2e::fixtures::{World, binding, space, user};
use serde_json::{Value, json};

use crate::{
    BOB,
    findings::{findings, run_advice, run_as_platform_team},
};

pub(crate) async fn the_survey_reports_a_protection_that_the_class_forbids(world: &World) -> Result<()> {
    const SPACE: &str = "whinchat-lab";
    world.admin().create(&space(SPACE, json!({"className": "plain", "owner": user(BOB), "protected": true}))).await?;
    let all = findings(run_as_platform_team(world, &["doctor", "-o", "json"]).await?)?;
    let about_space: Vec<&Value> =
        all.iter().filter(|finding| finding["sentence"].as_str().unwrap_or_default().contains(SPACE)).collect();
    let [finding] = about_space.as_slice() else { bail!("it says {about_space:?}") };
    let sentence = finding["sentence"].as_str().unwrap_or_default();
    ensure!(
        sentence.contains("is protected, and SpaceClass plain does not allow that (lifetime.allowProtected)"),
        "it says {sentence}"
    );
    run_advice(world, world.cluster().kubeconfig(), finding["commands"][0].as_str().unwrap_or_default()).await?;
    world.until_ready(SPACE).await.map(drop)
}

/// The plugin supports such users as kubectl does.
pub(crate) async fn user_names_beyond_ascii_are_supported(world: &World) -> Result<()> {
    const SPACE: &str = "juergen-lab";
    const OWNER: &str = "jürgen.groß@example.com";
    const GROUP: &str = "Domänen-Benutzer";
    world.admin().create(&binding("Group", GROUP, "developerspace-self-service")).await?;
    world.create_ready_space(SPACE, json!({"className": "plain", "owner": user(OWNER)})).await?;
    let group = format!("--as-group={GROUP}");
    let impersonation = [&format!("--as={OWNER}"), group.as_str(), "--as-group=system:authenticated"];
    for command in [&["list"][..], &["renew", SPACE], &["describe", SPACE], &["doctor", SPACE]] {
        let output = world.cluster().kubectl(&[&["dspace"], command, &impersonation[..]].concat()).await?.ok()?;
        ensure!(output.contains(SPACE), "it says {output}");
    }
    Ok(())
}
