//! The `ResourceQuota`, and the keys and values that the API server accepts in one.

use std::{cmp::Ordering, collections::BTreeMap};

use k8s_openapi::{
    api::core::v1::{ResourceQuota, ResourceQuotaSpec},
    apimachinery::pkg::api::resource::Quantity as K8sQuantity,
};
use serde_json::{Value, json};

use super::{metadata::child_metadata, spec_refusal::SpecRefusal};
use crate::api::{ClassQuota, conditions::Reason, names, quantity::Quantity, syntax};

/// Amounts that a quota can limit without a domain, see `IsStandardQuotaResourceName` in
/// `k8s.io/kubernetes/pkg/apis/core/helper`.
const AMOUNTS: [&str; 10] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.storage",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
];

/// Objects that a quota can count without a domain, by the same function.
const COUNTED: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "persistentvolumeclaims",
    "configmaps",
    "services.nodeports",
    "services.loadbalancers",
];

/// Resource name to limit.
pub(crate) type Hard = BTreeMap<String, Quantity>;

/// The quota of a namespace with these limits; `None` without limits.
pub(super) fn build(hard: &Hard, labels: &BTreeMap<String, String>) -> Option<ResourceQuota> {
    (!hard.is_empty()).then(|| ResourceQuota {
        metadata: child_metadata(names::CHILD, labels),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard.iter().map(|(key, value)| (key.clone(), value.into())).collect()),
            ..ResourceQuotaSpec::default()
        }),
        status: None,
    })
}

/// The limits of a quota.
pub(super) fn hard(quota: &ResourceQuota) -> Hard {
    let hard = quota.spec.iter().filter_map(|spec| spec.hard.as_ref()).flatten();
    hard.map(|(key, value)| (key.clone(), value.into())).collect()
}

/// (content, identity) for comparison: quantities by value, as the server rewrites them; scopes are immutable. A spec
/// that was too large to be read counts as one without scopes, which is repaired in place.
pub(super) fn comparable(quota: &ResourceQuota) -> (Value, Value) {
    let Some(ResourceQuotaSpec { hard, scope_selector, scopes }) = &quota.spec else {
        return (Value::Null, json!([null, null]));
    };
    let hard: BTreeMap<&String, String> =
        hard.iter().flatten().map(|(key, value)| (key, Quantity::from(value).key())).collect();
    (json!(hard), json!([scope_selector, scopes.as_ref().filter(|scopes| !scopes.is_empty())]))
}

/// Returns true if admission enforces the whole quota. Admission compares the usage with `status.hard`, which
/// kube-controller-manager fills in: it has to contain every key of `spec.hard`, with a value that is not above the
/// limit. See <https://kubernetes.io/docs/concepts/policy/resource-quotas/#how-kubernetes-resourcequotas-work>.
pub(super) fn is_in_force(quota: &ResourceQuota) -> bool {
    let counted = quota.status.as_ref().and_then(|status| status.hard.as_ref());
    let limits = quota.spec.iter().filter_map(|spec| spec.hard.as_ref()).flatten();
    limits.into_iter().all(|(key, limit)| {
        let counted = counted.and_then(|counted| counted.get(key)).map(Quantity::from);
        counted.is_some_and(|counted| counted.compare(&limit.into()).is_some_and(Ordering::is_le))
    })
}

/// `wanted`, cut so that it raises no limit of an existing quota: the lower value of each common key, and the keys that
/// only `wanted` has. Keys that only the existing quota has are omitted.
pub(super) fn lower(wanted: &ResourceQuota, existing: &ResourceQuota) -> ResourceQuota {
    let present = existing.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let mut lowered = wanted.clone();
    for (key, value) in lowered.spec.iter_mut().filter_map(|spec| spec.hard.as_mut()).flatten() {
        let is_lower =
            |present: &&K8sQuantity| Quantity::from(*present).compare(&(&*value).into()).is_some_and(Ordering::is_lt);
        if let Some(present) = present.and_then(|present| present.get(key)).filter(is_lower) {
            *value = present.clone();
        }
    }
    lowered
}

