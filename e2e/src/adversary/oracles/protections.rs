//! I3: no namespace with workloads has a lower Pod Security level, quota, limit or isolation than its class demands.

use serde_json::Value;

use crate::{
    adversary::{
        action::OPENING,
        classes::{Rules, number},
        trace::{ObservedState, Trace, is_living},
    },
    fixtures::{condition, holds, name_of, text, uid_of},
};

/// The label of Pod Security that refuses pods.
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

pub(super) fn check(trace: &Trace) -> Result<(), String> {
    let Some((before, state)) = trace.last_two() else { return Ok(()) };
    for space in state.spaces() {
        let Some(namespace) = state.living_namespace(space) else { continue };
        let in_force = text(space, "/status/className");
        let is_there = state.class(in_force).is_some();
        let rules = trace.class(in_force).and_then(|class| trace.rules_before(class, state.at));
        if let Some(rules) = rules.filter(|_| is_there) {
            has_protections(state, (space, namespace), rules)
                .map_err(|wrong| format!("namespace {}: {wrong}", name_of(namespace)))?;
        }
    }
    state.namespaces().try_for_each(|namespace| released(trace, (before, state), namespace))
}

/// The namespace has the Pod Security level, the quota, the limits and the isolation of its class.
fn has_protections(state: &ObservedState, (space, namespace): (&Value, &Value), rules: &Rules) -> Result<(), String> {
    let name = name_of(namespace);
    let level = &rules.spec["podSecurity"]["enforce"];
    let label = &namespace["metadata"]["labels"][ENFORCE];
    if strictness(label) < strictness(level) {
        return Err(format!("Pod Security enforces {label}, and the class says {level}"));
    }
    let hard = &rules.spec["quota"]["hard"];
    let quota = state
        .inside(name, "ResourceQuota")
        .find(|quota| name_of(quota) == "developerspace")
        .ok_or("there is no quota")?;
    for (key, limit) in hard.as_object().into_iter().flatten() {
        let most =
            rules.spec["quota"]["max"].get(key).map_or_else(|| number(limit), |max| number(max).max(number(limit)));
        let given = quota["spec"]["hard"].get(key).ok_or_else(|| format!("the quota lacks {key}"))?;
        if number(given) > most {
            return Err(format!("the quota gives {given} of {key}, and the class allows {most}"));
        }
    }
    if let Some(ceiling) = rules.spec["quota"]["max"].get("services.loadbalancers") {
        let given = quota["spec"]["hard"].get("services.loadbalancers").map(number);
        if given.is_none_or(|given| given > number(ceiling)) {
            return Err(format!("load balancers are limited to {given:?}, and the class's ceiling is {ceiling}"));
        }
    }
    let limits = state
        .inside(name, "LimitRange")
        .find(|limits| name_of(limits) == "developerspace")
        .ok_or("there is no LimitRange")?;
    for item in rules.spec["limitRange"].as_array().into_iter().flatten() {
        let written =
            limits["spec"]["limits"].as_array().and_then(|all| all.iter().find(|one| one["type"] == item["type"]));
        for bound in ["max", "maxLimitRequestRatio"] {
            let lacks = |key: &String| written.is_none_or(|written| written[bound].get(key).is_none());
            if let Some(key) = item[bound].as_object().into_iter().flatten().map(|(key, _)| key).find(|key| lacks(key))
            {
                return Err(format!("the LimitRange lacks {bound} of {key}"));
            }
        }
    }
    isolated(state, (space, name), rules)
}

fn isolated(state: &ObservedState, (space, namespace): (&Value, &str), rules: &Rules) -> Result<(), String> {
    let policies: Vec<&Value> = state.inside(namespace, "NetworkPolicy").collect();
    let ours =
        policies.iter().find(|policy| name_of(policy) == "developerspace-isolation").ok_or("there is no isolation")?;
    let peers = ours.pointer("/spec/ingress/0/from").and_then(Value::as_array).map_or(0, Vec::len);
    let most = 1 + rules.spec["network"]["allowFromNamespaces"].as_array().map_or(0, Vec::len);
    if ours["spec"]["ingress"].as_array().map_or(0, Vec::len) != 1 || peers > most || peers == 0 {
        return Err(format!("the isolation is {}", ours["spec"]));
    }
    let is_open = policies.iter().any(|policy| name_of(policy) == OPENING);
    if rules.enforced && is_open && holds(space, "Ready") {
        Err(format!(
            "the class enforces the isolation, {OPENING} opens it, and the space is Ready: {}",
            condition(space, "Ready")["message"]
        ))
    } else {
        Ok(())
    }
}

/// A release needs the consent of the class, and lowers no protection.
fn released(
    trace: &Trace,
    (before, state): (Option<&ObservedState>, &ObservedState),
    namespace: &Value,
) -> Result<(), String> {
    let metadata = &namespace["metadata"];
    if metadata["labels"]["developerspace.dev/released"] != "true" || !is_living(namespace) {
        return Ok(());
    }
    let name = name_of(namespace);
    let lacks = ["ResourceQuota", "LimitRange", "NetworkPolicy"]
        .into_iter()
        .find(|kind| state.inside(name, kind).next().is_none());
    if let Some(kind) = lacks {
        return Err(format!("namespace {name} was released and has no {kind}"));
    }
    if strictness(&metadata["labels"][ENFORCE]) < strictness(&"baseline".into()) {
        return Err(format!(
            "namespace {name} was released, and Pod Security enforces {}",
            metadata["labels"][ENFORCE]
        ));
    }
    let was_released = |before: &Value| {
        uid_of(before) == uid_of(namespace) && before["metadata"]["labels"]["developerspace.dev/released"] == "true"
    };
    if before.and_then(|before| before.namespace(name)).is_some_and(was_released) {
        return Ok(());
    }
    let class = text(namespace, "/metadata/annotations/developerspace.dev~1released-class");
    let since = before.map_or(state.at, |before| before.at);
    let consents =
        trace.class(class).is_some_and(|class| trace.rules_since(class, since).iter().any(|rules| rules.retain));
    if consents {
        Ok(())
    } else {
        Err(format!("namespace {name} was released, and SpaceClass {class} does not allow Retain"))
    }
}

fn strictness(level: &Value) -> u8 {
    match level.as_str() {
        Some("restricted") => 2,
        Some("baseline") => 1,
        _ => 0,
    }
}
