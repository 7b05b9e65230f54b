//! The findings of `kubectl dspace doctor` on real problems, which it derives from the messages of a real API server and of real controllers.
//!
//! Owners inspect their own spaces, with their own rights. The commands that doctor advises are run unchanged, and have to fix the problem.

mod foreign;
mod people;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::{
    command::Output,
    eventually,
    fixtures::{SOON, World, a_space, at, cluster_wide, condition, ensure_equal, run_concurrently, space, uid_of, user},
    scenarios,
};
use serde_json::{Value, json};

const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";

/// The platform team's account, which may read the cluster and change nothing.
const WATCH: &str = "watchman";

/// The timeout of a finding: doctor reports the cause of a blocked deletion only when the deletion has taken longer than usual.
const LATE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn doctor() -> Result<()> {
    let world = World::self_service(&[]).await?;
    world.create_account(WATCH, "developerspace-cluster-reader").await?;
    furnish(&world).await?;
    run_concurrently(scenarios![&world;
        nothing_is_wrong,
        a_quota_that_does_not_suffice_is_raised_by_what_it_advises,
        a_quota_that_cannot_be_raised,
        a_quota_that_is_used_up,
        somebody_elses_quota,
        what_a_quota_counts_and_pods_do_not_name,
        pods_outside_of_the_limits,
        foreign::pods_outside_of_somebody_elses_limits,
        pods_below_the_security_level,
        a_name_that_is_taken_is_handed_over_by_what_it_advises,
        a_class_that_is_not_there,
        what_a_finalizer_holds_is_let_go_by_what_it_advises,
        foreign::what_a_finalizer_of_the_namespace_holds_is_let_go_by_what_it_advises,
        people::a_protection_without_consent_is_told_in_the_survey,
        people::people_with_letters_beyond_ascii,
    ])
    .await?;
    // Alone, since no namespace can be removed meanwhile.
    run_concurrently(scenarios![&world; an_api_that_does_not_answer_is_taken_away_by_what_it_advises]).await?;
    // Alone, since the operator is stopped for it.
    run_concurrently(scenarios![&world; what_was_taken_away_is_missed]).await?;
    world.ensure_operator_ready().await
}

async fn furnish(world: &World) -> Result<()> {
    let edit = json!([{"name": "edit", "clusterRole": "edit"}]);
    let limits = json!([{
        "type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "100m"}, "defaultRequest": {"cpu": "10m"},
    }]);
    for (name, spec) in [
        ("elastic", json!({"roles": edit, "quota": {"hard": {"requests.cpu": "4"}, "max": {"requests.cpu": "8"}}})),
        ("narrow", json!({"roles": edit, "quota": {"hard": {"requests.cpu": "3"}}})),
        ("tiny", json!({"roles": edit, "quota": {"hard": {"pods": "2"}}})),
        ("measured", json!({"roles": edit, "limitRange": limits})),
        ("hardened", json!({"roles": edit, "podSecurity": {"enforce": "baseline"}})),
        ("plain", json!({"roles": edit, "network": {"isolation": "Namespace"}, "quota": {"hard": {"pods": "6"}}})),
    ] {
        world.create_accepted_class(name, spec).await?;
    }
    Ok(())
}

/// Runs `doctor` as a user with a token.
async fn asks(world: &World, who: &str, space: &str) -> Result<Output> {
    world.cluster().kubectl_as(who, &["dspace", "doctor", space, "-o", "json"]).await
}

/// Runs `doctor` as the platform team.
async fn watches(world: &World, space: &str) -> Result<Output> {
    let kubeconfig = world.cluster().dir().join(format!("{WATCH}.kubeconfig"));
    world.cluster().kubectl_with(&kubeconfig, &["dspace", "doctor", space, "-o", "json"], None).await
}

/// The findings, without notes.
fn found(output: Output) -> Result<Vec<Value>> {
    let told: Value = serde_json::from_str(&output.ok()?)?;
    let all = told.as_array().context("findings are a list")?;
    Ok(all.iter().filter(|finding| finding["severity"] != "note").cloned().collect())
}

