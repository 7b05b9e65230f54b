//! The setting that determines when a space ends, which also determines if a renewal moves the end.

use chrono::{DateTime, TimeDelta, Utc};
use kube::ResourceExt as _;

use super::{format, spaces};
use crate::{
    api::{
        DeveloperSpace, SpaceClass,
        duration::{Ttl, format_duration, parse_duration},
        time::rfc3339,
    },
    desired::lifetime::inputs::created,
};

/// The setting that determines an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpirySource {
    /// The ttl: a renewal moves the end.
    Ttl,
    /// `maxLifetime` of the class: no renewal moves the end.
    MaxLifetime(TimeDelta),
    /// `spec.expiresAt`: no renewal moves the end.
    Date,
}

/// The setting that determines the end of `space`; `None` for a space without an end.
pub(crate) fn expiry_source(space: &DeveloperSpace, class: Option<&SpaceClass>) -> Option<ExpirySource> {
    let end = spaces::expires_at(space)?;
    // A notice can move the end past maxLifetime.
    let capped = max_lifetime(space, class)
        .filter(|longest| created(space).checked_add_signed(*longest).is_some_and(|last| end >= last));
    let dated = date_in_force(space).filter(|at| end >= *at);
    Some(match (capped, dated) {
        (Some(longest), _) => ExpirySource::MaxLifetime(longest),
        (None, Some(_)) => ExpirySource::Date,
        (None, None) => ExpirySource::Ttl,
    })
}

/// The `spec.expiresAt` in force: the last accepted one, or that of the spec if the space was never admitted. That of a
/// refused spec has no effect. `None` for an admitted space whose status has no terms: a renewal moves the expiry in
/// its status.
fn date_in_force(space: &DeveloperSpace) -> Option<DateTime<Utc>> {
    let status = space.status.as_ref();
    match status.and_then(|status| status.terms.as_ref()) {
        Some(terms) => terms.expires_at,
        None if status.is_some_and(|status| status.namespace.is_some()) => None,
        None => space.spec.expires_at,
    }
}

/// Returns true if the date in force is that of the spec. The operator rounds an accepted date up to whole seconds.
fn is_date_of_spec(space: &DeveloperSpace) -> bool {
    date_in_force(space)
        .zip(space.spec.expires_at)
        .is_some_and(|(in_force, asked)| (in_force - asked).num_seconds() == 0)
}