/// The class's limits with the space's overrides, each cut to the class's ceiling, and an objection to each that is
/// above it.
pub fn cut(class: Option<&ClassQuota>, overrides: &Hard) -> (Hard, Vec<SpecRefusal>) {
    let none = ClassQuota::default();
    let class = class.unwrap_or(&none);
    // A ceiling without a limit of its own holds as a limit. A class that an older version accepted may have such
    // ceilings.
    let mut hard: Hard = class.max.clone();
    hard.extend(class.hard.clone());
    let mut refusals = Vec::new();
    for (key, value) in overrides {
        let exceeds = |sentence: String| {
            SpecRefusal::new(Reason::QuotaExceedsClass, format!("spec.quota {}: {sentence}", shown(key)))
        };
        let Some(ceiling) = class.max.get(key).or_else(|| class.hard.get(key)) else {
            refusals.push(exceeds("the class has no such limit: omit it, or use a class that has it".into()));
            continue;
        };
        if let Err(sentence) = check(key, value) {
            refusals.push(SpecRefusal::new(Reason::InvalidSpec, format!("spec.quota {sentence}")));
            continue;
        }
        let is_above = value.compare(ceiling).is_none_or(Ordering::is_gt);
        if is_above {
            refusals.push(exceeds(format!(
                "{} is above the class's maximum of {}: set {} or less",
                value.0, ceiling.0, ceiling.0
            )));
        }
        hard.insert(key.clone(), if is_above { ceiling.clone() } else { value.clone() });
    }
    refusals.extend(unusable(&hard).iter().filter(|pair| overrides.contains_key(&pair.request)).map(|pair| {
        let Unusable { request, requested, limit, limited } = pair;
        let (requested, limited) = (&requested.0, &limited.0);
        let message = format!(
            "spec.quota {request}: {requested} cannot be used under {limit} {limited}, since no container requests more than its limit: set {limit} to {requested} as well, or lower {request}"
        );
        SpecRefusal::new(Reason::InvalidSpec, message)
    }));
    (hard, refusals)
}

/// Advice about accepted limits that leave a part of the requests unusable: sentences for the message of a space that
/// is Ready.
pub fn notices(overrides: &Hard, hard: &Hard) -> Vec<String> {
    let lowered = unusable(hard)
        .into_iter()
        .filter(|pair| !overrides.contains_key(&pair.request) && overrides.contains_key(&pair.limit));
    let notice = |pair: Unusable| {
        format!(
            "spec.quota {} {} leaves a part of {} {} that cannot be used",
            pair.limit, pair.limited.0, pair.request, pair.requested.0
        )
    };
    lowered.map(notice).collect()
}

/// Returns true if a quota can limit the resource of that name, which has no domain.
pub(super) fn is_standard(key: &str) -> bool {
    let huge = |name: &str| name.starts_with("hugepages-");
    AMOUNTS.contains(&key) || COUNTED.contains(&key) || huge(key) || key.strip_prefix("requests.").is_some_and(huge)
}

/// Returns true if a quota with that key refuses each pod that does not specify the amount, see
/// <https://kubernetes.io/docs/concepts/policy/resource-quotas/#requests-vs-limits>.
pub(super) fn needs_amounts(key: &str) -> bool {
    let resource = key.strip_prefix("requests.").or_else(|| key.strip_prefix("limits.")).unwrap_or(key);
    matches!(resource, "cpu" | "memory")
}

/// Validates `key: value` as the API server does in a quota. The error is a sentence that begins with the key.
pub fn check(key: &str, value: &Quantity) -> Result<(), String> {
    let known = is_standard(key);
    let qualified = key.contains('/') && syntax::is_qualified_key(key);
    if !known && !qualified {
        return Err(format!(
            "{}: not a resource that a quota can limit; for example requests.cpu, limits.memory, pods or count/deployments.apps",
            shown(key)
        ));
    }
    let Some(read) = value.value() else {
        return Err(format!("{key}: {:?} is not a quantity; for example 500m, 2 or 10Gi", value.0));
    };
    if read.is_negative() {
        return Err(format!("{key}: {} is negative; set zero or more", value.0));
    }
    let counts = COUNTED.contains(&key)
        || (key.contains('/') && !key.starts_with("requests.") && !key.contains("kubernetes.io/"))
        || key.starts_with("count/");
    if counts && !read.is_whole() {
        return Err(format!("{key}: {} is not a whole number, and it counts objects", value.0));
    }
    Ok(())
}

