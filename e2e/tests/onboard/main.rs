//! From nothing to a working kubectl, by each of the three ways, on a real control plane with a real issuer and a real
//! signer: requests that succeed, requests that are refused, and the state after a failure.
//!
//! None of the users who run the commands is an administrator: `people` lists the rights of each.

use anyhow::Result;
use e2e::{fixtures::run_concurrently, scenarios};

mod approver;
mod bad_input;
mod certificate;
mod completion;
mod interrupted;
mod newcomer;
mod oidc;
mod owner;
mod people;
mod results;
mod self_service;
mod setup;
mod signer;
mod token;

use setup::OnboardingSetup;

#[tokio::test(flavor = "multi_thread")]
async fn onboard() -> Result<()> {
    let mut setup = OnboardingSetup::start(&[]).await?;
    oidc::install_login(&setup)?;
    run_concurrently(scenarios![
        &setup;
        certificate::a_help_desk_issues_a_certificate,
        certificate::an_existing_kubeconfig_is_extended,
        certificate::a_request_without_an_approval_ends_with_an_error,
        certificate::a_denied_request_ends_with_an_error,
        certificate::a_space_that_expires_meanwhile_grants_no_access,
        oidc::an_owner_has_access_after_a_login,
        oidc::a_group_has_access_after_a_login,
        oidc::a_name_without_its_prefix_causes_a_warning,
        oidc::an_invalid_token_is_refused,
        token::a_pipeline_gets_a_token_that_expires,
        token::a_token_requires_rights_in_the_space,
        token::a_token_for_a_member_has_the_role_of_the_member,
        bad_input::an_unusable_cluster_is_reported,
        bad_input::an_invalid_request_is_reported,
        bad_input::an_unwritable_file_is_reported,
        interrupted::a_command_killed_while_waiting_for_a_certificate_can_be_repeated,
        self_service::self_service_users_manage_their_own_spaces,
        self_service::spaces_of_others_cannot_be_changed,
        owner::an_owner_reads_and_renews_after_the_printed_command,
        owner::a_member_is_not_onboarded_into_a_space_of_another,
        completion::kubectl_completes_words_and_names,
        completion::bash_completes,
    ])
    .await?;
    // Alone, since the operator is stopped for it.
    run_concurrently(scenarios![&setup; interrupted::a_command_killed_while_the_operator_is_stopped_can_be_repeated])
        .await?;
    // From here on the approver runs.
    setup.start_approver().await?;
    run_concurrently(scenarios![
        &setup;
        approver::a_portal_gets_certificates_for_others,
        approver::owners_get_certificates_for_their_own_spaces,
        approver::invalid_requests_are_denied,
    ])
    .await?;
    setup.ensure_processes_run().await
}

/// Each scenario runs on a cluster of its own, one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn signers() -> Result<()> {
    signer::a_short_lived_certificate_works_until_it_expires().await?;
    signer::a_request_without_a_signature_ends_with_an_error().await
}
