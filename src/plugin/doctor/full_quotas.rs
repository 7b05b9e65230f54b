//! Quotas that are used up or nearly so: the space's own quota, and additional quotas of other users.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;

use super::{
    diagnosis::{Diagnosis, and_list},
    snapshot::ClusterSnapshot,
};
use crate::{
    api::names,
    plugin::quotas::{self, ResourceUsage},
};

/// The share from which the space's own quota is reported.
const REPORTED_SHARE: f64 = 0.9;

pub(super) fn diagnose(snapshot: &ClusterSnapshot, _now: DateTime<Utc>) -> Vec<Diagnosis> {
    let name = &snapshot.name;
    let diagnoses = snapshot.quotas.items().iter().filter_map(|quota| {
        let quota_name = quota.name_any();
        let is_ours = quota_name == names::CHILD;
        // Quotas of other users are reported only when they are used up.
        let enough = if is_ours { REPORTED_SHARE } else { 1.0 };
        let uses = quotas::usage_of(quota);
        let full: Vec<String> = uses.iter().filter(|one| one.share >= enough).map(usage).collect();
        if full.is_empty() {
            return None;
        }
        let full = and_list(&full);
        Some(if is_ours {
            let sentence = format!("The quota of DeveloperSpace {name} is at least 90% used: {full}.");
            Diagnosis::warning(sentence).with_commands([format!("kubectl dspace usage {name}")])
        } else {
            let sentence =
                format!("ResourceQuota {quota_name} in namespace {name}, which the operator does not manage, is used up: {full}.");
            Diagnosis::warning(sentence).with_commands([format!("kubectl -n {name} describe resourcequota {quota_name}")])
        })
    });
    diagnoses.collect()
}

/// Formats the usage of a resource. The percentage is rounded down, so that 100% means that nothing is left.
fn usage(ResourceUsage { resource, used, hard, share }: &ResourceUsage) -> String {
    format!("{resource} {used} of {hard} ({:.0}%)", (share * 100.0).floor())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ResourceQuota;
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{healthy, lines, now, parse},
    };

    fn quota(name: &str, hard: &Value, used: &Value) -> ResourceQuota {
        parse(json!({"metadata": {"name": name}, "status": {"hard": hard, "used": used}}))
    }

    #[test]
    fn quotas_that_are_nearly_used_up_are_reported() {
        let mut snapshot = healthy();
        assert_eq!(diagnose(&snapshot, now()), []);
        snapshot.quotas = Fetched::Found(vec![
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
        assert_eq!(lines(&diagnose(&snapshot, now())), expected);
    }
}
