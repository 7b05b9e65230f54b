//! The owner and the members of a space: whether a user or a subject is one of them. Sends no requests.

use anyhow::bail;
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::ResourceExt as _;

use super::{format, spaces, subject::from_username};
use crate::api::{DeveloperSpace, Subject, SubjectKind};

/// Returns true if the user is the owner or a member of the space, by name or through a group.
pub(crate) fn includes_user(space: &DeveloperSpace, user: &UserInfo) -> bool {
    matches_user(&space.spec.owner, user)
        || space.spec.members.iter().any(|member| matches_user(&member.subject(), user))
}

/// Returns true if the subject is the user or a group of the user.
pub(crate) fn matches_user(subject: &Subject, user: &UserInfo) -> bool {
    let groups = user.groups.as_deref().unwrap_or_default();
    let by_name = from_username(user.username.as_deref().unwrap_or_default());
    *subject == by_name || (subject.kind == SubjectKind::Group && groups.contains(&subject.name))
}

/// Returns true if the subject is the owner or a member of the space by name.
pub(crate) fn names_subject(space: &DeveloperSpace, subject: &Subject) -> bool {
    space.spec.owner == *subject || is_member(space, subject)
}

fn is_member(space: &DeveloperSpace, subject: &Subject) -> bool {
    space.spec.members.iter().any(|member| member.subject() == *subject)
}

/// Returns an error if the subject is neither the owner nor a member of the space by name, or if the space is being
/// deleted.
pub(crate) fn ensure_names_subject(space: &DeveloperSpace, subject: &Subject) -> anyhow::Result<()> {
    let name = space.name_any();
    ensure_not_terminating(space)?;
    if !names_subject(space, subject) {
        bail!(
            "DeveloperSpace {name} belongs to {}, and {subject} is not a member of it: add the member with \
            `kubectl dspace members add {name} {} --role ROLE`",
            space.spec.owner,
            format::shell_quoted(&subject.to_string())
        );
    }
    Ok(())
}

/// Returns an error if an existing space does not fit: the subject must be its owner, it must have the given class, and
/// it must not be terminating.
pub(crate) fn ensure_fits(space: &DeveloperSpace, owner: &Subject, class: Option<&str>) -> anyhow::Result<()> {
    let name = space.name_any();
    ensure_not_terminating(space)?;
    let current = &space.spec.owner;
    if current != owner {
        if is_member(space, owner) {
            bail!(
                "DeveloperSpace {name} belongs to {current}, and {owner} is a member of it: to give the member access, run \
                `kubectl dspace kubeconfig {name} --for {} -o FILE`; to create another space, set another --name",
                format::shell_quoted(&owner.to_string())
            );
        }
        bail!("DeveloperSpace {name} belongs to {current}, not to {owner}: set another --name");
    }
    match (class, spaces::class_name(space)) {
        (Some(wanted), Some(found)) if wanted != found => {
            bail!(
                "DeveloperSpace {name} already exists with SpaceClass {found}, not {wanted}: omit --class, or set another --name"
            )
        }
        _ => Ok(()),
    }
}

fn ensure_not_terminating(space: &DeveloperSpace) -> anyhow::Result<()> {
    let name = space.name_any();
    if space.metadata.deletion_timestamp.is_some() {
        bail!(
            "DeveloperSpace {name} is being deleted: run this command again after the deletion, or set another --name"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::Member,
        plugin::{
            create,
            fixtures::{a_space, user},
        },
    };

    #[test]
    fn a_user_belongs_to_a_space_by_name_or_through_a_group() {
        let me = |name: &str, group: &str| UserInfo {
            username: Some(name.to_owned()),
            groups: Some(vec![group.to_owned()]),
            ..UserInfo::default()
        };
        assert!(includes_user(&a_space(), &me("nadia@example.com", "physics")));
        assert!(includes_user(&a_space(), &me("omar@example.com", "zoology")));
        assert!(!includes_user(&a_space(), &me("omar@example.com", "botany")));
    }

    #[test]
    fn a_space_of_another_owner_or_class_does_not_fit() {
        let mut space = DeveloperSpace::new("orchid-lab", create::minimal_spec(user("nadia@example.com")));
        space.spec.class_name = Some("large".into());
        assert!(ensure_fits(&space, &user("nadia@example.com"), None).is_ok());
        assert!(ensure_fits(&space, &user("nadia@example.com"), Some("large")).is_ok());
        let other = ensure_fits(&space, &user("nadia@example.com"), Some("small")).unwrap_err();
        assert_eq!(
            other.to_string(),
            "DeveloperSpace orchid-lab already exists with SpaceClass large, not small: omit --class, or set another --name"
        );
        let stranger = ensure_fits(&space, &user("omar@example.com"), None).unwrap_err().to_string();
        assert_eq!(
            stranger,
            "DeveloperSpace orchid-lab belongs to User:nadia@example.com, not to User:omar@example.com: set another --name"
        );
    }

    #[test]
    fn a_member_is_not_onboarded_into_the_space_of_another_owner() {
        let mut space = DeveloperSpace::new("orchid-lab", create::minimal_spec(user("nadia@example.com")));
        space.spec.members.push(Member {
            kind: SubjectKind::User,
            name: "omar@example.com".into(),
            namespace: None,
            role: "edit".into(),
        });
        let member = ensure_fits(&space, &user("omar@example.com"), None).unwrap_err().to_string();
        assert_eq!(
            member,
            "DeveloperSpace orchid-lab belongs to User:nadia@example.com, and User:omar@example.com is a member of it: to give the member \
            access, run `kubectl dspace kubeconfig orchid-lab --for User:omar@example.com -o FILE`; to create another space, set another \
            --name"
        );
        assert!(ensure_names_subject(&space, &user("omar@example.com")).is_ok());
        assert!(ensure_names_subject(&space, &user("petra@example.com")).is_err());
    }
}
