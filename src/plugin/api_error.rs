//! Error messages for failed requests: the action, the cause, and the remedy.

use anyhow::anyhow;

use crate::api::names;

/// Adds the failed action to an error of the API server.
pub(crate) trait ApiContext<T> {
    /// `failed to {action}: …`
    fn context_api(self, action: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T> ApiContext<T> for Result<T, kube::Error> {
    fn context_api(self, action: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|error| anyhow!("failed to {}: {}", action(), error_message(&error)))
    }
}

/// The cause of the error, and the remedy if it is known.
pub(crate) fn error_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => {
                "the cluster does not accept these credentials: log in again, or choose others with --context or --kubeconfig".to_owned()
            }
            404 if is_unknown_kind(status) => {
                format!(
                    "this cluster does not know DeveloperSpaces ({}): is the operator installed, and is this the right --context?",
                    names::GROUP
                )
            }
            // The messages of policies and of schema validation follow the name of the object, which sometimes occurs
            // twice.
            _ => status.message.trim().to_owned(),
        },
        kube::Error::Auth(error) => format!("the kubeconfig's credentials cannot be used: {error}"),
        other => format!("the API server cannot be reached ({}): is it running, and is this the right --context?", innermost_cause(other)),
    }
}

/// Returns true if the API server responded with 403 Forbidden.
pub(crate) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// Returns true if the kind is unknown, and not only the object.
fn is_unknown_kind(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// The first line of the innermost cause, which is the most specific.
pub(crate) fn innermost_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn error_messages_name_the_cause_and_the_remedy() {
        let api = |code: u16, message: &str, name: &str| {
            let status = json!({"status": "Failure", "code": code, "message": message, "reason": "x", "details": {"name": name}});
            error_message(&kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
        };
        assert!(api(401, "Unauthorized", "").contains("does not accept these credentials"));
        assert!(api(404, "the server could not find the requested resource", "").contains("is the operator installed"));
        assert_eq!(
            api(404, "developerspaces.developerspace.dev \"x\" not found", "x"),
            "developerspaces.developerspace.dev \"x\" not found"
        );
        assert_eq!(api(403, "no\n", "x"), "no");
    }
}
