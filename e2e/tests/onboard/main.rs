//! From nothing to a working kubectl, by certificate, identity provider and token; what is refused; and people who help themselves.

mod approver;
mod bad_input;
mod own;
mod stage;
mod ways;

use anyhow::Result;
use e2e::fixtures::side_by_side;
use e2e::scenarios;

use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn onboard() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    side_by_side(scenarios![&stage;
        ways::a_certificate_is_signed_and_opens_one_space,
        ways::a_login_opens_one_space,
        ways::a_token_opens_one_space,
        ways::a_wrong_prefix_is_warned_of,
        own::people_help_themselves,
        own::kubectl_completes_names,
        own::bash_completes,
        bad_input::each_mistake_is_one_sentence,
    ])
    .await?;
    // One after the other: the second wants no approver.
    side_by_side(scenarios![&stage; approver::requests_are_judged]).await?;
    side_by_side(scenarios![&stage; approver::nobody_signs]).await?;
    stage.world.ensure_operator_is_well().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_ends() -> Result<()> {
    let stage = Stage::set(&["--cluster-signing-duration=20s"]).await?;
    ways::a_certificate_ends(&stage).await
}
