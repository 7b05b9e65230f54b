//! Owns the outcomes: a human-readable table, JSON for the record, and the command that reproduces each violation.

use std::{collections::BTreeMap, path::Path, time::Duration};

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::{Deserialize, Serialize};

/// The guarantee that was violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Oracle {
    /// The final state differs from the undisturbed run's.
    End,
    /// A write or deletion that is not permitted.
    Safe,
    /// A namespace without its space, or a space without its namespace.
    Orph,
    /// A write after all cases had converged.
    Quiet,
    /// The convergence took longer than a minute.
    Live,
}

/// The result of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaseResult {
    /// All guarantees held.
    Passed,
    /// The write did not occur in this run.
    NotReached,
    /// A guarantee was violated.
    Violated(Oracle),
}

/// The outcome of one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseOutcome {
    /// `path/write/fault`, or a scenario's name.
    pub id: String,
    /// The result.
    #[serde(rename = "verdict")]
    pub result: CaseResult,
    /// The seconds from the end of the fault to the end state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The details of the result.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The last requests that concern the space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
}

impl CaseOutcome {
    /// The outcome of a case in which all guarantees held.
    pub fn passed(id: String, after: Duration) -> Self {
        let seconds = (after.as_secs_f64() * 1_000.0).round() / 1_000.0;
        Self { id, result: CaseResult::Passed, seconds: Some(seconds), detail: String::new(), trace: vec![] }
    }

    /// The outcome of a case whose write did not occur.
    pub fn not_reached(id: String) -> Self {
        Self { id, result: CaseResult::NotReached, seconds: None, detail: String::new(), trace: vec![] }
    }

    /// The outcome of a case that violated a guarantee.
    pub fn violated(id: String, oracle: Oracle, detail: String) -> Self {
        Self { id, result: CaseResult::Violated(oracle), seconds: None, detail, trace: vec![] }
    }

    /// Returns true if a guarantee was violated.
    pub fn is_violation(&self) -> bool {
        matches!(self.result, CaseResult::Violated(_))
    }

    fn group(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }
}

/// The report of a whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct SweepReport {
    /// The commit that was run.
    pub commit: String,
    /// The date of the run.
    pub day: String,
    /// The number of cases that ran.
    pub cases: usize,
    /// The number of violations.
    pub violations: usize,
    /// The number of cases that were not reached.
    pub not_reached: usize,
    /// The seconds from the end of the fault to the end state: the median, the 99th percentile, and the maximum.
    pub seconds: [f64; 3],
    /// The duration of the run, in minutes.
    pub minutes: f64,
    /// The number of writes of one undisturbed run, by path.
    pub writes: BTreeMap<String, usize>,
    /// All outcomes, ordered by ID.
    pub outcomes: Vec<CaseOutcome>,
}

impl SweepReport {
    /// Orders the outcomes and computes the totals.
    pub fn compute_totals(&mut self) {
        self.outcomes.sort_by(|one, other| one.id.cmp(&other.id));
        self.cases = self.outcomes.len();
        self.violations = self.outcomes.iter().filter(|outcome| outcome.is_violation()).count();
        self.not_reached = self.outcomes.iter().filter(|outcome| outcome.result == CaseResult::NotReached).count();
        self.seconds = percentiles(self.outcomes.iter());
    }

    /// A table with one row for each path or scenario, and a last row for all.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header([
            "PATH",
            "WRITES",
            "CASES",
            "PASSED",
            "NOT REACHED",
            "VIOLATIONS",
            "P50 S",
            "P99 S",
            "MAX S",
        ]);
        let mut groups: BTreeMap<&str, Vec<&CaseOutcome>> = BTreeMap::new();
        for outcome in &self.outcomes {
            groups.entry(outcome.group()).or_default().push(outcome);
        }
        for (group, outcomes) in &groups {
            table.add_row(self.row(group, outcomes));
        }
        table.add_row(self.row("all", &self.outcomes.iter().collect::<Vec<_>>()));
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table.to_string()
    }

    fn row(&self, group: &str, outcomes: &[&CaseOutcome]) -> [String; 9] {
        let count =
            |wanted: fn(&CaseOutcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count().to_string();
        let seconds = percentiles(outcomes.iter().copied()).map(|seconds| format!("{seconds:.2}"));
        let [half, most, all] = seconds;
        [
            group.to_owned(),
            self.writes.get(group).map(ToString::to_string).unwrap_or_default(),
            outcomes.len().to_string(),
            count(|outcome| outcome.result == CaseResult::Passed),
            count(|outcome| outcome.result == CaseResult::NotReached),
            count(CaseOutcome::is_violation),
            half,
            most,
            all,
        ]
    }

    /// Each violation, with its details and the command that reproduces it.
    pub fn violations(&self) -> String {
        let lines = self.outcomes.iter().filter(|outcome| outcome.is_violation()).map(
            |CaseOutcome { id, result, detail, trace, .. }| {
                format!(
                    "{id}: {result:?}: {detail}\n    again with: make sweep SWEEP_ARGS='--case {id}'\n    {}",
                    trace.join("\n    ")
                )
            },
        );
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The IDs of the cases that violated this oracle, to run them again.
    pub fn violated_cases(&self, oracle: Oracle) -> Vec<String> {
        let of_oracle = self.outcomes.iter().filter(|outcome| outcome.result == CaseResult::Violated(oracle));
        of_oracle.map(|outcome| outcome.id.clone()).collect()
    }

    /// Writes the report as JSON, with one line for each outcome.
    pub fn write(&self, file: &Path) -> Result<()> {
        let head = serde_json::to_string_pretty(&Self { outcomes: vec![], ..self.clone() })?;
        let lines = self.outcomes.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let text = head.replace("\"outcomes\": []", &format!("\"outcomes\": [\n    {}\n  ]", lines.join(",\n    ")));
        std::fs::write(file, format!("{text}\n")).with_context(|| format!("{} could not be written", file.display()))
    }

    /// Reads a report.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report", file.display()))
    }
}

fn percentiles<'a>(outcomes: impl Iterator<Item = &'a CaseOutcome>) -> [f64; 3] {
    let mut seconds: Vec<f64> = outcomes.filter_map(|outcome| outcome.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let at = |hundredths: usize| {
        seconds
            .get((seconds.len() * hundredths / 100).min(seconds.len().saturating_sub(1)))
            .copied()
            .unwrap_or_default()
    };
    [at(50), at(99), at(100)]
}
