//! Owns running a program to completion and capturing its output.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::{io::AsyncWriteExt, process::Command};

/// The result of a program that has ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
}

impl Output {
    /// Returns true if the program ended with exit code 0.
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    /// Returns the standard output, or an error that quotes the program's error message.
    pub fn ok(self) -> Result<String> {
        if self.succeeded() {
            return Ok(self.stdout);
        }
        let message = if self.stderr.trim().is_empty() { &self.stdout } else { &self.stderr };
        bail!("`{}` failed with {}: {}", self.command, describe_exit(self.code), message.trim())
    }

    /// Returns the standard error, or an error if the program succeeded.
    pub fn refused(self) -> Result<String> {
        if self.succeeded() {
            bail!("`{}` was expected to be refused, but did: {}", self.command, self.stdout.trim());
        }
        Ok(self.stderr)
    }
}

fn describe_exit(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"))
}

/// Runs `command` to completion, with `input` as its standard input.
pub async fn run(mut command: Command, input: Option<&str>) -> Result<Output> {
    let line = command_line(&command);
    command
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(|| format!("`{line}` could not be started"))?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A program that rejects its arguments ends before it reads its input: its exit code is more useful than the
        // broken pipe.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    let output = child.wait_with_output().await.with_context(|| format!("`{line}` could not be waited for"))?;
    Ok(Output {
        command: line,
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

fn command_line(command: &Command) -> String {
    let command = command.as_std();
    let program = std::path::Path::new(command.get_program());
    let mut line = program.file_name().unwrap_or_else(|| command.get_program()).to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}
