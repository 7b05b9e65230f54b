//! The setting that determines when a space ends, which also determines if a renewal moves the end.

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt as _;

use super::{human, list::ends};
use crate::{
    api::{
        DeveloperSpace, SpaceClass,
        duration::{Ttl, format_duration, parse_duration},
        time::rfc3339,
    },
    desired::term::created,
};

/// The setting that determines an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetBy {
    /// The ttl: a renewal moves the end.
    Ttl,
    /// `maxLifetime` of the class: no renewal moves the end.
    MaxLifetime(TimeDelta),
    /// `spec.expiresAt`: no renewal moves the end.
    Date,
}

/// The setting that determines the end of `space`; `None` for a space without an end.
pub(crate) fn set_by(space: &DeveloperSpace, class: Option<&SpaceClass>) -> Option<SetBy> {
    let end = ends(space)?;
    // A notice can move the end past maxLifetime.
    let capped = max_lifetime(space, class).filter(|longest| created(space).checked_add_signed(*longest).is_some_and(|last| end >= last));
    let dated = date(space).filter(|at| end >= *at);
    Some(match (capped, dated) {
        (Some(longest), _) => SetBy::MaxLifetime(longest),
        (None, Some(_)) => SetBy::Date,
        (None, None) => SetBy::Ttl,
    })
}

/// The `spec.expiresAt` in force: the last accepted one, or the one of the spec if the status has no terms. That of a refused spec has no effect.
fn date(space: &DeveloperSpace) -> Option<DateTime<Utc>> {
    match space.status.as_ref().and_then(|status| status.terms.as_ref()) {
        Some(terms) => terms.expires_at,
        None => space.spec.expires_at,
    }
}

/// The maximum lifetime under the terms in force.
fn max_lifetime(space: &DeveloperSpace, class: Option<&SpaceClass>) -> Option<TimeDelta> {
    let terms = space.status.as_ref().and_then(|status| status.terms.as_ref());
    let text = match (terms, class) {
        (Some(terms), _) => terms.max_lifetime.as_deref(),
        (None, Some(class)) => class.in_force().unwrap_or(&class.spec).lifetime.as_ref()?.max_lifetime.as_deref(),
        (None, None) => None,
    };
    parse_duration(text?).ok()
}

/// The ttl in force; `None` if the status contains none, or if it is `never`.
fn ttl(space: &DeveloperSpace) -> Option<TimeDelta> {
    let terms = space.status.as_ref()?.terms.as_ref()?;
    match terms.ttl.as_deref()?.parse().ok()? {
        Ttl::After(span) => Some(span),
        Ttl::Never => None,
    }
}

/// Explains why a renewal does not move the end, and what to do instead; `None` if a renewal moves it.
pub(crate) fn unmoved(space: &DeveloperSpace, set_by: SetBy) -> Option<String> {
    let name = space.name_any();
    match set_by {
        SetBy::Ttl => None,
        SetBy::MaxLifetime(longest) => Some(format!(
            "a renewal does not extend its lifetime, because its SpaceClass limits the lifetime of a space to {} (lifetime.maxLifetime): \
            create another space with `kubectl dspace create OTHER-NAME`, or move this space to a class that allows a longer lifetime",
            format_duration(longest)
        )),
        SetBy::Date => Some(format!(
            "a renewal does not extend its lifetime, because spec.expiresAt sets the end: set a later date with \
            `kubectl edit dspace {name}`, or set a ttl with `kubectl dspace renew {name} --ttl DURATION`"
        )),
    }
}

