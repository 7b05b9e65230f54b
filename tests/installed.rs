//! The CRDs that the operator waits for, and that it reads again while it works.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

mod support;

use std::{sync::Arc, time::Duration};

use developerspace_operator::{
    api::crd::crds,
    installed::{Installed, await_crds, check, follow},
};
use kube::Client;
use serde_json::json;
use support::{
    api_server::{Call, Step, get, play},
    objects::SPACES,
};

const CLASSES: &str = "/apis/developerspace.dev/v1alpha1/spaceclasses";

/// The list of at most one object.
fn some(path: &str) -> Call {
    let list = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "List", "metadata": {"resourceVersion": "9"}, "items": []});
    get(&format!("{path}?limit=1")).answered(list)
}

/// The read of the CRD at that place of [`crds`], which lacks that field of `status`.
fn crd(place: usize, lacks: &str) -> Call {
    let mut crd = json!(crds()[place]);
    let fields = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/properties/status/properties").unwrap();
    assert!(fields.as_object_mut().unwrap().remove(lacks).is_some() || lacks.is_empty());
    let path = format!(
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{}",
        crd["metadata"]["name"].as_str().unwrap()
    );
    get(&path).answered(crd)
}

#[allow(clippy::unnecessary_wraps, reason = "it is compared with an option")]
fn lacking(fields: &str) -> Option<String> {
    Some(format!(
        "the installed CustomResourceDefinitions lack fields that this operator writes ({fields}), and it changes no space and no class until they have \
         them: run kubectl apply -k config/crd"
    ))
}

/// Waits for the CRDs for at most that number of seconds. Returns true if they are complete, and what is missing.
async fn awaited(installed: &Installed, seconds: u64, script: Vec<Step>) -> (bool, Option<String>) {
    let wait = async |client: Client| {
        tokio::time::timeout(Duration::from_secs(seconds), await_crds(&client, installed)).await.is_ok()
    };
    (play(script, wait).await, installed.problem())
}

#[tokio::test(start_paused = true)]
async fn the_operator_waits_for_both_crds_and_names_what_is_missing() {
    let installed = Installed::unread();
    let not_installed = |kind: &str| {
        Some(format!("the CustomResourceDefinition of {kind} is not installed: run kubectl apply -k config/crd"))
    };
    let failed =
        "failed to read CustomResourceDefinition developerspaces.developerspace.dev: the server says InternalError";
    for (script, missing) in [
        (script![some(SPACES).refused(404, "NotFound")], not_installed("DeveloperSpace")),
        (script![some(SPACES), some(CLASSES).refused(404, "NotFound")], not_installed("SpaceClass")),
        (script![some(SPACES), some(CLASSES), crd(0, "").refused(500, "InternalError")], Some(failed.to_owned())),
        (
            script![some(SPACES), some(CLASSES), crd(0, "terms"), crd(1, "accepted")],
            lacking("DeveloperSpace status.terms, SpaceClass status.accepted"),
        ),
    ] {
        assert_eq!(awaited(&installed, 1, script).await, (false, missing));
    }
    // A read that fails is repeated, and without the permission to read the CRDs the operator works nevertheless.
    let script = script![
        some(SPACES),
        some(CLASSES),
        crd(0, "").refused(500, "InternalError"),
        some(SPACES),
        some(CLASSES),
        crd(0, "postponed"),
        crd(1, ""),
        some(SPACES),
        some(CLASSES),
        crd(0, ""),
        crd(1, "").refused(403, "Forbidden"),
    ];
    assert_eq!(awaited(&installed, 10, script).await, (true, None));
}

async fn checked(installed: &Installed, script: Vec<Step>) -> Option<String> {
    play(script, async |client: Client| check(&client, installed).await).await;
    installed.problem()
}

#[tokio::test]
async fn a_crd_that_is_replaced_while_the_operator_works_is_noticed() {
    let installed = Installed::default();
    assert_eq!(checked(&installed, script![crd(0, ""), crd(1, "")]).await, None);
    let lacks = lacking("SpaceClass status.accepted");
    assert_eq!(checked(&installed, script![crd(0, ""), crd(1, "accepted")]).await, lacks);
    assert_eq!(
        checked(&installed, script![crd(0, "").refused(500, "InternalError")]).await,
        lacks,
        "a failed read shows nothing"
    );
    assert_eq!(checked(&installed, script![crd(0, "").refused(404, "NotFound"), crd(1, "")]).await, None);
    installed.complete().await;
}

/// Another client replaced the CRD by an older version, and soon after that by the present one.
#[tokio::test(start_paused = true)]
async fn the_crds_are_read_within_seconds_after_the_api_server_has_dropped_a_field() {
    let installed = Arc::new(Installed::default());
    let script = script![some(SPACES), some(CLASSES), crd(0, ""), crd(1, ""), crd(0, ""), crd(1, "")];
    play(script, async |client: Client| {
        let drops = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            installed.set_dropped(&["status.terms"]);
            assert!(installed.has_problem());
            tokio::time::sleep(Duration::from_secs(5)).await;
        };
        tokio::select! {
            () = follow(client, installed.clone()) => {}
            () = drops => {}
        }
    })
    .await;
    assert_eq!(installed.problem(), None);
}