/// Waits until the owner's findings, without notes, are the expected ones.
async fn until_found(world: &World, (who, space): (&str, &str), expected: Value) -> Result<()> {
    eventually(&format!("the doctor's word on {space}"), SOON, || async {
        ensure_equal(space, &Value::Array(found(asks(world, who, space).await?)?), &expected)?;
        Ok(Some(()))
    })
    .await
}

/// Waits until the platform team's doctor finds a problem that contains all of `words`, and returns its commands.
async fn until_said(world: &World, name: &str, words: &[&str]) -> Result<Vec<String>> {
    eventually(&format!("the doctor's word on {name}"), LATE, || async {
        let all = found(watches(world, name).await?)?;
        let says = |finding: &&Value| {
            let sentence = finding["sentence"].as_str().unwrap_or_default();
            finding["severity"] == "problem" && words.iter().all(|word| sentence.contains(word))
        };
        let meant = all.iter().find(says).with_context(|| format!("it says {all:#?}"))?;
        let commands = meant["commands"].as_array().context("no commands")?;
        Ok(Some(commands.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    })
    .await
}

/// Runs an advised command unchanged, with the given kubeconfig.
async fn follow(world: &World, kubeconfig: &std::path::Path, command: &str) -> Result<()> {
    let arguments: Vec<String> = shlex(command)?;
    let (program, arguments) = arguments.split_first().context("there is no command")?;
    ensure!(program == "kubectl", "it advises {command}");
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    world.cluster().kubectl_with(kubeconfig, &arguments, None).await?.ok().map(drop)
}

/// Splits a command line into words as a shell does; quotes are the only syntax used here.
fn shlex(line: &str) -> Result<Vec<String>> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().context("there is a word")?.push(letter),
        }
    }
    ensure!(!quoted && !line.contains('\\'), "a shell would take `{line}` in another way");
    Ok(words)
}

/// Creates a space of the given owner.
async fn with_space(world: &World, (who, name): (&str, &str), class: &str) -> Result<()> {
    world.create_ready_space(name, json!({"className": class, "owner": user(who)})).await.map(drop)
}

/// Creates a workload with pods, as the owner writes it.
async fn with_workload(world: &World, who: &str, (kind, version): (&str, &str), (space, name, pod): (&str, &str, Value)) -> Result<()> {
    let labels = json!({"app": name});
    let mut template = json!({"metadata": {"labels": labels}, "spec": pod});
    let mut spec = json!({"replicas": 1, "selector": {"matchLabels": labels}});
    match kind {
        "StatefulSet" => spec["serviceName"] = name.into(),
        "Job" => {
            spec = json!({});
            template["spec"]["restartPolicy"] = "Never".into();
        }
        _ => {}
    }
    spec["template"] = template;
    let object = json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": space}, "spec": spec});
    world.actor(who).await?.create(&object).await.map(drop)
}

const DEPLOYMENT: (&str, &str) = ("Deployment", "apps/v1");

/// A pod of one container with these resources.
fn pod(resources: &Value) -> Value {
    json!({"containers": [{"name": "web", "image": "nginx", "resources": resources}]})
}

fn problem(sentence: &str, commands: &[&str]) -> Value {
    json!({"severity": "problem", "sentence": sentence, "commands": commands})
}

fn warning(sentence: &str, commands: &[&str]) -> Value {
    json!({"severity": "warning", "sentence": sentence, "commands": commands})
}

async fn nothing_is_wrong(world: &World) -> Result<()> {
    with_space(world, (ALICE, "heron-lab"), "plain").await?;
    until_found(world, (ALICE, "heron-lab"), json!([])).await?;
    let told = world.cluster().kubectl_as(ALICE, &["dspace", "doctor", "heron-lab"]).await?.ok()?;
    ensure!(told.starts_with("No problems found with DeveloperSpace heron-lab in the objects that could be read."), "the output is {told}");
    Ok(())
}

