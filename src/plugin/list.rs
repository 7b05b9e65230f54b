//! `list`: prints spaces as a table.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    pin::pin,
};

use anyhow::anyhow;
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum};
use futures::{StreamExt as _, future::try_join_all};
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::{
    ResourceExt as _,
    runtime::{
        WatchStreamExt as _,
        watcher::{Event, watcher},
    },
};

use super::{
    args::{OutputArgs, Span},
    cluster::Cluster,
    flags::Flags,
    format, membership, output,
    progress::note,
    quotas::{self, Quotas, bar_of},
    reach, requests, spaces,
    subject::SubjectArg,
    wait,
};
use crate::api::{DeveloperSpace, conditions::types, without_managed_fields::WithoutManagedFields};

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
    pub expiring_within: Option<Span>,

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

pub(crate) async fn run(cluster: &Cluster, args: &ListArgs) -> anyhow::Result<()> {
    let me = if args.mine { Some(cluster.whoami().await?) } else { None };
    let mut found = read(cluster, args).await?;
    found.retain(|space| wanted(space, args, me.as_ref(), cluster.now()));
    sort(&mut found, args.sort_by);
    let format = &args.output.output;
    let quotas = quotas_of(cluster, args, &found).await?;
    let mut columns = Columns::new(format.is_wide(), !args.no_headers, &cluster.flags);
    let table = || columns.lines(&found, &quotas, cluster.now());
    match found.as_slice() {
        [] if format.is_table() => note("No spaces found."),
        // As in kubectl, a single name returns the object and not a list.
        [only] if args.names.len() == 1 => output::object(format, only, table)?,
        all => output::objects(format, all, table)?,
    }
    if args.watch { follow(cluster, args, me.as_ref(), &found, &mut columns).await } else { Ok(()) }
}

/// Reads the spaces. Named spaces are read individually, since a caller who may get a space is not necessarily allowed to list spaces.
async fn read(cluster: &Cluster, args: &ListArgs) -> anyhow::Result<Vec<DeveloperSpace>> {
    if args.names.is_empty() {
        return reach::spaces(cluster, args.selector.as_deref()).await;
    }
    let names: BTreeSet<&String> = args.names.iter().collect();
    try_join_all(names.into_iter().map(|name| requests::get_space(cluster, name))).await
}

async fn quotas_of(cluster: &Cluster, args: &ListArgs, found: &[DeveloperSpace]) -> anyhow::Result<Quotas> {
    if !args.output.output.is_table() {
        return Ok(Quotas::new());
    }
    quotas::of(cluster, &found.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>()).await
}

/// Prints a line for each change until the command is interrupted.
async fn follow(
    cluster: &Cluster,
    args: &ListArgs,
    me: Option<&UserInfo>,
    shown: &[DeveloperSpace],
    columns: &mut Columns,
) -> anyhow::Result<()> {
    let mut versions: BTreeMap<String, Option<String>> = shown.iter().map(|space| (space.name_any(), space.resource_version())).collect();
    let mut config = wait::watch_config();
    config.label_selector.clone_from(&args.selector);
    if let [only] = args.names.as_slice() {
        config = config.fields(&format!("metadata.name={only}"));
    }
    let mut events = pin!(watcher(requests::space_api(cluster), config).default_backoff());
    while let Some(event) = events.next().await {
        let space = match event {
            Ok(Event::InitApply(WithoutManagedFields(space)) | Event::Apply(WithoutManagedFields(space))) => space,
            Ok(Event::Delete(space)) => {
                versions.remove(&space.name_any());
                continue;
            }
            Ok(Event::Init | Event::InitDone) => continue,
            Err(error) => match wait::final_error(&error) {
                Some(why) => return Err(anyhow!("failed to watch DeveloperSpaces: {why}")),
                None => continue,
            },
        };
        let known = versions.insert(space.name_any(), space.resource_version()) == Some(space.resource_version());
        if known || !wanted(&space, args, me, cluster.now()) {
            continue;
        }
        let changed = [space];
        let quotas = quotas_of(cluster, args, &changed).await?;
        output::object(&args.output.output, &changed[0], || columns.lines(&changed, &quotas, cluster.now()))?;
    }
    Ok(())
}

