//! Owns the named users who act in scenarios. The API server reads their tokens from a file.

use std::fmt::Write as _;

/// A user with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user name that the API server sees.
    pub name: String,
    /// The groups, in addition to `system:authenticated`, which the API server adds.
    pub groups: Vec<String>,
}

impl User {
    /// A user in these groups.
    pub fn new(name: &str, groups: &[&str]) -> Self {
        Self { name: name.to_owned(), groups: groups.iter().map(|&group| group.to_owned()).collect() }
    }

    /// The users of every cluster: two in one team, one in another, and a platform administrator.
    pub fn default_users() -> Vec<Self> {
        vec![
            Self::new("alice@example.com", &["payments"]),
            Self::new("bob@example.com", &["payments"]),
            Self::new("carol@example.com", &["checkout"]),
            Self::new("dave@example.com", &["platform-admins"]),
        ]
    }

    /// The bearer token. It is not secret: the API server listens on loopback and lives as long as the test.
    pub fn token(&self) -> String {
        format!("token-of-{}", self.name)
    }

    /// The form for the supervisor's command line: `name=group,group`.
    pub fn to_flag(&self) -> String {
        format!("{}={}", self.name, self.groups.join(","))
    }

    /// The inverse of [`Self::to_flag`].
    pub fn from_flag(flag: &str) -> Self {
        let (name, groups) = flag.rsplit_once('=').unwrap_or((flag, ""));
        Self::new(name, &groups.split(',').filter(|group| !group.is_empty()).collect::<Vec<_>>())
    }
}

/// The API server's `--token-auth-file`: token, name, uid and the quoted groups.
pub fn token_file(users: &[User]) -> String {
    users.iter().enumerate().fold(String::new(), |mut csv, (index, user)| {
        let _ = writeln!(csv, "{},{},uid-{index},\"{}\"", user.token(), user.name, user.groups.join(","));
        csv
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_round_trip() {
        let eve = User::new("eve=x", &[]);
        for user in User::default_users().into_iter().chain([eve]) {
            assert_eq!(User::from_flag(&user.to_flag()), user);
        }
    }
}