async fn a_quota_that_does_not_suffice_is_raised_by_what_it_advises(world: &World) -> Result<()> {
    const SPACE: &str = "osprey-lab";
    with_space(world, (BOB, SPACE), "elastic").await?;
    let big = || pod(&json!({"requests": {"cpu": "5"}}));
    with_workload(world, BOB, DEPLOYMENT, (SPACE, "web", big())).await?;
    let raise = r#"kubectl patch dspace osprey-lab --type=merge -p '{"spec":{"quota":{"requests.cpu":"8"}}}'"#;
    let expected = problem(
        "Pods of Deployment web are rejected, because they exceed the quota of DeveloperSpace osprey-lab: requests.cpu 5 requested, 0 of 4 \
        used. Request less, delete objects that are not needed, or raise the quota up to the maximum of the class.",
        &["kubectl dspace usage osprey-lab", "kubectl -n osprey-lab edit deployment web", raise],
    );
    until_found(world, (BOB, SPACE), json!([expected])).await?;
    follow(world, &world.cluster().kubeconfig_of(BOB), raise).await?;
    world.until_ready(SPACE).await?;
    // The controller tries again by itself, but not soon: the owner creates another workload that fits at once.
    with_workload(world, BOB, DEPLOYMENT, (SPACE, "roomy", big())).await?;
    let pods = || async { world.admin().list("Pod", SPACE).await };
    eventually("a pod that has room", SOON, || async { Ok((!pods().await?.is_empty()).then_some(())) }).await
}

async fn a_quota_that_cannot_be_raised(world: &World) -> Result<()> {
    const SPACE: &str = "plover-lab";
    with_space(world, (CAROL, SPACE), "narrow").await?;
    for (kind, version, name) in [("StatefulSet", "apps/v1", "db"), ("Job", "batch/v1", "sums")] {
        with_workload(world, CAROL, (kind, version), (SPACE, name, pod(&json!({"requests": {"cpu": "5"}})))).await?;
    }
    let told = |kind: &str, name: &str, command: &str| {
        problem(
            &format!(
                "Pods of {kind} {name} are rejected, because they exceed the quota of DeveloperSpace plover-lab: requests.cpu 5 requested, \
                0 of 3 used. Request less, or delete objects that are not needed: the class allows no larger quota."
            ),
            &["kubectl dspace usage plover-lab", command],
        )
    };
    let expected = json!([
        told("Job", "sums", "kubectl -n plover-lab describe job sums"),
        told("StatefulSet", "db", "kubectl -n plover-lab edit statefulset db"),
    ]);
    until_found(world, (CAROL, SPACE), expected).await
}

async fn a_quota_that_is_used_up(world: &World) -> Result<()> {
    const SPACE: &str = "avocet-lab";
    with_space(world, (ALICE, SPACE), "tiny").await?;
    with_workload(world, ALICE, DEPLOYMENT, (SPACE, "web", pod(&json!({})))).await?;
    world.actor(ALICE).await?.patch(at("Deployment", SPACE, "web"), json!({"spec": {"replicas": 3}})).await?;
    let usage = "kubectl dspace usage avocet-lab";
    let refused = problem(
        "Pods of Deployment web are rejected, because they exceed the quota of DeveloperSpace avocet-lab: pods 1 requested, 2 of 2 used. \
        Request less, or delete objects that are not needed: the class allows no larger quota.",
        &[usage, "kubectl -n avocet-lab edit deployment web"],
    );
    let full = warning("The quota of DeveloperSpace avocet-lab is at least 90% used: pods 2 of 2 (100%).", &[usage]);
    until_found(world, (ALICE, SPACE), json!([refused, full])).await
}

async fn somebody_elses_quota(world: &World) -> Result<()> {
    const SPACE: &str = "curlew-lab";
    with_space(world, (BOB, SPACE), "plain").await?;
    let metadata = json!({"name": "auditors-cap", "namespace": SPACE});
    let cap = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"requests.cpu": "1"}}});
    world.admin().create(&cap).await?;
    world
        .until("to count", at("ResourceQuota", SPACE, "auditors-cap"), |quota| {
            ensure!(quota["status"]["used"]["requests.cpu"] == "0", "its status is {}", quota["status"]);
            Ok(())
        })
        .await?;
    with_workload(world, BOB, DEPLOYMENT, (SPACE, "web", pod(&json!({"requests": {"cpu": "2"}})))).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because they exceed ResourceQuota auditors-cap, which the operator does not manage: \
        requests.cpu 2 requested, 0 of 1 used. Request less, or ask the owner of the quota to raise it.",
        &["kubectl -n curlew-lab describe resourcequota auditors-cap", "kubectl -n curlew-lab edit deployment web"],
    );
    until_found(world, (BOB, SPACE), json!([expected])).await
}