fn wanted(space: &DeveloperSpace, args: &ListArgs, me: Option<&UserInfo>, now: DateTime<Utc>) -> bool {
    let soon = |Span(within): Span| {
        let within = TimeDelta::from_std(within).unwrap_or(TimeDelta::MAX);
        spaces::expires_at(space).is_some_and(|at| at - now <= within) && !spaces::is_true(space, types::EXPIRED)
    };
    (args.names.is_empty() || args.names.contains(&space.name_any()))
        && args.owner.as_ref().is_none_or(|SubjectArg(owner)| space.spec.owner == *owner)
        && me.is_none_or(|me| membership::includes_user(space, me))
        && args.class.as_ref().is_none_or(|wanted| spaces::class_name(space) == Some(wanted.as_str()))
        && args.expiring_within.is_none_or(soon)
}

fn sort(spaces: &mut [DeveloperSpace], by: SortBy) {
    match by {
        SortBy::Name => spaces.sort_by_key(kube::ResourceExt::name_any),
        // Spaces that never end come last.
        SortBy::Expiry => spaces.sort_by_key(|space| (spaces::expires_at(space).is_none(), spaces::expires_at(space), space.name_any())),
        SortBy::Age => spaces.sort_by_key(|space| (Reverse(spaces::created_at(space)), space.name_any())),
    }
}

/// The number of columns without -o wide.
const FEW: usize = 9;
const ALL: usize = 12;
const HEADINGS: [&str; ALL] =
    ["NAME", "OWNER", "CLASS", "READY", "REASON", "EXPIRES", "CPU", "MEMORY", "AGE", "TEAM", "NAMESPACE UID", "MESSAGE"];

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
        bar_of(uses, "requests.cpu"),
        bar_of(uses, "requests.memory"),
        or_dash(spaces::created_at(space).map(|at| format::span(now - at))),
        or_dash(team),
        or_dash(namespace.map(|namespace| namespace.uid.clone())),
        flags.on(&format::one_line(message)),
    ]
}

/// A table that is printed in parts: the headings are printed once, and the columns of later lines align with the earlier ones.
struct Columns {
    wide: bool,
    headings: bool,
    widths: [usize; ALL],
    flags: Flags,
}

impl Columns {
    fn new(wide: bool, headings: bool, flags: &Flags) -> Self {
        Self { wide, headings, widths: [0; ALL], flags: flags.clone() }
    }

    fn lines(&mut self, spaces: &[DeveloperSpace], quotas: &Quotas, now: DateTime<Utc>) -> String {
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
            output::table(output::leading::<_, ALL, FEW>(&HEADINGS), rows.iter().map(output::leading), true)
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::plugin::{
        args::KubectlArgs,
        fixtures::{a_space, now},
        quotas::Use,
        subject::of_username,
    };

    fn a_fresh_one() -> DeveloperSpace {
        DeveloperSpace::new("fern-lab", crate::plugin::create::spec(of_username("omar@example.com")))
    }

    #[test]
    fn a_table_says_when_things_end_and_how_full_they_are() {
        let uses = vec![Use { resource: "requests.cpu".into(), used: "1".into(), hard: "4".into(), share: 0.25 }];
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
    fn more_columns_if_asked_for() {
        let expected = "\
NAME         OWNER               CLASS      READY   REASON        EXPIRES   CPU   MEMORY   AGE   TEAM     NAMESPACE UID   MESSAGE
orchid-lab   nadia@example.com   standard   True    Provisioned   in 1d4h   -     -        4d    botany   uid-7           all is in place";
        assert_eq!(Columns::new(true, true, &Flags::default()).lines(&[a_space()], &Quotas::new(), now()), expected);
    }

    #[test]
    fn commands_in_messages_act_on_the_cluster_of_this_run() {
        let flags = Flags::of(&KubectlArgs { context: Some("staging".to_owned()), ..KubectlArgs::default() });
        let mut space = a_space();
        space.status.as_mut().unwrap().conditions[0].message = "see kubectl -n orchid-lab get rolebindings".to_owned();
        let lines = Columns::new(true, true, &flags).lines(&[space], &Quotas::new(), now());
        assert!(lines.ends_with("   see kubectl --context staging -n orchid-lab get rolebindings"), "{lines}");
    }

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: ListArgs,
    }

    #[test]
    fn flags_choose() {
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
            assert_eq!(wanted(&a_space(), &line.args, None, now()), expected, "{words}");
        }
    }

    #[test]
    fn what_never_ends_comes_last() {
        for (by, first) in [(SortBy::Name, "fern-lab"), (SortBy::Expiry, "orchid-lab")] {
            let mut spaces = [a_space(), a_fresh_one()];
            sort(&mut spaces, by);
            assert_eq!(spaces[0].name_any(), first, "{by:?}");
        }
    }
}
