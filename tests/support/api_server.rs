//! A mock API server with a script of the expected calls, their order and the responses.
//!
//! A call that the script does not contain fails the test, and so does a call of the script that is never sent.

use std::{collections::VecDeque, fmt, panic::resume_unwind, time::Duration};

use http::{Request, Response, StatusCode, header};
use kube::client::{Body, Client};
use serde_json::{Value, json};
use tower_test::mock::{self, SendResponse};

use super::objects;

/// The deadline of a test. No test needs longer, and a test that waits for a missing call ends here.
const PATIENCE: Duration = Duration::from_secs(20);

/// The time to wait for a call that may already have been sent.
const A_MOMENT: Duration = Duration::from_millis(2);

/// One expected call, and its response.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `GET`, `GET metadata`, `POST`, `PATCH merge`, `PATCH json` or `DELETE`.
    method: &'static str,
    path: String,
    body: Expected,
    answer: (StatusCode, Value),
}

#[derive(Clone, Debug)]
enum Expected {
    Nothing,
    Exactly(Value),
    /// At least these fields: Events have generated names and times.
    AtLeast(Value),
}

/// A step of a script.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// One call.
    One(Box<Call>),
    /// Concurrent calls, in any order, none of which waits for the response to another.
    SideBySide(Vec<Call>),
}

impl From<Call> for Step {
    fn from(call: Call) -> Self {
        Self::One(Box::new(call))
    }
}

/// Calls that are sent concurrently.
pub(crate) fn side_by_side(calls: impl IntoIterator<Item = Call>) -> Step {
    Step::SideBySide(calls.into_iter().collect())
}

/// A script from calls and steps.
#[macro_export]
macro_rules! script {
    ($($step:expr),* $(,)?) => { vec![$($crate::support::api_server::Step::from($step)),*] };
}

fn call(method: &'static str, path: &str, body: Expected) -> Call {
    let answer = match &body {
        Expected::Exactly(body) => body.clone(),
        Expected::Nothing | Expected::AtLeast(_) => Value::Null,
    };
    Call { method, path: path.to_owned(), body, answer: (StatusCode::OK, answer) }
}

pub(crate) fn get(path: &str) -> Call {
    call("GET", path, Expected::Nothing)
}

/// A GET of the metadata alone.
pub(crate) fn get_metadata(path: &str) -> Call {
    call("GET metadata", path, Expected::Nothing)
}

/// A list in pages of that size, whose first page has all items.
pub(crate) fn list(path: &str, page: u32, items: &[Value]) -> Call {
    get(&format!("{path}?limit={page}"))
        .answered(json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "9"}, "items": items}))
}

pub(crate) fn post(path: &str, body: Value) -> Call {
    call("POST", &ours(path), Expected::Exactly(body))
}

/// A POST without a field manager.
pub(crate) fn post_by_default(path: &str, body: Value) -> Call {
    call("POST", path, Expected::Exactly(body))
}

pub(crate) fn merge_patch(path: &str, body: Value) -> Call {
    call("PATCH merge", &ours(path), Expected::Exactly(body))
}

pub(crate) fn json_patch(path: &str, body: Value) -> Call {
    call("PATCH json", &ours(path), Expected::Exactly(body))
}

pub(crate) fn delete(path: &str, preconditions: &Value) -> Call {
    call("DELETE", path, Expected::Exactly(json!({"preconditions": preconditions})))
        .answered(json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
}

/// The removal of the managed fields of `space`, which has no duplicates of finalizers. It leaves the fields other than
/// `generateName` unchanged.
pub(crate) fn remove_managed_fields(space: &Value) -> Call {
    let metadata = &space["metadata"];
    let patch = json!({"metadata": {
        "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], "managedFields": [{}],
        "generateName": null,
    }});
    merge_patch(&objects::space_path(), patch).answered(objects::without_managed_fields(space))
}

/// The SelfSubjectAccessReview for the verb `bind` on that ClusterRole.
pub(crate) fn may_bind(role: &str, allowed: bool) -> Call {
    may(
        json!({"group": "rbac.authorization.k8s.io", "resource": "clusterroles", "verb": "bind", "name": role}),
        allowed,
    )
}

/// The SelfSubjectAccessReview for those attributes.
#[allow(clippy::needless_pass_by_value, reason = "a literal reads better")]
pub(crate) fn may(attributes: Value, allowed: bool) -> Call {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {}, "spec": {"resourceAttributes": attributes},
    });
    let answer = objects::merged(&review, &json!({"status": {"allowed": allowed}}));
    call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", Expected::Exactly(review)).answered(answer)
}

