//! Three ways into a space, each with a credential that is real.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use e2e::eventually;
use e2e::fixtures::{a_space, text, time, uid_of};
use serde_json::{Value, json};
use x509_parser::parse_x509_certificate;
use x509_parser::pem::parse_x509_pem;

use crate::stage::{DAVE, Stage};

fn kubeconfig(file: &std::path::Path) -> Result<Value> {
    Ok(serde_saphyr::from_str(&fs::read_to_string(file)?)?)
}

pub async fn a_certificate_is_signed_and_opens_one_space(stage: &Stage) -> Result<()> {
    stage.onboard(DAVE, &["nina@example.com", "--auth", "token", "--name", "nina-fields"], &stage.file("nina")).await?.ok()?;
    let file = stage.file("petra");
    let arguments = ["petra@example.com", "--auth", "cert", "--name", "petra-lab"];
    let said = stage.onboard(DAVE, &arguments, &file).await?.ok()?;
    ensure!(said.lines().count() == 3 && said.contains("export KUBECONFIG="), "the next three commands are {said}");
    stage.opens_only(&file, "petra-lab", "nina-fields").await?;

    let data = text(&kubeconfig(&file)?, "/users/0/user/client-certificate-data").to_owned();
    let pem = base64::engine::general_purpose::STANDARD.decode(data)?;
    let (_, block) = parse_x509_pem(&pem)?;
    let (_, certificate) = parse_x509_certificate(&block.contents)?;
    ensure!(certificate.subject().to_string() == "CN=petra@example.com", "the subject is {}", certificate.subject());
    let space = stage.world.ready("petra-lab").await?;
    let (ends, expires) = (certificate.validity().not_after.timestamp(), time(&space, "/status/expiresAt")?.timestamp());
    ensure!(ends <= expires, "the certificate ends at {ends}, after the space at {expires}");
    let serial = certificate.raw_serial_as_string();
    let events = stage.dspace(DAVE, &["events", "petra-lab"]).await?.ok()?;
    ensure!(events.contains("CertificateIssued") && events.contains(&serial), "no Event has the serial {serial}: {events}");

    // Again: the same space, a fresh file.
    stage.onboard(DAVE, &arguments, &file).await?.ok()?;
    let again = stage.world.ready("petra-lab").await?;
    ensure!(uid_of(&again) == uid_of(&space), "the space was made anew");
    let left = stage.world.cluster().kubectl(&["get", "csr", "-l", "developerspace.dev/space=petra-lab", "-o", "name"]).await?.ok()?;
    ensure!(left.is_empty(), "requests are left: {left}");
    Ok(())
}

pub async fn a_token_opens_one_space(stage: &Stage) -> Result<()> {
    let file = stage.file("olga");
    stage.onboard(DAVE, &["olga@example.com", "--auth", "token", "--name", "olga-lab", "--duration", "30m"], &file).await?.ok()?;
    let who = stage.kubectl(&file, &["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]).await?.ok()?;
    ensure!(who == "system:serviceaccount:olga-lab:ci", "the token is {who}'s");
    stage.opens_only(&file, "olga-lab", "default").await?;
    let space = stage.world.ready("olga-lab").await?;
    let expected = json!([{"kind": "ServiceAccount", "name": "ci", "namespace": "olga-lab", "role": "edit"}]);
    ensure!(space["spec"]["members"] == expected, "members are {}", space["spec"]["members"]);
    Ok(())
}

/// `kubectl oidc-login`, which opens a browser, is played by a script that prints what a login of this provider gave.
async fn log_in(stage: &Stage, email: &str) -> Result<()> {
    let token = stage.issuer.login(email).await?;
    let credential = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}});
    let plugin = stage.file("bin").join("kubectl-oidc_login");
    fs::create_dir_all(stage.file("bin"))?;
    fs::write(&plugin, format!("#!/bin/sh\ncat <<'END'\n{credential}\nEND\n"))?;
    fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

pub async fn a_login_opens_one_space(stage: &Stage) -> Result<()> {
    let wrong = stage.issuer.login_with_wrong_verifier("quinn@example.com").await;
    ensure!(wrong.is_err(), "a login without the verifier was let in");
    let file = stage.file("quinn");
    let output = stage.onboard(DAVE, &["oidc:quinn@example.com", "--auth", "oidc", "--name", "quinn-lab"], &file).await?;
    ensure!(!output.stderr.contains("warning"), "{}", output.stderr);
    output.ok()?;
    let exec = kubeconfig(&file)?["users"][0]["user"]["exec"].clone();
    let expected = json!([
        "oidc-login",
        "get-token",
        format!("--oidc-issuer-url={}", stage.issuer.url()),
        "--oidc-client-id=kubectl",
        "--oidc-pkce-method=S256"
    ]);
    ensure!(exec["command"] == "kubectl" && exec["args"] == expected, "exec is {exec}");
    ensure!(!fs::read_to_string(&file)?.contains("secret"), "the file has a secret");
    // kubectl itself has to be there before the script is found beside it.
    stage.kubectl(&file, &["version", "--client"]).await?.ok()?;
    log_in(stage, "quinn@example.com").await?;
    stage.opens_only(&file, "quinn-lab", "default").await
}

pub async fn a_wrong_prefix_is_warned_of(stage: &Stage) -> Result<()> {
    let file = stage.file("rosa");
    let output = stage.onboard(DAVE, &["rosa@example.com", "--auth", "oidc", "--name", "rosa-lab"], &file).await?;
    ensure!(output.stderr.contains("should be oidc:rosa@example.com"), "no warning: {}", output.stderr);
    output.ok().map(drop)
}

/// With a signer that signs for seconds.
pub async fn a_certificate_ends(stage: &Stage) -> Result<()> {
    let file = stage.file("vera");
    stage.onboard(DAVE, &["vera@example.com", "--auth", "cert", "--name", "vera-lab"], &file).await?.ok()?;
    stage.kubectl(&file, &["get", "pods"]).await?.ok()?;
    eventually("the certificate to end", Duration::from_secs(90), || async {
        let output = stage.kubectl(&file, &["get", "pods"]).await?;
        if output.succeeded() {
            bail!("it is still good");
        }
        let said = output.stderr;
        ensure!(said.contains("Unauthorized") || said.contains("provide credentials") || said.contains("expired"), "{said}");
        Ok(Some(()))
    })
    .await?;
    let space = stage.world.admin().get(a_space("vera-lab")).await?;
    space["status"]["expiresAt"].as_str().map(drop).context("the space has no end")
}
