//! The access methods that a class allows, and the lifetime of a credential: at most the maximum of the class, and
//! never longer than the space.
//!
//! Issues no credential.

use chrono::{DateTime, TimeDelta, Utc};

use crate::api::{
    Access, AccessMethod,
    duration::{format_duration, parse_duration},
};

/// The maximum lifetime of a credential if the class sets none.
const DEFAULT_MAX_LIFETIME: TimeDelta = TimeDelta::hours(24);

/// The shortest lifetime that the API server issues, for certificates and tokens alike,
/// see <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>.
pub(crate) const MIN_LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// The reason why no credential is issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CredentialDenied {
    /// The class does not allow that method.
    #[error("SpaceClass {class} does not allow access by {wanted}: it allows {allowed}")]
    Method {
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
        space: String,
        /// Its remaining life.
        left: String,
    },
    /// The class allows less than the API server issues.
    #[error(
        "SpaceClass {class} limits credentials to {max}, and the API server issues none for less than 10m: set maxDuration to 10m or more"
    )]
    TooShort {
        class: String,
        /// The longest lifetime that it allows.
        max: String,
    },
}

/// Checks that `class` allows `method`.
pub(crate) fn check_method(class: &str, access: Option<&Access>, method: AccessMethod) -> Result<(), CredentialDenied> {
    let methods = access.map(|access| access.methods.as_slice()).unwrap_or_default();
    if methods.is_empty() || methods.contains(&method) {
        return Ok(());
    }
    let allowed = methods.iter().map(|method| method.word()).collect::<Vec<_>>().join(", ");
    Err(CredentialDenied::Method { class: class.to_owned(), wanted: method.word(), allowed })
}

/// The space and the class that bound the lifetime of a credential.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CredentialBounds<'a> {
    pub space: &'a str,
    /// The end of the space; `None` for never.
    pub expires_at: Option<DateTime<Utc>>,
    pub class: &'a str,
    /// The `maxDuration` of the class for credentials of this kind.
    pub max_duration: Option<&'a str>,
}

/// The longest lifetime of a credential: the maximum of the class, or the remaining lifetime of the space if that is
/// shorter.
pub(crate) fn max_lifetime(bounds: CredentialBounds<'_>, now: DateTime<Utc>) -> Result<TimeDelta, CredentialDenied> {
    let CredentialBounds { space, expires_at, class, max_duration } = bounds;
    let max = max_duration.and_then(|text| parse_duration(text).ok()).unwrap_or(DEFAULT_MAX_LIFETIME);
    if max < MIN_LIFETIME {
        return Err(CredentialDenied::TooShort {
            class: class.to_owned(),
            max: max_duration.unwrap_or_default().to_owned(),
        });
    }
    let left = expires_at.map_or(TimeDelta::MAX, |at| at - now);
    if left < MIN_LIFETIME {
        return Err(CredentialDenied::EndsTooSoon { space: space.to_owned(), left: format_duration(left) });
    }
    Ok(max.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds<'a>(max_duration: Option<&'a str>, expires_at: Option<&str>) -> CredentialBounds<'a> {
        CredentialBounds {
            space: "alice-payments",
            expires_at: expires_at.map(|at| at.parse().unwrap()),
            class: "standard",
            max_duration,
        }
    }

    #[test]
    fn a_credential_ends_with_the_maximum_of_its_class_or_with_its_space() {
        let now = "2026-11-24T09:00:00Z".parse().unwrap();
        assert_eq!(max_lifetime(bounds(None, None), now), Ok(TimeDelta::hours(24)));
        assert_eq!(max_lifetime(bounds(Some("8h"), Some("2026-11-25T09:00:00Z")), now), Ok(TimeDelta::hours(8)));
        assert_eq!(max_lifetime(bounds(Some("8h"), Some("2026-11-24T10:00:00Z")), now), Ok(TimeDelta::hours(1)));
        assert_eq!(max_lifetime(bounds(None, Some("2026-11-24T09:10:00Z")), now), Ok(MIN_LIFETIME));
        let soon = max_lifetime(bounds(None, Some("2026-11-24T09:09:59Z")), now).unwrap_err();
        assert_eq!(soon, CredentialDenied::EndsTooSoon { space: "alice-payments".into(), left: "9m59s".into() });
        let short = CredentialDenied::TooShort { class: "standard".into(), max: "5m".into() };
        assert_eq!(max_lifetime(bounds(Some("5m"), None), now), Err(short));
    }

    #[test]
    fn a_class_that_lists_no_methods_allows_all() {
        let only = Access { methods: vec![AccessMethod::Oidc, AccessMethod::Token], ..Access::default() };
        for method in AccessMethod::ALL {
            assert_eq!(check_method("standard", None, method), Ok(()));
            assert_eq!(check_method("standard", Some(&Access::default()), method), Ok(()));
            assert_eq!(check_method("standard", Some(&only), method).is_ok(), method != AccessMethod::Certificate);
        }
        let refused = check_method("standard", Some(&only), AccessMethod::Certificate).unwrap_err();
        assert_eq!(refused.to_string(), "SpaceClass standard does not allow access by cert: it allows oidc, token");
    }
}
