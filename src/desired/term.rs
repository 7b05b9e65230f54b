//! From a space and its class to the [`Term`] that its life depends on, and what is wrong with the times it asks for.
//!
//! The clock goes on under an invalid spec: what is not allowed is replaced by the class's ceiling or, without a class,
//! by the expiry in status.

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Refusal,
    lifetime::{End, Given, Term},
};
use crate::api::{
    DeveloperSpace, SpaceClassSpec,
    conditions::{self, Reason},
    duration::{Ttl, format_duration, parse_duration},
    time,
};

/// How long an expired space is kept when its class does not say.
pub const DEFAULT_RETENTION: TimeDelta = TimeDelta::days(7);

/// How far ahead of us the clock of whoever renews may run without being told so; the renewal still counts only when its time comes.
const CLOCK_SKEW: TimeDelta = TimeDelta::seconds(5);

/// A class's lifetime, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The ttl of spaces that name none.
    pub default_ttl: Option<Ttl>,
    /// The longest ttl.
    pub max_ttl: Option<TimeDelta>,
    /// The longest life.
    pub max_lifetime: Option<TimeDelta>,
    /// Whether `never` may be asked for.
    pub allow_never: bool,
    /// The warning edges.
    pub warn_before: Vec<TimeDelta>,
    /// How long an expired space is kept.
    pub retain_expired: Option<TimeDelta>,
}

impl Rules {
    /// Reads the lifetime of `class`; the error is a sentence for the administrator.
    pub fn of(class: &SpaceClassSpec) -> Result<Self, String> {
        let Some(lifetime) = &class.lifetime else {
            return Ok(Self::default());
        };
        let span = |field: &str, text: &Option<String>| {
            let read = text.as_deref().map(parse_duration).transpose();
            read.map_err(|error| format!("lifetime.{field}: {error}"))
        };
        let default_ttl = lifetime.default_ttl.as_deref().map(str::parse).transpose();
        let warn_before: Result<Vec<_>, _> = lifetime.warn_before.iter().map(|text| parse_duration(text)).collect();
        Ok(Self {
            default_ttl: default_ttl.map_err(|error| format!("lifetime.defaultTTL: {error}"))?,
            max_ttl: span("maxTTL", &lifetime.max_ttl)?,
            max_lifetime: span("maxLifetime", &lifetime.max_lifetime)?,
            allow_never: lifetime.allow_never,
            warn_before: warn_before.map_err(|error| format!("lifetime.warnBefore: {error}"))?,
            retain_expired: span("retainExpired", &lifetime.retain_expired)?,
        })
    }

    /// The end of a space that asks for one that is not allowed: the latest that the class would allow, so that a mistake ends nothing
    /// that would have lived. `maxLifetime` holds besides.
    fn ceiling(&self) -> End {
        self.max_ttl.map_or(End::Never, End::Ttl)
    }

    /// The ttl of a space that names none.
    fn fallback(&self) -> End {
        match self.default_ttl {
            Some(Ttl::After(span)) => End::Ttl(self.max_ttl.map_or(span, |max| max.min(span))),
            Some(Ttl::Never) if self.allow_never => End::Never,
            Some(Ttl::Never) | None => self.max_ttl.map_or(End::Never, End::Ttl),
        }
    }
}

