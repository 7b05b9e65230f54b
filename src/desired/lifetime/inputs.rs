//! From a space and its class to the [`LifetimeInputs`], and to the refusal of times that the class does not allow.
//!
//! A refused spec is timed by the class in force and the times last accepted. A class that is missing or was never accepted is replaced by
//! `status.terms`. For a space that has no terms yet, the expiry in its status holds.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    arithmetic::representable,
    formula::{End, FormerTerms, GivenWarning, LifetimeInputs, formula},
    rules::LifetimeRules,
};
use crate::{
    api::{
        DeveloperSpace, Lifetime, SpaceClassSpec, Terms,
        conditions::{self, Reason},
        duration::{Ttl, format_duration, parse_duration},
        time,
    },
    desired::spec_refusal::SpecRefusal,
};

/// Retention of an expired space by default.
pub const DEFAULT_RETENTION: TimeDelta = TimeDelta::days(7);

/// The longest time that a renewal may be ahead of the operator's clock and still count at once: clocks of laptops differ.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// The warning threshold of a space whose class is missing and whose terms are unknown.
const UNKNOWN_NOTICE: TimeDelta = TimeDelta::hours(1);

/// The rules that time a space: those of its class in force, or else its terms as last accepted. `None` if it has neither.
pub fn rules_of(space: &DeveloperSpace, class: Option<&SpaceClassSpec>) -> Option<LifetimeRules> {
    let terms = || space.status.as_ref().and_then(|status| status.terms.as_ref());
    class
        .and_then(|class| LifetimeRules::from_class(class).ok())
        .or_else(|| terms().and_then(|terms| LifetimeRules::from_terms(terms).ok()))
}

/// The terms of a space whose class in force is `class`. The class's part is always the current one; the space's own part changes only
/// while its spec `is_accepted`.
pub fn terms(space: &DeveloperSpace, class: &SpaceClassSpec, is_accepted: bool) -> Terms {
    let none = Lifetime::default();
    let Lifetime { default_ttl, max_ttl, max_lifetime, allow_never, allow_protected, warn_before, retain_expired } =
        class.lifetime.as_ref().unwrap_or(&none).clone();
    let spec = &space.spec;
    let own = if is_accepted {
        let ttl = spec.ttl.clone().or(default_ttl).or_else(|| max_ttl.clone()).filter(|_| spec.expires_at.is_none());
        Terms { ttl, expires_at: spec.expires_at.map(representable), protected: spec.protected, ..Terms::default() }
    } else {
        space.status.as_ref().and_then(|status| status.terms.clone()).unwrap_or_default()
    };
    Terms { max_ttl, max_lifetime, allow_never, allow_protected, allow_retain: class.allow_retain, warn_before, retain_expired, ..own }
}

/// The creation time; the epoch if the server set none, which it always does.
pub fn created(space: &DeveloperSpace) -> DateTime<Utc> {
    let stamp = space.metadata.creation_timestamp.as_ref();
    stamp.and_then(time::from_k8s).unwrap_or(DateTime::UNIX_EPOCH)
}

/// Returns true if `protected: true` is in force: the class consents, and the spec that asks for it is or was accepted.
pub fn is_protected(space: &DeveloperSpace, rules: Option<&LifetimeRules>, is_accepted: bool) -> bool {
    let terms = space.status.as_ref().and_then(|status| status.terms.as_ref());
    let granted = is_accepted || terms.map_or_else(|| was_admitted(space), |terms| terms.protected);
    space.spec.protected && granted && rules.is_none_or(|rules| rules.allow_protected)
}

/// Returns true if the space was ever admitted: its lifetime has been in force, and users rely on it.
fn was_admitted(space: &DeveloperSpace) -> bool {
    space.status.as_ref().is_some_and(|status| status.terms.is_some() || status.namespace.is_some())
}

/// The inputs of `space` under `rules`. While its spec is not accepted, the times last accepted hold.
pub fn lifetime_inputs(space: &DeveloperSpace, rules: Option<&LifetimeRules>, is_accepted: bool, now: DateTime<Utc>) -> LifetimeInputs {
    let status = space.status.as_ref();
    let renewal = renewal(space, now);
    let anchor = renewal.anchor;
    let end = match rules {
        Some(rules) if is_accepted => end(space, rules).0,
        Some(rules) => accepted_end(space, rules, anchor),
        None => recorded_end(space, anchor),
    };
    let protected = is_protected(space, rules, is_accepted);
    let unknown = LifetimeRules { warn_before: vec![UNKNOWN_NOTICE], ..LifetimeRules::default() };
    let rules = rules.unwrap_or(&unknown);
    let mut inputs = LifetimeInputs {
        created: created(space),
        anchor,
        is_renewed: renewal.is_new,
        renewal_counts_at: renewal.counts_at,
        end,
        max_ttl: rules.max_ttl,
        max_lifetime: rules.max_lifetime,
        protected,
        lacks_consent: !protected && lacks_consent(space, rules, end),
        warn_before: rules.warn_before.clone(),
        last_warning: last_warning(space),
        postponed: status.and_then(|status| status.postponed),
        last_notice: status.and_then(|status| status.last_notice),
        before: None,
    };
    inputs.before = was_admitted(space).then(|| before(space, is_accepted, &inputs));
    inputs
}

