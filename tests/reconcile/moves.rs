//! A space that moves to another owner or to another class, and its state until the move is complete.

use super::*;

const CAROL_IS_FULL: &str = "User:carol@example.com has reached maxSpacesPerOwner 1 of SpaceClass greenhouse: User:carol@example.com has \
                             to delete a space, or ask an administrator; until then the space counts for User:ada@example.com";

/// A class that allows one space for each owner.
pub(crate) fn tight() -> Value {
    with(&class(), &json!({"spec": {"maxSpacesPerOwner": 1}}))
}

/// A new space of that name and owner.
fn new(name: &str, owner: &str) -> Value {
    with(&fresh(), &json!({"metadata": {"name": name, "uid": uid(name)}, "spec": {"owner": {"name": owner}}}))
}

/// Checks that the owner limit leaves no place for a new space of Ada's.
pub(crate) async fn ada_is_full(world: &World) {
    let space = new("moss-lab", "ada@example.com");
    let message = "User:ada@example.com has reached maxSpacesPerOwner 1 of SpaceClass greenhouse: \
                   delete a space of this class, or use another class";
    let status = refused_at(CALM, "OwnerLimitExceeded", message);
    let script = script![
        merge_patch(&format!("{SPACES}/moss-lab/status"), status_body(100, &status))
            .answered(with_status(&space, &status)),
        event("OwnerLimitExceeded", "DeveloperSpace", "moss-lab"),
    ];
    world.reconcile(&space, script).await.unwrap();
}

fn refused_at(now: &str, reason: &str, message: &str) -> Value {
    let mut status = refused(reason, message);
    for condition in status["conditions"].as_array_mut().unwrap() {
        condition["lastTransitionTime"] = json!(now);
    }
    status
}

fn patch_namespace(metadata: &Value, version: u64) -> Call {
    let mut patch = json!({"metadata": metadata});
    patch["metadata"]["uid"] = json!(NAMESPACE_UID);
    merge_patch(&namespace_path(), patch.clone()).answered(patched(&stored_namespace(), &patch, version))
}

/// Ada transfers her space to Carol, who already has one. The class allows one space for each owner.
async fn handed_to_carol_who_is_full() -> (World, Value) {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.keep(&tight());
    world.recall(&new("fern-lab", "carol@example.com"), "greenhouse");
    world.reconcile(&converged(), script![]).await.unwrap();
    let space = edited(&converged(), &json!({"owner": {"name": "carol@example.com"}}), 103);
    let status = refused_since(2, "OwnerLimitExceeded", CAROL_IS_FULL);
    let script = script![
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
        status_patch(&space, &status),
        space_event("OwnerLimitExceeded").with_note(CAROL_IS_FULL),
    ];
    world.reconcile(&space, script).await.unwrap();
    let space = with_status(&space, &status);
    world.reconcile(&space, script![get(&child_path(&owner_binding())).refused(404, "NotFound")]).await.unwrap();
    world.reconcile(&space, script![]).await.unwrap();
    (world, space)
}

#[tokio::test]
async fn a_space_for_an_owner_who_is_full_lets_neither_in_and_counts_for_the_old_one() {
    let (mut world, space) = handed_to_carol_who_is_full().await;
    ada_is_full(&world).await;
    assert_eq!(world.requeued().await, [""; 0]);
    assert_eq!(world.give_up(&new("fern-lab", "carol@example.com")), [SPACE], "Carol has a place for it");
    let annotations =
        json!({"developerspace.dev/owner": "User:carol@example.com", "openshift.io/requester": "carol@example.com"});
    let carol = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "carol@example.com"});
    let mut status = provisioned_in(2);
    status["owner"]["name"] = json!("carol@example.com");
    status["conditions"] = conditions(
        2,
        &[
            (true, "Provisioned", "namespace orchid-lab is ready for User:carol@example.com", CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (false, "Provisioned", "", MADE),
            (false, "Provisioned", "", CALM),
        ],
    );
    let script = script![
        get(&namespace_path()).answered(stored_namespace()),
        patch_namespace(&json!({"labels": {}, "annotations": annotations}), 61),
        make(&binding("developerspace-owner", "edit", &carol), "uid-of-carols-binding"),
        list_bindings(&[]),
        status_patch(&space, &status).refused(409, "Conflict"),
    ];
    world.reconcile(&space, script).await.unwrap_err();
    assert_eq!(world.requeued().await, [""; 0], "the status still records Ada's place");
    let told_all = script![
        list_bindings(&[]),
        status_patch(&space, &status),
        space_event("Provisioned"),
        space_event("Transferred"),
        namespace_event("Transferred"),
    ];
    world.reconcile(&space, told_all).await.unwrap();
    assert_eq!(world.requeued().await, ["moss-lab"], "and Ada has one for another");
}

