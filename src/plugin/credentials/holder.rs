//! The user that a kubeconfig is issued to, and the access of that user to the space.

use std::collections::BTreeSet;

use anyhow::{bail, ensure};
use k8s_openapi::api::authentication::v1::UserInfo;
use kube::ResourceExt as _;

use crate::{
    api::{DeveloperSpace, Subject, SubjectKind},
    plugin::{format::shell_quoted, membership, subject::from_username},
};

/// The user that a kubeconfig is issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The user, group or ServiceAccount.
    pub(crate) subject: Subject,
    /// The roles of a member of the space; `None` for its owner.
    roles: Option<BTreeSet<String>>,
    /// True if the space names the subject. False if the subject has access only through a group.
    pub(crate) by_name: bool,
}

impl Holder {
    /// The owner of a space.
    pub(crate) fn owner(subject: Subject) -> Self {
        Self { subject, roles: None, by_name: true }
    }

    /// A subject that the space names. Returns an error if it is neither the owner nor a member.
    pub(crate) fn named(space: &DeveloperSpace, subject: &Subject) -> anyhow::Result<Self> {
        membership::ensure_names_subject(space, subject)?;
        Ok(Self::of(space, subject.clone(), |one| one == subject))
    }

    /// The caller. Returns an error if the caller is neither the owner nor a member, by name or through a group.
    pub(crate) fn caller(space: &DeveloperSpace, me: &UserInfo) -> anyhow::Result<Self> {
        let subject = from_username(me.username.as_deref().unwrap_or_default());
        let (name, owner) = (space.name_any(), &space.spec.owner);
        ensure!(
            membership::includes_user(space, me),
            "you are {subject}, neither the owner nor a member of DeveloperSpace {name}, which belongs to {owner}: set --for to the owner or \
            a member, or add yourself with `kubectl dspace members add {name} {} --role ROLE`",
            shell_quoted(&subject.to_string())
        );
        Ok(Self::of(space, subject, |one| membership::matches_user(one, me)))
    }

    fn of(space: &DeveloperSpace, subject: Subject, meant: impl Fn(&Subject) -> bool) -> Self {
        let members = space.spec.members.iter().filter(|member| meant(&member.subject()));
        let roles = (!meant(&space.spec.owner)).then(|| members.map(|member| member.role.clone()).collect());
        let by_name = membership::names_subject(space, &subject);
        Self { subject, roles, by_name }
    }

    /// Returns an error if a certificate would give no access to `space`. It contains the name of a user, and the
    /// approver accepts only a user that the space names, even if the class lists a group of the user in
    /// `organizations`.
    pub(crate) fn can_use_a_certificate(&self, space: &str) -> anyhow::Result<()> {
        let subject = &self.subject;
        ensure!(
            subject.kind == SubjectKind::User,
            "a certificate can be issued only for a user, and {subject} is not a user: use --auth oidc or --auth token"
        );
        ensure!(
            self.by_name,
            "{subject} has access to DeveloperSpace {space} only through a group, and a certificate is issued only to a user that the \
            space names: use --auth oidc or --auth token, or have the owner add you by name with `kubectl dspace members add {space} {} \
            --role ROLE`",
            shell_quoted(&subject.to_string())
        );
        Ok(())
    }

    /// Returns true for the owner of the space.
    pub(crate) fn is_owner(&self) -> bool {
        self.roles.is_none()
    }

