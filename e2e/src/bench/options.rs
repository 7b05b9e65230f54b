//! Owns the options of the benchmark.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::binaries;

/// Compares the operator with a raw client that makes the same calls without deciding anything
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", max_term_width = 120)]
pub struct BenchmarkOptions {
    /// Use fewer spaces, fewer repetitions and shorter waits, which takes less than ten minutes
    #[arg(long)]
    pub quick: bool,

    /// Measure only these figures, such as B1,B6
    #[arg(long, value_name = "ID,...", value_delimiter = ',')]
    pub only: Vec<String>,

    /// The number of times that each figure is measured [default: 5, or 1 with --quick]
    #[arg(long, value_name = "NUMBER")]
    pub repeat: Option<usize>,

    /// The number of spaces that B1 creates; other figures derive theirs from it [default: 5000, or 150 with --quick]
    #[arg(long, value_name = "NUMBER")]
    pub spaces: Option<usize>,

    /// Also measure the controllers of other projects, which --quick omits because building them takes minutes
    #[arg(long)]
    pub peers: bool,

    /// Measure nothing: draw the operator's use of CPU time and memory into this folder (requires perf and heaptrack)
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["only", "repeat", "out"])]
    pub profile: Option<PathBuf>,

    /// The folder for the results [default: docs/performance for a whole run; other runs keep no results]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
}

impl BenchmarkOptions {
    /// Returns true if the measurement `id` is selected.
    pub fn selects(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted.eq_ignore_ascii_case(id))
    }

    /// The number of repetitions of each measurement.
    pub fn repetitions(&self) -> usize {
        self.repeat.unwrap_or(if self.quick { 1 } else { 5 })
    }

    /// The number of spaces that are created at once.
    pub fn spaces_at_once(&self) -> usize {
        self.spaces.unwrap_or(if self.quick { 150 } else { 5_000 })
    }

    /// The numbers of spaces that are created without an operator: by the script, and from one file.
    pub fn baseline_counts(&self) -> (usize, usize) {
        if self.quick { (5, 50) } else { (20, 200) }
    }

    /// The number of spaces that are created one after another.
    pub fn sequential_spaces(&self) -> usize {
        if self.quick { 10 } else { 40 }
    }

    /// The number of spaces in a full cluster.
    pub fn full_scale(&self) -> usize {
        2 * self.spaces_at_once()
    }

    /// The number of spaces that expire one by one, and the time over which their ends are spread.
    pub fn spread(&self) -> (usize, Duration) {
        if self.quick {
            (self.spaces_at_once().min(100), Duration::from_secs(30))
        } else {
            (1_000, Duration::from_secs(600))
        }
    }

    /// The number of spaces that are created while others end, the number of those, and the time within which they end:
    /// less than the creations take on any machine.
    pub fn expiries_during_creations(&self) -> (usize, usize, Duration) {
        if self.quick { (600, 15, Duration::from_secs(1)) } else { (2_000, 200, Duration::from_secs(15)) }
    }

    /// The numbers of concurrent spaces with which the raw client is tried, to find its best rate.
    pub fn concurrencies(&self) -> &'static [usize] {
        if self.quick { &[8, 16] } else { &[4, 8, 16, 32] }
    }

    /// The duration of the phase in which nothing happens, and of the partition.
    pub fn idle_time(&self) -> Duration {
        Duration::from_secs(if self.quick { 15 } else { 60 })
    }

    /// Returns true if the cluster holds at least as many spaces as the bounds for a full cluster assume.
    pub fn is_full_scale(&self) -> bool {
        self.full_scale() >= 10_000
    }

    /// Returns true if at least as many spaces expire one by one as the bound on the delay of their deletions assumes.
    pub fn is_fully_spread(&self) -> bool {
        self.spread().0 >= 1_000
    }

    /// Returns true if the controllers of other projects are measured too.
    pub fn measures_peers(&self) -> bool {
        self.peers || !self.quick
    }

    /// The number of steps.
    pub fn steps(&self) -> usize {
        let repetitions = self.repetitions();
        let parts = [
            ("B1", 2 + 2 * repetitions),
            ("B2", 1),
            ("B3", repetitions),
            ("B4", 3 + usize::from(self.measures_peers())),
            ("B6", repetitions),
            ("B7", repetitions.min(3)),
            ("B8", 3),
        ];
        1 + parts.iter().filter(|(id, _)| self.selects(id)).map(|(_, steps)| steps).sum::<usize>()
    }

    /// The folder for the results; `None` if they are not kept.
    pub fn folder(&self) -> Option<PathBuf> {
        let whole = !self.quick && self.only.is_empty() && self.repeat.is_none() && self.spaces.is_none();
        self.out.clone().or_else(|| whole.then(|| binaries::repository().join("docs/performance")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_applies_to_a_whole_run() {
        let whole = BenchmarkOptions::parse_from(["bench"]);
        assert!(whole.is_full_scale() && whole.is_fully_spread());
        let quick = BenchmarkOptions::parse_from(["bench", "--quick"]);
        assert!(!quick.is_full_scale() && !quick.is_fully_spread());
    }
}
