//! The lifetime of a class, or of the terms that a space was last accepted with, parsed into durations.

use chrono::TimeDelta;

use super::formula::End;
use crate::api::{
    Lifetime, SpaceClassSpec, Terms,
    duration::{Ttl, parse_duration},
};

/// A class's lifetime, parsed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LifetimeRules {
    /// The ttl of spaces that set none.
    pub default_ttl: Option<Ttl>,
    /// The longest ttl.
    pub max_ttl: Option<TimeDelta>,
    /// The longest life.
    pub max_lifetime: Option<TimeDelta>,
    /// True if a space may set `ttl: never`.
    pub allow_never: bool,
    /// True if a space may set `protected`.
    pub allow_protected: bool,
    /// True if a space may set `deletionPolicy: Retain`.
    pub allow_retain: bool,
    /// The warning thresholds.
    pub warn_before: Vec<TimeDelta>,
    /// Retention of an expired space.
    pub retain_expired: Option<TimeDelta>,
}

impl LifetimeRules {
    /// Reads the lifetime of `class`; the error is a sentence for the administrator.
    pub fn from_class(class: &SpaceClassSpec) -> Result<Self, String> {
        let none = Lifetime::default();
        let lifetime = class.lifetime.as_ref().unwrap_or(&none);
        let Lifetime { default_ttl, max_ttl, max_lifetime, allow_never, allow_protected, warn_before, retain_expired } =
            lifetime;
        Self {
            allow_never: *allow_never,
            allow_protected: *allow_protected,
            allow_retain: class.allow_retain,
            ..Self::default()
        }
        .read(
            "lifetime",
            (default_ttl.as_ref(), max_ttl.as_ref(), max_lifetime.as_ref()),
            warn_before,
            retain_expired.as_ref(),
        )
    }

    /// Reads the terms that a space was last accepted with.
    pub(crate) fn from_terms(terms: &Terms) -> Result<Self, String> {
        let Terms { ttl, expires_at: _, protected: _, max_ttl, max_lifetime, .. } = terms;
        let Terms { allow_never, allow_protected, allow_retain, warn_before, retain_expired, .. } = terms;
        Self {
            allow_never: *allow_never,
            allow_protected: *allow_protected,
            allow_retain: *allow_retain,
            ..Self::default()
        }
        .read(
            "status.terms",
            (ttl.as_ref(), max_ttl.as_ref(), max_lifetime.as_ref()),
            warn_before,
            retain_expired.as_ref(),
        )
    }

    fn read(
        self,
        at: &str,
        (default_ttl, max_ttl, max_lifetime): (Option<&String>, Option<&String>, Option<&String>),
        warn_before: &[String],
        retain_expired: Option<&String>,
    ) -> Result<Self, String> {
        let span = |field: &str, text: Option<&String>| {
            let read = text.map(|text| parse_duration(text)).transpose();
            read.map_err(|error| format!("{at}.{field}: {error}"))
        };
        let default_ttl = default_ttl.map(|text| text.parse()).transpose();
        let warn_before: Result<Vec<_>, _> = warn_before.iter().map(|text| parse_duration(text)).collect();
        Ok(Self {
            default_ttl: default_ttl.map_err(|error| format!("{at}.defaultTTL: {error}"))?,
            max_ttl: span("maxTTL", max_ttl)?,
            max_lifetime: span("maxLifetime", max_lifetime)?,
            warn_before: warn_before.map_err(|error| format!("{at}.warnBefore: {error}"))?,
            retain_expired: span("retainExpired", retain_expired)?,
            ..self
        })
    }

    /// The end of a space that asks for one that is not allowed: the latest that the class allows, so that a mistake
    /// ends no space early. `maxLifetime` holds too.
    pub(super) fn ceiling(&self) -> End {
        self.max_ttl.map_or(End::Never, End::Ttl)
    }

    /// The ttl of a space that sets none.
    pub(super) fn fallback(&self) -> End {
        match self.default_ttl {
            Some(Ttl::After(span)) => End::Ttl(self.max_ttl.map_or(span, |max| max.min(span))),
            Some(Ttl::Never) if self.allow_never => End::Never,
            Some(Ttl::Never) | None => self.max_ttl.map_or(End::Never, End::Ttl),
        }
    }
}
