//! Properties of every life, whatever the changes by owners and administrators.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use super::{
    arithmetic::shortest,
    notice::{LEAST_NOTICE, LEAST_NOTICE_OF_WITHDRAWAL},
    outlook::outlook,
    stage::{SEAL_LEAD, Stage, WARNING_TOLERANCE},
    term::{Before, End, Postponed, Term, formula},
    term_fixtures::{at, carry, renew, s, term, warned},
};

prop_compose! {
    fn any_term()(
        ttl in 1..500_i64, renewed in 0..1000_i64, max_ttl in proptest::option::of(1..500_i64),
        max_life in proptest::option::of(1..900_i64), warn in proptest::collection::vec(1..300_i64, 0..4),
    ) -> Term {
        Term {
            end: End::Ttl(s(ttl)), anchor: at(1000 + renewed), max_ttl: max_ttl.map(s), max_lifetime: max_life.map(s),
            warn_before: warn.into_iter().map(s).collect(), ..term()
        }
    }
}

/// One change by an owner or an administrator: (kind, seconds).
fn change(term: &mut Term, now: DateTime<Utc>, (what, much): (u8, i64)) {
    match what {
        0 => term.end = End::Ttl(s(much)),
        1 => renew(term, now),
        2 => term.protected = !term.protected,
        3 => term.max_ttl = Some(s(much)),
        4 => term.end = End::At(at(1000 + much)),
        8 => term.warn_before.clear(),
        9 => term.warn_before = vec![s(much)],
        _ => {}
    }
}

/// The same term under a notice of a week that ends at `until`, if its end by the formula is before that.
fn under_a_week(term: Term, until: i64) -> Term {
    let week = LEAST_NOTICE_OF_WITHDRAWAL.num_seconds();
    match formula(&term) {
        Some((of, _)) if of < at(until) => Term {
            postponed: Some(Postponed { of, from: at(until - week), until: at(until) }),
            last_warning: Some(warned(week, until - week, until)),
            before: Some(Before { warn_before: term.warn_before.clone(), expires_at: Some(at(until)), ..Before::default() }),
            ..term
        },
        _ => term,
    }
}

proptest! {
    /// Plays a life with an operator that reconciles at the given moments and writes each warning when it is due.
    #[test]
    fn never_due_early_nor_unwarned(term in any_term(), mut looks in proptest::collection::vec((1000..4000_i64, (0..8_u8, 1..600_i64)), 1..40)) {
        let mut term = term;
        looks.sort_unstable();
        let mut given: Option<(DateTime<Utc>, DateTime<Utc>)> = None;
        for (now, edit) in looks.into_iter().map(|(now, edit)| (at(now), edit)) {
            change(&mut term, now, edit);
            let seen = outlook(&term, now);
            if let Some(wake) = seen.wake { prop_assert!(wake > now); }
            if seen.stage == Stage::Due {
                let end = seen.expires_at.unwrap();
                prop_assert!(now + SEAL_LEAD >= end);
                if let Some(shortest) = term.warn_before.iter().min() {
                    let (since, from) = given.expect("warned before it is due");
                    // Beyond maxLifetime a notice runs that is no longer than that whole life.
                    let life = term.max_lifetime.filter(|_| term.last_notice.is_some()).unwrap_or(TimeDelta::MAX);
                    // Renewed since with less time to go, it stands for that time.
                    let least = (*shortest).min(seen.nominal.unwrap() - from.max(term.anchor)).min(life);
                    prop_assert!(now - since + WARNING_TOLERANCE + SEAL_LEAD >= least, "{} after {since}, of at least {least}", now - since);
                }
                break;
            }
            if let (Stage::Warn(_), Some(_)) = (seen.stage, seen.nominal) {
                given = given.filter(|_| term.last_notice.is_some()).or_else(|| Some((now, term.anchor.min(now))));
            }
            carry(&mut term, &seen, now);
        }
    }

    /// Without a renewal, no change brings an announced end nearer than a notice, except the longest life.
    #[test]
    fn an_announced_end_comes_no_nearer_than_a_notice(
        term in any_term(), week_ends in proptest::option::of(1000..3000_i64),
        mut looks in proptest::collection::vec(
            (1000..4000_i64, (proptest::sample::select(&[0_u8, 2, 3, 4, 7, 8, 9][..]), 1..600_i64)), 1..40,
        ),
    ) {
        let mut term = match week_ends {
            Some(until) => under_a_week(term, until),
            None => term,
        };
        looks.sort_unstable();
        for (now, edit) in looks.into_iter().map(|(now, edit)| (at(now), edit)) {
            change(&mut term, now, edit);
            let seen = outlook(&term, now);
            if let (Some(before), Some(end)) = (&term.before, seen.expires_at) {
                let noticed = now + shortest(&before.warn_before).max(LEAST_NOTICE);
                let longest_life = term.max_lifetime.map(|max| term.created + max);
                let earliest = before.expires_at.into_iter().chain(longest_life).fold(noticed, Ord::min);
                prop_assert!(end >= earliest, "{end} is before {earliest}: {term:?}");
            }
            if seen.stage == Stage::Due { break; }
            carry(&mut term, &seen, now);
        }
    }

    /// No sequence of changes by an owner takes a space beyond one notice after `created + maxLifetime`: no ttl, no renewal and no
    /// `expiresAt`.
    #[test]
    fn the_ceiling_holds(
        term in any_term(),
        edits in proptest::collection::vec((proptest::sample::select(&[0_u8, 1, 4][..]), 1..600_i64), 1..200),
    ) {
        let life = 100;
        let mut term = Term { max_lifetime: Some(s(life)), ..term };
        let notice = shortest(&term.warn_before).min(s(life));
        for (number, edit) in edits.into_iter().enumerate() {
            let now = at(1000 + 3 * i64::try_from(number).unwrap());
            change(&mut term, now, edit);
            let seen = outlook(&term, now);
            if seen.stage == Stage::Due { break; }
            prop_assert!(now <= at(1000 + life) + notice, "alive at {now}: {seen:?}");
            carry(&mut term, &seen, now);
        }
    }

    /// With enough reconciles, every space with an end becomes due.
    #[test]
    fn every_end_comes(term in any_term()) {
        let mut term = term;
        let mut now = at(1000);
        for _ in 0..64 {
            let seen = outlook(&term, now);
            if seen.stage == Stage::Due { return Ok(()); }
            carry(&mut term, &seen, now);
            now = outlook(&term, now).wake.expect("something is still to come");
        }
        prop_assert!(false, "not due after 64 looks: {:?}", outlook(&term, now));
    }
}