    /// The role of a member; `None` for the owner. Returns an error if the member has several roles.
    pub(crate) fn role(&self) -> anyhow::Result<Option<&str>> {
        let Some(roles) = &self.roles else { return Ok(None) };
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        match roles.as_slice() {
            [only] => Ok(Some(*only)),
            _ => bail!(
                "{} has several roles in the space ({}): choose one of them with --role",
                self.subject,
                roles.join(", ")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::fixtures::user;

    /// The space fern-lab of the group gardeners.
    fn space() -> DeveloperSpace {
        let members = json!([
            {"kind": "User", "name": "omar@example.com", "role": "view"},
            {"kind": "Group", "name": "zoology", "role": "view"},
            {"kind": "Group", "name": "physics", "role": "edit"},
        ]);
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "fern-lab"},
            "spec": {"owner": {"kind": "Group", "name": "gardeners"}, "members": members},
        }))
        .unwrap()
    }

    fn caller(name: &str, groups: &[&str]) -> anyhow::Result<Holder> {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Holder::caller(
            &space(),
            &UserInfo { username: Some(name.to_owned()), groups: Some(groups), ..UserInfo::default() },
        )
    }

    #[test]
    fn a_caller_is_the_owner_or_a_member_by_name_or_through_a_group() {
        let petra = || user("petra@example.com");
        let member = |roles: &[&str]| Some(roles.iter().map(|&role| role.to_owned()).collect());
        for (name, groups, expected) in [
            ("petra@example.com", &["gardeners", "physics"][..], Holder { by_name: false, ..Holder::owner(petra()) }),
            ("petra@example.com", &["physics"], Holder { subject: petra(), roles: member(&["edit"]), by_name: false }),
            (
                "petra@example.com",
                &["physics", "zoology"],
                Holder { subject: petra(), roles: member(&["edit", "view"]), by_name: false },
            ),
            (
                "omar@example.com",
                &[],
                Holder { subject: user("omar@example.com"), roles: member(&["view"]), by_name: true },
            ),
        ] {
            assert_eq!(caller(name, groups).unwrap(), expected, "{name} {groups:?}");
        }
        let stranger = caller("ines@example.com", &["system:masters"]).unwrap_err().to_string();
        assert_eq!(
            stranger,
            "you are User:ines@example.com, neither the owner nor a member of DeveloperSpace fern-lab, which belongs to Group:gardeners: set \
            --for to the owner or a member, or add yourself with `kubectl dspace members add fern-lab User:ines@example.com --role ROLE`"
        );
    }

    #[test]
    fn a_certificate_is_for_a_user_that_the_space_names() {
        let refusal = |holder: Holder| holder.can_use_a_certificate("fern-lab").err().map(|error| error.to_string());
        assert_eq!(refusal(Holder::owner(user("nadia@example.com"))), None);
        assert_eq!(refusal(caller("omar@example.com", &["zoology"]).unwrap()), None);
        let expected = "User:petra@example.com has access to DeveloperSpace fern-lab only through a group, and a certificate is issued \
            only to a user that the space names: use --auth oidc or --auth token, or have the owner add you by name with `kubectl dspace \
            members add fern-lab User:petra@example.com --role ROLE`";
        for group in ["gardeners", "physics"] {
            assert_eq!(refusal(caller("petra@example.com", &[group]).unwrap()).as_deref(), Some(expected), "{group}");
        }
        let group =
            Holder::named(&space(), &Subject { kind: SubjectKind::Group, name: "physics".to_owned(), namespace: None })
                .unwrap();
        let expected = "a certificate can be issued only for a user, and Group:physics is not a user: use --auth oidc or --auth token";
        assert_eq!(refusal(group).as_deref(), Some(expected));
    }

    #[test]
    fn a_member_must_have_one_role() {
        let omar = Holder::named(&space(), &user("omar@example.com")).unwrap();
        assert_eq!((omar.is_owner(), omar.role().unwrap()), (false, Some("view")));
        let owner = Holder::owner(user("nadia@example.com"));
        assert_eq!((owner.is_owner(), owner.role().unwrap()), (true, None));
        let both = caller("petra@example.com", &["physics", "zoology"]).unwrap();
        let expected =
            "User:petra@example.com has several roles in the space (edit, view): choose one of them with --role";
        assert_eq!(both.role().unwrap_err().to_string(), expected);
        assert!(Holder::named(&space(), &user("ines@example.com")).is_err());
    }
}
