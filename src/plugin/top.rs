//! `top`: the spaces that use most of their quota.

use chrono::{DateTime, Utc};
use clap::Args;
use kube::ResourceExt as _;
use serde_json::json;

use super::{
    args::OutputArgs,
    cluster::Cluster,
    output,
    progress::print_stderr,
    quotas::{self, Quotas, ResourceUsage},
    spaces, visible_spaces,
};
use crate::api::DeveloperSpace;

/// Arguments of `top`.
#[derive(Clone, Debug, Args)]
pub struct TopArgs {
    /// Rank by this resource only: requests.cpu [default: for each space the resource with the highest usage]
    #[arg(long, value_name = "RESOURCE")]
    pub by: Option<String>,

    /// The maximum number of spaces
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &TopArgs) -> anyhow::Result<()> {
    let spaces = visible_spaces::list(cluster, None).await?.spaces;
    let quotas = quotas::fetch(cluster, &spaces.iter().map(kube::ResourceExt::name_any).collect::<Vec<_>>()).await?;
    let found = ranking(&spaces, &quotas, args);
    if found.is_empty() && args.output.output.is_table() {
        print_stderr(&args.by.as_ref().map_or_else(
            || "No quota was found that you can read.".to_owned(),
            |by| format!("No quota was found that limits {by} and that you can read."),
        ));
        return Ok(());
    }
    let data: Vec<_> = found
        .iter()
        .map(|(space, most)| json!({"space": space.name_any(), "owner": space.spec.owner, "most": most}))
        .collect();
    output::print_data(&args.output.output, &data, || table(&found, cluster.now()))
}

/// A space and the resource with its largest share in use.
type Ranked<'a> = (&'a DeveloperSpace, &'a ResourceUsage);

/// The spaces by their largest share in use, the largest first, then by name.
fn ranking<'a>(spaces: &'a [DeveloperSpace], quotas: &'a Quotas, args: &TopArgs) -> Vec<Ranked<'a>> {
    let most_used = |space: &'a DeveloperSpace| {
        Some((space, quotas::most_used(quotas.get(&space.name_any())?, args.by.as_deref())?))
    };
    let mut found: Vec<_> = spaces.iter().filter_map(most_used).collect();
    found.sort_by(|(a, most_of_a), (b, most_of_b)| {
        most_of_b.share.total_cmp(&most_of_a.share).then_with(|| a.metadata.name.cmp(&b.metadata.name))
    });
    found.truncate(args.limit);
    found
}

fn table(found: &[Ranked<'_>], now: DateTime<Utc>) -> String {
    let rows = found.iter().map(|(space, most)| {
        let [resource, used, hard, share] = most.cells();
        [space.name_any(), space.spec.owner.name.clone(), resource, used, hard, share, spaces::expiry_cell(space, now)]
    });
    output::table(["SPACE", "OWNER", "RESOURCE", "USED", "HARD", "SHARE", "EXPIRES"], rows, false)
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
        args: TopArgs,
    }

    fn top(words: &str) -> String {
        let one = |resource: &str, used: &str, share: f64| ResourceUsage {
            resource: resource.to_owned(),
            used: used.to_owned(),
            hard: "4".to_owned(),
            share,
        };
        let quotas = Quotas::from([
            ("orchid-lab".to_owned(), vec![one("pods", "1", 0.25), one("requests.cpu", "3", 0.75)]),
            ("fern-lab".to_owned(), vec![one("pods", "2", 0.5)]),
        ]);
        let spaces = ["bog-lab", "fern-lab"]
            .map(|name| DeveloperSpace::new(name, create::minimal_spec(from_username("omar@example.com"))));
        let spaces = [spaces.to_vec(), vec![a_space()]].concat();
        let Line { args } = clap::Parser::try_parse_from(format!("top {words}").split_whitespace()).unwrap();
        table(&ranking(&spaces, &quotas, &args), now())
    }

    #[test]
    fn the_space_with_the_highest_usage_comes_first() {
        let expected = "\
SPACE        OWNER               RESOURCE       USED   HARD   SHARE               EXPIRES
orchid-lab   nadia@example.com   requests.cpu   3      4      [########..]  75%   in 1d4h
fern-lab     omar@example.com    pods           2      4      [#####.....]  50%   -";
        assert_eq!(top(""), expected);
    }

    #[test]
    fn the_ranking_can_be_limited_to_one_resource() {
        let expected = "\
SPACE      OWNER              RESOURCE   USED   HARD   SHARE               EXPIRES
fern-lab   omar@example.com   pods       2      4      [#####.....]  50%   -";
        assert_eq!(top("--by pods --limit 1"), expected);
    }
}
