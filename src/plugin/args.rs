//! The plugin's command line: kubectl's own flags, and the subcommands. No other code of the plugin reads the environment; kube reads KUBECONFIG.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, builder::Resettable};

use super::{
    classes, completion, create, delete, describe, doctor, events, kubeconfig, list, members, onboard, output::Format, renew, top,
    transfer, tree, usage,
};
use crate::{api::duration::Period, cli::GcArgs};

/// Creates, shows, renews and transfers DeveloperSpaces, which are namespaces of your own on a shared cluster, and sets up access to them.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-dspace",
    bin_name = "kubectl dspace",
    version,
    max_term_width = 120,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 success, 1 failure, with the reason on standard error, 2 invalid command line."
)]
pub struct Cli {
    /// Flags of kubectl.
    #[command(flatten)]
    pub kubectl: KubectlArgs,

    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the command line of this process. The `gc` subcommand ignores the environment variables that its arguments read in the operator's
    /// pods: in any other pod, `POD_NAMESPACE` is the namespace of that pod.
    pub fn read() -> Self {
        let line = Self::command().mut_subcommand("gc", |gc| {
            let variables = ["protected_namespaces", "operator_namespace", "identity"];
            variables.into_iter().fold(gc, |gc, argument| gc.mut_arg(argument, |argument| argument.env(Resettable::Reset)))
        });
        Self::from_arg_matches(&line.get_matches()).unwrap_or_else(|error| error.exit())
    }
}

/// The subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a space
    Create(create::CreateArgs),
    /// List spaces
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show the details of a space: its owner, its limits, its lifetime, and the next steps
    Describe(describe::DescribeArgs),
    /// Renew spaces: restart their TTL
    Renew(renew::RenewArgs),
    /// Add, remove or list the members of a space
    Members(members::MembersArgs),
    /// Transfer a space to another owner
    Transfer(transfer::TransferArgs),
    /// Delete spaces with their namespaces and everything in them
    Delete(delete::DeleteArgs),
    /// Write a kubeconfig for an existing space
    Kubeconfig(kubeconfig::KubeconfigArgs),
    /// Set up kubectl for a user: create a space, get a credential, test it, and write the kubeconfig
    Onboard(onboard::OnboardArgs),
    /// Show the classes and what they allow
    Classes(classes::ClassesArgs),
    /// Show the quota usage of spaces
    Usage(usage::UsageArgs),
    /// Show the Events about a space
    Events(events::EventsArgs),
    /// Show the objects that belong to a space
    Tree(tree::TreeArgs),
    /// Show the spaces with the highest quota usage
    Top(top::TopArgs),
    /// Explain why a space is not ready, why pods are rejected in it, or why its namespace is not deleted
    Doctor(doctor::DoctorArgs),
    /// Garbage-collect expired spaces once, with the same sweep as the operator
    Gc(GcArgs),
    /// Print a completion script for a shell or for kubectl, or write man pages
    Completion(completion::CompletionArgs),
    /// Print the versions of this plugin and of the server
    Version,
    /// Prints the words that can come next; called by kubectl.
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete(completion::CompleteArgs),
}

/// Flags that kubectl has for every command.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of kubectl")]
pub struct KubectlArgs {
    /// The kubeconfig file [default: the files of $KUBECONFIG, or ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// The context of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,

    /// The cluster of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,

    /// The user of the kubeconfig to use
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,

    /// The user to impersonate; requires the permission to impersonate
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub as_user: Option<String>,

    /// A group to impersonate; can be repeated
    #[arg(long, global = true, value_name = "NAME", requires = "as_user")]
    pub as_group: Vec<String>,

    /// The time limit for a single request to the API server: 30s, 1m; 0 means the default
    #[arg(long, global = true, value_name = "DURATION", default_value = "0", hide_default_value = true)]
    pub request_timeout: RequestTimeout,
}

/// The format of a result.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// The output format: wide, json, yaml, name, or jsonpath=TEMPLATE such as jsonpath='{.metadata.name}' [default: human-readable]
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_default_value = true)]
    pub output: Format,
}

/// The dry run.
#[derive(Clone, Copy, Debug, Args)]
pub struct DryRunArgs {
    /// Change nothing: client only prints what would be sent, server sends it to the API server, which validates it without storing it
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = DryRun::None, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "client", hide_default_value = true)]
    pub dry_run: DryRun,
}

/// The dry run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Store the change.
    None,
    /// Print what would be sent, without sending it.
    Client,
    /// Send the change to the API server, which validates it without storing it.
    Server,
}

/// The wait for the result.
#[derive(Clone, Copy, Debug, Args)]
pub struct WaitArgs {
    /// Wait until the change is complete
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    #[arg(default_value_t = true, default_missing_value = "true")]
    pub wait: bool,

    /// The maximum time to wait: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub timeout: Period,
}

/// The flags of every command that changes a space.
#[derive(Clone, Debug, Args)]
pub struct WriteArgs {
    /// The dry run.
    #[command(flatten)]
    pub dry_run: DryRunArgs,

    /// The wait for the result.
    #[command(flatten)]
    pub wait: WaitArgs,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl WriteArgs {
    /// The time limit for the wait after a write; `None` if the command does not wait.
    pub fn patience(&self) -> Option<Duration> {
        (self.wait.wait && self.dry_run.dry_run == DryRun::None).then_some(self.wait.timeout.0)
    }
}

/// kubectl's own grammar for `--request-timeout`: a number of seconds, or a duration; 0 means the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestTimeout(pub Option<Duration>);

impl FromStr for RequestTimeout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(seconds) = text.trim_end_matches('s').parse::<u64>() {
            return Ok(Self((seconds > 0).then(|| Duration::from_secs(seconds))));
        }
        text.parse::<Period>().map(|Period(period)| Self(Some(period)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn request_timeouts_are_read_as_kubectl_reads_them() {
        for (text, seconds) in [("0", None), ("0s", None), ("5", Some(5)), ("5s", Some(5)), ("1m30s", Some(90))] {
            assert_eq!(text.parse(), Ok(RequestTimeout(seconds.map(Duration::from_secs))), "{text}");
        }
        assert!("soon".parse::<RequestTimeout>().is_err());
    }
}