/// The read of the metadata of that ClusterRole, which exists.
pub(crate) fn look_up(role: &str) -> Call {
    let metadata = json!({"name": role, "uid": format!("uid-of-{role}"), "resourceVersion": "3"});
    get_metadata(&format!("/apis/rbac.authorization.k8s.io/v1/clusterroles/{role}"))
        .answered(json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}))
}

/// The Event about a cluster-scoped object, at any point of the script.
pub(crate) fn event(reason: &str, kind: &str, name: &str) -> Call {
    event_in("default", reason, &json!({"kind": kind, "name": name, "uid": objects::uid(name)}))
}

/// The Event about the class of that name and UID, at any point of the script.
pub(crate) fn event_about_class(reason: &str, name: &str, uid: &str) -> Call {
    event_in("default", reason, &json!({"kind": "SpaceClass", "name": name, "uid": uid}))
}

/// The Event about a namespace, inside it.
pub(crate) fn event_inside(reason: &str, namespace: &str, uid: &str) -> Call {
    let regarding = json!({"kind": "Namespace", "name": namespace, "namespace": namespace, "uid": uid});
    event_in(namespace, reason, &regarding)
}

fn event_in(namespace: &str, reason: &str, regarding: &Value) -> Call {
    let path = ours(&format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events"));
    let body = json!({"metadata": {"namespace": namespace}, "reason": reason, "regarding": regarding, "reportingController": "developerspace-operator"});
    call("POST", &path, Expected::AtLeast(body))
        .answered(json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {}, "eventTime": null}))
}

/// The path with the operator's field manager.
fn ours(path: &str) -> String {
    format!("{path}?fieldManager=developerspace-operator")
}

impl Call {
    /// Sets the response to a success with that object.
    pub(crate) fn answered(mut self, object: Value) -> Self {
        self.answer = (StatusCode::OK, object);
        self
    }

    /// Sets the response of a POST to the created object, with that UID.
    pub(crate) fn made(self, uid: &str) -> Self {
        let Expected::Exactly(body) = &self.body else { panic!("only a POST makes something") };
        let object = objects::stored(body, uid, 1);
        self.answered(object)
    }

    /// Expects that note in an Event.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        let Expected::AtLeast(body) = &mut self.body else { panic!("only an Event says something") };
        body["note"] = json!(note);
        self
    }

    /// Sets the response to an error.
    pub(crate) fn refused(self, code: u16, reason: &str) -> Self {
        self.refused_with(code, reason, &format!("the server says {reason}"))
    }

    /// Sets the response to an error with that message.
    pub(crate) fn refused_with(mut self, code: u16, reason: &str, message: &str) -> Self {
        let status = json!({
            "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message,
        });
        self.answer = (StatusCode::from_u16(code).unwrap(), status);
        self
    }

    /// Sets the response to the refusal of etcd to store an object of that size.
    pub(crate) fn too_large(self) -> Self {
        self.refused_with(500, "InternalError", "etcdserver: request is too large")
    }

    fn accepts(&self, seen: &Seen) -> bool {
        let body = match &self.body {
            Expected::Nothing => seen.body.is_null(),
            Expected::Exactly(body) => seen.body == *body,
            Expected::AtLeast(body) => contains(&seen.body, body),
        };
        self.method == seen.method && self.path == seen.path && body
    }
}

/// Returns true if `whole` has every field of `part`.
pub(crate) fn contains(whole: &Value, part: &Value) -> bool {
    match part {
        Value::Object(fields) => {
            fields.iter().all(|(key, value)| whole.get(key).is_some_and(|whole| contains(whole, value)))
        }
        Value::Array(items) => {
            let whole = whole.as_array();
            whole.is_some_and(|whole| {
                whole.len() == items.len() && whole.iter().zip(items).all(|(whole, part)| contains(whole, part))
            })
        }
        _ => whole == part,
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Expected::Nothing => write!(f, "{} {}", self.method, self.path),
            Expected::Exactly(body) => write!(f, "{} {}\n{body:#}", self.method, self.path),
            Expected::AtLeast(body) => write!(f, "{} {} with at least\n{body:#}", self.method, self.path),
        }
    }
}

/// A call that was received.
struct Seen {
    method: String,
    path: String,
    body: Value,
}

impl Seen {
    async fn read(request: Request<Body>) -> Self {
        let (head, body) = request.into_parts();
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let form = match (header(header::CONTENT_TYPE), header(header::ACCEPT)) {
            ("application/merge-patch+json", _) => " merge",
            ("application/json-patch+json", _) => " json",
            (_, accept) if accept.contains("as=PartialObjectMetadata") => " metadata",
            _ => "",
        };
        let bytes = body.collect_bytes().await.expect("a request's body is in memory");
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).expect("a body is JSON") };
        let path = head.uri.path_and_query().map_or("", |path| path.as_str());
        Self {
            method: format!("{}{form}", head.method),
            path: path.replace("?&", "?").trim_end_matches('?').to_owned(),
            body,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}\n{:#}", self.method, self.path, self.body)
    }
}

