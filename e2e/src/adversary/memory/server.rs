//! Owns the API server in memory, which answers the requests of kube's client. Its clock is tokio's, so that a paused
//! runtime moves it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, Utc};
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::{Client, client::Body};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{
    contract::{self, Caller, Change},
    objects::{Key, Objects, Selector, selects},
    schema::Defaults,
};
use crate::{adversary::world::IMPERSONATE, fault_sweep::cluster_view, fixtures::text};

/// The ClusterRoles that exist and that the operator may bind.
const ROLES: [&str; 3] = ["admin", "edit", "view"];
/// The time that kube-controller-manager takes for the status of a quota.
const QUOTA_DELAY: Duration = Duration::from_millis(40);
/// The time that kube-controller-manager takes to empty a namespace.
const NAMESPACE_DELAY: Duration = Duration::from_millis(1_500);

/// The body of an answer: an object, or a watch without end.
type Answer = UnsyncBoxBody<Bytes, Infallible>;

/// The seconds after which the server ends a watch that sets no timeout.
const LONGEST_WATCH: u64 = 1_800;

/// An API server with etcd and kube-controller-manager behind it.
#[derive(Clone)]
pub(super) struct Server(Arc<Inner>);

struct Inner {
    objects: Mutex<Objects>,
    defaults: Defaults,
    epoch: DateTime<Utc>,
    begun: Instant,
}

/// A refusal, as the API server answers it.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    /// The HTTP status.
    pub code: u16,
    /// The reason of `metav1.Status`.
    pub reason: &'static str,
    /// The human-readable message.
    pub message: String,
}

/// The object or the collection of a request.
#[derive(Debug)]
struct Target {
    version: String,
    key: Key,
    subresource: String,
}

impl Server {
    /// An empty cluster whose time begins at `epoch`. Needs a runtime.
    pub(super) fn new(epoch: DateTime<Utc>) -> anyhow::Result<Self> {
        let inner = Inner { objects: Mutex::default(), defaults: Defaults::load()?, epoch, begun: Instant::now() };
        Ok(Self(Arc::new(inner)))
    }

