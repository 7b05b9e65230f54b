//! By certificate: the cluster's own signer signs it, for the user only, and it does not outlive the space.

use std::fs;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use e2e::fixtures::{a_namespace, a_space, expires_at, holds, now, rfc3339, text, uid_of, user};
use serde_json::{Value, json};
use x509_parser::{certificate::X509Certificate, parse_x509_certificate, pem::parse_x509_pem};

use crate::{
    newcomer::Newcomer,
    people::{RITA, SVEN},
    results::{check_kubeconfig, ensure_nothing_written, error_sentence},
    setup::OnboardingSetup,
};

/// The contents of a certificate.
pub(crate) struct IssuedCertificate {
    /// The subject, for example `CN=nadia@example.com`.
    pub subject: String,
    /// The signer's name.
    pub issuer: String,
    /// Its serial number.
    pub serial: String,
    /// The time at which it expires.
    pub not_after: DateTime<Utc>,
}

impl IssuedCertificate {
    /// Reads the certificate in a user entry of a kubeconfig.
    pub(crate) fn from_user(user: &Value) -> Result<Self> {
        let data = user["client-certificate-data"].as_str().context("the user has no certificate")?;
        ensure!(
            user["client-key-data"].is_string() && user["token"].is_null() && user["exec"].is_null(),
            "the user has something else"
        );
        let pem = STANDARD.decode(data).context("the certificate is not base64")?;
        let (_, block) = parse_x509_pem(&pem).map_err(|error| anyhow!("the certificate is not PEM: {error}"))?;
        let (_, certificate) = parse_x509_certificate(&block.contents)
            .map_err(|error| anyhow!("the certificate cannot be read: {error}"))?;
        Self::read(&certificate)
    }

    fn read(certificate: &X509Certificate<'_>) -> Result<Self> {
        let usage = certificate.extended_key_usage()?.context("the certificate does not say what it is for")?.value;
        ensure!(usage.client_auth && !usage.server_auth && !usage.any, "the certificate is for {usage:?}");
        ensure!(!certificate.is_ca(), "the certificate is an authority's");
        ensure!(certificate.subject_alternative_name()?.is_none(), "the certificate has other names");
        let end = certificate.validity().not_after.timestamp();
        Ok(Self {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            serial: certificate.raw_serial_as_string(),
            not_after: DateTime::from_timestamp(end, 0).context("the certificate's end is no time")?,
        })
    }
}

/// A user who may approve does so, and the newcomer's kubectl works.
pub(crate) async fn a_help_desk_issues_a_certificate(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "orchid-lab";
    let file = setup.kubeconfig_path("nadia")?;
    let arguments = [
        "onboard",
        "nadia@example.com",
        "--class",
        "greenhouse",
        "--name",
        SPACE,
        "--ttl",
        "2h",
        "--auth",
        "cert",
        "-o",
        &file,
    ];
    let output = setup.dspace(RITA, &arguments).await?.ok()?;
    ensure!(output.contains(&format!("export KUBECONFIG={file}")), "it does not say what comes next: {output}");
    let space = setup.admin.get(a_space(SPACE)).await?;
    let certificate = IssuedCertificate::from_user(&check_kubeconfig(&file, SPACE)?)?;
    ensure!(certificate.subject == "CN=nadia@example.com", "the certificate is for {}", certificate.subject);
    ensure!(certificate.issuer == "CN=developerspace-e2e", "it was signed by {}", certificate.issuer);
    let space_end = expires_at(&space)?;
    ensure!(
        now() < certificate.not_after && certificate.not_after <= space_end,
        "it ends at {}, and the space at {space_end}",
        certificate.not_after
    );
    Newcomer::new(setup, &file).ensure_access_only_to(SPACE).await?;

    let events = setup.events_about(SPACE, "CertificateIssued").await?;
    let [event] = events.as_slice() else { bail!("{} Events tell of a certificate", events.len()) };
    let (note, end) = (text(event, "/note"), rfc3339(certificate.not_after));
    ensure!(
        note.contains(&certificate.serial) && note.contains(&end) && note.contains("nadia@example.com"),
        "the Event says {note}"
    );
    ensure!(text(event, "/regarding/uid") == uid_of(&space), "the Event is about {}", event["regarding"]);

    // The same command replaces the file, and nothing else.
    setup.dspace(RITA, &arguments).await?.ok()?;
    let second = IssuedCertificate::from_user(&check_kubeconfig(&file, SPACE)?)?;
    ensure!(
        second.serial != certificate.serial && second.subject == certificate.subject,
        "{} was written again",
        second.serial
    );
    let found = setup.admin.get(a_space(SPACE)).await?;
    ensure!(uid_of(&found) == uid_of(&space) && found["spec"] == space["spec"], "the space is another: {found}");
    Newcomer::new(setup, &file).kubectl(&["get", "deployment", "hello"]).await?.ok().map(drop)
}

