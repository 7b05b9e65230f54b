//! The lifetime protocol, explored whole within bounds: people, operator, second replica, `gc`, crashes, late and lost requests.
//!
//! `docs/reliability/model.md` says what is modelled, what is not, and what was found.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unused_self,
    clippy::trivially_copy_pass_by_ref,
    clippy::or_fun_call,
    reason = "a model is a test, and says what it explored"
)]

mod properties;
mod protocol;
mod rules;
mod world;

use std::collections::BTreeSet;

use properties::{FOREIGN_KEPT, NEVER_EARLY, NO_ORPHAN, POSSIBLE, RENEWAL_KEPT, WARNED, WARNED_IN_FULL};
use protocol::{Delay, Protocol};
use rules::Guard;
use stateright::{Checker, HasDiscoveries, Model};
use world::Budget;

const NOBODY: Budget = Budget { renewals: 0, strangers: 0, user_deletions: 0, recreations: 0, class_removals: 0, faults: 0 };

/// Two senders, everything as old and as late as can be, but for the making of namespaces.
const STALE: Protocol = Protocol { horizon: 5, budget: NOBODY, versions: 6, senders: 2, without: None, delay: Delay::PromptCreation };

/// Explores everything; the properties that do not hold.
fn broken(protocol: Protocol) -> BTreeSet<&'static str> {
    let budget = protocol.budget;
    let named = format!("{:?}, {budget:?}, horizon {}", protocol.delay, protocol.horizon);
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!("{named}: {} states, {} transitions, {} deep", checker.unique_state_count(), checker.state_count(), checker.max_depth());
    let possible = if budget.renewals > 0 { &POSSIBLE[..] } else { &POSSIBLE[..1] };
    for possible in possible {
        assert!(checker.discovery(possible).is_some(), "{named}: never that {possible}");
    }
    let found = checker.discoveries().into_iter().filter(|(name, _)| !POSSIBLE.contains(name));
    let told = found.inspect(|(name, path)| println!("not true that {name}:\n{:#?}", path.clone().into_actions()));
    told.map(|(name, _)| name).collect()
}

/// Explores until `expected` is broken, and prints how.
fn finds(protocol: Protocol, expected: &'static str) {
    let named = format!("without {:?}, {:?}", protocol.without, protocol.delay);
    let finish = HasDiscoveries::AnyOf([expected].into());
    let checker = protocol.checker().threads(2).finish_when(finish).spawn_bfs().join();
    let path = checker
        .discovery(expected)
        .unwrap_or_else(|| panic!("{named}: not found in {} states that {expected} breaks", checker.unique_state_count()));
    println!("{named}: after {} states it is not true that {expected}:", checker.unique_state_count());
    for turn in path.into_actions() {
        println!("    {turn:?}");
    }
}

#[test]
fn renewals_against_stale_views_and_late_requests() {
    let budget = Budget { renewals: 2, ..NOBODY };
    assert_eq!(broken(Protocol { horizon: 6, budget, ..STALE }), [WARNED_IN_FULL].into());
}

#[test]
fn somebody_deletes_the_namespace_and_takes_its_name() {
    let budget = Budget { renewals: 1, strangers: 1, ..NOBODY };
    assert_eq!(broken(Protocol { horizon: 4, versions: 5, budget, ..STALE }), [WARNED_IN_FULL].into());
}

#[test]
fn the_space_is_deleted_and_made_again() {
    let budget = Budget { user_deletions: 1, recreations: 1, ..NOBODY };
    assert_eq!(broken(Protocol { budget, ..STALE }), [WARNED_IN_FULL].into());
}

#[test]
fn the_class_goes_missing() {
    let budget = Budget { renewals: 1, class_removals: 1, ..NOBODY };
    assert_eq!(broken(Protocol { budget, delay: Delay::PromptStatus, ..STALE }), [].into());
}

#[test]
fn a_status_that_arrives_in_time_is_a_warning_in_full() {
    let budget = Budget { renewals: 2, ..NOBODY };
    assert_eq!(broken(Protocol { horizon: 6, budget, delay: Delay::PromptStatus, ..STALE }), [].into());
}

/// The bounds leave room for every end: what nobody does any more, time does.
#[test]
fn every_run_ends_with_nothing_left() {
    let budget = Budget { renewals: 2, strangers: 1, user_deletions: 1, faults: 3, ..NOBODY };
    assert_eq!(broken(Protocol { horizon: 24, versions: u8::MAX, budget, delay: Delay::None, ..STALE }), [].into());
}

#[test]
fn each_guard_is_needed() {
    let renewal = Protocol { budget: Budget { renewals: 1, ..NOBODY }, ..STALE };
    let stranger = Protocol { budget: Budget { renewals: 1, strangers: 2, ..NOBODY }, ..STALE };
    let deletion = Protocol { budget: Budget { user_deletions: 1, renewals: 1, ..NOBODY }, ..STALE };
    for (guard, protocol, broken) in [
        (Guard::SealVersion, &renewal, NEVER_EARLY),
        (Guard::SealRule, &renewal, RENEWAL_KEPT),
        (Guard::SealFirst, &renewal, RENEWAL_KEPT),
        (Guard::Warning, &renewal, WARNED),
        (Guard::NamespaceUid, &stranger, FOREIGN_KEPT),
        (Guard::FreshRead, &deletion, NO_ORPHAN),
    ] {
        finds(Protocol { without: Some(guard), ..protocol.clone() }, broken);
    }
}

/// Both are told in `docs/reliability/model.md`: no precondition that the API server has would prevent them.
#[test]
fn known_limits() {
    let budget = Budget { renewals: 1, user_deletions: 1, ..NOBODY };
    finds(Protocol { budget, delay: Delay::Any, ..STALE }, NO_ORPHAN);
    finds(Protocol { budget, ..STALE }, WARNED_IN_FULL);
}