/// When the object was created; the epoch if the server did not say, which it always does.
pub fn created(space: &DeveloperSpace) -> DateTime<Utc> {
    let stamp = space.metadata.creation_timestamp.as_ref();
    stamp.and_then(time::from_k8s).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The term of `space` under `rules`; `None` means that its class is missing.
pub fn term(space: &DeveloperSpace, rules: Option<&Rules>, now: DateTime<Utc>) -> Term {
    let (end, rules) = match rules {
        Some(rules) => (end(space, rules).0, rules.clone()),
        None => (recorded_end(space, now), Rules::default()),
    };
    Term {
        created: created(space),
        renewed_at: space.spec.renewed_at,
        end,
        max_ttl: rules.max_ttl,
        max_lifetime: rules.max_lifetime,
        protected: space.spec.protected,
        warn_before: rules.warn_before,
        last_warning: last_warning(space),
    }
}

/// What is wrong with the times that `space` asks for, if anything is.
pub fn refusal(space: &DeveloperSpace, rules: &Rules, now: DateTime<Utc>) -> Option<Refusal> {
    let future = space.spec.renewed_at.filter(|at| *at > now + CLOCK_SKEW).map(|at| {
        let at = time::rfc3339(at);
        format!("spec.renewedAt is {at}, which has not come yet: it does not count until then; set it to the present time to renew now")
    });
    end(space, rules).1.or(future).map(|message| Refusal::new(Reason::InvalidSpec, message))
}

/// How long `space` is kept once its namespace is gone.
pub fn retention(rules: Option<&Rules>) -> TimeDelta {
    rules.and_then(|rules| rules.retain_expired).unwrap_or(DEFAULT_RETENTION)
}

/// Whether the space was sealed: its expiry stands in its status.
pub fn is_sealed(space: &DeveloperSpace) -> bool {
    space.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, conditions::types::EXPIRED))
}

fn end(space: &DeveloperSpace, rules: &Rules) -> (End, Option<String>) {
    if let Some(at) = space.spec.expires_at {
        let problem = (at <= created(space))
            .then(|| format!("spec.expiresAt {} was past when the space was created: choose a time to come", time::rfc3339(at)));
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
                    "spec.ttl: the class does not allow never: ask for a duration{ceiling}, or for a class with lifetime.allowNever"
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
                        "spec.ttl {text} is longer than the class's maxTTL {most}: ask for {most} or less and renew when it is nearly up"
                    )),
                )
            }
        },
    }
}

/// Without a class: the expiry in status, moved along by a renewal that came since, so that none is lost.
fn recorded_end(space: &DeveloperSpace, now: DateTime<Utc>) -> End {
    let Some(status) = &space.status else { return End::Never };
    let Some(recorded) = status.expires_at else { return End::Never };
    let before = status.last_renewed_at.unwrap_or_default().max(created(space));
    let after = space.spec.renewed_at.filter(|at| *at <= now).unwrap_or_default().max(before);
    recorded.checked_add_signed(after - before).map_or(End::Never, End::At)
}

fn last_warning(space: &DeveloperSpace) -> Option<Given> {
    let warning = space.status.as_ref()?.last_warning.as_ref()?;
    Some(Given { at: warning.at, before: parse_duration(&warning.before).ok()?, expires_at: warning.expires_at })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn space(spec: &Value) -> DeveloperSpace {
        let metadata = json!({"name": "alice-payments", "creationTimestamp": "2026-11-24T09:00:00Z"});
        let mut object = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": metadata, "spec": spec});
        object["spec"]["owner"] = json!({"kind": "User", "name": "alice@example.com"});
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn what_is_not_allowed_ends_at_the_ceiling_and_not_before() {
        let now = "2026-12-04T09:00:00Z".parse().unwrap();
        let (week, month) = (TimeDelta::days(7), TimeDelta::days(30));
        for max_ttl in [Some(month), None] {
            let rules = Rules { default_ttl: Some(Ttl::After(week)), max_ttl, ..Rules::default() };
            for spec in [json!({"ttl": "never"}), json!({"ttl": "soon"}), json!({"expiresAt": "2026-11-24T08:59:59Z"})] {
                let space = space(&spec);
                assert_eq!(term(&space, Some(&rules), now).end, max_ttl.map_or(End::Never, End::Ttl), "{spec} with {max_ttl:?}");
                assert_eq!(refusal(&space, &rules, now).map(|refusal| refusal.reason), Some(Reason::InvalidSpec), "{spec}");
            }
            assert_eq!(term(&space(&json!({})), Some(&rules), now).end, End::Ttl(week), "who names none has the default");
        }
    }
}
