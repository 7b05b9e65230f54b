//! `kubectl dspace`, one file per subcommand.
//!
//! It does nothing that its user could not do with kubectl: every request carries the user's own credentials, and the
//! API server's policies apply to it. Data goes to standard output, everything else to standard error.

mod api_error;
pub mod args;
mod class_in_force;
pub mod classes;
pub mod cli;
mod cluster;
pub mod completion;
pub mod contact;
pub mod create;
mod credentials;
pub mod delete;
pub mod describe;
pub mod doctor;
pub mod events;
mod expiry_setting;
mod failures;
#[cfg(test)]
mod fixtures;
mod flags;
mod format;
mod gc;
mod jsonpath;
pub mod kubeconfig;
mod lenient_list;
pub mod list;
pub mod members;
mod membership;
mod namespace_finalizers;
mod naming;
pub mod onboard;
pub mod output;
mod pages;
mod progress;
mod protection;
mod quotas;
pub mod renew;
mod requests;
mod spaces;
mod spelling;
mod subject;
pub mod top;
pub mod transfer;
pub mod tree;
pub mod usage;
mod version;
mod visible_spaces;
mod wait;

use std::process::ExitCode;

use clap::CommandFactory as _;

use self::{
    cli::{Cli, Command},
    cluster::Cluster,
    flags::Flags,
};

/// Runs the subcommand and returns the exit code.
pub async fn run(cli: Cli) -> ExitCode {
    let flags = Flags::new(&cli.kubectl);
    match Box::pin(execute(cli)).await {
        Ok(code) => code,
        Err(error) => fail(&error, &flags),
    }
}

async fn execute(Cli { kubectl, command }: Cli) -> anyhow::Result<ExitCode> {
    let done = match command {
        // These commands send no requests, or also work without a cluster.
        Command::Completion(args) => completion::run(&args, Cli::command()),
        Command::Complete(args) => completion::complete(&args, &mut Cli::command()).await,
        Command::Version => version::run(&kubectl).await,
        Command::Gc(args) => return gc::run(&kubectl, &args).await,
        Command::Create(args) => create::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::List(args) => list::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Describe(args) => describe::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Renew(args) => renew::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Members(args) => members::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Transfer(args) => transfer::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Delete(args) => delete::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Kubeconfig(args) => kubeconfig::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Onboard(args) => onboard::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Classes(args) => classes::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Usage(args) => usage::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Events(args) => events::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Tree(args) => tree::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Top(args) => top::run(&Cluster::connect(&kubectl).await?, &args).await,
        Command::Doctor(args) => doctor::run(&Cluster::connect(&kubectl).await?, &args).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

#[allow(clippy::print_stderr, reason = "the last word of a command that failed")]
fn fail(error: &anyhow::Error, flags: &Flags) -> ExitCode {
    eprintln!("{}", last_line(error, flags));
    ExitCode::FAILURE
}

/// The error as one line. Other users write parts of it, for example the messages of policies.
fn last_line(error: &anyhow::Error, flags: &Flags) -> String {
    format::printable(&format!("error: {}", flags.add_to(&format::one_line(&format!("{error:#}")))))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn control_characters_in_an_error_are_replaced() {
        let error = anyhow!("no \u{202e}secaps\nare\u{1b}[2J listed").context("failed to list spaces");
        assert_eq!(
            last_line(&error, &Flags::default()),
            "error: failed to list spaces: no \u{fffd}secaps are [2J listed"
        );
    }
}
