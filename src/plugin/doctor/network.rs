//! The connections that NetworkPolicies allow, which no error message reports.

use chrono::{DateTime, Utc};
use k8s_openapi::{
    api::networking::v1::{
        NetworkPolicy, NetworkPolicyEgressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
    },
    apimachinery::pkg::{apis::meta::v1::LabelSelector, util::intstr::IntOrString},
};
use kube::ResourceExt as _;

use super::{
    diagnosis::{Advice, Diagnosis, and_list},
    snapshot::ClusterSnapshot,
};
use crate::api::names;

/// The port of DNS.
const DNS: i32 = 53;

pub(super) fn diagnose(snapshot: &ClusterSnapshot, _now: DateTime<Utc>) -> Vec<Diagnosis> {
    let (ours, others): (Vec<&NetworkPolicy>, Vec<&NetworkPolicy>) =
        snapshot.policies.items().iter().partition(|policy| policy.name_any() == names::NETWORK_POLICY);
    let isolated = ours.first().map(|policy| isolation_diagnosis(snapshot, policy));
    // Openings are reported only if the space is isolated.
    let openings =
        others.iter().filter(|_| isolated.is_some()).filter_map(|policy| opening_diagnosis(snapshot, policy));
    let openings: Vec<Diagnosis> = openings.collect();
    let restrictions = others.iter().filter_map(|policy| egress_diagnosis(snapshot, policy, &others));
    isolated.into_iter().chain(openings).chain(restrictions).collect()
}

/// The diagnosis about the space's own isolation.
fn isolation_diagnosis(snapshot: &ClusterSnapshot, policy: &NetworkPolicy) -> Diagnosis {
    let name = &snapshot.name;
    let rules = policy.spec.iter().flat_map(|spec| spec.ingress.iter().flatten());
    let others = rules.flat_map(|rule| rule.from.iter().flatten()).filter_map(outside_peer);
    let from: Vec<String> =
        std::iter::once("their own namespace".to_owned()).chain(others).map(|peer| format!("from {peer}")).collect();
    let openings = match snapshot.class_in_force().map(|class| class.spec.network.enforced) {
        Some(true) => " Its class does not allow NetworkPolicies that open it further.",
        Some(false) => " To allow more connections, create a NetworkPolicy.",
        None => "",
    };
    let sentence =
        format!("Pods in namespace {name} accept connections {}; others time out.{openings}", and_list(&from));
    Diagnosis::note(sentence).with_commands([format!("kubectl -n {name} get networkpolicies")])
}

/// The diagnosis about a policy of another user that allows more ingress.
fn opening_diagnosis(snapshot: &ClusterSnapshot, policy: &NetworkPolicy) -> Option<Diagnosis> {
    let spec = policy.spec.as_ref().filter(|spec| has_type(spec, "Ingress"))?;
    let rules = spec.ingress.as_deref().unwrap_or_default();
    let from: Vec<String> = if rules.iter().any(|rule| rule.from.as_ref().is_none_or(Vec::is_empty)) {
        vec!["from everywhere".to_owned()]
    } else {
        let outside = rules.iter().flat_map(|rule| rule.from.iter().flatten()).filter_map(outside_peer);
        outside.map(|peer| format!("from {peer}")).collect()
    };
    if from.is_empty() {
        return None;
    }
    let (name, namespace) = (policy.name_any(), &snapshot.name);
    let sentence = format!(
        "NetworkPolicy {name} lets {} in namespace {namespace} also accept connections {}.",
        selected_pods(spec),
        and_list(&from)
    );
    Some(Diagnosis::note(sentence).with_commands([describe_command(namespace, &name)]))
}

