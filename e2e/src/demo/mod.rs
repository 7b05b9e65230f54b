//! Owns the demo: it shows a newcomer the way from nothing to a space that expires, in about a minute.

mod cluster;
mod operator;
mod scenes;
mod screen;
mod settings;
mod space;

use std::time::Duration;

use anyhow::Result;

pub use screen::Screen;
pub use settings::DemoSettings;

use crate::process::stop_by_pid_file;
use cluster::DemoCluster;
use settings::{cluster_layout, operator_pid_file};

/// Runs the whole demo. The operator and an embedded cluster keep running afterwards.
pub async fn up(settings: &DemoSettings, screen: &Screen) -> Result<()> {
    screen.title("developerspace-operator: namespaces for developers, gone when their time is up");
    down(settings).await?;
    let cluster = DemoCluster::prepare(settings, screen).await?;
    operator::install(&cluster, screen).await?;
    operator::start(&cluster, screen).await?;
    scenes::run(&cluster, screen).await?;
    cluster.print_next_steps(screen);
    Ok(())
}

/// Stops the processes that a demo left running, and returns their names.
pub async fn down(settings: &DemoSettings) -> Result<Vec<&'static str>> {
    let grace = Duration::from_secs(30);
    let mut stopped = vec![];
    if stop_by_pid_file(&operator_pid_file(&settings.dir), "developerspace-operator", grace).await? {
        stopped.push("the operator");
    }
    if stop_by_pid_file(&cluster_layout(&settings.dir).pid_file(), "dspace-cluster", grace).await? {
        stopped.push("the control plane");
    }
    Ok(stopped)
}