/// A class that was accepted, and that is refused after an administrator mistyped a field.
fn mistyped_orchard() -> Value {
    let mut orchard = with(&class(), &json!({"metadata": {"name": "orchard", "uid": "uid-of-the-orchard"}}));
    orchard["status"]["accepted"] = orchard["spec"].clone();
    let refused =
        json!({"status": "False", "reason": "InvalidSpec", "message": "lifetime.maxTTL is too short: lengthen it"});
    orchard["status"]["conditions"][0] = with(&orchard["status"]["conditions"][0], &refused);
    orchard
}

#[tokio::test]
async fn a_space_is_not_moved_to_a_class_that_is_not_accepted_now() {
    let world = World::with(CALM, &everything());
    world.keep(&mistyped_orchard());
    let space = edited(&converged(), &json!({"className": "orchard"}), 103);
    let message = "SpaceClass orchard is not accepted, and an administrator has to correct it: lifetime.maxTTL is too short: lengthen it; \
                   until then this space stays in SpaceClass greenhouse";
    let status = refused_since(2, "ClassNotAccepted", message);
    world
        .reconcile(&space, script![status_patch(&space, &status), space_event("ClassNotAccepted").with_note(message)])
        .await
        .unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

#[tokio::test]
async fn a_class_that_was_not_judged_yet_is_named_and_delays_nothing() {
    let world = World::with(CALM, &everything());
    world.keep(&with(&mistyped_orchard(), &json!({"metadata": {"generation": 9}})));
    let space = edited(&converged(), &json!({"className": "orchard"}), 103);
    let message = "the operator has not validated the current spec of SpaceClass orchard yet; until then this space stays in SpaceClass greenhouse";
    let status = refused_since(2, "ClassNotAccepted", message);
    world
        .reconcile(&space, script![status_patch(&space, &status), space_event("ClassNotAccepted").with_note(message)])
        .await
        .unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

/// A quota prevents new usage, and does not reduce existing usage.
#[tokio::test]
async fn a_space_that_uses_more_than_another_class_allows_is_not_moved_there() {
    let world = World::with(CALM, &everything());
    world.keep(&with(
        &class(),
        &json!({"metadata": {"name": "windowsill", "uid": "uid-of-the-windowsill"}, "spec": {"quota": {"hard": {"pods": "5"}}}}),
    ));
    let space = edited(&converged(), &json!({"className": "windowsill"}), 103);
    let full = with(&stored(&quota(), "uid-of-the-quota", 51), &json!({"status": {"used": {"pods": "6"}}}));
    let message = "namespace orchid-lab uses more than class windowsill allows (pods 6 of 5), and the space is not admitted to it until it uses less; its \
                   current class stays in force: delete what is not needed, or use another class";
    let status = refused_since(2, "QuotaExceedsClass", message);
    let asked = || get(&child_path(&quota())).answered(full.clone());
    world
        .reconcile(
            &space,
            script![asked(), status_patch(&space, &status), space_event("QuotaExceedsClass").with_note(message)],
        )
        .await
        .unwrap();
    let action = world.reconcile(&with_status(&space, &status), script![asked()]).await.unwrap();
    assert_eq!(action, Action::requeue(Duration::from_secs(30)), "no event says that it uses less");
}

/// A class that also limits load balancers, of which it allows none.
fn porch() -> Value {
    let hard = json!({"requests.cpu": "4", "limits.memory": "8Gi", "pods": "20", "services.loadbalancers": "0"});
    with(
        &class(),
        &json!({"metadata": {"name": "porch", "uid": "uid-of-the-porch"}, "spec": {"quota": {"hard": hard}}}),
    )
}

const NOT_COUNTED: &str = "class porch limits resources that the quota of namespace orchid-lab has not counted yet (services.loadbalancers), and the space is \
                           admitted to it when they are counted; its current class stays in force until then";

const TOO_MANY: &str = "namespace orchid-lab uses more than class porch allows (services.loadbalancers 1 of 0), and the space is not admitted to it until it \
                        uses less; its current class stays in force: delete what is not needed, or use another class";

/// The limits of the quota that counts load balancers before the move.
fn counting() -> Value {
    json!({"requests.cpu": "4", "limits.memory": "8Gi", "pods": "20", "services.loadbalancers": "1P"})
}

/// The quota that counts load balancers, before kube-controller-manager has observed it.
fn to_be_counted() -> Value {
    let live = stored(&quota(), "uid-of-the-quota", 51);
    with(&live, &json!({"metadata": {"resourceVersion": "61"}, "spec": {"hard": counting()}}))
}

fn asked(quota: &Value) -> Call {
    get(&child_path(quota)).answered(quota.clone())
}

/// The status, in the second generation, of a space that waits until its quota counts load balancers.
fn waits_to_be_counted() -> Value {
    let mut status = refused_since(2, "Provisioning", NOT_COUNTED);
    let conditions = &mut status["conditions"];
    (conditions[3], conditions[4]) =
        (with(&conditions[4], &json!({"type": "Reconciling"})), with(&conditions[3], &json!({"type": "Stalled"})));
    status
}

/// Ada's space asks to be moved to the porch, and its quota begins to count load balancers.
async fn on_the_way_to_the_porch(world: &World) -> Value {
    let space = edited(&converged(), &json!({"className": "porch"}), 103);
    let (live, status) = (stored(&quota(), "uid-of-the-quota", 51), waits_to_be_counted());
    let script = script![
        asked(&live),
        asked(&live),
        json_patch(&child_path(&quota()), drift::operations("uid-of-the-quota", "/spec/hard", &counting()))
            .answered(to_be_counted()),
        status_patch(&space, &status),
        space_event("Provisioning").with_note(NOT_COUNTED),
    ];
    world.reconcile(&space, script).await.unwrap();
    with_status(&space, &status)
}

/// A resource that the present class does not limit has not been counted yet.
#[tokio::test]
async fn what_another_class_limits_is_counted_before_a_space_is_moved_there() {
    let world = World::with(CALM, &everything());
    world.keep(&porch());
    let space = on_the_way_to_the_porch(&world).await;
    world.reconcile(&space, script![asked(&to_be_counted())]).await.unwrap();
    let full = with(&to_be_counted(), &json!({"status": {"used": {"services.loadbalancers": "1"}}}));
    let mut refused = refused_since(2, "QuotaExceedsClass", TOO_MANY);
    refused["conditions"][3]["lastTransitionTime"] = json!(CALM);
    world
        .reconcile(&space, script![asked(&full), status_patch(&space, &refused), space_event("QuotaExceedsClass")])
        .await
        .unwrap();
}

/// kube-controller-manager writes the limits and the usage of a quota in one update, and omits the usage of a resource
/// that it does not know, or that it failed to count.
#[tokio::test]
async fn a_resource_that_is_not_counted_delays_a_move_for_two_minutes() {
    let world = World::with(CALM, &everything());
    world.keep(&with(&porch(), &json!({"spec": {"maxSpacesPerOwner": 1}})));
    world.recall(&new("fern-lab", "ada@example.com"), "porch");
    let space = on_the_way_to_the_porch(&world).await;
    let observed = with(&to_be_counted(), &json!({"status": {"hard": counting(), "used": {"pods": "1"}}}));
    world.reconcile(&space, script![asked(&observed)]).await.unwrap();
    let world = world.later("2026-03-04T12:01:59Z");
    let action = world.reconcile(&space, script![asked(&observed)]).await.unwrap();
    assert_eq!(action, seconds(30));
    let later = "2026-03-04T12:02:00Z";
    let world = world.later(later);
    let message = "User:ada@example.com has reached maxSpacesPerOwner 1 of SpaceClass porch: delete a space of this class, or use another class";
    let mut status = refused_since(2, "OwnerLimitExceeded", message);
    for flipped in [3, 4] {
        status["conditions"][flipped]["lastTransitionTime"] = json!(later);
    }
    let script =
        script![asked(&observed), status_patch(&space, &status), space_event("OwnerLimitExceeded").with_note(message)];
    world.reconcile(&space, script).await.unwrap();
    // Another generation of the spec begins another move.
    let space = edited(&with_status(&space, &status), &json!({"className": "porch"}), 110);
    status["observedGeneration"] = json!(3);
    status["conditions"] = conditions(
        3,
        &[
            (false, "Provisioning", NOT_COUNTED, CALM),
            (false, "NotYet", "", MADE),
            (false, "NotYet", "", MADE),
            (true, "Provisioning", NOT_COUNTED, later),
            (false, "Provisioning", "", later),
        ],
    );
    world
        .reconcile(&space, script![asked(&observed), status_patch(&space, &status), space_event("Provisioning")])
        .await
        .unwrap();
}

/// The class in force was deleted, so only the existing quota shows which resources it counts.
#[tokio::test]
async fn what_another_class_limits_is_counted_before_a_space_leaves_a_missing_class() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.keep(&porch());
    let space = edited(&converged(), &json!({"className": "porch"}), 103);
    let missing = |message: &str| {
        format!("SpaceClass greenhouse, which is in force, does not exist or cannot be read; {message}")
    };
    let (live, status) =
        (stored(&quota(), "uid-of-the-quota", 51), refused_since(2, "ClassNotFound", &missing(NOT_COUNTED)));
    let operations = json!([
        {"op": "test", "path": "/metadata/uid", "value": "uid-of-the-quota"},
        {"op": "add", "path": "/spec/hard", "value": counting()},
    ]);
    let script = script![
        asked(&live),
        asked(&live),
        json_patch(&child_path(&quota()), operations).answered(to_be_counted()),
        status_patch(&space, &status),
        space_event("ClassNotFound"),
    ];
    world.reconcile(&space, script).await.unwrap();
    let space = with_status(&space, &status);
    let action = world.reconcile(&space, script![asked(&to_be_counted())]).await.unwrap();
    assert_eq!(action, seconds(30), "it is counted, and not written again");
    let full = with(&to_be_counted(), &json!({"status": {"used": {"services.loadbalancers": "1"}}}));
    let refused = refused_since(2, "ClassNotFound", &missing(TOO_MANY));
    world.reconcile(&space, script![asked(&full), status_patch(&space, &refused)]).await.unwrap();
}

#[tokio::test]
async fn the_class_in_force_is_tightened_beside_one_that_is_missing() {
    let tightened = json!({"metadata": {"generation": 5}, "spec": {
        "quota": {"hard": {"requests.cpu": "2"}}, "podSecurity": {"enforce": "restricted"},
        "lifetime": {"defaultTTL": "2d", "maxTTL": "5d"},
    }});
    let mut tightened = with(&class(), &tightened);
    tightened["status"]["conditions"][0]["observedGeneration"] = json!(5);
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    world.keep(&tightened);
    let space = edited(&converged(), &json!({"className": "orchard"}), 103);
    let message = "SpaceClass orchard does not exist: set spec.className to an existing class (available: greenhouse); existing objects stay unchanged";
    let mut status = refused_since(2, "ClassNotFound", message);
    status["expiresAt"] = json!("2026-03-07T08:00:00Z");
    status["terms"]["maxTTL"] = json!("5d");
    let metadata = json!({
        "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        "annotations": {"developerspace.dev/expires-at": "2026-03-07T08:00:00Z"},
    });
    let hard = json!({"limits.memory": "8Gi", "pods": "20", "requests.cpu": "2"});
    let live = stored(&quota(), "uid-of-the-quota", 51);
    let lowered = with(&live, &json!({"metadata": {"resourceVersion": "61"}, "spec": {"hard": hard}}));
    let script = script![
        get(&namespace_path()).answered(stored_namespace()),
        patch_namespace(&metadata, 61),
        get(&child_path(&quota())).answered(live),
        json_patch(&child_path(&quota()), drift::operations("uid-of-the-quota", "/spec/hard", &hard)).answered(lowered),
        status_patch(&space, &status),
        space_event("ClassNotFound"),
    ];
    world.reconcile(&space, script).await.unwrap();
    world.reconcile(&with_status(&space, &status), script![]).await.unwrap();
}

/// If the list came first, a policy that is created between the list and the mark could open the namespace and would
/// not be noticed.
#[tokio::test]
async fn a_namespace_is_marked_as_enforced_before_its_policies_are_listed() {
    let world = World::with(CALM, &everything());
    let walled = json!({"metadata": {"name": "walled", "uid": "uid-of-the-walled-class"}, "spec": {"network": {"enforced": true}}});
    world.keep(&with(&class(), &walled));
    let space = edited(&converged(), &json!({"className": "walled"}), 103);
    let message = "class walled enforces isolation, and the space is not admitted to it while NetworkPolicy open can allow more traffic in \
                   namespace orchid-lab; its current class stays in force: delete the policies with kubectl -n orchid-lab delete networkpolicy \
                   open, or have an administrator set the label developerspace.dev/platform-policy=true on those that are needed";
    let status = refused_since(2, "IsolationBreached", message);
    let listed = || {
        get(&format!("{}?limit=25", children_path("NetworkPolicy"))).answered(json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "metadata": {"resourceVersion": "9"},
            "items": [{"metadata": {"name": "open"}}],
        }))
    };
    let mark = json!({"labels": {"developerspace.dev/network-enforced": "true"}});
    let used = || get(&child_path(&quota())).answered(stored(&quota(), "uid-of-the-quota", 51));
    let script = script![
        used(),
        get(&namespace_path()).answered(stored_namespace()),
        patch_namespace(&with(&mark, &json!({"annotations": {}})), 61),
        listed(),
        get(&namespace_path()).answered(patched(&stored_namespace(), &json!({"metadata": mark}), 61)),
        status_patch(&space, &status),
        space_event("IsolationBreached"),
    ];
    world.reconcile(&space, script).await.unwrap();
    world.reconcile(&with_status(&space, &status), script![used(), listed()]).await.unwrap();
}