/// A key or a name in a sentence. The spec of a space may contain any characters there, so the text is quoted unless
/// all of them occur in names of resources and objects.
pub(super) fn shown(text: &str) -> String {
    let is_plain = text.chars().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.' | '/'));
    if is_plain { text.to_owned() } else { format!("{text:?}") }
}

/// Requests that no pod can use, since no container requests more than its limit.
pub(super) struct Unusable {
    /// The key of the requests.
    pub(super) request: String,
    /// Their amount.
    pub(super) requested: Quantity,
    /// The key of the limits.
    pub(super) limit: String,
    /// Their amount, which is lower.
    pub(super) limited: Quantity,
}

/// The requests in `hard` that are above the limits of the same resource.
pub(super) fn unusable(hard: &Hard) -> Vec<Unusable> {
    let pairs = ["cpu", "memory", "ephemeral-storage"].into_iter().flat_map(|resource| {
        [format!("requests.{resource}"), resource.to_owned()].map(|request| (request, format!("limits.{resource}")))
    });
    let amounts = pairs.filter_map(|(request, limit)| {
        let (requested, limited) = (hard.get(&request)?.clone(), hard.get(&limit)?.clone());
        Some(Unusable { request, requested, limit, limited })
    });
    amounts.filter(|pair| pair.requested.compare(&pair.limited) == Some(Ordering::Greater)).collect()
}

/// The number of objects that the operator creates in a namespace. It creates one `ResourceQuota` in addition wherever
/// there is a quota to count it.
pub(super) struct OwnObjects {
    /// `RoleBinding`s.
    pub(super) bindings: usize,
    /// `NetworkPolicy`s.
    pub(super) policies: usize,
    /// `LimitRange`s.
    pub(super) limits: usize,
}

impl OwnObjects {
    /// The keys by which a quota counts them.
    pub(super) const KEYS: [&str; 5] = [
        "count/rolebindings.rbac.authorization.k8s.io",
        "count/networkpolicies.networking.k8s.io",
        "count/limitranges",
        "count/resourcequotas",
        "resourcequotas",
    ];

