//! Owns the results: a human-readable table, and JSON for the record.

use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::{Deserialize, Serialize};

use super::{
    measurement::{BenchmarkResults, Bound, Measurement},
    plot,
};

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BenchmarkReport {
    /// The commit that was run.
    pub commit: String,
    /// The day.
    pub day: String,
    /// The number of processors.
    pub processors: usize,
    /// The duration in minutes.
    pub minutes: f64,
    /// The measurements.
    #[serde(flatten)]
    pub results: BenchmarkResults,
}

impl BenchmarkReport {
    /// The human-readable table.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["", "MEASURE", "OPERATOR", "BESIDE", "JUDGED", "AT LEAST", "AIM", ""]);
        for measurement in &self.results.measurements {
            let Measurement { id, what, operator, others, checked, required, aim } = measurement;
            let others: Vec<String> = others.iter().map(|(who, samples)| format!("{who} {}", samples.line())).collect();
            let bound = |bound: &Option<Bound>| bound.map(Bound::line).unwrap_or_default();
            let state = match (required, measurement.holds()) {
                (None, _) => "",
                (_, true) => "ok",
                (_, false) => "MISSED",
            };
            table.add_row([
                id,
                what,
                &operator.line(),
                &others.join(", "),
                &checked.line(),
                &bound(required),
                &bound(aim),
                state,
            ]);
        }
        for column in [2, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let failures = self.results.failures.iter().map(|failure| format!("\nnot measured: {failure}"));
        std::iter::once(table.to_string()).chain(failures).collect()
    }

    /// Returns true if every measurement meets its required bound.
    pub fn holds(&self) -> bool {
        self.results.measurements.iter().all(Measurement::holds)
    }

    /// Writes `report.json` and the plots into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let file = folder.join("report.json");
        let text = serde_json::to_string_pretty(self)?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, text + "\n"))
            .with_context(|| format!("{} could not be written", file.display()))?;
        plot::draw(&self.results, folder)
    }
}
