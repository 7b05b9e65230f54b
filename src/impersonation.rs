//! The headers of the identity that a client impersonates, see
//! <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation>.
//!
//! kube-client writes visible ASCII only. Kubernetes accepts the bytes of any name, as kubectl sends them.

use http::{HeaderName, HeaderValue, header::InvalidHeaderValue};
use kube::config::AuthInfo;

/// Removes user, UID and groups from `auth` and returns their headers.
pub(crate) fn take_headers(auth: &mut AuthInfo) -> Result<Vec<(HeaderName, HeaderValue)>, InvalidHeaderValue> {
    let user = auth.impersonate.take().map(|user| ("impersonate-user", user));
    let uid = auth.impersonate_uid.take().map(|uid| ("impersonate-uid", uid));
    let groups =
        auth.impersonate_groups.take().unwrap_or_default().into_iter().map(|group| ("impersonate-group", group));
    let all = user.into_iter().chain(uid).chain(groups);
    all.map(|(header, value)| Ok((HeaderName::from_static(header), HeaderValue::from_bytes(value.as_bytes())?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_ascii_are_sent_byte_for_byte() {
        let mut auth = AuthInfo {
            impersonate: Some("jürgen.groß@example.com".to_owned()),
            impersonate_uid: Some("7".to_owned()),
            impersonate_groups: Some(vec!["Domänen-Benutzer".to_owned(), "system:authenticated".to_owned()]),
            ..AuthInfo::default()
        };
        let headers = take_headers(&mut auth).unwrap();
        let sent: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected = [
            ("impersonate-user", "jürgen.groß@example.com".as_bytes()),
            ("impersonate-uid", b"7"),
            ("impersonate-group", "Domänen-Benutzer".as_bytes()),
            ("impersonate-group", b"system:authenticated"),
        ];
        assert_eq!(sent, expected);
        assert_eq!((auth.impersonate, auth.impersonate_uid, auth.impersonate_groups), (None, None, None));
    }

    #[test]
    fn a_name_with_a_line_break_is_refused() {
        let mut auth = AuthInfo {
            impersonate: Some("nadia\r\nimpersonate-group: system:masters".to_owned()),
            ..AuthInfo::default()
        };
        assert!(take_headers(&mut auth).is_err());
    }
}