    /// A sentence about the first of these objects that `hard` has no room for. It begins with the key.
    pub(super) fn lacking(&self, hard: &Hard) -> Option<String> {
        let needed = [
            (self.bindings, "RoleBindings"),
            (self.policies, "NetworkPolicy"),
            (self.limits, "LimitRange"),
            (1, "ResourceQuota"),
            (1, "ResourceQuota"),
        ];
        Self::KEYS.into_iter().zip(needed).find_map(|(key, (needed, kind))| {
            let room = hard.get(key)?;
            (room.compare(&needed.to_string().as_str().into()) == Some(Ordering::Less)).then(|| {
                format!(
                    "{key}: {} leaves no room for the {needed} {kind} that the operator creates: set {needed} or more",
                    room.0
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hard(pairs: &[(&str, &str)]) -> Hard {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), Quantity::from(*value))).collect()
    }

    fn class() -> ClassQuota {
        ClassQuota { hard: hard(&[("requests.cpu", "10"), ("pods", "20")]), max: hard(&[("requests.cpu", "20")]) }
    }

    #[test]
    fn overrides_are_cut_to_the_ceiling() {
        assert_eq!(
            cut(Some(&class()), &hard(&[("requests.cpu", "19500m")])),
            (hard(&[("requests.cpu", "19500m"), ("pods", "20")]), vec![])
        );
        for (key, value, reason, left) in [
            ("requests.cpu", "20001m", Reason::QuotaExceedsClass, [("requests.cpu", "20"), ("pods", "20")]),
            ("pods", "21", Reason::QuotaExceedsClass, [("requests.cpu", "10"), ("pods", "20")]),
            ("services", "1", Reason::QuotaExceedsClass, [("requests.cpu", "10"), ("pods", "20")]),
            ("pods", "1500m", Reason::InvalidSpec, [("requests.cpu", "10"), ("pods", "20")]),
        ] {
            let (quota, refusals) = cut(Some(&class()), &hard(&[(key, value)]));
            assert_eq!(quota, hard(&left), "{key}={value}");
            assert_eq!(
                refusals.iter().map(|refusal| refusal.reason).collect::<Vec<_>>(),
                [reason],
                "{key}={value}: {refusals:?}"
            );
        }
        assert_eq!(cut(None, &Hard::new()), (Hard::new(), vec![]));
    }

    #[test]
    fn a_maximum_without_a_limit_applies_to_a_space_without_overrides() {
        let class =
            ClassQuota { hard: hard(&[("pods", "20")]), max: hard(&[("services.loadbalancers", "2"), ("pods", "30")]) };
        let both = |balancers: &str| hard(&[("pods", "20"), ("services.loadbalancers", balancers)]);
        assert_eq!(cut(Some(&class), &Hard::new()), (both("2"), vec![]));
        assert_eq!(cut(Some(&class), &hard(&[("services.loadbalancers", "1")])), (both("1"), vec![]));
    }

    #[test]
    fn requests_above_limits_are_refused_and_limits_below_requests_are_reported() {
        let class = ClassQuota {
            hard: hard(&[("requests.cpu", "10"), ("limits.cpu", "10")]),
            max: hard(&[("requests.cpu", "20"), ("limits.cpu", "20")]),
        };
        let raised = hard(&[("requests.cpu", "20")]);
        let (quota, refusals) = cut(Some(&class), &raised);
        let says = "spec.quota requests.cpu: 20 cannot be used under limits.cpu 10, since no container requests more than its limit: \
                    set limits.cpu to 20 as well, or lower requests.cpu";
        assert_eq!(refusals, [SpecRefusal::new(Reason::InvalidSpec, says)]);
        assert_eq!(notices(&raised, &quota), [""; 0]);
        let both = hard(&[("requests.cpu", "20"), ("limits.cpu", "20")]);
        assert_eq!(cut(Some(&class), &both), (both, vec![]));
        let lowered = hard(&[("limits.cpu", "4")]);
        let (quota, refusals) = cut(Some(&class), &lowered);
        assert_eq!(refusals, []);
        assert_eq!(
            notices(&lowered, &quota),
            ["spec.quota limits.cpu 4 leaves a part of requests.cpu 10 that cannot be used"]
        );
    }

    #[test]
    fn keys_are_validated_as_the_api_server_does() {
        for (key, value, ok) in [
            ("count/deployments.apps", "50", true),
            ("count/deployments.apps", "0.5", false),
            ("requests.nvidia.com/gpu", "2", true),
            ("gold.storageclass.storage.k8s.io/requests.storage", "1Gi", true),
            ("hugepages-2Mi", "4Mi", true),
            ("cores", "1", false),
            ("requests.cpu", "-1", false),
            ("requests.cpu", "one", false),
        ] {
            assert_eq!(check(key, &value.into()).is_ok(), ok, "{key}={value}");
        }
    }

    #[test]
    fn a_key_is_quoted_if_it_is_not_the_name_of_a_resource() {
        let first = |key: &str| cut(Some(&class()), &hard(&[(key, "1")])).1.remove(0).message;
        let absent = "the class has no such limit: omit it, or use a class that has it";
        assert_eq!(first("count/deployments.apps"), format!("spec.quota count/deployments.apps: {absent}"));
        assert_eq!(first("pods\u{1b}[2J\n"), format!(r#"spec.quota "pods\u{{1b}}[2J\n": {absent}"#));
        let refused = check("pods: fine\r", &"1".into()).unwrap_err();
        assert!(refused.starts_with(r#""pods: fine\r": not a resource"#), "{refused}");
    }

    #[test]
    fn equal_values_have_equal_fingerprints() {
        let labels = BTreeMap::new();
        let quota = |pairs: &[(&str, &str)]| build(&hard(pairs), &labels).unwrap();
        assert_eq!(comparable(&quota(&[("cpu", "1000m")])), comparable(&quota(&[("cpu", "1")])));
        assert_ne!(comparable(&quota(&[("cpu", "1")])), comparable(&quota(&[("cpu", "2")])));
        assert_eq!(build(&Hard::new(), &labels), None);
    }

    #[test]
    fn a_quota_whose_spec_was_not_read_is_repaired_and_not_replaced() {
        let wanted = build(&hard(&[("cpu", "1")]), &BTreeMap::new()).unwrap();
        let unread = ResourceQuota { spec: None, ..wanted.clone() };
        let (unread, wanted) = (comparable(&unread), comparable(&wanted));
        assert!(unread.0 != wanted.0 && unread.1 == wanted.1, "{unread:?} {wanted:?}");
    }
}
