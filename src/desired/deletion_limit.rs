//! How much one sweep may delete: a mistake at scale is refused whole.

use std::{fmt, str::FromStr};

/// Below this a percentage does not bind: on a small cluster half of everything is soon reached.
const LEAST: usize = 10;

/// The most namespaces that one sweep deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeletionLimit {
    /// So many.
    Count(usize),
    /// Such a share of all live spaces, but at least ten.
    Percent(u8),
}

impl DeletionLimit {
    /// The limit with so many live spaces.
    pub fn of(self, live: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => (live * usize::from(percent) / 100).max(LEAST),
        }
    }
}

impl FromStr for DeletionLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        read.ok_or_else(|| "write a number such as 20, or a percentage from 0% to 100%".to_owned())
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
    fn percentages_have_a_floor_and_counts_do_not() {
        for (text, live, limit) in [("50%", 100, 50), ("50%", 4, 10), ("50%", 21, 10), ("0%", 500, 10), ("3", 500, 3), ("0", 500, 0)] {
            assert_eq!(text.parse::<DeletionLimit>().unwrap().of(live), limit, "{text} of {live}");
        }
        for text in ["", "%", "101%", "-1", "1.5", "ten"] {
            assert!(text.parse::<DeletionLimit>().is_err(), "{text:?}");
        }
    }
}
