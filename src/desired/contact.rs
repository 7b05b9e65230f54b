//! The contact that a class requires of its spaces.

use crate::api::{Contact, ContactField, SpaceClassSpec};

/// The fields that `class` requires.
pub fn required(class: &SpaceClassSpec) -> &[ContactField] {
    class.metadata.as_ref().map(|metadata| metadata.required_contact.as_slice()).unwrap_or_default()
}

/// The required fields that `contact` lacks, blank ones included, as `spec.contact` spells them.
pub fn missing(contact: Option<&Contact>, required: &[ContactField]) -> Vec<&'static str> {
    let none = Contact::default();
    let Contact { team, email, chat, url, cost_center } = contact.unwrap_or(&none);
    let fields = required.iter().map(|field| match field {
        ContactField::Team => ("team", team),
        ContactField::Email => ("email", email),
        ContactField::Chat => ("chat", chat),
        ContactField::Url => ("url", url),
        ContactField::CostCenter => ("costCenter", cost_center),
    });
    fields
        .filter(|(_, value)| value.as_deref().is_none_or(|value| value.trim().is_empty()))
        .map(|(name, _)| name)
        .collect()
}

/// The sentence that asks for the required fields that `contact` lacks, if it lacks any.
pub fn request(contact: Option<&Contact>, required: &[ContactField], class_name: &str) -> Option<String> {
    let missing = missing(contact, required);
    (!missing.is_empty()).then(|| {
        let fields = missing.join(", ");
        format!(
            "spec.contact lacks {fields}, which SpaceClass {class_name} requires (metadata.requiredContact): add it"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_contact_fields_that_are_absent_or_blank_are_requested() {
        let required = [ContactField::Team, ContactField::Email, ContactField::CostCenter];
        let contact = Contact {
            team: Some("botany".into()),
            email: Some(" ".into()),
            chat: Some("#orchids".into()),
            ..Contact::default()
        };
        assert_eq!(missing(Some(&contact), &required), ["email", "costCenter"]);
        assert_eq!(missing(None, &[ContactField::Chat, ContactField::Url]), ["chat", "url"]);
        let says = "spec.contact lacks email, costCenter, which SpaceClass greenhouse requires (metadata.requiredContact): add it";
        assert_eq!(request(Some(&contact), &required, "greenhouse").as_deref(), Some(says));
        assert_eq!(request(Some(&contact), &[ContactField::Chat], "greenhouse"), None);
    }
}
