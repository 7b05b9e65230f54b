//! Who is within the limit of spaces per owner and class.

use chrono::{DateTime, Utc};

/// A live space in the count of its owner and class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// UID of the space.
    pub uid: String,
    /// Name of the space.
    pub name: String,
    /// Its creation.
    pub created: DateTime<Utc>,
    /// Whether it was let in already.
    pub admitted: bool,
}

/// Whether `uid` is among the first `limit` of `claims`: those who are in stay in, the others follow by creation and UID.
///
/// Creation alone cannot decide: it has a granularity of one second, and a later space may have a smaller UID.
pub fn is_within(limit: usize, uid: &str, claims: &[Claim]) -> bool {
    let rank = |claim: &Claim| (!claim.admitted, claim.created, claim.uid.clone());
    let Some(mine) = claims.iter().find(|claim| claim.uid == uid).map(rank) else {
        return false;
    };
    claims.iter().filter(|claim| rank(claim) < mine).count() < limit
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(uid: &str, created: i64, admitted: bool) -> Claim {
        Claim { uid: uid.into(), name: format!("space-{uid}"), created: DateTime::from_timestamp(created, 0).unwrap(), admitted }
    }

    #[test]
    fn those_who_are_in_stay_in() {
        let claims = [claim("c", 5, true), claim("a", 5, false), claim("b", 4, false)];
        assert!(is_within(1, "c", &claims));
        assert!(!is_within(1, "a", &claims) && !is_within(1, "b", &claims));
        assert!(is_within(2, "b", &claims) && !is_within(2, "a", &claims));
        assert!(!is_within(3, "stranger", &claims));
    }

    proptest! {
        #[test]
        fn exactly_the_limit_gets_in(limit in 0_usize..6, created in proptest::collection::vec(0..3_i64, 0..12)) {
            let mut claims: Vec<Claim> = created.iter().enumerate().map(|(n, at)| claim(&format!("{:02}", (n * 7) % 12), *at, false)).collect();
            for uid in claims.iter().map(|c| c.uid.clone()).collect::<Vec<_>>() {
                let inside = is_within(limit, &uid, &claims);
                claims.iter_mut().filter(|c| c.uid == uid).for_each(|c| c.admitted = inside);
            }
            prop_assert_eq!(claims.iter().filter(|c| c.admitted).count(), limit.min(claims.len()));
        }
    }
}
