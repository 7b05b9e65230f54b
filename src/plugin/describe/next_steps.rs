//! The commands that the caller can run next.

use chrono::{DateTime, Utc};
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::ResourceExt as _;

use crate::{
    api::{DeveloperSpace, SpaceClass, conditions::types},
    desired::lifetime::inputs::is_sealed,
    plugin::{expiry_setting, format, membership::includes_user, spaces},
};

/// The suggested next steps of the caller.
pub(super) fn next_steps(
    space: &DeveloperSpace,
    class: Option<&SpaceClass>,
    me: Option<&UserInfo>,
    now: DateTime<Utc>,
) -> Vec<String> {
    let name = space.name_any();
    if is_sealed(space) {
        return vec![format!(
            "It has expired and cannot be renewed. To create a new one: kubectl dspace create NAME --owner {}",
            owner(space)
        )];
    }
    if space.metadata.deletion_timestamp.is_some() {
        return vec![format!("It is being deleted. If that takes long: kubectl dspace doctor {name}")];
    }
    let ready = spaces::is_true(space, types::READY);
    let mut next = Vec::new();
    if !ready {
        next.push(format!("It is not ready. To see the cause and the fix: kubectl dspace doctor {name}"));
    }
    let obstacle =
        expiry_setting::expiry_source(space, class).and_then(|source| expiry_setting::renewal_obstacle(space, source));
    match (spaces::expires_at(space), obstacle) {
        (Some(end), Some(why)) => next.push(format!("It expires {}, and {why}.", format::from_now(now, end))),
        (Some(end), None) if end > now => {
            next.push(format!("It expires {}. To keep it: kubectl dspace renew {name}", format::from_now(now, end)));
        }
        (Some(_), None) => {
            next.push(format!("It has expired, but it is not sealed yet. To keep it: kubectl dspace renew {name}"));
        }
        (None, _) => {}
    }
    if ready {
        next.push(format!("List its objects: kubectl -n {name} get all"));
        next.push(if me.is_none_or(|me| includes_user(space, me)) {
            format!("Get a kubeconfig for it: kubectl dspace kubeconfig {name} -o FILE")
        } else {
            format!("Get a kubeconfig for its owner: kubectl dspace kubeconfig {name} --for {} -o FILE", owner(space))
        });
    }
    next
}

/// The owner as a word in a command.
fn owner(space: &DeveloperSpace) -> String {
    format::shell_quoted(&format::one_line(&space.spec.owner.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Terms,
        plugin::fixtures::{a_class, a_space, now},
    };

    #[test]
    fn a_space_that_has_expired_can_be_kept_until_it_is_sealed() {
        let mut space = a_space();
        let status = space.status.as_mut().unwrap();
        status.expires_at = Some(now() - chrono::TimeDelta::seconds(30));
        status.conditions.clear();
        let expected = [
            "It is not ready. To see the cause and the fix: kubectl dspace doctor orchid-lab",
            "It has expired, but it is not sealed yet. To keep it: kubectl dspace renew orchid-lab",
        ];
        assert_eq!(next_steps(&space, None, None, now()), expected);
    }

    #[test]
    fn a_caller_who_is_not_a_member_can_get_a_kubeconfig_for_the_owner() {
        let last = |name: &str| {
            let me = UserInfo { username: Some(name.to_owned()), ..UserInfo::default() };
            next_steps(&a_space(), None, Some(&me), now()).pop().unwrap()
        };
        assert_eq!(last("nadia@example.com"), "Get a kubeconfig for it: kubectl dspace kubeconfig orchid-lab -o FILE");
        let expected =
            "Get a kubeconfig for its owner: kubectl dspace kubeconfig orchid-lab --for User:nadia@example.com -o FILE";
        assert_eq!(last("ines@example.com"), expected);
    }

    #[test]
    fn no_renewal_is_suggested_if_it_has_no_effect() {
        let mut class = a_class();
        class.spec.lifetime.as_mut().unwrap().max_lifetime = Some("5d4h".to_owned());
        let line = next_steps(&a_space(), Some(&class), None, now());
        let expected = "It expires in 1d4h, and a renewal does not extend its lifetime, because its SpaceClass limits the lifetime of a \
            space to 5d4h (lifetime.maxLifetime): create another space with `kubectl dspace create OTHER-NAME`, or move this space to a \
            class that allows a longer lifetime.";
        assert_eq!(line[0], expected);
        assert!(line.iter().all(|line| !line.contains("dspace renew")), "{line:?}");
        let mut dated = a_space();
        let status = dated.status.as_mut().unwrap();
        status.terms = Some(Terms { expires_at: status.expires_at, ..Terms::default() });
        dated.spec.expires_at = status.expires_at;
        let line = next_steps(&dated, None, None, now());
        let expected = "It expires in 1d4h, and a renewal does not extend its lifetime, because spec.expiresAt sets the end: set a later \
            date with `kubectl edit dspace orchid-lab`, or set a ttl with `kubectl dspace renew orchid-lab --ttl DURATION`.";
        assert_eq!(line[0], expected);
    }
}