async fn what_a_quota_counts_and_pods_do_not_name(world: &World) -> Result<()> {
    const SPACE: &str = "dunlin-lab";
    with_space(world, (CAROL, SPACE), "plain").await?;
    // For its own quotas the operator ensures that pods that set nothing get defaults.
    let metadata = json!({"name": "zoo-cap", "namespace": SPACE});
    let cap = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": {"limits.memory": "2Gi"}}});
    world.admin().create(&cap).await?;
    with_workload(world, CAROL, DEPLOYMENT, (SPACE, "web", pod(&json!({})))).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because ResourceQuota zoo-cap, which the operator does not manage, limits resources that \
        they do not set; they must specify limits.memory for: web. Set resources.requests and resources.limits for each container, or ask \
        the owner of the quota to change it; no field of the space changes it.",
        &["kubectl -n dunlin-lab edit deployment web", "kubectl -n dunlin-lab describe limitrange"],
    );
    until_found(world, (CAROL, SPACE), json!([expected])).await
}

async fn pods_outside_of_the_limits(world: &World) -> Result<()> {
    const SPACE: &str = "godwit-lab";
    with_space(world, (ALICE, SPACE), "measured").await?;
    with_workload(world, ALICE, DEPLOYMENT, (SPACE, "web", pod(&json!({"limits": {"cpu": "2"}})))).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because they are outside the limits for a container or pod: maximum cpu usage per Container \
        is 1, but limit is 2. Change their requests and limits; spec.limitRange of the space changes the defaults within the bounds of the \
        class.",
        &["kubectl -n godwit-lab describe limitrange", "kubectl -n godwit-lab edit deployment web"],
    );
    until_found(world, (ALICE, SPACE), json!([expected])).await
}

async fn pods_below_the_security_level(world: &World) -> Result<()> {
    const SPACE: &str = "kestrel-lab";
    with_space(world, (BOB, SPACE), "hardened").await?;
    let mut exposed = pod(&json!({}));
    exposed["hostNetwork"] = true.into();
    with_workload(world, BOB, DEPLOYMENT, (SPACE, "web", exposed)).await?;
    let expected = problem(
        "Pods of Deployment web are rejected, because they violate Pod Security level baseline, which SpaceClass hardened requires: host \
        namespaces (hostNetwork=true). Correct the pod template.",
        &["kubectl -n kestrel-lab edit deployment web"],
    );
    until_found(world, (BOB, SPACE), json!([expected])).await
}

async fn a_name_that_is_taken_is_handed_over_by_what_it_advises(world: &World) -> Result<()> {
    const SPACE: &str = "merlin-lab";
    let metadata = json!({"name": SPACE, "annotations": {"openshift.io/requester": "mira@example.com"}});
    world.admin().create(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})).await?;
    let made = world.admin().create(&space(SPACE, json!({"className": "plain", "owner": user(CAROL)}))).await?;
    let commands = until_said(world, SPACE, &["is marked openshift.io/requester=mira@example.com", "to User:carol@example.com"]).await?;
    let adopt = format!("kubectl annotate namespace merlin-lab developerspace.dev/adopt=merlin-lab/{}", uid_of(&made));
    ensure!(commands.first().is_some_and(|first| *first == adopt), "it advises {commands:?}");
    follow(world, world.cluster().kubeconfig(), &adopt).await?;
    world.until_ready(SPACE).await.map(drop)
}

