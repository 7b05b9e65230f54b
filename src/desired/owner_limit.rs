//! The order in which spaces get a place under the owner limit, which counts per owner and class.

use chrono::{DateTime, Utc};

use super::uid::Uid;

/// A space that waits for a place under the owner limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// UID of the space.
    pub uid: Uid,
    /// Name of the space.
    pub name: Box<str>,
    pub created: DateTime<Utc>,
    /// True if the space was never admitted.
    pub is_new: bool,
}

/// The rank of a space: by creation, and by UID within the same second.
pub(crate) fn rank(claim: &Claim) -> (DateTime<Utc>, &Uid) {
    (claim.created, &claim.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_space_comes_first_and_the_smaller_uid_within_a_second() {
        let claim = |uid: &str, created: i64| Claim {
            uid: uid.into(),
            name: format!("space-{uid}").into(),
            created: DateTime::from_timestamp(created, 0).unwrap(),
            is_new: true,
        };
        let mut claims = [claim("a", 5), claim("c", 4), claim("b", 5)];
        claims.sort_by(|left, right| rank(left).cmp(&rank(right)));
        assert_eq!(claims.map(|claim| claim.name), ["space-c", "space-a", "space-b"].map(Into::into));
    }
}
