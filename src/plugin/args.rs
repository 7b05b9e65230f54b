//! Flags that several subcommands share: those of kubectl, and those for the output, the dry run and the wait.

use std::{path::PathBuf, str::FromStr, time::Duration};

use clap::{ArgAction, Args, ValueEnum};

use super::output::Format;
use crate::api::duration::Period;

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
    pub(crate) request_timeout: RequestTimeout,
}

/// The format of a result.
#[derive(Clone, Debug, Args)]
pub struct OutputArgs {
    /// The output format: wide, json, yaml, name, or jsonpath=TEMPLATE such as jsonpath='{.metadata.name}' [default:
    /// human-readable]
    #[arg(short, long, value_name = "FORMAT", default_value = "table", hide_default_value = true)]
    pub output: Format,
}

/// The dry run.
#[derive(Clone, Copy, Debug, Args)]
pub struct DryRunArgs {
    /// Change nothing: client only prints what would be sent, server sends it to the API server, which validates it
    /// without storing it
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

impl DryRun {
    /// The note that the output of a dry run contains, as in kubectl.
    pub(crate) fn note(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
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
    pub(crate) fn wait_timeout(&self) -> Option<Duration> {
        (self.wait.wait && self.dry_run.dry_run == DryRun::None).then_some(self.wait.timeout.0)
    }
}

/// kubectl's own grammar for `--request-timeout`: a number of seconds, or a duration; 0 means the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestTimeout(pub Option<Duration>);

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
    fn request_timeouts_have_the_format_of_kubectl() {
        for (text, seconds) in [("0", None), ("0s", None), ("5", Some(5)), ("5s", Some(5)), ("1m30s", Some(90))] {
            assert_eq!(text.parse(), Ok(RequestTimeout(seconds.map(Duration::from_secs))), "{text}");
        }
        assert!("soon".parse::<RequestTimeout>().is_err());
    }
}
