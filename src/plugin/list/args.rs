//! The arguments of `list`: the spaces to list, and their order.

use std::cmp::Reverse;

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum};
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::ResourceExt as _;

use crate::{
    api::{DeveloperSpace, conditions::types, duration::Period},
    plugin::{args::OutputArgs, membership, spaces, subject::SubjectArg},
};

/// Arguments of `list`.
#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// The spaces [default: all, or that of the current namespace if you cannot list spaces]
    #[arg(value_name = "NAME", conflicts_with = "selector")]
    pub names: Vec<String>,

    /// List only spaces with these labels: team=red,tier!=gold
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,

    /// List only spaces of this owner: a user's name, Group:NAME or ServiceAccount:NAMESPACE/NAME
    #[arg(long, value_name = "SUBJECT")]
    pub owner: Option<SubjectArg>,

    /// List only spaces of which you are the owner or a member, by name or through a group
    #[arg(long)]
    pub mine: bool,

    /// List only spaces of this class
    #[arg(long, value_name = "NAME")]
    pub class: Option<String>,

    /// List only spaces that expire within this time: 2d
    #[arg(long, value_name = "DURATION")]
    pub(crate) expiring_within: Option<Period>,

    /// The order of the list
    #[arg(long, value_enum, value_name = "BY", default_value_t = SortBy::Name)]
    pub sort_by: SortBy,

    /// Omit the column headings
    #[arg(long)]
    pub no_headers: bool,

    /// After listing, watch for changes, and print a line for each change
    #[arg(short, long)]
    pub watch: bool,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// An order of spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SortBy {
    /// By name
    Name,
    /// By expiry, the earliest first
    Expiry,
    /// By age, the newest first
    Age,
}

impl ListArgs {
    /// Returns true if the arguments select the space. `me` is the caller, if the list is limited to the spaces of the
    /// caller.
    pub(super) fn selects(&self, space: &DeveloperSpace, me: Option<&UserInfo>, now: DateTime<Utc>) -> bool {
        let soon = |Period(within): Period| {
            let within = TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX);
            spaces::expires_at(space).is_some_and(|at| at - now <= within) && !spaces::is_true(space, types::EXPIRED)
        };
        (self.names.is_empty() || self.names.contains(&space.name_any()))
            && self.owner.as_ref().is_none_or(|SubjectArg(owner)| space.spec.owner == *owner)
            && me.is_none_or(|me| membership::includes_user(space, me))
            && self.class.as_ref().is_none_or(|wanted| spaces::class_name(space) == Some(wanted.as_str()))
            && self.expiring_within.is_none_or(soon)
    }
}

impl SortBy {
    /// Sorts the spaces.
    pub(super) fn sort(self, spaces: &mut [DeveloperSpace]) {
        match self {
            Self::Name => spaces.sort_by_key(kube::ResourceExt::name_any),
            // Spaces that never end come last.
            Self::Expiry => spaces.sort_by_key(|space| {
                (spaces::expires_at(space).is_none(), spaces::expires_at(space), space.name_any())
            }),
            Self::Age => spaces.sort_by_key(|space| (Reverse(spaces::created_at(space)), space.name_any())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{
        create,
        fixtures::{a_space, now},
        subject::from_username,
    };

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ListArgs,
    }

    #[test]
    fn flags_select_spaces() {
        for (words, expected) in [
            ("", true),
            ("orchid-lab", true),
            ("fern-lab", false),
            ("--owner nadia@example.com", true),
            ("--owner Group:nadia@example.com", false),
            ("--class standard", true),
            ("--class greenhouse", false),
            ("--expiring-within 2d", true),
            ("--expiring-within 1d", false),
        ] {
            let line = <Line as clap::Parser>::try_parse_from(format!("list {words}").split_whitespace()).unwrap();
            assert_eq!(line.args.selects(&a_space(), None, now()), expected, "{words}");
        }
    }

    #[test]
    fn spaces_without_an_expiry_come_last() {
        for (by, first) in [(SortBy::Name, "fern-lab"), (SortBy::Expiry, "orchid-lab")] {
            let mut spaces =
                [a_space(), DeveloperSpace::new("fern-lab", create::minimal_spec(from_username("omar@example.com")))];
            by.sort(&mut spaces);
            assert_eq!(spaces[0].name_any(), first, "{by:?}");
        }
    }
}
