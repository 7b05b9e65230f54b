//! Owns the progress report of the benchmark: a bar on a terminal, lines elsewhere.

use std::{io::IsTerminal, time::Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The progress of the benchmark.
#[derive(Debug)]
pub struct BenchmarkProgress {
    bar: Option<ProgressBar>,
    begun: Instant,
}

impl BenchmarkProgress {
    /// Starts with none of `steps` done.
    pub fn new(steps: usize) -> Self {
        let style = ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = std::io::stderr()
            .is_terminal()
            .then(|| ProgressBar::new(u64::try_from(steps).unwrap_or_default()).with_style(style));
        Self { bar, begun: Instant::now() }
    }

    /// Starts the next step.
    #[allow(clippy::print_stderr, reason = "progress goes to standard error, and the result to standard output")]
    pub fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                bar.set_message(what.to_owned());
            }
            None => eprintln!("bench: {:>4.0} s  {what}", self.begun.elapsed().as_secs_f64()),
        }
    }
}