/// The refusal of the times that `space` asks for, if its class does not allow them.
pub fn refusal(space: &DeveloperSpace, rules: &LifetimeRules, now: DateTime<Utc>) -> Option<SpecRefusal> {
    let future = space.spec.renewed_at.filter(|at| *at > now + CLOCK_SKEW).map(|at| {
        let at = time::rfc3339(at);
        format!("spec.renewedAt {at} is in the future: it has no effect until then; set it to the current time to renew now")
    });
    end(space, rules).1.or(future).map(|message| SpecRefusal::new(Reason::InvalidSpec, message))
}

/// The time that an expired space is kept after its namespace has been deleted.
pub fn retention(rules: Option<&LifetimeRules>) -> TimeDelta {
    rules.and_then(|rules| rules.retain_expired).unwrap_or(DEFAULT_RETENTION)
}

/// Returns true if the space is sealed: its status contains its expiry.
pub fn is_sealed(space: &DeveloperSpace) -> bool {
    space.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::types::EXPIRED))
}

fn end(space: &DeveloperSpace, rules: &LifetimeRules) -> (End, Option<String>) {
    if let Some(at) = space.spec.expires_at {
        let problem = (at <= created(space))
            .then(|| format!("spec.expiresAt {} was in the past when the space was created: set a time in the future", time::rfc3339(at)));
        return (if problem.is_some() { rules.ceiling() } else { End::At(at) }, problem);
    }
    let Some(text) = &space.spec.ttl else {
        return (rules.fallback(), None);
    };
    match text.parse::<Ttl>() {
        Err(error) => (rules.ceiling(), Some(format!("spec.ttl: {error}"))),
        Ok(Ttl::Never) if rules.allow_never => (End::Never, None),
        Ok(Ttl::Never) => {
            let ceiling = rules.max_ttl.map_or_else(String::new, |max| format!(" of at most {}", format_duration(max)));
            (
                rules.ceiling(),
                Some(format!(
                    "spec.ttl: the class does not allow never: set a duration{ceiling}, or use a class that sets lifetime.allowNever"
                )),
            )
        }
        Ok(Ttl::After(span)) => match rules.max_ttl.filter(|max| span > *max) {
            None => (End::Ttl(span), None),
            Some(max) => {
                let most = format_duration(max);
                (
                    End::Ttl(max),
                    Some(format!(
                        "spec.ttl {text} exceeds maxTTL {most} of the class: set {most} or less, and renew the space before it expires"
                    )),
                )
            }
        },
    }
}

/// A renewal and its effect on the anchor.
struct Renewal {
    anchor: DateTime<Utc>,
    is_new: bool,
    counts_at: Option<DateTime<Utc>>,
}

/// The anchor never moves back: the last renewal still counts after a `renewedAt` that is removed or older.
fn renewal(space: &DeveloperSpace, now: DateTime<Utc>) -> Renewal {
    let created = created(space);
    let last = space.status.as_ref().and_then(|status| status.last_renewed_at).unwrap_or(created).max(created);
    let asked = space.spec.renewed_at;
    let counting = asked.filter(|at| *at <= now + CLOCK_SKEW && *at > last);
    let counts_at = asked.filter(|at| *at > now + CLOCK_SKEW).and_then(|at| at.checked_sub_signed(CLOCK_SKEW));
    Renewal { anchor: counting.unwrap_or(last), is_new: counting.is_some(), counts_at }
}

/// The end of a space whose spec is refused: by the times last accepted, cut to the current class.
fn accepted_end(space: &DeveloperSpace, rules: &LifetimeRules, anchor: DateTime<Utc>) -> End {
    let Some(terms) = space.status.as_ref().and_then(|status| status.terms.as_ref()) else {
        let recorded = recorded_end(space, anchor);
        return if was_admitted(space) && recorded != End::Never { recorded } else { end(space, rules).0 };
    };
    if let Some(at) = terms.expires_at {
        return End::At(at);
    }
    match terms.ttl.as_deref().map(str::parse::<Ttl>) {
        Some(Ok(Ttl::After(span))) => End::Ttl(span),
        Some(Ok(Ttl::Never)) if rules.allow_never => End::Never,
        Some(_) => rules.ceiling(),
        None => rules.fallback(),
    }
}

