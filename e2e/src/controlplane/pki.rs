//! Owns the cluster's certificates: one authority, the API server's serving certificate, X.509 v3 client certificates,
//! and the key that signs `ServiceAccount` tokens.

use std::fs;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use super::layout::Layout;

/// The client certificates: file name, user name, and group.
const CLIENTS: [(&str, &str, Option<&str>); 3] = [
    ("admin", "admin", Some("system:masters")),
    ("kube-controller-manager", "system:kube-controller-manager", None),
    ("kube-scheduler", "system:kube-scheduler", None),
];

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Writes all certificates and keys of a new cluster.
pub(super) fn write(layout: &Layout) -> Result<()> {
    let folder = layout.pki("");
    fs::create_dir_all(&folder).with_context(|| format!("{} could not be made", folder.display()))?;
    let authority = authority()?;
    save(layout, "ca.crt", &authority.pem())?;
    save(layout, "ca.key", &authority.key().serialize_pem())?;

    let addresses = ["127.0.0.1", "localhost", "kubernetes.default.svc"].map(str::to_owned).to_vec();
    let usage = ExtendedKeyUsagePurpose::ServerAuth;
    issue(layout, &authority, "apiserver", &leaf(addresses, "kube-apiserver", None, usage)?)?;
    for (file, user, group) in CLIENTS {
        issue(layout, &authority, file, &leaf(vec![], user, group, ExtendedKeyUsagePurpose::ClientAuth)?)?;
    }
    let tokens = KeyPair::generate()?;
    save(layout, "service-accounts.key", &tokens.serialize_pem())?;
    save(layout, "service-accounts.pub", &tokens.public_key_pem())
}

fn authority() -> Result<Authority> {
    let mut params = CertificateParams::new(vec![])?;
    params.distinguished_name = subject("developerspace-e2e", None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("the certificate authority could not be made")
}

fn leaf(
    addresses: Vec<String>,
    name: &str,
    group: Option<&str>,
    usage: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams> {
    let mut params = CertificateParams::new(addresses)?;
    params.distinguished_name = subject(name, group);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn subject(name: &str, group: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    if let Some(group) = group {
        subject.push(DnType::OrganizationName, group);
    }
    subject
}

fn issue(layout: &Layout, authority: &Authority, file: &str, params: &CertificateParams) -> Result<()> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority).with_context(|| format!("{file}.crt could not be signed"))?;
    save(layout, &format!("{file}.crt"), &certificate.pem())?;
    save(layout, &format!("{file}.key"), &key.serialize_pem())
}

fn save(layout: &Layout, file: &str, pem: &str) -> Result<()> {
    let path = layout.pki(file);
    fs::write(&path, pem).with_context(|| format!("{} could not be written", path.display()))
}
