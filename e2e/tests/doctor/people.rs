//! Users: their requests without the consent of the class, and the spelling of their names.

use anyhow::{Result, bail, ensure};
use e2e::fixtures::{World, binding, space, user};
use serde_json::{Value, json};

use crate::{BOB, WATCH, follow, found};

pub async fn a_protection_without_consent_is_told_in_the_survey(world: &World) -> Result<()> {
    const SPACE: &str = "whinchat-lab";
    world.admin().create(&space(SPACE, json!({"className": "plain", "owner": user(BOB), "protected": true}))).await?;
    let kubeconfig = world.cluster().dir().join(format!("{WATCH}.kubeconfig"));
    let all = found(world.cluster().kubectl_with(&kubeconfig, &["dspace", "doctor", "-o", "json"], None).await?)?;
    let told = all.iter().filter(|finding| finding["sentence"].as_str().unwrap_or_default().contains(SPACE));
    let told: Vec<&Value> = told.collect();
    let [finding] = told.as_slice() else { bail!("it says {told:?}") };
    let sentence = finding["sentence"].as_str().unwrap_or_default();
    ensure!(sentence.contains("is protected, and SpaceClass plain does not allow that (lifetime.allowProtected)"), "it says {sentence}");
    follow(world, world.cluster().kubeconfig(), finding["commands"][0].as_str().unwrap_or_default()).await?;
    world.until_ready(SPACE).await.map(drop)
}

/// The plugin supports such users as kubectl does.
pub async fn people_with_letters_beyond_ascii(world: &World) -> Result<()> {
    const SPACE: &str = "juergen-lab";
    const WHO: &str = "jürgen.groß@example.com";
    const GROUP: &str = "Domänen-Benutzer";
    world.admin().create(&binding("Group", GROUP, "developerspace-self-service")).await?;
    world.create_ready_space(SPACE, json!({"className": "plain", "owner": user(WHO)})).await?;
    let group = format!("--as-group={GROUP}");
    let acting = [&format!("--as={WHO}"), group.as_str(), "--as-group=system:authenticated"];
    for command in [&["list"][..], &["renew", SPACE], &["describe", SPACE], &["doctor", SPACE]] {
        let told = world.cluster().kubectl(&[&["dspace"], command, &acting[..]].concat()).await?.ok()?;
        ensure!(told.contains(SPACE), "it says {told}");
    }
    Ok(())
}
