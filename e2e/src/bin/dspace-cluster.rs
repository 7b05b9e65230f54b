//! The supervisor of a test control plane. It is a separate process, so that a killed caller leaves no processes
//! behind.

use std::{
    fs,
    io::{BufRead as _, Write as _, stdin, stdout},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use e2e::{
    User,
    controlplane::{ControlPlaneSettings, Layout, Supervisor},
    process::stop_by_pid_file,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
};

#[derive(Parser)]
#[command(about = "Runs etcd, kube-apiserver and kube-controller-manager on loopback")]
struct Cli {
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Starts a cluster, prints one line of JSON when it is ready, and stops it when standard input closes.
    Up(Up),
    /// Stops a cluster that was started with --detach.
    Down {
        /// The cluster's folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

#[derive(clap::Args)]
struct Up {
    /// The folder for certificates, kubeconfigs, logs and data.
    #[arg(long)]
    dir: PathBuf,
    /// Also starts a scheduler, kwok and a node, so that pods run.
    #[arg(long)]
    with_nodes: bool,
    /// A user with a token, as name=group,group; can be repeated. Default: alice, bob, carol and dave.
    #[arg(long = "user")]
    users: Vec<String>,
    /// An additional argument of kube-apiserver; can be repeated.
    #[arg(long = "apiserver-arg", allow_hyphen_values = true)]
    apiserver_args: Vec<String>,
    /// An additional argument of kube-controller-manager; can be repeated.
    #[arg(long = "controller-manager-arg", allow_hyphen_values = true)]
    controller_manager_args: Vec<String>,
    /// Keeps running when standard input closes, until SIGTERM or `down`.
    #[arg(long)]
    detach: bool,
    /// Removes the folder at the end.
    #[arg(long)]
    ephemeral: bool,
}

// One thread: the children must not end with a worker thread.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Cli::parse().command {
        Action::Up(up) => {
            let (dir, ephemeral) = (up.dir.clone(), up.ephemeral);
            let outcome = run(up).await;
            if ephemeral {
                let _ = fs::remove_dir_all(dir);
            }
            outcome
        }
        Action::Down { dir } => {
            let stopped =
                stop_by_pid_file(&Layout::new(&dir).pid_file(), "dspace-cluster", Duration::from_secs(30)).await?;
            print_line(if stopped { "stopped" } else { "was not running" })
        }
    }
}

async fn run(up: Up) -> Result<()> {
    let mut shutdown = Shutdown::new(up.detach)?;
    fs::create_dir_all(&up.dir).with_context(|| format!("{} could not be made", up.dir.display()))?;
    let dir = up.dir.canonicalize().with_context(|| format!("{} cannot be entered", up.dir.display()))?;
    let pid_file = Layout::new(&dir).pid_file();
    // Written before anything is started, so that a caller that stops waiting can end it.
    fs::write(&pid_file, std::process::id().to_string()).context("the process id could not be written")?;
    let outcome = tokio::select! {
        started = Supervisor::start(settings(&up, dir)) => match started {
            Ok(supervisor) => serve(supervisor, &mut shutdown).await,
            Err(error) => Err(error),
        },
        () = shutdown.arrived() => Ok(()),
    };
    remove_own_pid_file(&pid_file);
    outcome
}

fn settings(up: &Up, dir: PathBuf) -> ControlPlaneSettings {
    let users = if up.users.is_empty() {
        User::default_users()
    } else {
        up.users.iter().map(|flag| User::from_flag(flag)).collect()
    };
    ControlPlaneSettings {
        dir,
        with_nodes: up.with_nodes,
        users,
        apiserver_args: up.apiserver_args.clone(),
        controller_manager_args: up.controller_manager_args.clone(),
    }
}

/// Executes `start NAME`, `stop NAME` and `kill NAME` until the shutdown. Each command is answered with one line.
async fn serve(mut supervisor: Supervisor, shutdown: &mut Shutdown) -> Result<()> {
    print_line(&serde_json::to_string(&supervisor.info())?)?;
    while let Some(line) = shutdown.next_command().await {
        let done = match line.split_once(' ') {
            Some(("start", name)) => supervisor.start_one(name).await,
            Some(("stop", name)) => supervisor.stop_one(name, false).await,
            Some(("kill", name)) => supervisor.stop_one(name, true).await,
            _ => Err(anyhow::anyhow!("'{line}' is none of: start NAME, stop NAME, kill NAME")),
        };
        // One line for each command, whatever the error contains.
        print_line(&match done {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{error:#}").replace('\n', " | "),
        })?;
    }
    supervisor.stop();
    Ok(())
}

/// The events that end the cluster: a signal, or, unless it is detached, the closing of standard input.
struct Shutdown {
    term: Signal,
    int: Signal,
    commands: Option<UnboundedReceiver<String>>,
}

impl Shutdown {
    fn new(detach: bool) -> Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            commands: (!detach).then(read_commands),
        })
    }

    /// The next command; `None` if the cluster shuts down.
    async fn next_command(&mut self) -> Option<String> {
        let Self { term, int, commands } = self;
        tokio::select! {
            _ = term.recv() => None,
            _ = int.recv() => None,
            line = receive(commands) => line,
        }
    }

    async fn arrived(&mut self) {
        while self.next_command().await.is_some() {}
    }
}

async fn receive(commands: &mut Option<UnboundedReceiver<String>>) -> Option<String> {
    match commands {
        Some(commands) => commands.recv().await,
        None => std::future::pending().await,
    }
}

/// The lines of standard input. A separate thread reads them: a thread of the runtime would delay its shutdown.
fn read_commands() -> UnboundedReceiver<String> {
    let (sender, receiver) = unbounded_channel();
    std::thread::spawn(move || {
        for line in stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn remove_own_pid_file(pid_file: &Path) {
    let own = std::process::id().to_string();
    if fs::read_to_string(pid_file).is_ok_and(|pid| pid.trim() == own) {
        let _ = fs::remove_file(pid_file);
    }
}

fn print_line(line: &str) -> Result<()> {
    let mut stdout = stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}
