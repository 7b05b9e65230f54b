//! A watch whose resourceVersion has expired, or whose events go back in time, restarts with a list. kube's watcher
//! alone would continue.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::{future::pending, sync::Arc, time::Duration};

use developerspace_operator::{
    cache::{
        relist::Relist,
        store::{SOURCES, Source, Store},
        watches,
    },
    controller::{self, watched_spaces::watched_spaces},
    desired::noncompliance::Rule,
    runtime::watchdog::space_key,
};
use futures::{StreamExt, stream};
use http::{Request, Response, StatusCode};
use kube::{
    Client,
    client::Body,
    runtime::reflector::{self, ObjectRef},
};
use serde_json::{Value, json};
use support::{objects, world::World};
use tower_test::mock::{Handle, SendResponse, pair};

type Server = Handle<Request<Body>, Response<Body>>;

async fn answer(server: &mut Server, expected: &str, status: StatusCode, body: &Value) {
    answer_with(server, expected, status, serde_json::to_vec(body).unwrap()).await;
}

async fn answer_with(server: &mut Server, expected: &str, status: StatusCode, body: Vec<u8>) {
    let (request, respond) = server.next_request().await.unwrap();
    let uri = request.uri().to_string();
    assert!(uri.contains(expected), "{uri} does not say {expected}");
    respond.send_response(Response::builder().status(status).body(Body::from(body)).unwrap());
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
    let classes = watches::classes(
        &Client::new(service, "default"),
        Arc::new(Store::default()),
        Relist::every(Duration::from_secs(3_600)),
    );
    let watching = tokio::spawn(classes.for_each(|_| async {}));
    answer(&mut server, "limit=500", StatusCode::OK, &list()).await;
    for _ in 0..3 {
        answer(&mut server, "resourceVersion=7", StatusCode::GONE, &gone()).await;
        answer(&mut server, "limit=500", StatusCode::OK, &list()).await;
    }
    watching.abort();
}

/// The text of a page is in memory before it is parsed, and developers can make namespaces and children large.
#[tokio::test(start_paused = true)]
async fn objects_that_developers_can_make_large_are_listed_in_small_pages() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let (client, store, relist) =
        (Client::new(service, "default"), Arc::new(Store::default()), Relist::every(Duration::from_secs(3_600)));
    let namespaces = watches::namespaces(&client, store.clone(), Arc::default(), relist.clone());
    let watching =
        tokio::spawn(stream::select(namespaces, watches::children(&client, &store, &relist)).for_each(|_| async {}));
    let (mut listed, mut held) = (Vec::new(), Vec::new());
    while listed.len() < 5 {
        let (request, respond) = server.next_request().await.unwrap();
        let (path, uri) = (request.uri().path().to_owned(), request.uri().to_string());
        if uri.contains("watch=true") {
            held.push(respond);
            continue;
        }
        assert!(uri.contains("limit=25&") || uri.ends_with("limit=25"), "{uri}");
        listed.push(path.rsplit('/').next().unwrap().to_owned());
        respond.send_response(Response::new(Body::from(serde_json::to_vec(&list()).unwrap())));
    }
    listed.sort();
    assert_eq!(listed, ["limitranges", "namespaces", "networkpolicies", "resourcequotas", "rolebindings"]);
    watching.abort();
}

