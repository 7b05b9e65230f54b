//! The approver of certificate requests that `kubectl dspace` creates. It is off by default, and has an account of its
//! own.
//!
//! It handles only requests that name a space by their label. [`policy::judge`] makes the decision.

use std::time::Duration;

use chrono::TimeDelta;
use futures::{StreamExt as _, future::ready};
use k8s_openapi::api::{
    authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec},
    certificates::v1::CertificateSigningRequest,
    core::v1::ObjectReference,
};
use kube::{
    Api, Client, Resource as _, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
    runtime::watcher::Event,
};
use serde_json::json;

pub(crate) mod policy;

use self::policy::Request;
use crate::{
    access::{certificate::SIGNER, request},
    api::{
        DeveloperSpace, SpaceClass,
        excerpt::{Excerpt, Excerpted},
        names,
        partial_read::Reading,
        time::rfc3339,
        without_managed_fields::WithoutManagedFields,
    },
    cache::{relist::Relist, watch_stream},
    clock::Clock,
    desired::status::Note,
    runtime::{error::Error, events::Recorder},
};

/// The interval at which all requests are listed again, for those that could not be decided and for lost events.
const RELIST_INTERVAL: Duration = Duration::from_secs(30);

/// The page size of the list.
const PAGE_SIZE: u32 = 25;

/// The API of requests.
type Requests = Api<Excerpt<CertificateSigningRequest>>;

/// The number of requests that are decided concurrently, so that a slow response of the API server delays no other
/// request.
const MAX_CONCURRENT_DECISIONS: usize = 8;

/// Users create requests with any number of labels, owner references and finalizers.
impl Excerpted for CertificateSigningRequest {
    fn reading(field: &str) -> Reading {
        match field {
            "metadata" => Reading::Part(|field| match field {
                "name" | "resourceVersion" | "deletionTimestamp" => Reading::Whole,
                "labels" => {
                    Reading::Part(|key| if key == names::LABEL_SPACE { Reading::Whole } else { Reading::Nothing })
                }
                _ => Reading::Nothing,
            }),
            "spec" => Reading::Bounded,
            "status" => Reading::Part(|field| match field {
                "certificate" => Reading::Whole,
                "conditions" => Reading::First(1),
                _ => Reading::Nothing,
            }),
            _ => Reading::Nothing,
        }
    }
}

/// The approver of certificate requests.
pub(crate) struct Approver<'a> {
    /// The client, with the approver's own credentials.
    pub client: Client,
    pub clock: &'a dyn Clock,
    /// The recorder of Events about its decisions.
    pub recorder: Recorder,
}

