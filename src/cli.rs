//! The operator's command line. The environment is read here and nowhere else.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

use crate::{
    api::{duration::Period, names},
    desired::{annotation_expiry::Compat, deletion_limit::DeletionLimit},
    telemetry::LogFormat,
};

/// Gives developers their own namespaces on a shared Kubernetes cluster, and deletes the namespaces when they expire.
#[derive(Debug, Parser)]
#[command(
    name = "developerspace-operator",
    version,
    max_term_width = 120,
    after_help = "Connects to the cluster of KUBECONFIG, or to the cluster that its pod runs in."
)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the controller until it receives SIGTERM or SIGINT
    Run(RunArgs),
    /// Garbage-collect expired spaces once, from a CronJob or manually
    Gc(GcArgs),
    /// Approve certificate requests of the owners and members of spaces; optional, requires a separate ServiceAccount
    Approve(ApproveArgs),
    /// Print the CustomResourceDefinitions as YAML
    Crds,
}

/// Arguments that `run` and `gc` share.
#[derive(Clone, Debug, Args)]
pub struct CommonArgs {
    /// Namespaces that no space can have and that are never deleted, in addition to default, kube-*, openshift-* and
    /// the namespace of the operator; a star matches any characters. The controller and every sweep must use the same
    /// list
    #[arg(long, value_name = "NAME,...", env = names::PROTECTED_NAMESPACES, value_delimiter = ',', value_parser = pattern)]
    pub protected_namespaces: Vec<String>,

    /// The namespace that the operator itself runs in
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = names::DEFAULT_OPERATOR_NAMESPACE, value_parser = namespace)]
    pub operator_namespace: String,

    /// The name of this process in Events and Leases [default: the host name and the process ID]
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value_t = default_identity(), hide_default_value = true)]
    pub identity: String,

    /// The format of log lines on standard error; RUST_LOG filters them
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The number of spaces that are reconciled concurrently
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub workers: u16,

    /// Reconcile only while holding the Lease developerspace-operator in the operator's namespace, so that a second
    /// replica can be on standby
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    #[arg(default_value_t = false, hide_default_value = true, default_missing_value = "true")]
    pub leader_elect: bool,

    /// The address that serves /healthz, /livez and /readyz
    #[arg(long, value_name = "ADDRESS", default_value = ":8081")]
    pub(crate) health_bind_address: BindAddress,

    /// The address that serves /metrics
    #[arg(long, value_name = "ADDRESS", default_value = ":8080")]
    pub(crate) metrics_bind_address: BindAddress,

    /// The interval at which all objects are listed again, to recover from lost watch events: 30s, 10m, 1h; at least
    /// 10s
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = relist_period)]
    pub(crate) relist_period: Period,

    /// Shared arguments.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Arguments of `approve`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "An account that can approve client certificates can act as any user of the cluster: run this command only with the ServiceAccount of config/approver."
)]
pub struct ApproveArgs {
    /// The name of this process in Events [default: the host name and the process ID]
    #[arg(long, value_name = "NAME", env = "POD_NAME", default_value_t = default_identity(), hide_default_value = true)]
    pub identity: String,

    /// The format of log lines on standard error; RUST_LOG filters them
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

/// Arguments of `gc`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "Exit status: 0 success, 1 an action or a read failed, 2 wrong usage, 3 refused by the deletion limit (nothing was deleted)."
)]
pub struct GcArgs {
    /// Print the actions of the sweep without performing them
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    #[arg(default_value_t = false, hide_default_value = true, default_missing_value = "true")]
    pub dry_run: bool,

    /// The maximum number of namespaces that the sweep can delete: a number, or a percentage of the spaces whose
    /// namespace exists and is not terminating. A sweep that would delete more does nothing; 0 refuses every deletion
    /// [default: 50%, and at least 10]
    #[arg(long, value_name = "N|P%")]
    pub(crate) max_deletions: Option<DeletionLimit>,

