//! The content of a certificate request, read from its PKCS#10 (RFC 2986).
//!
//! The signer reads the same bytes with another parser, that of Go. If the two read different names, one name would be
//! approved and another one signed. So a request that can be read in more than one way is treated as unreadable.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{OID_KEY_TYPE_EC_PUBLIC_KEY, OID_SIG_ED25519, OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME},
    prelude::FromDer,
    public_key::PublicKey,
    x509::{AttributeTypeAndValue, RelativeDistinguishedName, SubjectPublicKeyInfo, X509Name},
};

use super::der::{OBJECT_IDENTIFIER, SEQUENCE, SET, tlv};

/// The content of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a question of its own")]
pub(crate) struct Content {
    /// The user's name.
    pub common_names: Vec<String>,
    /// Groups.
    pub organizations: Vec<String>,
    /// True if the subject contains anything else.
    pub other_subject: bool,
    /// True if it asks for extensions, such as further names, or has other attributes.
    pub extras: bool,
    /// True if its key is strong enough: P-256, P-384, Ed25519, or RSA of at least 2048 bits.
    pub sane_key: bool,
    /// True if its signature proves that the requester has the private key.
    pub signed: bool,
}

const P256: &str = "1.2.840.10045.3.1.7";
const P384: &str = "1.3.132.0.34";
const SHORTEST_RSA: usize = 2048;

/// The most bytes of a request in PEM that is read. That of an RSA key of 16,384 bits has less than 6 KB, and names of
/// a few bytes each take hundreds of bytes of memory.
const MAX_PEM_BYTES: usize = 64 * 1_024;

pub(super) const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
pub(super) const END: &str = "-----END CERTIFICATE REQUEST-----";

/// Reads a request in PEM, as Kubernetes requires it. `None` if it is not a request.
pub(crate) fn read(pem: &[u8]) -> Option<Content> {
    let der = decoded(pem)?;
    let (rest, request) = X509CertificationRequest::from_der(&der).ok()?;
    let info = &request.certification_request_info;
    if !rest.is_empty() || encoded(&info.subject) != info.subject.as_raw() {
        return None;
    }
    let (mut common_names, mut organizations, mut other_subject) = (vec![], vec![], false);
    for attribute in info.subject.iter_attributes() {
        // A value that is not text cannot be validated.
        let value = attribute.as_str().ok()?.to_owned();
        if *attribute.attr_type() == OID_X509_COMMON_NAME {
            common_names.push(value);
        } else if *attribute.attr_type() == OID_X509_ORGANIZATION_NAME {
            organizations.push(value);
        } else {
            other_subject = true;
        }
    }
    Some(Content {
        common_names,
        organizations,
        other_subject,
        extras: !info.attributes().is_empty(),
        sane_key: is_sane(&info.subject_pki),
        signed: request.verify_signature().is_ok(),
    })
}

/// The content of the only block of `pem`. Go skips a block that is not well formed and takes the next one, so exactly
/// one block and nothing else is accepted.
fn decoded(pem: &[u8]) -> Option<Vec<u8>> {
    if pem.len() > MAX_PEM_BYTES {
        return None;
    }
    let body = std::str::from_utf8(pem).ok()?.trim_ascii().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let body: String = body.chars().filter(|letter| !matches!(letter, '\r' | '\n')).collect();
    STANDARD.decode(body).ok()
}

/// The encoding of the parsed part of a name. x509-parser ends a list at the first item that it cannot read, for
/// example an empty set, without an error about the rest; Go continues.
fn encoded(name: &X509Name<'_>) -> Vec<u8> {
    let pair = |attribute: &AttributeTypeAndValue<'_>| {
        let value = attribute.attr_value();
        let tag = u8::try_from(value.tag().0).unwrap_or_default();
        tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, attribute.attr_type().as_bytes()), tlv(tag, value.data)].concat())
    };
    let relative = |set: &RelativeDistinguishedName<'_>| tlv(SET, &set.iter().flat_map(pair).collect::<Vec<u8>>());
    tlv(SEQUENCE, &name.iter_rdn().flat_map(relative).collect::<Vec<u8>>())
}

