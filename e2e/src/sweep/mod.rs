//! Owns the fault sweep: every write of every life-cycle path meets every fault, and must end where an undisturbed run ends.
//!
//! `docs/reliability/README.md` says how it works and how to read the result.

pub mod bench;
pub mod case;
pub mod dump;
pub mod faults;
pub mod mirror;
pub mod options;
pub mod path;
pub mod progress;
pub mod reference;
pub mod report;
pub mod safety;
pub mod scenarios;

mod batch;
mod crash;
mod keeper;
mod run;

use std::collections::{BTreeMap, HashSet};
use std::time::Instant;

use anyhow::{Result, ensure};

use bench::Bench;
use case::Case;
use faults::Cost;
pub use options::Options;
use progress::Progress;
use reference::{References, learn};
use report::Outcome;
pub use report::Report;

/// Runs what `options` ask for. Violations are in the report and no error; an error means that the sweep could not run.
pub async fn run(options: &Options) -> Result<Report> {
    let begun = Instant::now();
    // As it is now: whoever works on the code meanwhile does not change what runs.
    let (commit, day) = options::stamp().await;
    let (cluster, crash_cluster) = tokio::try_join!(bench::cluster(), bench::cluster())?;
    let bench = Bench::new(cluster, "sweep", &[]).await?;
    bench.start().await?;
    let paths: Vec<path::Path> = path::all().into_iter().filter(|path| options.wants_path(path.name)).collect();
    let (references, failed) = learn(&bench, "", &paths).await;
    let before = options.resumed()?;
    let cases = plan(options, &paths, &references, &before.outcomes);
    let scenarios: Vec<_> = scenarios::all().into_iter().filter(|scenario| options.wants_scenario(scenario, &before.outcomes)).collect();
    ensure!(
        !cases.is_empty() || !scenarios.is_empty() || !failed.is_empty(),
        "nothing is left to run: no case fits --case, --paths, --faults or --resume"
    );
    let progress = Progress::new(failed.len() + cases.len() + scenarios.len(), before.clone(), options.report_file());
    progress.say(&format!("{} cases and {} scenarios", cases.len(), scenarios.len()));
    for outcome in &failed {
        progress.note(outcome);
    }
    let (crashing, others): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.kind.cost == Cost::Process);
    let quiet = options.quiet();
    let on_crash_cluster = async {
        // The same name every time, so that the lease of one that was killed is taken up at once.
        let bench = Bench::new(crash_cluster.clone(), "crash", &["--leader-elect", "--identity", "sweep"]).await?;
        bench.start().await?;
        let mut outcomes = crash::run_all(&bench, &crashing, &references, quiet, &progress).await?;
        bench.kill().await?;
        for scenario in &scenarios {
            let outcome = scenarios::run(&crash_cluster, scenario, options.bounded || options.short).await;
            progress.note(&outcome);
            outcomes.push(outcome);
        }
        Ok::<_, anyhow::Error>(outcomes)
    };
    let (outcomes, on_other) = tokio::try_join!(batch::run_all(&bench, &others, &references, quiet, &progress), on_crash_cluster)?;
    bench.ensure_alive().await?;
    let mut report = Report { outcomes: before.outcomes, writes: writes(&references), ..Report::default() };
    report.outcomes.extend(failed.into_iter().chain(outcomes).chain(on_other));
    report.minutes = before.minutes + (begun.elapsed().as_secs_f64() / 6.0).round() / 10.0;
    report.commit = if before.commit.is_empty() || before.commit == commit { commit } else { format!("{}, then {commit}", before.commit) };
    report.day = day;
    report.sum_up();
    Ok(report)
}

fn plan(options: &Options, paths: &[path::Path], references: &References, done: &[Outcome]) -> Vec<Case> {
    let done: HashSet<&str> = done.iter().map(|outcome| outcome.id.as_str()).collect();
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
    // What takes long begins first.
    cases.sort_by_key(|case| (case.kind.cost != Cost::Worker, !case.kind.name.ends_with("60s")));
    cases
}

fn writes(references: &References) -> BTreeMap<String, usize> {
    references.iter().map(|(path, reference)| ((*path).to_owned(), reference.writes)).collect()
}
