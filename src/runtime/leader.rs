//! Leader election by Lease (coordination.k8s.io/v1).
//!
//! A lease does not fence writes: every write of the operator is also safe without it. It prevents replicas from doing
//! the same work twice. As in client-go, the lease of another holder has expired when its record has not changed for
//! its duration, by the local monotonic clock.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
    jiff::Timestamp,
};
use kube::{Api, Client, api::PostParams};
use tokio::time::Instant;

use super::error::Error;
use crate::clock::Clock;

/// Name of the Lease in the operator's namespace.
pub(crate) const LEASE: &str = "developerspace-operator";

const LEASE_DURATION: Duration = Duration::from_secs(15);
const RENEW_INTERVAL: Duration = Duration::from_secs(2);
const STEP_TIMEOUT: Duration = Duration::from_secs(5);
/// A holder that could not renew the lease for this time stops, before another candidate may take it.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// The pause before a renewal that conflicted with another write is retried.
const CONFLICT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// A candidate in the election.
pub(crate) struct Elector {
    leases: Api<Lease>,
    identity: String,
    clock: Arc<dyn Clock>,
}

/// The resourceVersion of the Lease that was seen last, and the time at which it was first seen.
type ObservedLease = Option<(Option<String>, Instant)>;

impl Elector {
    /// Returns a candidate with `identity` for the Lease in `namespace`.
    pub(crate) fn new(client: Client, namespace: &str, identity: &str, clock: Arc<dyn Clock>) -> Self {
        Self { leases: Api::namespaced(client, namespace), identity: identity.to_owned(), clock }
    }

    /// Waits until this candidate leads. Returns the time at which the successful attempt began.
    pub(crate) async fn acquire(&self) -> Instant {
        let mut observed: ObservedLease = None;
        loop {
            let begun = Instant::now();
            match tokio::time::timeout(STEP_TIMEOUT, self.try_take(&mut observed)).await {
                Ok(Ok(true)) => return begun,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(error = error.sentence(), "failed to acquire the lease; retrying"),
                Err(_) => tracing::warn!("timed out while acquiring the lease; retrying"),
            }
            tokio::time::sleep(RENEW_INTERVAL).await;
        }
    }