/// The command adds to an existing kubeconfig, whose other entries still work.
pub(crate) async fn an_existing_kubeconfig_is_extended(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "fern-lab";
    let file = setup.kubeconfig_path("selma")?;
    fs::copy(setup.cluster.kubeconfig_of(RITA), &file)?;
    let arguments = [
        "onboard",
        "selma@example.com",
        "--class",
        "greenhouse",
        "--name",
        SPACE,
        "--auth",
        "cert",
        "--merge",
        "-o",
        &file,
    ];
    setup.dspace(RITA, &arguments).await?.ok()?;
    let certificate = IssuedCertificate::from_user(&check_kubeconfig(&file, SPACE)?)?;
    ensure!(certificate.subject == "CN=selma@example.com", "the certificate is for {}", certificate.subject);
    let newcomer = Newcomer::new(setup, &file);
    for (context, name) in [(SPACE, "selma@example.com"), (RITA, RITA)] {
        let whoami = newcomer
            .kubectl(&["auth", "whoami", "--context", context, "-o", "jsonpath={.status.userInfo.username}"])
            .await?;
        ensure!(whoami.stdout == name, "{context} is {}{}", whoami.stdout, whoami.stderr);
    }
    Ok(())
}

/// No user approves the request: the command ends with one sentence, which names the remaining ways.
pub(crate) async fn a_request_without_an_approval_ends_with_an_error(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "moss-lab";
    let file = setup.kubeconfig_path("tomas")?;
    // The space is ready, so that the whole timeout is for the certificate.
    setup.create_ready_space(SPACE, json!({"className": "greenhouse", "owner": user("tomas@example.com")})).await?;
    let arguments = [
        "onboard",
        "tomas@example.com",
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
    let sentence = error_sentence(&setup.dspace(SVEN, &arguments).await?)?;
    ensure!(sentence.contains("approve") && sentence.contains("oidc") && sentence.contains("token"), "{sentence}");
    ensure_nothing_written(&file)
}

/// A user who may approve denies the request.
pub(crate) async fn a_denied_request_ends_with_an_error(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "ivy-lab";
    let file = setup.kubeconfig_path("ulrike")?;
    let arguments =
        ["onboard", "ulrike@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let denied = async {
        let request = setup.until_open_request(SPACE, "").await?;
        setup.cluster.kubectl(&["certificate", "deny", &request]).await?.ok()
    };
    let (output, denied) = tokio::join!(setup.dspace(SVEN, &arguments), denied);
    let output = output?;
    denied.with_context(|| output.stderr.clone())?;
    let sentence = error_sentence(&output)?;
    ensure!(sentence.contains("denied"), "{sentence}");
    ensure_nothing_written(&file)
}

/// The space ends while the command waits for an approval: a certificate that is approved afterwards is of no use, and
/// is not handed over.
pub(crate) async fn a_space_that_expires_meanwhile_grants_no_access(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "cactus-lab";
    let file = setup.kubeconfig_path("boris")?;
    let arguments =
        ["onboard", "boris@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    let expiry = async {
        let request = setup.until_open_request(SPACE, "").await?;
        // A notice would postpone the end if only the ttl were shortened.
        let renewed_at = rfc3339(now());
        setup.admin.patch(a_space(SPACE), json!({"spec": {"ttl": "1s", "renewedAt": renewed_at}})).await?;
        setup.until("to be over", a_space(SPACE), |space| holds(space, "Expired")).await?;
        setup.until_gone(a_namespace(SPACE)).await?;
        setup.cluster.kubectl(&["certificate", "approve", &request]).await?.ok()
    };
    let (output, expiry) = tokio::join!(setup.dspace(SVEN, &arguments), expiry);
    let output = output?;
    expiry.with_context(|| output.stderr.clone())?;
    error_sentence(&output)?;
    ensure_nothing_written(&file)
}