fn event(name: &str, version: u64) -> String {
    let metadata = json!({"name": name, "uid": name, "resourceVersion": version.to_string()});
    let class =
        json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": metadata, "spec": {}});
    json!({"type": "MODIFIED", "object": class}).to_string() + "\n"
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_tells_of_the_past_begins_with_a_list() {
    for (versions, next) in
        [([8, 9, 11], "resourceVersion=11"), ([8, 8, 9], "resourceVersion=9"), ([8, 11, 9], "limit=500")]
    {
        let (service, mut server) = pair::<Request<Body>, Response<Body>>();
        let classes = watches::classes(
            &Client::new(service, "default"),
            Arc::new(Store::default()),
            Relist::every(Duration::from_secs(3_600)),
        );
        let watching = tokio::spawn(classes.for_each(|_| async {}));
        answer(&mut server, "limit=500", StatusCode::OK, &list()).await;
        let told: String = versions.iter().map(|version| event("small", *version)).collect();
        answer_with(&mut server, "resourceVersion=7", StatusCode::OK, told.into_bytes()).await;
        answer(&mut server, next, StatusCode::OK, &list()).await;
        watching.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_again_after_a_while() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let classes = watches::classes(
        &Client::new(service, "default"),
        Arc::new(Store::default()),
        Relist::every(Duration::from_secs(60)),
    );
    let watching = tokio::spawn(classes.for_each(|_| async {}));
    let mut held = Vec::new();
    for _ in 0..3 {
        answer(&mut server, "limit=500", StatusCode::OK, &list()).await;
        // The watch gets no events: its response is held back.
        let (request, respond) = server.next_request().await.unwrap();
        assert!(request.uri().to_string().contains("watch=true"));
        held.push(respond);
    }
    watching.abort();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_takes_longer_than_the_period_comes_to_its_end() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let store = Arc::new(Store::default());
    let classes =
        watches::classes(&Client::new(service, "default"), store.clone(), Relist::every(Duration::from_secs(30)));
    let watching = tokio::spawn(classes.for_each(|_| async {}));
    let (request, respond) = server.next_request().await.unwrap();
    assert!(request.uri().to_string().contains("limit=500"));
    // Ten periods; the clock of the test is paused.
    tokio::time::sleep(Duration::from_secs(300)).await;
    respond.send_response(Response::new(Body::from(serde_json::to_vec(&list()).unwrap())));
    answer(&mut server, "resourceVersion=7", StatusCode::OK, &list()).await;
    store.listed(&[Source::Classes].into()).await;
    watching.abort();
}

/// Returns the paths that are listed within that time. Watches get no events.
async fn listed(server: &mut Server, held: &mut Vec<SendResponse<Response<Body>>>, within: Duration) -> Vec<String> {
    let mut paths = Vec::new();
    let answering = async {
        loop {
            let (request, respond) = server.next_request().await.unwrap();
            if request.uri().to_string().contains("watch=true") {
                held.push(respond);
            } else {
                paths.push(request.uri().path().to_owned());
                respond.send_response(Response::new(Body::from(serde_json::to_vec(&list()).unwrap())));
            }
        }
    };
    tokio::time::timeout(within, answering).await.unwrap_err();
    paths.sort();
    paths
}

#[tokio::test(start_paused = true)]
async fn lists_wait_while_the_time_of_more_spaces_is_up_than_there_are_places() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let world = World::unlisted("2026-11-24T09:00:00Z");
    let (ctx, period) = (world.context(Client::new(service, "default")), Duration::from_secs(60));
    let running = tokio::spawn(controller::run(ctx.clone(), stream::pending().boxed(), period, pending()));
    let mut held = Vec::new();
    let first = listed(&mut server, &mut held, Duration::from_secs(10)).await;
    assert_eq!(first.len(), SOURCES.len() - 1, "all kinds but what is only remembered: {first:?}");
    let due = Some("2026-11-24T08:59:59Z".parse().unwrap());
    for space in 0..=ctx.slots.number() {
        ctx.watchdog.set_expiry(space.into(), due);
    }
    assert_eq!(listed(&mut server, &mut held, period * 2).await, [""; 0]);
    ctx.watchdog.set_expiry(0, None);
    assert_eq!(listed(&mut server, &mut held, Duration::from_secs(10)).await, first);
    running.abort();
}

/// A page of a list, with one space; `next` is the token of the next page.
fn page(space: &Value, next: Option<&str>) -> Value {
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "9", "continue": next}, "items": [space]})
}

#[tokio::test(start_paused = true)]
async fn nobody_is_told_of_a_space_that_the_store_does_not_have_yet() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let ctx = World::unlisted("2026-11-24T09:00:00Z").context(Client::new(service, "default"));
    let (kept, writer) = reflector::store();
    let mut names = watched_spaces(&ctx, writer, Relist::every(Duration::from_secs(3_600)));
    let (old, mut new) = (objects::fresh(), objects::fresh());
    new["metadata"]["name"] = json!("another");
    let mut told = Vec::new();
    let pages = async {
        answer(&mut server, "limit=10", StatusCode::OK, &page(&old, None)).await;
        // The space `another` was created while no watch was open, so the next list is the first to contain it.
        answer(&mut server, "resourceVersion=9", StatusCode::GONE, &gone()).await;
        answer(&mut server, "limit=10", StatusCode::OK, &page(&new, Some("more"))).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        answer(&mut server, "continue=more", StatusCode::OK, &page(&old, None)).await;
        server.next_request().await.unwrap()
    };
    let listening = async {
        while let Some(name) = names.next().await {
            told.push((name.clone(), kept.get(&ObjectRef::new(&name)).is_some()));
        }
    };
    tokio::select! {
        _ = pages => {}
        () = listening => panic!("a watch never ends"),
    }
    let old = old["metadata"]["name"].as_str().unwrap().to_owned();
    assert_eq!(told, [(old.clone(), true), ("another".to_owned(), true), (old, true)]);
}

