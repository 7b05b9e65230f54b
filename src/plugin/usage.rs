//! `usage`: prints the quota usage of spaces.

use clap::Args;
use serde_json::json;

use super::{
    args::OutputArgs,
    cluster::Cluster,
    membership::includes_user,
    output,
    progress::print_stderr,
    quotas::{self, Quotas},
    requests, visible_spaces,
};

/// Arguments of `usage`.
#[derive(Clone, Debug, Args)]
pub struct UsageArgs {
    /// The spaces [default: yours]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &UsageArgs) -> anyhow::Result<()> {
    let mut names = args.names.clone();
    for name in &names {
        requests::get_space(cluster, name).await?;
    }
    if names.is_empty() {
        let me = cluster.whoami().await?;
        let visible = visible_spaces::list(cluster, None).await?;
        names =
            visible.spaces.iter().filter(|space| includes_user(space, &me)).map(kube::ResourceExt::name_any).collect();
        if names.is_empty() {
            print_stderr("You have no spaces.");
        }
    }
    let found = quotas::fetch(cluster, &names).await?;
    for name in names.iter().filter(|name| !found.contains_key(*name)) {
        print_stderr(&format!("The quota of {name} does not exist, or you cannot read it."));
    }
    let data: Vec<_> = found.iter().map(|(space, uses)| json!({"space": space, "quota": uses})).collect();
    output::print_data(&args.output.output, &data, || table(&found))
}

/// A line for each limit; empty if there are no quotas.
fn table(quotas: &Quotas) -> String {
    if quotas.is_empty() {
        return String::new();
    }
    let lines = quotas.iter().flat_map(|(space, uses)| uses.iter().map(move |one| (space, one.cells())));
    let rows = lines.map(|(space, [resource, used, hard, share])| [space.clone(), resource, used, hard, share]);
    output::table(["SPACE", "RESOURCE", "USED", "HARD", "SHARE"], rows, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::quotas::ResourceUsage;

    #[test]
    fn each_limit_is_one_line() {
        let one = |resource: &str, used: &str, hard: &str, share: f64| ResourceUsage {
            resource: resource.to_owned(),
            used: used.to_owned(),
            hard: hard.to_owned(),
            share,
        };
        let quotas = Quotas::from([
            ("orchid-lab".to_owned(), vec![one("pods", "2", "4", 0.5), one("requests.cpu", "1500m", "2", 0.75)]),
            ("fern-lab".to_owned(), vec![one("pods", "0", "8", 0.0)]),
        ]);
        let expected = "\
SPACE        RESOURCE       USED    HARD   SHARE
fern-lab     pods           0       8      [..........]   0%
orchid-lab   pods           2       4      [#####.....]  50%
orchid-lab   requests.cpu   1500m   2      [########..]  75%";
        assert_eq!(table(&quotas), expected);
        assert_eq!(table(&Quotas::new()), "");
    }
}