type Handle = mock::Handle<Request<Body>, Response<Body>>;
type Reply = SendResponse<Response<Body>>;

fn answer(reply: Reply, call: Call) {
    let (status, object) = call.answer;
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    reply.send_response(response.body(Body::from(object.to_string().into_bytes())).unwrap());
}

/// Runs `act` against an API server that follows `script` to its end.
pub(crate) async fn play<T>(script: Vec<Step>, act: impl AsyncFnOnce(Client) -> T) -> T {
    let (service, handle) = mock::pair::<Request<Body>, Response<Body>>();
    let client = Client::new(service, "default");
    let server = tokio::spawn(follow(handle, script));
    let result = tokio::time::timeout(PATIENCE, act(client)).await;
    let served = tokio::time::timeout(PATIENCE, server).await.expect("nobody holds the client any more");
    served.unwrap_or_else(|failed| resume_unwind(failed.into_panic()));
    result.expect("it ends in time")
}

/// Runs `act` against an API server that receives requests and answers none.
pub(crate) async fn without_answers<T>(act: impl AsyncFnOnce(Client) -> T) -> T {
    let (service, _requests) = mock::pair::<Request<Body>, Response<Body>>();
    act(Client::new(service, "default")).await
}

/// The remaining part of a script. Events may arrive at any time: the script checks that they arrive, not when.
struct Script {
    steps: VecDeque<Step>,
    events: Vec<Call>,
}

impl Script {
    fn new(steps: Vec<Step>) -> Self {
        let is_event = |step: &Step| matches!(step, Step::One(call) if matches!(call.body, Expected::AtLeast(_)));
        let (events, steps): (Vec<Step>, Vec<Step>) = steps.into_iter().partition(is_event);
        Self { steps: steps.into(), events: events.iter().flat_map(Step::calls).cloned().collect() }
    }

    /// Returns the next call that is not an Event. Events that arrive before it are answered.
    async fn next(&mut self, handle: &mut Handle) -> Option<(Seen, Reply)> {
        loop {
            let (request, reply) = handle.next_request().await?;
            let seen = Seen::read(request).await;
            if !seen.path.starts_with("/apis/events.k8s.io/") {
                return Some((seen, reply));
            }
            answer(reply, take(&mut self.events, &seen));
        }
    }

    /// Fails if another call arrives before the received calls are answered.
    async fn assert_quiet(&mut self, handle: &mut Handle) {
        if let Ok(Some((seen, _))) = tokio::time::timeout(A_MOMENT, self.next(handle)).await {
            panic!("this did not wait for the answers to the calls before it:\n{seen}");
        }
    }
}

impl Step {
    fn calls(&self) -> &[Call] {
        match self {
            Self::One(call) => std::slice::from_ref(&**call),
            Self::SideBySide(calls) => calls,
        }
    }
}

async fn follow(mut handle: Handle, steps: Vec<Step>) {
    let mut script = Script::new(steps);
    while let Some((seen, reply)) = script.next(&mut handle).await {
        match script.steps.pop_front() {
            None => panic!("a call too many came:\n{seen}"),
            Some(Step::One(call)) => {
                assert!(call.accepts(&seen), "expected\n{call}\n\nbut there came\n{seen}");
                script.assert_quiet(&mut handle).await;
                answer(reply, *call);
            }
            Some(Step::SideBySide(mut calls)) => {
                // The calls are answered once all of them have arrived: a client that waits for a response before its
                // next call never gets one.
                let mut came = vec![(reply, take(&mut calls, &seen))];
                while !calls.is_empty() {
                    let next = script.next(&mut handle).await;
                    let Some((seen, reply)) = next else {
                        panic!("these calls were not sent concurrently with the others:\n{}", describe(&calls))
                    };
                    came.push((reply, take(&mut calls, &seen)));
                }
                script.assert_quiet(&mut handle).await;
                for (reply, call) in came {
                    answer(reply, call);
                }
            }
        }
    }
    let left: Vec<Call> = script.steps.iter().flat_map(Step::calls).chain(&script.events).cloned().collect();
    assert!(left.is_empty(), "these calls were not sent:\n{}", describe(&left));
}

/// Removes the expected call that matches `seen` from `calls`, and returns it.
fn take(calls: &mut Vec<Call>, seen: &Seen) -> Call {
    let place = calls.iter().position(|call| call.accepts(seen));
    let Some(place) = place else { panic!("expected one of\n{}\n\nbut there came\n{seen}", describe(calls)) };
    calls.swap_remove(place)
}

fn describe(calls: &[Call]) -> String {
    calls.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}
