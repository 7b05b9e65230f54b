//! With the approver: users who may only request certificates get the ones that are clearly right, and every other request is denied with a message.

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
    judge::written,
    newcomer::Newcomer,
    people::{SVEN, UWE, VERA},
    stage::Stage,
};

const HOUR: i32 = 60 * 60;

/// A portal may create spaces for others, and may approve nothing.
pub async fn a_portal_gets_certificates_for_others(stage: &Stage) -> Result<()> {
    const SPACE: &str = "clover-lab";
    let file = stage.file("olga")?;
    let arguments = ["onboard", "olga@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &file];
    stage.dspace(SVEN, &arguments).await?.ok()?;
    let certificate = IssuedCertificate::from_user(&written(&file, SPACE)?)?;
    ensure!(certificate.subject == "CN=olga@example.com", "the certificate is for {}", certificate.subject);
    Newcomer::new(stage, &file).works_there_and_nowhere_else(SPACE).await?;
    told(stage, SPACE, "CertificateApproved").await
}

/// A user with self-service gets a certificate for their own space, too.
pub async fn people_get_certificates_of_their_own(stage: &Stage) -> Result<()> {
    const SPACE: &str = "shuttle-lab";
    let file = stage.file("uwe-by-certificate")?;
    stage.dspace(UWE, &["create", SPACE, "--class", "standard", "--team", "weavers"]).await?.ok()?;
    stage.dspace(UWE, &["kubeconfig", SPACE, "--auth", "cert", "-o", &file]).await?.ok()?;
    let certificate = IssuedCertificate::from_user(&written(&file, SPACE)?)?;
    ensure!(certificate.subject == format!("CN={UWE}"), "the certificate is for {}", certificate.subject);
    Newcomer::new(stage, &file).works_there_and_nowhere_else(SPACE).await?;
    stage.dspace(UWE, &["delete", SPACE]).await?.ok().map(drop)
}

/// A request that the plugin does not create.
#[derive(Default)]
struct Forged<'a> {
    /// The name of the request.
    name: &'a str,
    /// The space that its label names.
    space: Option<&'a str>,
    user: &'a str,
    organization: Option<&'a str>,
    address: Option<&'a str>,
    seconds: Option<i32>,
}

impl Forged<'_> {
    fn object(&self) -> Result<CertificateSigningRequest> {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, self.user);
        if let Some(organization) = self.organization {
            subject.push(DnType::OrganizationName, organization);
        }
        let mut params = CertificateParams::new(self.address.iter().map(|&address| address.to_owned()).collect::<Vec<_>>())?;
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
pub async fn what_is_not_plainly_right_is_denied(stage: &Stage) -> Result<()> {
    const SPACE: &str = "spindle-lab";
    stage.dspace(VERA, &["create", SPACE, "--class", "standard", "--team", "weavers"]).await?.ok()?;
    let right = || Forged { space: Some(SPACE), user: VERA, seconds: Some(HOUR), ..Forged::default() };
    // The approver ignores this request, which has no label, and handles all later ones.
    ask(stage, VERA, &Forged { name: "forged-unlabelled", space: None, ..right() }).await?;
    for (caller, forged, says) in [
        (SVEN, Forged { name: "forged-other-name", user: "yvonne@example.com", ..right() }, "neither the owner"),
        (UWE, Forged { name: "forged-for-somebody-else", ..right() }, "is not allowed to request a certificate for"),
        (VERA, Forged { name: "forged-for-the-system", user: "system:admin", ..right() }, "system:"),
        (VERA, Forged { name: "forged-organization", organization: Some("potters"), ..right() }, "organization"),
        (VERA, Forged { name: "forged-node", organization: Some("system:nodes"), ..right() }, "system:"),
        (VERA, Forged { name: "forged-address", address: Some("vera.example.com"), ..right() }, "extensions"),
        (VERA, Forged { name: "forged-lasting", seconds: Some(30 * 24 * HOUR), ..right() }, "expirationSeconds"),
        (VERA, Forged { name: "forged-endless", seconds: None, ..right() }, "expirationSeconds"),
        (SVEN, Forged { name: "forged-nowhere", space: Some("no-such-lab"), ..right() }, "DeveloperSpace no-such-lab does not exist"),
    ] {
        ask(stage, caller, &forged).await?;
        denied(stage, forged.name, says).await?;
    }
    told(stage, SPACE, "CertificateDenied").await?;
    // The requests that were denied do not affect a valid one.
    ask(stage, VERA, &Forged { name: "not-forged", ..right() }).await?;
    eventually("a certificate", SOON, || async {
        let status = request(stage, "not-forged").await?.status.unwrap_or_default();
        ensure!(status.certificate.is_some(), "its conditions are {:?}", status.conditions);
        Ok(Some(()))
    })
    .await?;
    let untouched = request(stage, "forged-unlabelled").await?.status.unwrap_or_default();
    ensure!(untouched.conditions.is_none_or(|conditions| conditions.is_empty()), "a request of somebody else's was decided on");
    stage.dspace(VERA, &["delete", SPACE]).await?.ok().map(drop)
}

async fn ask(stage: &Stage, caller: &str, forged: &Forged<'_>) -> Result<()> {
    let api: Api<CertificateSigningRequest> = Api::all(stage.cluster.client_as(caller).await?);
    api.create(&PostParams::default(), &forged.object()?).await.with_context(|| forged.name.to_owned()).map(drop)
}

async fn request(stage: &Stage, name: &str) -> Result<CertificateSigningRequest> {
    Ok(Api::all(stage.cluster.client().await?).get(name).await?)
}

async fn denied(stage: &Stage, name: &str, says: &str) -> Result<()> {
    eventually(&format!("{name} to be denied"), SOON, || async {
        let status = request(stage, name).await?.status.unwrap_or_default();
        let conditions = status.conditions.unwrap_or_default();
        let [only] = conditions.as_slice() else { bail!("its conditions are {conditions:?}") };
        let message = only.message.as_deref().unwrap_or_default();
        ensure!(only.type_ == "Denied" && message.contains(says), "its condition is {only:?}");
        ensure!(status.certificate.is_none(), "it was signed");
        Ok(Some(()))
    })
    .await
}

async fn told(stage: &Stage, space: &str, reason: &str) -> Result<()> {
    eventually(&format!("an Event {reason} about {space}"), SOON, || async {
        Ok((!stage.events_about(space, reason).await?.is_empty()).then_some(()))
    })
    .await
}