/// An owner has replaced the operator's policy by one that allows all traffic, before the namespace was marked.
#[tokio::test]
async fn a_space_is_not_admitted_to_enforced_isolation_before_its_own_policy_is_restored() {
    let marked =
        with(&stored_namespace(), &json!({"metadata": {"labels": {"developerspace.dev/network-enforced": "true"}}}));
    let metadata = json!({"name": "developerspace-isolation", "namespace": SPACE, "uid": "uid-of-the-open-policy", "labels": {"padded": "yes"}});
    let open = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": {"podSelector": {}, "ingress": [{}]},
    });
    let mut objects = everything_but("NetworkPolicy", "developerspace-isolation");
    objects[1] = marked;
    let world = World::with(CALM, &objects);
    world.keep(&open);
    let walled = json!({"metadata": {"name": "walled", "uid": "uid-of-the-walled-class"}, "spec": {"network": {"enforced": true}}});
    world.keep(&with(&class(), &walled));
    let listed = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "metadata": {"resourceVersion": "9"}, "items": [open],
    });
    let space = edited(&converged(), &json!({"className": "walled"}), 103);
    let message = "failed to delete NetworkPolicy developerspace-isolation in orchid-lab: the server says Forbidden";
    let operations = drift::operations("uid-of-the-open-policy", "/spec", &network()["spec"]);
    let script = script![
        get(&child_path(&quota())).answered(stored(&quota(), "uid-of-the-quota", 51)),
        get(&format!("{}?limit=25", children_path("NetworkPolicy"))).answered(listed),
        json_patch(&child_path(&network()), operations).too_large(),
        delete(&child_path(&network()), &json!({"uid": "uid-of-the-open-policy"})).refused(403, "Forbidden"),
        status_patch(&space, &failures::apply_failed_in(2, message)),
        space_event("ApplyFailed"),
    ];
    assert_eq!(class_of(&world.reconcile(&space, script).await), Some(Class::Forbidden));
}

