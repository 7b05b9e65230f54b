//! A crowd cannot starve the operator: neither large objects, nor connections to its ports, nor a thousand spaces that
//! fail.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use e2e::{
    audit::AuditEntry,
    eventually,
    fixtures::{Actor, World, a_space, at, condition, holds, is_observed, network_policy, space, text, user},
    operator::USER,
    webhook::BrokenWebhook,
};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Mutex};

const LARGE_SPACES: usize = 300;
const CONNECTIONS: usize = 900;
const PEERS_OF_A_RULE: usize = 125_000;
const RULES: usize = 3;

/// Nearly the maximum size of annotations that the API server accepts.
const ANNOTATION_BYTES: usize = 190_000;

/// The memory limit of the shipped Deployment.
const MEMORY_LIMIT: u64 = 256 * 1_024 * 1_024;

/// Each of these tests loads an API server fully, and two at once would starve each other.
static EXCLUSIVE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn large_spaces_and_open_connections_stay_within_the_memory_limit() -> Result<()> {
    let _exclusive = EXCLUSIVE.lock().await;
    let manifest = std::fs::read_to_string(e2e::binaries::repository().join("config/manager/deployment.yaml"))?;
    ensure!(manifest.contains("memory: 256Mi"), "the shipped limit is another by now");
    let world = World::start(&[]).await?;
    world.create_ready_space("heath-lab", json!({"className": "standard", "owner": user("alice@example.com")})).await?;
    create_dense_policy(&world.actor("alice@example.com").await?, "heath-lab").await?;
    // Meanwhile the watch reports each state of the policy. The start below lists it.
    world.create_ready_space("fern-lab", json!({"className": "standard", "owner": user("hugo@example.com")})).await?;
    ensure_within_memory_limit(&world).await?;
    world.stop_operator().await?;
    let admin = world.admin();
    // A holder of `assign` created them, or they are older than the policy that bounds metadata.
    stream::iter(0..LARGE_SPACES)
        .map(|number| async move { admin.create(&large_space(number)).await.map(drop) })
        .buffer_unordered(8)
        .try_collect::<()>()
        .await?;
    world.start_operator().await?;
    let mut held = Vec::new();
    for port in world.operator_ports().await?.into_iter().cycle().take(CONNECTIONS) {
        held.push(open_incomplete_request(port).await?);
    }
    world.create_ready_space("orchid-lab", json!({"className": "standard", "owner": user("ada@example.com")})).await?;
    let last = format!("fat-{}", LARGE_SPACES - 1);
    world
        .until("to be looked at", a_space(&last), |space| {
            ensure!(is_observed(space) && !holds(space, "Reconciling"), "its status is {}", space["status"]);
            Ok(())
        })
        .await?;
    ensure_within_memory_limit(&world).await?;
    drop(held);
    Ok(())
}

async fn ensure_within_memory_limit(world: &World) -> Result<()> {
    world.ensure_operator_ready().await?;
    let peak = world.operator_peak().await?;
    ensure!(peak < MEMORY_LIMIT, "the operator held {} MiB", peak / 1_024 / 1_024);
    Ok(())
}

/// Creates a policy that takes 1.4 MiB in etcd, seven as JSON, and the memory limit as maps. A request may have 3 MiB.
async fn create_dense_policy(developer: &Actor, namespace: &str) -> Result<()> {
    let rule = json!({"from": vec![json!({"podSelector": {}}); PEERS_OF_A_RULE]});
    developer.create(&network_policy(namespace, "dense", &json!({"podSelector": {}, "ingress": [rule]}))).await?;
    for _ in 1..RULES {
        developer
            .json_patch(
                at("NetworkPolicy", namespace, "dense"),
                json!([{"op": "add", "path": "/spec/ingress/-", "value": rule}]),
            )
            .await?;
    }
    Ok(())
}

const FAILING_SPACES: usize = 1_000;

