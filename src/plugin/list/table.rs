//! The table of `list`. It is printed in parts, since a watch adds lines to it.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;

use crate::{
    api::DeveloperSpace,
    plugin::{
        flags::Flags,
        format, output,
        quotas::{Quotas, usage_bar},
        spaces,
    },
};

/// The number of columns without -o wide.
const FEW: usize = 9;
const ALL: usize = 12;
const HEADINGS: [&str; ALL] = [
    "NAME",
    "OWNER",
    "CLASS",
    "READY",
    "REASON",
    "EXPIRES",
    "CPU",
    "MEMORY",
    "AGE",
    "TEAM",
    "NAMESPACE UID",
    "MESSAGE",
];

fn cells(space: &DeveloperSpace, quotas: &Quotas, flags: &Flags, now: DateTime<Utc>) -> [String; ALL] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let (status, reason, message) = spaces::ready(space).unwrap_or(("Unknown", "Pending", ""));
    let uses = quotas.get(&space.name_any());
    let namespace = space.status.as_ref().and_then(|status| status.namespace.as_ref());
    let team = space.spec.contact.as_ref().and_then(|contact| contact.team.clone());
    [
        space.name_any(),
        space.spec.owner.name.clone(),
        or_dash(spaces::class_name(space).map(ToOwned::to_owned)),
        status.to_owned(),
        reason.to_owned(),
        spaces::expiry_cell(space, now),
        usage_bar(uses, "requests.cpu"),
        usage_bar(uses, "requests.memory"),
        or_dash(spaces::created_at(space).map(|at| format::short_duration(now - at))),
        or_dash(team),
        or_dash(namespace.map(|namespace| namespace.uid.clone())),
        flags.add_to(&format::one_line(message)),
    ]
}

/// A table that is printed in parts: the headings are printed once, and the columns of later lines align with the
/// earlier ones.
pub(super) struct Columns {
    wide: bool,
    headings: bool,
    widths: [usize; ALL],
    flags: Flags,
}

impl Columns {
    /// A table without lines.
    pub(super) fn new(wide: bool, headings: bool, flags: &Flags) -> Self {
        Self { wide, headings, widths: [0; ALL], flags: flags.clone() }
    }

    /// The next lines of the table.
    pub(super) fn lines(&mut self, spaces: &[DeveloperSpace], quotas: &Quotas, now: DateTime<Utc>) -> String {
        let headings = self.headings.then(|| HEADINGS.map(str::to_owned));
        self.headings = false;
        let spaces = spaces.iter().map(|space| cells(space, quotas, &self.flags, now));
        let mut rows: Vec<_> = headings.into_iter().chain(spaces).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &mut rows {
            for (&width, cell) in self.widths.iter().zip(row) {
                *cell = format!("{cell:<width$}");
            }
        }
        if self.wide {
            output::table(HEADINGS, rows, true)
        } else {
            output::table(output::first_columns::<_, ALL, FEW>(&HEADINGS), rows.iter().map(output::first_columns), true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{
        args::KubectlArgs,
        create,
        fixtures::{a_space, now},
        quotas::ResourceUsage,
        subject::from_username,
    };

    fn a_fresh_one() -> DeveloperSpace {
        DeveloperSpace::new("fern-lab", create::minimal_spec(from_username("omar@example.com")))
    }

    #[test]
    fn the_table_shows_the_expiry_and_the_quota_usage() {
        let uses =
            vec![ResourceUsage { resource: "requests.cpu".into(), used: "1".into(), hard: "4".into(), share: 0.25 }];
        let quotas = Quotas::from([("orchid-lab".to_owned(), uses)]);
        let mut columns = Columns::new(false, true, &Flags::default());
        let expected = "\
NAME         OWNER               CLASS      READY     REASON        EXPIRES   CPU                 MEMORY   AGE
fern-lab     omar@example.com    -          Unknown   Pending       -         -                   -        -
orchid-lab   nadia@example.com   standard   True      Provisioned   in 1d4h   [###.......]  25%   -        4d";
        assert_eq!(columns.lines(&[a_fresh_one(), a_space()], &quotas, now()), expected);
        let later = "\
fern-lab     omar@example.com    -          Unknown   Pending       -         -                   -        -";
        assert_eq!(columns.lines(&[a_fresh_one()], &quotas, now()), later, "without headings, and below the others");
    }

    #[test]
    fn the_wide_table_has_more_columns() {
        let expected = "\
NAME         OWNER               CLASS      READY   REASON        EXPIRES   CPU   MEMORY   AGE   TEAM     NAMESPACE UID   MESSAGE
orchid-lab   nadia@example.com   standard   True    Provisioned   in 1d4h   -     -        4d    botany   uid-7           all is in place";
        assert_eq!(Columns::new(true, true, &Flags::default()).lines(&[a_space()], &Quotas::new(), now()), expected);
    }

    #[test]
    fn commands_in_messages_act_on_the_cluster_of_this_run() {
        let flags = Flags::new(&KubectlArgs { context: Some("staging".to_owned()), ..KubectlArgs::default() });
        let mut space = a_space();
        space.status.as_mut().unwrap().conditions[0].message = "see kubectl -n orchid-lab get rolebindings".to_owned();
        let lines = Columns::new(true, true, &flags).lines(&[space], &Quotas::new(), now());
        assert!(lines.ends_with("   see kubectl --context staging -n orchid-lab get rolebindings"), "{lines}");
    }
}
