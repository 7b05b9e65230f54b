//! Owns the issuer's certificates: a separate authority, which only explicitly configured clients trust, and a serving
//! certificate.

use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use tokio_rustls::TlsAcceptor;

use crate::kubeconfig::install_crypto;

/// Creates the authority. Returns its certificate as PEM, and an acceptor of TLS connections with a certificate that it
/// signed.
pub(super) fn make() -> Result<(String, TlsAcceptor)> {
    install_crypto();
    let mut params = CertificateParams::new(vec![])?;
    params.distinguished_name = subject("issuer-e2e-authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)
        .context("the issuer's authority could not be made")?;

    let key = KeyPair::generate()?;
    let certificate =
        serving_params()?.signed_by(&key, &authority).context("the issuer's certificate could not be signed")?;
    let key =
        PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).context("the issuer's key cannot be used")?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .context("the issuer's certificate cannot be used")?;
    Ok((authority.pem(), TlsAcceptor::from(Arc::new(config))))
}

fn serving_params() -> Result<CertificateParams> {
    let mut params = CertificateParams::new(["127.0.0.1", "localhost"].map(str::to_owned).to_vec())?;
    params.distinguished_name = subject("issuer-e2e");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn subject(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}
