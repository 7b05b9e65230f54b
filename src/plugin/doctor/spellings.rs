//! Owners and members whose names look like other names.

use chrono::{DateTime, Utc};

use super::{findings::Finding, snapshot::Observed};
use crate::plugin::spelling;

pub(super) fn judge(seen: &Observed, _now: DateTime<Utc>) -> Vec<Finding> {
    let Some(space) = seen.space.found() else { return vec![] };
    let members = space.spec.members.iter().map(|member| member.subject().to_string());
    let all = std::iter::once(space.spec.owner.to_string()).chain(members);
    all.filter_map(|who| spelling::remark(&who)).map(Finding::warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::fixtures::{now, well, with};

    #[test]
    fn a_decomposed_owner_is_told() {
        assert_eq!(judge(&well(), now()), []);
        let told = judge(&with(|space| space.spec.owner.name = "ju\u{308}rgen@example.com".into()), now());
        assert!(told.len() == 1 && told[0].sentence.contains("different names"), "{told:?}");
    }
}
