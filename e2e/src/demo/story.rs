//! Owns the scenes of the demo and their order.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;

use super::{
    screen::Screen,
    space::{self, await_true},
    target::{ALICE, Target},
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
const MARK: &str = "example.com/demo=true";

/// Runs all scenes.
pub(super) async fn tell(target: &Target, screen: &Screen) -> Result<()> {
    clear_up(target, screen).await?;
    a_space_in_a_moment(target, screen).await?;
    a_working_kubectl(target, screen).await?;
    what_is_there(target, screen).await?;
    what_alice_can_do(target, screen).await?;
    when_time_is_up(target, screen).await
}

/// Deletes the spaces of the last demo, which a reused cluster may still have. Other spaces of the same names are not deleted.
async fn clear_up(target: &Target, screen: &Screen) -> Result<()> {
    let spaces = target.kubectl(&["get", "dspace", "-o", "name", "-l", MARK]).await?.ok()?;
    if !spaces.trim().is_empty() {
        let gone = async { target.kubectl(&["delete", "dspace", "-l", MARK, "--timeout=120s"]).await?.ok() };
        screen.step("The last demo's spaces deleted", gone).await?;
    }
    for name in [SPACE, NEIGHBOUR, SHORT] {
        let left = target.kubectl(&["get", "dspace", name, "--ignore-not-found", "-o", "name"]).await?.ok()?;
        ensure!(left.trim().is_empty(), "there is a DeveloperSpace {name} on this cluster that is not the demo's: use another cluster");
    }
    Ok(())
}

async fn a_space_in_a_moment(target: &Target, screen: &Screen) -> Result<()> {
    screen.scene("1. A portal asks for a space for alice");
    let file = binaries::repository().join(SAMPLE).to_string_lossy().into_owned();
    let spaces = space::api(target.client.clone());
    let said = target.kubectl(&["apply", "-f", &file]).await?.ok()?;
    screen.command("portal", &format!("kubectl apply -f {SAMPLE}"), &said);
    let started = Instant::now();
    await_true(&spaces, SPACE, "Ready", SOON).await?;
    screen.done(format!("{SPACE} is Ready"), started.elapsed());
    target.kubectl(&["label", "dspace", SPACE, MARK]).await?.ok()?;
    target.apply(include_str!("neighbour.yaml")).await?;
    await_true(&spaces, NEIGHBOUR, "Ready", SOON).await.map(drop)
}

async fn a_working_kubectl(target: &Target, screen: &Screen) -> Result<()> {
    let Some(file) = target.alices_kubeconfig() else { return Ok(()) };
    screen.scene("2. From nothing to a working kubectl: alice has no credential at all yet");
    // The kubeconfig of the last demo is for a cluster that no longer exists.
    let _ = std::fs::remove_file(&file);
    let file = file.to_string_lossy().into_owned();
    let arguments = ["onboard", ALICE, "--name", SPACE, "--auth", "cert", "-o", &file];
    let started = Instant::now();
    let output = target.plugin(&arguments).await?;
    let said = format!("{}{}", output.stderr, output.clone().ok()?);
    screen.command("portal", &format!("kubectl dspace onboard {ALICE} --name {SPACE} --auth cert -o alice.kubeconfig"), &said);
    screen.done("alice's certificate is signed, and her kubeconfig tried", started.elapsed());
    Ok(())
}

async fn what_is_there(target: &Target, screen: &Screen) -> Result<()> {
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
    let said = target.plugin(&["list"]).await?.ok()?;
    screen.command("", "kubectl dspace list", &said);
    for arguments in shown {
        let output = target.kubectl(arguments).await?.ok()?;
        // The column paths are long and add nothing to the headings.
        let typed: Vec<&str> =
            arguments.iter().map(|&argument| if argument.starts_with("custom-") { "custom-columns=…" } else { argument }).collect();
        screen.command("", &format!("kubectl {}", typed.join(" ")), &without_blank_lines(&output));
    }
    Ok(())
}

async fn what_alice_can_do(target: &Target, screen: &Screen) -> Result<()> {
    screen.scene("4. What alice can do there, and nowhere else");
    let create = ["create", "deployment", "web", "--image=nginx", "--replicas=2", "-n", SPACE];
    let said = target.as_alice(&create, None).await?.ok()?;
    screen.command("alice", &format!("kubectl {}", create.join(" ")), &said);
    let started = Instant::now();
    eventually("alice's pods to run", PODS_WITHIN, || async {
        let ready = ["get", "deployment", "web", "-n", SPACE, "-o", "jsonpath={.status.readyReplicas}"];
        Ok((target.as_alice(&ready, None).await?.ok()? == "2").then_some(()))
    })
    .await
    .with_context(|| format!("alice's pods do not run: `kubectl -n {SPACE} get events` says why"))?;
    screen.done("her two pods run", started.elapsed());
    for namespace in ["default", NEIGHBOUR] {
        let arguments = ["create", "deployment", "web", "--image=nginx", "-n", namespace];
        let said = target.as_alice(&arguments, None).await?.refused()?;
        screen.command("alice", &format!("kubectl {}", arguments.join(" ")), &said);
    }
    let said = target.as_alice(&["apply", "-n", SPACE, "-f", "-"], Some(include_str!("too-big.yaml"))).await?.refused()?;
    screen.command("alice", "kubectl apply -f five-cpus.yaml      # the quota is 4", &last_line(&said));
    Ok(())
}

async fn when_time_is_up(target: &Target, screen: &Screen) -> Result<()> {
    screen.scene("5. A space for 20 seconds, of a class that warns 10 seconds before");
    let spaces = space::api(target.client.clone());
    let namespaces: Api<Namespace> = Api::all(target.client.clone());
    target.apply(include_str!("short-class.yaml")).await?;
    target.apply(include_str!("short-lived.yaml")).await?;
    let started = Instant::now();
    await_true(&spaces, SHORT, "Ready", SOON).await?;
    screen.done("ready", started.elapsed());
    let warned = await_true(&spaces, SHORT, "Expiring", SOON).await?;
    screen.done(format!("warned: {}", warned.message), started.elapsed());
    let sealed = await_true(&spaces, SHORT, "Expired", SOON).await?;
    screen.done(format!("sealed: {}", sealed.message), started.elapsed());
    eventually("the namespace to be gone", SOON, || async { Ok(namespaces.get_opt(SHORT).await?.is_none().then_some(())) })
        .await
        .with_context(|| format!("the namespace is still there: `kubectl get dspace {SHORT} -o yaml` says why"))?;
    screen.done("its namespace is gone", started.elapsed());
    let patch = ["patch", "dspace", SHORT, "--type=merge", "-p", r#"{"spec":{"ttl":"1d"}}"#];
    let said = target.kubectl(&patch).await?.refused()?;
    screen.command("portal", &format!("kubectl patch dspace {SHORT} --type=merge -p '{}'      # too late", patch[5]), &last_line(&said));
    let said = target.kubectl(&["get", "dspace"]).await?.ok()?;
    screen.command("", "kubectl get dspace", &said);
    Ok(())
}

fn without_blank_lines(text: &str) -> String {
    text.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
}

fn last_line(text: &str) -> String {
    text.trim_end().lines().last().unwrap_or_default().to_owned()
}
