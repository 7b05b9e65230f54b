//! The properties of the model: those that always hold, those that hold eventually, and those that some run must reach
//! so that the others are meaningful.

use stateright::Property;

use super::{
    clock,
    protocol::{Delay, Protocol},
    stored::NOTICE,
    world::{Space, World, Wrong},
};

pub(crate) const RENEWAL_KEPT: &str = "no namespace is deleted while the stored spec says that its time is not up";
pub(crate) const NEVER_EARLY: &str = "nothing is sealed or deleted before its time";
pub(crate) const FOREIGN_KEPT: &str = "no namespace of somebody else is deleted";
pub(crate) const WARNED: &str = "no space is sealed before its last warning stood";
pub(crate) const SEAL_STAYS: &str = "a seal stays";
pub(crate) const WARNED_IN_FULL: &str = "the last warning was there to be read for the whole notice";
pub(crate) const NO_ORPHAN: &str = "no namespace is left without its space";
pub(crate) const CAN_END: &str = "whatever happened, the operator by itself ends every space";
pub(crate) const IS_OVER: &str = "where nothing can happen any more, nothing is left";
pub(crate) const COLLECTED: &str = "every expired space is eventually gone";

/// The states that some run must reach. Otherwise the other properties prove nothing.
pub(crate) const POSSIBLE: [&str; 4] = [
    "a space is collected",
    "a space is sealed before its end, and its namespace stays until then",
    "a renewal comes after the warning",
    "a renewal between the seal and the end is refused",
];

/// All properties that are checked for `protocol`.
pub(crate) fn all(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        always(RENEWAL_KEPT, |_, world| world.wrong != Some(Wrong::RenewalLost)),
        always(NEVER_EARLY, |_, world| world.wrong != Some(Wrong::Early)),
        always(FOREIGN_KEPT, |_, world| world.wrong != Some(Wrong::Foreign)),
        always(WARNED, |_, world| world.wrong != Some(Wrong::Unwarned)),
        always(SEAL_STAYS, |_, world| world.wrong != Some(Wrong::Unsealed)),
        always(WARNED_IN_FULL, |_, world| world.warning_stood.is_none_or(|stood| stood + 1 >= clock::moment(NOTICE))),
        always(NO_ORPHAN, |_, world| !world.is_orphaned()),
        always(CAN_END, Protocol::can_end),
        Property::sometimes(POSSIBLE[0], Protocol::is_over),
        Property::sometimes(POSSIBLE[1], |_, world: &World| {
            let is_early = |space: Space| {
                space.status.sealed.is_some() && space.status.expires.is_some_and(|end| world.now < clock::moment(end))
            };
            world.space.is_some_and(is_early) && world.namespace.is_some_and(|namespace| !namespace.terminating)
        }),
        Property::sometimes(POSSIBLE[2], |_, world: &World| {
            world.space.is_some_and(|space| space.status.warned.is_some_and(|(at, ..)| space.renewed > Some(at)))
        }),
        Property::sometimes(POSSIBLE[3], |_, world: &World| world.refused),
    ];
    if protocol.delay == Delay::None {
        all.push(always(IS_OVER, |protocol, world| !protocol.is_stuck(world) || protocol.is_over(world)));
        all.push(Property::eventually(COLLECTED, Protocol::is_over));
    }
    all
}

fn always(name: &'static str, judge: fn(&Protocol, &World) -> bool) -> Property<Protocol> {
    Property::always(name, judge)
}
