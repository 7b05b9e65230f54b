//! The state of the operator, which may be the cause of a problem.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;

use super::{findings::listed, snapshot::Observed};
use crate::api::names::{DEFAULT_OPERATOR_NAMESPACE as HOME, OPERATOR};

/// Describes the state of the operator, and returns the commands that print details.
pub(super) fn state(seen: &Observed) -> (String, Vec<String>) {
    match seen.operator.seen().map(Vec::as_slice) {
        None => {
            let unread = "The state of the operator could not be read; ask an administrator to check it.".to_owned();
            (unread, vec![get(HOME, OPERATOR), log(HOME, OPERATOR)])
        }
        Some([]) => {
            let absent =
                "No Deployment of the operator was found: the operator is not installed, or you cannot read its namespace.".to_owned();
            (absent, vec![format!("kubectl get deployments --all-namespaces -l app.kubernetes.io/name={OPERATOR}")])
        }
        Some([deployment]) => state_of(deployment),
        Some(several) => ambiguous(several),
    }
}

fn state_of(deployment: &Deployment) -> (String, Vec<String>) {
    let (home, name) = (home(deployment), deployment.name_any());
    let pods = format!("kubectl -n {home} get pods");
    let log = log(&home, &name);
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    match (available, wanted) {
        (0, 0) => (
            "The operator is scaled down: its Deployment has 0 replicas.".to_owned(),
            vec![format!("kubectl -n {home} scale deployment {name} --replicas=1")],
        ),
        (0, _) => (format!("The operator is not running: 0 of {wanted} replicas are available."), vec![pods, log]),
        _ => (format!("The operator is running ({available} of {wanted} replicas are available); see its log for details."), vec![log]),
    }
}

/// Describes several Deployments with the labels of the operator. Every user who can create a Deployment can set these labels, so no command prints
/// a log.
fn ambiguous(several: &[Deployment]) -> (String, Vec<String>) {
    let places: Vec<(String, String)> = several.iter().map(|deployment| (home(deployment), deployment.name_any())).collect();
    let named: Vec<String> = places.iter().map(|(home, name)| format!("{home}/{name}")).collect();
    let sentence = format!(
        "The state of the operator is unknown: {} Deployments have its labels, {}. Check which of them is the operator.",
        several.len(),
        listed(&named)
    );
    (sentence, places.iter().map(|(home, name)| get(home, name)).collect())
}

fn home(deployment: &Deployment) -> String {
    deployment.namespace().unwrap_or_else(|| HOME.to_owned())
}

fn get(home: &str, name: &str) -> String {
    format!("kubectl -n {home} get deployment {name}")
}

fn log(home: &str, name: &str) -> String {
    format!("kubectl -n {home} logs deployment/{name} --tail=20")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::doctor::{
        fetched::Look,
        fixtures::{read, well},
    };

    #[test]
    fn the_operator_is_told_as_it_is() {
        let deployment = |replicas: i32, available: i32| {
            let value = json!({"metadata": {"name": "developerspace-operator"}, "spec": {"replicas": replicas, "selector": {}, "template": {}}, "status": {"availableReplicas": available}});
            Look::Seen(vec![read(value)])
        };
        for (operator, sentence, command) in [
            (
                deployment(2, 1),
                "The operator is running (1 of 2 replicas are available); see its log for details.",
                "kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20",
            ),
            (deployment(2, 0), "The operator is not running: 0 of 2 replicas are available.", "kubectl -n developerspace-system get pods"),
            (
                deployment(0, 0),
                "The operator is scaled down: its Deployment has 0 replicas.",
                "kubectl -n developerspace-system scale deployment developerspace-operator --replicas=1",
            ),
            (
                Look::Seen(vec![]),
                "No Deployment of the operator was found: the operator is not installed, or you cannot read its namespace.",
                "kubectl get deployments --all-namespaces -l app.kubernetes.io/name=developerspace-operator",
            ),
            (
                Look::Needless,
                "The state of the operator could not be read; ask an administrator to check it.",
                "kubectl -n developerspace-system get deployment developerspace-operator",
            ),
        ] {
            let mut seen = well();
            seen.operator = operator;
            let (told, commands) = state(&seen);
            assert_eq!((told.as_str(), commands[0].as_str()), (sentence, command));
        }
    }

    #[test]
    fn the_operator_is_found_where_it_runs() {
        let mut seen = well();
        let value = json!({
            "metadata": {"name": "developerspace-operator", "namespace": "platform-dspace"},
            "spec": {"replicas": 1, "selector": {}, "template": {}},
        });
        seen.operator = Look::Seen(vec![read(value)]);
        let expected =
            ["kubectl -n platform-dspace get pods", "kubectl -n platform-dspace logs deployment/developerspace-operator --tail=20"];
        assert_eq!(state(&seen).1, expected);
    }

    #[test]
    fn several_deployments_with_its_labels_are_all_named() {
        let mut seen = well();
        let deployment = |namespace: &str, name: &str, available: i32| {
            read(json!({
                "metadata": {"name": name, "namespace": namespace}, "spec": {"replicas": 5, "selector": {}, "template": {}},
                "status": {"availableReplicas": available},
            }))
        };
        seen.operator = Look::Seen(vec![deployment("aaa-tools", "x", 5), deployment("platform", "developerspace-operator", 0)]);
        let expected = (
            "The state of the operator is unknown: 2 Deployments have its labels, aaa-tools/x and platform/developerspace-operator. Check \
            which of them is the operator."
                .to_owned(),
            vec![
                "kubectl -n aaa-tools get deployment x".to_owned(),
                "kubectl -n platform get deployment developerspace-operator".to_owned(),
            ],
        );
        assert_eq!(state(&seen), expected);
    }
}
