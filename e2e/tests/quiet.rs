//! A converged operator writes nothing, not even after a restart. An operator that is killed at any moment reaches the
//! same state as one that is never killed.
//!
//! `E2E_SPACES` and `E2E_QUIET_SECONDS` replace the default of 100 spaces and 20 seconds.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{
    audit::AuditEntry,
    eventually,
    fixtures::{
        World, a_namespace, a_space, condition, ensure_equal, holds, is_observed, name_of, now, run_concurrently,
        sleep_until, space, stays, user,
    },
    scenarios,
};
use futures::future::try_join_all;
use serde_json::{Value, json};

/// Liveness is promised within a minute from the last change and the last fault.
const CONVERGENCE_TIMEOUT: Duration = Duration::from_secs(180);
const CHAOS_SPACES: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn quiet() -> Result<()> {
    let world = World::start(&[]).await?;
    // Each scenario has the operator to itself.
    run_concurrently(scenarios![&world; converged_spaces_cause_no_writes]).await?;
    run_concurrently(scenarios![&world; a_killed_operator_reaches_the_same_state]).await?;
    world.ensure_operator_ready().await
}

fn count_from_env(variable: &str, default: usize) -> Result<usize> {
    std::env::var_os(variable).map_or(Ok(default), |value| {
        let value = value.to_string_lossy().into_owned();
        value.parse().with_context(|| format!("{variable} is {value:?}, which is no number"))
    })
}

fn spec(number: usize) -> Value {
    let members: Vec<Value> =
        (0..number % 4).map(|n| json!({"kind": "User", "name": format!("member-{n}"), "role": "view"})).collect();
    json!({
        "className": "steady", "owner": user(&format!("owner-{number}@example.com")), "members": members,
        "displayName": format!("Number {number}"), "contact": {"team": format!("team-{}", number % 7)},
        // Written differently from the form that the server stores: the operator must compare the values.
        "quota": {"requests.cpu": "1500m", "limits.memory": "1024Mi", "count/configmaps": 10},
    })
}

fn steady_class() -> Value {
    json!({
        "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {
            "hard": {"requests.cpu": "2000m", "limits.memory": "2048Mi", "count/configmaps": 20, "requests.memory": "0.5Gi"},
            "max": {"limits.memory": "1e10"},
        },
        "limitRange": [{"type": "Container", "max": {"cpu": "1000m"}, "default": {"memory": ".5Gi"}, "defaultRequest": {"memory": "64Mi"}}],
        "network": {"allowFromNamespaces": [{"matchExpressions": [{"key": "tier", "operator": "Exists"}]}]},
        "podSecurity": {"enforce": "baseline"},
        "lifetime": {"defaultTTL": "7d", "warnBefore": ["30d"]},
    })
}

async fn converged_spaces_cause_no_writes(world: &World) -> Result<()> {
    let (count, seconds) = (count_from_env("E2E_SPACES", 100)?, count_from_env("E2E_QUIET_SECONDS", 20)?);
    let during = Duration::from_secs(u64::try_from(seconds)?);
    world.create_accepted_class("steady", steady_class()).await?;
    for number in 0..count {
        world.admin().create(&space(&format!("steady-{number}"), spec(number))).await?;
    }
    eventually(
        "all spaces to be ready",
        CONVERGENCE_TIMEOUT.max(Duration::from_secs(u64::try_from(count)?)),
        || async {
            let spaces = world.admin().list("DeveloperSpace", "").await?;
            // A lifetime shorter than its only warning threshold is warned of at once, so no work remains.
            let is_done = |space: &&Value| is_observed(space) && holds(space, "Ready") && holds(space, "Expiring");
            let done = spaces.iter().filter(is_done).count();
            let one = spaces.iter().find(|space| !is_done(space)).map(|space| &space["status"]);
            ensure!(done == count, "{done} of {count} are ready, one is {}", one.unwrap_or(&Value::Null));
            Ok(Some(()))
        },
    )
    .await?;
    ensure_no_writes(world, "converged", during).await?;
    let mut audit = world.cluster().audit_from_now()?;
    world.stop_operator().await?;
    world.start_operator().await?;
    let since_start = World::writes(&mut audit)?;
    ensure!(since_start.is_empty(), "a restart wrote {}", summaries(&since_start));
    ensure_no_writes(world, "restarted", during).await?;
    for number in 0..count {
        world.admin().delete(a_space(&format!("steady-{number}"))).await?;
    }
    eventually("all spaces to be gone", CONVERGENCE_TIMEOUT.max(Duration::from_secs(u64::try_from(count)?)), || async {
        let left = world.admin().list("DeveloperSpace", "").await?.len();
        ensure!(left == 0, "{left} are left");
        Ok(Some(()))
    })
    .await
}

