//! No space expires early or without a warning, and a renewal that the API server accepted is never lost.

mod expiry;
mod notice;
mod renewals;
mod spaces;

use anyhow::Result;
use e2e::{
    fixtures::{World, run_concurrently},
    scenarios,
};

#[tokio::test(flavor = "multi_thread")]
async fn lifetime() -> Result<()> {
    let world = World::start(&[]).await?;
    run_concurrently(scenarios![&world;
        expiry::an_expiring_space_is_warned_sealed_and_removed,
        renewals::a_renewal_resets_the_warnings,
        renewals::a_renewal_in_the_future_counts_later,
        expiry::ttl_never_is_capped_by_the_longest_life,
        notice::a_removed_protection_gives_notice,
        expiry::a_short_ttl_is_warned_immediately,
        expiry::an_absolute_expiry_time_applies,
        renewals::renewals_are_capped_by_the_longest_life,
        expiry::a_space_expires_without_its_class,
        notice::a_shorter_lifetime_of_the_class_gives_notice,
    ])
    .await?;
    // Hundreds of creations at once would delay the scenarios above, whose lifetimes are a few seconds.
    run_concurrently(
        scenarios![&world; renewals::renewals_around_the_expiry_are_not_lost, expiry::three_hundred_spaces_expire_within_a_minute],
    )
    .await?;
    world.ensure_operator_ready().await
}