    /// The time of the cluster.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.0.epoch + self.0.begun.elapsed()
    }

    /// The objects of the space or the class of that name.
    pub(super) fn objects_of(&self, name: &str) -> cluster_view::Objects {
        self.objects().of_space(name)
    }

    /// A client of that caller, which may impersonate others.
    pub(super) fn client(&self, caller: Caller) -> Client {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (server, caller) = (server.clone(), caller.clone());
            async move { Ok::<_, Infallible>(server.answer(&caller, request).await) }
        });
        Client::new(service, "default")
    }

    fn objects(&self) -> MutexGuard<'_, Objects> {
        self.0.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, caller: &Caller, request: Request<Body>) -> Response<Answer> {
        match self.serve(caller, request).await {
            Ok(response) => response,
            Err(Refused { code, reason, message }) => {
                let status = json!({
                    "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
                    "code": code, "reason": reason, "message": message,
                });
                respond(code, &status)
            }
        }
    }

    async fn serve(&self, caller: &Caller, request: Request<Body>) -> Result<Response<Answer>, Refused> {
        let (head, body) = request.into_parts();
        let target = Target::of(head.uri.path()).ok_or_else(|| not_found(head.uri.path()))?;
        let query: Map<String, Value> = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
            .map(|(key, value)| (key.into(), Value::String(value.into())))
            .collect();
        let header_value =
            |name: header::HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (content, accept) =
            (header_value(header::CONTENT_TYPE).to_owned(), header_value(header::ACCEPT).to_owned());
        let impersonated =
            head.headers.get(IMPERSONATE).and_then(|name| name.to_str().ok()).map(|name| Caller::User(name.to_owned()));
        let caller = impersonated.as_ref().unwrap_or(caller);
        let bytes = body.collect_bytes().await.map_err(|error| bad(error.to_string()))?;
        let body: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?
        };
        let named = !target.key.name.is_empty();
        if target.key.resource == "selfsubjectaccessreviews" {
            return Ok(respond(201, &review(body)));
        }
        match head.method {
            Method::GET if !named && query.get("watch").is_some_and(|watch| watch == "true" || watch == "1") => {
                Ok(self.watch(&target, &query))
            }
            Method::GET if !named => Ok(respond(200, &self.list(&target, &query))),
            Method::GET => {
                self.get(&target, accept.contains("PartialObjectMetadata")).map(|object| respond(200, &object))
            }
            Method::POST => self.create(caller, &target, body).map(|object| respond(201, &object)),
            Method::PUT => self.update(caller, &target, &|_| Ok(body.clone())).map(|object| respond(200, &object)),
            Method::PATCH if query.contains_key("dryRun") => {
                self.get(&target, false).map(|object| respond(200, &object))
            }
            Method::PATCH => self
                .update(caller, &target, &|current| patched(current, &content, &body))
                .map(|object| respond(200, &object)),
            Method::DELETE => self.delete(caller, &target, &body).map(|object| respond(200, &object)),
            method => Err(bad(format!("{method} is not served"))),
        }
    }

    fn get(&self, target: &Target, metadata_only: bool) -> Result<Value, Refused> {
        if target.key.resource == "clusterroles" {
            let name = target.key.name.as_str();
            let metadata = json!({"name": name, "uid": format!("uid-of-{name}"), "resourceVersion": "1"});
            let found = ROLES.contains(&name).then(
                || json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}),
            );
            return found.ok_or_else(|| not_found(name));
        }
        let objects = self.objects();
        let object = objects.get(&target.key).ok_or_else(|| not_found(&target.key.name))?;
        Ok(if metadata_only {
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
        } else {
            object.clone()
        })
    }

    fn list(&self, target: &Target, query: &Map<String, Value>) -> Value {
        let (objects, selector) = (self.objects(), selector(query));
        let items: Vec<&Value> = objects
            .list(&target.key.resource, &target.key.namespace)
            .map(|(_, object)| object)
            .filter(|object| selects(&selector, object))
            .collect();
        json!({"apiVersion": target.version, "kind": "List", "metadata": {"resourceVersion": objects.version().to_string()}, "items": items})
    }

    fn watch(&self, target: &Target, query: &Map<String, Value>) -> Response<Answer> {
        let number = |name: &str| query.get(name).and_then(Value::as_str).and_then(|number| number.parse::<u64>().ok());
        let since = number("resourceVersion").unwrap_or_default();
        let end = tokio::time::sleep(Duration::from_secs(number("timeoutSeconds").unwrap_or(LONGEST_WATCH)));
        let lines = self.objects().watch(&target.key.resource, since, selector(query));
        let lines =
            futures::stream::unfold(lines, |mut lines| async move { lines.recv().await.map(|line| (line, lines)) });
        let body = StreamBody::new(lines.map(|line: Bytes| Ok::<_, Infallible>(Frame::data(line))).take_until(end));
        Response::new(body.boxed_unsync())
    }

    fn create(&self, caller: &Caller, target: &Target, mut object: Value) -> Result<Value, Refused> {
        if target.key.resource == "events" {
            return Ok(object);
        }
        let key = Key { name: text(&object, "/metadata/name").to_owned(), ..target.key.clone() };
        let mut objects = self.objects();
        let home = (!key.namespace.is_empty()).then(|| Key {
            resource: "namespaces".to_owned(),
            namespace: String::new(),
            name: key.namespace.clone(),
        });
        if let Some(home) = home {
            let home = objects.get(&home).ok_or_else(|| not_found(&key.namespace))?;
            if !home["metadata"]["deletionTimestamp"].is_null() {
                let message = format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    key.namespace
                );
                return Err(Refused { code: 403, reason: "Forbidden", message });
            }
        }
        if objects.get(&key).is_some() {
            return Err(Refused {
                code: 409,
                reason: "AlreadyExists",
                message: format!("{} {:?} already exists", key.resource, key.name),
            });
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        self.0.defaults.fill(&key.resource, &mut object);
        contract::validate(
            caller,
            &Change { key: &key, subresource: "", before: None, after: Some(&object) },
            &objects,
        )?;
        let metadata = &mut object["metadata"];
        metadata["uid"] = format!("00000000-0000-4000-8000-{:012x}", objects.version() + 1).into();
        metadata["creationTimestamp"] = self.timestamp().into();
        metadata["generation"] = 1.into();
        if !key.namespace.is_empty() {
            metadata["namespace"] = key.namespace.clone().into();
        }
        if key.resource == "namespaces" {
            object["metadata"]["labels"]["kubernetes.io/metadata.name"] = key.name.clone().into();
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        let object = objects.put(&key, object);
        drop(objects);
        self.settle_quota(&key, &object);
        Ok(object)
    }

    fn update(
        &self,
        caller: &Caller,
        target: &Target,
        change: &dyn Fn(&Value) -> Result<Value, Refused>,
    ) -> Result<Value, Refused> {
        let mut objects = self.objects();
        let before = objects.get(&target.key).ok_or_else(|| not_found(&target.key.name))?.clone();
        let mut wanted_object = change(&before)?;
        let version = &wanted_object["metadata"]["resourceVersion"];
        if !version.is_null() && *version != before["metadata"]["resourceVersion"] {
            let message = format!(
                "Operation cannot be fulfilled on {} {:?}: the object has been modified",
                target.key.resource, target.key.name
            );
            return Err(Refused { code: 409, reason: "Conflict", message });
        }
        let mut after = before.clone();
        if target.subresource == "status" {
            after["status"] = wanted_object["status"].take();
        } else {
            self.0.defaults.fill(&target.key.resource, &mut wanted_object);
            after = wanted_object;
            after["status"] = before["status"].clone();
            for kept in
                ["uid", "creationTimestamp", "deletionTimestamp", "generation", "resourceVersion", "name", "namespace"]
            {
                after["metadata"][kept] = before["metadata"][kept].clone();
            }
            if let Some(fields) = after["metadata"].as_object_mut() {
                fields.retain(|_, value| !value.is_null());
            }
            if after["status"].is_null()
                && let Some(fields) = after.as_object_mut()
            {
                fields.remove("status");
            }
        }
        let change =
            Change { key: &target.key, subresource: &target.subresource, before: Some(&before), after: Some(&after) };
        contract::validate(caller, &change, &objects)?;
        if after == before {
            return Ok(after);
        }
        if after["spec"] != before["spec"] {
            after["metadata"]["generation"] =
                (before["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
        }
        let is_held = after["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        if target.key.resource != "namespaces" && !after["metadata"]["deletionTimestamp"].is_null() && !is_held {
            objects.remove(&target.key);
            return Ok(after);
        }
        let after = objects.put(&target.key, after);
        drop(objects);
        self.settle_quota(&target.key, &after);
        Ok(after)
    }

    fn delete(&self, caller: &Caller, target: &Target, options: &Value) -> Result<Value, Refused> {
        let mut objects = self.objects();
        let before = objects.get(&target.key).ok_or_else(|| not_found(&target.key.name))?.clone();
        for (precondition, field) in [("uid", "uid"), ("resourceVersion", "resourceVersion")] {
            let wanted = &options["preconditions"][precondition];
            if !wanted.is_null() && *wanted != before["metadata"][field] {
                let message = format!(
                    "Precondition failed: {field} in precondition: {wanted}, {field} in object meta: {}",
                    before["metadata"][field]
                );
                return Err(Refused { code: 409, reason: "Conflict", message });
            }
        }
        contract::validate(
            caller,
            &Change { key: &target.key, subresource: "", before: Some(&before), after: None },
            &objects,
        )?;
        let is_held = before["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty());
        let is_namespace = target.key.resource == "namespaces";
        if !is_held && !is_namespace {
            objects.remove(&target.key);
            return Ok(json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Success"}));
        }
        if !before["metadata"]["deletionTimestamp"].is_null() {
            return Ok(before);
        }
        let mut after = before;
        after["metadata"]["deletionTimestamp"] = self.timestamp().into();
        after["metadata"]["generation"] = (after["metadata"]["generation"].as_i64().unwrap_or_default() + 1).into();
        if is_namespace {
            after["status"]["phase"] = "Terminating".into();
            self.finish_namespace(&target.key);
        }
        Ok(objects.put(&target.key, after))
    }

    /// Empties and removes a terminating namespace, as kube-controller-manager does.
    fn finish_namespace(&self, key: &Key) {
        let (server, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(NAMESPACE_DELAY).await;
            let mut objects = server.objects();
            for inside in objects.inside(&key.name) {
                objects.remove(&inside);
            }
            objects.remove(&key);
        });
    }

    /// Fills in the status of a quota, as kube-controller-manager does.
    fn settle_quota(&self, key: &Key, quota: &Value) {
        if key.resource != "resourcequotas" || quota["status"]["hard"] == quota["spec"]["hard"] {
            return;
        }
        let (server, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            tokio::time::sleep(QUOTA_DELAY).await;
            let mut objects = server.objects();
            if let Some(mut quota) = objects.get(&key).cloned() {
                let hard = quota["spec"]["hard"].clone();
                let used: Value =
                    hard.as_object().into_iter().flatten().map(|(key, _)| (key.clone(), json!("0"))).collect();
                quota["status"] = json!({"hard": hard, "used": used});
                objects.put(&key, quota);
            }
        });
    }

    fn timestamp(&self) -> String {
        self.now().to_rfc3339_opts(SecondsFormat::Secs, true)
    }
}

impl Target {
    fn of(path: &str) -> Option<Self> {
        let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let version = match *parts.first()? {
            "api" => parts.drain(..2).skip(1).collect::<Vec<_>>().join("/"),
            "apis" if parts.len() > 3 => parts.drain(..3).skip(1).collect::<Vec<_>>().join("/"),
            _ => return None,
        };
        let is_inside = parts.len() > 2 && parts[0] == "namespaces" && !["status", "finalize"].contains(&parts[2]);
        let namespace = if is_inside { parts.drain(..2).nth(1)?.to_owned() } else { String::new() };
        let part = |place: usize| parts.get(place).map(|&part| part.to_owned()).unwrap_or_default();
        Some(Self { version, key: Key { resource: part(0), namespace, name: part(1) }, subresource: part(2) })
    }
}

fn selector(query: &Map<String, Value>) -> Selector {
    let (label, value) = query.get("labelSelector")?.as_str()?.split_once('=')?;
    Some((label.to_owned(), value.to_owned()))
}

fn patched(current: &Value, content: &str, patch: &Value) -> Result<Value, Refused> {
    let mut after = current.clone();
    if content == "application/json-patch+json" {
        let patch: json_patch::Patch = serde_json::from_value(patch.clone()).map_err(|error| bad(error.to_string()))?;
        let failed =
            |error: json_patch::PatchError| Refused { code: 422, reason: "Invalid", message: error.to_string() };
        json_patch::patch(&mut after, &patch).map_err(failed)?;
    } else {
        json_patch::merge(&mut after, patch);
    }
    Ok(after)
}

fn review(mut review: Value) -> Value {
    let name = text(&review, "/spec/resourceAttributes/name");
    let allowed = ROLES.contains(&name);
    review["status"] = json!({"allowed": allowed});
    review
}

fn respond(code: u16, object: &Value) -> Response<Answer> {
    let mut response = Response::new(Full::new(Bytes::from(object.to_string())).boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

fn not_found(name: &str) -> Refused {
    Refused { code: 404, reason: "NotFound", message: format!("{name:?} not found") }
}

fn bad(message: String) -> Refused {
    Refused { code: 400, reason: "BadRequest", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let read = |path| {
            let Target { version, key, subresource } = Target::of(path).unwrap();
            [version, key.namespace, key.resource, key.name, subresource].join(" ")
        };
        assert_eq!(read("/api/v1/namespaces"), "v1  namespaces  ");
        assert_eq!(read("/api/v1/namespaces/fern-lab"), "v1  namespaces fern-lab ");
        assert_eq!(read("/api/v1/namespaces/fern-lab/resourcequotas/x"), "v1 fern-lab resourcequotas x ");
        assert_eq!(read("/api/v1/namespaces/fern-lab/finalize"), "v1  namespaces fern-lab finalize");
        let group = "/apis/developerspace.dev/v1alpha1/developerspaces/fern-lab/status";
        assert_eq!(read(group), "developerspace.dev/v1alpha1  developerspaces fern-lab status");
    }
}
