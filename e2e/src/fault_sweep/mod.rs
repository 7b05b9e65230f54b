//! Owns the fault sweep: every write of every life-cycle path meets every fault, and must end where an undisturbed run
//! ends.
//!
//! `docs/reliability/README.md` describes the sweep and its result.

pub mod case;
pub mod cluster_view;
pub mod dump;
pub mod faults;
pub mod options;
pub mod path;
pub mod progress;
pub mod reference;
pub mod report;
pub mod rig;
pub mod safety;
pub mod scenarios;

mod batch;
mod crash;
mod gc;
mod restarter;
mod run;

use std::{
    collections::{BTreeMap, HashSet},
    time::Instant,
};

use anyhow::{Result, ensure};

use case::Case;
use faults::CaseCost;
pub use options::SweepOptions;
use path::LifecyclePath;
use progress::SweepProgress;
use reference::{References, run_references};
pub use report::SweepReport;
use report::{CaseOutcome, Oracle};
use rig::Rig;
use scenarios::Scenario;

use crate::revision::stamp;

/// Runs the cases that `options` select. Violations are part of the report and not an error; an error means that the
/// sweep could not run.
pub async fn run(options: &SweepOptions) -> Result<SweepReport> {
    let begun = Instant::now();
    // Read at the start: later changes of the code do not affect what runs.
    let (commit, day) = stamp().await;
    let before = options.resumed_report()?;
    let rig = Rig::new(rig::cluster().await?, "sweep", &[]).await?;
    rig.start().await?;
    let paths: Vec<LifecyclePath> = path::all().into_iter().filter(|path| options.selects_path(path.name)).collect();
    let (references, failed) = run_references(&rig, "", &paths).await;
    let cases = plan(options, &paths, &references, &before.outcomes);
    let wanted = |scenario: &Scenario| scenario.is_selected(options, &before.outcomes);
    let scenarios: Vec<Scenario> = scenarios::all().into_iter().filter(wanted).collect();
    let soak = Some(scenarios::soak()).filter(wanted);
    let nothing = cases.is_empty()
        && scenarios.is_empty()
        && soak.is_none()
        && failed.is_empty()
        && !options.selects_path(path::gc().name);
    ensure!(!nothing, "nothing is left to run: no case fits --case, --paths, --faults or --resume");
    let total = failed.len() + cases.len() + scenarios.len() + usize::from(soak.is_some());
    let progress = SweepProgress::new(total, before.clone(), options.report_file());
    progress.print_line(&format!(
        "{} cases, those of gc apart, and {} scenarios",
        cases.len(),
        scenarios.len() + usize::from(soak.is_some())
    ));
    for outcome in &failed {
        progress.record(outcome);
    }
    let (crashing, others): (Vec<Case>, Vec<Case>) =
        cases.into_iter().partition(|case| case.kind.cost == CaseCost::Process);
    let sweep_run = SweepRun { options, references: &references, done: &ids(&before.outcomes), progress: &progress };
    let (concurrent, sequential, of_scenarios, of_soak) = tokio::try_join!(
        batch::run_all(&rig, &others, &references, options.quiet_time(), &progress),
        sweep_run.crashes(&crashing),
        sweep_run.scenarios(&scenarios),
        sweep_run.scenarios(soak.as_slice()),
    )?;
    rig.ensure_alive().await?;
    let mut report = SweepReport { outcomes: before.outcomes, writes: writes(&references), ..SweepReport::default() };
    report.outcomes.extend(failed.into_iter().chain(concurrent).chain(sequential).chain(of_scenarios).chain(of_soak));
    report.minutes = before.minutes + (begun.elapsed().as_secs_f64() / 6.0).round() / 10.0;
    report.commit = if before.commit.is_empty() || before.commit == commit {
        commit
    } else {
        format!("{}, then {commit}", before.commit)
    };
    report.day = day;
    report.compute_totals();
    Ok(report)
}

/// The data that the parts of a sweep share.
struct SweepRun<'a> {
    options: &'a SweepOptions,
    references: &'a References,
    done: &'a HashSet<&'a str>,
    progress: &'a SweepProgress,
}

impl SweepRun<'_> {
    /// Runs the cases that end the operator, one after another, and then the cases of `gc`, on a separate cluster.
    async fn crashes(&self, crashing: &[Case]) -> Result<Vec<CaseOutcome>> {
        let Self { options, references, done, progress } = self;
        let includes_gc = options.selects_path(path::gc().name);
        if crashing.is_empty() && !includes_gc {
            return Ok(vec![]);
        }
        // The same identity every time, so that the operator takes over the lease of a killed one at once.
        let rig = Rig::new(rig::cluster().await?, "crash", &["--leader-elect", "--identity", "sweep"]).await?;
        rig.start().await?;
        let mut outcomes = crash::run_all(&rig, crashing, references, options.quiet_time(), progress).await?;
        if includes_gc {
            let wanted = |case: &Case| options.selects(case) && !done.contains(case.id().as_str());
            let of_gc = gc::run_all(&rig, wanted, options.quiet_time(), progress).await;
            outcomes.extend(of_gc.unwrap_or_else(|error| {
                vec![CaseOutcome::violated("gc/reference".to_owned(), Oracle::End, format!("{error:#}"))]
            }));
        }
        rig.kill().await?;
        Ok(outcomes)
    }

    /// Runs the scenarios one after another, on a separate cluster.
    async fn scenarios(&self, scenarios: &[Scenario]) -> Result<Vec<CaseOutcome>> {
        if scenarios.is_empty() {
            return Ok(vec![]);
        }
        let (cluster, mut outcomes) = (rig::cluster().await?, vec![]);
        for scenario in scenarios {
            let outcome = scenarios::run(&cluster, scenario, self.options).await;
            self.progress.record(&outcome);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

fn ids(outcomes: &[CaseOutcome]) -> HashSet<&str> {
    outcomes.iter().map(|outcome| outcome.id.as_str()).collect()
}

/// The selected cases that did not pass before.
fn plan(options: &SweepOptions, paths: &[LifecyclePath], references: &References, done: &[CaseOutcome]) -> Vec<Case> {
    let done = ids(done);
    let mut cases = vec![];
    for path in paths {
        for target in references.get(path.name).into_iter().flat_map(|reference| &reference.targets) {
            for kind in faults::all() {
                let case = Case { path: path.clone(), target: target.clone(), kind };
                if options.selects(&case) && !done.contains(case.id().as_str()) {
                    cases.push(case);
                }
            }
        }
    }
    // Long cases start first.
    cases.sort_by_key(|case| (case.kind.cost != CaseCost::Worker, !case.kind.name.ends_with("60s")));
    cases
}

/// The number of writes of each path.
fn writes(references: &References) -> BTreeMap<String, usize> {
    references.iter().map(|(path, reference)| ((*path).to_owned(), reference.writes)).collect()
}
