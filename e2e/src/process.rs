//! Owns background processes: each one writes to a log file and is ended by its process ID, never by its name.

use std::{
    fs::{self, File, OpenOptions},
    future::Future,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::wait::eventually;

const LOG_TAIL_LINES: usize = 40;

/// A background process. Dropping it kills it.
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
        let child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("{name} could not be started"))?;
        Ok(Self { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that contains the output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of the output.
    pub fn log_tail(&self) -> String {
        tail(&self.log, LOG_TAIL_LINES)
    }

    /// The exit status, if the process has ended.
    pub fn exit_status(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("{} could not be asked for its status", self.name))
    }

    /// Returns an error with the end of the log if the process has ended unexpectedly.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early ({status}); the end of its log:\n{}", self.name, self.log_tail()),
        }
    }

    /// Waits until `probe` yields true. The inner result is an error if the process ended before; the outer result is
    /// an error if `within` has passed.
    pub async fn until<F, Fut>(&mut self, what: &str, within: Duration, mut probe: F) -> Result<Result<()>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = Result<bool>>,
    {
        eventually(what, within, || {
            let alive = self.check_alive();
            let probed = probe();
            async move {
                // A program that has ended will not become ready: end the wait with its log instead.
                if let Err(error) = alive {
                    return Ok(Some(Err(error)));
                }
                Ok(probed.await?.then_some(Ok(())))
            }
        })
        .await
    }

    /// Kills the process immediately, as a node failure would.
    pub fn kill(&mut self) -> Result<()> {
        if self.exit_status()?.is_none() {
            self.child.kill().with_context(|| format!("{} could not be killed", self.name))?;
        }
        self.child.wait().with_context(|| format!("{} could not be waited for", self.name))?;
        Ok(())
    }

    /// Sends SIGTERM. If the process has not ended after `grace`, kills it and returns an error.
    pub async fn terminate(&mut self, grace: Duration) -> Result<ExitStatus> {
        if let Some(status) = self.exit_status()? {
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

    /// Releases the process, so that it continues after this program has ended. Returns its process ID.
    pub fn detach(self) -> u32 {
        let pid = self.pid();
        // This value holds three descriptors and a log path; the operating system releases them when this program ends.
        std::mem::forget(self);
        pid
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Sends a signal to one process, with the built-in `kill` of a POSIX shell, so that no other program is needed.
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

/// Returns true if the process exists and was started as `program`. Process IDs are reused: a stale PID file may name
/// an unrelated process.
pub fn is_running(pid: u32, program: &str) -> bool {
    let Ok(output) = Command::new("ps").args(["-o", "stat=", "-o", "command=", "-p", &pid.to_string()]).output() else {
        // Without `ps`, /proc is still available on Linux.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return String::from_utf8_lossy(&line).contains(program);
    };
    let line = String::from_utf8_lossy(&output.stdout);
    // A process that has ended and that its parent has not reaped yet is listed as a zombie.
    line.contains(program) && !line.trim_start().starts_with('Z')
}

/// Ends the program whose process ID is in `pid_file`, and removes the file. Returns `false` if the program was not
/// running.
pub async fn stop_by_pid_file(pid_file: &Path, program: &str, grace: Duration) -> Result<bool> {
    let Ok(text) = fs::read_to_string(pid_file) else { return Ok(false) };
    let pid: u32 = text.trim().parse().with_context(|| {
        format!("{} does not hold a process id: remove it, and end {program} by hand", pid_file.display())
    })?;
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
        // A supervisor removes its own file when it ends.
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} could not be removed: remove it", pid_file.display()))
        }
        _ => Ok(running),
    }
}

/// The last `lines` lines of a file, or a message if the file cannot be read.
pub fn tail(file: &Path, lines: usize) -> String {
    match fs::read_to_string(file) {
        Ok(text) => {
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("({} could not be read: {error})", file.display()),
    }
}

/// The value of a memory field of `/proc/PID/status`, in KiB; `None` if the kernel does not report the field.
pub fn memory_field(pid: u32, field: &str) -> std::io::Result<Option<String>> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(value.map(|value| value.trim().trim_end_matches(" kB").to_owned()))
}

fn open_log(log: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("the log {} could not be opened", log.display()))
}
