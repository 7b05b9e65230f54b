//! Owns what can go wrong with a request or a watch event, and to which ones it happens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::facts::Facts;

/// What is done to a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is reset and the server never hears of it.
    ResetBefore,
    /// The server does it; the connection is reset instead of the answer.
    ResetAfter,
    /// An error is answered that the server never gave.
    Answer {
        /// The HTTP status.
        code: u16,
        /// Whether the server did it all the same.
        after: bool,
    },
    /// The server does it; half of the answer arrives, then the connection is reset.
    Truncate,
    /// It is handed on that much later.
    Delay(Duration),
    /// It is never answered, and the server does or does not hear of it.
    Hang {
        /// Whether the server did it.
        after: bool,
    },
    /// It waits at the gate and is then handed on.
    Hold(Arc<Gate>),
    /// The operator gets a signal.
    Signal {
        /// Such as `KILL` and `TERM`.
        signal: &'static str,
        /// Whether the server has done it by then.
        after: bool,
    },
}

/// Where a request waits until somebody lets it go on.
#[derive(Debug, Default)]
pub struct Gate {
    open: Notify,
}

impl Gate {
    /// Lets the one that waits, or the next to come, go on.
    pub fn open(&self) {
        self.open.notify_one();
    }

    /// Waits to be let on.
    pub async fn pass(&self) {
        self.open.notified().await;
    }
}

/// How often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// That many times.
    Count(u32),
    /// From the first time on, for so long.
    For(Duration),
}

/// Where a request stands among those of its space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The how manieth write of the space it is, from one; none for what is not numbered.
    pub number: Option<u32>,
    /// The how manieth of its signature, from one.
    pub nth: u32,
}

/// Which requests.
pub type Matcher = Arc<dyn Fn(&Facts, Place) -> bool + Send + Sync>;

/// A fault for the requests that match.
#[derive(Clone)]
pub struct Rule {
    /// What the journal calls it.
    pub name: String,
    /// Which requests.
    pub matches: Matcher,
    /// What happens to them.
    pub fault: Fault,
    /// How often.
    pub times: Times,
}

impl Rule {
    /// A rule for whatever `matches` says, once.
    pub fn new(name: impl Into<String>, fault: Fault, matches: impl Fn(&Facts, Place) -> bool + Send + Sync + 'static) -> Self {
        Self { name: name.into(), matches: Arc::new(matches), fault, times: Times::Count(1) }
    }

    /// The write of that signature, from its `nth` time on, of one space.
    pub fn write(name: impl Into<String>, fault: Fault, (space, signature, nth): (&str, &str, u32)) -> Self {
        let (space, signature) = (space.to_owned(), signature.to_owned());
        Self::new(name, fault, move |facts, place| {
            facts.space.as_deref() == Some(&space) && place.nth >= nth && facts.mutates() && facts.signature() == signature
        })
    }

    /// The same rule, so often.
    #[must_use]
    pub fn times(self, times: Times) -> Self {
        Self { times, ..self }
    }
}

/// What is done to a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventFault {
    /// It never arrives.
    Drop,
    /// It arrives twice.
    Duplicate,
    /// It arrives after those that should follow it: everything else of a second overtakes it.
    Late,
}

/// A fault for the `nth` event about one space on the watch of one resource, counted from when the rule was set up.
#[derive(Clone, Debug)]
pub struct EventRule {
    /// The space.
    pub space: String,
    /// The plural; none for any.
    pub resource: Option<String>,
    /// From one; none for all.
    pub nth: Option<u32>,
    /// What happens.
    pub fault: EventFault,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How often it struck.
    pub hits: u32,
    /// When it struck first.
    pub first: Option<Instant>,
    /// When it was, or will be, over; none while it waits for more.
    pub over: Option<Instant>,
}
