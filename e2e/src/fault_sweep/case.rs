//! Owns the cases: each combines a write of a path with a fault.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{
    faults::{CaseCost, FaultKind},
    path::LifecyclePath,
};

/// A write of a path, the same in every run of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetWrite {
    /// The signature of the write.
    pub signature: String,
    /// The number of the write among those with the same signature, from one.
    pub nth: u32,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The path.
    pub path: LifecyclePath,
    /// The write.
    pub target: TargetWrite,
    /// The fault.
    pub kind: FaultKind,
}

/// The maximum length of a namespace's name.
const MAX_NAME_LENGTH: usize = 63;

impl Case {
    /// The ID `path/write/fault`, by which the case is replayed.
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.path.name, self.target.label(), self.kind.name)
    }

    /// The name of its space.
    pub fn space(&self) -> String {
        space_name(&self.id())
    }
}

impl TargetWrite {
    /// The write as part of a case's ID.
    pub fn label(&self) -> String {
        if self.nth == 1 { self.signature.clone() } else { format!("{}:{}", self.signature, self.nth) }
    }

    /// Returns true if the write is an Event.
    pub fn is_event(&self) -> bool {
        self.signature == "create-events"
    }
}

/// Returns the name of a space. It shows the case to which the space belongs.
pub fn space_name(id: &str) -> String {
    let plain: String = format!("sweep-{id}")
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' })
        .collect();
    if plain.len() <= MAX_NAME_LENGTH {
        return plain;
    }
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    format!("{}-{:08x}", plain[..MAX_NAME_LENGTH - 9].trim_end_matches('-'), hasher.finish() & 0xffff_ffff)
}

/// Returns true if the bounded sweep runs the case too.
pub fn is_bounded(case: &Case) -> bool {
    let Case { path, target, kind } = case;
    match kind.cost {
        CaseCost::Small => !target.is_event() || path.name == "create",
        CaseCost::Further => false,
        CaseCost::Worker => path.name == "create" && !target.is_event() && kind.name.starts_with("hang"),
        CaseCost::Process => {
            kind.name.starts_with("kill")
                && !target.is_event()
                && matches!(path.name, "create" | "class-change" | "delete")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_valid_labels_and_differ_between_cases() {
        let long = "update-member-removed/patch-developerspaces.status:2/reset-before";
        let name = space_name(long);
        assert!(name.len() <= MAX_NAME_LENGTH && name.starts_with("sweep-update-member-removed-patch"), "{name}");
        assert_ne!(name, space_name(&format!("{long}-x3")));
        assert_eq!(space_name("create/create-namespaces/409"), "sweep-create-create-namespaces-409");
    }
}
