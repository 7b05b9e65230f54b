//! `doctor`: explains why a space is not ready, why pods are rejected in it, and why its namespace stays terminating. Prints the commands that
//! fix each problem. Without a name: lists violations of class rules in all spaces, and namespaces that need an administrator.
//!
//! `fetch` and `survey` read the objects from the cluster. The checks evaluate these objects and send no requests.

mod admission;
mod children;
mod conflicts;
mod consent;
mod expiry;
mod failed_creates;
mod fetch;
mod fetched;
mod findings;
#[cfg(test)]
mod fixtures;
mod full_quotas;
mod limits;
mod network;
mod not_ready;
mod operator;
mod operator_deployment;
mod refused_pods;
mod similar_names;
mod snapshot;
mod spec_advice;
mod spellings;
mod stuck_namespace;
mod stuck_pods;
mod survey;
mod terminating;
mod unreadable;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use clap::Args;

use self::{
    findings::{Finding, led_text, listed, text},
    snapshot::Observed,
};
use super::{args::OutputArgs, cluster::Cluster, flags::Flags, output, progress};

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The space [default: all, checked against the rules of their classes]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// Print the commands that offer released namespaces to the spaces that wait for them; a command to review first is printed as a
    /// comment
    #[arg(long, conflicts_with = "name")]
    pub adopt_all: bool,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &DoctorArgs) -> anyhow::Result<()> {
    let Some(name) = &args.name else { return everything(cluster, args).await };
    let seen = Box::pin(fetch::look(cluster, name)).await?;
    let findings = with_flags(&cluster.flags, judge(&seen, cluster.now()));
    output::data(&args.output.output, &findings, || text(name, &findings))?;
    // The findings have been printed, but the command still fails if the space does not exist, or if it was not checked completely.
    ensure!(!seen.space.is_absent(), "there is no DeveloperSpace {name}");
    let unread = unreadable::unread(&seen);
    ensure!(unread.is_empty(), "the check of DeveloperSpace {name} is incomplete, because it could not read {}", listed(&unread));
    Ok(())
}

async fn everything(cluster: &Cluster, args: &DoctorArgs) -> anyhow::Result<()> {
    let all = survey::look(cluster).await?;
    if args.adopt_all {
        let commands = survey::adoptions(&all)?;
        if commands.is_empty() {
            progress::note("No namespace is waiting to be adopted.");
            return Ok(());
        }
        return output::print(&cluster.flags.on(&commands.join("\n")));
    }
    let findings = with_flags(&cluster.flags, survey::judge(&all, cluster.now()));
    let lead = cluster.flags.on(&survey::lead(&all, &findings));
    output::data(&args.output.output, &findings, || led_text(Some(lead), &findings))?;
    let unread = survey::unread(&all);
    ensure!(unread.is_empty(), "the check is incomplete, because it could not read {}", listed(&unread));
    Ok(())
}

/// The findings with the flags of this run in their commands.
fn with_flags(flags: &Flags, findings: Vec<Finding>) -> Vec<Finding> {
    let on = |finding: Finding| Finding {
        sentence: flags.on(&finding.sentence),
        commands: finding.commands.iter().map(|command| flags.on(command)).collect(),
        ..finding
    };
    findings.into_iter().map(on).collect()
}

/// A check: returns findings for the observed objects at the current time.
type Judge = fn(&Observed, DateTime<Utc>) -> Vec<Finding>;

/// The checks, in the order in which findings of the same severity are printed.
const JUDGES: [Judge; 12] = [
    not_ready::judge,
    terminating::judge,
    stuck_namespace::judge,
    children::judge,
    refused_pods::judge,
    stuck_pods::judge,
    full_quotas::judge,
    expiry::judge,
    consent::judge,
    spellings::judge,
    network::judge,
    unreadable::judge,
];

/// The findings of all checks, the most severe first.
fn judge(seen: &Observed, now: DateTime<Utc>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = JUDGES.iter().flat_map(|judge| judge(seen, now)).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fetched::Look, *};
    use crate::plugin::doctor::fixtures::{now, read, unready, well};

    #[test]
    fn a_space_that_is_well_has_nothing_but_notes() {
        let told = text("orchid-lab", &judge(&well(), now()));
        let expected = "\
No problems found with DeveloperSpace orchid-lab in the objects that could be read.

NOTE: Pods in namespace orchid-lab accept connections from their own namespace and from namespaces with \
kubernetes.io/metadata.name=ingress-front; others time out. To allow more connections, create a NetworkPolicy.
    kubectl -n orchid-lab get networkpolicies";
        assert_eq!(told, expected);
    }

    #[test]
    fn the_gravest_comes_first() {
        let mut seen = unready("InvalidSpec", "spec.ttl is too long");
        let full = json!({"metadata": {"name": "developerspace"}, "status": {"hard": {"pods": "4"}, "used": {"pods": "4"}}});
        seen.quotas = Look::Seen(vec![read(full)]);
        let severities: Vec<_> = judge(&seen, now()).into_iter().map(|finding| finding.severity).collect();
        assert!(severities.is_sorted() && severities.len() == 3, "{severities:?}");
    }
}