async fn ensure_no_writes(world: &World, what: &str, during: Duration) -> Result<()> {
    // Writes that were under way when the last condition was read are ignored; later writes are not.
    let mut audit = world.cluster().audit_from_now()?;
    let mut before = world.cluster().audit_from_now()?;
    sleep_until(now() + chrono::TimeDelta::seconds(2)).await;
    let last = World::writes(&mut before)?;
    World::writes(&mut audit)?;
    stays(&format!("{what}: no writes (just before: {})", summaries(&last)), during, || {
        let written = World::writes(&mut audit);
        async move {
            let written = written?;
            ensure!(written.is_empty(), "{}", summaries(&written));
            Ok(())
        }
    })
    .await
}

fn summaries(entries: &[AuditEntry]) -> String {
    let lines: Vec<String> = entries.iter().take(20).map(AuditEntry::summary).collect();
    format!("{} writes: {}", entries.len(), lines.join("; "))
}

/// Runs the same user actions twice, undisturbed and under SIGKILL; both runs must end in the same state.
async fn a_killed_operator_reaches_the_same_state(world: &World) -> Result<()> {
    world.create_accepted_class("chaotic", chaotic_class()).await?;
    let undisturbed = async {
        run_user_actions(world, "calm").await?;
        state_at_rest(world, "calm").await
    }
    .await?;

    let ((), killed) = futures::future::try_join(run_user_actions(world, "wild"), kill_repeatedly(world)).await?;
    ensure!(killed >= 3, "the operator was killed {killed} times only");
    world.start_operator().await?;
    let disturbed = state_at_rest(world, "wild").await?;
    ensure_equal(&format!("what remains after {killed} kills"), &disturbed, &undisturbed)?;
    ensure_only_due_namespaces_were_deleted(world)
}

fn chaotic_class() -> Value {
    let mut class = steady_class();
    class["lifetime"] = json!({"defaultTTL": "7d", "maxTTL": "30d", "retainExpired": "1h"});
    class
}

/// Creates and changes spaces, and leaves some to expire, in an order that is the same each time.
async fn run_user_actions(world: &World, prefix: &str) -> Result<()> {
    let admin = world.admin();
    let name = |number: usize| format!("{prefix}-{number:02}");
    for number in 0..CHAOS_SPACES {
        let mut spec = spec(number);
        spec["className"] = json!("chaotic");
        if number % 3 == 0 {
            spec["ttl"] = json!("12s");
        }
        admin.create(&space(&name(number), spec)).await?;
        sleep_until(now() + chrono::TimeDelta::milliseconds(200)).await;
    }
    for number in (0..CHAOS_SPACES).filter(|number| number % 3 == 1) {
        let change = json!({"members": [{"kind": "Group", "name": "late", "role": "edit"}], "quota": {"requests.cpu": "1"}, "contact": null});
        admin.patch(a_space(&name(number)), json!({"spec": change})).await?;
        sleep_until(now() + chrono::TimeDelta::milliseconds(300)).await;
    }
    for number in (0..CHAOS_SPACES).filter(|number| number % 6 == 5) {
        admin.delete(a_space(&name(number))).await?;
    }
    Ok(())
}

