//! The errors of a reconcile, their kinds, and the time of the next attempt.

use std::time::Duration;

use crate::api::text::shorten;

/// The reason for the failure of a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refused a request or did not respond.
    #[error("failed to {action}")]
    Api {
        /// The attempted action, with the name of the object.
        action: String,
        /// The error of the client.
        #[source]
        source: Box<kube::Error>,
    },
    /// The status could not be written, so that no condition can report the error.
    #[error("failed to write the status of DeveloperSpace {name}")]
    Status {
        /// The name of the space.
        name: String,
        /// The error of the client.
        #[source]
        source: Box<kube::Error>,
    },
    /// The reconcile took too long.
    #[error("failed to finish within {0:?}; the API server is slow or does not answer")]
    Deadline(Duration),
    /// An object that has to be replaced still exists, because a finalizer holds it.
    #[error("failed to replace {0}: it was deleted but still exists because of a finalizer; remove the finalizer")]
    Held(String),
    /// The namespace was replaced, or its ownership changed, since it was read.
    #[error("failed to {0}: the namespace or its owner has changed since it was read; the operator retries")]
    Moved(String),
    /// Other clients changed the space before each write on which its end depends.
    #[error(
        "failed to write DeveloperSpace {name}: other clients changed it before each of {times} attempts; the operator retries"
    )]
    Overtaken {
        /// The name of the space.
        name: String,
        /// The number of attempts.
        times: u32,
    },
}

/// The kind of an error, by the party that can correct it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The object changed: reconcile again at once.
    Conflict,
    /// The namespace is terminating or no longer exists: wait for its event.
    Vanishing,
    /// The operator lacks a permission: an administrator has to grant it.
    Forbidden,
    /// The API server does not accept the object.
    Invalid,
    /// A temporary failure, which a retry resolves.
    Transient,
}

/// The number of consecutive conflicts that are retried at once. Further conflicts are not a race but a refusal.
const MAX_IMMEDIATE_RETRIES: u32 = 3;

/// The time between two attempts, by the number of failures before. The last entry applies to all further attempts.
/// With the status and its Event these make six writes in the first minute and two in each further minute. Each wait is
/// short enough that a space converges within a minute after the cause of the failure ends.
const RETRY_DELAYS: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25), Duration::from_secs(30)];

/// The most bytes of a sentence about an error: messages of webhooks have no limit, and a condition has to be
/// human-readable.
const MAX_SENTENCE_BYTES: usize = 1_024;

