//! `make demo` and `make demo-down`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use e2e::{
    binaries::repository,
    demo::{self, DemoSettings, Screen},
};

#[derive(Parser)]
#[command(about = "Demonstrates the operator on a new cluster, or on yours")]
struct Cli {
    #[command(subcommand)]
    command: Action,
    /// The folder for the cluster's files, kubeconfigs, logs and process ids [default: .demo in the repository].
    #[arg(long, global = true)]
    dir: Option<PathBuf>,
    /// Use this cluster instead of an embedded one.
    #[arg(long, global = true, env = "DEMO_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Action {
    /// Starts the cluster and the operator, runs the demo, and leaves both running.
    Up,
    /// Stops everything that the demo left running.
    Down,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let screen = Screen::detect();
    let settings = DemoSettings {
        dir: cli.dir.unwrap_or_else(|| repository().join(".demo")),
        // An empty variable counts as unset.
        kubeconfig: cli.kubeconfig.filter(|path| !path.as_os_str().is_empty()),
    };
    let outcome = match cli.command {
        Action::Up => demo::up(&settings, &screen).await,
        Action::Down => demo::down(&settings).await.map(|stopped| {
            screen.note(&if stopped.is_empty() {
                "Nothing was running.".to_owned()
            } else {
                format!("Stopped {}.", stopped.join(" and "))
            });
        }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.failure(&error);
            ExitCode::FAILURE
        }
    }
}
