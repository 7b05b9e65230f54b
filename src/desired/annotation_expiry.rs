//! Plain namespaces with an annotation that asks for an expiry, of the operator's keys or of another tool's. Read only
//! by `gc --include-annotated`.
//!
//! A namespace with a mark of a space is not plain, whatever annotations it has: only its space, if that exists,
//! decides about it.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use super::foreign_ttl;
use crate::api::{duration::parse_duration, names};

/// Other tools whose annotations are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compat {
    /// kube-janitor: janitor/ttl, janitor/expires
    Janitor,
    /// k8s-ttl-controller: k8s-ttl-controller.twin.sh/ttl, .../refreshed-at
    K8sTtlController,
}

/// The expiry that the annotations of a namespace ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RequestedExpiry {
    /// No annotation asks for an expiry.
    None,
    /// The namespace does not expire.
    Never,
    /// The namespace expires at that time, by that annotation.
    At(DateTime<Utc>, &'static str),
    /// An annotation cannot be read, so nothing is done.
    Unreadable(String),
}

/// Reads a time to live as the annotation's tool writes it.
type Read = fn(&str) -> Option<TimeDelta>;

const JANITOR_TTL: &str = "janitor/ttl";
const JANITOR_EXPIRES: &str = "janitor/expires";
const TWIN_TTL: &str = "k8s-ttl-controller.twin.sh/ttl";
const TWIN_REFRESHED: &str = "k8s-ttl-controller.twin.sh/refreshed-at";

/// All annotations that are read.
const EXPIRY_ANNOTATIONS: [&str; 6] =
    [names::ANNOTATION_TTL, names::ANNOTATION_EXPIRES_AT, JANITOR_TTL, JANITOR_EXPIRES, TWIN_TTL, TWIN_REFRESHED];

/// Returns true if `annotation` asks for an expiry, readable or not.
pub(crate) fn is_expiry_annotation(annotation: &str) -> bool {
    EXPIRY_ANNOTATIONS.contains(&annotation)
}