impl Error {
    /// An error of the API server while doing `action`.
    pub fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }

    /// An error of the API server while writing the status of the space of that name.
    pub fn status(name: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let name = name.into();
        move |source| Self::Status { name, source: Box::new(source) }
    }

    /// The kind of the error.
    pub fn class(&self) -> Class {
        let source = match self {
            Self::Api { source, .. } | Self::Status { source, .. } => source,
            Self::Held(_) => return Class::Invalid,
            Self::Deadline(_) => return Class::Transient,
            Self::Moved(_) | Self::Overtaken { .. } => return Class::Conflict,
        };
        let kube::Error::Api(status) = &**source else {
            return Class::Transient;
        };
        let terminating = status
            .details
            .iter()
            .flat_map(|details| &details.causes)
            .any(|cause| cause.reason == "NamespaceTerminating");
        // An admission webhook sets the code of its refusal, see `ToStatusErr` of the API server: its 409 is no race,
        // and its 404 no deletion.
        let is_refusal = status.message.starts_with("admission webhook ");
        match status.code {
            404 | 409 if is_refusal => Class::Invalid,
            409 => Class::Conflict,
            404 => Class::Vanishing,
            403 if terminating => Class::Vanishing,
            401 | 403 => Class::Forbidden,
            400 | 413 | 422 => Class::Invalid,
            _ => Class::Transient,
        }
    }

    /// Returns true if the API server refused a write because the object has changed since it was read.
    pub(crate) fn is_lost_race(&self) -> bool {
        matches!(self, Self::Api { .. } | Self::Status { .. }) && self.class() == Class::Conflict
    }

    /// Returns true if the API server answered: it refused a request, or other clients changed an object first. A
    /// restart of the operator cannot resolve such an error.
    pub(crate) fn is_answered(&self) -> bool {
        match self {
            Self::Api { source, .. } | Self::Status { source, .. } => matches!(**source, kube::Error::Api(_)),
            Self::Held(_) | Self::Moved(_) | Self::Overtaken { .. } => true,
            Self::Deadline(_) => false,
        }
    }

    /// Returns true if the API server refused a write because it cannot store an object of that size.
    pub(crate) fn is_too_large(&self) -> bool {
        let (Self::Api { source, .. } | Self::Status { source, .. }) = self else { return false };
        is_refused_for_size(source)
    }

    /// Returns true if the error lasts: the next attempt is not likely to succeed. `failures` is the number of
    /// consecutive failures before it.
    pub fn lasts(&self, failures: u32) -> bool {
        match self.class() {
            Class::Forbidden | Class::Invalid => true,
            Class::Transient | Class::Vanishing => failures >= 2,
            Class::Conflict => failures > MAX_IMMEDIATE_RETRIES,
        }
    }

    /// The time until the next attempt, before jitter. `failures` is the number of consecutive failures before the
    /// error.
    pub fn retry_after(&self, failures: u32) -> Duration {
        let number = match self.class() {
            // The end of a space waits. A client that wins each race must not lengthen the wait.
            Class::Conflict if matches!(self, Self::Overtaken { .. }) => 0,
            Class::Conflict if failures < MAX_IMMEDIATE_RETRIES => return Duration::from_millis(50 << failures),
            Class::Conflict => failures - MAX_IMMEDIATE_RETRIES,
            Class::Transient => failures,
            // These errors are known not to resolve by themselves within moments.
            Class::Vanishing | Class::Forbidden | Class::Invalid => failures.saturating_add(1),
        };
        let last = RETRY_DELAYS.len() - 1;
        RETRY_DELAYS[usize::try_from(number).map_or(last, |number| number.min(last))]
    }

    /// The whole error chain in one sentence for a condition.
    pub fn sentence(&self) -> String {
        let source = match self {
            Self::Api { source, .. } | Self::Status { source, .. } => match &**source {
                kube::Error::Api(status) => format!(": {}", status.message),
                other => format!(": {other}"),
            },
            Self::Deadline(_) | Self::Held(_) | Self::Moved(_) | Self::Overtaken { .. } => String::new(),
        };
        shorten(&format!("{self}{source}"), MAX_SENTENCE_BYTES)
    }
}

