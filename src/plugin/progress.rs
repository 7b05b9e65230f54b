//! What is going on, on standard error: one line that changes on a terminal, a line for each change otherwise.

use std::io::{IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};

use super::human;

/// Tells what is going on.
pub(crate) struct Progress {
    live: Option<ProgressBar>,
    last: String,
}

impl Progress {
    /// Begins to tell.
    pub(crate) fn new() -> Self {
        let live = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(ProgressStyle::default_spinner().tick_chars("|/-\\ "));
            bar.enable_steady_tick(std::time::Duration::from_millis(120));
            bar
        });
        Self { live, last: String::new() }
    }

    /// What is going on now. The same again says nothing.
    pub(crate) fn now(&mut self, what: &str) {
        if self.last == what {
            return;
        }
        what.clone_into(&mut self.last);
        match &self.live {
            Some(bar) => bar.set_message(human::visible(what)),
            None => note(what),
        }
    }

    /// Something that stays to be read.
    pub(crate) fn say(&self, what: &str) {
        match &self.live {
            Some(bar) => bar.suspend(|| note(what)),
            None => note(what),
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

/// A line on standard error. Nobody is there to be told if it cannot be written.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", human::visible(text));
}