    /// Also delete expired plain namespaces annotated with developerspace.dev/ttl or developerspace.dev/expires-at.
    /// Requires an administrator or a separate ServiceAccount; the ServiceAccount of the operator is refused
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true, value_name = "BOOL", hide_possible_values = true)]
    #[arg(default_value_t = false, hide_default_value = true, default_missing_value = "true")]
    pub include_annotated: bool,

    /// With --include-annotated: also read the annotations of these tools
    #[arg(long, value_enum, value_name = "TOOL,...", value_delimiter = ',', requires = "include_annotated")]
    pub compat: Vec<Compat>,

    /// The output format
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Output::Table)]
    pub output: Output,

    /// Shared arguments.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// The format of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Human-readable
    Table,
    /// One JSON object
    Json,
}

/// The shortest period. Each list reads every space, every namespace and every object of the operator.
const MIN_RELIST_PERIOD: Duration = Duration::from_secs(10);

/// Parses the relist period, which has a minimum.
fn relist_period(text: &str) -> Result<Period, String> {
    let period: Period = text.parse()?;
    if period.0 < MIN_RELIST_PERIOD {
        return Err("the shortest period is 10s: each list reads every object that the operator watches".to_owned());
    }
    Ok(period)
}

/// `host:port`, or `:port` for all addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BindAddress(pub SocketAddr);

impl FromStr for BindAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let full =
            if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.replacen("localhost:", "127.0.0.1:", 1) };
        full.parse().map(Self).map_err(|_| "must be an address and a port, such as :8081 or 127.0.0.1:8081".to_owned())
    }
}

/// An empty environment variable is treated as unset.
#[allow(clippy::unnecessary_wraps, reason = "the signature is clap's")]
fn namespace(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(if text.is_empty() { names::DEFAULT_OPERATOR_NAMESPACE } else { text }.to_owned())
}

/// A name or a pattern; an empty one is ignored. Any other text would silently protect no namespace.
pub(crate) fn pattern(text: &str) -> Result<String, String> {
    let pattern = text.trim();
    let is_allowed = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-' || char == '*';
    if pattern.chars().all(is_allowed) {
        return Ok(pattern.to_owned());
    }
    Err("must be names of namespaces, separated by commas, such as monitoring,istio-*".to_owned())
}

fn default_identity() -> String {
    let name = std::fs::read_to_string(PathBuf::from("/proc/sys/kernel/hostname")).unwrap_or_default();
    format!("{}-{}", if name.trim().is_empty() { names::OPERATOR } else { name.trim() }, std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_like_in_go() {
        for (text, address) in [
            (":8081", "0.0.0.0:8081"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("localhost:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(text.parse(), Ok(BindAddress(address.parse().unwrap())), "{text}");
        }
        assert!("8081".parse::<BindAddress>().is_err());
    }

    #[test]
    fn a_relist_period_is_at_least_ten_seconds() {
        for (text, expected) in [("10s", Some(10)), ("1h", Some(3_600)), ("9s", None), ("0s", None), ("often", None)] {
            assert_eq!(
                relist_period(text).ok(),
                expected.map(|seconds| Period(Duration::from_secs(seconds))),
                "{text}"
            );
        }
    }

    #[test]
    fn protected_namespaces_are_names_or_patterns_or_empty() {
        for (text, expected) in [
            ("", Some("")),
            (" \n", Some("")),
            ("monitoring", Some("monitoring")),
            (" istio-*\n", Some("istio-*")),
            ("a b", None),
            ("a;b", None),
        ] {
            assert_eq!(pattern(text).ok().as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_documented_command_lines_are_accepted() {
        for line in [
            "x run --workers 16 --leader-elect --health-bind-address :8081 --metrics-bind-address :8080 --protected-namespaces monitoring,istio-* --log-format json",
            "x gc --dry-run --max-deletions 30% --include-annotated --compat janitor,k8s-ttl-controller -o json",
            "x gc --max-deletions 5 -o table",
            "x approve --log-format json --identity approver-7",
            "x crds",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        }
        for line in [
            "x",
            "x run --workers 0",
            "x gc --max-deletions -1",
            "x gc --protected-namespaces Monitoring",
            "x gc --compat janitor",
            "x gc -o yaml",
            "x run --log-format xml",
            "x approve --leader-elect",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
