//! R9 and R10: watch events that are lost, duplicated, or delivered later than others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use futures::future::join_all;
use serde_json::json;

use super::{
    Setting,
    setting::{create, create_ready, delete_spaces, state, until_end_state, until_silent, until_state},
    watches::WATCHED_RESOURCES,
};
use crate::{
    fault_sweep::{
        case::space_name,
        dump::dump,
        path::{self, EndState, LifecyclePath, UserAction},
        reference::{Reference, References, run_references},
        rig::Rig,
    },
    fixtures::{SOON, ensure_equal},
    proxy::{Entry, EventFault, EventRule, RuleId, WatchEnd},
    wait::eventually,
};

/// The paths on which the bounded sweep loses, duplicates and reorders events. The whole sweep uses all paths.
const BOUNDED_PATHS: [&str; 9] = [
    "create",
    "update-quota",
    "update-member-removed",
    "class-change",
    "delete",
    "expire",
    "drift-quota-deleted",
    "drift-labels-stripped",
    "drift-namespace-deleted",
];
/// The numbers of the affected events about one space; no watch delivers more than five.
const EVENT_NUMBERS: [u32; 5] = [1, 2, 3, 4, 5];
/// The number of them in the bounded sweep.
const BOUNDED_EVENT_COUNT: usize = 3;
/// The number of paths that run at once, each many times.
const MAX_CONCURRENT_PATHS: usize = 6;

/// One run: a path, and the nth event of one resource about its space.
struct EventRun {
    path: LifecyclePath,
    resource: &'static str,
    nth: u32,
    name: String,
}

/// Groups the paths into batches that run at once.
fn path_batches(setting: &Setting) -> Vec<Vec<LifecyclePath>> {
    let paths: Vec<LifecyclePath> =
        path::all().into_iter().filter(|path| !setting.bounded || BOUNDED_PATHS.contains(&path.name)).collect();
    paths
        .chunks(if setting.bounded { paths.len() } else { MAX_CONCURRENT_PATHS })
        .map(<[LifecyclePath]>::to_vec)
        .collect()
}

/// Returns the runs of these paths, and the result of an undisturbed run of each path.
async fn runs(setting: &Setting, rig: &Rig, paths: &[LifecyclePath]) -> Result<(Vec<EventRun>, References)> {
    let prefix = setting.name.trim_start_matches("sweep-");
    let (references, failed) = run_references(rig, &format!("{prefix}-"), paths).await;
    ensure!(failed.is_empty(), "the undisturbed runs failed: {}", failed[0].detail);
    let numbers = &EVENT_NUMBERS[..if setting.bounded { BOUNDED_EVENT_COUNT } else { EVENT_NUMBERS.len() }];
    let places = paths.iter().flat_map(|path| {
        WATCHED_RESOURCES.iter().flat_map(move |resource| numbers.iter().map(move |nth| (path, *resource, *nth)))
    });
    // Only one path edits a class.
    let runs = places.filter(|(path, resource, _)| *resource != "spaceclasses" || path.name == "class-edit").map(
        |(path, resource, nth)| {
            let name = space_name(&format!("{prefix}-{}-{resource}-{nth}", path.name));
            EventRun { path: path.clone(), resource, nth, name }
        },
    );
    Ok((runs.collect(), references))
}

/// Prepares the space, adds the rule of the fault, and performs the actions. Returns the number of the first request
/// under the rule, and the rule.
async fn act_with_fault(rig: &Rig, run: &EventRun, fault: EventFault) -> Result<(usize, RuleId)> {
    rig.prepare(&run.name, &run.path).await?;
    rig.proxy.restart_count(&run.name);
    let rule = rig.proxy.add_event_rule(EventRule {
        space: run.name.clone(),
        resource: Some(run.resource.to_owned()),
        nth: Some(run.nth),
        fault,
    });
    let from = rig.proxy.journal().len();
    for action in &run.path.actions {
        rig.perform(&run.name, action).await?;
    }
    Ok((from, rule))
}

/// Waits until the space is in the end state of an undisturbed run.
async fn until_reference_state(rig: &Rig, run: &EventRun, reference: &Reference) -> Result<()> {
    let wanted = |objects: &_| ensure_equal(&run.name, &dump(&run.name, objects), &reference.end);
    rig.view.until("to be as in the undisturbed run", &run.name, SOON, wanted).await.map(drop)
}

/// An event is lost, and its watch later restarts with a list. An API server loses events in this way.
pub(super) async fn missed(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    check_missed(&setting, &rig, Some(WatchEnd::Gone)).await
}

