//! Kubernetes Events (events.k8s.io/v1): one POST for each transition, and at most one in a minute for each reason
//! about one object, see [`super::event_throttle`].
//!
//! Events about a space are created in `default`, the only namespace that the API server accepts for a cluster-scoped
//! object.

use std::{
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::{
    Stream, StreamExt,
    future::{join, select},
    stream,
};
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, Resource};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{event_throttle::Throttle, worker_slots::WorkerSlots, write_params::post_params};
use crate::{
    api::{DeveloperSpace, NamespaceRef, names, text::shorten},
    desired::{hash::hash, status::Note},
    lock::IgnorePoison,
};

/// The longest note that the API server accepts, see `NoteLengthLimit` in
/// `k8s.io/kubernetes/pkg/apis/core/validation/events.go`.
const MAX_NOTE_BYTES: usize = 1_024;

/// The number of Events that may wait to be written. Further Events are lost, which is logged.
const QUEUE_CAPACITY: usize = 32_768;

/// The number of Events that are written concurrently.
const MAX_CONCURRENT_WRITES: usize = 32;

/// The number of expiry warnings that are written concurrently. They do not wait for an idle worker slot.
const MAX_CONCURRENT_WARNING_WRITES: usize = 4;

/// Queues Events, which are written in the background: neither a reconcile nor a deletion waits for one.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Queued>,
    warnings: mpsc::Sender<Queued>,
    pending: watch::Sender<usize>,
    throttle: Arc<Mutex<Throttle<Box<Record>>>>,
}

/// The interval at which Events are released that were held for a minute.
const RELEASE_INTERVAL: Duration = Duration::from_secs(5);

/// An Event to write: its object, its content and its time.
#[derive(Debug)]
struct Record {
    regarding: ObjectReference,
    note: Note,
    at: DateTime<Utc>,
}

/// An Event to write, and the number of its occurrences.
#[derive(Debug)]
struct Queued {
    record: Box<Record>,
    times: i32,
}

/// Returns a recorder that reports as `instance`, usually the name of the pod, and the future that writes its Events
/// until the recorder is dropped.
///
/// Each Event takes an idle worker slot of `slots`. Expiry warnings do not wait for a slot: they would be written after
/// the expiry.
pub fn recorder(
    client: Client,
    slots: WorkerSlots,
    instance: &str,
) -> (Recorder, impl Future<Output = ()> + Send + use<>) {
    let (queue, waiting) = mpsc::channel(QUEUE_CAPACITY);
    let (warnings, urgent) = mpsc::channel(QUEUE_CAPACITY);
    let pending = watch::Sender::new(0_usize);
    let writer = Writer { client, slots, instance: instance.chars().take(128).collect(), count: AtomicU32::new(0) };
    let written = pending.clone();
    let recorder = Recorder { queue, warnings, pending, throttle: Arc::default() };
    let releasing = release_periodically(&recorder);
    let (waiting, urgent) = (received(waiting), received(urgent));
    let writer = Arc::new(writer);
    let idle = {
        let (writer, written) = (writer.clone(), written.clone());
        move |record| Writer::write(writer.clone(), record, written.clone(), false)
    };
    let at_once = move |record| Writer::write(writer.clone(), record, written.clone(), true);
    let writing = async move {
        let both = join(
            waiting.for_each_concurrent(MAX_CONCURRENT_WRITES, idle),
            urgent.for_each_concurrent(MAX_CONCURRENT_WARNING_WRITES, at_once),
        );
        select(pin!(both), pin!(releasing)).await;
    };
    (recorder, writing)
}

/// Releases the Events whose minute is over, until the recorder is dropped.
fn release_periodically(recorder: &Recorder) -> impl Future<Output = ()> + Send + use<> {
    let (queue, warnings) = (recorder.queue.downgrade(), recorder.warnings.downgrade());
    let (throttle, pending) = (recorder.throttle.clone(), recorder.pending.clone());
    async move {
        loop {
            tokio::time::sleep(RELEASE_INTERVAL).await;
            let Some((queue, warnings)) = queue.upgrade().zip(warnings.upgrade()) else { return };
            Recorder { queue, warnings, pending: pending.clone(), throttle: throttle.clone() }.release(Throttle::due);
        }
    }
}

fn received(queue: mpsc::Receiver<Queued>) -> impl Stream<Item = Queued> {
    stream::unfold(queue, |mut queue| async move { queue.recv().await.map(|record| (record, queue)) })
}

/// Returns true for an expiry warning: after the expiry the namespace accepts no Event.
fn is_urgent(note: &Note) -> bool {
    note.reason == "Expiring"
}