/// Describes the result of a renewal at `renewed`: the new end of the space, and the part of the ttl that was not granted.
pub(crate) fn gained(
    before: Option<DateTime<Utc>>,
    space: &DeveloperSpace,
    class: Option<&SpaceClass>,
    (renewed, now): (DateTime<Utc>, DateTime<Utc>),
) -> String {
    let (Some(end), Some(set_by)) = (ends(space), set_by(space, class)) else { return "renewed: never expires".to_owned() };
    let ends_at = format!("{} ({})", human::from_now(now, end), rfc3339(end));
    let why = unmoved(space, set_by);
    let gain = before.map(|before| end - before);
    let asked = ttl(space).and_then(|ttl| renewed.checked_add_signed(ttl));
    match (why, gain) {
        (Some(why), Some(gain)) if gain < TimeDelta::seconds(1) => format!("not renewed: expires {ends_at} as before, and {why}"),
        (Some(why), gain) if asked.is_some_and(|asked| end < asked) => {
            let gain = gain.map(|gain| format!("{} later than before and ", human::span(gain))).unwrap_or_default();
            let short = asked.map(|asked| human::span(asked - end)).unwrap_or_default();
            format!("renewed: expires {ends_at}, {gain}{short} earlier than its ttl specifies; from now on {why}")
        }
        _ => format!("renewed: expires {ends_at}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// The space fern-lab, created at 09:00, which expires at `end` according to its status, with a ttl of 5m and a maxLifetime of 6m. The spec is
    /// accepted.
    fn space(end: &str, spec: &Value) -> DeveloperSpace {
        let mut owned = json!({"owner": {"kind": "User", "name": "nadia@example.com"}});
        owned.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": "fern-lab", "creationTimestamp": "2026-11-24T09:00:00Z"},
            "spec": owned,
            "status": {"expiresAt": end, "terms": {"ttl": "5m", "expiresAt": spec["expiresAt"], "maxTTL": "5m", "maxLifetime": "6m"}},
        }))
        .unwrap()
    }

    #[test]
    fn an_end_is_set_by_the_lowest_ceiling() {
        let dated = json!({"expiresAt": "2026-11-24T09:04:00Z"});
        for (end, spec, expected) in [
            ("2026-11-24T09:05:00Z", json!({}), SetBy::Ttl),
            ("2026-11-24T09:06:00Z", json!({}), SetBy::MaxLifetime(TimeDelta::minutes(6))),
            // A notice extends the end past maxLifetime.
            ("2026-11-24T09:07:00Z", json!({}), SetBy::MaxLifetime(TimeDelta::minutes(6))),
            ("2026-11-24T09:04:00Z", dated.clone(), SetBy::Date),
            // A spec.expiresAt beyond the class's maxTTL: renewals move the end toward that date.
            ("2026-11-24T09:03:00Z", dated, SetBy::Ttl),
        ] {
            assert_eq!(set_by(&space(end, &spec), None), Some(expected), "{end}");
        }
        // A spec that was refused: the ttl that was accepted before it is in force.
        let mut refused = space("2026-11-24T09:04:30Z", &json!({"expiresAt": "2026-11-24T09:04:00Z"}));
        refused.status.as_mut().unwrap().terms.as_mut().unwrap().expires_at = None;
        assert_eq!(set_by(&refused, None), Some(SetBy::Ttl));
        let mut upgraded = refused;
        upgraded.status.as_mut().unwrap().terms = None;
        assert_eq!(set_by(&upgraded, None), Some(SetBy::Date));
        let mut endless = space("2026-11-24T09:05:00Z", &json!({}));
        endless.status.as_mut().unwrap().expires_at = None;
        assert_eq!(set_by(&endless, None), None);
    }

    #[test]
    fn a_renewal_says_what_was_gained() {
        let (renewed, now) = (at("2026-11-24T09:02:00Z"), at("2026-11-24T09:02:00Z"));
        let before = Some(at("2026-11-24T09:05:00Z"));
        let told = |end: &str, before| gained(before, &space(end, &json!({})), None, (renewed, now));
        let why = "a renewal does not extend its lifetime, because its SpaceClass limits the lifetime of a space to 6m \
            (lifetime.maxLifetime): create another space with `kubectl dspace create OTHER-NAME`, or move this space to a class that \
            allows a longer lifetime";
        assert_eq!(
            told("2026-11-24T09:06:00Z", before),
            format!(
                "renewed: expires in 4m (2026-11-24T09:06:00Z), 1m later than before and 1m earlier than its ttl specifies; from now on \
                {why}"
            )
        );
        assert_eq!(
            told("2026-11-24T09:06:00Z", Some(at("2026-11-24T09:06:00Z"))),
            format!("not renewed: expires in 4m (2026-11-24T09:06:00Z) as before, and {why}")
        );
        let mut roomy = space("2026-11-24T09:07:00Z", &json!({}));
        roomy.status.as_mut().unwrap().terms.as_mut().unwrap().max_lifetime = None;
        assert_eq!(gained(before, &roomy, None, (renewed, now)), "renewed: expires in 5m (2026-11-24T09:07:00Z)");
        roomy.status.as_mut().unwrap().expires_at = None;
        assert_eq!(gained(before, &roomy, None, (renewed, now)), "renewed: never expires");
    }
}