/// An event is lost and no watch breaks: only the periodic relist of the operator can reveal it.
pub(super) async fn missed_silently(setting: Setting) -> Result<()> {
    let rig = setting.rig("relisting", &["--relist-period", "20s"]).await?;
    rig.start().await?;
    check_missed(&setting, &rig, None).await
}

async fn check_missed(setting: &Setting, rig: &Rig, later: Option<WatchEnd>) -> Result<()> {
    for paths in path_batches(setting) {
        check_missed_on(setting, rig, &paths, later).await?;
    }
    Ok(())
}

async fn check_missed_on(setting: &Setting, rig: &Rig, paths: &[LifecyclePath], later: Option<WatchEnd>) -> Result<()> {
    let (runs, references) = runs(setting, rig, paths).await?;
    let acted = join_all(runs.iter().map(|run| act_with_fault(rig, run, EventFault::Drop))).await;
    for (run, acted) in runs.iter().zip(&acted) {
        ensure!(acted.is_ok(), "{} {} {}: {acted:?}", run.path.name, run.resource, run.nth);
    }
    if let Some(end) = later {
        until_lost(rig, &runs, &acted, &references).await?;
        rig.proxy.end_watches(None, end);
    }
    check_runs(rig, &runs, &references).await?;
    clean_up(rig, runs, acted).await
}

/// Waits until each event was lost, or its space has reached its end state without it. A space with neither is stuck,
/// and the list has to repair it.
async fn until_lost(
    rig: &Rig,
    runs: &[EventRun],
    acted: &[Result<(usize, RuleId)>],
    references: &References,
) -> Result<()> {
    let is_over = |(run, acted): (&EventRun, &Result<(usize, RuleId)>)| {
        let lost =
            acted.as_ref().is_ok_and(|(_, rule)| rig.proxy.progress(*rule).is_some_and(|progress| progress.hits > 0));
        let ended = || {
            references
                .get(run.path.name)
                .is_some_and(|reference| dump(&run.name, &rig.view.objects(&run.name)) == reference.end)
        };
        lost || ended()
    };
    let lost = eventually("the events to be lost", SOON, || async {
        let left = runs.iter().zip(acted).filter(|pair| !is_over(*pair)).count();
        ensure!(left == 0, "{left} of {} are not over", runs.len());
        Ok(Some(()))
    });
    // An event that a path does not have is never lost, and the loss of an earlier event may prevent another one.
    let _ = lost.await;
    // The last responses are still under way.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(())
}

/// Removes the spaces, without any faults.
async fn clean_up(rig: &Rig, runs: Vec<EventRun>, acted: Vec<Result<(usize, RuleId)>>) -> Result<()> {
    for (_, rule) in acted.into_iter().flatten() {
        rig.proxy.remove_rule(rule);
    }
    let names: Vec<String> = runs.into_iter().map(|run| run.name).collect();
    delete_spaces(rig, &names).await
}

/// Waits until all runs have ended, and then until nothing is written.
async fn check_runs(rig: &Rig, runs: &[EventRun], references: &References) -> Result<()> {
    let checked = join_all(runs.iter().map(|run| async {
        let outcome = match references.get(run.path.name) {
            Some(reference) => until_reference_state(rig, run, reference).await,
            None => Ok(()),
        };
        outcome.err().map(|error| format!("{}, event {} of {}: {error:#}", run.path.name, run.nth, run.resource))
    }))
    .await;
    let failures: Vec<String> = checked.into_iter().flatten().collect();
    ensure!(failures.is_empty(), "{} of {}: {}", failures.len(), runs.len(), failures.join("\n  "));
    until_silent(rig, rig.proxy.journal().len(), Duration::from_secs(4)).await
}

/// An event arrives twice.
pub(super) async fn duplicated(setting: Setting) -> Result<()> {
    check_writes(&setting, EventFault::Duplicate).await
}

/// An event is overtaken by later events about the same object and about others.
pub(super) async fn reordered(setting: Setting) -> Result<()> {
    check_writes(&setting, EventFault::Late).await
}

/// Verifies that every space reaches its end state, and that the fault causes no additional writes.
async fn check_writes(setting: &Setting, fault: EventFault) -> Result<()> {
    let rig = setting.running_rig().await?;
    for paths in path_batches(setting) {
        check_writes_on(setting, &rig, &paths, fault).await?;
    }
    Ok(())
}

