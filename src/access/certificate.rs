//! A client certificate of the cluster's own authority. The key is generated locally and is never sent,
//! see <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::{
    ByteString,
    api::certificates::v1::{
        CertificateSigningRequest, CertificateSigningRequestCondition, CertificateSigningRequestSpec,
    },
};
use kube::{
    Api, Client,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};
use serde_json::json;
use x509_parser::{parse_x509_certificate, pem::parse_x509_pem};

use super::{
    der::{BIT_STRING, INTEGER, OBJECT_IDENTIFIER, SEQUENCE, SET, UTF8_STRING, tlv},
    encoding::base64,
    request::{BEGIN, END},
};
use crate::api::names;

/// The signer of client certificates that the API server accepts.
pub(crate) const SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// The interval at which the request is polled for its certificate.
const STATUS_POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The reason why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The key or the request could not be generated.
    #[error("failed to generate a key and a certificate request for {0:?}")]
    Generate(String, #[source] rcgen::Error),
    /// The API server refused a request or did not respond.
    #[error("failed to {0}")]
    Api(String, #[source] Box<kube::Error>),
    /// The request was denied.
    #[error("CertificateSigningRequest {name} was denied: {why}")]
    Denied {
        /// The request's name.
        name: String,
        /// The reason and the message of the denial.
        why: String,
    },
    /// The signer reported a failure.
    #[error("CertificateSigningRequest {name} was approved, but the signer failed: {why}")]
    Failed {
        /// The request's name.
        name: String,
        /// The reason and the message of the failure.
        why: String,
    },
    /// The request was not approved in time.
    #[error(
        "CertificateSigningRequest {0} was not approved in time: ask an administrator to run `kubectl certificate approve {0}`, and run this command again, or use --auth oidc or --auth token"
    )]
    NotApproved(String),
    /// The request was approved and not signed in time.
    #[error(
        "CertificateSigningRequest {0} was approved but not signed: this cluster does not sign client certificates, like some hosted clusters; use --auth oidc or --auth token"
    )]
    NotSigned(String),
    /// The issued data is not a certificate.
    #[error(
        "CertificateSigningRequest {0} contains data that is not a certificate: use --auth oidc or --auth token, and report this to the administrator"
    )]
    Unreadable(String),
}

/// The certificate to ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CertificateRequest<'a> {
    /// The certificate's common name: the user.
    pub user: &'a str,
    /// Its organizations, which are groups of the user. Usually none.
    pub organizations: &'a [String],
    pub space: &'a str,
    /// The lifetime to ask for.
    pub lifetime: TimeDelta,
    /// The longest time to wait for it.
    pub timeout: Duration,
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub(crate) struct IssuedCertificate {
    /// The certificate, PEM.
    pub certificate: String,
    /// The private key, PEM.
    pub key: String,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The end of its validity.
    pub not_after: DateTime<Utc>,
}

/// Generates a key, asks for a certificate, approves the request if the caller may, and waits for the certificate.
/// Calls `report_progress` with a description of each step.
pub(crate) async fn request_certificate(
    client: &Client,
    wanted: &CertificateRequest<'_>,
    mut report_progress: impl FnMut(String),
) -> Result<IssuedCertificate, Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .map_err(|error| Error::Generate(wanted.user.to_owned(), error))?;
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let created = api.create(&PostParams::default(), &signing_request(wanted, &key)?).await;
    let created = created.map_err(api_error(format!("request a certificate for {:?}", wanted.user)))?;
    let name = created.metadata.name.clone().unwrap_or_default();
    if approve(&api, &created).await? {
        report_progress(format!("CertificateSigningRequest {name} approved; waiting for the signer"));
    } else {
        report_progress(format!(
            "you are not allowed to approve CertificateSigningRequest {name}; waiting until another user approves it"
        ));
    }
    let signed = wait_for_certificate(&api, &name, wanted.timeout).await;
    if !matches!(signed, Err(Error::Denied { .. } | Error::Failed { .. })) {
        // The request is no longer needed. If the caller may not delete it, the cluster garbage-collects it later.
        let _ = api.delete(&name, &DeleteParams::default()).await;
    }
    parse_certificate(&name, &signed?, key.serialize_pem())
}

