//! Attacks of a hostile owner, a careless administrator, a compromised script and a holder of the operator's stolen
//! token, each with real credentials: all are refused for the expected reason, and no object of the cluster or of
//! another tenant changes by a byte.
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
mod setup;

use setup::AttackSetup;

#[tokio::test(flavor = "multi_thread")]
async fn attack() -> Result<()> {
    let setup = AttackSetup::start().await?;
    let concurrent = run_concurrently(scenarios![
        &setup;
        owners::self_service_users_manage_their_own_spaces,
        owners::subjects_of_kubernetes_get_no_access,
        owners::two_hundred_concurrent_requests_stay_within_the_limit,
        permissions::the_operator_has_exactly_the_listed_rights,
        permissions::readers_cannot_read_secrets,
        consent::changes_that_the_class_allows_are_admitted,
        consent::the_operator_deletes_a_protected_space_that_waits,
        consent::a_replaced_object_keeps_the_finalizer,
        consent::metadata_is_bounded,
        consent::lists_are_bounded,
        consent::an_enforced_network_can_be_closed,
        consent::a_release_can_be_completed,
        consent::an_administrator_sets_external_addresses,
        consent::owners_without_other_rights_reach_their_own_space,
        consent::built_in_roles_only_read_spaces,
        endpoints::hostile_text_stays_text,
        endpoints::hostile_requests_end_early,
        managed_fields::a_full_space_ends_on_time,
    ])
    .await;
    // Each of these checks objects that must not change, or changes objects that others depend on, so they run one
    // after another.
    let mut outcomes = vec![concurrent];
    for scenario in [
        run_concurrently(scenarios![&setup; attacks::every_attack_is_refused]).await,
        run_concurrently(scenarios![&setup; attacks::each_policy_stops_its_attacks]).await,
        run_concurrently(scenarios![&setup; mutated::no_change_of_a_hostile_owner_reaches_others]).await,
        run_concurrently(scenarios![&setup; consent::requests_are_checked_against_the_accepted_class]).await,
        run_concurrently(scenarios![&setup; managed_fields::no_managed_field_stops_the_operator]).await,
        run_concurrently(scenarios![&setup; permissions::a_missing_right_is_reported]).await,
    ] {
        outcomes.push(scenario);
    }
    let failures: Vec<String> =
        outcomes.into_iter().filter_map(Result::err).map(|error| format!("{error:#}")).collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n\n"));
    setup.world.ensure_operator_ready().await
}
