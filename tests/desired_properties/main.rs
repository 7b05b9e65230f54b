//! Properties of the pure decisions, for any spec, any class and any history.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests, and the doubles that they use")]

mod generate;
mod server;

use chrono::{DateTime, TimeDelta, Utc};
use developerspace_operator::{
    api::{DeveloperSpace, NamespaceRef, SpaceClassSpec, conditions::Reason, quantity::Quantity},
    desired::{
        Desired,
        class::{check, cluster_roles},
        desire,
        expiry::{Step, step},
        lifetime::{
            inputs::{self, is_sealed, lifetime_inputs},
            outlook::outlook,
            rules::LifetimeRules,
            stage::{SEAL_LEAD, Stage},
        },
        namespace::{Ownership, SeenNamespace, ownership},
        resolve,
        status::{InForceStatus, Readiness, StatusInputs, next_status},
    },
};
use generate::{class, space, wild_class, wild_space};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::json;
use server::{Drift, Server, canonical};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn wanted(space: &DeveloperSpace, class: &SpaceClassSpec) -> Desired {
    let resolved = resolve(space, "standard", class).accepted().unwrap_or_else(|refusal| panic!("{}", refusal.message));
    let rules = LifetimeRules::from_class(class).unwrap();
    desire(space, &resolved, outlook(&lifetime_inputs(space, Some(&rules), true, at(2000)), at(2000)).expires_at)
}

fn drift() -> impl Strategy<Value = Drift> {
    select(
        &[
            Drift::Delete,
            Drift::StripOurLabels,
            Drift::StripAllLabels,
            Drift::AddTheirs,
            Drift::EmptyTheSpec,
            Drift::TakeOverTheRole,
        ][..],
    )
}

