//! `events`: prints the Events about a space.

use chrono::{DateTime, Utc};
use clap::Args;
use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Time};
use kube::api::ListParams;

use super::{
    api_error::{ApiContext as _, error_message},
    args::OutputArgs,
    cluster::Cluster,
    format,
    lenient_list::{self, LenientList},
    output,
    progress::print_stderr,
    requests,
};
use crate::api::time::from_k8s;

/// Arguments of `events`.
#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// The space
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The Events about a space and about its namespace.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SpaceEvents {
    /// The Events that could be read, in chronological order.
    pub(crate) events: Vec<Event>,
    /// The number of Events that could not be read.
    pub(crate) unreadable: usize,
    /// The error of the list that failed, if the other one was read.
    pub(crate) failed: Option<String>,
}

impl SpaceEvents {
    /// A sentence about the Events that are omitted because they could not be read; `None` if there are none.
    pub(crate) fn omission(&self) -> Option<String> {
        match self.unreadable {
            0 => None,
            1 => Some("1 Event could not be read.".to_owned()),
            count => Some(format!("{count} Events could not be read.")),
        }
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) async fn run(cluster: &Cluster, args: &EventsArgs) -> anyhow::Result<()> {
    let found = fetch(cluster, &args.name).await?;
    let is_table = args.output.output.is_table();
    if found.is_empty() && is_table {
        // Events about a deleted space may still exist, so the space is read only if there are none.
        requests::get_space(cluster, &args.name).await?;
        print_stderr(&format!("No Events found for {}: the cluster keeps Events for about an hour.", args.name));
        return Ok(());
    }
    if !found.events.is_empty() || !is_table {
        output::print_objects(&args.output.output, &found.events, || {
            cluster.flags.add_to(&table(&found.events, cluster.now()))
        })?;
    }
    if let Some(omitted) = found.omission() {
        print_stderr(&omitted);
    }
    // The part that was read has been printed, but the command still fails, since the result is incomplete.
    found.failed.map_or(Ok(()), |failed| Err(anyhow::Error::msg(failed)))
}

/// The only namespace that can contain Events about cluster-scoped objects.
pub(crate) const CLUSTER_EVENT_NAMESPACE: &str = "default";

/// The Events about a space and about its namespace. Events that the caller may not read are omitted. Returns an error
/// if neither of the two lists can be read.
pub(crate) async fn fetch(cluster: &Cluster, name: &str) -> anyhow::Result<SpaceEvents> {
    let of_space = format!("regarding.kind=DeveloperSpace,regarding.name={name}");
    let of_namespace = format!("regarding.kind=Namespace,regarding.name={name}");
    let (of_space, of_namespace) =
        tokio::join!(fetch_from(cluster, CLUSTER_EVENT_NAMESPACE, &of_space), fetch_from(cluster, name, &of_namespace));
    merge(name, of_space, of_namespace).context_api(|| format!("list Events about DeveloperSpace {name}"))
}

type FetchedEvents = Result<LenientList<Event>, kube::Error>;

/// Combines the two lists. Users of the space write Events in its namespace only, so neither list depends on the other.
fn merge(name: &str, of_space: FetchedEvents, of_namespace: FetchedEvents) -> Result<SpaceEvents, kube::Error> {
    let failed = |namespace: &str, error: &kube::Error| {
        (!is_hidden(error)).then(|| format!("failed to list Events in namespace {namespace}: {}", error_message(error)))
    };
    let (parts, failed) = match (of_space, of_namespace) {
        (Ok(of_space), Ok(of_namespace)) => (vec![of_space, of_namespace], None),
        (Ok(found), Err(error)) => (vec![found], failed(name, &error)),
        (Err(error), Ok(found)) => (vec![found], failed(CLUSTER_EVENT_NAMESPACE, &error)),
        (Err(first), Err(second)) => return Err(if is_hidden(&first) { second } else { first }),
    };
    let unreadable = parts.iter().map(|part| part.errors.len()).sum();
    let mut events: Vec<Event> = parts.into_iter().flat_map(|part| part.objects).collect();
    events.sort_by_key(last_occurrence);
    Ok(SpaceEvents { events, unreadable, failed })
}

/// Returns true if the error only means that the caller may not read Events in that namespace.
fn is_hidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404))
}

async fn fetch_from(cluster: &Cluster, namespace: &str, fields: &str) -> FetchedEvents {
    lenient_list::list(cluster, Some(namespace), ListParams::default().fields(fields)).await
}

