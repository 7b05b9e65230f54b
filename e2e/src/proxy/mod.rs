//! Owns the fault proxy: plain HTTP on loopback in front of the API server's TLS. It numbers and records every request,
//! and applies the configured faults to requests and watches.
//!
//! kube's client speaks HTTP/1.1, and the bearer token is forwarded, so that the operator's real permissions apply.

mod fault;
mod journal;
mod network;
mod request_info;
mod response;
mod rules;
mod serve;
mod state;
mod stream;
mod upstream;

use std::{
    net::Ipv4Addr,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use tokio::{
    net::TcpListener,
    sync::{broadcast, watch},
    task::JoinHandle,
};

pub use fault::{
    EventFault, EventRule, Fault, FaultRule, Gate, RequestPosition, RuleLimit, RuleProgress, WatchCommand, WatchEnd,
    WriteSelector,
};
pub use journal::{Entry, Journal};
pub use network::{NetworkState, Snapshot};
pub use request_info::RequestInfo;
pub use rules::RuleId;

/// The number of commands to watches that may be pending.
const MAX_PENDING_COMMANDS: usize = 64;

/// A running proxy. It ends when this is dropped.
pub struct Proxy {
    state: Arc<state::ProxyState>,
    address: String,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy in front of the API server at `server`, whose certificate `authority` signed.
    pub async fn start(server: &str, authority: &Path) -> Result<Self> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("the proxy found no port on 127.0.0.1")?;
        let address = format!("http://{}", listener.local_addr().context("the proxy's own address is unknown")?);
        let state = Arc::new(state::ProxyState {
            upstream: upstream::Upstream::new(server, authority)?,
            rules: Mutex::default(),
            event_rules: AtomicUsize::new(0),
            journal: Journal::default(),
            network: watch::Sender::new(NetworkState::default()),
            commands: broadcast::Sender::new(MAX_PENDING_COMMANDS),
            recording: Mutex::default(),
            pid: AtomicU32::new(0),
        });
        let accepting = tokio::spawn(serve::accept(listener, state.clone()));
        Ok(Self { state, address, accepting })
    }

    /// Its address, for a kubeconfig.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The record of all requests.
    pub fn journal(&self) -> &Journal {
        &self.state.journal
    }

    /// Sets the process that receives signals.
    pub fn set_pid(&self, pid: u32) {
        self.state.pid.store(pid, Ordering::Relaxed);
    }

    /// Adds a rule.
    pub fn add_rule(&self, rule: FaultRule) -> RuleId {
        self.state.rules().add(rule)
    }

    /// Adds a rule for watch events.
    pub fn add_event_rule(&self, rule: EventRule) -> RuleId {
        self.state.event_rules.fetch_add(1, Ordering::Relaxed);
        self.state.rules().add_event(rule)
    }

    /// Removes a rule.
    pub fn remove_rule(&self, id: RuleId) {
        self.state.rules().remove(id);
    }

    /// The progress of a rule; `None` after its removal.
    pub fn progress(&self, id: RuleId) -> Option<RuleProgress> {
        self.state.rules().progress(id)
    }

    /// Restarts the numbering of the writes and events of `space` at one.
    pub fn restart_count(&self, space: &str) {
        self.state.rules().restart_count(space);
    }

    /// Changes the state of the network, which affects all requests.
    pub fn network(&self, change: impl FnOnce(&mut NetworkState)) {
        self.state.network.send_modify(change);
    }

    /// Ends the open watches of `resource`, or all of them, in the given way. Returns the number of open watches that
    /// received the command.
    pub fn end_watches(&self, resource: Option<&str>, end: WatchEnd) -> usize {
        self.state.commands.send(WatchCommand { resource: resource.map(str::to_owned), end }).unwrap_or_default()
    }

    /// Starts recording each list.
    pub fn record(&self) {
        *self.state.recording.lock().unwrap_or_else(PoisonError::into_inner) = Some(Snapshot::default());
    }

    /// Stops recording and returns the lists since [`record`](Self::record).
    pub fn recorded(&self) -> Option<Snapshot> {
        self.state.recording.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.state.network.send_modify(|network| network.partition = true);
    }
}
