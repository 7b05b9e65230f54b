//! An API server with a fixed state: it serves the objects of `tests/fixtures/cluster.yaml`, and its clock does not
//! advance, so that every age in a transcript is the same in each run.

use std::{fs, io::Write as _, sync::Arc, sync::mpsc, thread};

use axum::{
    Router,
    extract::State,
    http::{Method, Request, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::{net::TcpListener, runtime::Builder};

/// The current time for the plugin, which trusts the API server if its own clock differs.
const NOW: &str = "Tue, 24 Nov 2026 09:00:00 GMT";

/// The token of a user who may read DeveloperSpaces and SpaceClasses by name but may not list them.
const OWNER: &str = "owner";

/// Starts the API server, which runs until the process ends. Returns a kubeconfig for it.
pub(crate) fn start() -> NamedTempFile {
    let text = fs::read_to_string("tests/fixtures/cluster.yaml").unwrap();
    let objects: Arc<Vec<Value>> = Arc::new(serde_saphyr::from_multiple(&text).unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            sender.send(listener.local_addr().unwrap()).unwrap();
            axum::serve(listener, Router::new().fallback(answer).with_state(objects)).await.unwrap();
        });
    });
    let address = receiver.recv().unwrap();
    let mut file = NamedTempFile::new().unwrap();
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "rest",
        "clusters": [{"name": "rest", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "nadia", "user": {"token": "none"}}, {"name": "owner", "user": {"token": OWNER}}],
        "contexts": [
            {"name": "rest", "context": {"cluster": "rest", "user": "nadia"}},
            {"name": "own", "context": {"cluster": "rest", "user": "owner", "namespace": "orchid-lab"}},
            {"name": "elsewhere", "context": {"cluster": "rest", "user": "owner"}},
        ],
    });
    file.write_all(config.to_string().as_bytes()).unwrap();
    file
}

async fn answer(State(objects): State<Arc<Vec<Value>>>, request: Request<axum::body::Body>) -> impl IntoResponse {
    let (method, uri) = (request.method(), request.uri());
    let is_owner =
        request.headers().get(header::AUTHORIZATION).is_some_and(|value| value == format!("Bearer {OWNER}").as_str());
    let (code, body) = match (method, uri.path()) {
        (&Method::GET, "/version") => (
            StatusCode::OK,
            json!({"major": "1", "minor": "37", "gitVersion": "v1.37.0", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}),
        ),
        (&Method::POST, "/apis/authentication.k8s.io/v1/selfsubjectreviews") => {
            let user = json!({"username": "nadia@example.com", "groups": ["botanists", "system:authenticated"]});
            (
                StatusCode::CREATED,
                json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}, "status": {"userInfo": user}}),
            )
        }
        (
            &Method::GET,
            path @ ("/apis/developerspace.dev/v1alpha1/developerspaces"
            | "/apis/developerspace.dev/v1alpha1/spaceclasses"),
        ) if is_owner => {
            let plural = path.rsplit('/').next().unwrap_or_default();
            let message = format!(
                "{plural}.developerspace.dev is forbidden: User \"nadia@example.com\" cannot list resource \"{plural}\""
            );
            refused(StatusCode::FORBIDDEN, "Forbidden", &message)
        }
        (&Method::GET, path) => read(&objects, path, uri.query().unwrap_or_default()),
        (_, path) => {
            refused(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", &format!("nothing is changed here: {path}"))
        }
    };
    (code, [(header::CONTENT_TYPE, "application/json"), (header::DATE, NOW)], body.to_string())
}

fn refused(code: StatusCode, reason: &str, message: &str) -> (StatusCode, Value) {
    let status = json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "reason": reason, "code": code.as_u16(), "message": message});
    (code, status)
}

/// Returns one object, or all objects of a kind, in a namespace or in the cluster.
fn read(objects: &[Value], path: &str, query: &str) -> (StatusCode, Value) {
    let words: Vec<&str> = path.trim_matches('/').split('/').collect();
    let (version, rest) = match words.as_slice() {
        ["api", version, rest @ ..] => ((*version).to_owned(), rest),
        ["apis", group, version, rest @ ..] => (format!("{group}/{version}"), rest),
        _ => return refused(StatusCode::NOT_FOUND, "NotFound", &format!("{path} is not found")),
    };
    let (namespace, plural, name) = match rest {
        ["namespaces", namespace, plural] => (Some(*namespace), *plural, None),
        ["namespaces", namespace, plural, name] => (Some(*namespace), *plural, Some(*name)),
        [plural, name] => (None, *plural, Some(*name)),
        [plural] => (None, *plural, None),
        _ => panic!("nobody is to ask for {path}"),
    };
    let kind = kind_of(plural);
    let is_meant = |object: &&Value| {
        let metadata = &object["metadata"];
        object["apiVersion"] == *version
            && object["kind"] == *kind
            && namespace.is_none_or(|namespace| metadata["namespace"] == *namespace)
            && name.is_none_or(|name| metadata["name"] == *name)
            && fields(query).iter().all(|(field, value)| object.pointer(field) == Some(&json!(value)))
    };
    let mut found = objects.iter().filter(is_meant).cloned();
    match name {
        None => {
            let list = json!({"apiVersion": version, "kind": format!("{kind}List"), "metadata": {"resourceVersion": "1"}, "items": found.collect::<Vec<_>>()});
            (StatusCode::OK, list)
        }
        Some(name) => {
            let missing = || {
                let (code, mut status) =
                    refused(StatusCode::NOT_FOUND, "NotFound", &format!("{plural} {name:?} not found"));
                status["details"] = json!({"kind": plural, "name": name});
                (code, status)
            };
            found.next().map_or_else(missing, |object| (StatusCode::OK, object))
        }
    }
}

fn kind_of(plural: &str) -> &'static str {
    let kinds = [
        "DeveloperSpace",
        "SpaceClass",
        "Namespace",
        "ResourceQuota",
        "LimitRange",
        "RoleBinding",
        "Pod",
        "Deployment",
        "StatefulSet",
        "ReplicaSet",
        "Job",
        "Event",
    ];
    let plural_of =
        |kind: &str| if kind.ends_with('s') { format!("{kind}es") } else { format!("{kind}s") }.to_lowercase();
    let found = kinds.into_iter().find(|kind| plural_of(kind) == plural);
    found
        .or_else(|| (plural == "networkpolicies").then_some("NetworkPolicy"))
        .unwrap_or_else(|| panic!("nobody is to ask for {plural}"))
}

/// Returns the JSON pointers and the values of a field selector, which requests for Events have.
fn fields(query: &str) -> Vec<(String, String)> {
    let decoded = query.replace("%3D", "=").replace("%2C", ",");
    let Some((_, selector)) = decoded.split_once("fieldSelector=") else { return vec![] };
    let selector = selector.split('&').next().unwrap_or_default();
    selector
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(field, value)| (format!("/{}", field.replace('.', "/")), value.to_owned()))
        .collect()
}