#[tokio::test(start_paused = true)]
async fn a_space_that_is_gone_counts_for_no_rule() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let ctx = World::unlisted(objects::MADE).context(Client::new(service, "default"));
    let (_kept, writer) = reflector::store();
    let watching =
        tokio::spawn(watched_spaces(&ctx, writer, Relist::every(Duration::from_secs(3_600))).for_each(|_| async {}));
    let (listed, mut missed) = (objects::fresh(), objects::fresh());
    missed["metadata"]["uid"] = json!("uid-of-another");
    for space in [&listed, &missed] {
        ctx.io
            .metrics
            .noncompliant
            .record(space_key(&objects::read::<watches::CachedSpace>(space)), vec![Rule::Contact]);
    }
    let count = || {
        let text = ctx.io.metrics.render();
        let line =
            text.lines().find_map(|line| line.strip_prefix("developerspace_noncompliant_spaces{rule=\"contact\"} "));
        line.map(str::to_owned)
    };
    assert_eq!(count().as_deref(), Some("2"));
    answer(&mut server, "limit=10", StatusCode::OK, &page(&listed, None)).await;
    let (_, respond) = server.next_request().await.unwrap();
    assert_eq!(count().as_deref(), Some("1"), "the list lacks one");
    let mut gone = listed;
    gone["metadata"]["resourceVersion"] = json!("101");
    let event = json!({"type": "DELETED", "object": gone}).to_string() + "\n";
    respond.send_response(Response::new(Body::from(event.into_bytes())));
    let _next = server.next_request().await.unwrap();
    assert_eq!(count().as_deref(), Some("0"));
    watching.abort();
}

/// A list of those `objects` that are served at `path`.
fn list_of(path: &str, objects: &[Value]) -> Response<Body> {
    let plural =
        |object: &Value| format!("{}s", object["kind"].as_str().unwrap().to_lowercase()).replace("classs", "classes");
    let items: Vec<&Value> = objects.iter().filter(|object| path.ends_with(&format!("/{}", plural(object)))).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": "9"}, "items": items});
    Response::new(Body::from(serde_json::to_vec(&list).unwrap()))
}

/// F16: without the finalizer, the deletion of a space leaves its namespace behind.
#[tokio::test(start_paused = true)]
async fn a_namespace_whose_space_is_gone_is_counted_and_nothing_but_lists_is_requested() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let ctx = World::unlisted(objects::MADE).context(Client::new(service, "default"));
    let running =
        tokio::spawn(controller::run(ctx.clone(), stream::pending().boxed(), Duration::from_secs(3_600), pending()));
    let mut held = Vec::new();
    let serving = async {
        loop {
            let (request, respond) = server.next_request().await.unwrap();
            assert_eq!(request.method(), http::Method::GET);
            if request.uri().to_string().contains("watch=true") {
                held.push(respond);
            } else {
                respond.send_response(list_of(request.uri().path(), &[objects::stored_namespace()]));
            }
        }
    };
    let counted = async {
        while !ctx.io.metrics.render().contains("developerspace_orphan_namespaces 1\n") {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = counted => {}
        () = serving => {}
        () = tokio::time::sleep(Duration::from_secs(60)) => panic!("{}", ctx.io.metrics.render()),
    }
    running.abort();
}

/// A few hundred new spaces whose first write is never answered, and one that ends.
fn crowd() -> Vec<Value> {
    let with_name = |number: u32| {
        let mut space = objects::fresh();
        space["metadata"]["name"] = json!(format!("new-{number}"));
        space["metadata"]["uid"] = json!(format!("uid-of-new-{number}"));
        space
    };
    (0..400).map(with_name).chain([objects::warned()]).collect()
}

#[tokio::test(start_paused = true)]
async fn an_end_waits_for_no_creation() {
    let (service, mut server) = pair::<Request<Body>, Response<Body>>();
    let ctx = World::unlisted(objects::EXPIRES).context(Client::new(service, "default"));
    let running = tokio::spawn(controller::run(ctx, stream::pending().boxed(), Duration::from_secs(3_600), pending()));
    let kept: Vec<Value> = objects::everything().into_iter().chain(crowd()).collect();
    let mut held = Vec::new();
    let sealing = async {
        loop {
            let (request, respond) = server.next_request().await.unwrap();
            let (path, is_watch) = (request.uri().path().to_owned(), request.uri().to_string().contains("watch=true"));
            if request.method() != http::Method::GET && path == objects::status_path() {
                return;
            }
            if is_watch || request.method() != http::Method::GET {
                held.push(respond);
                continue;
            }
            respond.send_response(list_of(&path, &kept));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), sealing).await.expect("the space that ends is sealed");
    running.abort();
}
