//! A complete exploration of the lifetime protocol within bounds: users, the operator, its second replica, `gc`,
//! crashes, late and lost requests.
//!
//! `docs/reliability/model.md` describes the scope of the model, its limits and its findings.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unused_self,
    clippy::trivially_copy_pass_by_ref,
    clippy::or_fun_call,
    reason = "a model is a test, and says what it explored"
)]

mod clock;
mod properties;
mod protocol;
mod rules;
mod stored;
mod world;

use std::collections::BTreeSet;

use clock::{DAYS, MINUTES};
use properties::{CAN_END, FOREIGN_KEPT, NEVER_EARLY, NO_ORPHAN, POSSIBLE, RENEWAL_KEPT, WARNED, WARNED_IN_FULL};
use protocol::{Delay, Protocol, Turn};
use rules::Guard;
use stateright::{Checker, HasDiscoveries, Model, Path};
use stored::Setting;
use world::{Budget, World};

const NO_ACTIONS: Budget =
    Budget { renewals: 0, strangers: 0, user_deletions: 0, recreations: 0, class_changes: 0, edits: 0, faults: 0 };

/// A class with one warning.
const WARNED_OF: Setting = Setting { clock: DAYS, protected: false, warns: true };
/// A class without warnings.
const UNWARNED: Setting = Setting { clock: MINUTES, warns: false, ..WARNED_OF };
/// A space that is protected for as long as its class allows it.
const PROTECTED: Setting = Setting { protected: true, ..WARNED_OF };

/// Two senders. Views are as old and requests as late as possible, except for the creation and the first record of
/// namespaces.
const STALE: Protocol = Protocol {
    setting: WARNED_OF,
    horizon: 5,
    budget: NO_ACTIONS,
    skewed: false,
    versions: 6,
    senders: 2,
    without: None,
    delay: Delay::SettledCreation,
};

fn class_changes(setting: Setting) -> Protocol {
    let budget = Budget { renewals: 1, class_changes: 1, ..NO_ACTIONS };
    Protocol { setting, budget, delay: Delay::PromptStatus, ..STALE }
}

fn edits(setting: Setting, edits: u8) -> Protocol {
    Protocol { setting, budget: Budget { edits, ..NO_ACTIONS }, delay: Delay::PromptStatus, ..STALE }
}

/// Explores all states. Returns the properties that do not hold.
fn broken(protocol: Protocol) -> BTreeSet<&'static str> {
    let budget = protocol.budget;
    let named = format!("{:?}, {budget:?}, horizon {}", protocol.delay, protocol.horizon);
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!(
        "{named}: {} states, {} transitions, {} deep",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth()
    );
    let possible = if budget.renewals > 0 { &POSSIBLE[..] } else { &POSSIBLE[..2] };
    for possible in possible {
        assert!(checker.discovery(possible).is_some(), "{named}: never that {possible}");
    }
    let found = checker.discoveries().into_iter().filter(|(name, _)| !POSSIBLE.contains(name));
    found.inspect(|(name, path)| print(name, path)).map(|(name, _)| name).collect()
}

fn print(broken: &str, path: &Path<World, Turn>) {
    println!("it is not true that {broken}:");
    for turn in path.clone().into_actions() {
        println!("    {turn:?}");
    }
}

/// Explores until `expected` is violated, and prints the run that violates it.
fn finds(protocol: Protocol, expected: &'static str) {
    let named = format!("without {:?}, {:?}", protocol.without, protocol.delay);
    let finish = HasDiscoveries::AnyOf([expected].into());
    let checker = protocol.checker().threads(2).finish_when(finish).spawn_bfs().join();
    let path = checker.discovery(expected).unwrap_or_else(|| {
        panic!("{named}: not found in {} states that {expected} breaks", checker.unique_state_count())
    });
    println!("{named}: after {} states", checker.unique_state_count());
    print(expected, &path);
}

#[test]
fn renewals_against_stale_views_and_late_requests() {
    let budget = Budget { renewals: 2, ..NO_ACTIONS };
    assert_eq!(broken(Protocol { budget, ..STALE }), [WARNED_IN_FULL].into());
}

#[test]
fn another_client_deletes_the_namespace_and_reuses_its_name() {
    let budget = Budget { renewals: 1, strangers: 1, ..NO_ACTIONS };
    assert_eq!(broken(Protocol { horizon: 4, versions: 5, budget, ..STALE }), [WARNED_IN_FULL].into());
}

