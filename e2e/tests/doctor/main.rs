//! The findings of `kubectl dspace doctor` on real problems, which it derives from the messages of a real API server
//! and of real controllers.
//!
//! Owners inspect their own spaces, with their own rights. The commands that doctor advises are run unchanged, and have
//! to fix the problem.

mod findings;
mod foreign;
mod people;
mod rejected_pods;
mod spaces;
mod workloads;

use anyhow::Result;
use e2e::{
    fixtures::{World, run_concurrently},
    scenarios,
};

use crate::{findings::PLATFORM_TEAM, workloads::create_classes};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn doctor() -> Result<()> {
    let world = World::self_service(&[]).await?;
    world.create_account(PLATFORM_TEAM, "developerspace-cluster-reader").await?;
    create_classes(&world).await?;
    run_concurrently(scenarios![&world;
        spaces::a_ready_space_has_no_findings,
        rejected_pods::the_advice_raises_an_insufficient_quota,
        rejected_pods::a_quota_that_cannot_be_raised,
        rejected_pods::a_quota_that_is_used_up,
        rejected_pods::a_foreign_quota,
        rejected_pods::pods_without_values_that_a_foreign_quota_limits,
        rejected_pods::pods_outside_of_the_limits,
        foreign::pods_outside_of_a_foreign_limit_range,
        rejected_pods::pods_below_the_security_level,
        spaces::the_advice_adopts_an_existing_namespace,
        spaces::a_missing_class,
        spaces::the_advice_removes_a_finalizer_of_an_object,
        foreign::the_advice_removes_a_finalizer_of_the_namespace,
        people::the_survey_reports_a_protection_that_the_class_forbids,
        people::user_names_beyond_ascii_are_supported,
    ])
    .await?;
    // Alone, since no namespace can be removed meanwhile.
    run_concurrently(scenarios![&world; spaces::the_advice_removes_an_unavailable_api]).await?;
    // Alone, since the operator is stopped for it.
    run_concurrently(scenarios![&world; spaces::missing_objects_are_reported]).await?;
    world.ensure_operator_ready().await
}
