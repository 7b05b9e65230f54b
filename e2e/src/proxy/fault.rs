//! Owns the faults of requests, watch events and watches, and the rules that select which ones are affected.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::request_info::RequestInfo;

/// A fault of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is reset before the request reaches the API server.
    ResetBefore,
    /// The API server performs the request; the connection is reset instead of a response.
    ResetAfter,
    /// The proxy responds with an error that the API server did not return.
    Respond {
        /// The HTTP status.
        code: u16,
        /// True if the API server performs the request nevertheless.
        after: bool,
    },
    /// The API server performs the request; half of the response arrives, then the connection is reset.
    Truncate,
    /// The request is forwarded after this delay.
    Delay(Duration),
    /// The request never gets a response.
    Hang {
        /// True if the API server performs the request.
        after: bool,
    },
    /// The request waits at the gate and is then forwarded.
    Hold(Arc<Gate>),
    /// The operator receives a signal.
    Signal {
        /// The signal, such as `KILL` or `TERM`.
        signal: &'static str,
        /// True if the API server performs the request before the signal is sent.
        after: bool,
    },
}

/// A gate at which a request waits until it is opened.
#[derive(Debug, Default)]
pub struct Gate {
    open: Notify,
}

impl Gate {
    /// Opens the gate for one waiting request, or for the next one to arrive.
    pub fn open(&self) {
        self.open.notify_one();
    }

    /// Waits until the gate is opened.
    pub async fn wait(&self) {
        self.open.notified().await;
    }
}

/// The limit of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleLimit {
    /// The number of requests that the rule affects.
    Count(u32),
    /// The time for which the rule applies, from its first hit on.
    For(Duration),
}

/// The position of a request among those of its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestPosition {
    /// The number of the write within its space, from one; `None` for a request that is not numbered.
    pub number: Option<u32>,
    /// The number of the request among those with the same signature, from one.
    pub nth: u32,
}

/// The write of one space that a rule selects.
#[derive(Clone, Copy, Debug)]
pub struct WriteSelector<'a> {
    /// The name of the space.
    pub space: &'a str,
    /// The signature of the write.
    pub signature: &'a str,
    /// The number of the write among those with the same signature, from one.
    pub nth: u32,
}

/// The condition that selects requests.
pub(super) type Matcher = Arc<dyn Fn(&RequestInfo, RequestPosition) -> bool + Send + Sync>;

/// A fault for the requests that match.
#[derive(Clone)]
pub struct FaultRule {
    /// The name of the rule in the journal.
    pub name: String,
    /// The condition that selects requests.
    pub matches: Matcher,
    /// The fault of these requests.
    pub fault: Fault,
    /// The limit of the rule.
    pub limit: RuleLimit,
}

impl FaultRule {
    /// Creates a rule that affects one request that `matches` selects.
    pub fn new(
        name: impl Into<String>,
        fault: Fault,
        matches: impl Fn(&RequestInfo, RequestPosition) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), matches: Arc::new(matches), fault, limit: RuleLimit::Count(1) }
    }

    /// Creates a rule for the selected write, from its `nth` occurrence on.
    pub fn write(name: impl Into<String>, fault: Fault, selector: WriteSelector<'_>) -> Self {
        let (space, signature, nth) = (selector.space.to_owned(), selector.signature.to_owned(), selector.nth);
        Self::new(name, fault, move |request_info, position| {
            request_info.space.as_deref() == Some(&space)
                && position.nth >= nth
                && request_info.mutates()
                && request_info.signature() == signature
        })
    }

    /// Returns the same rule with another limit.
    #[must_use]
    pub fn limit(self, limit: RuleLimit) -> Self {
        Self { limit, ..self }
    }
}

/// A fault of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFault {
    /// The event never arrives.
    Drop,
    /// The event arrives twice.
    Duplicate,
    /// The event arrives a second later, after the events that should follow it.
    Late,
}

/// A fault of the `nth` event about one space on the watch of one resource, counted from the time at which the rule was
/// added.
#[derive(Clone, Debug)]
pub struct EventRule {
    /// The name of the space.
    pub space: String,
    /// The plural of the resource; `None` for any.
    pub resource: Option<String>,
    /// The number of the event, from one; `None` for all.
    pub nth: Option<u32>,
    /// The fault.
    pub fault: EventFault,
}

/// A command that ends open watches.
#[derive(Clone, Debug)]
pub struct WatchCommand {
    /// The resource of the watches; `None` for all.
    pub resource: Option<String>,
    /// The way in which the watches end.
    pub end: WatchEnd,
}

/// The way in which a watch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchEnd {
    /// The connection is reset.
    Reset,
    /// The server sends an ERROR event with code 410: the resourceVersion has expired.
    Gone,
    /// The connection stays open and delivers nothing more, like a connection that a middlebox has dropped.
    Silent,
}

/// The progress of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleProgress {
    /// The number of hits.
    pub hits: u32,
    /// The time of the first hit.
    pub first: Option<Instant>,
    /// The time at which the rule ended or will end; `None` while it waits for further hits.
    pub end: Option<Instant>,
}
