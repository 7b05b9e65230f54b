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
use faults::Cost;
pub use options::Options;
use progress::Progress;
use reference::{References, learn};
pub use report::Report;
use report::{Oracle, Outcome};
use rig::Rig;
use scenarios::Scenario;

use crate::revision::stamp;

/// Runs the cases that `options` select. Violations are part of the report and not an error; an error means that the
/// sweep could not run.
pub async fn run(options: &Options) -> Result<Report> {
    let begun = Instant::now();
    // Read at the start: later changes of the code do not affect what runs.
    let (commit, day) = stamp().await;
    let before = options.resumed()?;
    let rig = Rig::new(rig::cluster().await?, "sweep", &[]).await?;
    rig.start().await?;
    let paths: Vec<path::Path> = path::all().into_iter().filter(|path| options.wants_path(path.name)).collect();
    let (references, failed) = learn(&rig, "", &paths).await;
    let cases = plan(options, &paths, &references, &before.outcomes);
    let wanted = |scenario: &Scenario| scenario.is_selected(options, &before.outcomes);
    let scenarios: Vec<Scenario> = scenarios::all().into_iter().filter(wanted).collect();
    let soak = Some(scenarios::soak()).filter(wanted);
    let nothing = cases.is_empty() && scenarios.is_empty() && soak.is_none() && failed.is_empty() && !options.wants_path(path::gc().name);
    ensure!(!nothing, "nothing is left to run: no case fits --case, --paths, --faults or --resume");
    let total = failed.len() + cases.len() + scenarios.len() + usize::from(soak.is_some());
    let progress = Progress::new(total, before.clone(), options.report_file());
    progress.say(&format!("{} cases, those of gc apart, and {} scenarios", cases.len(), scenarios.len() + usize::from(soak.is_some())));
    for outcome in &failed {
        progress.note(outcome);
    }
    let (crashing, others): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.kind.cost == Cost::Process);
    let sweep = Sweep { options, references: &references, done: &ids(&before.outcomes), progress: &progress };
    let (side_by_side, in_turn, told, soaked) = tokio::try_join!(
        batch::run_all(&rig, &others, &references, options.quiet(), &progress),
        sweep.in_turn(&crashing),
        sweep.scenarios(&scenarios),
        sweep.scenarios(soak.as_slice()),
    )?;
    rig.ensure_alive().await?;
    let mut report = Report { outcomes: before.outcomes, writes: writes(&references), ..Report::default() };
    report.outcomes.extend(failed.into_iter().chain(side_by_side).chain(in_turn).chain(told).chain(soaked));
    report.minutes = before.minutes + (begun.elapsed().as_secs_f64() / 6.0).round() / 10.0;
    report.commit = if before.commit.is_empty() || before.commit == commit { commit } else { format!("{}, then {commit}", before.commit) };
    report.day = day;
    report.sum_up();
    Ok(report)
}

/// The data that the parts of a sweep share.
struct Sweep<'a> {
    options: &'a Options,
    references: &'a References,
    done: &'a HashSet<&'a str>,
    progress: &'a Progress,
}

impl Sweep<'_> {
    /// Runs the cases that end the operator, one after another, and then the cases of `gc`, on a separate cluster.
    async fn in_turn(&self, crashing: &[Case]) -> Result<Vec<Outcome>> {
        let Self { options, references, done, progress } = self;
        let sweeps = options.wants_path(path::gc().name);
        if crashing.is_empty() && !sweeps {
            return Ok(vec![]);
        }
        // The same identity every time, so that the operator takes over the lease of a killed one at once.
        let rig = Rig::new(rig::cluster().await?, "crash", &["--leader-elect", "--identity", "sweep"]).await?;
        rig.start().await?;
        let mut outcomes = crash::run_all(&rig, crashing, references, options.quiet(), progress).await?;
        if sweeps {
            let wanted = |case: &Case| options.wants(case) && !done.contains(case.id().as_str());
            let swept = gc::run_all(&rig, wanted, options.quiet(), progress).await;
            outcomes.extend(
                swept.unwrap_or_else(|error| vec![Outcome::violated("gc/reference".to_owned(), Oracle::End, format!("{error:#}"))]),
            );
        }
        rig.kill().await?;
        Ok(outcomes)
    }

    /// Runs the scenarios one after another, on a separate cluster.
    async fn scenarios(&self, scenarios: &[Scenario]) -> Result<Vec<Outcome>> {
        if scenarios.is_empty() {
            return Ok(vec![]);
        }
        let (cluster, mut outcomes) = (rig::cluster().await?, vec![]);
        for scenario in scenarios {
            let outcome = scenarios::run(&cluster, scenario, self.options).await;
            self.progress.note(&outcome);
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }
}

fn ids(outcomes: &[Outcome]) -> HashSet<&str> {
    outcomes.iter().map(|outcome| outcome.id.as_str()).collect()
}

fn plan(options: &Options, paths: &[path::Path], references: &References, done: &[Outcome]) -> Vec<Case> {
    let done = ids(done);
    let mut cases = vec![];
    for path in paths {
        for target in references.get(path.name).into_iter().flat_map(|reference| &reference.targets) {
            for kind in faults::all() {
                let case = Case { path: path.clone(), target: target.clone(), kind };
                if options.wants(&case) && !done.contains(case.id().as_str()) {
                    cases.push(case);
                }
            }
        }
    }
    // Long cases start first.
    cases.sort_by_key(|case| (case.kind.cost != Cost::Worker, !case.kind.name.ends_with("60s")));
    cases
}

fn writes(references: &References) -> BTreeMap<String, usize> {
    references.iter().map(|(path, reference)| ((*path).to_owned(), reference.writes)).collect()
}
