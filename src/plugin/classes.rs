//! `classes`: lists the SpaceClasses.

use clap::Args;
use kube::{Api, ResourceExt as _};

use super::{
    api_error::ApiContext, args::OutputArgs, cluster::Cluster, format, output, progress::print_stderr, requests,
};
use crate::{
    api::{AccessMethod, SpaceClass, conditions, is_default_class},
    desired::credential_lifetime::check_method,
};

/// Arguments of `classes`.
#[derive(Clone, Debug, Args)]
pub struct ClassesArgs {
    /// One class [default: all]
    #[arg(value_name = "NAME")]
    pub name: Option<String>,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

pub(crate) async fn run(cluster: &Cluster, args: &ClassesArgs) -> anyhow::Result<()> {
    let format = &args.output.output;
    if let Some(name) = &args.name {
        let class = Api::<SpaceClass>::all(cluster.client.clone())
            .get(name)
            .await
            .context_api(|| format!("read SpaceClass {name}"))?;
        return output::print_object(format, &class, || table(std::slice::from_ref(&class), format.is_wide()));
    }
    let classes = requests::list_classes(cluster).await?;
    if classes.is_empty() && format.is_table() {
        print_stderr("No classes found: an administrator must create one; see config/classes.");
        return Ok(());
    }
    output::print_objects(format, &classes, || table(&classes, format.is_wide()))
}

/// The number of columns without -o wide.
const FEW: usize = 9;
const ALL: usize = 10;
const HEADINGS: [&str; ALL] =
    ["NAME", "DEFAULT", "ACCEPTED", "TTL", "MAX-TTL", "CPU", "MEMORY", "ACCESS", "SPACES/OWNER", "DESCRIPTION"];

fn table(classes: &[SpaceClass], wide: bool) -> String {
    let rows: Vec<_> = classes.iter().map(cells).collect();
    if wide {
        output::table(HEADINGS, rows, false)
    } else {
        output::table(output::first_columns::<_, ALL, FEW>(&HEADINGS), rows.iter().map(output::first_columns), false)
    }
}

fn cells(class: &SpaceClass) -> [String; ALL] {
    let dash = || "-".to_owned();
    let spec = &class.spec;
    let conditions = class.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let accepted = conditions::find(conditions, conditions::types::ACCEPTED).map(|found| found.status.clone());
    let hard = |resource: &str| {
        spec.quota.as_ref().and_then(|quota| quota.hard.get(resource)).map_or_else(dash, |amount| amount.0.clone())
    };
    let lifetime = spec.lifetime.clone().unwrap_or_default();
    let ways = AccessMethod::ALL.iter().filter(|method| check_method("", spec.access.as_ref(), **method).is_ok());
    [
        class.name_any(),
        if is_default_class(&class.metadata) { "yes".to_owned() } else { dash() },
        accepted.unwrap_or_else(dash),
        lifetime.default_ttl.or_else(|| lifetime.max_ttl.clone()).unwrap_or_else(dash),
        lifetime.max_ttl.unwrap_or_else(dash),
        hard("requests.cpu"),
        hard("requests.memory"),
        ways.map(|method| method.word()).collect::<Vec<_>>().join(","),
        spec.max_spaces_per_owner.map_or_else(dash, |max| max.to_string()),
        format::one_line(spec.description.as_deref().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_class_is_one_line_of_the_table() {
        let greenhouse = json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "greenhouse"},
            "spec": {
                "description": "For plants\nand moss", "quota": {"hard": {"requests.cpu": "4"}}, "lifetime": {"maxTTL": "30d"},
                "access": {"methods": ["Token"]},
            },
        });
        let standard = json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass",
            "metadata": {"name": "standard", "annotations": {"developerspace.dev/is-default-class": "true"}},
            "spec": {
                "quota": {"hard": {"requests.cpu": "10", "requests.memory": "100Gi"}},
                "lifetime": {"defaultTTL": "7d", "maxTTL": "60d"}, "maxSpacesPerOwner": 3,
            },
            "status": {"conditions": [{
                "type": "Accepted", "status": "True", "reason": "Valid", "message": "", "lastTransitionTime": "2026-11-20T09:00:00Z",
            }]},
        });
        let classes = [greenhouse, standard].map(|class| serde_json::from_value::<SpaceClass>(class).unwrap());
        let few = "\
NAME         DEFAULT   ACCEPTED   TTL   MAX-TTL   CPU   MEMORY   ACCESS            SPACES/OWNER
greenhouse   -         -          30d   30d       4     -        token             -
standard     yes       True       7d    60d       10    100Gi    cert,oidc,token   3";
        assert_eq!(table(&classes, false), few);
        let all = "\
NAME         DEFAULT   ACCEPTED   TTL   MAX-TTL   CPU   MEMORY   ACCESS            SPACES/OWNER   DESCRIPTION
greenhouse   -         -          30d   30d       4     -        token             -              For plants and moss
standard     yes       True       7d    60d       10    100Gi    cert,oidc,token   3";
        assert_eq!(table(&classes, true), all);
    }
}