/// Returns true if a namespace was created for a space, released by one or offered to one: it has the operator's
/// managed-by label, or a key of the operator's prefix that asks for no expiry. One mark is enough, since an
/// administrator who removes marks by hand may leave others.
pub(crate) fn is_marked(labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> bool {
    let is_managed = labels.get(names::LABEL_MANAGED_BY).is_some_and(|by| by == names::OPERATOR);
    is_managed
        || labels
            .keys()
            .chain(annotations.keys())
            .any(|key| key.starts_with(names::PREFIX) && !is_expiry_annotation(key))
}

/// Reads the annotations of a namespace that was created at `created`. The earliest of several ends counts. `never`
/// overrides every end, and an unreadable annotation overrides both.
pub(crate) fn requested_expiry(
    annotations: &BTreeMap<String, String>,
    created: DateTime<Utc>,
    compat: &[Compat],
) -> RequestedExpiry {
    let ttl = |key, anchor, read: Read| ttl(annotations, key, anchor, read);
    let ours: Read = |text| parse_duration(text).ok();
    let mut requests =
        vec![expires(annotations, names::ANNOTATION_EXPIRES_AT), ttl(names::ANNOTATION_TTL, created, ours)];
    if compat.contains(&Compat::Janitor) {
        requests.extend([expires(annotations, JANITOR_EXPIRES), ttl(JANITOR_TTL, created, foreign_ttl::janitor)]);
    }
    if compat.contains(&Compat::K8sTtlController) {
        requests.push(match annotations.get(TWIN_REFRESHED).map(|text| time(text)) {
            Some(None) => unreadable(TWIN_REFRESHED, annotations),
            Some(Some(refreshed)) => ttl(TWIN_TTL, refreshed.max(created), foreign_ttl::go),
            None => ttl(TWIN_TTL, created, foreign_ttl::go),
        });
    }
    match requests.into_iter().fold(RequestedExpiry::None, combine) {
        // Go programs write an unset time as the first second of the year 1.
        RequestedExpiry::At(at, key) if at.year() <= 1 => unreadable(key, annotations),
        requested_expiry => requested_expiry,
    }
}

fn combine(one: RequestedExpiry, other: RequestedExpiry) -> RequestedExpiry {
    match (one, other) {
        (RequestedExpiry::Unreadable(why), _) | (_, RequestedExpiry::Unreadable(why)) => {
            RequestedExpiry::Unreadable(why)
        }
        (RequestedExpiry::Never, _) | (_, RequestedExpiry::Never) => RequestedExpiry::Never,
        (RequestedExpiry::None, requested_expiry) | (requested_expiry, RequestedExpiry::None) => requested_expiry,
        (RequestedExpiry::At(a, by), RequestedExpiry::At(b, other)) => {
            if a <= b {
                RequestedExpiry::At(a, by)
            } else {
                RequestedExpiry::At(b, other)
            }
        }
    }
}

fn expires(annotations: &BTreeMap<String, String>, key: &'static str) -> RequestedExpiry {
    match annotations.get(key).map(|text| time(text)) {
        None => RequestedExpiry::None,
        Some(Some(at)) => RequestedExpiry::At(at, key),
        Some(None) => unreadable(key, annotations),
    }
}

/// Only the words are read in any case: `6M`, by which its author may mean six months, must not become six minutes.
fn ttl(
    annotations: &BTreeMap<String, String>,
    key: &'static str,
    anchor: DateTime<Utc>,
    read: Read,
) -> RequestedExpiry {
    let Some(text) = annotations.get(key) else { return RequestedExpiry::None };
    if ["never", "forever"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return RequestedExpiry::Never;
    }
    match read(text) {
        Some(span) => anchor.checked_add_signed(span).map_or(RequestedExpiry::Never, |at| RequestedExpiry::At(at, key)),
        None => unreadable(key, annotations),
    }
}

fn unreadable(key: &str, annotations: &BTreeMap<String, String>) -> RequestedExpiry {
    let text: String = annotations.get(key).into_iter().flat_map(|text| text.chars()).take(64).collect();
    RequestedExpiry::Unreadable(format!("annotation {key}: {text:?} cannot be read"))
}

/// Reads RFC 3339 or, as kube-janitor does, a time without a zone or a bare date, both in UTC.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let rfc3339 = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    let minute = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M").map(|time| time.and_utc());
    let date = || NaiveDate::parse_from_str(text, "%Y-%m-%d").map(|date| date.and_time(NaiveTime::MIN).and_utc());
    rfc3339.or_else(|_| minute()).or_else(|_| date()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_expiries_are_read_with_and_without_compat() {
        let both = [Compat::Janitor, Compat::K8sTtlController];
        let created: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        let day = |day: u32| RequestedExpiry::At(format!("2026-11-{day:02}T00:00:00Z").parse().unwrap(), "");
        let strip = |requested_expiry| {
            if let RequestedExpiry::At(at, _) = requested_expiry {
                RequestedExpiry::At(at, "")
            } else {
                requested_expiry
            }
        };
        for (annotations, compat, expected) in [
            (vec![], &both[..], RequestedExpiry::None),
            (vec![(names::ANNOTATION_TTL, "7d")], &[], day(8)),
            (vec![(names::ANNOTATION_EXPIRES_AT, "2026-11-05")], &[], day(5)),
            (vec![(names::ANNOTATION_TTL, "7d"), (names::ANNOTATION_EXPIRES_AT, "2026-11-05T00:00:00Z")], &[], day(5)),
            (
                vec![(names::ANNOTATION_TTL, "never"), (names::ANNOTATION_EXPIRES_AT, "2026-11-05T00:00:00Z")],
                &[],
                RequestedExpiry::Never,
            ),
            (vec![(JANITOR_TTL, "2d")], &[], RequestedExpiry::None),
            (vec![(JANITOR_TTL, "2d")], &both, day(3)),
            (vec![(JANITOR_TTL, "FOREVER")], &both, RequestedExpiry::Never),
            (vec![(TWIN_TTL, "Never")], &both, RequestedExpiry::Never),
            (vec![(names::ANNOTATION_TTL, "Forever")], &[], RequestedExpiry::Never),
            (vec![(TWIN_TTL, "1.5d12h")], &both, day(3)),
            (vec![(JANITOR_EXPIRES, "2026-11-04T00:00")], &both, day(4)),
            (vec![(TWIN_TTL, "3d"), (TWIN_REFRESHED, "2026-11-10T00:00:00Z")], &both, day(13)),
        ] {
            let map = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(strip(requested_expiry(&map, created, compat)), expected, "{annotations:?} {compat:?}");
        }
    }

    #[test]
    fn the_admission_policy_has_the_same_annotations() {
        let policy = include_str!("../../config/policy/sweep-confined.yaml");
        let list = EXPIRY_ANNOTATIONS.map(|key| format!("'{key}'")).join(", ");
        assert!(policy.contains(&format!("[{list}]")), "config/policy/sweep-confined.yaml lacks [{list}]");
    }

    #[test]
    fn a_namespace_with_any_mark_of_a_space_is_marked() {
        let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        for (labels, annotations, expected) in [
            (map("app.kubernetes.io/managed-by", "developerspace-operator"), map("developerspace.dev/ttl", "1s"), true),
            (map("app.kubernetes.io/managed-by", "Helm"), map("developerspace.dev/ttl", "1s"), false),
            (map("developerspace.dev/space", "heath-lab"), BTreeMap::new(), true),
            (map("developerspace.dev/released", "true"), BTreeMap::new(), true),
            (BTreeMap::new(), map("developerspace.dev/space-uid", "space-1"), true),
            (BTreeMap::new(), map("developerspace.dev/released-from", "heath-lab/space-1"), true),
            (BTreeMap::new(), map("developerspace.dev/adopt", "heath-lab/space-1"), true),
            (BTreeMap::new(), map("developerspace.dev/owner", "User:ines@example.com"), true),
            (map("developerspace.dev/class", "meadow"), BTreeMap::new(), true),
            (map("developerspace.dev/ttl", "7d"), map("developerspace.dev/ttl", "7d"), false),
            (BTreeMap::new(), map("developerspace.dev/expires-at", "2026-11-05T00:00:00Z"), false),
            (BTreeMap::new(), map("developerspace.dev/ttl", "7d"), false),
            (map("example.com/team", "heath"), map("janitor/ttl", "7d"), false),
        ] {
            assert_eq!(is_marked(&labels, &annotations), expected, "{labels:?} {annotations:?}");
        }
    }

    #[test]
    fn an_unreadable_annotation_deletes_nothing() {
        let created: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        for (key, value) in [
            (names::ANNOTATION_TTL, "7"),
            (names::ANNOTATION_TTL, "0"),
            (names::ANNOTATION_TTL, "6M"),
            (names::ANNOTATION_TTL, "1.5h"),
            (names::ANNOTATION_EXPIRES_AT, "tomorrow"),
            (JANITOR_TTL, "6M"),
            (JANITOR_TTL, "-1"),
            (JANITOR_TTL, "1d12h"),
            (TWIN_TTL, "6M"),
            (TWIN_REFRESHED, "x"),
            (names::ANNOTATION_EXPIRES_AT, "0001-01-01T00:00:00Z"),
            (JANITOR_EXPIRES, "0001-01-01"),
        ] {
            let other = if key == JANITOR_TTL { names::ANNOTATION_TTL } else { JANITOR_TTL };
            let map = [(key.to_owned(), value.to_owned()), (other.to_owned(), "1s".to_owned())].into();
            let requested_expiry = requested_expiry(&map, created, &[Compat::Janitor, Compat::K8sTtlController]);
            assert!(matches!(requested_expiry, RequestedExpiry::Unreadable(_)), "{key}={value}: {requested_expiry:?}");
        }
    }
}