/// The diagnosis about a policy of another user that restricts egress.
fn egress_diagnosis(snapshot: &ClusterSnapshot, policy: &NetworkPolicy, all: &[&NetworkPolicy]) -> Option<Diagnosis> {
    let spec = policy.spec.as_ref().filter(|spec| has_type(spec, "Egress"))?;
    let is_open = spec
        .egress
        .iter()
        .flatten()
        .any(|rule| rule.to.as_ref().is_none_or(Vec::is_empty) && rule.ports.as_ref().is_none_or(Vec::is_empty));
    if is_open {
        return None;
    }
    // Policies are additive: another policy for the same pods may allow DNS.
    let adds = |other: &NetworkPolicySpec| {
        let is_for_the_same = is_all(other.pod_selector.as_ref()) || other.pod_selector == spec.pod_selector;
        is_for_the_same && has_type(other, "Egress") && other.egress.iter().flatten().any(allows_dns)
    };
    let resolves = all.iter().filter_map(|other| other.spec.as_ref()).any(adds);
    let (name, namespace) = (policy.name_any(), &snapshot.name);
    let lead = format!(
        "NetworkPolicy {name} restricts the egress of {} in namespace {namespace} to its rules",
        selected_pods(spec)
    );
    let diagnosis = if resolves {
        Diagnosis::note(format!("{lead}; other connections time out."))
    } else {
        Diagnosis::warning(format!(
            "{lead}, and no NetworkPolicy for these pods allows DNS (UDP port {DNS}): they cannot resolve names."
        ))
    };
    Some(diagnosis.with_commands([describe_command(namespace, &name)]))
}

fn describe_command(namespace: &str, name: &str) -> String {
    format!("kubectl -n {namespace} describe networkpolicy {name}")
}

/// Returns true if the policy has the type. A policy without types has the default of the API server: Ingress, and
/// Egress if it has egress rules.
fn has_type(spec: &NetworkPolicySpec, wanted: &str) -> bool {
    match spec.policy_types.as_deref() {
        None | Some([]) => wanted == "Ingress" || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
        Some(types) => types.iter().any(|type_| type_ == wanted),
    }
}

fn allows_dns(rule: &NetworkPolicyEgressRule) -> bool {
    let is_dns = |port: &NetworkPolicyPort| {
        let covers = match (&port.port, port.end_port) {
            (None, _) => true,
            (Some(IntOrString::Int(first)), last) => (*first..=last.unwrap_or(*first)).contains(&DNS),
            (Some(IntOrString::String(name)), _) => name.contains("dns"),
        };
        covers && port.protocol.as_deref() == Some("UDP")
    };
    let ports = rule.ports.as_deref().unwrap_or_default();
    let to = rule.to.as_deref().unwrap_or_default();
    // The DNS server is in another namespace or outside the cluster. The check does not verify that the selector
    // matches it.
    (ports.is_empty() || ports.iter().any(is_dns))
        && (to.is_empty() || to.iter().any(|peer| outside_peer(peer).is_some()))
}

/// Describes a peer of a rule outside the namespace; `None` if the peer is in the namespace.
fn outside_peer(peer: &NetworkPolicyPeer) -> Option<String> {
    let NetworkPolicyPeer { ip_block, namespace_selector, pod_selector } = peer;
    if let Some(block) = ip_block {
        return Some(format!("addresses of {}", block.cidr));
    }
    let namespaces = namespace_selector.as_ref().map(|selector| match selector_terms(Some(selector)) {
        terms if terms.is_empty() => "every namespace".to_owned(),
        terms => format!("namespaces with {terms}"),
    })?;
    let pods = selector_terms(pod_selector.as_ref());
    Some(if pods.is_empty() { namespaces } else { format!("pods with {pods} in {namespaces}") })
}

/// Describes the pods that a policy selects.
fn selected_pods(spec: &NetworkPolicySpec) -> String {
    let terms = selector_terms(spec.pod_selector.as_ref());
    if terms.is_empty() { "all pods".to_owned() } else { format!("pods with {terms}") }
}

fn is_all(selector: Option<&LabelSelector>) -> bool {
    selector_terms(selector).is_empty()
}

/// A selector as kubectl prints it: `app=web, tier in (a, b), !old`. Empty if it selects everything.
fn selector_terms(selector: Option<&LabelSelector>) -> String {
    let Some(LabelSelector { match_labels, match_expressions }) = selector else { return String::new() };
    let labels = match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let expressions = match_expressions.iter().flatten().map(|expression| {
        let (key, values) = (&expression.key, expression.values.as_deref().unwrap_or_default().join(", "));
        match expression.operator.as_str() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.clone(),
        }
    });
    labels.chain(expressions).collect::<Vec<_>>().join(", ")
}

