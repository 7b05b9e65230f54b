//! Clusters with other signers: one whose certificates are short-lived, and one that never signs.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use chrono::SecondsFormat;
use e2e::{
    eventually,
    fixtures::{Actor, code, user},
    kubeconfig,
};
use serde_json::json;

use crate::{
    certificate::IssuedCertificate,
    judge::{nothing_written, one_sentence, written},
    newcomer::Newcomer,
    people::RITA,
    stage::Stage,
};

/// The duration that such a signer grants, whatever is requested: long enough to use the certificate before it expires.
const MOMENT: &str = "--cluster-signing-duration=60s";
const WELL_OVER: Duration = Duration::from_secs(180);
const NO_SIGNER: &str = "--controllers=-certificatesigningrequest-signing-controller";

/// The certificate may end sooner than requested. It works until then, and the API server rejects it afterwards.
pub async fn a_certificate_is_used_until_it_ends() -> Result<()> {
    const SPACE: &str = "dawn-lab";
    let stage = Stage::set(&[MOMENT]).await?;
    let file = stage.file("igor")?;
    let arguments = ["onboard", "igor@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let output = stage.dspace(RITA, &arguments).await?;
    let told = output.stderr.clone();
    output.ok()?;
    let end = IssuedCertificate::from_user(&written(&file, SPACE)?)?.not_after.to_rfc3339_opts(SecondsFormat::Secs, true);
    ensure!(told.contains(&end), "the certificate ends at {end}, and what was told is {told}");
    Newcomer::new(&stage, &file).works_there_and_nowhere_else(SPACE).await?;
    eventually("the certificate to be over", WELL_OVER, || async {
        let igor = Actor::new(kubeconfig::client(file.as_ref()).await?);
        match igor.list("Pod", SPACE).await {
            Ok(pods) => bail!("it still works: {} pods", pods.len()),
            Err(error) => Ok((code(&error) == Some(401)).then_some(())),
        }
    })
    .await?;
    let refused = Newcomer::new(&stage, &file).kubectl(&["get", "pods"]).await?.refused()?;
    ensure!(!refused.contains("forbidden"), "{refused}");
    // The same command gets a new one.
    stage.dspace(RITA, &arguments).await?.ok()?;
    Newcomer::new(&stage, &file).kubectl(&["get", "deployment", "hello"]).await?.ok().map(drop)
}

/// As on some hosted clusters: the request is approved, and never signed.
pub async fn a_request_that_nobody_signs_ends_in_one_sentence() -> Result<()> {
    const SPACE: &str = "dusk-lab";
    let stage = Stage::set(&[NO_SIGNER]).await?;
    let file = stage.file("jana")?;
    // The space is ready, so that the whole timeout is for the certificate.
    stage.create_ready_space(SPACE, json!({"className": "greenhouse", "owner": user("jana@example.com")})).await?;
    let arguments =
        ["onboard", "jana@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "--timeout", "10s", "-o", &file];
    let sentence = one_sentence(&stage.dspace(RITA, &arguments).await?)?;
    ensure!(sentence.contains("not signed") && sentence.contains("oidc") && sentence.contains("token"), "{sentence}");
    nothing_written(&file)
}
