//! A refused spec grants nothing, and does not hold back the removal of access or the rules of the class.

use developerspace_operator::{
    api::{DeveloperSpace, SpaceClass},
    controller::{
        children::{self, Progress},
        isolation,
    },
    desired::{Grant, desire, isolation::OwnPolicy, resolve},
};

use super::*;
use crate::support::api_server::play;

/// Applies `space` and `class` while nothing is granted, and expects exactly the calls of `script`.
async fn withhold(world: &World, (space, class): (&Value, &Value), script: Vec<Step>) {
    let (space, class): (DeveloperSpace, SpaceClass) = (read(space), read(class));
    let resolved = resolve(&space, "greenhouse", &class.spec).resolved;
    let children = desire(&space, &resolved, None).children;
    let apply =
        async |client| children::children(&world.context(client), SPACE, &children, Grant::Withheld, None).await;
    assert_eq!(play(script, apply).await.map_err(|error| error.sentence()), Ok(Progress::Done));
}

fn user(name: &str) -> Value {
    json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name})
}

#[tokio::test]
async fn an_evicted_owner_leaves_and_the_new_one_is_not_let_in() {
    let space = with(&converged(), &json!({"spec": {"owner": {"name": "carol@example.com"}}}));
    let world = World::with(CALM, &everything());
    let script = script![delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"}))];
    withhold(&world, (&space, &class()), script).await;
    // The binding may have lost its label instead of being deleted, so it is read once.
    let gone = get(&child_path(&owner_binding())).refused(404, "NotFound");
    withhold(&world, (&space, &class()), script![gone]).await;
    withhold(&world, (&space, &class()), script![]).await;
}

#[tokio::test]
async fn a_binding_without_our_label_loses_its_subjects_too() {
    let space = with(&converged(), &json!({"spec": {"owner": {"name": "carol@example.com"}}}));
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
    let stripped =
        with(&stored(&owner_binding(), "uid-of-the-owner-binding", 60), &json!({"metadata": {"labels": null}}));
    let script = script![
        get(&child_path(&owner_binding())).answered(stripped),
        delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
    ];
    withhold(&world, (&space, &class()), script).await;
}

#[tokio::test]
async fn a_member_leaves_and_a_role_of_the_class_reaches_those_who_stay() {
    let space =
        with(&converged(), &json!({"spec": {"members": [{"kind": "Group", "name": "newcomers", "role": "helper"}]}}));
    let class = with(&class(), &json!({"spec": {"ownerRole": "helper"}}));
    let world = World::with(CALM, &everything());
    let viewer = with(&owner_binding(), &json!({"roleRef": {"name": "view"}}));
    // Concurrently: the owner's binding is replaced while the members' binding is deleted.
    let script = script![
        side_by_side([
            delete(&child_path(&owner_binding()), &json!({"uid": "uid-of-the-owner-binding"})),
            delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
        ]),
        make(&viewer, "uid-of-the-viewer"),
    ];
    withhold(&world, (&space, &class), script).await;
}

#[tokio::test]
async fn a_quota_only_falls_and_is_read_once() {
    let live = with(&stored(&quota(), "uid-of-the-quota", 51), &json!({"spec": {"hard": {"pods": "5"}}}));
    let class = with(&class(), &json!({"spec": {"quota": {"hard": {"requests.cpu": "2"}}}}));
    let world = World::with(CALM, &everything_but("ResourceQuota", "developerspace"));
    world.keep(&live);
    let hard = json!({"limits.memory": "8Gi", "pods": "5", "requests.cpu": "2"});
    let lowered = with(&live, &json!({"metadata": {"resourceVersion": "61"}, "spec": {"hard": hard}}));
    let script = script![
        get(&child_path(&quota())).answered(live),
        json_patch(&child_path(&quota()), drift::operations("uid-of-the-quota", "/spec/hard", &hard)).answered(lowered),
    ];
    withhold(&world, (&converged(), &class), script).await;
    withhold(&world, (&converged(), &class), script![]).await;
}

#[tokio::test]
async fn without_a_class_only_subjects_leave() {
    let space: DeveloperSpace = read(&with(&converged(), &json!({"spec": {"members": null}})));
    let both = json!([user("ada@example.com"), user("mallory@example.com")]);
    let world = World::with(CALM, &everything_but("RoleBinding", "developerspace-owner"));
    world.keep(&with(&stored(&owner_binding(), "uid-of-the-owner-binding", 60), &json!({"subjects": both})));
    let kept = json!([
        {"op": "test", "path": "/metadata/uid", "value": "uid-of-the-owner-binding"},
        {"op": "add", "path": "/subjects", "value": [user("ada@example.com")]},
    ]);
    let script = script![side_by_side([
        json_patch(&child_path(&owner_binding()), kept).answered(stored(
            &owner_binding(),
            "uid-of-the-owner-binding",
            61
        )),
        delete(&child_path(&member_binding()), &json!({"uid": "uid-of-the-member-binding"})),
    ])];
    let withdraw = async |client| children::withdraw_subjects(&world.context(client), SPACE, &space.spec).await;
    play(script, withdraw).await.unwrap();
    play(script![], withdraw).await.unwrap();
}

fn policy(name: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": SPACE, "uid": format!("uid-of-{name}"), "resourceVersion": "70", "labels": labels},
        "spec": {"podSelector": {}},
    })
}