pub(crate) fn last_occurrence(event: &Event) -> Option<DateTime<Utc>> {
    let last = event.series.as_ref().map(|series| &series.last_observed_time).or(event.event_time.as_ref());
    last.and_then(|time| from_k8s(&Time(time.0)))
        .or_else(|| event.deprecated_last_timestamp.as_ref().and_then(from_k8s))
}

pub(crate) fn table(events: &[Event], now: DateTime<Utc>) -> String {
    let rows = events.iter().map(|event| {
        let age = last_occurrence(event).map_or_else(|| "-".to_owned(), |at| format::short_duration(now - at));
        let text = |text: Option<&str>| format::one_line(text.unwrap_or_default());
        [age, text(event.type_.as_deref()), text(event.reason.as_deref()), text(event.note.as_deref())]
    });
    output::table(["AGE", "TYPE", "REASON", "MESSAGE"], rows, false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(at: &str, reason: &str) -> Event {
        let value = json!({"metadata": {"name": reason}, "eventTime": at, "type": "Normal", "reason": reason, "note": "it is\nso\n"});
        serde_json::from_value(value).unwrap()
    }

    fn refused(code: u16) -> FetchedEvents {
        let status = json!({"status": "Failure", "code": code, "message": "no", "reason": "x"});
        Err(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
    }

    #[test]
    fn events_are_printed_one_on_each_line() {
        let mut again = event("2026-11-24T07:00:00.000000Z", "Warned");
        again.series =
            serde_json::from_value(json!({"count": 2, "lastObservedTime": "2026-11-24T08:59:30.000000Z"})).unwrap();
        let shown = table(
            &[event("2026-11-24T08:00:00.000000Z", "Provisioned"), again],
            "2026-11-24T09:00:00Z".parse().unwrap(),
        );
        let expected = "\
AGE   TYPE     REASON        MESSAGE
1h    Normal   Provisioned   it is so
30s   Normal   Warned        it is so";
        assert_eq!(shown, expected);
    }

    #[test]
    fn events_of_both_namespaces_are_merged_in_chronological_order() {
        let one = |at: &str, reason: &str| -> FetchedEvents {
            Ok(LenientList { objects: vec![event(at, reason)], errors: vec![] })
        };
        let early = || one("2026-11-24T08:00:00.000000Z", "Early");
        let late = || one("2026-11-24T08:30:00.000000Z", "Late");
        let merged =
            |of_space: FetchedEvents, of_namespace: FetchedEvents| merge("orchid-lab", of_space, of_namespace).unwrap();
        let all = |events: Vec<Event>| SpaceEvents { events, ..SpaceEvents::default() };
        let (first, second) = (early().unwrap().objects, late().unwrap().objects);
        assert_eq!(merged(late(), early()), all([first.clone(), second.clone()].concat()));
        assert_eq!(merged(refused(403), early()), all(first.clone()));
        assert_eq!(merged(late(), refused(404)), all(second.clone()));
        let failed = |namespace: &str| Some(format!("failed to list Events in namespace {namespace}: no"));
        assert_eq!(merged(late(), refused(500)), SpaceEvents { failed: failed("orchid-lab"), ..all(second) });
        assert_eq!(merged(refused(500), early()), SpaceEvents { failed: failed("default"), ..all(first) });
        for (of_space, of_namespace, code) in [(403, 403, 403), (403, 500, 500), (500, 403, 500)] {
            let error = merge("orchid-lab", refused(of_space), refused(of_namespace)).unwrap_err();
            assert!(matches!(&error, kube::Error::Api(status) if status.code == code), "{error:?}");
        }
    }

    #[test]
    fn events_that_cannot_be_read_are_counted() {
        let part = |errors: usize| -> FetchedEvents {
            Ok(LenientList { objects: vec![], errors: vec!["no text".to_owned(); errors] })
        };
        let omission = |of_space: FetchedEvents, of_namespace: FetchedEvents| {
            merge("orchid-lab", of_space, of_namespace).unwrap().omission()
        };
        assert_eq!(omission(part(0), part(0)), None);
        assert_eq!(omission(part(0), part(1)).as_deref(), Some("1 Event could not be read."));
        assert_eq!(omission(part(1), part(2)).as_deref(), Some("3 Events could not be read."));
    }

    #[test]
    fn control_characters_are_removed_from_events() {
        assert_eq!(format::one_line(" two\nlines\u{1b}[2J\n"), "two lines [2J");
    }
}
