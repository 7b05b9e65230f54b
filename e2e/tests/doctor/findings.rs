//! Owns the runs of `doctor`, its findings, and the commands that it advises.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use e2e::{
    command::Output,
    eventually,
    fixtures::{SOON, World, ensure_equal},
};
use serde_json::{Value, json};

/// The timeout of a finding: doctor reports the cause of a blocked deletion only when the deletion has taken longer
/// than usual.
pub(crate) const FINDING_TIMEOUT: Duration = Duration::from_secs(180);

/// The platform team's account, which may read the cluster and change nothing.
pub(crate) const PLATFORM_TEAM: &str = "watchman";

/// Runs `doctor` as a user with a token.
pub(crate) async fn doctor_as_owner(world: &World, owner: &str, space: &str) -> Result<Output> {
    world.cluster().kubectl_as(owner, &["dspace", "doctor", space, "-o", "json"]).await
}

/// Runs `kubectl dspace` as the platform team.
pub(crate) async fn run_as_platform_team(world: &World, arguments: &[&str]) -> Result<Output> {
    let kubeconfig = world.cluster().dir().join(format!("{PLATFORM_TEAM}.kubeconfig"));
    world.cluster().kubectl_with(&kubeconfig, &[&["dspace"], arguments].concat(), None).await
}

/// Runs `doctor` as the platform team.
pub(crate) async fn doctor_as_platform_team(world: &World, space: &str) -> Result<Output> {
    run_as_platform_team(world, &["doctor", space, "-o", "json"]).await
}

/// The findings, without notes.
pub(crate) fn findings(output: Output) -> Result<Vec<Value>> {
    let report: Value = serde_json::from_str(&output.ok()?)?;
    let all = report.as_array().context("findings are a list")?;
    Ok(all.iter().filter(|finding| finding["severity"] != "note").cloned().collect())
}

/// Waits until the owner's findings, without notes, are the expected ones.
pub(crate) async fn until_findings(world: &World, owner: &str, space: &str, expected: Value) -> Result<()> {
    eventually(&format!("the doctor's word on {space}"), SOON, || async {
        ensure_equal(space, &Value::Array(findings(doctor_as_owner(world, owner, space).await?)?), &expected)?;
        Ok(Some(()))
    })
    .await
}

/// Waits until the platform team's doctor finds a problem that contains all of `words`, and returns its commands.
pub(crate) async fn until_problem(world: &World, name: &str, words: &[&str]) -> Result<Vec<String>> {
    eventually(&format!("the doctor's word on {name}"), FINDING_TIMEOUT, || async {
        let all = findings(doctor_as_platform_team(world, name).await?)?;
        let is_expected = |finding: &&Value| {
            let sentence = finding["sentence"].as_str().unwrap_or_default();
            finding["severity"] == "problem" && words.iter().all(|word| sentence.contains(word))
        };
        let finding = all.iter().find(is_expected).with_context(|| format!("it says {all:#?}"))?;
        let commands = finding["commands"].as_array().context("no commands")?;
        Ok(Some(commands.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    })
    .await
}

/// Runs an advised command unchanged, with the given kubeconfig.
pub(crate) async fn run_advice(world: &World, kubeconfig: &Path, command: &str) -> Result<()> {
    let arguments: Vec<String> = split_words(command)?;
    let (program, arguments) = arguments.split_first().context("there is no command")?;
    ensure!(program == "kubectl", "it advises {command}");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    world.cluster().kubectl_with(kubeconfig, &arguments, None).await?.ok().map(drop)
}

/// Splits a command line into words as a shell does; quotes are the only syntax used here.
fn split_words(line: &str) -> Result<Vec<String>> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().context("there is a word")?.push(letter),
        }
    }
    ensure!(!quoted && !line.contains('\\'), "a shell would take `{line}` in another way");
    Ok(words)
}

pub(crate) fn problem(sentence: &str, commands: &[&str]) -> Value {
    json!({"severity": "problem", "sentence": sentence, "commands": commands})
}

pub(crate) fn warning(sentence: &str, commands: &[&str]) -> Value {
    json!({"severity": "warning", "sentence": sentence, "commands": commands})
}