#[test]
fn the_space_is_deleted_and_recreated() {
    let budget = Budget { user_deletions: 1, recreations: 1, ..NO_ACTIONS };
    assert_eq!(broken(Protocol { budget, ..STALE }), [WARNED_IN_FULL].into());
}

#[test]
fn the_class_is_tightened_or_goes_missing() {
    assert_eq!(broken(class_changes(WARNED_OF)), [].into());
}

#[test]
fn a_class_without_warnings_is_tightened_or_goes_missing() {
    assert_eq!(broken(class_changes(UNWARNED)), [].into());
}

#[test]
fn the_consent_to_protection_is_withdrawn() {
    assert_eq!(broken(Protocol { versions: 8, ..class_changes(PROTECTED) }), [].into());
}

#[test]
fn a_status_that_arrives_in_time_is_a_warning_in_full() {
    let budget = Budget { renewals: 2, ..NO_ACTIONS };
    assert_eq!(broken(Protocol { budget, delay: Delay::PromptStatus, ..STALE }), [].into());
}

#[test]
fn renewals_from_clocks_that_disagree() {
    let budget = Budget { renewals: 2, ..NO_ACTIONS };
    assert_eq!(broken(Protocol { budget, skewed: true, delay: Delay::PromptStatus, ..STALE }), [].into());
}

#[test]
fn the_owner_changes_the_ttl_and_the_protection() {
    assert_eq!(broken(edits(WARNED_OF, 2)), [].into());
}

#[test]
fn the_same_without_warnings() {
    assert_eq!(broken(edits(UNWARNED, 2)), [].into());
}

/// The space is protected at first. One sender bounds the number of states.
#[test]
fn owner_clocks_and_class_change_together() {
    let budget = Budget { renewals: 1, edits: 1, class_changes: 1, ..NO_ACTIONS };
    let together = Protocol { budget, skewed: true, senders: 1, versions: 6, ..class_changes(PROTECTED) };
    assert_eq!(broken(together), [].into());
}

/// The horizon is late enough for every space to expire, even if users take no further action.
#[test]
fn every_run_ends_with_nothing_left() {
    let budget = Budget { renewals: 2, strangers: 1, user_deletions: 1, faults: 3, ..NO_ACTIONS };
    assert_eq!(broken(Protocol { horizon: 24, versions: u8::MAX, budget, delay: Delay::None, ..STALE }), [].into());
}

#[test]
fn each_guard_is_needed() {
    let renewal = Protocol { budget: Budget { renewals: 1, ..NO_ACTIONS }, ..STALE };
    let stranger = Protocol { budget: Budget { renewals: 1, strangers: 2, ..NO_ACTIONS }, ..STALE };
    let deletion = Protocol { budget: Budget { user_deletions: 1, renewals: 1, ..NO_ACTIONS }, ..STALE };
    for (guard, protocol, broken) in [
        (Guard::SealVersion, &renewal, NEVER_EARLY),
        (Guard::SealRule, &renewal, RENEWAL_KEPT),
        (Guard::SealFirst, &renewal, RENEWAL_KEPT),
        (Guard::Warning, &renewal, WARNED),
        (Guard::NamespaceUid, &stranger, FOREIGN_KEPT),
        (Guard::FreshRead, &deletion, NO_ORPHAN),
        (Guard::ReadAtTheSeal, &renewal, NO_ORPHAN),
        (Guard::AwaitEnd, &renewal, RENEWAL_KEPT),
        (Guard::NoticeOfChange, &class_changes(UNWARNED), NEVER_EARLY),
        (Guard::NoticeOfChange, &edits(UNWARNED, 2), NEVER_EARLY),
        (
            Guard::LastRenewal,
            &Protocol { budget: Budget { renewals: 2, ..NO_ACTIONS }, skewed: true, ..STALE },
            NEVER_EARLY,
        ),
    ] {
        finds(Protocol { without: Some(guard), ..protocol.clone() }, broken);
    }
}

/// `docs/reliability/model.md` describes each of them. No precondition that the API server supports would prevent them.
#[test]
fn known_limits() {
    let budget = Budget { renewals: 1, user_deletions: 1, ..NO_ACTIONS };
    finds(Protocol { budget, delay: Delay::Any, ..STALE }, NO_ORPHAN);
    finds(Protocol { budget, ..STALE }, WARNED_IN_FULL);
    let budget = Budget { strangers: 1, ..NO_ACTIONS };
    finds(Protocol { budget, delay: Delay::PromptCreation, ..STALE }, CAN_END);
}
