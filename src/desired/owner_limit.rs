//! Who is within the limit of spaces per owner and class.

use chrono::{DateTime, Utc};

use super::uid::Uid;

/// A live space in the count of its owner and class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// UID of the space.
    pub uid: Uid,
    /// Name of the space.
    pub name: Box<str>,
    /// Its creation.
    pub created: DateTime<Utc>,
    /// Whether it was let in already.
    pub admitted: bool,
}

/// Whether `mine` is among the first `limit` of `claims`, of which it is one: those who are in stay in, the others follow by creation
/// and UID.
///
/// Creation alone cannot decide: it has a granularity of one second, and a later space may have a smaller UID.
pub fn is_within<'a>(limit: usize, mine: &Claim, claims: impl Iterator<Item = &'a Claim>) -> bool {
    fn rank(claim: &Claim) -> (bool, DateTime<Utc>, &Uid) {
        (!claim.admitted, claim.created, &claim.uid)
    }
    claims.filter(|claim| rank(claim) < rank(mine)).take(limit).count() < limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(uid: &str, created: i64, admitted: bool) -> Claim {
        Claim { uid: uid.into(), name: format!("space-{uid}").into(), created: DateTime::from_timestamp(created, 0).unwrap(), admitted }
    }

    #[test]
    fn those_who_are_in_stay_in() {
        let claims = [claim("c", 5, true), claim("a", 5, false), claim("b", 4, false)];
        let [c, a, b] = &claims;
        let within = |limit: usize, mine: &Claim| is_within(limit, mine, claims.iter());
        assert!(within(1, c) && !within(0, c));
        assert!(!within(1, a) && !within(1, b));
        assert!(within(2, b) && !within(2, a));
    }

    proptest! {
        #[test]
        fn exactly_the_limit_gets_in(limit in 0_usize..6, created in proptest::collection::vec(0..3_i64, 0..12)) {
            let mut claims: Vec<Claim> = created.iter().enumerate().map(|(n, at)| claim(&format!("{:02}", (n * 7) % 12), *at, false)).collect();
            for at in 0..claims.len() {
                claims[at].admitted = is_within(limit, &claims[at], claims.iter());
            }
            prop_assert_eq!(claims.iter().filter(|c| c.admitted).count(), limit.min(claims.len()));
        }
    }
}
