//! Owners and members whose names look like other names.

use chrono::{DateTime, Utc};

use super::{diagnosis::Diagnosis, snapshot::ClusterSnapshot};
use crate::plugin::spelling;

pub(super) fn diagnose(snapshot: &ClusterSnapshot, _now: DateTime<Utc>) -> Vec<Diagnosis> {
    let Some(space) = snapshot.space.object() else { return vec![] };
    let members = space.spec.members.iter().map(|member| member.subject().to_string());
    let all = std::iter::once(space.spec.owner.to_string()).chain(members);
    all.filter_map(|subject| spelling::combining_characters_warning(&subject)).map(Diagnosis::warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::doctor::fixtures::{healthy, healthy_with, now};

    #[test]
    fn an_owner_with_combining_characters_is_reported() {
        assert_eq!(diagnose(&healthy(), now()), []);
        let told = diagnose(&healthy_with(|space| space.spec.owner.name = "ju\u{308}rgen@example.com".into()), now());
        assert!(told.len() == 1 && told[0].sentence.contains("different names"), "{told:?}");
    }
}
