//! Hostile text in every field that takes text, and hostile requests at the operator's own endpoints.

use anyhow::{Context, Result, ensure};
use e2e::{
    eventually,
    fixtures::{SOON, a_namespace, a_space, at, ensure_equal, space, text},
};
use serde_json::{Value, json};

use crate::setup::{AttackSetup, CLASS};

/// A word in every hostile text, by which the text is found.
const MARKER: &str = "xyzzy";

/// Text stays text: the namespace holds it unchanged, Events quote it, each line of the log stays one line, and metrics
/// do not contain it.
pub(crate) async fn hostile_text_stays_text(setup: &AttackSetup) -> Result<()> {
    let (world, admin) = (&setup.world, setup.world.admin());
    let hostile = format!("{MARKER}<script>alert(1)</script>\"}} {{\"level\":\"ERROR\"}} \u{202e} $(reboot) {{{{.}}}}");
    let owner = format!("{MARKER}\"><img src=x>@example.com");
    // Names of users must not contain invisible characters.
    let member = hostile.replace('\u{202e}', "");
    let spec = json!({
        "className": CLASS, "owner": {"kind": "User", "name": owner}, "displayName": hostile, "description": format!("{hostile}\n{hostile}"),
        "contact": {"team": hostile, "chat": hostile}, "annotations": {"example.com/note": hostile},
        "members": [{"kind": "Group", "name": member, "role": "view"}],
    });
    setup.dave.create(&space("text-lab", spec)).await?;
    world.until_ready("text-lab").await?;
    let annotations = admin.get(a_namespace("text-lab")).await?["metadata"]["annotations"].clone();
    for (key, written) in [
        ("example.com/note", hostile.as_str()),
        ("developerspace.dev/contact-team", &hostile),
        ("developerspace.dev/contact-chat", &hostile),
        ("openshift.io/display-name", &hostile),
        ("openshift.io/requester", &owner),
    ] {
        ensure_equal(key, &annotations[key], &written.into())?;
    }
    let bound = admin.get(at("RoleBinding", "text-lab", "developerspace-view")).await?;
    ensure_equal("the member", &bound["subjects"][0]["name"], &member.into())?;
    eventually("an Event to quote the owner", SOON, || async {
        let events = admin.list("Event", "default").await?;
        ensure!(events.iter().any(|event| text(event, "/note").contains(&owner)), "none of {} does", events.len());
        Ok(Some(()))
    })
    .await?;
    setup.dave.delete(a_space("text-lab")).await?;
    world.until_gone(a_namespace("text-lab")).await?;
    ensure!(!world.operator_metrics().await?.contains(MARKER), "metrics carry the words of users");
    for line in world.operator_log().await?.lines() {
        let read: Value = serde_json::from_str(line).with_context(|| format!("a line of the log is broken: {line}"))?;
        ensure!(read["target"].is_string(), "a line of the log is forged: {line}");
    }
    Ok(())
}

/// The operator does not speak HTTP/2, whose streams can be reset faster than they are answered (GHSA-qppj-fm5r-hxr3),
/// and does not read an endless header.
pub(crate) async fn hostile_requests_end_early(setup: &AttackSetup) -> Result<()> {
    for port in setup.world.operator_ports().await? {
        ensure!(!e2e::http::speaks_http2(port).await?, "port {port} speaks HTTP/2");
        let endless = e2e::http::get_with(port, "/metrics", &format!("X-Long: {}\r\n", "a".repeat(2 << 20))).await;
        ensure!(
            endless.as_ref().map_or(true, |(status, _)| *status == 431),
            "a header of 2 MiB is answered with {endless:?}"
        );
    }
    setup.world.ensure_operator_ready().await
}
