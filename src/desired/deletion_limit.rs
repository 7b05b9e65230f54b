//! The limit on the deletions of one sweep. A sweep beyond the limit deletes nothing, so that a mistake at scale does
//! no harm.

use std::{fmt, str::FromStr};

/// The share of the living namespaces that one sweep may delete by default, in percent.
const DEFAULT_PERCENT: usize = 50;
/// The least that the default allows: on a small cluster a few namespaces are already half of all.
const DEFAULT_MINIMUM: usize = 10;

/// The most namespaces that one sweep deletes. An explicit value binds exactly as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeletionLimit {
    /// A number of namespaces.
    Count(usize),
    /// A percentage of the living namespaces, rounded down.
    Percent(u8),
}

/// The limit for `living` namespaces. Default: half of them, and at least ten.
pub(crate) fn limit(explicit: Option<DeletionLimit>, living: usize) -> usize {
    match explicit {
        None => share(living, DEFAULT_PERCENT).max(DEFAULT_MINIMUM),
        Some(DeletionLimit::Count(count)) => count,
        Some(DeletionLimit::Percent(percent)) => share(living, percent.into()),
    }
}

fn share(living: usize, percent: usize) -> usize {
    living.saturating_mul(percent) / 100
}

impl FromStr for DeletionLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        read.ok_or_else(|| "must be a number such as 20, or a percentage from 0% to 100%".to_owned())
    }
}

impl fmt::Display for DeletionLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explicit_limit_applies_as_written() {
        for (text, living, expected) in [
            ("50%", 100, 50),
            ("50%", 4, 2),
            ("10%", 9, 0),
            ("100%", 7, 7),
            ("0%", 500, 0),
            ("3", 500, 3),
            ("0", 500, 0),
        ] {
            assert_eq!(limit(Some(text.parse().unwrap()), living), expected, "{text} of {living}");
        }
        for text in ["", "%", "101%", "-1", "1.5", "ten"] {
            assert!(text.parse::<DeletionLimit>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_default_is_half_and_at_least_ten() {
        for (living, expected) in [(0, 10), (4, 10), (21, 10), (22, 11), (100, 50)] {
            assert_eq!(limit(None, living), expected, "of {living}");
        }
    }
}
