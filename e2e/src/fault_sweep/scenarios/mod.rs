//! Owns the cases that are not about one write: each is a scenario with its own operator.

mod clocks;
mod ends;
mod events;
mod hangs;
mod identity;
mod misoperations;
mod replicas;
mod schema;
mod setting;
mod soak;
mod views;
mod watches;

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use futures::future::LocalBoxFuture;

use super::{
    options::SweepOptions,
    report::{CaseOutcome, Oracle},
};
use crate::Cluster;
pub use setting::Setting;

/// The maximum duration of a scenario, without the soak's own time.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(900);

/// One scenario.
#[derive(Clone)]
pub struct Scenario {
    /// The ID, with the number from the list of guarantees.
    pub id: &'static str,
    /// True if the bounded sweep runs the scenario.
    pub bounded: bool,
    /// The guarantee that a failure of the scenario violates.
    pub oracle: Oracle,
    /// The function of the scenario.
    pub run: fn(Setting) -> LocalBoxFuture<'static, Result<()>>,
}

impl Scenario {
    /// Returns true if the options select the scenario and it did not run before.
    pub fn is_selected(&self, options: &SweepOptions, done: &[CaseOutcome]) -> bool {
        let SweepOptions { case, paths, faults, bounded, no_scenarios, .. } = options;
        let wanted = if case.is_empty() {
            !no_scenarios && paths.is_empty() && faults.is_empty() && (!bounded || self.bounded)
        } else {
            case.iter().any(|id| id == self.id)
        };
        wanted && !done.iter().any(|outcome| outcome.id == self.id)
    }
}

/// Creates scenarios from ID, `bounded`, oracle, and function.
macro_rules! scenarios {
    ($($id:literal $bounded:literal $oracle:ident $run:path),+ $(,)?) => {
        vec![$(Scenario { id: $id, bounded: $bounded, oracle: Oracle::$oracle, run: |setting| Box::pin($run(setting)) }),+]
    };
}

/// All scenarios, in the order in which they run. The last one deletes the CRD, and all spaces with it.
pub fn all() -> Vec<Scenario> {
    scenarios![
        "R5/each-watch-frozen" false Live watches::each_frozen,
        "R5/all-watches-frozen" true Live watches::all_frozen,
        "R5/partition" true Live watches::partition,
        "R4/black-hole" false Live watches::black_hole,
        "R4/reads-that-hang" false Live hangs::reads,
        "R6/gone-in-stream" true Quiet watches::gone_in_stream,
        "R6/gone-on-open" true Quiet watches::gone_on_open,
        "R6/api-server-restart" true Quiet watches::api_server_restart,
        "R6/etcd-compaction" true Quiet watches::compaction,
        "R6/controller-manager-restart" false Quiet watches::controller_manager_restart,
        "R7/stale-view" true Safe views::stale_view,
        "R8/namespace-made-again" true Safe identity::recreated_namespace,
        "R8/space-made-again" true Safe identity::recreated_space,
        "R9/missed-events" true End events::missed,
        "R9/missed-silently" false End events::missed_silently,
        "R9/removed-while-down" true End events::removed_while_down,
        "R10/duplicated-events" true End events::duplicated,
        "R10/reordered-events" true End events::reordered,
        "R10/lagging-kind" false End events::lagging,
        "R11/late-store" true Safe views::late_store,
        "R12/two-operators" true End replicas::two_without_election,
        "R12/gc-beside" true Safe replicas::gc_concurrently,
        "R12/frozen-leader" false Safe replicas::frozen_leader,
        "R14/stuck-terminating" true Live ends::stuck_terminating,
        "R14/stuck-binding" true Live ends::stuck_binding,
        "R14/dead-api-service" false Live ends::dead_api_service,
        "R15/renewals-around-the-seal" true Safe ends::renewals,
        "R15/clock-steps" true Safe clocks::clock_steps,
        "R15/far-ends" true Quiet clocks::far_ends,
        "R17/cascades" true Orph ends::cascades,
        "R20/status-stays-still" true Quiet ends::stays_still,
        "R19/misoperations-of-spaces" false End misoperations::of_spaces,
        "R19/misoperations-of-classes" false End misoperations::of_classes,
        "R18/crd-updated" true Quiet schema::updated,
        "R18/undecodable-objects" true Safe schema::undecodable,
        "R18/crd-removed" true Safe schema::removed,
    ]
}

/// R21, which takes an hour and runs concurrently with all others.
pub fn soak() -> Scenario {
    Scenario { id: "R21/soak", bounded: false, oracle: Oracle::End, run: |setting| Box::pin(soak::soak(setting)) }
}

/// Runs one scenario.
pub async fn run(cluster: &Arc<Cluster>, scenario: &Scenario, options: &SweepOptions) -> CaseOutcome {
    let setting = Setting {
        cluster: cluster.clone(),
        bounded: options.bounded || options.short,
        name: super::case::space_name(scenario.id),
        seed: options.seed,
        soak: options.soak_time(),
        notes: Arc::new(Mutex::default()),
    };
    let begun = Instant::now();
    let ended = tokio::time::timeout(SCENARIO_TIMEOUT + setting.soak, (scenario.run)(setting.clone()))
        .await
        .context("it did not end");
    match ended.and_then(|ended| ended) {
        Ok(()) => CaseOutcome {
            seconds: None,
            detail: [vec![format!("{:.0} s", begun.elapsed().as_secs_f64())], setting.collected_notes()]
                .concat()
                .join("; "),
            ..CaseOutcome::passed(scenario.id.to_owned(), Duration::ZERO)
        },
        Err(error) => CaseOutcome {
            trace: setting.collected_notes(),
            ..CaseOutcome::violated(scenario.id.to_owned(), scenario.oracle, format!("{error:#}"))
        },
    }
}
