//! Owns the options of a sweep.

use std::{path::PathBuf, time::Duration};

use anyhow::Result;
use clap::Parser;

use super::{
    case::{Case, is_bounded},
    report::{CaseResult, SweepReport},
};
use crate::binaries;

/// Interrupts every write of every life-cycle path with every fault, and checks the result
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "sweep", max_term_width = 120)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub struct SweepOptions {
    /// Run only this case or scenario, such as create/create-namespaces/reset-after or R7/stale-view; can be repeated
    #[arg(long, value_name = "ID")]
    pub case: Vec<String>,

    /// Run only these paths
    #[arg(long, value_name = "PATH,...", value_delimiter = ',')]
    pub paths: Vec<String>,

    /// Run only these faults
    #[arg(long, value_name = "FAULT,...", value_delimiter = ',')]
    pub faults: Vec<String>,

    /// Run some 600 cases and the shorter scenarios, which takes ten to twenty minutes
    #[arg(long)]
    pub bounded: bool,

    /// Run no scenarios, only the cases of single writes
    #[arg(long)]
    pub no_scenarios: bool,

    /// Run the scenarios only as long as in the bounded sweep: outages of half a minute instead of five minutes
    #[arg(long)]
    pub short: bool,

    /// The duration in minutes of the soak, which a whole sweep runs concurrently with everything else [default: 60, or
    /// 5 with --short]
    #[arg(long, value_name = "MINUTES")]
    pub soak: Option<u64>,

    /// The seed of the random choices in the soak; the same seed repeats them
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,

    /// Skip the cases and scenarios that passed according to the report, run all others, and add them to the report
    #[arg(long)]
    pub resume: bool,

    /// The file for the report [default: docs/reliability/report.json for a whole sweep; other sweeps write no report]
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl SweepOptions {
    fn is_whole(&self) -> bool {
        self.case.is_empty() && self.paths.is_empty() && self.faults.is_empty() && !self.bounded && !self.no_scenarios
    }

    /// The file to which the report is written, if any.
    pub fn report_file(&self) -> Option<PathBuf> {
        let default = || self.is_whole().then(|| binaries::repository().join("docs/reliability/report.json"));
        self.report.clone().or_else(default)
    }

    /// The passed outcomes of the previous report, if the sweep resumes it.
    pub fn resumed_report(&self) -> Result<SweepReport> {
        match self.report_file().filter(|file| self.resume && file.is_file()) {
            Some(file) => {
                let mut report = SweepReport::read(&file)?;
                report.outcomes.retain(|outcome| outcome.result == CaseResult::Passed);
                Ok(report)
            }
            None => Ok(SweepReport::default()),
        }
    }

    /// Returns true if the options select the path.
    pub fn selects_path(&self, path: &str) -> bool {
        let named = |id: &String| id.split('/').next() == Some(path);
        (self.paths.is_empty() || self.paths.iter().any(|wanted| wanted == path))
            && (self.case.is_empty() || self.case.iter().any(named))
    }

    /// Returns true if the options select the case.
    pub fn selects(&self, case: &Case) -> bool {
        if !self.case.is_empty() {
            return self.case.contains(&case.id());
        }
        (self.faults.is_empty() || self.faults.iter().any(|wanted| wanted == case.kind.name))
            && (!self.bounded || is_bounded(case))
    }

    /// The duration of the soak.
    pub fn soak_time(&self) -> Duration {
        Duration::from_secs(60 * self.soak.unwrap_or(if self.short { 5 } else { 60 }))
    }

    /// The time at the end during which nothing may be written.
    pub fn quiet_time(&self) -> Duration {
        Duration::from_secs(if self.bounded { 15 } else { 60 })
    }
}
