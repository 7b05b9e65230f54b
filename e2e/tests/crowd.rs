//! One developer cannot starve the operator: neither by what the objects carry nor by connections to its ports.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use e2e::fixtures::{World, a_space, holds, is_observed, space, user};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SPACES: usize = 300;
const CONNECTIONS: usize = 900;

/// Nearly as much as the API server takes in annotations.
const FAT: usize = 190_000;

/// The memory limit of the shipped Deployment.
const LIMIT: u64 = 256 * 1_024 * 1_024;

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_fat_spaces_and_held_connections() -> Result<()> {
    let shipped = std::fs::read_to_string(e2e::binaries::repository().join("config/manager/deployment.yaml"))?;
    ensure!(shipped.contains("memory: 256Mi"), "the shipped limit is another by now");
    let world = World::start(&[]).await?;
    world.stop_operator().await?;
    let admin = world.admin();
    // Somebody who holds `assign` made them, or they are older than the policy that bounds metadata.
    stream::iter(0..SPACES)
        .map(|number| async move { admin.create(&fat(number)).await.map(drop) })
        .buffer_unordered(8)
        .try_collect::<()>()
        .await?;
    world.start_operator().await?;
    let mut held = Vec::new();
    for port in world.operator_ports().await?.into_iter().cycle().take(CONNECTIONS) {
        held.push(half_a_request(port).await?);
    }
    world.with_space("orchid-lab", json!({"className": "standard", "owner": user("ada@example.com")})).await?;
    let last = format!("fat-{}", SPACES - 1);
    world
        .until("to be looked at", a_space(&last), |space| {
            ensure!(is_observed(space) && !holds(space, "Reconciling"), "its status is {}", space["status"]);
            Ok(())
        })
        .await?;
    world.ensure_operator_is_well().await?;
    let peak = world.operator_peak().await?;
    ensure!(peak < LIMIT, "the operator held {} MiB", peak / 1_024 / 1_024);
    drop(held);
    Ok(())
}

/// A space whose annotations do not compress.
fn fat(number: usize) -> Value {
    let noise: String = std::iter::repeat_with(fastrand::alphanumeric).take(FAT).collect();
    let mut space = space(&format!("fat-{number}"), json!({"className": "standard", "owner": user("greta@example.com")}));
    space["metadata"]["annotations"] = json!({"example.com/noise": noise});
    space
}

/// A connection that never ends the head of its request. The server may have closed it before all of it was sent.
async fn half_a_request(port: u16) -> Result<TcpStream> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.context("the operator does not listen")?;
    let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(400_000));
    let _ = tokio::time::timeout(std::time::Duration::from_millis(100), stream.write_all(head.as_bytes())).await;
    Ok(stream)
}
