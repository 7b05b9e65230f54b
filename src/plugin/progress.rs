//! Progress on standard error: a single line that is updated on a terminal, a line for each change otherwise.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::{flags::Flags, format};

/// Prints the progress of a command.
pub(crate) struct Progress {
    live: Option<ProgressBar>,
    last: String,
    flags: Flags,
}

impl Progress {
    /// Starts the progress display. `flags` are added to the commands in its messages.
    pub(crate) fn new(flags: &Flags) -> Self {
        let live = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::default_spinner().tick_chars("|/-\\ "));
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        });
        Self { live, last: String::new(), flags: flags.clone() }
    }

    /// Shows the current step. The same step again prints nothing.
    pub(crate) fn step(&mut self, what: &str) {
        if self.last == what {
            return;
        }
        what.clone_into(&mut self.last);
        let what = self.flags.add_to(what);
        match &self.live {
            Some(bar) => bar.set_message(format::printable(&what)),
            None => print_stderr(&what),
        }
    }

    /// Prints a message that remains visible.
    pub(crate) fn print(&self, what: &str) {
        let what = self.flags.add_to(what);
        match &self.live {
            Some(bar) => bar.suspend(|| print_stderr(&what)),
            None => print_stderr(&what),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.live {
            bar.finish_and_clear();
        }
    }
}

/// Prints a line on standard error. A failed write is ignored, since it cannot be reported.
pub(crate) fn print_stderr(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", format::printable(text));
}