impl Recorder {
    /// Publishes `notes` about `space`. Notes that are meant for the users of its namespace are published in that
    /// namespace too.
    pub(crate) fn publish(
        &self,
        space: &DeveloperSpace,
        namespace: Option<&NamespaceRef>,
        notes: Vec<Note>,
        now: DateTime<Utc>,
    ) {
        for note in notes {
            if let Some(NamespaceRef { name, uid }) = namespace.filter(|_| note.in_namespace) {
                let regarding = ObjectReference {
                    api_version: Some("v1".into()),
                    kind: Some("Namespace".into()),
                    name: Some(name.clone()),
                    namespace: Some(name.clone()),
                    uid: Some(uid.clone()),
                    ..ObjectReference::default()
                };
                self.put(Record { regarding, note: note.clone(), at: now });
            }
            self.put(Record { regarding: space.object_ref(&()), note, at: now });
        }
    }

    /// Publishes `note` about another object.
    pub(crate) fn record(&self, regarding: ObjectReference, note: Note, now: DateTime<Utc>) {
        self.put(Record { regarding, note, at: now });
    }

    /// Waits until every Event published so far is written or lost.
    pub(crate) async fn flush(&self) {
        self.release(|throttle, _| throttle.all());
        // `self` keeps the sender, so the wait cannot fail.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }

    fn put(&self, mut record: Record) {
        // Thousands of Events may wait, and a message can contain long texts of users.
        record.note.message = shorten(&record.note.message, MAX_NOTE_BYTES);
        let ObjectReference { kind, namespace, name, uid, .. } = &record.regarding;
        // Each warning threshold is a reason of its own, regardless of the time between two thresholds.
        let edge = is_urgent(&record.note).then_some(&record.note.message);
        let reason = hash(&(kind, namespace, name, uid, &record.note.reason, edge));
        let passed = self.throttle().pass(reason, Box::new(record), Instant::now());
        if let Some((record, times)) = passed {
            self.send(Queued { record, times });
        }
    }

    fn release(&self, which: impl FnOnce(&mut Throttle<Box<Record>>, Instant) -> Vec<(Box<Record>, i32)>) {
        let released = which(&mut self.throttle(), Instant::now());
        for (record, times) in released {
            self.send(Queued { record, times });
        }
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle<Box<Record>>> {
        self.throttle.lock().ignore_poison()
    }

    fn send(&self, queued: Queued) {
        let Record { regarding, note, .. } = &*queued.record;
        let (name, reason) = (regarding.name.clone(), note.reason.clone());
        self.pending.send_modify(|pending| *pending += 1);
        let queue = if is_urgent(note) { &self.warnings } else { &self.queue };
        if queue.try_send(queued).is_err() {
            self.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
            tracing::warn!(name, reason, "dropped an Event: {QUEUE_CAPACITY} Events wait to be written");
        }
    }
}

struct Writer {
    client: Client,
    slots: WorkerSlots,
    instance: String,
    count: AtomicU32,
}

impl Writer {
    /// Writes an Event at once, or when a worker slot is idle.
    async fn write(self: Arc<Self>, Queued { record, times }: Queued, written: watch::Sender<usize>, at_once: bool) {
        if at_once {
            self.post(*record, times).await;
        } else {
            self.slots.run_low_priority(Box::pin(self.post(*record, times))).await;
        }
        written.send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    async fn post(&self, Record { regarding, note, at }: Record, times: i32) {
        let namespace = regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let stamp = Timestamp::from_microsecond(at.timestamp_micros()).unwrap_or_default();
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.{:x}.{number:x}", regarding.name.as_deref().unwrap_or_default(), at.timestamp_micros());
        let event = Event {
            metadata: ObjectMeta { name: Some(name), namespace: Some(namespace.clone()), ..ObjectMeta::default() },
            action: Some("Reconcile".to_owned()),
            event_time: Some(MicroTime(stamp)),
            note: Some(note.message),
            reason: Some(note.reason.clone()),
            regarding: Some(regarding),
            reporting_controller: Some(names::OPERATOR.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            // The API server accepts only a series of two or more.
            series: (times > 1).then_some(EventSeries { count: times, last_observed_time: MicroTime(stamp) }),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        };
        if let Err(error) =
            Api::<Event>::namespaced(self.client.clone(), &namespace).create(&post_params(), &event).await
        {
            tracing::warn!(namespace, reason = note.reason, %error, "failed to write an Event");
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::client::Body;

    use super::*;

    type Server = tower_test::mock::Handle<http::Request<Body>, http::Response<Body>>;

    fn a_recorder(slots: WorkerSlots) -> (Recorder, impl Future<Output = ()>, Server) {
        let (service, server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let (recorder, writing) = recorder(Client::new(service, "default"), slots, "dspace-7");
        (recorder, writing, server)
    }

    fn tell(recorder: &Recorder, reason: &str) {
        tell_that(recorder, reason, "it is ready");
    }

    fn tell_that(recorder: &Recorder, reason: &str, message: &str) {
        let space = serde_json::json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab"},
            "spec": {"owner": {"kind": "User", "name": "nadia@example.com"}, "contact": {"team": "botany", "email": "botany@example.com"}},
        });
        let space: DeveloperSpace = serde_json::from_value(space).expect("it is a space");
        let note = Note { warning: false, reason: reason.to_owned(), message: message.to_owned(), in_namespace: false };
        recorder.publish(&space, None, vec![note], DateTime::default());
    }

    async fn answer(server: &mut Server) -> String {
        let (request, send) = server.next_request().await.expect("an Event is written");
        let path = request.uri().path().to_owned();
        let made = http::Response::builder().status(201).body(request.into_body());
        send.send_response(made.expect("it is a response"));
        path
    }

    #[tokio::test]
    async fn a_flush_waits_for_what_was_told() {
        let (recorder, writing, mut server) = a_recorder(WorkerSlots::new(1));
        tell(&recorder, "Provisioned");
        let early = tokio::time::timeout(Duration::from_millis(50), recorder.flush()).await;
        assert!(early.is_err(), "nothing is written yet");
        let done = async move {
            recorder.flush().await;
        };
        let (path, (), ()) = tokio::join!(answer(&mut server), done, writing);
        assert_eq!(path, "/apis/events.k8s.io/v1/namespaces/default/events");
    }

    #[tokio::test]
    async fn what_does_not_fit_is_lost_and_no_flush_waits_for_it() {
        let (recorder, writing, server) = a_recorder(WorkerSlots::new(1));
        for number in 0..=QUEUE_CAPACITY {
            tell(&recorder, &format!("Reason{number}"));
        }
        assert_eq!(*recorder.pending.borrow(), QUEUE_CAPACITY);
        drop((writing, server));
    }

    #[tokio::test]
    async fn an_event_that_waits_is_no_longer_than_one_that_is_written() {
        let (recorder, writing, mut server) = a_recorder(WorkerSlots::new(1));
        let message = "fern ".repeat(10_000);
        (0..2).for_each(|_| tell_that(&recorder, "InvalidSpec", &message));
        let held = recorder.throttle().all();
        assert_eq!(held.iter().map(|(record, _)| record.note.message.len()).collect::<Vec<_>>(), [MAX_NOTE_BYTES]);
        let writing = tokio::spawn(writing);
        let (request, _send) = server.next_request().await.expect("an Event is written");
        let body = request.into_body().collect_bytes().await.expect("it is in memory");
        let event: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
        assert_eq!(event["note"], shorten(&message, MAX_NOTE_BYTES));
        writing.abort();
    }

    #[tokio::test]
    async fn a_warning_of_a_coming_end_waits_for_no_idle_worker() {
        let slots = WorkerSlots::new(1);
        let busy = tokio::spawn({
            let slots = slots.clone();
            async move { slots.run(std::future::pending::<()>()).await }
        });
        tokio::task::yield_now().await;
        let (recorder, writing, mut server) = a_recorder(slots);
        (0..100).for_each(|number| tell(&recorder, &format!("Reason{number}")));
        tell(&recorder, "Expiring");
        let writing = tokio::spawn(writing);
        let (request, _send) = server.next_request().await.expect("an Event is written");
        let body = request.into_body().collect_bytes().await.expect("it is in memory");
        let event: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
        assert_eq!(event["reason"], "Expiring");
        writing.abort();
        busy.abort();
    }

    #[tokio::test]
    async fn a_reason_that_comes_again_within_a_minute_is_counted_and_told_at_the_end() {
        let (recorder, writing, mut server) = a_recorder(WorkerSlots::new(1));
        (0..7).for_each(|_| tell(&recorder, "Renewed"));
        let record = async {
            let mut series = Vec::new();
            for _ in 0..2 {
                let (request, send) = server.next_request().await.expect("an Event is written");
                let body = request.into_body().collect_bytes().await.expect("it is in memory");
                let event: serde_json::Value = serde_json::from_slice(&body).expect("it is JSON");
                series.push(event["series"]["count"].as_i64());
                send.send_response(
                    http::Response::builder().status(201).body(Body::from(body)).expect("it is a response"),
                );
            }
            series
        };
        let done = async move {
            recorder.flush().await;
        };
        let (series, (), ()) = tokio::join!(record, done, writing);
        assert_eq!(series, [None, Some(6)]);
    }
}
