//! Access of users to their spaces: credentials, and the kubeconfigs that contain them.
//!
//! A class sets the methods that it allows and the longest lifetime of a credential ([`Terms`]). Every request is sent with the caller's own
//! permissions.

pub mod certificate;
mod der;
mod encoding;
pub mod kubeconfig;
pub mod oidc;
pub mod request;
pub mod token;

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::{Access, AccessMethod, duration::parse_duration};

/// The lifetime of a credential if the class sets none.
pub const DEFAULT_DURATION: TimeDelta = TimeDelta::hours(24);

/// The least that the API server issues, for certificates and tokens alike,
/// see <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>.
pub const SHORTEST: TimeDelta = TimeDelta::minutes(10);

/// The reason why no credential is issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialDenied {
    /// The class does not allow that method.
    #[error("SpaceClass {class} does not allow access by {wanted}: it allows {allowed}")]
    Method {
        /// The class.
        class: String,
        /// The method that was asked for.
        wanted: &'static str,
        /// The methods that it allows.
        allowed: String,
    },
    /// The space ends too soon.
    #[error(
        "DeveloperSpace {space} expires in {left}, and a credential is valid for at least 10m: renew the space first with `kubectl dspace renew {space}`"
    )]
    EndsTooSoon {
        /// The space.
        space: String,
        /// Its remaining life.
        left: String,
    },
    /// The class allows less than the API server issues.
    #[error(
        "SpaceClass {class} limits credentials to {max}, and the API server issues none for less than 10m: set maxDuration to 10m or more"
    )]
    TooShort {
        /// The class.
        class: String,
        /// The longest lifetime that it allows.
        max: String,
    },
}

impl AccessMethod {
    /// The word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Certificate => "cert",
            Self::Oidc => "oidc",
            Self::Token => "token",
        }
    }
}

/// All methods, in the order in which they are listed.
pub const ALL_METHODS: [AccessMethod; 3] = [AccessMethod::Certificate, AccessMethod::Oidc, AccessMethod::Token];

/// Checks that `class` allows `method`.
pub fn allowed(class: &str, access: Option<&Access>, method: AccessMethod) -> Result<(), CredentialDenied> {
    let methods = access.map(|access| access.methods.as_slice()).unwrap_or_default();
    if methods.is_empty() || methods.contains(&method) {
        return Ok(());
    }
    let allowed = methods.iter().map(|method| method.word()).collect::<Vec<_>>().join(", ");
    Err(CredentialDenied::Method { class: class.to_owned(), wanted: method.word(), allowed })
}

/// The space and the class that a credential is for.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The space.
    pub space: &'a str,
    /// The end of the space; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    /// The class.
    pub class: &'a str,
    /// The `maxDuration` of the class for credentials of this kind.
    pub max_duration: Option<&'a str>,
}

/// The longest lifetime of a credential: as long as the class allows, and never longer than the space.
pub fn lifetime(terms: Terms<'_>, now: DateTime<Utc>) -> Result<TimeDelta, CredentialDenied> {
    let Terms { space, expires_at, class, max_duration } = terms;
    let max = max_duration.and_then(|text| parse_duration(text).ok()).unwrap_or(DEFAULT_DURATION);
    if max < SHORTEST {
        return Err(CredentialDenied::TooShort { class: class.to_owned(), max: max_duration.unwrap_or_default().to_owned() });
    }
    let left = expires_at.map_or(TimeDelta::MAX, |at| at - now);
    if left < SHORTEST {
        let left = crate::api::duration::format_duration(left);
        return Err(CredentialDenied::EndsTooSoon { space: space.to_owned(), left });
    }
    Ok(max.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms<'a>(max_duration: Option<&'a str>, expires_at: Option<&str>) -> Terms<'a> {
        Terms { space: "alice-payments", expires_at: expires_at.map(|at| at.parse().unwrap()), class: "standard", max_duration }
    }

    #[test]
    fn a_credential_is_valid_no_longer_than_the_space_and_the_class_allow() {
        let now = "2026-11-24T09:00:00Z".parse().unwrap();
        assert_eq!(lifetime(terms(None, None), now), Ok(TimeDelta::hours(24)));
        assert_eq!(lifetime(terms(Some("8h"), Some("2026-11-25T09:00:00Z")), now), Ok(TimeDelta::hours(8)));
        assert_eq!(lifetime(terms(Some("8h"), Some("2026-11-24T10:00:00Z")), now), Ok(TimeDelta::hours(1)));
        assert_eq!(lifetime(terms(None, Some("2026-11-24T09:10:00Z")), now), Ok(SHORTEST));
        let soon = lifetime(terms(None, Some("2026-11-24T09:09:59Z")), now).unwrap_err();
        assert_eq!(soon, CredentialDenied::EndsTooSoon { space: "alice-payments".into(), left: "9m59s".into() });
        assert_eq!(lifetime(terms(Some("5m"), None), now), Err(CredentialDenied::TooShort { class: "standard".into(), max: "5m".into() }));
    }

    #[test]
    fn a_class_without_methods_allows_every_method() {
        let only = Access { methods: vec![AccessMethod::Oidc, AccessMethod::Token], ..Access::default() };
        for method in ALL_METHODS {
            assert_eq!(allowed("standard", None, method), Ok(()));
            assert_eq!(allowed("standard", Some(&Access::default()), method), Ok(()));
            assert_eq!(allowed("standard", Some(&only), method).is_ok(), method != AccessMethod::Certificate);
        }
        let refused = allowed("standard", Some(&only), AccessMethod::Certificate).unwrap_err();
        assert_eq!(refused.to_string(), "SpaceClass standard does not allow access by cert: it allows oidc, token");
    }
}
