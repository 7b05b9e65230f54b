//! Owns the scenes of the demo and their order.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{
    cluster::{ALICE, DemoCluster},
    screen::Screen,
    space::{self, await_true},
};
use crate::{binaries, wait::eventually};

const SPACE: &str = "alice-payments";
const NEIGHBOUR: &str = "bob-checkout";
const SHORT: &str = "alice-quick-try";
const SAMPLE: &str = "config/samples/alice-payments.yaml";
const SOON: Duration = Duration::from_secs(60);
/// On a user's own cluster an image has to be pulled first.
const PODS_WITHIN: Duration = Duration::from_secs(180);
/// The label that marks the demo's own spaces.
const DEMO_LABEL: &str = "example.com/demo=true";

/// Runs all scenes.
pub(super) async fn run(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    delete_previous_spaces(cluster, screen).await?;
    request_a_space(cluster, screen).await?;
    onboard_alice(cluster, screen).await?;
    show_created_objects(cluster, screen).await?;
    show_permissions(cluster, screen).await?;
    show_expiry(cluster, screen).await
}

/// Deletes the spaces of the last demo, which a reused cluster may still have. Other spaces of the same names are not
/// deleted.
async fn delete_previous_spaces(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    let spaces = cluster.kubectl(&["get", "dspace", "-o", "name", "-l", DEMO_LABEL]).await?.ok()?;
    if !spaces.trim().is_empty() {
        let gone = async { cluster.kubectl(&["delete", "dspace", "-l", DEMO_LABEL, "--timeout=120s"]).await?.ok() };
        screen.step("The last demo's spaces deleted", gone).await?;
    }
    for name in [SPACE, NEIGHBOUR, SHORT] {
        let left = cluster.kubectl(&["get", "dspace", name, "--ignore-not-found", "-o", "name"]).await?.ok()?;
        ensure!(
            left.trim().is_empty(),
            "there is a DeveloperSpace {name} on this cluster that is not the demo's: use another cluster"
        );
    }
    Ok(())
}

async fn request_a_space(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    screen.scene("1. A portal asks for a space for alice");
    let file = binaries::repository().join(SAMPLE).to_string_lossy().into_owned();
    let spaces = space::api(cluster.client.clone());
    let output = cluster.kubectl(&["apply", "-f", &file]).await?.ok()?;
    screen.command("portal", &format!("kubectl apply -f {SAMPLE}"), &output);
    let started = Instant::now();
    await_true(&spaces, SPACE, "Ready", SOON).await?;
    screen.done(format!("{SPACE} is Ready"), started.elapsed());
    cluster.kubectl(&["label", "dspace", SPACE, DEMO_LABEL]).await?.ok()?;
    cluster.apply(include_str!("neighbour.yaml")).await?;
    await_true(&spaces, NEIGHBOUR, "Ready", SOON).await.map(drop)
}

async fn onboard_alice(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    let Some(file) = cluster.alices_kubeconfig() else { return Ok(()) };
    screen.scene("2. From nothing to a working kubectl: alice has no credential at all yet");
    // The kubeconfig of the last demo is for a cluster that no longer exists.
    let _ = std::fs::remove_file(&file);
    let file = file.to_string_lossy().into_owned();
    let arguments = ["onboard", ALICE, "--name", SPACE, "--auth", "cert", "-o", &file];
    let started = Instant::now();
    let result = cluster.plugin(&arguments).await?;
    let output = format!("{}{}", result.stderr, result.clone().ok()?);
    screen.command(
        "portal",
        &format!("kubectl dspace onboard {ALICE} --name {SPACE} --auth cert -o alice.kubeconfig"),
        &output,
    );
    screen.done("alice's certificate is signed, and her kubeconfig tried", started.elapsed());
    Ok(())
}

