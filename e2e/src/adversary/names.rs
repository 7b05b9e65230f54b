//! Owns the names of one sequence, so that many sequences run concurrently without conflicts.

use serde_json::{Value, json};

/// The identity with which a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// The platform's administrator, who holds every verb.
    Administrator,
    /// A user, by name.
    User(String),
}

/// The personas of a sequence: two owners who may collude, a member, and the administrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Persona {
    /// An owner.
    Ana,
    /// Another owner.
    Bea,
    /// A member of spaces, who owns none.
    Cem,
    /// The administrator.
    Admin,
}

/// The spaces of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Space {
    /// An ordinary name.
    One,
    /// An ordinary name.
    Two,
    /// An ordinary name.
    Three,
    /// The name of a namespace that both classes admit through the isolation.
    Ingress,
    /// A name that both classes deny.
    Denied,
    /// A name without a dash.
    Dashless,
}

impl Space {
    /// All spaces.
    pub(super) const ALL: [Self; 6] = [Self::One, Self::Two, Self::Three, Self::Ingress, Self::Denied, Self::Dashless];

    /// Returns true if a space of that name may have a namespace.
    pub(super) fn is_allowed(self) -> bool {
        matches!(self, Self::One | Self::Two | Self::Three)
    }
}

/// The classes of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Allows little.
    Small,
    /// Allows more.
    Large,
}

impl Class {
    /// Both classes.
    pub(super) const ALL: [Self; 2] = [Self::Small, Self::Large];
}

/// The names of one sequence, which begin with [`INITIAL`] and a number.
#[derive(Clone, Debug)]
pub(super) struct Names(String);

/// The first letter of all names of sequences.
const INITIAL: char = 'q';

impl Names {
    /// The names of the sequence of that number.
    pub(super) fn of_sequence(number: u64) -> Self {
        Self(format!("{INITIAL}{number}"))
    }

    /// The names of one replay of that sequence, which no other replay has.
    pub(super) fn of_replay(number: u64, replay: u32) -> Self {
        Self(format!("{INITIAL}{number}t{replay}"))
    }

    /// Returns true if `name` belongs to a space or a class of a sequence.
    pub(super) fn contain(name: &str) -> bool {
        name.strip_prefix(INITIAL).is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// The identity of a persona.
    pub(super) fn identity(&self, persona: Persona) -> Identity {
        let name = match persona {
            Persona::Admin => return Identity::Administrator,
            Persona::Ana => "ana",
            Persona::Bea => "bea",
            Persona::Cem => "cem",
        };
        Identity::User(format!("{name}-{}@example.com", self.0))
    }

    /// The user name of an owner or a member.
    pub(super) fn user(&self, persona: Persona) -> String {
        match self.identity(persona) {
            Identity::User(name) => name,
            Identity::Administrator => "admin".to_owned(),
        }
    }

    /// That persona as `spec.owner`.
    pub(super) fn subject(&self, persona: Persona) -> Value {
        json!({"kind": "User", "name": self.user(persona)})
    }

    /// The name of a space and of its namespace.
    pub(super) fn space(&self, space: Space) -> String {
        match space {
            Space::One => format!("{}-one", self.0),
            Space::Two => format!("{}-two", self.0),
            Space::Three => format!("{}-three", self.0),
            Space::Ingress => format!("{}-ingress", self.0),
            Space::Denied => format!("{}-prod-web", self.0),
            Space::Dashless => format!("{}corp", self.0),
        }
    }

    /// The pattern of names that both classes deny.
    pub(super) fn denied(&self) -> String {
        format!("{}-prod-*", self.0)
    }

    /// The name of a class.
    pub(super) fn class(&self, class: Class) -> String {
        match class {
            Class::Small => format!("{}-small", self.0),
            Class::Large => format!("{}-large", self.0),
        }
    }
}
