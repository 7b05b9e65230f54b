//! The plugin's command line: kubectl's own flags, and the subcommands. No other code of the plugin reads the environment; kube reads KUBECONFIG.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{ArgAction, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum, builder::Resettable};

use super::{
    classes, completion, create, delete, describe, doctor, events, kubeconfig, list, members, onboard, output::Format, renew, top,
    transfer, tree, usage,
};
use crate::{api::duration::parse_duration, cli::GcArgs};

/// Namespaces of one's own on a shared cluster: ask for them, look at them, renew them, hand them on, and get into them.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-dspace",
    bin_name = "kubectl dspace",
    version,
    max_term_width = 120,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 done, 1 it failed and standard error says why, 2 the command line is wrong."
)]
pub struct Cli {
    /// Flags of kubectl.
    #[command(flatten)]
    pub kubectl: KubectlArgs,

    /// What to do.
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

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask for a space
    Create(create::CreateArgs),
    /// Show spaces
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// Show everything about a space: whose it is, what it may use, its life so far, and what to do next
    Describe(describe::DescribeArgs),
    /// Make spaces live on: their time counts from now again
    Renew(renew::RenewArgs),
    /// Say who else may get into a space
    Members(members::MembersArgs),
    /// Hand a space to another owner
    Transfer(transfer::TransferArgs),
    /// Delete spaces with their namespaces and everything in them
    Delete(delete::DeleteArgs),
    /// Write a kubeconfig for a space that is there
    Kubeconfig(kubeconfig::KubeconfigArgs),
    /// From nothing to a working kubectl: the space, the credential, the kubeconfig, and a check that it works
    Onboard(onboard::OnboardArgs),
    /// Show the classes and what they allow
    Classes(classes::ClassesArgs),
    /// Show how much of their quota spaces use
    Usage(usage::UsageArgs),
    /// Show what happened to a space
    Events(events::EventsArgs),
    /// Show what a space is made of
    Tree(tree::TreeArgs),
    /// Show the spaces that use most of their quota
    Top(top::TopArgs),
    /// Explain why a space is not ready, why pods are refused in it, or why its namespace does not go away
    Doctor(doctor::DoctorArgs),
    /// Collect what is expired, once: the same sweep as the operator's
    Gc(GcArgs),
    /// Print the completion of a shell, the script with which kubectl completes this plugin, or man pages
    Completion(completion::CompletionArgs),
    /// Print the versions of this plugin and of the server
    Version,
    /// Words that may come next; called by kubectl.
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

    /// Act as this user; your own must be allowed to impersonate
    #[arg(long = "as", global = true, value_name = "NAME")]
    pub as_user: Option<String>,

    /// Act as a member of this group; may be given more than once
    #[arg(long, global = true, value_name = "NAME", requires = "as_user")]
    pub as_group: Vec<String>,

    /// How long one request to the API server may take: 30s, 1m; 0 is the default
    #[arg(long, global = true, value_name = "DURATION", default_value = "0", hide_default_value = true)]
    pub request_timeout: RequestTimeout,
}

/// How a result is printed.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// How it is printed: wide, json, yaml, name, or jsonpath=TEMPLATE such as jsonpath='{.metadata.name}' [default: for people]
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_default_value = true)]
    pub output: Format,
}

/// Whether anything is stored.
#[derive(Clone, Copy, Debug, Args)]
pub struct DryRunArgs {
    /// Store nothing: client prints what would be sent, server has the API server judge it
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = DryRun::None, num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "client", hide_default_value = true)]
    pub dry_run: DryRun,
}

/// Whether anything is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// It is.
    None,
    /// Nothing is even sent.
    Client,
    /// It is sent and judged, and not stored.
    Server,
}

/// Whether to wait for the end.
#[derive(Clone, Copy, Debug, Args)]
pub struct WaitArgs {
    /// Wait until it is done
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    #[arg(default_value_t = true, default_missing_value = "true")]
    pub wait: bool,

    /// How long to wait: 30s, 5m
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub timeout: Span,
}

/// What every command that changes a space is asked.
#[derive(Clone, Debug, Args)]
pub struct WriteArgs {
    /// Whether anything is stored.
    #[command(flatten)]
    pub dry_run: DryRunArgs,

    /// Whether to wait until it is so.
    #[command(flatten)]
    pub wait: WaitArgs,

    /// How the space is printed.
    #[command(flatten)]
    pub output: OutputArgs,
}

impl WriteArgs {
    /// The time limit for the wait after a write; `None` if the command does not wait.
    pub fn patience(&self) -> Option<Duration> {
        (self.wait.wait && self.dry_run.dry_run == DryRun::None).then_some(self.wait.timeout.0)
    }
}

/// A duration in the grammar of `ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let span = parse_duration(text).map_err(|error| error.to_string())?;
        span.to_std().map(Self).map_err(|error| error.to_string())
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
        text.parse::<Span>().map(|Span(span)| Self(Some(span)))
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
