//! Owns the commit and the date that identify a run in its record.

use crate::{binaries, command, fixtures::now};

/// The commit and the date of the run.
pub async fn stamp() -> (String, String) {
    let mut git = tokio::process::Command::new("git");
    git.args(["describe", "--always", "--dirty"]).current_dir(binaries::repository());
    let commit = command::run(git, None)
        .await
        .ok()
        .filter(command::Output::succeeded)
        .map(|output| output.stdout.trim().to_owned());
    (commit.unwrap_or_else(|| "unknown".to_owned()), now().format("%Y-%m-%d").to_string())
}
