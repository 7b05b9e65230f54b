//! `events`: prints the Events about a space.

use chrono::{DateTime, Utc};
use clap::Args;
use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::Time};
use kube::{Api, api::ListParams};

use super::{args::OutputArgs, cluster::Cluster, human, output, progress::note, spaces, told::Told};
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

pub(crate) async fn run(cluster: &Cluster, args: &EventsArgs) -> anyhow::Result<()> {
    let events = about(cluster, &args.name).await?;
    if events.is_empty() && args.output.output.is_table() {
        // Events about a deleted space may still exist, so the space is read only if there are none.
        spaces::get(cluster, &args.name).await?;
        note(&format!("No Events found for {}: the cluster keeps Events for about an hour.", args.name));
        return Ok(());
    }
    output::objects(&args.output.output, &events, || table(&events, cluster.now()))
}

/// The Events about a space and about its namespace, in chronological order. Events that the caller may not read are omitted. Returns an error
/// if the caller may read neither.
pub(crate) async fn about(cluster: &Cluster, name: &str) -> anyhow::Result<Vec<Event>> {
    let of_space = format!("regarding.kind=DeveloperSpace,regarding.name={name}");
    let of_namespace = format!("regarding.kind=Namespace,regarding.name={name}");
    let (of_space, of_namespace) = tokio::join!(read(cluster, "default", &of_space), read(cluster, name, &of_namespace));
    merge(of_space, of_namespace).told(|| format!("list Events about DeveloperSpace {name}"))
}

type Read = Result<Vec<Event>, kube::Error>;

fn merge(of_space: Read, of_namespace: Read) -> Read {
    let mut events = match (of_space, of_namespace) {
        (Ok(of_space), Ok(of_namespace)) => [of_space, of_namespace].concat(),
        (Ok(found), Err(error)) | (Err(error), Ok(found)) if is_hidden(&error) => found,
        (Err(error), _) | (_, Err(error)) => return Err(error),
    };
    events.sort_by_key(at);
    Ok(events)
}

/// Returns true if the error only means that the caller may not read Events in that namespace.
fn is_hidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404))
}

async fn read(cluster: &Cluster, namespace: &str, fields: &str) -> Read {
    let api: Api<Event> = Api::namespaced(cluster.client.clone(), namespace);
    Ok(api.list(&ListParams::default().fields(fields)).await?.items)
}

/// The time of the last occurrence.
pub(crate) fn at(event: &Event) -> Option<DateTime<Utc>> {
    let last = event.series.as_ref().map(|series| &series.last_observed_time).or(event.event_time.as_ref());
    last.and_then(|time| from_k8s(&Time(time.0))).or_else(|| event.deprecated_last_timestamp.as_ref().and_then(from_k8s))
}

/// The table of events.
pub(crate) fn table(events: &[Event], now: DateTime<Utc>) -> String {
    let rows = events.iter().map(|event| {
        let age = at(event).map_or_else(|| "-".to_owned(), |at| human::span(now - at));
        let text = |text: Option<&str>| human::one_line(text.unwrap_or_default());
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

    fn refused(code: u16) -> Read {
        let status = json!({"status": "Failure", "code": code, "message": "no", "reason": "x"});
        Err(kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
    }

    fn reasons(events: &[Event]) -> Vec<&str> {
        events.iter().filter_map(|event| event.reason.as_deref()).collect()
    }

    #[test]
    fn a_line_for_each_event() {
        let mut again = event("2026-11-24T07:00:00.000000Z", "Warned");
        again.series = serde_json::from_value(json!({"count": 2, "lastObservedTime": "2026-11-24T08:59:30.000000Z"})).unwrap();
        let shown = table(&[event("2026-11-24T08:00:00.000000Z", "Provisioned"), again], "2026-11-24T09:00:00Z".parse().unwrap());
        let expected = "\
AGE   TYPE     REASON        MESSAGE
1h    Normal   Provisioned   it is so
30s   Normal   Warned        it is so";
        assert_eq!(shown, expected);
    }

    #[test]
    fn both_places_are_told_in_the_order_of_time() {
        let early = || Ok(vec![event("2026-11-24T08:00:00.000000Z", "Early")]);
        let late = || Ok(vec![event("2026-11-24T08:30:00.000000Z", "Late")]);
        assert_eq!(reasons(&merge(late(), early()).unwrap()), ["Early", "Late"]);
        assert_eq!(reasons(&merge(refused(403), early()).unwrap()), ["Early"]);
        assert_eq!(reasons(&merge(late(), refused(404)).unwrap()), ["Late"]);
        assert!(merge(late(), refused(500)).is_err(), "an incomplete list is an error");
        assert!(merge(refused(403), refused(403)).is_err());
    }

    #[test]
    fn terminals_are_told_nothing_to_obey() {
        assert_eq!(human::one_line(" two\nlines\u{1b}[2J\n"), "two lines [2J");
    }
}
