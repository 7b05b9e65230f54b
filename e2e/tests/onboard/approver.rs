//! Certificates that somebody else has to approve: the approver, nobody, or a signer that does not sign.

use std::process::Command;

use anyhow::{Result, bail, ensure};
use e2e::binaries;
use e2e::fixtures::SOON;
use e2e::{eventually, process::Process};

use crate::stage::{DAVE, Stage, ensure_sentence};

const BOB: &str = "bob@example.com";

/// Runs the approver with the rights of `config/approver`.
async fn start(stage: &Stage) -> Result<Process> {
    let role = binaries::repository().join("config/approver/role.yaml").to_string_lossy().into_owned();
    let cluster = stage.world.cluster();
    cluster.kubectl(&["apply", "-f", &role]).await?.ok()?;
    let kubeconfig = stage.world.account("approver", "developerspace-approver").await?;
    let mut command = Command::new(binaries::operator()?);
    command.arg("approve").env("KUBECONFIG", kubeconfig);
    Process::start("approver", command, &stage.file("approver.log"))
}

pub async fn requests_are_judged(stage: &Stage) -> Result<()> {
    let mut approver = start(stage).await?;
    let file = stage.file("uma");
    // Bob may ask for others, and may not approve.
    stage.onboard(BOB, &["uma@example.com", "--auth", "cert", "--name", "uma-lab"], &file).await?.ok()?;
    stage.opens_only(&file, "uma-lab", "default").await?;
    let events = stage.dspace(DAVE, &["events", "uma-lab"]).await?.ok()?;
    ensure!(events.contains("CertificateApproved"), "no Event tells of it: {events}");

    // A request in another's name for a space of hers.
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(vec![])?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "admin");
    let request = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(params.serialize_request(&key)?.pem()?)
    };
    let forged = serde_json::json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": "forged", "labels": {"developerspace.dev/space": "uma-lab"}},
        "spec": {"request": request, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"], "expirationSeconds": 3600},
    });
    let cluster = stage.world.cluster();
    let kubeconfig = cluster.kubeconfig_of(BOB);
    cluster.kubectl_with(&kubeconfig, &["create", "-f", "-"], Some(&forged.to_string())).await?.ok()?;
    let verdict = eventually("the forged request to be judged", SOON, || async {
        let conditions = cluster.kubectl(&["get", "csr", "forged", "-o", "jsonpath={.status.conditions}"]).await?.ok()?;
        if conditions.is_empty() {
            bail!("nobody has decided");
        }
        Ok(Some(conditions))
    })
    .await?;
    ensure!(verdict.contains("Denied") && verdict.contains("neither the owner of DeveloperSpace uma-lab nor a member"), "{verdict}");
    approver.check_alive()?;
    let status = approver.terminate(std::time::Duration::from_secs(20)).await?;
    ensure!(status.success(), "the approver ended with {status}");
    Ok(())
}

pub async fn nobody_signs(stage: &Stage) -> Result<()> {
    let cluster = stage.world.cluster();
    let file = stage.file("xena");
    let arguments = ["xena@example.com", "--auth", "cert", "--name", "xena-lab", "--timeout", "6s"];
    // Nobody approves: bob may not, and no approver runs.
    let output = stage.onboard(BOB, &arguments, &file).await?;
    ensure_sentence(&output, "nobody approved")?;
    ensure!(output.stderr.contains("--auth oidc") && !file.exists(), "{}", output.stderr);
    cluster.stop_component("kube-controller-manager")?;
    let output = stage.onboard(DAVE, &arguments, &file).await?;
    ensure_sentence(&output, "was approved and never signed")?;
    ensure!(!file.exists(), "a file was written");
    // Run again once it can be done, it completes.
    cluster.start_component("kube-controller-manager")?;
    stage.onboard(DAVE, &[&arguments[..4], &["xena-lab"]].concat(), &file).await?.ok()?;
    stage.opens_only(&file, "xena-lab", "default").await
}
