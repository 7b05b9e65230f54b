//! The state of the operator, which may be the cause of a problem.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt as _;

use super::{
    diagnosis::{Advice, and_list},
    snapshot::ClusterSnapshot,
};
use crate::api::names::{DEFAULT_OPERATOR_NAMESPACE, OPERATOR};

/// Describes the state of the operator, and returns the commands that print details.
pub(super) fn state(snapshot: &ClusterSnapshot) -> Advice {
    match snapshot.operator.value().map(Vec::as_slice) {
        None => {
            let unread = "The state of the operator could not be read; ask an administrator to check it.".to_owned();
            (
                unread,
                vec![
                    get_command(DEFAULT_OPERATOR_NAMESPACE, OPERATOR),
                    log_command(DEFAULT_OPERATOR_NAMESPACE, OPERATOR),
                ],
            )
        }
        Some([]) => {
            let absent =
                "No Deployment of the operator was found: the operator is not installed, or you cannot read its namespace.".to_owned();
            (absent, vec![format!("kubectl get deployments --all-namespaces -l app.kubernetes.io/name={OPERATOR}")])
        }
        Some([deployment]) => deployment_state(deployment),
        Some(deployments) => ambiguous_state(deployments),
    }
}

fn deployment_state(deployment: &Deployment) -> Advice {
    let (namespace, name) = (namespace_of(deployment), deployment.name_any());
    let pods = format!("kubectl -n {namespace} get pods");
    let log = log_command(&namespace, &name);
    let wanted = deployment.spec.replicas.unwrap_or(1);
    let available = deployment.status.as_ref().and_then(|status| status.available_replicas).unwrap_or_default();
    match (available, wanted) {
        (0, 0) => (
            "The operator is scaled down: its Deployment has 0 replicas.".to_owned(),
            vec![format!("kubectl -n {namespace} scale deployment {name} --replicas=1")],
        ),
        (0, _) => (format!("The operator is not running: 0 of {wanted} replicas are available."), vec![pods, log]),
        _ => (
            format!(
                "The operator is running ({available} of {wanted} replicas are available); see its log for details."
            ),
            vec![log],
        ),
    }
}

/// Describes several Deployments with the labels of the operator. Every user who can create a Deployment can set these
/// labels, so no command prints a log.
fn ambiguous_state(deployments: &[Deployment]) -> Advice {
    let names: Vec<(String, String)> =
        deployments.iter().map(|deployment| (namespace_of(deployment), deployment.name_any())).collect();
    let named: Vec<String> = names.iter().map(|(namespace, name)| format!("{namespace}/{name}")).collect();
    let sentence = format!(
        "The state of the operator is unknown: {} Deployments have its labels, {}. Check which of them is the operator.",
        deployments.len(),
        and_list(&named)
    );
    (sentence, names.iter().map(|(namespace, name)| get_command(namespace, name)).collect())
}

fn namespace_of(deployment: &Deployment) -> String {
    deployment.namespace().unwrap_or_else(|| DEFAULT_OPERATOR_NAMESPACE.to_owned())
}

fn get_command(namespace: &str, name: &str) -> String {
    format!("kubectl -n {namespace} get deployment {name}")
}

fn log_command(namespace: &str, name: &str) -> String {
    format!("kubectl -n {namespace} logs deployment/{name} --tail=20")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{healthy, parse},
    };

    #[test]
    fn the_state_of_the_operator_is_described() {
        let deployment = |replicas: i32, available: i32| {
            let value = json!({"metadata": {"name": "developerspace-operator"}, "spec": {"replicas": replicas, "selector": {}, "template": {}}, "status": {"availableReplicas": available}});
            Fetched::Found(vec![parse(value)])
        };
        for (operator, sentence, command) in [
            (
                deployment(2, 1),
                "The operator is running (1 of 2 replicas are available); see its log for details.",
                "kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20",
            ),
            (
                deployment(2, 0),
                "The operator is not running: 0 of 2 replicas are available.",
                "kubectl -n developerspace-system get pods",
            ),
            (
                deployment(0, 0),
                "The operator is scaled down: its Deployment has 0 replicas.",
                "kubectl -n developerspace-system scale deployment developerspace-operator --replicas=1",
            ),
            (
                Fetched::Found(vec![]),
                "No Deployment of the operator was found: the operator is not installed, or you cannot read its namespace.",
                "kubectl get deployments --all-namespaces -l app.kubernetes.io/name=developerspace-operator",
            ),
            (
                Fetched::NotNeeded,
                "The state of the operator could not be read; ask an administrator to check it.",
                "kubectl -n developerspace-system get deployment developerspace-operator",
            ),
        ] {
            let mut snapshot = healthy();
            snapshot.operator = operator;
            let (told, commands) = state(&snapshot);
            assert_eq!((told.as_str(), commands[0].as_str()), (sentence, command));
        }
    }

    #[test]
    fn the_operator_can_run_in_another_namespace() {
        let mut snapshot = healthy();
        let value = json!({
            "metadata": {"name": "developerspace-operator", "namespace": "platform-dspace"},
            "spec": {"replicas": 1, "selector": {}, "template": {}},
        });
        snapshot.operator = Fetched::Found(vec![parse(value)]);
        let expected = [
            "kubectl -n platform-dspace get pods",
            "kubectl -n platform-dspace logs deployment/developerspace-operator --tail=20",
        ];
        assert_eq!(state(&snapshot).1, expected);
    }

    #[test]
    fn several_deployments_with_its_labels_are_all_named() {
        let mut snapshot = healthy();
        let deployment = |namespace: &str, name: &str, available: i32| {
            parse(json!({
                "metadata": {"name": name, "namespace": namespace}, "spec": {"replicas": 5, "selector": {}, "template": {}},
                "status": {"availableReplicas": available},
            }))
        };
        snapshot.operator =
            Fetched::Found(vec![deployment("aaa-tools", "x", 5), deployment("platform", "developerspace-operator", 0)]);
        let expected = (
            "The state of the operator is unknown: 2 Deployments have its labels, aaa-tools/x and platform/developerspace-operator. Check \
            which of them is the operator."
                .to_owned(),
            vec![
                "kubectl -n aaa-tools get deployment x".to_owned(),
                "kubectl -n platform get deployment developerspace-operator".to_owned(),
            ],
        );
        assert_eq!(state(&snapshot), expected);
    }
}
