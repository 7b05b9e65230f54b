//! Owns the record of every request that passed through the proxy: the only source for checks of the operator's writes.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{fault::RequestPosition, request_info::RequestInfo};
use crate::fixtures::now;

/// One request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The time at which the request arrived, to a microsecond.
    pub at: DateTime<Utc>,
    /// The same time on the monotonic clock.
    pub instant: Instant,
    /// The properties of the request.
    pub request_info: RequestInfo,
    /// The position of the request among those of its space.
    pub position: RequestPosition,
    /// The rule that affected the request.
    pub rule: Option<String>,
    /// The status code from the API server, if it received the request and responded.
    pub served: Option<u16>,
    /// The status code that the operator received, if it received a response.
    pub code: Option<u16>,
    /// The time until the operator received the response.
    pub took: Option<Duration>,
}

impl Entry {
    /// A one-line summary for messages.
    pub fn line(&self) -> String {
        let code = |code: Option<u16>| code.map_or_else(|| "-".to_owned(), |code| code.to_string());
        let rule = self.rule.as_ref().map(|rule| format!(" [{rule}]")).unwrap_or_default();
        let number = self.position.number.map(|number| format!("#{number} ")).unwrap_or_default();
        format!(
            "{} {number}{} -> {}, told {}{rule}",
            self.at.format("%H:%M:%S%.6f"),
            self.request_info.line(),
            code(self.served),
            code(self.code)
        )
    }

    /// Returns true if the API server performed the request.
    pub fn was_done(&self) -> bool {
        self.served.is_some_and(|code| code < 300)
    }
}

/// All requests, in the order in which they arrived.
#[derive(Debug)]
pub struct Journal {
    entries: Mutex<Vec<Entry>>,
    count: watch::Sender<usize>,
}

impl Default for Journal {
    fn default() -> Self {
        Self { entries: Mutex::default(), count: watch::Sender::new(0) }
    }
}

impl Journal {
    pub(super) fn record_request(
        &self,
        request_info: RequestInfo,
        position: RequestPosition,
        rule: Option<String>,
    ) -> usize {
        let entry = Entry {
            at: now(),
            instant: Instant::now(),
            request_info,
            position,
            rule,
            served: None,
            code: None,
            took: None,
        };
        let mut entries = self.lock();
        entries.push(entry);
        let count = entries.len();
        drop(entries);
        self.count.send_replace(count);
        count - 1
    }

    pub(super) fn record_served(&self, index: usize, code: u16) {
        if let Some(entry) = self.lock().get_mut(index) {
            entry.served = Some(code);
        }
    }

    pub(super) fn record_response(&self, index: usize, code: u16) {
        if let Some(entry) = self.lock().get_mut(index) {
            entry.code = Some(code);
            entry.took = Some(entry.instant.elapsed());
        }
    }

    /// The number of requests.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Returns true if there were no requests.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The requests from number `from` on that `wanted` accepts.
    pub fn since(&self, from: usize, wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        self.lock().iter().skip(from).filter(|entry| wanted(entry)).cloned().collect()
    }

    /// The writes from number `from` on, without those of the lease.
    pub fn writes(&self, from: usize) -> Vec<Entry> {
        self.since(from, |entry| entry.request_info.mutates() && entry.request_info.resource != "leases")
    }

    /// The numbered writes that concern `space`, from number `from` on.
    pub fn writes_of(&self, space: &str, from: usize) -> Vec<Entry> {
        self.since(from, |entry| entry.request_info.is_numbered() && entry.request_info.space.as_deref() == Some(space))
    }

    /// The last write that concerns `space` and that `wanted` accepts.
    pub fn last_write_of(&self, space: &str, wanted: impl Fn(&RequestInfo) -> bool) -> Option<Entry> {
        let concerns = |entry: &&Entry| {
            entry.request_info.mutates()
                && entry.request_info.space.as_deref() == Some(space)
                && wanted(&entry.request_info)
        };
        self.lock().iter().rev().find(concerns).cloned()
    }

    /// Returns true if any request concerns `space`.
    pub fn has_requests_of(&self, space: &str) -> bool {
        self.lock().iter().any(|entry| entry.request_info.space.as_deref() == Some(space))
    }

    /// Returns a receiver that is notified of each new request.
    pub fn subscribe(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
