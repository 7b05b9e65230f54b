//! Subjects as users type them on the command line.

use std::str::FromStr;

use crate::api::{Subject, SubjectKind};

/// `alice@example.com` for a user, `User:…`, `Group:payments`, `ServiceAccount:namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectArg(pub Subject);

impl FromStr for SubjectArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = match text.split_once(':') {
            Some((word, name)) if word.eq_ignore_ascii_case("user") => (SubjectKind::User, name),
            Some((word, name)) if word.eq_ignore_ascii_case("group") => (SubjectKind::Group, name),
            Some((word, name)) if word.eq_ignore_ascii_case("serviceaccount") || word.eq_ignore_ascii_case("sa") => {
                (SubjectKind::ServiceAccount, name)
            }
            // A user name with the prefix of an identity provider: oidc:alice@example.com.
            _ => (SubjectKind::User, text),
        };
        if name.is_empty() {
            return Err(
                "must be User:NAME, Group:NAME or ServiceAccount:NAMESPACE/NAME; a name without a kind is a user"
                    .to_owned(),
            );
        }
        let subject = match (kind, name.split_once('/')) {
            (SubjectKind::ServiceAccount, Some((namespace, name))) if !namespace.is_empty() && !name.is_empty() => {
                Subject { kind, name: name.to_owned(), namespace: Some(namespace.to_owned()) }
            }
            (SubjectKind::ServiceAccount, _) => {
                return Err("must be ServiceAccount:NAMESPACE/NAME for a ServiceAccount".to_owned());
            }
            (SubjectKind::User | SubjectKind::Group, _) => Subject { kind, name: name.to_owned(), namespace: None },
        };
        Ok(Self(subject))
    }
}

/// The subject with the user name of a request: the user name of a ServiceAccount has a special format,
/// see <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#service-account-tokens>.
pub(crate) fn from_username(username: &str) -> Subject {
    let account = username.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => {
            Subject { kind: SubjectKind::ServiceAccount, name: name.to_owned(), namespace: Some(namespace.to_owned()) }
        }
        None => Subject { kind: SubjectKind::User, name: username.to_owned(), namespace: None },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_parsed_in_the_format_of_the_documentation() {
        for (text, written) in [
            ("alice@example.com", "User:alice@example.com"),
            ("User:alice@example.com", "User:alice@example.com"),
            ("oidc:alice@example.com", "User:oidc:alice@example.com"),
            ("user:oidc:bob", "User:oidc:bob"),
            ("group:payments", "Group:payments"),
            ("ServiceAccount:ci-home/robot", "ServiceAccount:ci-home/robot"),
            ("sa:ci-home/robot", "ServiceAccount:ci-home/robot"),
        ] {
            assert_eq!(
                text.parse::<SubjectArg>().map(|SubjectArg(subject)| subject.to_string()),
                Ok(written.to_owned()),
                "{text}"
            );
        }
        for text in ["", "Group:", "sa:robot", "sa:/robot", "sa:home/"] {
            assert!(text.parse::<SubjectArg>().is_err(), "{text}");
        }
    }

    #[test]
    fn user_names_of_service_accounts_are_parsed() {
        assert_eq!(from_username("system:serviceaccount:ci-home:robot").to_string(), "ServiceAccount:ci-home/robot");
        assert_eq!(from_username("alice@example.com").to_string(), "User:alice@example.com");
    }
}
