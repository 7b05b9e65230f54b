//! The failures of a command that handles several spaces. The last error is the result of the command; the earlier ones
//! are printed.

use super::progress::Progress;

/// The last error.
#[derive(Default)]
pub(crate) struct Failures(Option<anyhow::Error>);

impl Failures {
    /// The value of a result. An error is recorded, and the error that it replaces is printed.
    pub(crate) fn record<T>(&mut self, result: anyhow::Result<T>, progress: &Progress) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if let Some(earlier) = self.0.replace(error) {
                    progress.print(&format!("error: {earlier:#}"));
                }
                None
            }
        }
    }

    /// The result of the command.
    pub(crate) fn into_result(self) -> anyhow::Result<()> {
        self.0.map_or(Ok(()), Err)
    }
}
