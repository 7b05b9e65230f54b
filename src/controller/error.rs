//! What went wrong with a write, who can mend it, and when to try again.

use std::time::Duration;

/// Why a reconcile did not end well.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused or did not answer.
    #[error("failed to {action}")]
    Api {
        /// What was wanted, with the object's name.
        action: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
    /// The reconcile took too long.
    #[error("failed to finish within {0:?}; the API server is slow or does not answer")]
    Deadline(Duration),
    /// An object that has to make place for another stays.
    #[error("failed to replace {0}: it was deleted and is still there, since a finalizer holds it; remove the finalizer")]
    Held(String),
}

/// Who can mend an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The object moved: look again at once.
    Conflict,
    /// The namespace is going away or gone: wait for its event.
    Vanishing,
    /// The administrator: the operator may not do this.
    Forbidden,
    /// The API server does not take the object.
    Invalid,
    /// Time.
    Transient,
}

impl Error {
    /// An error of the API server while doing `action`.
    pub fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }

    /// Who can mend it.
    pub fn class(&self) -> Class {
        let source = match self {
            Self::Api { source, .. } => source,
            Self::Held(_) => return Class::Invalid,
            Self::Deadline(_) => return Class::Transient,
        };
        let kube::Error::Api(status) = &**source else {
            return Class::Transient;
        };
        let terminating = status.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == "NamespaceTerminating");
        match status.code {
            409 => Class::Conflict,
            404 => Class::Vanishing,
            403 if terminating => Class::Vanishing,
            401 | 403 => Class::Forbidden,
            400 | 413 | 422 => Class::Invalid,
            _ => Class::Transient,
        }
    }

    /// When to try again after `failures` in a row, before jitter.
    pub fn retry_after(&self, failures: u32) -> Duration {
        match self.class() {
            Class::Conflict => Duration::from_millis(50 << failures.min(6)),
            Class::Vanishing => Duration::from_secs(2),
            Class::Forbidden => Duration::from_secs(30),
            Class::Invalid => Duration::from_secs(15),
            Class::Transient => Duration::from_millis(500 << failures.min(5)),
        }
    }

    /// The whole chain in one sentence.
    pub fn sentence(&self) -> String {
        match self {
            Self::Api { action, source } => match &**source {
                kube::Error::Api(status) => format!("failed to {action}: {}", status.message),
                other => format!("failed to {action}: {other}"),
            },
            Self::Deadline(_) | Self::Held(_) => self.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use serde_json::json;

    use super::*;

    fn error(code: u16, cause: Option<&str>) -> Error {
        let causes: Vec<_> = cause.iter().map(|reason| json!({"reason": reason, "message": "", "field": ""})).collect();
        let status: Status = serde_json::from_value(
            json!({"status": "Failure", "code": code, "message": "no", "reason": "x", "details": {"causes": causes}}),
        )
        .unwrap();
        Error::api("create ResourceQuota developerspace in alice-payments")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn each_answer_has_its_class() {
        for (code, cause, class) in [
            (409, None, Class::Conflict),
            (404, None, Class::Vanishing),
            (403, Some("NamespaceTerminating"), Class::Vanishing),
            (403, None, Class::Forbidden),
            (422, None, Class::Invalid),
            (500, None, Class::Transient),
            (429, None, Class::Transient),
        ] {
            assert_eq!(error(code, cause).class(), class, "{code}");
        }
        assert_eq!(Error::Deadline(Duration::from_secs(1)).class(), Class::Transient);
        assert_eq!(Error::Held("RoleBinding developerspace-owner in alice-payments".into()).class(), Class::Invalid);
    }

    #[test]
    fn waits_grow_and_end() {
        let transient = error(500, None);
        assert!(transient.retry_after(0) < transient.retry_after(3));
        assert_eq!(transient.retry_after(6), transient.retry_after(600));
        assert_eq!(error(422, None).sentence(), "failed to create ResourceQuota developerspace in alice-payments: no");
    }
}
