//! A watch that the server has forgotten begins with a list again; kube's watcher alone would try the same resourceVersion for ever.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{sync::Arc, time::Duration};

use developerspace_operator::controller::{
    store::Store,
    watch::{self, Relist},
};
use futures::StreamExt;
use http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tower_test::mock::{Handle, pair};

type Server = Handle<Request<Body>, Response<Body>>;

async fn answer(server: &mut Server, expected: &str, status: StatusCode, body: &Value) {
    let (request, respond) = server.next_request().await.unwrap();
    let uri = request.uri().to_string();
    assert!(uri.contains(expected), "{uri} does not say {expected}");
    respond.send_response(Response::builder().status(status).body(Body::from(serde_json::to_vec(body).unwrap())).unwrap());
}

fn list() -> Value {
    json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClassList", "metadata": {"resourceVersion": "7"}, "items": []})
}

fn gone() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "message": "too old resource version", "code": 410})
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_refused_as_too_old_begins_with_a_list() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let classes = watch::classes(&Client::new(service, "default"), Arc::new(Store::default()), Relist(Duration::from_secs(3_600)));
    let watching = tokio::spawn(classes.for_each(|_| async {}));
    answer(&mut server, "limit=500", StatusCode::OK, &list()).await;
    for _ in 0..3 {
        answer(&mut server, "resourceVersion=7", StatusCode::GONE, &gone()).await;
        answer(&mut server, "limit=500", StatusCode::OK, &list()).await;
    }
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_again_after_a_while() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let classes = watch::classes(&Client::new(service, "default"), Arc::new(Store::default()), Relist(Duration::from_secs(60)));
    let watching = tokio::spawn(classes.for_each(|_| async {}));
    let mut held = Vec::new();
    for _ in 0..3 {
        answer(&mut server, "limit=500", StatusCode::OK, &list()).await;
        // The watch opens and stays silent: its answer is held.
        let (request, respond) = server.next_request().await.unwrap();
        assert!(request.uri().to_string().contains("watch=true"));
        held.push(respond);
    }
    watching.abort();
}