/// The maximum number of writes about the failing spaces between the creation of another space and its Ready condition.
const MAX_WRITES_MEANWHILE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn failing_spaces_do_not_delay_others() -> Result<()> {
    let _exclusive = EXCLUSIVE.lock().await;
    let world = World::start(&[]).await?;
    let admin = world.admin();
    let names: Vec<String> = (0..FAILING_SPACES).map(|number| format!("stuck-{number}")).collect();
    let webhook = BrokenWebhook::start().await?;
    admin.create(&webhook.configuration("name-registry", &["namespaces"], &names)).await?;
    let mut audit = world.cluster().audit_from_now()?;
    stream::iter(&names)
        .map(|name| async move {
            let object = space(name, json!({"className": "standard", "owner": user(&format!("{name}@example.com"))}));
            admin.create(&object).await.map(drop)
        })
        .buffer_unordered(16)
        .try_collect::<()>()
        .await?;
    eventually("all of them to say so", Duration::from_secs(600), || async {
        let spaces = admin.list("DeveloperSpace", "").await?;
        let failed = spaces.iter().filter(|space| condition(space, "Ready")["reason"] == "ApplyFailed").count();
        ensure!(failed == FAILING_SPACES, "{failed} of {FAILING_SPACES} say ApplyFailed");
        Ok(Some(()))
    })
    .await?;
    let others: Vec<String> = (0..20).map(|number| format!("violet-{number}")).collect();
    for name in &others {
        world
            .create_ready_space(
                name,
                json!({"className": "standard", "owner": user(&format!("owner-of-{name}@example.com"))}),
            )
            .await?;
    }
    let (spaces, written): (Vec<AuditEntry>, Vec<AuditEntry>) =
        audit.read()?.into_iter().filter(AuditEntry::mutates).partition(|entry| entry.user != USER);
    let failing_names: HashSet<&str> = names.iter().map(String::as_str).collect();
    let failing_writes: Vec<&AuditEntry> =
        written.iter().filter(|entry| failing_names.contains(space_name_of(entry))).collect();
    let mut by_space: HashMap<&str, Vec<&AuditEntry>> = HashMap::new();
    for entry in &failing_writes {
        by_space.entry(space_name_of(entry)).or_default().push(entry);
    }
    for (name, of_space) in by_space {
        let within = writes_in_first_minute(&of_space);
        ensure!(within <= 6, "{within} writes about {name} in its first minute");
    }
    let mut counts = Vec::new();
    for name in &others {
        let (Some(begin), Some(end)) = (creation_time(&spaces, name), ready_time(&written, name)) else {
            bail!("the audit log lacks {name}")
        };
        counts.push(failing_writes.iter().filter(|entry| (begin..end).contains(&entry.request_received)).count());
    }
    ensure!(
        counts.iter().all(|count| *count <= MAX_WRITES_MEANWHILE),
        "writes about failing spaces while others became Ready: {counts:?}"
    );
    world.ensure_operator_ready().await
}

/// The space that a write is about.
fn space_name_of(entry: &AuditEntry) -> &str {
    let sent = |pointer| entry.request_object.as_ref().map_or("", |object| text(object, pointer));
    let names = [sent("/regarding/name"), &entry.namespace, &entry.name, sent("/metadata/name")];
    names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
}

/// The number of writes in the minute that begins with the first refusal.
fn writes_in_first_minute(written: &[&AuditEntry]) -> usize {
    let Some(first) = written.iter().find(|entry| entry.code == 500) else { return 0 };
    let minute = first.request_received..first.request_received + TimeDelta::minutes(1);
    written.iter().filter(|entry| minute.contains(&entry.request_received)).count()
}

/// The time at which the space was created.
fn creation_time(written: &[AuditEntry], name: &str) -> Option<DateTime<Utc>> {
    let is_creation = |entry: &&AuditEntry| {
        entry.verb == "create" && entry.resource == "developerspaces" && space_name_of(entry) == name
    };
    written.iter().find(is_creation).map(|entry| entry.request_received)
}

/// The time at which the operator reported the space as Ready.
fn ready_time(written: &[AuditEntry], name: &str) -> Option<DateTime<Utc>> {
    let is_ready_report = |entry: &&AuditEntry| {
        space_name_of(entry) == name
            && entry.subresource == "status"
            && entry.request_object.as_ref().is_some_and(|space| holds(space, "Ready"))
    };
    written.iter().find(is_ready_report).map(|entry| entry.request_received)
}

/// A space whose annotations do not compress.
fn large_space(number: usize) -> Value {
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(ANNOTATION_BYTES).collect();
    let mut space =
        space(&format!("fat-{number}"), json!({"className": "standard", "owner": user("greta@example.com")}));
    space["metadata"]["annotations"] = json!({"example.com/noise": noise});
    space
}

/// Opens a connection that never ends the head of its request. The server may have closed it before all of it was sent.
async fn open_incomplete_request(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.context("the operator does not listen")?;
    let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(400_000));
    let _ = tokio::time::timeout(Duration::from_millis(100), stream.write_all(head.as_bytes())).await;
    Ok(stream)
}
