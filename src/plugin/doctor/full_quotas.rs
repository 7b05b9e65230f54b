//! Quotas that are used up or nearly so: the space's own quota, and additional quotas of other users.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;

use super::{
    findings::{Finding, listed},
    snapshot::Observed,
};
use crate::{
    api::names,
    plugin::quotas::{self, Use},
};

/// The share from which the space's own quota is reported.
const NEARLY: f64 = 0.9;

pub(super) fn judge(seen: &Observed, _now: DateTime<Utc>) -> Vec<Finding> {
    let name = &seen.name;
    let told = seen.quotas.all().iter().filter_map(|quota| {
        let quota_name = quota.name_any();
        let is_ours = quota_name == names::CHILD;
        // Quotas of other users are reported only when they are used up.
        let enough = if is_ours { NEARLY } else { 1.0 };
        let uses = quotas::uses(quota);
        let full: Vec<String> = uses.iter().filter(|one| one.share >= enough).map(share).collect();
        if full.is_empty() {
            return None;
        }
        let full = listed(&full);
        Some(if is_ours {
            let sentence = format!("The quota of DeveloperSpace {name} is at least 90% used: {full}.");
            Finding::warning(sentence).mended_by([format!("kubectl dspace usage {name}")])
        } else {
            let sentence =
                format!("ResourceQuota {quota_name} in namespace {name}, which the operator does not manage, is used up: {full}.");
            Finding::warning(sentence).mended_by([format!("kubectl -n {name} describe resourcequota {quota_name}")])
        })
    });
    told.collect()
}

/// Formats the usage of a resource. The percentage is rounded down, so that 100% means that nothing is left.
fn share(Use { resource, used, hard, share }: &Use) -> String {
    format!("{resource} {used} of {hard} ({:.0}%)", (share * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ResourceQuota;
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::{
        fetched::Look,
        fixtures::{lines, now, read, well},
    };

    fn quota(name: &str, hard: &Value, used: &Value) -> ResourceQuota {
        read(json!({"metadata": {"name": name}, "status": {"hard": hard, "used": used}}))
    }

    #[test]
    fn quotas_are_told_of_when_little_is_left() {
        let mut seen = well();
        assert_eq!(judge(&seen, now()), []);
        seen.quotas = Look::Seen(vec![
            quota(
                "developerspace",
                &json!({"pods": "40", "requests.cpu": "10", "services": "9"}),
                &json!({"pods": "40", "requests.cpu": "9990m", "services": "8"}),
            ),
            quota("zoology-cap", &json!({"secrets": "5", "pods": "40"}), &json!({"secrets": "6", "pods": "39"})),
            quota("roomy", &json!({"pods": "0"}), &json!({})),
        ]);
        let expected = [
            "Warning: The quota of DeveloperSpace orchid-lab is at least 90% used: pods 40 of 40 (100%) and requests.cpu 9990m of 10 \
            (99%).",
            "  kubectl dspace usage orchid-lab",
            "Warning: ResourceQuota zoology-cap in namespace orchid-lab, which the operator does not manage, is used up: secrets 6 of 5 \
            (120%).",
            "  kubectl -n orchid-lab describe resourcequota zoology-cap",
        ];
        assert_eq!(lines(&judge(&seen, now())), expected);
    }
}
