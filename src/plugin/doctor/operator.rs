//! The state of the operator, which may be the cause of a problem.

use super::looks::{Look, Observed};
use crate::api::names::{DEFAULT_OPERATOR_NAMESPACE as HOME, OPERATOR};

/// Describes the state of the operator, and returns the commands that print details.
pub(super) fn state(seen: &Observed) -> (String, Vec<String>) {
    let found = seen.operator.found();
    let home = found.and_then(kube::ResourceExt::namespace).unwrap_or_else(|| HOME.to_owned());
    let name = found.map_or_else(|| OPERATOR.to_owned(), kube::ResourceExt::name_any);
    let look = format!("kubectl -n {home} get deployment {name}");
    let pods = format!("kubectl -n {home} get pods");
    let log = format!("kubectl -n {home} logs deployment/{name} --tail=20");
    let deployment = match &seen.operator {
        Look::Seen(Some(deployment)) => deployment,
        Look::Seen(None) => {
            let absent =
                "No Deployment of the operator was found: the operator is not installed, or you cannot read its namespace.".to_owned();
            return (absent, vec![format!("kubectl get deployments --all-namespaces -l app.kubernetes.io/name={OPERATOR}")]);
        }
        Look::Needless | Look::Unreadable(_) => {
            return ("The state of the operator could not be read; ask an administrator to check it.".to_owned(), vec![look, log]);
        }
    };
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::doctor::fixtures::{read, well};

    #[test]
    fn the_operator_is_told_as_it_is() {
        let deployment = |replicas: i32, available: i32| {
            let value = json!({"metadata": {"name": "developerspace-operator"}, "spec": {"replicas": replicas, "selector": {}, "template": {}}, "status": {"availableReplicas": available}});
            Look::Seen(Some(read(value)))
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
                Look::Seen(None),
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
        seen.operator = Look::Seen(Some(read(value)));
        let expected =
            ["kubectl -n platform-dspace get pods", "kubectl -n platform-dspace logs deployment/developerspace-operator --tail=20"];
        assert_eq!(state(&seen).1, expected);
    }
}