/// The reason why a renewal without a new ttl is refused before it is sent; `None` if it is sent, for example because
/// the spec no longer sets the date in force and the operator has not observed that yet.
pub(crate) fn renewal_refusal(space: &DeveloperSpace) -> Option<String> {
    let is_dated = expiry_source(space, None) == Some(ExpirySource::Date)
        && (space.spec.expires_at.is_some() || spaces::is_observed(space));
    is_dated.then(|| renewal_obstacle(space, ExpirySource::Date)).flatten()
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
fn ttl_in_force(space: &DeveloperSpace) -> Option<TimeDelta> {
    let terms = space.status.as_ref()?.terms.as_ref()?;
    match terms.ttl.as_deref()?.parse().ok()? {
        Ttl::After(span) => Some(span),
        Ttl::Never => None,
    }
}

/// Explains why a renewal does not move the end, and what to do instead; `None` if a renewal moves it.
pub(crate) fn renewal_obstacle(space: &DeveloperSpace, source: ExpirySource) -> Option<String> {
    let name = space.name_any();
    match source {
        ExpirySource::Ttl => None,
        ExpirySource::MaxLifetime(longest) => Some(format!(
            "a renewal does not extend its lifetime, because its SpaceClass limits the lifetime of a space to {} (lifetime.maxLifetime): \
            create another space with `kubectl dspace create OTHER-NAME`, or move this space to a class that allows a longer lifetime",
            format_duration(longest)
        )),
        ExpirySource::Date if is_date_of_spec(space) => Some(format!(
            "a renewal does not extend its lifetime, because spec.expiresAt sets the end: set a later date with \
            `kubectl edit dspace {name}`, or set a ttl with `kubectl dspace renew {name} --ttl DURATION`"
        )),
        ExpirySource::Date => Some(format!(
            "a renewal does not extend its lifetime, because the last accepted date holds until the spec is accepted: \
            `kubectl dspace doctor {name}` shows the cause"
        )),
    }
}

/// Describes the result of a renewal at `renewed`: the new end of the space, and the part of the ttl that was not
/// granted.
pub(crate) fn renewal_result(
    before: Option<DateTime<Utc>>,
    space: &DeveloperSpace,
    class: Option<&SpaceClass>,
    renewed: DateTime<Utc>,
    now: DateTime<Utc>,
) -> String {
    let (Some(end), Some(source)) = (spaces::expires_at(space), expiry_source(space, class)) else {
        return "renewed: never expires".to_owned();
    };
    let ends_at = format!("{} ({})", format::from_now(now, end), rfc3339(end));
    let why = renewal_obstacle(space, source);
    let gain = before.map(|before| end - before);
    let asked = ttl_in_force(space).and_then(|ttl| renewed.checked_add_signed(ttl));
    match (why, gain) {
        (Some(why), Some(gain)) if gain < TimeDelta::seconds(1) => {
            format!("not renewed: expires {ends_at} as before, and {why}")
        }
        (Some(why), gain) if asked.is_some_and(|asked| end < asked) => {
            let gain =
                gain.map(|gain| format!("{} later than before and ", format::short_duration(gain))).unwrap_or_default();
            let short = asked.map(|asked| format::short_duration(asked - end)).unwrap_or_default();
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

    /// The space fern-lab, created at 09:00, which expires at `end` according to its status, with a ttl of 5m and a
    /// maxLifetime of 6m. The spec is accepted.
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
    fn the_expiry_is_determined_by_the_lowest_limit() {
        let dated = json!({"expiresAt": "2026-11-24T09:04:00Z"});
        for (end, spec, expected) in [
            ("2026-11-24T09:05:00Z", json!({}), ExpirySource::Ttl),
            ("2026-11-24T09:06:00Z", json!({}), ExpirySource::MaxLifetime(TimeDelta::minutes(6))),
            // A notice extends the end past maxLifetime.
            ("2026-11-24T09:07:00Z", json!({}), ExpirySource::MaxLifetime(TimeDelta::minutes(6))),
            ("2026-11-24T09:04:00Z", dated.clone(), ExpirySource::Date),
            // A spec.expiresAt beyond the class's maxTTL: renewals move the end toward that date.
            ("2026-11-24T09:03:00Z", dated, ExpirySource::Ttl),
        ] {
            assert_eq!(expiry_source(&space(end, &spec), None), Some(expected), "{end}");
        }
        // A spec that was refused: the ttl that was accepted before it is in force.
        let mut refused = space("2026-11-24T09:04:30Z", &json!({"expiresAt": "2026-11-24T09:04:00Z"}));
        refused.status.as_mut().unwrap().terms.as_mut().unwrap().expires_at = None;
        assert_eq!(expiry_source(&refused, None), Some(ExpirySource::Ttl));
        let mut new = refused;
        new.status.as_mut().unwrap().terms = None;
        assert_eq!(expiry_source(&new, None), Some(ExpirySource::Date));
        let mut upgraded = new;
        upgraded.status.as_mut().unwrap().namespace =
            serde_json::from_value(json!({"name": "fern-lab", "uid": "ns-7"})).unwrap();
        assert_eq!(expiry_source(&upgraded, None), Some(ExpirySource::Ttl), "a renewal moves the expiry in its status");
        let mut endless = space("2026-11-24T09:05:00Z", &json!({}));
        endless.status.as_mut().unwrap().expires_at = None;
        assert_eq!(expiry_source(&endless, None), None);
    }

    #[test]
    fn a_date_that_the_spec_no_longer_sets_holds_until_the_spec_is_accepted() {
        let dated = space("2026-11-24T09:04:00Z", &json!({"expiresAt": "2026-11-24T09:03:59.5Z"}));
        let with = |expires_at: Option<&str>, (generation, observed): (i64, i64)| {
            let mut space = dated.clone();
            space.spec.expires_at = expires_at.map(at);
            space.metadata.generation = Some(generation);
            let status = space.status.as_mut().unwrap();
            status.observed_generation = Some(observed);
            status.terms.as_mut().unwrap().expires_at = Some(at("2026-11-24T09:04:00Z"));
            space
        };
        let sets = "a renewal does not extend its lifetime, because spec.expiresAt sets the end: set a later date with `kubectl edit \
            dspace fern-lab`, or set a ttl with `kubectl dspace renew fern-lab --ttl DURATION`";
        let holds = "a renewal does not extend its lifetime, because the last accepted date holds until the spec is accepted: `kubectl \
            dspace doctor fern-lab` shows the cause";
        for (expires_at, generations, why) in [
            (Some("2026-11-24T09:03:59.5Z"), (2, 2), Some(sets)),
            (Some("2026-11-24T09:03:59.5Z"), (3, 2), Some(sets)),
            (Some("2026-11-24T09:30:00Z"), (3, 2), Some(holds)),
            (None, (3, 3), Some(holds)),
            // The operator has not observed yet that the spec has a ttl again.
            (None, (3, 2), None),
        ] {
            assert_eq!(
                renewal_refusal(&with(expires_at, generations)).as_deref(),
                why,
                "{expires_at:?} {generations:?}"
            );
        }
        assert_eq!(renewal_refusal(&space("2026-11-24T09:05:00Z", &json!({}))), None);
    }

    #[test]
    fn the_result_of_a_renewal_names_the_time_that_was_gained() {
        let (renewed, now) = (at("2026-11-24T09:02:00Z"), at("2026-11-24T09:02:00Z"));
        let before = Some(at("2026-11-24T09:05:00Z"));
        let result = |end: &str, before| renewal_result(before, &space(end, &json!({})), None, renewed, now);
        let why = "a renewal does not extend its lifetime, because its SpaceClass limits the lifetime of a space to 6m \
            (lifetime.maxLifetime): create another space with `kubectl dspace create OTHER-NAME`, or move this space to a class that \
            allows a longer lifetime";
        assert_eq!(
            result("2026-11-24T09:06:00Z", before),
            format!(
                "renewed: expires in 4m (2026-11-24T09:06:00Z), 1m later than before and 1m earlier than its ttl specifies; from now on \
                {why}"
            )
        );
        assert_eq!(
            result("2026-11-24T09:06:00Z", Some(at("2026-11-24T09:06:00Z"))),
            format!("not renewed: expires in 4m (2026-11-24T09:06:00Z) as before, and {why}")
        );
        let mut roomy = space("2026-11-24T09:07:00Z", &json!({}));
        roomy.status.as_mut().unwrap().terms.as_mut().unwrap().max_lifetime = None;
        assert_eq!(renewal_result(before, &roomy, None, renewed, now), "renewed: expires in 5m (2026-11-24T09:07:00Z)");
        roomy.status.as_mut().unwrap().expires_at = None;
        assert_eq!(renewal_result(before, &roomy, None, renewed, now), "renewed: never expires");
    }
}