/// The end of a space whose terms are unknown: the expiry in status, moved by a later renewal, so that no renewal is lost.
fn recorded_end(space: &DeveloperSpace, anchor: DateTime<Utc>) -> End {
    let Some(status) = &space.status else { return End::Never };
    let Some(recorded) = status.expires_at else { return End::Never };
    let before = status.last_renewed_at.unwrap_or_default().max(created(space));
    recorded.checked_add_signed(anchor - before).map_or(End::Never, End::At)
}

/// Returns true if that ttl has no end.
pub fn is_never(ttl: Option<&String>) -> bool {
    ttl.is_some_and(|text| text.parse::<Ttl>() == Ok(Ttl::Never))
}

/// Returns true if the space asks for a life without end, or had it by default, and its class does not consent.
fn lacks_consent(space: &DeveloperSpace, rules: &LifetimeRules, end: End) -> bool {
    let terms = space.status.as_ref().and_then(|status| status.terms.as_ref());
    let names_an_end = space.spec.ttl.is_some() || space.spec.expires_at.is_some();
    let was_endless = !names_an_end && is_never(terms.and_then(|terms| terms.ttl.as_ref()));
    let refused_never = !rules.allow_never && (is_never(space.spec.ttl.as_ref()) || was_endless);
    space.spec.protected || (refused_never && (end != End::Never || rules.max_lifetime.is_some()))
}

/// The terms in force at the last reconcile of the space.
fn before(space: &DeveloperSpace, is_accepted: bool, now: &LifetimeInputs) -> FormerTerms {
    let status = space.status.as_ref();
    let expires_at = status.and_then(|status| status.expires_at);
    let Some(rules) = status.and_then(|status| status.terms.as_ref()).and_then(|terms| LifetimeRules::from_terms(terms).ok()) else {
        let is_endless = expires_at.is_none();
        return FormerTerms { expires_at, is_endless, warn_before: now.warn_before.clone(), renewed: formula(now).map(|(at, _)| at) };
    };
    let end = if is_accepted { end(space, &rules).0 } else { accepted_end(space, &rules, now.anchor) };
    let protected = is_protected(space, Some(&rules), is_accepted);
    let then = LifetimeInputs { end, protected, max_ttl: rules.max_ttl, max_lifetime: rules.max_lifetime, ..now.clone() };
    let is_endless = protected || end == End::Never;
    FormerTerms { expires_at, is_endless, warn_before: rules.warn_before, renewed: formula(&then).map(|(at, _)| at) }
}

