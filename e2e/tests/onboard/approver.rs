//! With the approver: users who may only request certificates get the ones that are clearly right, and every other
//! request is denied with a message.

use anyhow::{Context, Result, bail, ensure};
use e2e::{eventually, fixtures::SOON};
use k8s_openapi::{
    ByteString,
    api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec},
};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::{
    certificate::IssuedCertificate,
    newcomer::Newcomer,
    people::{SVEN, UWE, VERA},
    results::check_kubeconfig,
    setup::OnboardingSetup,
};

const HOUR: i32 = 60 * 60;

/// A portal may create spaces for others, and may approve nothing.
pub(crate) async fn a_portal_gets_certificates_for_others(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "clover-lab";
    let file = setup.kubeconfig_path("olga")?;
    let arguments =
        ["onboard", "olga@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    setup.dspace(SVEN, &arguments).await?.ok()?;
    let certificate = IssuedCertificate::from_user(&check_kubeconfig(&file, SPACE)?)?;
    ensure!(certificate.subject == "CN=olga@example.com", "the certificate is for {}", certificate.subject);
    Newcomer::new(setup, &file).ensure_access_only_to(SPACE).await?;
    until_event(setup, SPACE, "CertificateApproved").await
}

/// A user with self-service gets a certificate for their own space, too.
pub(crate) async fn owners_get_certificates_for_their_own_spaces(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "shuttle-lab";
    let file = setup.kubeconfig_path("uwe-by-certificate")?;
    setup.dspace(UWE, &["create", SPACE, "--class", "standard", "--team", "weavers"]).await?.ok()?;
    setup.dspace(UWE, &["kubeconfig", SPACE, "--auth", "cert", "-o", &file]).await?.ok()?;
    let certificate = IssuedCertificate::from_user(&check_kubeconfig(&file, SPACE)?)?;
    ensure!(certificate.subject == format!("CN={UWE}"), "the certificate is for {}", certificate.subject);
    Newcomer::new(setup, &file).ensure_access_only_to(SPACE).await?;
    setup.dspace(UWE, &["delete", SPACE]).await?.ok().map(drop)
}

/// A request that the plugin does not create.
#[derive(Default)]
struct ForgedRequest<'a> {
    /// The name of the request.
    name: &'a str,
    /// The space that its label names.
    space: Option<&'a str>,
    user: &'a str,
    organization: Option<&'a str>,
    address: Option<&'a str>,
    seconds: Option<i32>,
}

impl ForgedRequest<'_> {
    fn object(&self) -> Result<CertificateSigningRequest> {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, self.user);
        if let Some(organization) = self.organization {
            subject.push(DnType::OrganizationName, organization);
        }
        let mut params =
            CertificateParams::new(self.address.iter().map(|&address| address.to_owned()).collect::<Vec<_>>())?;
        params.distinguished_name = subject;
        let request = params.serialize_request(&KeyPair::generate()?)?.pem()?;
        let label = |space: &str| ("developerspace.dev/space".to_owned(), space.to_owned());
        Ok(CertificateSigningRequest {
            metadata: ObjectMeta {
                name: Some(self.name.to_owned()),
                labels: self.space.map(|space| [label(space)].into()),
                ..ObjectMeta::default()
            },
            spec: CertificateSigningRequestSpec {
                request: ByteString(request.into_bytes()),
                signer_name: "kubernetes.io/kube-apiserver-client".to_owned(),
                expiration_seconds: self.seconds,
                usages: Some(vec!["client auth".to_owned()]),
                ..CertificateSigningRequestSpec::default()
            },
            status: None,
        })
    }
}

