//! I2: the namespaces that trace back to one owner, released ones included, never exceed the limit of the class, except
//! after the limit was lowered, which evicts no space.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    adversary::trace::{ObservedState, Trace},
    fixtures::{condition, name_of, text},
};

pub(super) fn check(trace: &Trace) -> Result<(), String> {
    let Some((before, state)) = trace.last_two() else { return Ok(()) };
    let had = before.map(places).unwrap_or_default();
    for ((class, owner), names) in places(state) {
        let Some(of) = trace.class(&class) else { continue };
        let since = before.map_or(state.at, |before| before.at);
        let limit = trace.rules_since(of, since).iter().map(|rules| rules.limit).max().unwrap_or(usize::MAX);
        let before = had.get(&(class.clone(), owner.clone())).map_or(0, Vec::len);
        if names.len() > limit.max(before) {
            return Err(format!("{owner} has {} in SpaceClass {class}, whose limit is {limit}", names.join(", ")));
        }
    }
    state.spaces().try_for_each(|space| not_evicted(state, space))
}

/// The names of the namespaces that count, by class and owner.
fn places(state: &ObservedState) -> BTreeMap<(String, String), Vec<String>> {
    let mut places: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for space in state.spaces().filter(|space| state.own_namespace(space).is_some()) {
        let place = (text(space, "/status/className").to_owned(), text(space, "/status/owner/name").to_owned());
        places.entry(place).or_default().push(name_of(space).to_owned());
    }
    for namespace in
        state.namespaces().filter(|namespace| namespace["metadata"]["labels"]["developerspace.dev/released"] == "true")
    {
        let mark = |name: &str| {
            namespace["metadata"]["annotations"][format!("developerspace.dev/{name}")]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        let owner = mark("released-owner");
        let owner = owner.strip_prefix("User:").unwrap_or(&owner).to_owned();
        let of_itself = state.space(name_of(namespace)).is_some_and(|space| text(space, "/status/owner/name") == owner);
        if !of_itself {
            places
                .entry((mark("released-class"), owner))
                .or_default()
                .push(format!("{} (released)", name_of(namespace)));
        }
    }
    places
}

/// A space that has a place under the owner limit keeps it.
fn not_evicted(state: &ObservedState, space: &Value) -> Result<(), String> {
    let status = |field: &str| text(space, &format!("/status/{field}")).to_owned();
    let is_settled = status("className") == text(space, "/spec/className")
        && status("owner/name") == text(space, "/spec/owner/name");
    if is_settled
        && state.living_namespace(space).is_some()
        && condition(space, "Ready")["reason"] == "OwnerLimitExceeded"
    {
        Err(format!(
            "DeveloperSpace {} has its place and is refused by the limit: {}",
            name_of(space),
            condition(space, "Ready")["message"]
        ))
    } else {
        Ok(())
    }
}