#[tokio::test]
async fn a_policy_of_others_breaches_enforced_isolation_and_one_of_the_platform_does_not() {
    let mut walled = with(&class(), &json!({"metadata": {"generation": 5}, "spec": {"network": {"enforced": true}}}));
    walled["status"]["conditions"][0]["observedGeneration"] = json!(5);
    let marked =
        with(&stored_namespace(), &json!({"metadata": {"labels": {"developerspace.dev/network-enforced": "true"}}}));
    let mut objects = everything();
    (objects[0], objects[1]) = (walled, marked);
    let world = World::with(CALM, &objects);
    world.keep(&policy("dns", &json!({"developerspace.dev/platform-policy": "true"})));
    world.reconcile(&converged(), script![]).await.unwrap();
    world.keep(&policy("open", &json!({})));
    let message = "class greenhouse enforces the isolation of namespace orchid-lab, and NetworkPolicy open can allow more traffic, so no \
                   new access is granted: delete the policies with kubectl -n orchid-lab delete networkpolicy open, or have an administrator \
                   set the label developerspace.dev/platform-policy=true on those that are needed";
    let newcomers = json!([{"kind": "Group", "name": "gardeners", "role": "helper"}, {"kind": "Group", "name": "newcomers", "role": "helper"}]);
    let space = edited(&converged(), &json!({"members": newcomers}), 103);
    let status = refused_since(2, "IsolationBreached", message);
    world.reconcile(&space, script![status_patch(&space, &status), space_event("IsolationBreached")]).await.unwrap();
}

#[tokio::test]
async fn a_space_is_admitted_to_enforced_isolation_by_what_the_api_server_lists() {
    let path = format!("{}?limit=25", children_path("NetworkPolicy"));
    let listed = |items: &[Value]| {
        let metadata = json!({"resourceVersion": "9"});
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "metadata": metadata, "items": items})
    };
    let ours = stored(&network(), "uid-of-the-network-policy", 53);
    let open = json!({"metadata": {"name": "open"}});
    let own = OwnPolicy { before: Some(read(&network())), after: None };
    let world = World::with(CALM, &everything());
    for (items, refused) in [(vec![ours.clone()], false), (vec![ours, open], true)] {
        let script = script![get(&path).answered(listed(&items))];
        let asked =
            play(script, async |client| isolation::admits(&world.context(client), SPACE, "walled", &own).await).await;
        assert_eq!(asked.unwrap().is_some(), refused);
    }
    world.keep(&policy("open", &json!({})));
    let asked =
        play(script![], async |client| isolation::admits(&world.context(client), SPACE, "walled", &own).await).await;
    assert!(asked.unwrap().is_some(), "what the watch knows already is not asked for");
}

/// An owner has replaced the operator's policy by one that allows all traffic, and that is too large to be repaired.
#[tokio::test]
async fn an_altered_policy_of_the_operators_name_is_restored_before_an_admission() {
    let altered =
        with(&policy("developerspace-isolation", &json!({"padded": "yes"})), &json!({"spec": {"ingress": [{}]}}));
    let uid = "uid-of-developerspace-isolation";
    let list = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicyList", "metadata": {"resourceVersion": "9"}, "items": [altered],
    });
    let listed = || get(&format!("{}?limit=25", children_path("NetworkPolicy"))).answered(list.clone());
    let repair = || json_patch(&child_path(&network()), drift::operations(uid, "/spec", &network()["spec"]));
    let removal = || delete(&child_path(&network()), &json!({"uid": uid}));
    let wanted = || Some(read(&network()));
    let (isolated, open) =
        (OwnPolicy { before: wanted(), after: wanted() }, OwnPolicy { before: None, after: wanted() });
    for (own, script, error) in [
        (&isolated, script![listed(), repair().answered(stored(&network(), uid, 71))], None),
        (
            &isolated,
            script![listed(), repair().too_large(), removal(), make(&network(), "uid-of-the-second-network-policy")],
            None,
        ),
        (
            &isolated,
            script![listed(), repair().too_large(), removal().refused(403, "Forbidden")],
            Some(Class::Forbidden),
        ),
        (&open, script![listed(), removal()], None),
    ] {
        let world = World::with(CALM, &everything_but("NetworkPolicy", "developerspace-isolation"));
        let asked =
            play(script, async |client| isolation::admits(&world.context(client), SPACE, "walled", own).await).await;
        assert_eq!(asked.map(|refusal| refusal.is_some()).map_err(|error| error.class()), error.map_or(Ok(false), Err));
    }
}