/// The advice if enforced isolation is breached, and the commands that delete the policies of other users.
pub(super) fn isolation_breach(snapshot: &ClusterSnapshot, namespace: &str) -> Advice {
    let is_foreign = |policy: &&NetworkPolicy| {
        let is_platforms = policy.labels().get(names::LABEL_PLATFORM_POLICY).is_some_and(|value| value == "true");
        policy.name_any() != names::NETWORK_POLICY && !is_platforms
    };
    let foreign = snapshot.policies.items().iter().filter(is_foreign);
    let mut commands: Vec<String> =
        foreign.map(|policy| format!("kubectl -n {namespace} delete networkpolicy {}", policy.name_any())).collect();
    if commands.is_empty() {
        commands.push(format!("kubectl -n {namespace} get networkpolicies"));
    }
    let advice = format!(
        "Its class enforces isolation, so no new member gets access while these policies exist. Users with permission to delete \
        NetworkPolicies in the namespace can delete them; to keep a policy, an administrator labels it {}=true.",
        names::LABEL_PLATFORM_POLICY
    );
    (advice, commands)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{class, healthy, lines, now, parse},
    };

    fn policy(name: &str, spec: &Value) -> NetworkPolicy {
        parse(json!({"metadata": {"name": name}, "spec": spec}))
    }

    /// The diagnoses about additional policies of other users, without the note about the space's own policy.
    fn diagnoses_about(specs: &[(&str, Value)]) -> Vec<String> {
        let mut snapshot = healthy();
        let others = specs.iter().map(|(name, spec)| policy(name, spec));
        snapshot.policies = Fetched::Found(snapshot.policies.items().iter().cloned().chain(others).collect());
        lines(&diagnose(&snapshot, now())[1..])
    }

    #[test]
    fn the_isolation_of_the_space_is_reported() {
        let mut snapshot = healthy();
        let of = |from: &str| {
            format!(
                "Note: Pods in namespace orchid-lab accept connections from their own namespace{from}; others time out."
            )
        };
        let told = of(" and from namespaces with kubernetes.io/metadata.name=ingress-front");
        let first = |snapshot: &ClusterSnapshot| lines(&diagnose(snapshot, now()))[0].clone();
        assert_eq!(first(&snapshot), format!("{told} To allow more connections, create a NetworkPolicy."));
        let mut walled = class();
        walled.spec.network.enforced = true;
        snapshot.classes = Fetched::Found(vec![walled]);
        assert_eq!(first(&snapshot), format!("{told} Its class does not allow NetworkPolicies that open it further."));
        snapshot.classes = Fetched::NotNeeded;
        snapshot.policies = Fetched::Found(vec![policy(
            "developerspace-isolation",
            &json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": [{"podSelector": {}}]}]}),
        )]);
        assert_eq!(first(&snapshot), of(""));
        snapshot.policies = Fetched::Found(vec![]);
        assert_eq!(diagnose(&snapshot, now()), []);
    }

    #[test]
    fn policies_of_other_users_that_allow_ingress_are_reported() {
        let web = json!({"matchLabels": {"app": "web"}});
        let told = |rest: &str| {
            format!(
                "Note: NetworkPolicy gate lets pods with app=web in namespace orchid-lab also accept connections {rest}."
            )
        };
        for (from, expected) in [
            (json!([{"from": [], "ports": [{"port": 443}]}]), Some("from everywhere")),
            (json!([{"from": [{"namespaceSelector": {}}]}]), Some("from every namespace")),
            (
                json!([{"from": [{"namespaceSelector": {"matchExpressions": [{"key": "tier", "operator": "In", "values": ["a", "b"]}]}}, {"ipBlock": {"cidr": "10.0.0.0/8"}}]}]),
                Some("from namespaces with tier in (a, b) and from addresses of 10.0.0.0/8"),
            ),
            (
                json!([{"from": [{"namespaceSelector": {"matchLabels": {"team": "zoology"}}, "podSelector": {"matchExpressions": [{"key": "old", "operator": "DoesNotExist"}]}}]}]),
                Some("from pods with !old in namespaces with team=zoology"),
            ),
            (json!([{"from": [{"podSelector": {}}]}]), None),
            (json!([]), None),
        ] {
            let found = diagnoses_about(&[("gate", json!({"podSelector": web, "ingress": from}))]);
            let describe = "  kubectl -n orchid-lab describe networkpolicy gate".to_owned();
            let expected = expected.map_or_else(Vec::new, |rest| vec![told(rest), describe]);
            assert_eq!(found, expected, "{from}");
        }
    }

    #[test]
    fn policies_of_other_users_that_restrict_egress_are_reported() {
        let calm = |selector: Value, egress: Value| json!({"podSelector": selector, "policyTypes": ["Egress"], "egress": egress});
        let dns = json!([{"ports": [{"port": 53, "protocol": "UDP"}]}]);
        let lead = "NetworkPolicy calm restricts the egress of all pods in namespace orchid-lab to its rules";
        let silent = format!(
            "Warning: {lead}, and no NetworkPolicy for these pods allows DNS (UDP port 53): they cannot resolve names."
        );
        let some = format!("Note: {lead}; other connections time out.");
        for (egress, expected) in [
            (json!([]), Some(&silent)),
            (json!([{"to": [{"podSelector": {}}]}]), Some(&silent)),
            (json!([{"ports": [{"port": 53, "protocol": "TCP"}]}]), Some(&silent)),
            (json!([{"ports": [{"port": 443}], "to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]), Some(&silent)),
            (dns.clone(), Some(&some)),
            (
                json!([{"ports": [{"port": 50, "endPort": 60, "protocol": "UDP"}], "to": [{"namespaceSelector": {}}]}]),
                Some(&some),
            ),
            (json!([{"ports": [{"port": "dns", "protocol": "UDP"}]}]), Some(&some)),
            (json!([{"to": [{"namespaceSelector": {}}]}]), Some(&some)),
            (json!([{}]), None),
        ] {
            let found = diagnoses_about(&[("calm", calm(json!({}), egress.clone()))]);
            assert_eq!(found.first(), expected, "{egress}");
        }
        let web = json!({"matchLabels": {"app": "web"}});
        let pair = diagnoses_about(&[("calm", calm(web, json!([]))), ("names", calm(json!({}), dns))]);
        let expected = [
            "Note: NetworkPolicy calm restricts the egress of pods with app=web in namespace orchid-lab to its rules; other connections \
            time out.",
            "  kubectl -n orchid-lab describe networkpolicy calm",
            "Note: NetworkPolicy names restricts the egress of all pods in namespace orchid-lab to its rules; other connections time out.",
            "  kubectl -n orchid-lab describe networkpolicy names",
        ];
        assert_eq!(pair, expected);
    }

    #[test]
    fn policies_that_breach_the_isolation_are_deleted_by_name() {
        let mut snapshot = healthy();
        let policy = |name: &str, labels: Value| parse(json!({"metadata": {"name": name, "labels": labels}}));
        snapshot.policies = Fetched::Found(vec![
            policy("developerspace-isolation", json!({})),
            policy("open", json!({"developerspace.dev/platform-policy": "false"})),
            policy("dns", json!({"developerspace.dev/platform-policy": "true"})),
        ]);
        let (advice, commands) = isolation_breach(&snapshot, "orchid-lab");
        assert_eq!(commands, ["kubectl -n orchid-lab delete networkpolicy open"]);
        assert!(
            advice.ends_with("to keep a policy, an administrator labels it developerspace.dev/platform-policy=true."),
            "{advice}"
        );
        snapshot.policies = Fetched::NotNeeded;
        assert_eq!(isolation_breach(&snapshot, "orchid-lab").1, ["kubectl -n orchid-lab get networkpolicies"]);
    }
}
