//! From nothing to a working kubectl, by each of the three ways, on a real control plane with a real issuer and a real signer: requests that succeed,
//! requests that are refused, and the state after a failure.
//!
//! None of the users who run the commands is an administrator: `people` lists the rights of each.

use anyhow::Result;
use e2e::{fixtures::run_concurrently, scenarios};

mod approver;
mod bad_input;
mod certificate;
mod completion;
mod interrupted;
mod judge;
mod newcomer;
mod oidc;
mod owner;
mod people;
mod self_service;
mod signer;
mod stage;
mod token;

use stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn onboard() -> Result<()> {
    let mut stage = Stage::set(&[]).await?;
    oidc::install_login(&stage)?;
    run_concurrently(scenarios![
        &stage;
        certificate::a_help_desk_hands_out_a_certificate,
        certificate::a_kubeconfig_that_is_there_is_added_to,
        certificate::a_request_that_nobody_approves_ends_in_one_sentence,
        certificate::a_request_that_is_denied_ends_in_one_sentence,
        certificate::a_space_that_ends_meanwhile_gets_nobody_in,
        oidc::a_login_gets_its_owner_in,
        oidc::a_login_gets_a_group_in,
        oidc::a_name_without_its_prefix_is_warned_of,
        oidc::a_login_that_is_no_good_is_refused,
        token::a_pipeline_gets_a_token_that_ends,
        token::a_token_takes_rights_in_the_space,
        token::a_token_for_a_member_has_the_role_of_the_member,
        bad_input::a_cluster_that_cannot_be_used_is_told,
        bad_input::a_request_that_cannot_be_met_is_told,
        bad_input::a_file_that_cannot_be_written_is_told,
        interrupted::one_that_was_killed_while_it_waited_for_a_certificate_completes,
        self_service::people_help_themselves_with_the_plugin,
        self_service::nobody_helps_themselves_to_what_is_anothers,
        owner::an_owner_reads_and_renews_after_the_printed_command,
        owner::a_member_is_not_onboarded_into_a_space_of_another,
        completion::kubectl_completes_words_and_names,
        completion::bash_completes,
    ])
    .await?;
    // Alone, since the operator is stopped for it.
    run_concurrently(scenarios![&stage; interrupted::one_that_was_killed_while_the_operator_was_away_completes]).await?;
    // From here on the approver runs.
    stage.start_approver().await?;
    run_concurrently(scenarios![
        &stage;
        approver::a_portal_gets_certificates_for_others,
        approver::people_get_certificates_of_their_own,
        approver::what_is_not_plainly_right_is_denied,
    ])
    .await?;
    stage.is_well().await
}

/// Each scenario runs on a cluster of its own, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn signers() -> Result<()> {
    signer::a_certificate_is_used_until_it_ends().await?;
    signer::a_request_that_nobody_signs_ends_in_one_sentence().await
}