fn api_error(action: String) -> impl FnOnce(kube::Error) -> Error {
    move |error| Error::Api(action, Box::new(error))
}

/// The request. Its PKCS#10 has a common name, the organizations if there are any, and nothing else.
fn signing_request(wanted: &CertificateRequest<'_>, key: &KeyPair) -> Result<CertificateSigningRequest, Error> {
    let request = encode_request(wanted.user, wanted.organizations, key)
        .map_err(|error| Error::Generate(wanted.user.to_owned(), error))?;
    let seconds = i32::try_from(wanted.lifetime.num_seconds()).unwrap_or(i32::MAX);
    Ok(CertificateSigningRequest {
        metadata: ObjectMeta {
            generate_name: Some(format!("dspace-{}-", wanted.space)),
            labels: Some([(names::LABEL_SPACE.to_owned(), wanted.space.to_owned())].into()),
            ..ObjectMeta::default()
        },
        spec: CertificateSigningRequestSpec {
            request: ByteString(request.into_bytes()),
            signer_name: SIGNER.to_owned(),
            expiration_seconds: Some(seconds),
            usages: Some(vec!["client auth".to_owned()]),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    })
}

/// The encodings of object identifiers: those of X.520, and ecdsa-with-SHA256 of RFC 5758.
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const ORGANIZATION: &[u8] = &[0x55, 4, 10];
const ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// The tag of the attributes, of which the request has none.
const ATTRIBUTES: u8 = 0xa0;

/// The PKCS#10 (RFC 2986) as PEM, signed with a P-256 key. rcgen writes only the last one of several organizations.
fn encode_request(user: &str, organizations: &[String], key: &KeyPair) -> Result<String, rcgen::Error> {
    let name = |kind: &[u8], value: &str| {
        let pair = [tlv(OBJECT_IDENTIFIER, kind), tlv(UTF8_STRING, value.as_bytes())].concat();
        tlv(SET, &tlv(SEQUENCE, &pair))
    };
    let organizations: Vec<u8> =
        organizations.iter().flat_map(|organization| name(ORGANIZATION, organization)).collect();
    let subject = tlv(SEQUENCE, &[name(COMMON_NAME, user), organizations].concat());
    let (version, attributes) = (tlv(INTEGER, &[0]), tlv(ATTRIBUTES, &[]));
    let info = tlv(SEQUENCE, &[version, subject, key.subject_public_key_info(), attributes].concat());
    // The first byte of a bit string is the number of unused bits.
    let signature = tlv(BIT_STRING, &[vec![0], key.sign(&info)?].concat());
    let algorithm = tlv(SEQUENCE, &tlv(OBJECT_IDENTIFIER, ECDSA_WITH_SHA256));
    let text = base64(&tlv(SEQUENCE, &[info, algorithm, signature].concat()));
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    Ok(format!("{BEGIN}\n{}\n{END}\n", lines.join("\n")))
}

/// Approves the request; `false` if the caller may not.
async fn approve(api: &Api<CertificateSigningRequest>, created: &CertificateSigningRequest) -> Result<bool, Error> {
    let name = created.metadata.name.as_deref().unwrap_or_default();
    let condition = json!({
        "type": "Approved", "status": "True", "reason": "DeveloperSpaceOnboarding",
        "message": "approved by the user who runs kubectl dspace onboard",
    });
    let patch = json!({"metadata": {"resourceVersion": created.metadata.resource_version}, "status": {"conditions": [condition]}});
    match api.patch_approval(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Ok(_) => Ok(true),
        // 409: the approver has decided first.
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 409) => Ok(status.code == 409),
        Err(error) => Err(api_error(format!("approve CertificateSigningRequest {name}"))(error)),
    }
}

