//! Owns the outcomes: a table for people, JSON for the record, and for each violation how to see it again.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::{Deserialize, Serialize};

/// What was violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Oracle {
    /// The final state differs from the undisturbed run's.
    End,
    /// Something was written or deleted that must not be.
    Safe,
    /// A namespace without its space, or the reverse.
    Orph,
    /// It writes though all is well.
    Quiet,
    /// It took longer than a minute.
    Live,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All held.
    Passed,
    /// The write did not come in this run.
    NotReached,
    /// Something did not hold.
    Violated(Oracle),
}

/// The outcome of one case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// `path/write/fault`, or a scenario's name.
    pub id: String,
    /// How it ended.
    pub verdict: Verdict,
    /// From the fault's end to the end state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// What was seen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The last requests about the space.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<String>,
}

impl Outcome {
    /// All held.
    pub fn passed(id: String, after: Duration) -> Self {
        let seconds = (after.as_secs_f64() * 1_000.0).round() / 1_000.0;
        Self { id, verdict: Verdict::Passed, seconds: Some(seconds), detail: String::new(), trace: vec![] }
    }

    /// The write did not come.
    pub fn not_reached(id: String) -> Self {
        Self { id, verdict: Verdict::NotReached, seconds: None, detail: String::new(), trace: vec![] }
    }

    /// Something did not hold.
    pub fn violated(id: String, oracle: Oracle, detail: String) -> Self {
        Self { id, verdict: Verdict::Violated(oracle), seconds: None, detail, trace: vec![] }
    }

    /// Whether something did not hold.
    pub fn is_violation(&self) -> bool {
        matches!(self.verdict, Verdict::Violated(_))
    }

    fn group(&self) -> &str {
        self.id.split('/').next().unwrap_or_default()
    }
}

/// A whole run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The commit that was run.
    pub commit: String,
    /// The day.
    pub day: String,
    /// Cases that ran.
    pub cases: usize,
    /// Of these, violations.
    pub violations: usize,
    /// Of these, not reached.
    pub not_reached: usize,
    /// Seconds from the fault's end to the end state: the middle, the 99th percentile, the most.
    pub seconds: [f64; 3],
    /// How long all of it took.
    pub minutes: f64,
    /// Writes of one undisturbed run, by path.
    pub writes: BTreeMap<String, usize>,
    /// All outcomes, by id.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Adds up.
    pub fn sum_up(&mut self) {
        self.outcomes.sort_by(|one, other| one.id.cmp(&other.id));
        self.cases = self.outcomes.len();
        self.violations = self.outcomes.iter().filter(|outcome| outcome.is_violation()).count();
        self.not_reached = self.outcomes.iter().filter(|outcome| outcome.verdict == Verdict::NotReached).count();
        self.seconds = percentiles(self.outcomes.iter());
    }

    /// One line a path or scenario, and a last line for all.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["PATH", "WRITES", "CASES", "PASSED", "NOT REACHED", "VIOLATIONS", "P50 S", "P99 S", "MAX S"]);
        let mut groups: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
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

    fn row(&self, group: &str, outcomes: &[&Outcome]) -> [String; 9] {
        let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count().to_string();
        let seconds = percentiles(outcomes.iter().copied()).map(|seconds| format!("{seconds:.2}"));
        let [half, most, all] = seconds;
        [
            group.to_owned(),
            self.writes.get(group).map(ToString::to_string).unwrap_or_default(),
            outcomes.len().to_string(),
            count(|outcome| outcome.verdict == Verdict::Passed),
            count(|outcome| outcome.verdict == Verdict::NotReached),
            count(Outcome::is_violation),
            half,
            most,
            all,
        ]
    }

    /// Each violation, what was seen, and the command that shows it again.
    pub fn violations(&self) -> String {
        let lines = self.outcomes.iter().filter(|outcome| outcome.is_violation()).map(|Outcome { id, verdict, detail, trace, .. }| {
            format!("{id}: {verdict:?}: {detail}\n    again with: make sweep SWEEP_ARGS='--case {id}'\n    {}", trace.join("\n    "))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The cases of which this oracle was violated, to run them again.
    pub fn violated(&self, oracle: Oracle) -> Vec<String> {
        let of_oracle = self.outcomes.iter().filter(|outcome| outcome.verdict == Verdict::Violated(oracle));
        of_oracle.map(|outcome| outcome.id.clone()).collect()
    }

    /// Writes it as JSON, one line an outcome.
    pub fn write(&self, file: &Path) -> Result<()> {
        let head = serde_json::to_string_pretty(&Self { outcomes: vec![], ..self.clone() })?;
        let lines = self.outcomes.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        let text = head.replace("\"outcomes\": []", &format!("\"outcomes\": [\n    {}\n  ]", lines.join(",\n    ")));
        std::fs::write(file, format!("{text}\n")).with_context(|| format!("{} could not be written", file.display()))
    }

    /// Reads one.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report", file.display()))
    }
}

fn percentiles<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> [f64; 3] {
    let mut seconds: Vec<f64> = outcomes.filter_map(|outcome| outcome.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    let at = |hundredths: usize| {
        seconds.get((seconds.len() * hundredths / 100).min(seconds.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    [at(50), at(99), at(100)]
}