/// Returns true if the API server refused a write because it cannot store an object of that size. A refusal by etcd has
/// the code 500, see `ErrGRPCRequestTooLarge` in `go.etcd.io/etcd/api/v3/v3rpc/rpctypes`, and so has one by gRPC, whose
/// limit applies where that of etcd was raised.
pub fn is_refused_for_size(error: &kube::Error) -> bool {
    const MESSAGES: [&str; 2] = ["request is too large", "message larger than max"];
    matches!(error, kube::Error::Api(status) if status.code == 413 || MESSAGES.iter().any(|message| status.message.contains(message)))
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
    fn a_request_without_a_readable_response_is_not_answered() {
        let overtaken = Error::Overtaken { name: "orchid-lab".into(), times: 50 };
        let moved = Error::Moved("confirm that namespace orchid-lab no longer exists".into());
        let held = Error::Held("RoleBinding developerspace-owner in orchid-lab".into());
        for answered in [error(403, None), error(409, None), error(500, None), held, moved, overtaken] {
            assert!(answered.is_answered(), "{answered}");
        }
        let cut_off = || kube::Error::SerdeError(serde_json::from_str::<Status>("{").unwrap_err());
        let lost = kube::Error::Service("connection reset by peer".into());
        for unanswered in [
            Error::api("delete namespace orchid-lab")(cut_off()),
            Error::status("orchid-lab")(cut_off()),
            Error::api("delete namespace orchid-lab")(lost),
            Error::Deadline(Duration::from_secs(60)),
        ] {
            assert!(!unanswered.is_answered(), "{unanswered}");
        }
    }

    #[test]
    fn a_webhook_that_answers_as_in_a_race_refuses() {
        for (code, class) in
            [(404, Class::Invalid), (409, Class::Invalid), (403, Class::Forbidden), (500, Class::Transient)]
        {
            let message = "admission webhook \"guard.example.com\" denied the request: it has volumes";
            let status: Status = serde_json::from_value(
                json!({"status": "Failure", "code": code, "message": message, "reason": "Conflict"}),
            )
            .unwrap();
            assert_eq!(
                Error::api("delete namespace alice-payments")(kube::Error::Api(Box::new(status))).class(),
                class,
                "{code}"
            );
        }
    }

    #[test]
    fn a_write_that_is_too_large_is_refused_by_the_api_server_or_by_etcd() {
        for (code, message, expected) in [
            (413, "Request entity too large: limit is 3145728", true),
            (500, "etcdserver: request is too large", true),
            (
                500,
                "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2097347 vs. 2097152)",
                true,
            ),
            (
                500,
                "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (2097347 vs. 2097152)",
                true,
            ),
            (500, "etcdserver: request timed out", false),
            (422, "metadata.annotations: Too long: may not be more than 262144 bytes", false),
        ] {
            let status: Status =
                serde_json::from_value(json!({"status": "Failure", "code": code, "message": message, "reason": "x"}))
                    .unwrap();
            let error = Error::api("repair NetworkPolicy developerspace-isolation in orchid-lab")(kube::Error::Api(
                Box::new(status),
            ));
            assert_eq!(error.is_too_large(), expected, "{code} {message}");
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let ends: Vec<u64> = [error(500, None), error(403, None), error(422, None), error(404, None), error(409, None)]
            .iter()
            .map(|error| {
                let waits: Vec<Duration> = (0..50).map(|failures| error.retry_after(failures)).collect();
                assert!(waits.is_sorted(), "{waits:?}");
                assert_eq!(error.retry_after(u32::MAX), waits[49]);
                waits[49].as_secs()
            })
            .collect();
        assert_eq!(ends, [30; 5]);
    }

    /// Counts the attempts in each minute. The status and its Event are two more writes in the first minute.
    #[test]
    fn no_space_costs_more_than_six_writes_a_minute() {
        let mut at = Duration::ZERO;
        let mut attempts = vec![at];
        for failures in 0..20 {
            at += error(500, None).retry_after(failures);
            attempts.push(at);
        }
        let in_minute = |begin: Duration| {
            attempts.iter().filter(|at| (begin..begin + Duration::from_secs(60)).contains(*at)).count()
        };
        let a_minute: Vec<usize> = (0..5).map(|minute| in_minute(Duration::from_secs(60 * minute))).collect();
        assert_eq!(a_minute, [4, 2, 2, 2, 2]);
    }

    #[test]
    fn a_sentence_has_an_end() {
        assert_eq!(error(422, None).sentence(), "failed to create ResourceQuota developerspace in alice-payments: no");
        let long: Status = serde_json::from_value(
            json!({"status": "Failure", "code": 500, "message": "ü".repeat(50_000), "reason": "x"}),
        )
        .unwrap();
        let sentence = Error::status("alice-payments")(kube::Error::Api(Box::new(long))).sentence();
        assert!(
            sentence.len() <= MAX_SENTENCE_BYTES
                && sentence.starts_with("failed to write the status of DeveloperSpace alice-payments: ü")
        );
    }

    #[test]
    fn a_conflict_that_lasts_is_no_race() {
        let conflict = error(409, None);
        assert!(!conflict.lasts(MAX_IMMEDIATE_RETRIES) && conflict.lasts(MAX_IMMEDIATE_RETRIES + 1));
        assert!(
            conflict.retry_after(MAX_IMMEDIATE_RETRIES - 1) < RETRY_DELAYS[0]
                && conflict.retry_after(MAX_IMMEDIATE_RETRIES) == RETRY_DELAYS[0]
        );
        assert!(error(403, None).lasts(0) && !error(500, None).lasts(1) && error(500, None).lasts(2));
    }

    #[test]
    fn an_end_that_loses_every_race_is_tried_every_second() {
        let overtaken = Error::Overtaken { name: "orchid-lab".into(), times: 50 };
        assert_eq!(
            (overtaken.class(), overtaken.is_lost_race(), error(409, None).is_lost_race()),
            (Class::Conflict, false, true)
        );
        assert!([0, 1, 10, 1_000].iter().all(|failures| overtaken.retry_after(*failures) == RETRY_DELAYS[0]));
        assert_eq!(
            overtaken.sentence(),
            "failed to write DeveloperSpace orchid-lab: other clients changed it before each of 50 attempts; the operator retries"
        );
    }
}
