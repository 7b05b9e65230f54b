//! One sweep by hand or by a `CronJob`: it takes the controller's decisions, stops at its limit, and touches no other
//! objects.

mod annotated;
mod spaces;

use anyhow::{Context, Result, ensure};
use e2e::{
    command::Output,
    fixtures::{World, run_concurrently},
    operator, scenarios,
};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn gc() -> Result<()> {
    let world = World::start(&[]).await?;
    // One after the other: each scenario decides whether the operator runs during the sweep.
    run_concurrently(scenarios![&world; wrong_usage_exits_with_2]).await?;
    run_concurrently(scenarios![&world; spaces::a_sweep_deletes_due_namespaces]).await?;
    run_concurrently(scenarios![&world; spaces::a_failed_deletion_exits_with_1]).await?;
    run_concurrently(scenarios![&world; spaces::forged_ownership_metadata_deletes_nothing]).await?;
    run_concurrently(scenarios![&world; annotated::the_documented_account_may_delete_due_spaces]).await?;
    run_concurrently(scenarios![&world; annotated::annotated_namespaces_are_opted_in]).await?;
    run_concurrently(scenarios![&world; spaces::a_sweep_and_the_controller_run_concurrently]).await?;
    world.ensure_operator_ready().await
}

/// The name and the result of each object in the output of a sweep with `-o json`.
fn results(output: &Output) -> Result<Vec<(String, String)>> {
    let report: Value = serde_json::from_str(&output.stdout)
        .with_context(|| format!("`{}` printed {}{}", output.command, output.stdout, output.stderr))?;
    let items = report["items"].as_array().context("the sweep has no items")?;
    let text = |item: &Value, key: &str| item[key].as_str().unwrap_or_default().to_owned();
    Ok(items.iter().map(|item| (text(item, "name"), text(item, "result"))).collect())
}

fn ensure_exit(output: &Output, code: i32) -> Result<()> {
    ensure!(
        output.code == Some(code),
        "`{}` ended with {:?}: {}{}",
        output.command,
        output.code,
        output.stdout,
        output.stderr
    );
    Ok(())
}

async fn wrong_usage_exits_with_2(world: &World) -> Result<()> {
    for arguments in [
        &["--max-deletions", "lots"][..],
        &["--max-deletions", "-1"],
        &["--output", "yaml"],
        &["--compat", "janitor"],
        &["--force"],
    ] {
        let output = operator::gc(world.cluster(), arguments).await?;
        ensure_exit(&output, 2)?;
        ensure!(!output.stderr.is_empty(), "`{}` says nothing", output.command);
    }
    Ok(())
}