async fn a_class_that_is_not_there(world: &World) -> Result<()> {
    world.admin().create(&space("harrier-lab", json!({"className": "nowhere", "owner": user(CAROL)}))).await?;
    until_said(world, "harrier-lab", &["SpaceClass nowhere does not exist"]).await.map(drop)
}

async fn what_a_finalizer_holds_is_let_go_by_what_it_advises(world: &World) -> Result<()> {
    const SPACE: &str = "bittern-lab";
    with_space(world, (ALICE, SPACE), "plain").await?;
    let metadata = json!({"name": "kept", "namespace": SPACE, "finalizers": ["example.org/archive"]});
    world.actor(ALICE).await?.create(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await?;
    world.cluster().kubectl_as(ALICE, &["delete", "dspace", SPACE, "--wait=false"]).await?.ok()?;
    let words = [
        "Namespace bittern-lab is stuck in Terminating, because it still contains configmaps (1)",
        "blocked by the finalizer example.org/archive",
    ];
    let commands = until_said(world, SPACE, &words).await?;
    // Its bindings were deleted first, so the owner has only the operator's report.
    let told = found(asks(world, ALICE, SPACE).await?)?;
    let told = serde_json::to_string(&told)?;
    ensure!(told.contains("waits until its namespace is deleted") && told.contains("example.org/archive"), "the output is {told}");
    let [look, take_off] = commands.as_slice() else { anyhow::bail!("it advises {commands:?}") };
    follow(world, world.cluster().kubeconfig(), look).await?;
    follow(world, world.cluster().kubeconfig(), &take_off.replace("NAME", "kept")).await?;
    world.until_gone(a_space(SPACE)).await
}

async fn an_api_that_does_not_answer_is_taken_away_by_what_it_advises(world: &World) -> Result<()> {
    const SPACE: &str = "egret-lab";
    with_space(world, (BOB, SPACE), "plain").await?;
    let dead = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.ponds.example.org"},
        "spec": {
            "group": "ponds.example.org", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 10,
            "insecureSkipTLSVerify": true, "service": {"name": "nobody", "namespace": "default", "port": 443},
        },
    });
    world.admin().create(&dead).await?;
    world
        .until("to be known as dead", cluster_wide("APIService", "v1beta1.ponds.example.org"), |service| {
            ensure!(condition(service, "Available")["status"] == "False", "its status is {}", service["status"]);
            Ok(())
        })
        .await?;
    world.cluster().kubectl_as(BOB, &["delete", "dspace", SPACE, "--wait=false"]).await?.ok()?;
    let commands = until_said(world, SPACE, &["APIs that do not respond cannot be listed: APIService v1beta1.ponds.example.org."]).await?;
    let delete = "kubectl delete apiservice v1beta1.ponds.example.org";
    ensure!(commands.last().is_some_and(|last| last == delete), "it advises {commands:?}");
    follow(world, world.cluster().kubeconfig(), delete).await?;
    world.until_gone_within(LATE, a_space(SPACE)).await
}

async fn what_was_taken_away_is_missed(world: &World) -> Result<()> {
    const SPACE: &str = "snipe-lab";
    with_space(world, (CAROL, SPACE), "plain").await?;
    world.stop_operator().await?;
    for (kind, name) in [("NetworkPolicy", "developerspace-isolation"), ("RoleBinding", "developerspace-owner")] {
        world.admin().delete(at(kind, SPACE, name)).await?;
    }
    world.admin().patch(at("ResourceQuota", SPACE, "developerspace"), json!({"spec": {"hard": {"pods": "600"}}})).await?;
    let words = "In namespace snipe-lab, ResourceQuota developerspace differs from its desired state, NetworkPolicy \
        developerspace-isolation is missing (pods in every namespace can connect) and RoleBinding developerspace-owner is missing (the \
        owner has no access).";
    until_said(world, SPACE, &[words, "The operator is scaled down: its Deployment has 0 replicas."]).await?;
    world.start_operator().await?;
    eventually("the space to be well again", SOON, || async {
        let all = found(watches(world, SPACE).await?)?;
        ensure!(all.is_empty(), "it says {all:#?}");
        Ok(Some(()))
    })
    .await
}
