//! Owns the results: a human-readable table, and JSON for the record.

use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use serde::{Deserialize, Serialize};

use super::{
    measurement::{Figure, Measured},
    plot,
};

/// One run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
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
    pub measured: Measured,
}

impl Report {
    /// The human-readable table.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["", "MEASURE", "OPERATOR", "BESIDE", "JUDGED", "AT LEAST", "AIM", ""]);
        for figure in &self.measured.figures {
            let Figure { id, what, ours, beside, judged, least, aim } = figure;
            let others: Vec<String> = beside.iter().map(|(who, samples)| format!("{who} {}", samples.line())).collect();
            let bound = |bound: &Option<super::measurement::Bound>| bound.map(super::measurement::Bound::line).unwrap_or_default();
            let word = match (least, figure.holds()) {
                (None, _) => "",
                (_, true) => "ok",
                (_, false) => "MISSED",
            };
            table.add_row([id, what, &ours.line(), &others.join(", "), &judged.line(), &bound(least), &bound(aim), word]);
        }
        for column in [2, 4] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let failures = self.measured.failures.iter().map(|failure| format!("\nnot measured: {failure}"));
        std::iter::once(table.to_string()).chain(failures).collect()
    }

    /// Returns true if every figure meets its required bound.
    pub fn holds(&self) -> bool {
        self.measured.figures.iter().all(Figure::holds)
    }

    /// Writes `report.json` and the plots into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let file = folder.join("report.json");
        let text = serde_json::to_string_pretty(self)?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&file, text + "\n"))
            .with_context(|| format!("{} could not be written", file.display()))?;
        plot::draw(&self.measured, folder)
    }
}
