//! Attacks of a hostile owner, a careless administrator, a compromised script and a holder of the operator's stolen token, each with real
//! credentials: all are refused for the expected reason, and no object of the cluster or of another tenant changes by a byte.
//!
//! `docs/security.md` is the threat model; each row of its table names a scenario or an attack of these files.

use anyhow::{Result, ensure};
use e2e::{fixtures::run_concurrently, scenarios};

mod attacks;
mod bystanders;
mod consent;
mod endpoints;
mod managed_fields;
mod mutated;
mod owners;
mod permissions;
mod stage;

use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn attack() -> Result<()> {
    let stage = Stage::set().await?;
    let judged = run_concurrently(scenarios![
        &stage;
        owners::people_help_themselves,
        owners::nobody_gets_in_by_a_name_of_the_system,
        owners::two_hundred_at_once_stay_within_the_limit,
        permissions::the_operator_may_what_is_on_the_list,
        permissions::readers_see_no_secrets,
        consent::what_a_class_allows_is_admitted,
        consent::the_operator_deletes_a_protected_space_that_waits,
        consent::a_whole_object_keeps_the_finalizer,
        consent::metadata_is_bounded,
        consent::lists_are_bounded,
        consent::an_enforced_network_can_be_closed,
        consent::newcomers_reach_their_own_space,
        consent::built_in_roles_reach_no_space,
        endpoints::hostile_text_stays_text,
        endpoints::hostile_requests_end_early,
    ])
    .await;
    // Each of these checks objects that must not change, or changes objects that others depend on, so they run one after another.
    let mut all = vec![judged];
    for scenario in [
        run_concurrently(scenarios![&stage; attacks::every_attack_is_refused]).await,
        run_concurrently(scenarios![&stage; attacks::each_policy_is_what_stops_them]).await,
        run_concurrently(scenarios![&stage; mutated::no_change_of_a_hostile_owner_reaches_others]).await,
        run_concurrently(scenarios![&stage; consent::the_class_in_force_is_asked]).await,
        run_concurrently(scenarios![&stage; managed_fields::no_managed_field_stops_the_operator]).await,
        run_concurrently(scenarios![&stage; permissions::a_missing_right_is_told]).await,
    ] {
        all.push(scenario);
    }
    let failures: Vec<String> = all.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    stage.world.ensure_operator_ready().await
}
