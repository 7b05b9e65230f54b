//! Finds the LimitRange that rejects a pod: the message of the API server does not name it.

use k8s_openapi::api::core::v1::{LimitRange, LimitRangeItem};
use kube::ResourceExt as _;

/// The names of the LimitRanges whose bounds `message` quotes,
/// see `k8s.io/kubernetes/plugin/pkg/admission/limitranger`.
pub(super) fn violated_ranges(ranges: &[LimitRange], message: &str) -> Vec<String> {
    let items = |range: &LimitRange| range.spec.iter().flat_map(|spec| spec.limits.clone()).collect::<Vec<_>>();
    ranges
        .iter()
        .filter(|range| items(range).iter().any(|item| is_quoted(item, message)))
        .map(LimitRange::name_any)
        .collect()
}

/// Returns true if a message quotes a bound of an item: `maximum cpu usage per Container is 200m, but limit is 500m`.
fn is_quoted(item: &LimitRangeItem, message: &str) -> bool {
    let bounds = [("maximum {} usage per", &item.max), ("minimum {} usage per", &item.min)];
    let ratio = [("{} max limit to request ratio per", &item.max_limit_request_ratio)];
    bounds.into_iter().chain(ratio).any(|(words, amounts)| {
        amounts.iter().flatten().any(|(resource, amount)| {
            let quoted = format!("{} {} is {}", words.replace("{}", resource), item.type_, amount.0);
            message.match_indices(&quoted).any(|(at, found)| message[at + found.len()..].starts_with([',', '.']))
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_limit_range_whose_bound_is_quoted_is_found() {
        let range = |name: &str, item: serde_json::Value| -> LimitRange {
            serde_json::from_value(json!({"metadata": {"name": name}, "spec": {"limits": [item]}})).unwrap()
        };
        let ranges = [
            range("developerspace", json!({"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}})),
            range(
                "cluster-baseline",
                json!({"type": "Container", "max": {"cpu": "200m"}, "maxLimitRequestRatio": {"memory": "4"}}),
            ),
            range("pods", json!({"type": "Pod", "max": {"cpu": "200m"}})),
        ];
        for (message, found) in [
            ("maximum cpu usage per Container is 200m, but limit is 500m", vec!["cluster-baseline"]),
            ("maximum cpu usage per Pod is 200m, but limit is 500m", vec!["pods"]),
            ("maximum cpu usage per Container is 2, but limit is 3", vec!["developerspace"]),
            ("maximum cpu usage per Container is 20, but limit is 30", vec![]),
            ("minimum memory usage per Container is 1Mi, but request is 1k", vec!["developerspace"]),
            (
                "memory max limit to request ratio per Container is 4, but provided ratio is 8.000000",
                vec!["cluster-baseline"],
            ),
        ] {
            assert_eq!(violated_ranges(&ranges, message), found, "{message}");
        }
    }
}
