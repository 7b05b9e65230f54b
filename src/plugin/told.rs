//! Errors of the API server as sentences: what was wanted, what happened, what to do.

use anyhow::anyhow;

use crate::api::names;

/// Adds what was wanted to what the API server said.
pub(crate) trait Told<T> {
    /// `failed to {action}: …`
    fn told(self, action: impl FnOnce() -> String) -> anyhow::Result<T>;
}

impl<T> Told<T> for Result<T, kube::Error> {
    fn told(self, action: impl FnOnce() -> String) -> anyhow::Result<T> {
        self.map_err(|error| anyhow!("failed to {}: {}", action(), sentence(&error)))
    }
}

/// What happened, and what to do where that is known.
pub(crate) fn sentence(error: &kube::Error) -> String {
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
            // A sentence of a policy or of the schema stands behind the object's own name, twice at times.
            _ => status.message.trim().to_owned(),
        },
        kube::Error::Auth(error) => format!("the kubeconfig's credentials cannot be used: {error}"),
        other => format!("the API server cannot be reached ({}): is it running, and is this the right --context?", innermost(other)),
    }
}

/// Whether the caller may not do that.
pub(crate) fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// The kind is unknown, not an object of it.
fn is_unknown_kind(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// The innermost cause, which says most; its first line.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
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
    fn answers_become_sentences() {
        let api = |code: u16, message: &str, name: &str| {
            let status = json!({"status": "Failure", "code": code, "message": message, "reason": "x", "details": {"name": name}});
            sentence(&kube::Error::Api(Box::new(serde_json::from_value(status).unwrap())))
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