/// Each request is by a user who may create requests, and is wrong in one respect.
pub(crate) async fn invalid_requests_are_denied(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "spindle-lab";
    setup.dspace(VERA, &["create", SPACE, "--class", "standard", "--team", "weavers"]).await?.ok()?;
    let valid = || ForgedRequest { space: Some(SPACE), user: VERA, seconds: Some(HOUR), ..ForgedRequest::default() };
    // The approver ignores this request, which has no label, and handles all later ones.
    create_request(setup, VERA, &ForgedRequest { name: "forged-unlabelled", space: None, ..valid() }).await?;
    for (caller, forged, expected_text) in [
        (SVEN, ForgedRequest { name: "forged-other-name", user: "yvonne@example.com", ..valid() }, "neither the owner"),
        (
            UWE,
            ForgedRequest { name: "forged-for-somebody-else", ..valid() },
            "is not allowed to request a certificate for",
        ),
        (VERA, ForgedRequest { name: "forged-for-the-system", user: "system:admin", ..valid() }, "system:"),
        (VERA, ForgedRequest { name: "forged-organization", organization: Some("potters"), ..valid() }, "organization"),
        (VERA, ForgedRequest { name: "forged-node", organization: Some("system:nodes"), ..valid() }, "system:"),
        (VERA, ForgedRequest { name: "forged-address", address: Some("vera.example.com"), ..valid() }, "extensions"),
        (VERA, ForgedRequest { name: "forged-lasting", seconds: Some(30 * 24 * HOUR), ..valid() }, "expirationSeconds"),
        (VERA, ForgedRequest { name: "forged-endless", seconds: None, ..valid() }, "expirationSeconds"),
        (
            SVEN,
            ForgedRequest { name: "forged-nowhere", space: Some("no-such-lab"), ..valid() },
            "DeveloperSpace no-such-lab does not exist",
        ),
    ] {
        create_request(setup, caller, &forged).await?;
        until_denied(setup, forged.name, expected_text).await?;
    }
    until_event(setup, SPACE, "CertificateDenied").await?;
    // The requests that were denied do not affect a valid one.
    create_request(setup, VERA, &ForgedRequest { name: "not-forged", ..valid() }).await?;
    eventually("a certificate", SOON, || async {
        let status = get_request(setup, "not-forged").await?.status.unwrap_or_default();
        ensure!(status.certificate.is_some(), "its conditions are {:?}", status.conditions);
        Ok(Some(()))
    })
    .await?;
    let unlabelled = get_request(setup, "forged-unlabelled").await?.status.unwrap_or_default();
    ensure!(
        unlabelled.conditions.is_none_or(|conditions| conditions.is_empty()),
        "a request of somebody else's was decided on"
    );
    setup.dspace(VERA, &["delete", SPACE]).await?.ok().map(drop)
}

async fn create_request(setup: &OnboardingSetup, caller: &str, forged: &ForgedRequest<'_>) -> Result<()> {
    let api: Api<CertificateSigningRequest> = Api::all(setup.cluster.client_as(caller).await?);
    api.create(&PostParams::default(), &forged.object()?).await.with_context(|| forged.name.to_owned()).map(drop)
}

async fn get_request(setup: &OnboardingSetup, name: &str) -> Result<CertificateSigningRequest> {
    Ok(Api::all(setup.cluster.client().await?).get(name).await?)
}

async fn until_denied(setup: &OnboardingSetup, name: &str, expected_text: &str) -> Result<()> {
    eventually(&format!("{name} to be denied"), SOON, || async {
        let status = get_request(setup, name).await?.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let [only] = conditions.as_slice() else { bail!("its conditions are {conditions:?}") };
        let message = only.message.as_deref().unwrap_or_default();
        ensure!(only.type_ == "Denied" && message.contains(expected_text), "its condition is {only:?}");
        ensure!(status.certificate.is_none(), "it was signed");
        Ok(Some(()))
    })
    .await
}

async fn until_event(setup: &OnboardingSetup, space: &str, reason: &str) -> Result<()> {
    eventually(&format!("an Event {reason} about {space}"), SOON, || async {
        Ok((!setup.events_about(space, reason).await?.is_empty()).then_some(()))
    })
    .await
}
