//! From a space and its class to the [`LifetimeInputs`], and to the refusal of times that the class does not allow.
//!
//! A refused spec is timed by the class in force and the times last accepted. A class that is missing or was never
//! accepted is replaced by `status.terms`. For a space that has no terms yet, the expiry in its status holds.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    arithmetic::representable,
    formula::{End, FormerTerms, GivenWarning, LifetimeInputs, formula, longest_life},
    rules::LifetimeRules,
};
use crate::{
    api::{
        DeveloperSpace, DeveloperSpaceStatus, Lifetime, Notice, SpaceClassSpec, Terms,
        conditions::{self, Reason},
        duration::{Ttl, format_duration, parse_duration},
        time,
    },
    desired::spec_refusal::SpecRefusal,
};

/// Retention of an expired space by default.
pub(crate) const DEFAULT_RETENTION: TimeDelta = TimeDelta::days(7);

/// The longest time that a renewal may be ahead of the operator's clock and still count at once: clocks of laptops
/// differ.
pub const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(60);

/// The warning threshold of a space whose class is missing and whose terms are unknown.
pub(super) const UNKNOWN_NOTICE: TimeDelta = TimeDelta::hours(1);

/// The rules that time a space: those of its class in force, or else its terms as last accepted. `None` if it has
/// neither.
pub fn rules_of(space: &DeveloperSpace, class: Option<&SpaceClassSpec>) -> Option<LifetimeRules> {
    let terms = || space.status.as_ref().and_then(|status| status.terms.as_ref());
    class
        .and_then(|class| LifetimeRules::from_class(class).ok())
        .or_else(|| terms().and_then(|terms| LifetimeRules::from_terms(terms).ok()))
}

/// The terms of a space whose class in force is `class`. The class's part is always the current one; the space's own
/// part changes only while its spec `is_accepted`.
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
    Terms {
        max_ttl,
        max_lifetime,
        allow_never,
        allow_protected,
        allow_retain: class.allow_retain,
        warn_before,
        retain_expired,
        ..own
    }
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
pub fn lifetime_inputs(
    space: &DeveloperSpace,
    rules: Option<&LifetimeRules>,
    is_accepted: bool,
    now: DateTime<Utc>,
) -> LifetimeInputs {
    // An earlier version removes an expiry without its notices and its warning, which then announce nothing.
    let announced = space.status.as_ref().filter(|status| status.expires_at.is_some());
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
        last_warning: announced.and_then(last_warning),
        postponed: announced.and_then(|status| status.postponed),
        last_notice: announced.and_then(last_notice),
        before: None,
    };
    inputs.before = was_admitted(space).then(|| before(space, is_accepted, &inputs));
    if let Some((from, until)) = announced.and_then(|status| warned_expiry(status, &inputs, now)) {
        let notice = |of: DateTime<Utc>| (of < until).then_some(Notice { of, from, until });
        inputs.postponed = formula(&inputs).and_then(|(end, _)| notice(end));
        inputs.last_notice = longest_life(&inputs).and_then(notice);
    }
    inputs
}

/// The last notice, unless an earlier version has announced a later expiry since.
fn last_notice(status: &DeveloperSpaceStatus) -> Option<Notice> {
    status.last_notice.filter(|notice| status.expires_at.is_some_and(|announced| announced <= notice.until))
}

/// The beginning and the end of a notice whose record was dropped together with the terms, as an earlier version of the
/// CRD does at a write to the space. The expiry that was warned of stays. A space that was never admitted has no terms
/// either, and no expiry of a class that it asked for continues in another.
fn warned_expiry(
    status: &DeveloperSpaceStatus,
    inputs: &LifetimeInputs,
    now: DateTime<Utc>,
) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let is_admitted = status.namespace.is_some();
    let is_recorded = status.terms.is_some() || status.postponed.is_some() || status.last_notice.is_some();
    let until = status.expires_at.filter(|at| *at > now && is_admitted && !is_recorded)?;
    let warning = inputs.last_warning.filter(|given| given.expires_at == until)?;
    Some((warning.at, until))
}

/// The refusal of the times that `space` asks for, if its class does not allow them.
pub fn refusal(space: &DeveloperSpace, rules: &LifetimeRules, now: DateTime<Utc>) -> Option<SpecRefusal> {
    let future = space.spec.renewed_at.filter(|at| *at > now + CLOCK_SKEW).map(|at| {
        let at = time::rfc3339(at);
        format!(
            "spec.renewedAt {at} is in the future: it has no effect until then; set it to the current time to renew now"
        )
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
        let problem = (at <= created(space)).then(|| {
            format!(
                "spec.expiresAt {} was in the past when the space was created: set a time in the future",
                time::rfc3339(at)
            )
        });
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

/// The end of a space whose terms are unknown: the expiry in status, moved by a later renewal, so that no renewal is
/// lost. An expiry that a late warning moved is still that of the warning, which is not given again.
fn recorded_end(space: &DeveloperSpace, anchor: DateTime<Utc>) -> End {
    let Some(status) = &space.status else { return End::Never };
    let Some(recorded) = status.expires_at else { return End::Never };
    let before = status.last_renewed_at.unwrap_or_default().max(created(space));
    let moved_by =
        |given: &GivenWarning| given.expires_at < recorded && recorded - given.at <= given.before && anchor == before;
    if let Some(given) = last_warning(status).filter(moved_by) {
        return End::At(given.expires_at);
    }
    recorded.checked_add_signed(anchor - before).map_or(End::Never, End::At)
}

/// Returns true if that ttl has no end.
pub(crate) fn is_never(ttl: Option<&String>) -> bool {
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
    let Some(rules) =
        status.and_then(|status| status.terms.as_ref()).and_then(|terms| LifetimeRules::from_terms(terms).ok())
    else {
        let is_endless = expires_at.is_none();
        // The former terms of a space without an end gave none to a renewal either.
        let renewed = expires_at.and_then(|_| formula(now)).map(|(at, _)| at);
        return FormerTerms { expires_at, is_endless, warn_before: now.warn_before.clone(), renewed };
    };
    let end = if is_accepted { end(space, &rules).0 } else { accepted_end(space, &rules, now.anchor) };
    let protected = is_protected(space, Some(&rules), is_accepted);
    let then =
        LifetimeInputs { end, protected, max_ttl: rules.max_ttl, max_lifetime: rules.max_lifetime, ..now.clone() };
    let is_endless = protected || end == End::Never;
    FormerTerms { expires_at, is_endless, warn_before: rules.warn_before, renewed: formula(&then).map(|(at, _)| at) }
}

fn last_warning(status: &DeveloperSpaceStatus) -> Option<GivenWarning> {
    let warning = status.last_warning.as_ref()?;
    Some(GivenWarning { at: warning.at, before: parse_duration(&warning.before).ok()?, expires_at: warning.expires_at })
}