    /// Renews the lease, which was last renewed at `renewed`. Returns when this candidate must stop writing: at most
    /// ten seconds after the last successful renewal was requested, since other candidates count from the time at which
    /// it was stored.
    pub(crate) async fn hold(&self, mut renewed: Instant) {
        loop {
            tokio::time::sleep(RENEW_INTERVAL).await;
            let begun = Instant::now();
            let left = RENEW_DEADLINE.saturating_sub(renewed.elapsed());
            match tokio::time::timeout(left.min(STEP_TIMEOUT), self.renew()).await {
                Ok(Ok(true)) => renewed = begun,
                Ok(Ok(false)) => {
                    tracing::error!("another replica holds the lease");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(error = error.sentence(), "failed to renew the lease"),
                Err(_) => tracing::warn!("timed out while renewing the lease"),
            }
            if renewed.elapsed() + RENEW_INTERVAL > RENEW_DEADLINE {
                return;
            }
        }
    }

    /// Releases the lease, so that another candidate can take it at once.
    pub(crate) async fn release(&self) {
        let release = async {
            // A renewal that was given up while it was under way may still be stored, between the read and the write.
            while !self.try_release().await? {}
            Ok::<(), Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(STEP_TIMEOUT, release).await {
            tracing::warn!(error = error.sentence(), "failed to release the lease; it expires by itself");
        }
    }

    /// Returns true if this candidate no longer holds the lease, and false if the lease changed during the write.
    async fn try_release(&self) -> Result<bool, Error> {
        let found = self.leases.get_opt(LEASE).await.map_err(Error::api(format!("read Lease {LEASE}")))?;
        let Some(mut lease) = found.filter(|lease| holder(lease).as_deref() == Some(&self.identity)) else {
            return Ok(true);
        };
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        is_written(self.leases.replace(LEASE, &PostParams::default(), &lease).await)
    }

    async fn try_take(&self, observed: &mut ObservedLease) -> Result<bool, Error> {
        let found = self.leases.get_opt(LEASE).await.map_err(Error::api(format!("read Lease {LEASE}")))?;
        let Some(lease) = found else {
            let lease = Lease {
                metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return is_written(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        if observed.as_ref().is_none_or(|(seen, _)| *seen != version) {
            *observed = Some((version, Instant::now()));
        }
        let runs_out = observed.as_ref().is_some_and(|(_, since)| since.elapsed() > length(&lease));
        let free = holder(&lease).is_none_or(|holder| holder == self.identity);
        if free || runs_out { self.write(lease).await } else { Ok(false) }
    }

    /// Renews the lease; returns false if another candidate holds it. After a conflict the lease is read again: the
    /// other write may be a renewal of this candidate that was given up and stored nevertheless.
    async fn renew(&self) -> Result<bool, Error> {
        loop {
            let lease = self.leases.get(LEASE).await.map_err(Error::api(format!("read Lease {LEASE}")))?;
            if holder(&lease).as_deref() != Some(&self.identity) {
                return Ok(false);
            }
            if self.write(lease).await? {
                return Ok(true);
            }
            tokio::time::sleep(CONFLICT_RETRY_DELAY).await;
        }
    }

    /// Sends a PUT with the resourceVersion that was read: of two candidates one fails.
    async fn write(&self, mut lease: Lease) -> Result<bool, Error> {
        lease.spec = Some(self.spec(lease.spec.as_ref()));
        is_written(self.leases.replace(LEASE, &PostParams::default(), &lease).await)
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::from_microsecond(self.clock.now().timestamp_micros()).unwrap_or_default());
        let same = before.is_some_and(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: if same { before.and_then(|spec| spec.acquire_time.clone()) } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(if same { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }
}

fn holder(lease: &Lease) -> Option<String> {
    lease.spec.as_ref()?.holder_identity.clone().filter(|holder| !holder.is_empty())
}

fn length(lease: &Lease) -> Duration {
    let seconds = lease
        .spec
        .as_ref()
        .and_then(|spec| spec.lease_duration_seconds)
        .and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map_or(LEASE_DURATION, Duration::from_secs)
}

/// Returns false if another client wrote first, which is not an error.
fn is_written(answer: Result<Lease, kube::Error>) -> Result<bool, Error> {
    match answer {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(Error::api(format!("write Lease {LEASE}"))(error)),
    }
}

#[cfg(test)]
mod tests {
    use http::{Method, Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};
    use tower_test::mock::{Handle, pair};

    use super::*;
    use crate::clock::ServerCheckedClock;

    fn lease(version: &str, holder: Option<&str>) -> Value {
        json!({"metadata": {"name": LEASE, "resourceVersion": version}, "spec": {"holderIdentity": holder}})
    }

    async fn answer(
        server: &mut Handle<Request<Body>, Response<Body>>,
        method: Method,
        (code, body): (u16, Value),
    ) -> Value {
        let (request, send) = server.next_request().await.unwrap();
        assert_eq!(request.method(), method);
        let sent = request.into_body().collect_bytes().await.unwrap();
        send.send_response(Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap());
        serde_json::from_slice(&sent).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_renewal_that_was_on_its_way_does_not_keep_the_lease() {
        let (service, mut server) = pair::<Request<Body>, Response<Body>>();
        let elector =
            Elector::new(Client::new(service, "default"), "dspace", "pod-b", Arc::new(ServerCheckedClock::default()));
        let serving = async {
            answer(&mut server, Method::GET, (200, lease("5", Some("pod-b")))).await;
            let refused = json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409, "message": "it was modified"});
            answer(&mut server, Method::PUT, (409, refused)).await;
            answer(&mut server, Method::GET, (200, lease("6", Some("pod-b")))).await;
            answer(&mut server, Method::PUT, (200, lease("7", None))).await
        };
        let ((), sent) = tokio::join!(elector.release(), serving);
        assert_eq!(
            sent,
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": LEASE, "resourceVersion": "6"}, "spec": {}})
        );
    }

    fn elector(client: Client) -> Elector {
        Elector::new(client, "dspace", "pod-b", Arc::new(ServerCheckedClock::default()))
    }

    fn conflict() -> Value {
        json!({"kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409, "message": "it was modified"})
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_meets_another_write_reads_again_and_holds_on() {
        let (service, mut server) = pair::<Request<Body>, Response<Body>>();
        let elector = elector(Client::new(service, "default"));
        let serving = async {
            // A renewal that was given up is stored between the read and the write.
            answer(&mut server, Method::GET, (200, lease("5", Some("pod-b")))).await;
            answer(&mut server, Method::PUT, (409, conflict())).await;
            answer(&mut server, Method::GET, (200, lease("6", Some("pod-b")))).await;
            let sent = answer(&mut server, Method::PUT, (200, lease("7", Some("pod-b")))).await;
            assert_eq!(sent["metadata"]["resourceVersion"], "6");
            // By the next renewal another candidate has the lease.
            answer(&mut server, Method::GET, (200, lease("7", Some("pod-b")))).await;
            answer(&mut server, Method::PUT, (409, conflict())).await;
            answer(&mut server, Method::GET, (200, lease("8", Some("pod-a")))).await;
        };
        let both = async { tokio::join!(elector.hold(Instant::now()), serving) };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("it holds on until another has the lease");
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_cannot_renew_gives_up_before_another_may_begin() {
        let (service, mut server) = pair::<Request<Body>, Response<Body>>();
        let (elector, begun) = (elector(Client::new(service, "default")), Instant::now());
        let serving = async {
            loop {
                answer(&mut server, Method::GET, (200, lease("5", Some("pod-b")))).await;
                answer(&mut server, Method::PUT, (409, conflict())).await;
            }
        };
        tokio::select! {
            () = elector.hold(begun) => {}
            () = serving => {}
        }
        assert!(begun.elapsed() > STEP_TIMEOUT && begun.elapsed() <= RENEW_DEADLINE, "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn a_lease_that_somebody_took_is_left_alone() {
        let (service, mut server) = pair::<Request<Body>, Response<Body>>();
        let elector =
            Elector::new(Client::new(service, "default"), "dspace", "pod-b", Arc::new(ServerCheckedClock::default()));
        tokio::join!(elector.release(), answer(&mut server, Method::GET, (200, lease("5", Some("pod-a")))));
    }
}
