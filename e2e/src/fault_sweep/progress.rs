//! Owns the progress output of the sweep: a bar on a terminal, otherwise a line from time to time.

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use super::report::{CaseOutcome, SweepReport};

const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// The interval at which the report is saved. An interrupted sweep continues from it with --resume.
const SAVE_INTERVAL: Duration = Duration::from_secs(15);

/// The progress of a sweep.
#[derive(Debug)]
pub struct SweepProgress {
    bar: Option<ProgressBar>,
    begun: Instant,
    total: AtomicUsize,
    done: AtomicUsize,
    violations: AtomicUsize,
    last_line: Mutex<Instant>,
    saved: Mutex<(SweepReport, Instant)>,
    file: Option<PathBuf>,
}

impl SweepProgress {
    /// Creates the progress of `total` cases. Each outcome is added to `report`, which is saved in `file`.
    pub fn new(total: usize, report: SweepReport, file: Option<PathBuf>) -> Self {
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:40} {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| ProgressBar::new(u64::try_from(total).unwrap_or_default()).with_style(style));
        let begun = Instant::now();
        let (done, violations) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self {
            bar,
            begun,
            total: AtomicUsize::new(total),
            done,
            violations,
            last_line: Mutex::new(begun),
            saved: Mutex::new((report, begun)),
            file,
        }
    }

    /// Adds `more` cases to the total.
    pub fn expect(&self, more: usize) {
        self.total.fetch_add(more, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc_length(u64::try_from(more).unwrap_or_default());
        }
    }

    /// Records the outcome of one case.
    pub fn record(&self, outcome: &CaseOutcome) {
        self.save(outcome);
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let violations = self.violations.fetch_add(usize::from(outcome.is_violation()), Ordering::Relaxed)
            + usize::from(outcome.is_violation());
        if outcome.is_violation() {
            self.print_line(&format!(
                "{} {:?} {}",
                outcome.id,
                outcome.result,
                outcome.detail.lines().take(6).collect::<Vec<_>>().join(" ")
            ));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(u64::try_from(done).unwrap_or_default());
            bar.set_message(format!("{violations} violations"));
            return;
        }
        let total = self.total.load(Ordering::Relaxed);
        let mut last = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last.elapsed() >= LINE_INTERVAL || done == total {
            *last = Instant::now();
            drop(last);
            self.print_line(&format!("{done} of {total} cases, {violations} violations"));
        }
    }

    fn save(&self, outcome: &CaseOutcome) {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let (report, last) = &mut *saved;
        report.outcomes.push(outcome.clone());
        if let Some(file) = self.file.as_ref().filter(|_| last.elapsed() >= SAVE_INTERVAL) {
            *last = Instant::now();
            if let Err(error) = report.write(file) {
                self.print_line(&format!("{error:#}"));
            }
        }
    }

    /// Prints one line: above the bar, or with the elapsed time if there is no bar.
    #[allow(clippy::print_stderr, reason = "progress goes to standard error, and the result to standard output")]
    pub fn print_line(&self, line: &str) {
        let seconds = self.begun.elapsed().as_secs();
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{:02}:{:02} {line}", seconds / 60, seconds % 60),
        }
    }
}