/// Returns the space after a reconcile at the time `now`; `rules` is `None` if the operator does not know the class.
fn reconciled(
    space: &DeveloperSpace,
    rules: Option<&LifetimeRules>,
    now: DateTime<Utc>,
    sealed: bool,
) -> DeveloperSpace {
    let outlook = outlook(&lifetime_inputs(space, rules, rules.is_some(), now), now);
    let namespace = Some(NamespaceRef { name: "alice".into(), uid: "ns-1".into() });
    let verdict = Readiness::new(if sealed { Reason::Expired } else { Reason::Provisioned }, "");
    let in_force = InForceStatus { class_name: rules.map(|_| "standard".into()), ..InForceStatus::default() };
    let finding = StatusInputs { space, in_force, namespace, outlook: &outlook, sealed, readiness: verdict };
    DeveloperSpace { status: Some(next_status(&finding, now)), ..space.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_desired_state_is_deterministic(space in space(), class in class()) {
        let texts = [wanted(&space, &class), wanted(&space, &class)].map(|desired| format!("{desired:?}"));
        prop_assert_eq!(&texts[0], &texts[1]);
    }

    /// This also holds after the API server has rewritten the quantities, and for any metadata that other clients add.
    #[test]
    fn a_second_reconcile_writes_nothing(space in space(), class in class(), theirs in vec(0_usize..9, 0..4)) {
        let (desired, mut server) = (wanted(&space, &class), Server::new());
        server.reconcile(&desired);
        for which in theirs {
            server.meddle(which, Drift::AddTheirs);
        }
        prop_assert!(server.is_at_rest(&desired));
        prop_assert_eq!(server.reconcile(&desired), 0);
        prop_assert!(server.theirs_stay());
    }

    /// For any change of the space and the class, and any drift in between: one reconcile corrects everything, and the
    /// next one writes nothing.
    #[test]
    fn one_reconcile_restores_any_drift(lives in vec((space(), class(), vec((0_usize..9, drift()), 0..4)), 1..5)) {
        let mut server = Server::new();
        for (space, class, drifts) in lives {
            let desired = wanted(&space, &class);
            server.reconcile(&desired);
            for (which, drift) in drifts {
                server.meddle(which, drift);
            }
            server.reconcile(&desired);
            prop_assert!(server.is_at_rest(&desired), "{:#}", server.state());
        }
        prop_assert!(server.theirs_stay());
    }

    /// state(A → B → A) = state(A)
    #[test]
    fn a_change_and_its_rollback_leave_no_difference(a in (space(), class()), b in (space(), class())) {
        let mut server = Server::new();
        server.reconcile(&wanted(&a.0, &a.1));
        let before = server.state();
        server.reconcile(&wanted(&b.0, &b.1));
        server.reconcile(&wanted(&a.0, &a.1));
        prop_assert_eq!(server.state(), before);
    }

    #[test]
    fn arbitrary_specs_never_panic(space in wild_space(), class in wild_class(), second in any::<i32>()) {
        let now = at(second.into());
        let rules = LifetimeRules::from_class(&class).ok();
        let outlook = outlook(&lifetime_inputs(&space, rules.as_ref(), true, now), now);
        let _ = (check(&class), cluster_roles(&class), rules.as_ref().map(|rules| inputs::refusal(&space, rules, now)));
        if check(&class).is_ok() {
            let resolved = resolve(&space, "wild", &class).resolved;
            let desired = desire(&space, &resolved, outlook.expires_at);
            let mut server = Server::new();
            server.reconcile(&desired);
            prop_assert!(server.is_at_rest(&desired));
        }
        let _ = reconciled(&space, rules.as_ref(), now, outlook.stage == Stage::Due);
    }

    #[test]
    fn a_second_status_equals_the_first(space in space(), class in class(), looks in vec(1000_i64..60_000, 1..6), milli in 0_i64..1000, known in any::<bool>()) {
        let rules = LifetimeRules::from_class(&class).unwrap();
        let rules = known.then_some(&rules);
        let mut space = space;
        let mut looks = looks;
        looks.sort_unstable();
        for now in looks {
            let now = at(now) + TimeDelta::milliseconds(milli);
            let sealed = is_sealed(&space) || outlook(&lifetime_inputs(&space, rules, known, now), now).stage == Stage::Due;
            space = reconciled(&space, rules, now, sealed);
            let again = reconciled(&space, rules, now, sealed);
            prop_assert_eq!(json!(again.status), json!(space.status));
        }
    }

    /// At any time: only a sealed space loses its namespace, only a space that is due is sealed, and only the space's
    /// own namespace is deleted.
    #[test]
    fn only_namespaces_that_are_due_and_owned_are_deleted(
        space in space(), class in class(), second in 1000_i64..60_000, last in 1000_i64..60_000,
        uid in select(&["ns-1", "ns-2"][..]), claim in select(&[None, Some("space-1"), Some("space-2")][..]),
    ) {
        let rules = LifetimeRules::from_class(&class).unwrap();
        let before = reconciled(&space, Some(&rules), at(last.min(second)), false);
        let now = at(second);
        let outlook = outlook(&lifetime_inputs(&before, Some(&rules), true, now), now);
        let seen = SeenNamespace {
            uid: uid.into(), created: at(1000), claim: claim.map(Into::into), ..SeenNamespace::default()
        };
        let next_step = |space: &DeveloperSpace| step(space, Some(&seen), &outlook, TimeDelta::days(1), now);
        match next_step(&before) {
            Step::Live => {}
            Step::Seal => {
                prop_assert!(!space.spec.protected || !rules.allow_protected);
                prop_assert!(outlook.expires_at.is_some_and(|at| at <= now + SEAL_LEAD) && outlook.nominal <= outlook.expires_at);
            }
            other => prop_assert!(false, "not sealed, and yet {other:?}"),
        }
        let is_ours = uid == "ns-1";
        let sealed = reconciled(&before, Some(&rules), now, true);
        prop_assert_eq!(ownership(&sealed, &seen) == Ownership::Ours, is_ours);
        let has_ended = sealed.status.as_ref().unwrap().expires_at.is_none_or(|end| end <= now);
        prop_assert_eq!(next_step(&sealed) == Step::DeleteNamespace(uid.into()), is_ours && has_ended);
    }

    /// Neither trailing zeros after the decimal point nor the canonical form of the API server changes the value.
    #[test]
    fn quantities_are_compared_by_value(number in 0_u64..1_000_000, suffix in select(&["", "m", "k", "M", "Ki", "Mi", "Gi", "Ei"][..]), zeros in 0_usize..60) {
        let plain = format!("{number}{suffix}");
        let value = |text: &str| Quantity::from(text).value();
        prop_assert_eq!(value(&plain), value(&canonical(&plain)));
        let long = format!("{number}.{}{suffix}", "0".repeat(zeros));
        prop_assert_eq!(value(&long), value(&plain), "{}", long);
    }
}
