//! Clusters with other signers: one whose certificates are short-lived, and one that never signs.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use e2e::{
    eventually,
    fixtures::{Actor, code, rfc3339, user},
    kubeconfig,
};
use serde_json::json;

use crate::{
    certificate::IssuedCertificate,
    newcomer::Newcomer,
    people::RITA,
    results::{check_kubeconfig, ensure_nothing_written, error_sentence},
    setup::OnboardingSetup,
};

/// The duration that the signer grants, whatever is requested: long enough to use the certificate before it expires.
const SHORT_SIGNING_DURATION: &str = "--cluster-signing-duration=60s";
const EXPIRY_TIMEOUT: Duration = Duration::from_secs(180);
const NO_SIGNER: &str = "--controllers=-certificatesigningrequest-signing-controller";

/// The certificate may end sooner than requested. It works until then, and the API server rejects it afterwards.
pub(crate) async fn a_short_lived_certificate_works_until_it_expires() -> Result<()> {
    const SPACE: &str = "dawn-lab";
    let setup = OnboardingSetup::start(&[SHORT_SIGNING_DURATION]).await?;
    let file = setup.kubeconfig_path("igor")?;
    let arguments =
        ["onboard", "igor@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let output = setup.dspace(RITA, &arguments).await?;
    let messages = output.stderr.clone();
    output.ok()?;
    let end = rfc3339(IssuedCertificate::from_user(&check_kubeconfig(&file, SPACE)?)?.not_after);
    ensure!(messages.contains(&end), "the certificate ends at {end}, and what was told is {messages}");
    Newcomer::new(&setup, &file).ensure_access_only_to(SPACE).await?;
    eventually("the certificate to be over", EXPIRY_TIMEOUT, || async {
        let igor = Actor::new(kubeconfig::client(file.as_ref()).await?);
        match igor.list("Pod", SPACE).await {
            Ok(pods) => bail!("it still works: {} pods", pods.len()),
            Err(error) => Ok((code(&error) == Some(401)).then_some(())),
        }
    })
    .await?;
    let refused = Newcomer::new(&setup, &file).kubectl(&["get", "pods"]).await?.refused()?;
    ensure!(!refused.contains("forbidden"), "{refused}");
    // The same command gets a new one.
    setup.dspace(RITA, &arguments).await?.ok()?;
    Newcomer::new(&setup, &file).kubectl(&["get", "deployment", "hello"]).await?.ok().map(drop)
}

/// As on some hosted clusters: the request is approved, and never signed.
pub(crate) async fn a_request_without_a_signature_ends_with_an_error() -> Result<()> {
    const SPACE: &str = "dusk-lab";
    let setup = OnboardingSetup::start(&[NO_SIGNER]).await?;
    let file = setup.kubeconfig_path("jana")?;
    // The space is ready, so that the whole timeout is for the certificate.
    setup.create_ready_space(SPACE, json!({"className": "greenhouse", "owner": user("jana@example.com")})).await?;
    let arguments = [
        "onboard",
        "jana@example.com",
        "--class",
        "greenhouse",
        "--name",
        SPACE,
        "--auth",
        "cert",
        "--timeout",
        "10s",
        "-o",
        &file,
    ];
    let sentence = error_sentence(&setup.dspace(RITA, &arguments).await?)?;
    ensure!(sentence.contains("not signed") && sentence.contains("oidc") && sentence.contains("token"), "{sentence}");
    ensure_nothing_written(&file)
}