fn is_sane(key: &SubjectPublicKeyInfo<'_>) -> bool {
    let algorithm = &key.algorithm;
    if algorithm.algorithm == OID_SIG_ED25519 {
        return true;
    }
    if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
        let curve = algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok());
        return curve.is_some_and(|curve| [P256, P384].contains(&curve.to_id_string().as_str()));
    }
    matches!(key.parsed(), Ok(PublicKey::RSA(key)) if key.key_size() >= SHORTEST_RSA)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
        SignatureAlgorithm,
    };

    use super::*;
    use crate::access::der::{BIT_STRING, INTEGER, UTF8_STRING};

    fn made(algorithm: &'static SignatureAlgorithm, names: &[&str], subject: &[(DnType, &str)]) -> String {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        params.serialize_request(&KeyPair::generate_for(algorithm).unwrap()).unwrap().pem().unwrap()
    }

    fn of(user: &str) -> String {
        made(&PKCS_ECDSA_P256_SHA256, &[], &[(DnType::CommonName, user)])
    }

    fn pem(der: &[u8]) -> String {
        format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(der))
    }

    #[test]
    fn the_content_of_a_request_is_parsed() {
        let plain = Content {
            common_names: vec!["nadia@example.com".into()],
            organizations: vec![],
            other_subject: false,
            extras: false,
            sane_key: true,
            signed: true,
        };
        let name = (DnType::CommonName, "nadia@example.com");
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            assert_eq!(read(made(algorithm, &[], std::slice::from_ref(&name)).as_bytes()), Some(plain.clone()));
        }
        let group = made(&PKCS_ECDSA_P256_SHA256, &[], &[name.clone(), (DnType::OrganizationName, "botany")]);
        assert_eq!(read(group.as_bytes()), Some(Content { organizations: vec!["botany".into()], ..plain.clone() }));
        let place = made(&PKCS_ECDSA_P256_SHA256, &[], &[name.clone(), (DnType::CountryName, "NL")]);
        assert_eq!(read(place.as_bytes()), Some(Content { other_subject: true, ..plain.clone() }));
        let names = made(&PKCS_ECDSA_P256_SHA256, &["example.com"], &[name]);
        assert_eq!(read(names.as_bytes()), Some(Content { extras: true, ..plain }));
        assert_eq!(read(b"hello"), None);
    }

    #[test]
    fn a_request_that_was_tampered_with_is_not_signed() {
        let mut der = decoded(of("nadia@example.com").as_bytes()).unwrap();
        let at = der.windows(5).position(|bytes| bytes == b"nadia").unwrap();
        der[at] = b'm';
        assert!(
            read(pem(&der).as_bytes())
                .is_some_and(|content| !content.signed && content.common_names == ["madia@example.com"])
        );
    }

    #[test]
    fn a_second_block_is_not_hidden_behind_a_first() {
        let (mine, other) = (of("nadia@example.com"), of("boss@example.com"));
        // Go skips a block whose first line has a suffix, and takes the next one.
        let bent = mine.replacen("REQUEST-----", "REQUEST-----x", 1);
        for text in [
            format!("{mine}{other}"),
            format!("{bent}{other}"),
            bent,
            format!("-----BEGIN X-----\n{mine}"),
            mine.replacen("REQUEST-----\n", "REQUEST-----\nProc-Type: 4\n\n", 1),
            mine.replace("CERTIFICATE REQUEST", "CERTIFICATE"),
        ] {
            assert_eq!(read(text.as_bytes()), None, "{text}");
        }
        assert!(read(mine.replace('\n', "\r\n").as_bytes()).is_some_and(|content| content.signed));
    }

    /// A request whose subject is these bytes, and whose signature is that of another request.
    fn with_subject(subject: &[u8]) -> String {
        let der = decoded(of("somebody").as_bytes()).unwrap();
        let (_, request) = X509CertificationRequest::from_der(&der).unwrap();
        let info = &request.certification_request_info;
        let after = der.windows(info.raw.len()).position(|bytes| bytes == info.raw).unwrap() + info.raw.len();
        let changed = tlv(SEQUENCE, &[[INTEGER, 1, 0].as_slice(), subject, info.subject_pki.raw, &[0xa0, 0]].concat());
        pem(&tlv(SEQUENCE, &[changed.as_slice(), &der[after..]].concat()))
    }

    #[test]
    fn a_second_name_is_not_hidden_behind_a_first() {
        let pair = |name: &str| {
            tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, &[0x55, 4, 3]), tlv(UTF8_STRING, name.as_bytes())].concat())
        };
        let (mine, other) = (pair("nadia@example.com"), pair("boss@example.com"));
        let relative = |pairs: &[&[u8]]| tlv(SET, &pairs.concat());
        let subject = |relatives: &[Vec<u8>]| with_subject(&tlv(SEQUENCE, &relatives.concat()));
        let names = |pem: String| read(pem.as_bytes()).map(|content| content.common_names);
        let both = vec!["nadia@example.com".to_owned(), "boss@example.com".to_owned()];
        assert_eq!(names(subject(&[relative(&[&mine])])), Some(vec!["nadia@example.com".to_owned()]));
        assert_eq!(names(subject(&[relative(&[&mine]), relative(&[&other])])), Some(both.clone()));
        assert_eq!(names(subject(&[relative(&[&mine, &other])])), Some(both));
        let empty = tlv(SEQUENCE, &[]);
        for hidden in [
            subject(&[relative(&[&mine]), relative(&[]), relative(&[&other])]),
            subject(&[relative(&[&mine, &empty, &other])]),
            subject(&[relative(&[&mine]), empty.clone(), relative(&[&other])]),
        ] {
            assert_eq!(names(hidden), None);
        }
    }

    #[test]
    fn a_request_with_very_many_names_is_not_read() {
        let pair = tlv(SEQUENCE, &[tlv(OBJECT_IDENTIFIER, &[0x55, 4, 3]), tlv(UTF8_STRING, b"x")].concat());
        let read = |names: usize| read(with_subject(&tlv(SEQUENCE, &tlv(SET, &pair).repeat(names))).as_bytes());
        assert_eq!(read(1_000).map(|content| content.common_names.len()), Some(1_000));
        assert_eq!(read(10_000), None);
    }

    #[test]
    fn strong_keys_are_recognized() {
        let rsa = |bytes: usize| {
            let algorithm =
                [&[OBJECT_IDENTIFIER, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1][..], &[5, 0]].concat();
            let modulus = tlv(INTEGER, &[vec![0], vec![0xc3; bytes]].concat());
            let key = tlv(SEQUENCE, &[modulus, tlv(INTEGER, &[1, 0, 1])].concat());
            tlv(SEQUENCE, &[tlv(SEQUENCE, &algorithm), tlv(BIT_STRING, &[vec![0], key].concat())].concat())
        };
        let curve = |curve: &[u8]| {
            let kind = tlv(OBJECT_IDENTIFIER, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]);
            let algorithm = tlv(SEQUENCE, &[kind, tlv(OBJECT_IDENTIFIER, curve)].concat());
            tlv(SEQUENCE, &[algorithm, tlv(BIT_STRING, &[0, 4, 1, 1])].concat())
        };
        for (what, key, good) in [
            ("RSA 1024", rsa(128), false),
            ("RSA 2040", rsa(255), false),
            ("RSA 2048", rsa(256), true),
            ("RSA 4096", rsa(512), true),
            ("P-256", curve(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]), true),
            ("P-384", curve(&[0x2b, 0x81, 4, 0, 34]), true),
            ("P-521", curve(&[0x2b, 0x81, 4, 0, 35]), false),
            ("P-224", curve(&[0x2b, 0x81, 4, 0, 33]), false),
        ] {
            assert_eq!(is_sane(&SubjectPublicKeyInfo::from_der(&key).unwrap().1), good, "{what}");
        }
    }
}
