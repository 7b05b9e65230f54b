//! The contact of a new space, from the command line and the requirements of its class.

use anyhow::bail;
use clap::Args;

use super::{class_in_force::ClassInForce, progress::print_stderr};
use crate::{
    api::{Contact, ContactField, Subject, SubjectKind},
    desired::contact::{missing, required},
};

/// The contact of a space.
#[derive(Clone, Debug, Default, Args)]
pub struct ContactArgs {
    /// The team to contact about the space
    #[arg(long, value_name = "NAME")]
    pub team: Option<String>,

    /// The e-mail address of the team [default: the owner's name, if the class requires an address and the name is one]
    #[arg(long, value_name = "ADDRESS")]
    pub email: Option<String>,

    /// The chat channel of the team
    #[arg(long, value_name = "CHANNEL")]
    pub chat: Option<String>,

    /// A page about the team or its work
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,

    /// The cost center that pays for the space
    #[arg(long, value_name = "CODE")]
    pub cost_center: Option<String>,
}

impl ContactArgs {
    /// The contact of a space of `owner` in the given class, or an error that names the missing flags.
    pub(crate) fn contact(&self, owner: &Subject, class: Option<ClassInForce<'_>>) -> anyhow::Result<Option<Contact>> {
        let Self { team, email, chat, url, cost_center } = self.clone();
        let mut contact = Contact { team, email, chat, url, cost_center };
        let Some(ClassInForce { name: class, spec, .. }) = class else {
            return Ok((contact != Contact::default()).then_some(contact));
        };
        let required = required(spec);
        if required.contains(&ContactField::Email) && contact.email.is_none() {
            contact.email = address(owner).map(ToOwned::to_owned);
            if let Some(address) = &contact.email {
                print_stderr(&format!(
                    "contact.email is set to {address}, the name of the owner; use --email to set another address."
                ));
            }
        }
        let missing = missing(Some(&contact), required);
        if !missing.is_empty() {
            let fields: Vec<String> = missing.iter().map(|field| format!("contact.{field}")).collect();
            let flags: Vec<&str> = missing.iter().map(|field| flag(field)).collect();
            bail!("SpaceClass {class} requires {} of every space: add {}", fields.join(" and "), flags.join(" and "));
        }
        Ok((contact != Contact::default()).then_some(contact))
    }
}

/// The flag for a field of `spec.contact`.
fn flag(field: &str) -> &'static str {
    match field {
        "team" => "--team NAME",
        "email" => "--email ADDRESS",
        "chat" => "--chat CHANNEL",
        "url" => "--url URL",
        _ => "--cost-center CODE",
    }
}

/// The owner's name if it is an e-mail address, without the prefix of an identity provider.
fn address(owner: &Subject) -> Option<&str> {
    let bare = owner.name.rsplit(':').next().unwrap_or_default();
    let (person, domain) = bare.split_once('@')?;
    let is_address =
        !person.is_empty() && domain.contains('.') && !domain.contains('@') && !bare.contains(char::is_whitespace);
    (owner.kind == SubjectKind::User && is_address).then_some(bare)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::SpaceClassSpec;

    fn subject(kind: SubjectKind, name: &str) -> Subject {
        Subject { kind, name: name.to_owned(), namespace: None }
    }

    #[test]
    fn required_contact_fields_are_derived_or_requested() {
        let class: SpaceClassSpec = serde_json::from_value(
            serde_json::json!({"metadata": {"requiredContact": ["team", "email", "costCenter"]}}),
        )
        .unwrap();
        let class = Some(ClassInForce { name: "greenhouse", spec: &class, current: &class });
        let nadia = subject(SubjectKind::User, "oidc:nadia@example.com");
        let args =
            ContactArgs { team: Some("botany".into()), cost_center: Some("4711".into()), ..ContactArgs::default() };
        let contact = Contact {
            team: Some("botany".into()),
            email: Some("nadia@example.com".into()),
            cost_center: Some("4711".into()),
            ..Contact::default()
        };
        assert_eq!(args.contact(&nadia, class).unwrap(), Some(contact));
        let named = ContactArgs { email: Some("herbs@example.com".into()), ..args };
        assert_eq!(named.contact(&nadia, class).unwrap().unwrap().email.as_deref(), Some("herbs@example.com"));
        let missing =
            ContactArgs::default().contact(&subject(SubjectKind::Group, "zoology@example.com"), class).unwrap_err();
        assert_eq!(
            missing.to_string(),
            "SpaceClass greenhouse requires contact.team and contact.email and contact.costCenter of every space: \
            add --team NAME and --email ADDRESS and --cost-center CODE"
        );
        assert_eq!(ContactArgs::default().contact(&nadia, None).unwrap(), None);
        let none = SpaceClassSpec::default();
        assert_eq!(
            ContactArgs::default()
                .contact(&nadia, Some(ClassInForce { name: "meadow", spec: &none, current: &none }))
                .unwrap(),
            None
        );
    }

    #[test]
    fn a_user_name_can_be_an_email_address() {
        for (name, found) in [
            ("nadia@example.com", Some("nadia@example.com")),
            ("oidc:nadia@example.com", Some("nadia@example.com")),
            ("nadia", None),
            ("nadia@home", None),
            ("na dia@example.com", None),
            ("a@b@example.com", None),
        ] {
            assert_eq!(address(&subject(SubjectKind::User, name)), found, "{name}");
        }
    }
}