/// Waits for the certificate, as PEM.
async fn wait_for_certificate(
    api: &Api<CertificateSigningRequest>,
    name: &str,
    timeout: Duration,
) -> Result<Vec<u8>, Error> {
    let mut approved = false;
    let waiting = async {
        loop {
            let request = api.get(name).await.map_err(api_error(format!("read CertificateSigningRequest {name}")))?;
            let status = request.status.unwrap_or_default();
            if let Some(ByteString(certificate)) = status.certificate.filter(|ByteString(pem)| !pem.is_empty()) {
                return Ok(certificate);
            }
            for condition in status.conditions.unwrap_or_default() {
                match condition.type_.as_str() {
                    "Denied" => {
                        return Err(Error::Denied { name: name.to_owned(), why: reason_and_message(condition) });
                    }
                    "Failed" => {
                        return Err(Error::Failed { name: name.to_owned(), why: reason_and_message(condition) });
                    }
                    _ => approved = true,
                }
            }
            tokio::time::sleep(STATUS_POLL_INTERVAL).await;
        }
    };
    let ended = tokio::time::timeout(timeout, waiting).await;
    ended.unwrap_or_else(|_| {
        Err(if approved { Error::NotSigned(name.to_owned()) } else { Error::NotApproved(name.to_owned()) })
    })
}

fn reason_and_message(condition: CertificateSigningRequestCondition) -> String {
    let reason = condition.reason.unwrap_or_default();
    condition
        .message
        .filter(|message| !message.is_empty())
        .map_or_else(|| reason.clone(), |message| format!("{reason}: {message}"))
}

/// Reads the certificate. Its validity may end sooner than was asked for.
fn parse_certificate(name: &str, pem: &[u8], key: String) -> Result<IssuedCertificate, Error> {
    let unreadable = || Error::Unreadable(name.to_owned());
    let (_, block) = parse_x509_pem(pem).map_err(|_| unreadable())?;
    let (_, certificate) = parse_x509_certificate(&block.contents).map_err(|_| unreadable())?;
    let not_after = DateTime::from_timestamp(certificate.validity().not_after.timestamp(), 0).ok_or_else(unreadable)?;
    let serial = certificate.raw_serial_as_string();
    Ok(IssuedCertificate {
        certificate: String::from_utf8(pem.to_vec()).map_err(|_| unreadable())?,
        key,
        serial,
        not_after,
    })
}

#[cfg(test)]
mod tests {
    use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};

    use super::*;
    use crate::access::request::{self, Content};

    #[test]
    fn a_request_contains_every_organization() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let organizations = ["botany".to_owned(), "zoology".to_owned(), "moss and ferns".to_owned()];
        let expected = Content {
            common_names: vec!["nadia@example.com".to_owned()],
            organizations: organizations.to_vec(),
            other_subject: false,
            extras: false,
            sane_key: true,
            signed: true,
        };
        let pem = encode_request("nadia@example.com", &organizations, &key).unwrap();
        assert_eq!(request::read(pem.as_bytes()), Some(expected));
    }

    #[test]
    fn a_request_names_the_user_and_nothing_else() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let wanted = CertificateRequest {
            user: "nadia@example.com",
            organizations: &[],
            space: "orchid-lab",
            lifetime: TimeDelta::hours(8),
            timeout: Duration::from_secs(1),
        };
        let created = signing_request(&wanted, &key).unwrap();
        let (_, block) = parse_x509_pem(&created.spec.request.0).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&block.contents).unwrap();
        assert_eq!(request.certification_request_info.subject.to_string(), "CN=nadia@example.com");
        assert_eq!(request.requested_extensions().map(Iterator::count).unwrap_or_default(), 0);
        assert_eq!(created.spec.expiration_seconds, Some(28_800));
        assert_eq!(created.spec.usages, Some(vec!["client auth".to_owned()]));
        assert_eq!(created.metadata.labels.unwrap()[names::LABEL_SPACE], "orchid-lab");
    }

    #[test]
    fn data_that_is_not_a_certificate_is_an_error() {
        assert!(
            matches!(parse_certificate("dspace-x", b"hello", String::new()), Err(Error::Unreadable(name)) if name == "dspace-x")
        );
    }
}