fn last_warning(space: &DeveloperSpace) -> Option<GivenWarning> {
    let warning = space.status.as_ref()?.last_warning.as_ref()?;
    Some(GivenWarning { at: warning.at, before: parse_duration(&warning.before).ok()?, expires_at: warning.expires_at })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::desired::lifetime::{outlook::outlook, stage::Stage};

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-{text}Z").parse().unwrap()
    }

    /// Created on 24 November at nine.
    fn space(spec: &Value, status: &Value) -> DeveloperSpace {
        let metadata = json!({"name": "alice-payments", "creationTimestamp": "2026-11-24T09:00:00Z"});
        let mut object = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": metadata, "spec": spec, "status": status});
        object["spec"]["owner"] = json!({"kind": "User", "name": "alice@example.com"});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_end_after_the_year_9999_is_recorded_as_the_last_representable_time() {
        let spec = json!({"expiresAt": "9999-12-31T23:59:59-23:59"});
        let terms = terms(&space(&spec, &json!({})), &class(&json!({"maxTTL": "30d"})), true);
        assert_eq!(json!(terms)["expiresAt"], "9999-12-31T23:59:59Z", "the API server takes no year of five digits");
    }

    fn class(lifetime: &Value) -> SpaceClassSpec {
        serde_json::from_value(json!({"ownerRole": "edit", "lifetime": lifetime})).unwrap()
    }

    /// The expiry in force.
    fn ends(space: &DeveloperSpace, class: Option<&SpaceClassSpec>, is_accepted: bool, now: &str) -> Option<DateTime<Utc>> {
        outlook(&lifetime_inputs(space, rules_of(space, class).as_ref(), is_accepted, at(now)), at(now)).expires_at
    }

    #[test]
    fn a_space_with_a_refused_ttl_ends_at_the_maximum_and_not_before() {
        let now = at("12-04T09:00:00");
        let (week, month) = (TimeDelta::days(7), TimeDelta::days(30));
        for max_ttl in [Some(month), None] {
            let rules = LifetimeRules { default_ttl: Some(Ttl::After(week)), max_ttl, ..LifetimeRules::default() };
            for spec in [json!({"ttl": "never"}), json!({"ttl": "soon"}), json!({"expiresAt": "2026-11-24T08:59:59Z"})] {
                let space = space(&spec, &Value::Null);
                assert_eq!(
                    lifetime_inputs(&space, Some(&rules), false, now).end,
                    max_ttl.map_or(End::Never, End::Ttl),
                    "{spec} with {max_ttl:?}"
                );
                assert_eq!(refusal(&space, &rules, now).map(|refusal| refusal.reason), Some(Reason::InvalidSpec), "{spec}");
            }
            let plain = space(&json!({}), &Value::Null);
            assert_eq!(lifetime_inputs(&plain, Some(&rules), true, now).end, End::Ttl(week), "a space that names none has the default");
        }
    }

    #[test]
    fn the_anchor_never_moves_back() {
        let class = class(&json!({"defaultTTL": "7d"}));
        let status = json!({"className": "standard", "namespace": {"name": "alice-payments", "uid": "ns-1"}, "lastRenewedAt": "2026-11-29T09:00:00Z",
            "expiresAt": "2026-12-06T09:00:00Z"});
        for (renewed_at, until) in [
            (json!("2026-12-03T09:00:03Z"), "12-10T09:00:03"),
            (json!("2026-12-03T09:01:00Z"), "12-10T09:01:00"),
            (json!("2026-12-03T09:01:01Z"), "12-06T09:00:00"),
            (json!("2099-12-03T09:00:03Z"), "12-06T09:00:00"),
            (json!("2026-11-25T09:00:00Z"), "12-06T09:00:00"),
            (Value::Null, "12-06T09:00:00"),
        ] {
            let space = space(&json!({"renewedAt": renewed_at}), &status);
            assert_eq!(ends(&space, Some(&class), true, "12-03T09:00:00"), Some(at(until)), "{renewed_at}");
        }
    }

    #[test]
    fn a_renewal_in_the_future_counts_when_its_time_has_nearly_come() {
        let space = space(&json!({"renewedAt": "2026-12-03T09:00:00Z"}), &Value::Null);
        let rules = LifetimeRules { max_ttl: Some(TimeDelta::days(30)), ..LifetimeRules::default() };
        assert_eq!(lifetime_inputs(&space, Some(&rules), true, at("12-01T09:00:00")).renewal_counts_at, Some(at("12-03T08:59:00")));
        assert!(refusal(&space, &rules, at("12-03T08:58:59")).unwrap().message.contains("2026-12-03T09:00:00Z is in the future"));
        assert_eq!(refusal(&space, &rules, at("12-03T08:59:00")), None);
    }

    fn admitted(terms: &Value) -> Value {
        json!({"className": "standard", "owner": {"kind": "User", "name": "alice@example.com"}, "namespace": {"name": "alice-payments", "uid": "ns-1"},
            "expiresAt": "2026-12-01T09:00:00Z", "terms": terms})
    }

    #[test]
    fn while_the_class_is_missing_the_warnings_and_limits_of_the_terms_apply() {
        let terms = json!({"ttl": "7d", "maxTTL": "30d", "maxLifetime": "10d", "warnBefore": ["1h"], "retainExpired": "30d"});
        let renewed = space(&json!({"renewedAt": "2026-11-30T09:00:00Z"}), &admitted(&terms));
        let rules = rules_of(&renewed, None);
        assert_eq!(ends(&renewed, None, false, "11-30T10:00:00"), Some(at("12-04T09:00:00")), "renewed, up to maxLifetime");
        assert_eq!(retention(rules.as_ref()), TimeDelta::days(30));
        let late = space(&json!({}), &admitted(&terms));
        let seen = outlook(&lifetime_inputs(&late, rules.as_ref(), false, at("12-01T12:00:00")), at("12-01T12:00:00"));
        assert_eq!((seen.stage, seen.expires_at), (Stage::Warn(TimeDelta::hours(1)), Some(at("12-01T13:00:00"))));
    }

    #[test]
    fn while_the_class_is_missing_the_consent_of_the_terms_applies() {
        let status = |allows: bool| {
            let mut status = admitted(&json!({"ttl": "never", "maxTTL": "30d", "allowNever": allows}));
            status["expiresAt"] = Value::Null;
            status
        };
        let endless = |allows: bool| space(&json!({"ttl": "never"}), &status(allows));
        assert_eq!(ends(&endless(true), None, false, "12-24T09:00:00"), None);
        assert_eq!(ends(&endless(false), None, false, "12-24T09:00:00"), Some(at("12-31T09:00:00")), "consent is withdrawn: a week");
    }

    #[test]
    fn without_terms_the_expiry_in_the_status_applies_after_a_warning() {
        let mut status = admitted(&Value::Null);
        let upgraded = space(&json!({"ttl": "7d"}), &status);
        let seen = outlook(&lifetime_inputs(&upgraded, None, false, at("12-01T12:00:00")), at("12-01T12:00:00"));
        assert_eq!((seen.stage, seen.expires_at), (Stage::Warn(UNKNOWN_NOTICE), Some(at("12-01T13:00:00"))));
        status["expiresAt"] = Value::Null;
        assert_eq!(ends(&space(&json!({"protected": true}), &status), None, false, "12-01T12:00:00"), None);
    }

    #[test]
    fn a_refused_spec_has_the_last_accepted_ttl_within_the_current_class() {
        let terms = json!({"ttl": "7d", "maxTTL": "30d"});
        let poisoned = space(&json!({"ttl": "30d"}), &admitted(&terms));
        let loose = class(&json!({"maxTTL": "30d"}));
        assert_eq!(ends(&poisoned, Some(&loose), false, "11-25T09:00:00"), Some(at("12-01T09:00:00")));
        let tight = class(&json!({"maxTTL": "2d", "maxLifetime": "90d"}));
        assert_eq!(ends(&poisoned, Some(&tight), false, "11-25T09:00:00"), Some(at("11-26T09:00:00")));
    }

    #[test]
    fn protection_requires_the_consent_of_the_class() {
        let spec = json!({"protected": true});
        let (allowing, refusing) = (class(&json!({"maxTTL": "7d", "allowProtected": true})), class(&json!({"maxTTL": "7d"})));
        let new = space(&spec, &Value::Null);
        assert_eq!(ends(&new, Some(&allowing), true, "11-24T09:00:00"), None);
        assert_eq!(ends(&new, Some(&refusing), false, "11-24T09:00:00"), Some(at("12-01T09:00:00")));
        let mut status = admitted(&json!({"ttl": "7d", "maxTTL": "7d", "allowProtected": true, "protected": true}));
        status["expiresAt"] = Value::Null;
        let protected = space(&spec, &status);
        assert_eq!(ends(&protected, None, false, "12-24T09:00:00"), None, "the class is missing");
        assert_eq!(ends(&protected, Some(&refusing), false, "12-24T09:00:00"), Some(at("12-31T09:00:00")), "consent is withdrawn: a week");
        status["terms"] = Value::Null;
        let upgraded = space(&spec, &status);
        assert_eq!(
            ends(&upgraded, Some(&refusing), false, "12-24T09:00:00"),
            Some(at("12-31T09:00:00")),
            "consent was never given: a week"
        );
    }

    #[test]
    fn terms_contain_the_current_class_and_the_last_accepted_spec() {
        let lifetime = json!({"defaultTTL": "7d", "maxTTL": "30d", "maxLifetime": "180d", "allowNever": true, "warnBefore": ["2d", "1h"], "retainExpired": "5d"});
        let class = SpaceClassSpec { allow_retain: true, ..class(&lifetime) };
        let read = |value: Value| serde_json::from_value::<Terms>(value).unwrap();
        let of_class = json!({"maxTTL": "30d", "maxLifetime": "180d", "allowNever": true, "allowRetain": true, "warnBefore": ["2d", "1h"], "retainExpired": "5d"});
        let with = |key: &str, value: &str| {
            let mut terms = of_class.clone();
            terms[key] = value.into();
            read(terms)
        };
        let old = admitted(&json!({"ttl": "3d", "maxTTL": "4d"}));
        assert_eq!(terms(&space(&json!({}), &old), &class, true), with("ttl", "7d"));
        assert_eq!(terms(&space(&json!({"ttl": "never"}), &old), &class, true), with("ttl", "never"));
        assert_eq!(terms(&space(&json!({"ttl": "9d"}), &old), &class, false), with("ttl", "3d"));
        let until = space(&json!({"expiresAt": "2026-12-24T09:00:00Z"}), &old);
        assert_eq!(terms(&until, &class, true), with("expiresAt", "2026-12-24T09:00:00Z"));
    }
}
