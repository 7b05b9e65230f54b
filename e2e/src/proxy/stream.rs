//! Owns the relay of a watch: each line is forwarded, delayed, dropped, duplicated or cut off as the rules and commands
//! require.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{
    sync::{broadcast, mpsc},
    time::{Instant, sleep_until},
};

use super::{
    fault::{EventFault, WatchCommand, WatchEnd},
    response::{Body, Reset, channel_body, expired_event},
    state::ProxyState,
};

/// The delay of an event that others overtake.
const LATE_EVENT_DELAY: Duration = Duration::from_secs(1);

type Sender = mpsc::Sender<Result<Bytes, Reset>>;

/// Relays the watch's body.
pub(super) fn relay(state: &Arc<ProxyState>, resource: &str, response: Response<Incoming>) -> Response<Body> {
    let (head, incoming) = response.into_parts();
    let (sender, body) = channel_body();
    let relay = WatchRelay {
        commands: state.commands.subscribe(),
        state: state.clone(),
        resource: resource.to_owned(),
        sender,
        incomplete_line: BytesMut::new(),
        waiting: VecDeque::new(),
        late: VecDeque::new(),
        ended: false,
    };
    tokio::spawn(relay.run(incoming));
    Response::from_parts(head, body)
}

/// The relay of one watch.
struct WatchRelay {
    state: Arc<ProxyState>,
    resource: String,
    commands: broadcast::Receiver<WatchCommand>,
    sender: Sender,
    /// The beginning of an incomplete line.
    incomplete_line: BytesMut,
    /// Lines, and the time at which each may be sent.
    waiting: VecDeque<(Instant, Bytes)>,
    /// Lines that others overtake, and the time at which each may be sent.
    late: VecDeque<(Instant, Bytes)>,
    ended: bool,
}

impl WatchRelay {
    async fn run(mut self, mut incoming: Incoming) {
        let mut network = self.state.network.subscribe();
        loop {
            let silent = network.borrow_and_update().is_silent(&self.resource);
            let due = self.waiting.front().map(|(due, _)| *due).filter(|_| !silent);
            let overdue = self.late.front().map(|(due, _)| *due).filter(|_| !silent);
            if self.ended && self.waiting.is_empty() && self.late.is_empty() && !silent {
                return;
            }
            tokio::select! {
                () = self.sender.closed() => return,
                command = self.commands.recv() => if self.execute(command).await { return },
                changed = network.changed() => if changed.is_err() { return },
                () = at(due) => if let Some((_, line)) = self.waiting.pop_front() && self.pass(line).await.is_err() { return },
                () = at(overdue) => if let Some((_, line)) = self.late.pop_front() && self.send(line).await.is_err() { return },
                frame = incoming.frame(), if !self.ended => match frame.and_then(Result::ok) {
                    Some(frame) => if let Ok(data) = frame.into_data() { self.take(&data) },
                    None => self.ended = true,
                },
            }
        }
    }

    /// Splits the received data into lines.
    fn take(&mut self, data: &[u8]) {
        let lag = self.state.network.borrow().lag.get(&self.resource).copied().unwrap_or(Duration::ZERO);
        self.incomplete_line.extend_from_slice(data);
        while let Some(end) = self.incomplete_line.iter().position(|byte| *byte == b'\n') {
            let line = self.incomplete_line.split_to(end + 1).freeze();
            self.waiting.push_back((Instant::now() + lag, line));
        }
    }

    async fn pass(&mut self, line: Bytes) -> Result<(), Reset> {
        match self.fault(&line) {
            Some(EventFault::Drop) => Ok(()),
            Some(EventFault::Duplicate) => {
                self.send(line.clone()).await?;
                self.send(line).await
            }
            Some(EventFault::Late) => {
                self.late.push_back((Instant::now() + LATE_EVENT_DELAY, line));
                Ok(())
            }
            None => self.send(line).await,
        }
    }

    async fn send(&self, line: Bytes) -> Result<(), Reset> {
        self.sender.send(Ok(line)).await.map_err(|_| Reset)
    }

    fn fault(&self, line: &[u8]) -> Option<EventFault> {
        if !self.state.has_event_rules() {
            return None;
        }
        let event: Value = serde_json::from_slice(line).ok()?;
        if event["type"] == "BOOKMARK" || event["type"] == "ERROR" {
            return None;
        }
        let metadata = &event["object"]["metadata"];
        let space = metadata["namespace"].as_str().or_else(|| metadata["name"].as_str())?;
        self.state.match_event(space, &self.resource)
    }

    /// Executes a command. Returns true if it ends this watch.
    async fn execute(&self, command: Result<WatchCommand, broadcast::error::RecvError>) -> bool {
        let Ok(command) = command else { return false };
        if command.resource.as_ref().is_some_and(|resource| *resource != self.resource) {
            return false;
        }
        // The peer may have disconnected already: then there is nothing to end.
        match command.end {
            WatchEnd::Reset => drop(self.sender.send(Err(Reset)).await),
            WatchEnd::Gone => drop(self.send(expired_event()).await),
            WatchEnd::Silent => self.sender.closed().await,
        }
        true
    }
}

async fn at(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
