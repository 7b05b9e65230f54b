//! Owns processes that go on in the background: each writes to a log file and is ended by its id, never by its name.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::eventually;

const LOG_TAIL_LINES: usize = 40;

/// A program in the background. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Process {
    /// Starts `command` with its output appended to the file `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self> {
        let (stdout, stderr) = (open_log(log)?, open_log(log)?);
        let child =
            command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).spawn().with_context(|| format!("{name} could not be started"))?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines that it wrote.
    pub fn log_tail(&self) -> String {
        tail(&self.log, LOG_TAIL_LINES)
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("{} could not be asked for its status", self.name))
    }

    /// An error with the end of its log, if it has ended though it should go on.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early ({status}); the end of its log:\n{}", self.name, self.log_tail()),
        }
    }

    /// Kills it at once, as a node failure would.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            self.child.kill().with_context(|| format!("{} could not be killed", self.name))?;
        }
        self.child.wait().with_context(|| format!("{} could not be waited for", self.name))?;
        Ok(())
    }

    /// Asks it to end (SIGTERM), and kills it if it has not after `grace`. The error of the latter says so.
    pub async fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.ended()? {
            return Ok(status);
        }
        signal(self.pid(), "TERM")?;
        let (what, child) = (format!("{} to end", self.name), std::cell::RefCell::new(&mut self.child));
        let waited = eventually(&what, grace, || async { Ok(child.borrow_mut().try_wait()?) }).await;
        if waited.is_err() {
            self.kill()?;
        }
        waited
    }

    /// Lets it go on after this program has ended.
    pub fn detach(self) -> u32 {
        let pid = self.pid();
        // Its resources are three descriptors and a log path; the operating system takes them back when we end.
        std::mem::forget(self);
        pid
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Sends a signal to one process. The shell's own `kill` does it, so that nothing but a POSIX shell is needed.
pub fn signal(pid: u32, signal: &str) -> Result<()> {
    let status = Command::new("sh")
        .args(["-c", "kill -s \"$1\" \"$2\"", "sh", signal, &pid.to_string()])
        .stderr(Stdio::null())
        .status()
        .context("there is no POSIX shell `sh`")?;
    if !status.success() {
        bail!("there is no process {pid} to send SIG{signal} to");
    }
    Ok(())
}

/// Whether the process exists and was started as `program`. Ids are used again: a stale pid file may name a stranger.
pub fn is_running(pid: u32, program: &str) -> bool {
    let Ok(output) = Command::new("ps").args(["-o", "stat=", "-o", "command=", "-p", &pid.to_string()]).output() else {
        // Without `ps` there is still /proc on Linux.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return String::from_utf8_lossy(&line).contains(program);
    };
    let line = String::from_utf8_lossy(&output.stdout);
    // One that has ended and that its parent has not noticed yet is listed as a zombie.
    line.contains(program) && !line.trim_start().starts_with('Z')
}

/// Ends the program whose id is in `pid_file`, and removes the file. `false` if it was not running.
pub async fn stop_by_pid_file(pid_file: &Path, program: &str, grace: Duration) -> Result<bool> {
    let Ok(text) = fs::read_to_string(pid_file) else { return Ok(false) };
    let pid: u32 = text
        .trim()
        .parse()
        .with_context(|| format!("{} does not hold a process id: remove it, and end {program} by hand", pid_file.display()))?;
    let running = is_running(pid, program);
    if running {
        signal(pid, "TERM")?;
        let what = format!("{program} ({pid}) to end");
        let gone = eventually(&what, grace, || async move { Ok((!is_running(pid, program)).then_some(())) });
        if gone.await.is_err() {
            signal(pid, "KILL")?;
        }
    }
    match fs::remove_file(pid_file) {
        // A supervisor removes its own at its end.
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed: remove it", pid_file.display()))
        }
        _ => Ok(running),
    }
}

/// The last `lines` lines of a file, or a sentence if it cannot be read.
pub fn tail(file: &Path, lines: usize) -> String {
    match fs::read_to_string(file) {
        Ok(text) => {
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("({} could not be read: {error})", file.display()),
    }
}

fn open_log(log: &Path) -> Result<File> {
    OpenOptions::new().create(true).append(true).open(log).with_context(|| format!("the log {} could not be opened", log.display()))
}
