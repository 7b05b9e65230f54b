//! Stored bytes: a space, a class and a time, one on each line. Objects that decode are processed like any others, and
//! nothing panics.
#![no_main]

use chrono::DateTime;
use developerspace_operator::{
    api::{DeveloperSpace, SpaceClassSpec},
    desired::{
        Grant, class, desire,
        diff::diff,
        lifetime::{
            inputs::{self, lifetime_inputs},
            outlook::outlook,
            rules::LifetimeRules,
        },
        resolve,
        status::{InForceStatus, Readiness, StatusInputs, next_status, notes, patch},
    },
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (space, class, second) = (line(), line(), line());
    let Ok(space) = serde_json::from_str::<DeveloperSpace>(space) else { return };
    let class = serde_json::from_str::<SpaceClassSpec>(class).unwrap_or_default();
    let now = second.trim().parse().ok().and_then(|second| DateTime::from_timestamp(second, 0)).unwrap_or_default();
    let rules = LifetimeRules::from_class(&class).ok();
    let is_accepted = rules.as_ref().is_some_and(|rules| inputs::refusal(&space, rules, now).is_none());
    let outlook = outlook(&lifetime_inputs(&space, rules.as_ref(), is_accepted, now), now);
    let _ = (class::check(&class), class::cluster_roles(&class), rules.as_ref().map(|rules| inputs::refusal(&space, rules, now)));
    if let Ok(resolved) = resolve(&space, "fuzz", &class).accepted() {
        let children = desire(&space, &resolved, outlook.expires_at).children;
        let _ = diff(&children, &[], Grant::Full);
    }
    let verdict = Readiness::new(developerspace_operator::api::conditions::Reason::Provisioned, "");
    let finding = StatusInputs {
        space: &space,
        in_force: InForceStatus::default(),
        namespace: None,
        outlook: &outlook,
        sealed: false,
        readiness: verdict,
    };
    let status = next_status(&finding, now);
    let _ = (notes(&space.status.clone().unwrap_or_default(), &status), patch(&status, "1"));
});