/// Kills the operator and starts it again at random moments, until the user actions are complete and the short
/// lifetimes are over.
async fn kill_repeatedly(world: &World) -> Result<usize> {
    let random = RandomState::new();
    let end = now() + chrono::TimeDelta::seconds(20);
    let mut killed = 0;
    while now() < end {
        let pause = 100 + random.hash_one(killed) % 1400;
        sleep_until(now() + chrono::TimeDelta::milliseconds(i64::try_from(pause)?)).await;
        world.kill_operator().await?;
        world.spawn_operator().await?;
        killed += 1;
    }
    world.kill_operator().await?;
    Ok(killed)
}

/// The remaining state of a run once no work remains, with the prefix removed from all names.
async fn state_at_rest(world: &World, prefix: &str) -> Result<Value> {
    let admin = world.admin();
    let mut left: Vec<Value> = eventually(&format!("the end of the story {prefix}"), CONVERGENCE_TIMEOUT, || async {
        let spaces = admin.list("DeveloperSpace", "").await?;
        let spaces: Vec<Value> =
            spaces.into_iter().filter(|space| name_of(space).starts_with(&format!("{prefix}-"))).collect();
        let gone = CHAOS_SPACES / 6;
        ensure!(spaces.len() == CHAOS_SPACES - gone, "{} spaces are left", spaces.len());
        for space in &spaces {
            let over = space["spec"]["ttl"] == "12s";
            // Stalled is the last report: by then the status records the deletion of the namespace.
            let is_ended = condition(space, "Ready")["reason"] == "Expired" && holds(space, "Stalled");
            let done = if over { is_ended } else { holds(space, "Ready") };
            ensure!(done && is_observed(space), "{} is {}", name_of(space), space["status"]);
            if over {
                let namespace = admin.find(a_namespace(name_of(space))).await?;
                ensure!(namespace.is_none(), "the namespace of {} is still there", name_of(space));
            }
        }
        Ok(Some(spaces))
    })
    .await?;
    left.sort_by_key(|space| name_of(space).to_owned());
    let snapshots = try_join_all(left.iter().map(|space| remaining_state(world, space))).await?;
    let text = serde_json::to_string(&snapshots)?.replace(&format!("{prefix}-"), "story-");
    let orphans = admin.list("Namespace", "").await?;
    let orphans = orphans.iter().map(name_of).filter(|name| name.starts_with(&format!("{prefix}-"))).count();
    let living = left.iter().filter(|space| holds(space, "Ready")).count();
    ensure!(orphans == living, "{orphans} namespaces for {living} living spaces");
    Ok(serde_json::from_str(&text)?)
}

async fn remaining_state(world: &World, space: &Value) -> Result<Value> {
    let name = name_of(space);
    let reported = |type_| json!([condition(space, type_)["status"], condition(space, type_)["reason"]]);
    let mut state = json!({
        "name": name, "spec": space["spec"], "finalizers": space["metadata"]["finalizers"], "class": space["status"]["className"],
        "Ready": reported("Ready"), "Expired": reported("Expired"), "Stalled": reported("Stalled"), "Reconciling": reported("Reconciling"),
    });
    if holds(space, "Ready") {
        state["children"] = world.snapshot(name).await?;
        for key in ["developerspace.dev/space-uid", "developerspace.dev/expires-at"] {
            state["children"]["Namespace"]["metadata"]["annotations"][key] = json!("differs");
        }
    }
    Ok(state)
}

/// SAFE: whatever happened to the operator, it deleted only the namespaces of spaces that had expired or were being
/// deleted.
fn ensure_only_due_namespaces_were_deleted(world: &World) -> Result<()> {
    let is_due = |name: &str| {
        let number: Option<usize> = name.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        number.is_some_and(|number| number % 3 == 0 || number % 6 == 5)
    };
    let deletions = World::writes(&mut world.cluster().audit())?
        .into_iter()
        .filter(|entry| entry.verb == "delete" && entry.resource == "namespaces");
    let unexpected: Vec<String> = deletions
        .filter(|entry| !entry.name.starts_with("steady-") && !is_due(&entry.name))
        .map(|entry| entry.summary())
        .collect();
    ensure!(unexpected.is_empty(), "{unexpected:?}");
    Ok(())
}
