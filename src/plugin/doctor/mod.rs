//! `doctor`: explains why a space is not ready, why pods are rejected in it, and why its namespace stays terminating.
//! Prints the commands that fix each problem. Without a name: lists violations of class rules in all spaces, and
//! namespaces that need an administrator.
//!
//! `fetch` and `survey` read the objects from the cluster. The checks evaluate these objects and send no requests.

mod adoption;
mod children;
mod conflicts;
mod diagnosis;
mod expiry;
mod failed_creates;
mod fetch;
mod fetched;
#[cfg(test)]
mod fixtures;
mod full_quotas;
mod limit_ranges;
mod network;
mod noncompliance;
mod not_ready;
mod operator;
mod operator_deployment;
mod pod_rejection;
mod rejected_pods;
mod similar_names;
mod snapshot;
mod spec_advice;
mod spellings;
mod stuck_namespace;
mod stuck_pods;
mod survey;
mod terminating;
mod unreadable;
mod unvalidated_class;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use clap::Args;

use self::{
    diagnosis::{Diagnosis, and_list, report, report_with_lead},
    snapshot::ClusterSnapshot,
};
use super::{args::OutputArgs, cluster::Cluster, flags::Flags, output, progress};

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The space [default: all, checked against the rules of their classes]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// Print the commands that offer released namespaces to the spaces that wait for them; a command to review first is
    /// printed as a comment
    #[arg(long, conflicts_with = "name")]
    pub adopt_all: bool,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &DoctorArgs) -> anyhow::Result<()> {
    let Some(name) = &args.name else { return run_survey(cluster, args).await };
    let snapshot = Box::pin(fetch::fetch(cluster, name)).await?;
    let diagnoses = with_flags(&cluster.flags, diagnose(&snapshot, cluster.now()));
    output::print_data(&args.output.output, &diagnoses, || report(name, &diagnoses))?;
    // The diagnoses have been printed, but the command still fails if the space does not exist, or if it was not
    // checked completely.
    ensure!(!snapshot.space.is_absent(), "there is no DeveloperSpace {name}");
    let unread = unreadable::unread_requirements(&snapshot);
    ensure!(
        unread.is_empty(),
        "the check of DeveloperSpace {name} is incomplete, because it could not read {}",
        and_list(&unread)
    );
    Ok(())
}

async fn run_survey(cluster: &Cluster, args: &DoctorArgs) -> anyhow::Result<()> {
    let survey = survey::fetch(cluster).await?;
    if args.adopt_all {
        let commands = adoption::adoption_commands(&survey)?;
        if commands.is_empty() {
            progress::print_stderr("No namespace is waiting to be adopted.");
            return Ok(());
        }
        return output::print(&cluster.flags.add_to(&commands.join("\n")));
    }
    let diagnoses = with_flags(&cluster.flags, survey::diagnose(&survey, cluster.now()));
    let lead = cluster.flags.add_to(&survey::headline(&survey, &diagnoses));
    output::print_data(&args.output.output, &diagnoses, || report_with_lead(Some(lead), &diagnoses))?;
    let unread = survey::unread_kinds(&survey);
    ensure!(unread.is_empty(), "the check is incomplete, because it could not read {}", and_list(&unread));
    Ok(())
}

/// The diagnoses with the flags of this run in their commands.
fn with_flags(flags: &Flags, diagnoses: Vec<Diagnosis>) -> Vec<Diagnosis> {
    let on = |diagnosis: Diagnosis| Diagnosis {
        sentence: flags.add_to(&diagnosis.sentence),
        commands: diagnosis.commands.iter().map(|command| flags.add_to(command)).collect(),
        ..diagnosis
    };
    diagnoses.into_iter().map(on).collect()
}

/// A check: returns diagnoses for the observed objects at the current time.
type Check = fn(&ClusterSnapshot, DateTime<Utc>) -> Vec<Diagnosis>;

/// The checks, in the order in which diagnoses of the same severity are printed.
const CHECKS: [Check; 13] = [
    not_ready::diagnose,
    terminating::diagnose,
    stuck_namespace::diagnose,
    children::diagnose,
    rejected_pods::diagnose,
    stuck_pods::diagnose,
    full_quotas::diagnose,
    expiry::diagnose,
    noncompliance::diagnose,
    unvalidated_class::diagnose,
    spellings::diagnose,
    network::diagnose,
    unreadable::diagnose,
];

/// The diagnoses of all checks, the most severe first.
fn diagnose(snapshot: &ClusterSnapshot, now: DateTime<Utc>) -> Vec<Diagnosis> {
    let mut diagnoses: Vec<Diagnosis> = CHECKS.iter().flat_map(|check| check(snapshot, now)).collect();
    diagnoses.sort_by_key(|diagnosis| diagnosis.severity);
    diagnoses
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{fetched::Fetched, *};
    use crate::plugin::doctor::fixtures::{healthy, now, parse, unready};

    #[test]
    fn a_healthy_space_has_only_notes() {
        let told = report("orchid-lab", &diagnose(&healthy(), now()));
        let expected = "\
No problems found with DeveloperSpace orchid-lab in the objects that could be read.

NOTE: Pods in namespace orchid-lab accept connections from their own namespace and from namespaces with \
kubernetes.io/metadata.name=ingress-front; others time out. To allow more connections, create a NetworkPolicy.
    kubectl -n orchid-lab get networkpolicies";
        assert_eq!(told, expected);
    }

    #[test]
    fn the_most_severe_diagnosis_comes_first() {
        let mut snapshot = unready("InvalidSpec", "spec.ttl is too long");
        let full =
            json!({"metadata": {"name": "developerspace"}, "status": {"hard": {"pods": "4"}, "used": {"pods": "4"}}});
        snapshot.quotas = Fetched::Found(vec![parse(full)]);
        let severities: Vec<_> = diagnose(&snapshot, now()).into_iter().map(|diagnosis| diagnosis.severity).collect();
        assert!(severities.is_sorted() && severities.len() == 3, "{severities:?}");
    }
}