async fn check_writes_on(setting: &Setting, rig: &Rig, paths: &[LifecyclePath], fault: EventFault) -> Result<()> {
    let (runs, references) = runs(setting, rig, paths).await?;
    let acted = join_all(runs.iter().map(|run| act_with_fault(rig, run, fault))).await;
    check_runs(rig, &runs, &references).await?;
    let mut failures = vec![];
    for (run, acted) in runs.iter().zip(&acted) {
        let Ok((from, _)) = acted else { anyhow::bail!("{} {}: {acted:?}", run.path.name, run.resource) };
        let written = rig.proxy.journal().writes_of(&run.name, *from);
        let done = written.iter().filter(|entry| entry.was_done()).count();
        let usual = references.get(run.path.name).map_or(0, |reference| reference.writes);
        // The API server may mistake a namespace that was created again for the terminating one. The operator reports
        // the refusal in one additional write.
        let refusals = usize::from(written.iter().any(|entry| entry.served == Some(403)));
        if done > usual + refusals + reported_waits(&written) {
            let lines: Vec<String> = written.iter().map(Entry::line).collect();
            failures.push(format!(
                "{} with event {} of {} {fault:?}: {done} writes instead of {usual}: {}",
                run.path.name,
                run.nth,
                run.resource,
                lines.join("; ")
            ));
        }
    }
    ensure!(failures.is_empty(), "{} of {}: {}", failures.len(), runs.len(), failures.join("\n  "));
    clean_up(rig, runs, acted).await
}

/// The time after which a quota that is not enforced yet is reported, by an additional write: kube-controller-manager
/// can be slow.
const UNREPORTED: Duration = Duration::from_secs(5);

/// The number of reports of a wait for a quota that these writes may contain.
fn reported_waits(written: &[Entry]) -> usize {
    let created = |resource: &'static str| {
        let is_it = move |entry: &&Entry| {
            entry.was_done() && entry.request_info.verb == "create" && entry.request_info.resource == resource
        };
        written.iter().filter(is_it).map(|entry| entry.instant)
    };
    let waited =
        |quota: Instant| created("rolebindings").find(|binding| *binding > quota).map(|binding| binding - quota);
    created("resourcequotas").filter(|quota| waited(*quota).is_some_and(|waited| waited >= UNREPORTED)).count()
}

/// Objects are deleted and changed while no operator runs.
pub(super) async fn removed_while_down(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    let acts = [
        UserAction::Delete("ResourceQuota", "developerspace"),
        UserAction::Delete("LimitRange", "developerspace"),
        UserAction::Delete("NetworkPolicy", "developerspace-isolation"),
        UserAction::Delete("RoleBinding", "developerspace-owner"),
        UserAction::Delete("Namespace", "$NAME"),
        UserAction::Patch("RoleBinding", "developerspace-view", json!({"subjects": []})),
        UserAction::Patch("Namespace", "$NAME", json!({"metadata": {"labels": {"developerspace.dev/space": null}}})),
        UserAction::Patch("ResourceQuota", "developerspace", json!({"spec": {"hard": {"pods": "1"}}})),
        UserAction::Delete("DeveloperSpace", "$NAME"),
    ];
    let names = setting.names(acts.len());
    create_ready(&rig, &names, json!({})).await?;
    let before: Vec<_> = names.iter().map(|name| state(&rig, name)).collect();
    rig.terminate().await?;
    for (name, act) in names.iter().zip(&acts) {
        rig.perform(name, act).await?;
    }
    rig.start().await?;
    for (name, before) in names.iter().zip(&before).take(acts.len() - 1) {
        until_state(&rig, name, before).await?;
    }
    until_end_state(&rig, &names[acts.len() - 1], EndState::Gone).await?;
    until_silent(&rig, rig.proxy.journal().len(), Duration::from_secs(3)).await?;
    delete_spaces(&rig, &names).await
}

/// The events of one kind arrive later than those of all others, but before the operator's read timeout ends the watch
/// (30 s of silence).
pub(super) async fn lagging(setting: Setting) -> Result<()> {
    let rig = setting.running_rig().await?;
    for resource in WATCHED_RESOURCES {
        rig.proxy.network(|network| network.lag = HashMap::from([(resource.to_owned(), setting.duration(5, 15))]));
        let setting = Setting { name: format!("{}-{resource}", setting.name), ..setting.clone() };
        let names = setting.names(2);
        let from = rig.proxy.journal().len();
        for name in &names {
            create(&rig, name, json!({})).await?;
        }
        for name in &names {
            rig.ready(name).await?;
        }
        rig.perform(&names[0], &UserAction::Delete("LimitRange", "developerspace")).await?;
        until_silent(&rig, from, setting.duration(8, 40)).await?;
        until_state(&rig, &names[0], &state(&rig, &names[1])).await?;
        let written = rig.proxy.journal().writes_of(&names[1], from);
        let (done, waits) = (written.iter().filter(|entry| entry.was_done()).count(), reported_waits(&written));
        ensure!(done == 8 || done == 8 + waits, "with {resource} late a space cost {done} writes instead of 8");
        delete_spaces(&rig, &names).await?;
    }
    Ok(())
}