impl Approver<'_> {
    /// Decides requests until the future is dropped.
    pub(crate) async fn run(&self) {
        let api: Requests = Api::all(self.client.clone());
        let events = watch_stream::events(
            api.clone(),
            watch_stream::config().labels(names::LABEL_SPACE).page_size(PAGE_SIZE),
            Relist::every(RELIST_INTERVAL),
        );
        let open = events.filter_map(|event| {
            ready(match event {
                Event::Apply(request) | Event::InitApply(request) => Some(request).filter(|request| is_open(request)),
                Event::Init | Event::InitDone | Event::Delete(_) => None,
            })
        });
        let api = &api;
        open.for_each_concurrent(MAX_CONCURRENT_DECISIONS, |request| async move {
            if let Err(error) = self.decide(api, &request).await {
                tracing::warn!(
                    request = request.name_any(),
                    error = error.sentence(),
                    "failed to decide on the request; retrying"
                );
            }
        })
        .await;
    }

    /// Approves or denies one request.
    async fn decide(&self, api: &Requests, csr: &CertificateSigningRequest) -> Result<(), Error> {
        let name = csr.labels().get(names::LABEL_SPACE).cloned().unwrap_or_default();
        let space = self.read::<DeveloperSpace>(&name).await?;
        let class = space.as_ref().and_then(|space| space.status.as_ref()?.class_name.clone());
        let class = match class {
            Some(class) => self.read::<SpaceClass>(&class).await?,
            None => None,
        };
        let asked = self.read_request(csr).await?;
        let verdict = policy::judge(&asked, &name, space.as_ref(), class.as_ref(), self.clock.now());
        let (kind, reason, message) = match &verdict {
            Ok(()) => (
                "Approved",
                "DeveloperSpaceAllowed",
                format!("{} may have a certificate for DeveloperSpace {name}", user(&asked)),
            ),
            Err(why) => ("Denied", "DeveloperSpaceRefused", why.clone()),
        };
        let condition = json!({"type": kind, "status": "True", "reason": reason, "message": message});
        // The resourceVersion is a precondition: if another client decided first, its decision stands.
        let patch = json!({"metadata": {"resourceVersion": csr.metadata.resource_version}, "status": {"conditions": [condition]}});
        let request = csr.name_any();
        let written = api.patch_subresource("approval", &request, &PatchParams::default(), &Patch::Merge(patch)).await;
        match written {
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return Ok(()),
            written => {
                written.map_err(Error::api(format!("write the approval of CertificateSigningRequest {request}")))?
            }
        };
        tracing::info!(request, space = name, requester = asked.requester, decision = kind, message, "decided");
        if let Some(space) = &space {
            self.publish(space, &asked, verdict.as_ref().err(), &request);
        }
        Ok(())
    }

    async fn read<K>(&self, name: &str) -> Result<Option<K>, Error>
    where
        K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        if name.is_empty() {
            return Ok(None);
        }
        let found = Api::<WithoutManagedFields<K>>::all(self.client.clone()).get_opt(name).await;
        found
            .map(|found| found.map(|WithoutManagedFields(object)| object))
            .map_err(Error::api(format!("read {} {name}", K::kind(&()))))
    }

    async fn read_request(&self, csr: &CertificateSigningRequest) -> Result<Request, Error> {
        let mut asked = Request {
            requester: csr.spec.username.clone().unwrap_or_default(),
            may_assign: false,
            usages: csr.spec.usages.clone().unwrap_or_default(),
            expiration_seconds: csr.spec.expiration_seconds,
            content: request::read(&csr.spec.request.0),
        };
        if policy::needs_assign(&asked) {
            asked.may_assign = self.may_assign(csr).await?;
        }
        Ok(asked)
    }

    /// Returns true if the requester may assign the owners of spaces, and therefore may request certificates for them.
    async fn may_assign(&self, csr: &CertificateSigningRequest) -> Result<bool, Error> {
        let attributes = ResourceAttributes {
            group: Some(names::GROUP.to_owned()),
            resource: Some(DeveloperSpace::plural(&()).into_owned()),
            verb: Some("assign".to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: csr.spec.username.clone(),
            uid: csr.spec.uid.clone(),
            groups: csr.spec.groups.clone(),
            extra: csr.spec.extra.clone(),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = Api::<SubjectAccessReview>::all(self.client.clone()).create(&PostParams::default(), &review).await;
        let requester = csr.spec.username.as_deref().unwrap_or_default();
        let answer = answer.map_err(Error::api(format!("check whether {requester:?} may assign DeveloperSpaces")))?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    fn publish(&self, space: &DeveloperSpace, asked: &Request, refusal: Option<&String>, request: &str) {
        let (now, requester, user) = (self.clock.now(), &asked.requester, user(asked));
        let (warning, reason, outcome) = match refusal {
            None => {
                let ends = now + TimeDelta::seconds(asked.expiration_seconds.unwrap_or_default().into());
                (false, "CertificateApproved", format!("approved; the certificate expires at about {}", rfc3339(ends)))
            }
            Some(why) => (true, "CertificateDenied", format!("denied: {why}")),
        };
        let message = format!(
            "{requester:?} requested a certificate for {user:?}: CertificateSigningRequest {request} was {outcome}"
        );
        let regarding = ObjectReference {
            api_version: Some(DeveloperSpace::api_version(&()).into_owned()),
            kind: Some(DeveloperSpace::kind(&()).into_owned()),
            name: space.metadata.name.clone(),
            uid: space.metadata.uid.clone(),
            ..ObjectReference::default()
        };
        self.recorder.record(regarding, Note { warning, reason: reason.to_owned(), message, in_namespace: false }, now);
    }
}

/// The user for whom a certificate is requested.
fn user(asked: &Request) -> &str {
    asked.content.as_ref().and_then(|content| content.common_names.first()).map_or("unknown", String::as_str)
}

/// Returns true if the request is for this approver, and is neither decided nor signed nor being deleted.
fn is_open(csr: &CertificateSigningRequest) -> bool {
    let decided = csr.status.as_ref().is_some_and(|status| {
        let signed = status.certificate.as_ref().is_some_and(|certificate| !certificate.0.is_empty());
        signed || status.conditions.as_ref().is_some_and(|conditions| !conditions.is_empty())
    });
    csr.spec.signer_name == SIGNER
        && csr.labels().contains_key(names::LABEL_SPACE)
        && !decided
        && csr.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use chrono::{DateTime, Utc};
    use http::{Request as Call, Response};
    use kube::client::Body;
    use serde_json::Value;
    use tower_test::mock::{Handle, pair};

    use super::*;
    use crate::runtime::{events, worker_slots::WorkerSlots};

    const SPACES: &str = "/apis/developerspace.dev/v1alpha1/developerspaces/orchid-lab";
    const CLASSES: &str = "/apis/developerspace.dev/v1alpha1/spaceclasses/greenhouse";
    const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    const APPROVAL: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests/dspace-7/approval";
    const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";

    /// A request for nadia's certificate, by `requester`.
    fn csr(requester: &str) -> Value {
        let mut params = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "nadia@example.com");
        let pem = params.serialize_request(&rcgen::KeyPair::generate().unwrap()).unwrap().pem().unwrap();
        json!({
            "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": "dspace-7", "resourceVersion": "41", "labels": {"developerspace.dev/space": "orchid-lab"}},
            "spec": {
                "request": STANDARD.encode(pem), "signerName": SIGNER, "usages": ["client auth"], "expirationSeconds": 28_800,
                "username": requester, "uid": "7", "groups": ["portals"], "extra": {"example.com/shift": ["night"]},
            },
        })
    }

    fn space() -> Value {
        json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab", "uid": "uid-7"},
            "spec": {"owner": {"kind": "User", "name": "nadia@example.com"}, "contact": {"team": "botany"}},
            "status": {"className": "greenhouse", "conditions": [
                {"type": "Ready", "status": "True", "reason": "Provisioned", "message": "", "lastTransitionTime": "2026-11-20T09:00:00Z"},
            ]},
        })
    }

    fn class() -> Value {
        json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "greenhouse"}, "spec": {}, "status": {"accepted": {}}})
    }

    fn status(code: u16) -> Value {
        let reason = if code == 404 { "NotFound" } else { "x" };
        json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": "the server refuses"})
    }

    /// Answers one call after the other. Returns the path and the body of each call.
    async fn serve(mut server: Handle<Call<Body>, Response<Body>>, answers: Vec<(u16, Value)>) -> Vec<(String, Value)> {
        let mut seen = Vec::new();
        for (code, answer) in answers {
            let (call, send) = server.next_request().await.unwrap();
            let path = call.uri().path().to_owned();
            let sent = call.into_body().collect_bytes().await.unwrap();
            seen.push((path, serde_json::from_slice(&sent).unwrap_or_default()));
            send.send_response(
                Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap(),
            );
        }
        seen
    }

    /// Decides on `request` against a server that sends these answers.
    async fn decide(request: &Value, answers: Vec<(u16, Value)>) -> (Result<(), Error>, Vec<(String, Value)>) {
        let now: DateTime<Utc> = "2026-11-24T09:00:00Z".parse().unwrap();
        let (service, server) = pair::<Call<Body>, Response<Body>>();
        let client = Client::new(service, "default");
        let (recorder, writing) = events::recorder(client.clone(), WorkerSlots::new(1), "approver-7");
        let (api, csr) = (Api::all(client.clone()), serde_json::from_value(request.clone()).unwrap());
        let approver = Approver { client, clock: &now, recorder };
        // The future that writes Events ends when the approver has dropped its recorder.
        let deciding = async move { approver.decide(&api, &csr).await };
        let (decided, (), seen) = tokio::join!(deciding, writing, serve(server, answers));
        (decided, seen)
    }

    fn paths(seen: &[(String, Value)]) -> Vec<&str> {
        seen.iter().map(|(path, _)| path.as_str()).collect()
    }

    #[tokio::test]
    async fn what_is_allowed_is_approved_and_told() {
        let request = csr("nadia@example.com");
        let answers = vec![
            (200, space()),
            (200, class()),
            (200, request.clone()),
            (201, json!({"metadata": {}, "eventTime": null})),
        ];
        let (decided, seen) = decide(&request, answers).await;
        assert!(decided.is_ok());
        assert_eq!(paths(&seen), [SPACES, CLASSES, APPROVAL, EVENTS]);
        let condition = json!({
            "type": "Approved", "status": "True", "reason": "DeveloperSpaceAllowed",
            "message": "nadia@example.com may have a certificate for DeveloperSpace orchid-lab",
        });
        assert_eq!(seen[2].1, json!({"metadata": {"resourceVersion": "41"}, "status": {"conditions": [condition]}}));
        assert_eq!(
            seen[3].1["note"],
            "\"nadia@example.com\" requested a certificate for \"nadia@example.com\": CertificateSigningRequest dspace-7 was approved; the certificate expires at about 2026-11-24T17:00:00Z"
        );
        assert_eq!((&seen[3].1["reason"], &seen[3].1["type"]), (&json!("CertificateApproved"), &json!("Normal")));
        assert_eq!(
            (&seen[3].1["regarding"]["name"], &seen[3].1["regarding"]["uid"]),
            (&json!("orchid-lab"), &json!("uid-7"))
        );
    }

    #[tokio::test]
    async fn who_asks_for_another_is_asked_about_with_all_that_is_known() {
        let request = csr("portal");
        for (allowed, kind) in [(true, "Approved"), (false, "Denied")] {
            let review = json!({"spec": {}, "status": {"allowed": allowed}});
            let event = json!({"metadata": {}, "eventTime": null});
            let answers = vec![(200, space()), (200, class()), (201, review), (200, request.clone()), (201, event)];
            let (decided, seen) = decide(&request, answers).await;
            assert!(decided.is_ok());
            assert_eq!(paths(&seen), [SPACES, CLASSES, REVIEWS, APPROVAL, EVENTS]);
            assert_eq!(
                seen[2].1["spec"],
                json!({
                    "user": "portal", "uid": "7", "groups": ["portals"], "extra": {"example.com/shift": ["night"]},
                    "resourceAttributes": {"group": "developerspace.dev", "resource": "developerspaces", "verb": "assign"},
                })
            );
            assert_eq!(seen[3].1["status"]["conditions"][0]["type"], kind);
        }
    }

    #[tokio::test]
    async fn a_space_that_is_not_there_is_denied_without_an_event() {
        let request = csr("nadia@example.com");
        let (decided, seen) = decide(&request, vec![(404, status(404)), (200, request.clone())]).await;
        assert!(decided.is_ok());
        assert_eq!(paths(&seen), [SPACES, APPROVAL]);
        let condition = &seen[1].1["status"]["conditions"][0];
        assert_eq!((&condition["type"], &condition["reason"]), (&json!("Denied"), &json!("DeveloperSpaceRefused")));
    }

    #[tokio::test]
    async fn nothing_is_decided_without_an_answer_and_nothing_twice() {
        let request = csr("nadia@example.com");
        let (decided, seen) = decide(&request, vec![(200, space()), (500, status(500))]).await;
        assert_eq!(decided.unwrap_err().sentence(), "failed to read SpaceClass greenhouse: the server refuses");
        assert_eq!(paths(&seen), [SPACES, CLASSES]);
        let (decided, seen) = decide(&request, vec![(200, space()), (200, class()), (409, status(409))]).await;
        assert!(decided.is_ok(), "another client has decided");
        assert_eq!(paths(&seen), [SPACES, CLASSES, APPROVAL]);
    }

    /// The request, as the watch reads it.
    fn read(request: &Value) -> CertificateSigningRequest {
        let Excerpt(read) = serde_json::from_str(&request.to_string()).unwrap();
        read
    }

    #[test]
    fn what_decides_something_is_read() {
        let mut request = csr("nadia@example.com");
        request["status"] =
            json!({"certificate": STANDARD.encode("x"), "conditions": [{"type": "Approved", "status": "True"}]});
        let expected = serde_json::from_value::<CertificateSigningRequest>(request.clone()).unwrap();
        request["metadata"]["labels"]["example.com/floor"] = "ground".into();
        request["metadata"]["annotations"] = json!({"example.com/note": "moist"});
        request["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "pot", "uid": "7"}]);
        request["metadata"]["managedFields"] = json!([{"manager": "kubectl", "time": "9999-12-31T23:59:59Z"}]);
        assert_eq!(read(&request), expected);
    }

    #[test]
    fn what_is_not_for_us_or_decided_is_left_alone() {
        let open = |change: fn(&mut Value)| {
            let mut request = csr("nadia@example.com");
            change(&mut request);
            is_open(&read(&request))
        };
        assert!(open(|_| {}));
        assert!(open(|request| request["status"] = json!({"conditions": []})));
        assert!(!open(|request| request["metadata"]["labels"] = json!({"app": "portal"})));
        assert!(!open(|request| request["spec"]["signerName"] = "kubernetes.io/kubelet-serving".into()));
        assert!(!open(|request| request["status"] = json!({"certificate": STANDARD.encode("x")})));
        assert!(!open(|request| request["metadata"]["deletionTimestamp"] = "2026-11-24T09:00:00Z".into()));
        for kind in ["Approved", "Denied", "Failed"] {
            let mut request = csr("nadia@example.com");
            request["status"] = json!({"conditions": [{"type": kind, "status": "True"}]});
            assert!(!is_open(&read(&request)), "{kind}");
        }
    }
}