/// Admission depends on the reason of a missing class, also while the namespace is terminating.
#[tokio::test]
async fn a_namespace_that_vanishes_does_not_hide_that_the_class_in_force_is_missing() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    let walled = json!({"metadata": {"name": "walled", "uid": "uid-of-the-walled-class"}, "spec": {"network": {"enforced": true}}});
    world.keep(&with(&class(), &walled));
    let space = edited(&converged(), &json!({"className": "walled"}), 103);
    let message = "SpaceClass greenhouse, which is in force, does not exist or cannot be read; the namespace is terminating; it is recreated \
                   when its deletion is complete";
    let status = refused_since(2, "ClassNotFound", message);
    let script = script![
        get(&child_path(&quota())).answered(stored(&quota(), "uid-of-the-quota", 51)),
        patch_namespace(&json!({"labels": {"developerspace.dev/network-enforced": "true"}}), 61)
            .refused(404, "NotFound"),
        status_patch(&space, &status),
        space_event("ClassNotFound"),
    ];
    assert_eq!(class_of(&world.reconcile(&space, script).await), Some(Class::Vanishing));
}

#[tokio::test]
async fn a_namespace_without_a_class_in_force_is_marked_before_its_policies_are_listed() {
    let world = World::with(CALM, &everything_but("SpaceClass", "greenhouse"));
    let walled = json!({"metadata": {"name": "walled", "uid": "uid-of-the-walled-class"}, "spec": {"network": {"enforced": true}}});
    world.keep(&with(&class(), &walled));
    let space = edited(&converged(), &json!({"className": "walled"}), 103);
    let message = "SpaceClass greenhouse, which is in force, does not exist or cannot be read; class walled enforces isolation, and the space \
                   is not admitted to it while NetworkPolicy open can allow more traffic in namespace orchid-lab; its current class stays in \
                   force: delete the policies with kubectl -n orchid-lab delete networkpolicy open, or have an administrator set the label \
                   developerspace.dev/platform-policy=true on those that are needed";
    let status = refused_since(2, "ClassNotFound", message);
    let listed = get(&format!("{}?limit=25", children_path("NetworkPolicy"))).answered(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "metadata": {"resourceVersion": "9"},
        "items": [{"metadata": {"name": "open"}}],
    }));
    let script = script![
        get(&child_path(&quota())).answered(stored(&quota(), "uid-of-the-quota", 51)),
        patch_namespace(&json!({"labels": {"developerspace.dev/network-enforced": "true"}}), 61),
        listed,
        status_patch(&space, &status),
        space_event("ClassNotFound"),
    ];
    world.reconcile(&space, script).await.unwrap();
}
