//! The quota usage of spaces, as their ResourceQuotas report it.

use std::collections::BTreeMap;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde::Serialize;

use super::{api_error::ApiContext, cluster::Cluster, format};
use crate::api::{names, quantity::Quantity};

/// The usage and the limit of one resource.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ResourceUsage {
    /// Its name in the quota, such as `requests.cpu`.
    pub(crate) resource: String,
    /// The amount in use.
    pub(crate) used: String,
    /// The hard limit.
    pub(crate) hard: String,
    /// `used` divided by `hard`; more than 1 if the limit was lowered later.
    pub(crate) share: f64,
}

impl ResourceUsage {
    /// The cells of its line in a table: resource, used, hard, and the share as a bar.
    pub(crate) fn cells(&self) -> [String; 4] {
        [self.resource.clone(), self.used.clone(), self.hard.clone(), format::bar(self.share)]
    }
}

/// Quotas by space. A space whose quota cannot be read is omitted.
pub(crate) type Quotas = BTreeMap<String, Vec<ResourceUsage>>;

/// The number of quotas that are read concurrently if they cannot be listed.
const MAX_CONCURRENT_READS: usize = 8;

/// The quotas of `spaces`. Quotas that the caller may not read are omitted.
pub(crate) async fn fetch(cluster: &Cluster, spaces: &[String]) -> anyhow::Result<Quotas> {
    match spaces {
        [] => return Ok(Quotas::new()),
        [only] => return Ok(fetch_one(cluster, only).await.into_iter().collect()),
        _ => {}
    }
    let all = Api::<ResourceQuota>::all(cluster.client.clone());
    match all.list(&ListParams::default().labels(&names::managed_selector())).await {
        Ok(list) => {
            let ours = list.items.iter().filter(|quota| quota.name_any() == names::CHILD);
            Ok(ours
                .filter_map(|quota| Some((quota.namespace()?, usage_of(quota))))
                .filter(|(space, _)| spaces.contains(space))
                .collect())
        }
        // A caller who may not list all quotas may still be allowed to read the quotas of their own spaces.
        Err(kube::Error::Api(status)) if status.code == 403 => {
            let found =
                stream::iter(spaces).map(|space| fetch_one(cluster, space)).buffer_unordered(MAX_CONCURRENT_READS);
            Ok(found.filter_map(std::future::ready).collect().await)
        }
        Err(error) => Err(error).context_api(|| "list ResourceQuotas".to_owned()),
    }
}

async fn fetch_one(cluster: &Cluster, space: &str) -> Option<(String, Vec<ResourceUsage>)> {
    let api: Api<ResourceQuota> = Api::namespaced(cluster.client.clone(), space);
    let quota = api.get_opt(names::CHILD).await.ok()??;
    Some((space.to_owned(), usage_of(&quota)))
}

/// The usage in the status of a quota, by resource.
pub(crate) fn usage_of(quota: &ResourceQuota) -> Vec<ResourceUsage> {
    let status = quota.status.clone().unwrap_or_default();
    let used = status.used.unwrap_or_default();
    let hard = status.hard.or_else(|| quota.spec.as_ref()?.hard.clone()).unwrap_or_default();
    let of = |(resource, hard): (String, k8s_openapi::apimachinery::pkg::api::resource::Quantity)| {
        let used = used.get(&resource).map_or("0", |used| used.0.as_str());
        ResourceUsage { share: share(used, &hard.0), used: used.to_owned(), hard: hard.0, resource }
    };
    hard.into_iter().map(of).collect()
}

/// `used` divided by `hard`. If `hard` is 0, any usage is a share of 1.
pub(crate) fn share(used: &str, hard: &str) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a bar has ten steps")]
    let number = |text: &str| Quantity(text.to_owned()).value().map_or(0.0, |value| value.to_milli() as f64);
    let (used, hard) = (number(used), number(hard));
    if hard > 0.0 { used / hard } else { f64::from(u8::from(used > 0.0)) }
}

/// The bar of one resource, or a dash.
pub(crate) fn usage_bar(uses: Option<&Vec<ResourceUsage>>, resource: &str) -> String {
    let found = uses.into_iter().flatten().find(|found| found.resource == resource);
    found.map_or_else(|| "-".to_owned(), |found| format::bar(found.share))
}

/// The resource with the largest share in use, or the resource `only`.
pub(crate) fn most_used<'a>(uses: &'a [ResourceUsage], only: Option<&str>) -> Option<&'a ResourceUsage> {
    let asked = uses.iter().filter(|found| only.is_none_or(|only| found.resource == only));
    asked.max_by(|a, b| a.share.total_cmp(&b.share))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn shares_are_computed_from_values() {
        for (used, hard, expected) in [
            ("500m", "2", 0.25),
            ("512Mi", "1Gi", 0.5),
            ("0", "10", 0.0),
            ("1", "0", 1.0),
            ("0", "0", 0.0),
            ("3", "2", 1.5),
        ] {
            assert!((share(used, hard) - expected).abs() < 1e-9, "{used} of {hard}");
        }
    }

    #[test]
    fn a_quota_without_a_status_is_unused() {
        let quota =
            serde_json::from_value(json!({"metadata": {"name": "developerspace"}, "spec": {"hard": {"pods": "4"}}}))
                .unwrap();
        let found = usage_of(&quota);
        assert_eq!(found, [ResourceUsage { resource: "pods".into(), used: "0".into(), hard: "4".into(), share: 0.0 }]);
        assert_eq!(most_used(&found, Some("requests.cpu")), None);
        assert_eq!(usage_bar(Some(&found), "pods"), "[..........]   0%");
        assert_eq!(usage_bar(Some(&found), "requests.cpu"), "-");
        assert_eq!(usage_bar(None, "pods"), "-");
    }

    #[test]
    fn usage_is_reported_for_the_limits_in_force() {
        let quota = json!({
            "metadata": {"name": "developerspace"},
            "spec": {"hard": {"pods": "9"}},
            "status": {"hard": {"pods": "4", "requests.cpu": "2"}, "used": {"pods": "1", "requests.cpu": "1500m", "secrets": "7"}},
        });
        let found = usage_of(&serde_json::from_value(quota).unwrap());
        let cells: Vec<_> = found.iter().map(ResourceUsage::cells).collect();
        assert_eq!(
            cells,
            [["pods", "1", "4", "[###.......]  25%"], ["requests.cpu", "1500m", "2", "[########..]  75%"]]
        );
        assert_eq!(most_used(&found, None).map(|most| most.resource.as_str()), Some("requests.cpu"));
        assert_eq!(most_used(&found, Some("pods")).map(|most| most.resource.as_str()), Some("pods"));
    }
}
