//! Plain namespaces that carry a wish to expire, ours or another tool's. Read only by `gc --include-annotated`.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};

use crate::api::{duration::Ttl, names};

/// Other tools whose annotations are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Compat {
    /// kube-janitor: janitor/ttl, janitor/expires
    Janitor,
    /// k8s-ttl-controller: k8s-ttl-controller.twin.sh/ttl, .../refreshed-at
    K8sTtlController,
}

/// What the annotations of a namespace come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// None: not our business.
    None,
    /// It stays.
    Never,
    /// It ends then; by which annotation.
    At(DateTime<Utc>, &'static str),
    /// An annotation cannot be read, so nothing is done.
    Unreadable(String),
}

const JANITOR_TTL: &str = "janitor/ttl";
const JANITOR_EXPIRES: &str = "janitor/expires";
const TWIN_TTL: &str = "k8s-ttl-controller.twin.sh/ttl";
const TWIN_REFRESHED: &str = "k8s-ttl-controller.twin.sh/refreshed-at";

/// Reads the wish of a namespace made at `created`. Of several the earliest end counts; one that is unreadable spoils all.
pub fn wish(annotations: &BTreeMap<String, String>, created: DateTime<Utc>, compat: &[Compat]) -> Wish {
    let mut wishes = vec![expires(annotations, names::ANNOTATION_EXPIRES_AT), ttl(annotations, names::ANNOTATION_TTL, created)];
    if compat.contains(&Compat::Janitor) {
        wishes.extend([expires(annotations, JANITOR_EXPIRES), ttl(annotations, JANITOR_TTL, created)]);
    }
    if compat.contains(&Compat::K8sTtlController) {
        wishes.push(match annotations.get(TWIN_REFRESHED).map(|text| time(text)) {
            Some(None) => unreadable(TWIN_REFRESHED, annotations),
            Some(Some(refreshed)) => ttl(annotations, TWIN_TTL, refreshed.max(created)),
            None => ttl(annotations, TWIN_TTL, created),
        });
    }
    wishes.into_iter().fold(Wish::None, combine)
}

fn combine(one: Wish, other: Wish) -> Wish {
    match (one, other) {
        (Wish::Unreadable(why), _) | (_, Wish::Unreadable(why)) => Wish::Unreadable(why),
        (Wish::Never, _) | (_, Wish::Never) => Wish::Never,
        (Wish::None, wish) | (wish, Wish::None) => wish,
        (Wish::At(a, by), Wish::At(b, other)) => {
            if a <= b {
                Wish::At(a, by)
            } else {
                Wish::At(b, other)
            }
        }
    }
}

fn expires(annotations: &BTreeMap<String, String>, key: &'static str) -> Wish {
    match annotations.get(key).map(|text| time(text)) {
        None => Wish::None,
        Some(Some(at)) => Wish::At(at, key),
        Some(None) => unreadable(key, annotations),
    }
}

fn ttl(annotations: &BTreeMap<String, String>, key: &'static str, anchor: DateTime<Utc>) -> Wish {
    let Some(text) = annotations.get(key) else { return Wish::None };
    match text.to_lowercase().parse::<Ttl>() {
        Ok(Ttl::Never) => Wish::Never,
        Ok(Ttl::After(span)) => anchor.checked_add_signed(span).map_or(Wish::Never, |at| Wish::At(at, key)),
        Err(_) => unreadable(key, annotations),
    }
}

fn unreadable(key: &str, annotations: &BTreeMap<String, String>) -> Wish {
    let text: String = annotations.get(key).into_iter().flat_map(|text| text.chars()).take(64).collect();
    Wish::Unreadable(format!("annotation {key}: {text:?} cannot be read"))
}

/// RFC 3339, or as kube-janitor a time without zone or a bare date, both in UTC.
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
    fn wishes_are_read_with_and_without_compat() {
        let both = [Compat::Janitor, Compat::K8sTtlController];
        let created: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        let day = |day: u32| Wish::At(format!("2026-11-{day:02}T00:00:00Z").parse().unwrap(), "");
        let strip = |wish| if let Wish::At(at, _) = wish { Wish::At(at, "") } else { wish };
        for (annotations, compat, expected) in [
            (vec![], &both[..], Wish::None),
            (vec![(names::ANNOTATION_TTL, "7d")], &[], day(8)),
            (vec![(names::ANNOTATION_EXPIRES_AT, "2026-11-05")], &[], day(5)),
            (vec![(names::ANNOTATION_TTL, "7d"), (names::ANNOTATION_EXPIRES_AT, "2026-11-05T00:00:00Z")], &[], day(5)),
            (vec![(names::ANNOTATION_TTL, "never"), (names::ANNOTATION_EXPIRES_AT, "2026-11-05T00:00:00Z")], &[], Wish::Never),
            (vec![(JANITOR_TTL, "2d")], &[], Wish::None),
            (vec![(JANITOR_TTL, "2d")], &both, day(3)),
            (vec![(JANITOR_TTL, "FOREVER")], &both, Wish::Never),
            (vec![(JANITOR_EXPIRES, "2026-11-04T00:00")], &both, day(4)),
            (vec![(TWIN_TTL, "3d"), (TWIN_REFRESHED, "2026-11-10T00:00:00Z")], &both, day(13)),
        ] {
            let map = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            assert_eq!(strip(wish(&map, created, compat)), expected, "{annotations:?} {compat:?}");
        }
    }

    #[test]
    fn what_cannot_be_read_deletes_nothing() {
        let created: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().unwrap();
        for (key, value) in [(names::ANNOTATION_TTL, "7"), (names::ANNOTATION_EXPIRES_AT, "tomorrow"), (TWIN_REFRESHED, "x")] {
            let map = [(key.to_owned(), value.to_owned()), (JANITOR_TTL.to_owned(), "1s".to_owned())].into();
            let wish = wish(&map, created, &[Compat::Janitor, Compat::K8sTtlController]);
            assert!(matches!(wish, Wish::Unreadable(_)), "{key}={value}: {wish:?}");
        }
    }
}
