//! Owns the demo's output: a spinner and colours on a terminal, plain lines in a file, and no colours with `NO_COLOR`.

use std::{
    fmt::Display,
    future::Future,
    io::{IsTerminal, Write, stdout},
    time::{Duration, Instant},
};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

const WIDTH: usize = 96;

/// The output of the demo.
#[derive(Debug)]
pub struct Screen {
    interactive: bool,
    colour: bool,
}

impl Screen {
    /// Detects whether standard output is a terminal.
    pub fn detect() -> Self {
        let interactive = stdout().is_terminal();
        let colour_disabled = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { interactive, colour: interactive && !colour_disabled }
    }

    /// Prints the headline.
    pub fn title(&self, text: &str) {
        self.line(&format!("\n{}\n", self.paint("1", text)));
    }

    /// Prints the heading of one scene.
    pub fn scene(&self, text: &str) {
        self.line(&format!("\n{}", self.paint("1;36", text)));
    }

    /// Does `work`, and prints a line that describes it and, at the end, its duration.
    pub async fn step<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let spinner = self.spinner(what);
        let outcome = work.await;
        if let Some(spinner) = spinner {
            spinner.finish_and_clear();
        }
        match &outcome {
            Ok(_) => self.done(what, started.elapsed()),
            Err(_) => self.line(&format!("  {} {what}", self.paint("31", "✗"))),
        }
        outcome
    }

    /// Prints a completed step and its duration.
    pub fn done(&self, what: impl Display, took: Duration) {
        let what = what.to_string();
        let space = " ".repeat(WIDTH.saturating_sub(what.chars().count() + 12).max(1));
        let took = format!("{:6.2} s", took.as_secs_f64());
        self.line(&format!("  {} {what}{space}{}", self.paint("32", "✓"), self.paint("2", &took)));
    }

    /// Prints a command as a user types it, and its output.
    pub fn command(&self, user: &str, command: &str, output: &str) {
        let prompt = if user.is_empty() { "$".to_owned() } else { format!("{user}$") };
        self.line(&format!("\n  {} {}", self.paint("2", &prompt), self.paint("1", command)));
        for line in output.trim_end().lines() {
            self.line(&format!("    {line}"));
        }
    }

    /// Prints a remark.
    pub fn note(&self, text: &str) {
        self.line(&format!("  {text}"));
    }

    /// Prints the end of a demo that failed: the error and its causes, outermost first.
    pub fn failure(&self, error: &anyhow::Error) {
        self.line(&format!("\n  {} {error}", self.paint("1;31", "The demo stopped:")));
        for cause in error.chain().skip(1) {
            for line in cause.to_string().lines() {
                self.line(&format!("    {line}"));
            }
        }
        self.line("\n  What has been started goes on running, to be looked at: `make demo-down` ends it.");
    }

    fn spinner(&self, what: &str) -> Option<ProgressBar> {
        if !self.interactive {
            return None;
        }
        let template = if self.colour { "  {spinner:.cyan} {msg}" } else { "  {spinner} {msg}" };
        let style = ProgressStyle::with_template(template).ok()?;
        let bar = ProgressBar::new_spinner().with_style(style).with_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Some(bar)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    #[allow(clippy::unused_self, reason = "everything that is shown goes through a Screen")]
    fn line(&self, text: &str) {
        // A closed standard output (`make demo | head`) is no reason to stop in the middle.
        let _ = writeln!(stdout().lock(), "{text}");
    }
}
