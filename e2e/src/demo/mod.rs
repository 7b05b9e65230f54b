//! Owns the demo: it shows a newcomer the way from nothing to a space that expires, in about a minute.

mod operator;
mod screen;
mod settings;
mod space;
mod story;
mod target;

use std::time::Duration;

use anyhow::Result;

pub use screen::Screen;
pub use settings::Settings;

use crate::process::stop_by_pid_file;
use settings::{cluster_layout, operator_pid_file};
use target::Target;

/// Runs the whole demo. The operator and an embedded cluster keep running afterwards.
pub async fn up(settings: &Settings, screen: &Screen) -> Result<()> {
    screen.title("developerspace-operator: namespaces for developers, gone when their time is up");
    down(settings).await?;
    let target = Target::prepare(settings, screen).await?;
    operator::install(&target, screen).await?;
    operator::start(&target, screen).await?;
    story::tell(&target, screen).await?;
    target.say_how_to_go_on(screen);
    Ok(())
}

/// Stops the processes that a demo left running, and returns their names.
pub async fn down(settings: &Settings) -> Result<Vec<&'static str>> {
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