async fn show_created_objects(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    screen.scene("3. What that made");
    let shown: [&[&str]; 2] = [
        &[
            "get",
            "namespace",
            SPACE,
            "-o",
            "custom-columns=NAMESPACE:.metadata.name,OWNER:.metadata.annotations.developerspace\\.dev/owner,TEAM:.metadata.annotations.developerspace\\.dev/contact-team,EMAIL:.metadata.annotations.developerspace\\.dev/contact-email,EXPIRES:.metadata.annotations.developerspace\\.dev/expires-at",
        ],
        &["-n", SPACE, "get", "quota,limits,networkpolicies,rolebindings"],
    ];
    let output = cluster.plugin(&["list"]).await?.ok()?;
    screen.command("", "kubectl dspace list", &output);
    for arguments in shown {
        let output = cluster.kubectl(arguments).await?.ok()?;
        // The column paths are long and add nothing to the headings.
        let shown_arguments: Vec<&str> = arguments
            .iter()
            .map(|&argument| if argument.starts_with("custom-") { "custom-columns=…" } else { argument })
            .collect();
        screen.command("", &format!("kubectl {}", shown_arguments.join(" ")), &without_blank_lines(&output));
    }
    Ok(())
}

async fn show_permissions(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    screen.scene("4. What alice can do there, and nowhere else");
    let create = ["create", "deployment", "web", "--image=nginx", "--replicas=2", "-n", SPACE];
    let output = cluster.as_alice(&create, None).await?.ok()?;
    screen.command("alice", &format!("kubectl {}", create.join(" ")), &output);
    let started = Instant::now();
    eventually("alice's pods to run", PODS_WITHIN, || async {
        let ready = ["get", "deployment", "web", "-n", SPACE, "-o", "jsonpath={.status.readyReplicas}"];
        Ok((cluster.as_alice(&ready, None).await?.ok()? == "2").then_some(()))
    })
    .await
    .with_context(|| format!("alice's pods do not run: `kubectl -n {SPACE} get events` says why"))?;
    screen.done("her two pods run", started.elapsed());
    for namespace in ["default", NEIGHBOUR] {
        let arguments = ["create", "deployment", "web", "--image=nginx", "-n", namespace];
        let output = cluster.as_alice(&arguments, None).await?.refused()?;
        screen.command("alice", &format!("kubectl {}", arguments.join(" ")), &output);
    }
    let output =
        cluster.as_alice(&["apply", "-n", SPACE, "-f", "-"], Some(include_str!("too-big.yaml"))).await?.refused()?;
    screen.command("alice", "kubectl apply -f five-cpus.yaml      # the quota is 4", &last_line(&output));
    Ok(())
}

async fn show_expiry(cluster: &DemoCluster, screen: &Screen) -> Result<()> {
    screen.scene("5. A space for 20 seconds, of a class that warns 10 seconds before");
    let spaces = space::api(cluster.client.clone());
    let namespaces: Api<Namespace> = Api::all(cluster.client.clone());
    cluster.apply(include_str!("short-class.yaml")).await?;
    cluster.apply(include_str!("short-lived.yaml")).await?;
    let started = Instant::now();
    await_true(&spaces, SHORT, "Ready", SOON).await?;
    screen.done("ready", started.elapsed());
    let expiring = await_true(&spaces, SHORT, "Expiring", SOON).await?;
    screen.done(format!("warned: {}", expiring.message), started.elapsed());
    let expired = await_true(&spaces, SHORT, "Expired", SOON).await?;
    screen.done(format!("sealed: {}", expired.message), started.elapsed());
    eventually("the namespace to be gone", SOON, || async {
        Ok(namespaces.get_opt(SHORT).await?.is_none().then_some(()))
    })
    .await
    .with_context(|| format!("the namespace is still there: `kubectl get dspace {SHORT} -o yaml` says why"))?;
    screen.done("its namespace is gone", started.elapsed());
    let patch = ["patch", "dspace", SHORT, "--type=merge", "-p", r#"{"spec":{"ttl":"1d"}}"#];
    let output = cluster.kubectl(&patch).await?.refused()?;
    screen.command(
        "portal",
        &format!("kubectl patch dspace {SHORT} --type=merge -p '{}'      # too late", patch[5]),
        &last_line(&output),
    );
    let output = cluster.kubectl(&["get", "dspace"]).await?.ok()?;
    screen.command("", "kubectl get dspace", &output);
    Ok(())
}

fn without_blank_lines(text: &str) -> String {
    text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

fn last_line(text: &str) -> String {
    text.trim_end().lines().last().unwrap_or_default().to_owned()
}
