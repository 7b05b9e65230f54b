//! Properties of every life, whatever the changes by owners and administrators.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    arithmetic::shortest,
    fixtures::{at, carry, inputs, renew, s, warned},
    formula::{End, FormerTerms, LifetimeInputs, formula},
    notice::{MIN_NOTICE, MIN_WITHDRAWAL_NOTICE},
    outlook::outlook,
    stage::{SEAL_LEAD, Stage, WARNING_TOLERANCE},
};
use crate::api::Notice;

prop_compose! {
    fn any_inputs()(
        ttl in 1..500_i64, renewed in 0..1000_i64, max_ttl in proptest::option::of(1..500_i64),
        max_life in proptest::option::of(1..900_i64), warn in proptest::collection::vec(1..300_i64, 0..4),
    ) -> LifetimeInputs {
        LifetimeInputs {
            end: End::Ttl(s(ttl)), anchor: at(1000 + renewed), max_ttl: max_ttl.map(s), max_lifetime: max_life.map(s),
            warn_before: warn.into_iter().map(s).collect(), ..inputs()
        }
    }
}

/// One change by an owner or an administrator: (kind, seconds).
fn change(inputs: &mut LifetimeInputs, now: DateTime<Utc>, (what, much): (u8, i64)) {
    match what {
        0 => inputs.end = End::Ttl(s(much)),
        1 => renew(inputs, now),
        2 => inputs.protected = !inputs.protected,
        3 => inputs.max_ttl = Some(s(much)),
        4 => inputs.end = End::At(at(1000 + much)),
        8 => inputs.warn_before.clear(),
        9 => inputs.warn_before = vec![s(much)],
        _ => {}
    }
}

/// The same inputs under a notice of a week that ends at `until`, if its end by the formula is before that.
fn under_a_week(inputs: LifetimeInputs, until: i64) -> LifetimeInputs {
    let week = MIN_WITHDRAWAL_NOTICE.num_seconds();
    match formula(&inputs) {
        Some((of, _)) if of < at(until) => LifetimeInputs {
            postponed: Some(Notice { of, from: at(until - week), until: at(until) }),
            last_warning: Some(warned(week, until - week, until)),
            before: Some(FormerTerms {
                warn_before: inputs.warn_before.clone(),
                expires_at: Some(at(until)),
                ..FormerTerms::default()
            }),
            ..inputs
        },
        _ => inputs,
    }
}

proptest! {
    /// Plays a life with an operator that reconciles at the given moments and writes each warning when it is due.
    #[test]
    fn no_space_is_due_early_or_without_a_warning(inputs in any_inputs(), mut looks in proptest::collection::vec((1000..4000_i64, (0..8_u8, 1..600_i64)), 1..40)) {
        let mut inputs = inputs;
        looks.sort_unstable();
        let mut given: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
        for (now, edit) in looks.into_iter().map(|(now, edit)| (at(now), edit)) {
            change(&mut inputs, now, edit);
            let seen = outlook(&inputs, now);
            if let Some(wake) = seen.wake { prop_assert!(wake > now); }
            if seen.stage == Stage::Due {
                let end = seen.expires_at.unwrap();
                prop_assert!(now + SEAL_LEAD >= end);
                if let Some(shortest) = inputs.warn_before.iter().min() {
                    let (since, from) = given.expect("warned before it is due");
                    // Beyond maxLifetime a notice runs that is no longer than that whole life.
                    let life = inputs.max_lifetime.filter(|_| inputs.last_notice.is_some()).unwrap_or(TimeDelta::MAX);
                    // Renewed since with less time to go, it stands for that time.
                    let least = (*shortest).min(seen.nominal.unwrap() - from.max(inputs.anchor)).min(life);
                    prop_assert!(now - since + WARNING_TOLERANCE + SEAL_LEAD >= least, "{} after {since}, of at least {least}", now - since);
                }
                break;
            }
            if let (Stage::Warn(_), Some(_)) = (seen.stage, seen.nominal) {
                given = given.filter(|_| inputs.last_notice.is_some()).or_else(|| Some((now, inputs.anchor.min(now))));
            }
            carry(&mut inputs, &seen, now);
        }
    }

    /// Without a renewal, no change brings an announced end nearer than a notice, except the longest life.
    #[test]
    fn no_change_shortens_an_announced_end_below_a_notice(
        inputs in any_inputs(), week_ends in proptest::option::of(1000..3000_i64),
        mut looks in proptest::collection::vec(
            (1000..4000_i64, (proptest::sample::select(&[0_u8, 2, 3, 4, 7, 8, 9][..]), 1..600_i64)), 1..40,
        ),
    ) {
        let mut inputs = match week_ends {
            Some(until) => under_a_week(inputs, until),
            None => inputs,
        };
        looks.sort_unstable();
        for (now, edit) in looks.into_iter().map(|(now, edit)| (at(now), edit)) {
            change(&mut inputs, now, edit);
            let seen = outlook(&inputs, now);
            if let (Some(before), Some(end)) = (&inputs.before, seen.expires_at) {
                let noticed = now + shortest(&before.warn_before).max(MIN_NOTICE);
                let longest_life = inputs.max_lifetime.map(|max| inputs.created + max);
                let earliest = before.expires_at.into_iter().chain(longest_life).fold(noticed, Ord::min);
                prop_assert!(end >= earliest, "{end} is before {earliest}: {inputs:?}");
            }
            if seen.stage == Stage::Due { break; }
            carry(&mut inputs, &seen, now);
        }
    }

    /// No sequence of changes by an owner takes a space beyond one notice after `created + maxLifetime`: no ttl, no
    /// renewal and no `expiresAt`.
    #[test]
    fn no_change_by_the_owner_prolongs_a_space_beyond_one_notice_after_max_lifetime(
        inputs in any_inputs(),
        edits in proptest::collection::vec((proptest::sample::select(&[0_u8, 1, 4][..]), 1..600_i64), 1..200),
    ) {
        let life = 100;
        let mut inputs = LifetimeInputs { max_lifetime: Some(s(life)), ..inputs };
        let notice = shortest(&inputs.warn_before).min(s(life));
        for (number, edit) in edits.into_iter().enumerate() {
            let now = at(1000 + 3 * i64::try_from(number).unwrap());
            change(&mut inputs, now, edit);
            let seen = outlook(&inputs, now);
            if seen.stage == Stage::Due { break; }
            prop_assert!(now <= at(1000 + life) + notice, "alive at {now}: {seen:?}");
            carry(&mut inputs, &seen, now);
        }
    }

    /// With enough reconciles, every space with an end becomes due.
    #[test]
    fn every_space_with_an_end_becomes_due(inputs in any_inputs()) {
        let mut inputs = inputs;
        let mut now = at(1000);
        for _ in 0..64 {
            let seen = outlook(&inputs, now);
            if seen.stage == Stage::Due { return Ok(()); }
            carry(&mut inputs, &seen, now);
            now = outlook(&inputs, now).wake.expect("something is still to come");
        }
        prop_assert!(false, "not due after 64 looks: {:?}", outlook(&inputs, now));
    }
}
