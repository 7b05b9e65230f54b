//! The cluster under attack: its users, their objects and their credentials.

use anyhow::{Result, bail, ensure};
use chrono::TimeDelta;
use e2e::{
    binaries,
    fixtures::{
        Actor, World, a_class, a_namespace, a_space, at, binding, class, cluster_role, condition, config_map,
        is_observed, namespace, network_policy, pod, rbac_subject, role_binding, space, user,
    },
    kubeconfig, operator,
};
use serde_json::{Value, json};

/// A cluster on which users have self-service.
pub(crate) struct AttackSetup {
    pub world: World,
    /// Owns all spaces whose names begin with `alice-`.
    pub alice: Actor,
    /// May also write namespaces, as a script of the platform might; is in Alice's group, and owns nothing.
    pub bob: Actor,
    /// Owns `carol-lab`.
    pub carol: Actor,
    /// Holds the verb `assign`, as a portal does.
    pub dave: Actor,
    /// A ServiceAccount that may write spaces, and use no class.
    pub pipeline: Actor,
    /// A ServiceAccount with no right but those of every authenticated user.
    pub newcomer: Actor,
    /// An attacker with the operator's own token.
    pub thief: Actor,
    /// An attacker with the token of the account of a sweep, which `docs/gc.md` describes.
    pub sweeper: Actor,
}

/// A class of which any user here may have many spaces.
pub(crate) const CLASS: &str = "lab";

/// A class whose spaces end after a minute.
pub(crate) const FLEETING: &str = "fleeting";

/// The time between the warning and the end in that class.
pub(crate) const FLEETING_WARNING: TimeDelta = TimeDelta::seconds(20);

impl AttackSetup {
    pub(crate) async fn start() -> Result<Self> {
        let world = World::self_service(&[]).await?;
        let admin = world.admin();
        for (name, spec) in [
            (CLASS, class_spec(&json!({}))),
            ("giving", class_spec(&json!({"allowTransfer": true}))),
            ("walled", class_spec(&json!({"network": {"isolation": "Namespace", "enforced": true}}))),
            ("generous", generous()),
            ("picky", picky()),
            ("cramped", cramped()),
            ("aliased", aliased()),
            (FLEETING, fleeting()),
            ("mistyped", class_spec(&json!({"allowRetain": true}))),
            ("vanishing", class_spec(&json!({"allowRetain": true, "allowTransfer": true}))),
        ] {
            admin.create(&class(name, spec)).await?;
            world.until_accepted(name).await?;
        }
        for role in [
            cluster_role(
                "uses-labs",
                &json!([{"apiGroups": ["developerspace.dev"], "resources": ["spaceclasses"], "verbs": ["use"],
                    "resourceNames": [CLASS, FLEETING, "giving", "walled", "generous", "picky", "cramped", "mistyped", "vanishing"]}]),
            ),
            cluster_role(
                "writes-namespaces",
                &json!([{"apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
                    "verbs": ["get", "list", "create", "update", "patch", "delete"]}]),
            ),
        ] {
            admin.create(&role).await?;
        }
        for (kind, name, role) in [
            ("Group", "payments", "uses-labs"),
            ("Group", "checkout", "uses-labs"),
            ("User", "bob@example.com", "writes-namespaces"),
        ] {
            admin.create(&binding(kind, name, role)).await?;
        }
        admin.create(&namespace("plain", json!({}), json!({}))).await?;
        admin
            .create(&cluster_role(
                "makes-spaces",
                &json!([{"apiGroups": ["developerspace.dev"], "resources": ["developerspaces"], "verbs": ["create"]}]),
            ))
            .await?;
        let pipeline = world.create_account_actor("pipeline", "makes-spaces").await?;
        let newcomer = world.create_account_actor("newcomer", "none-such").await?;
        let self_service = binaries::repository().join("config/self-service");
        world.cluster().kubectl(&["apply", "-k", &self_service.to_string_lossy()]).await?.ok()?;
        let thief = operator::write_kubeconfig(world.cluster(), "thief", None).await?;
        let thief = Actor::new(kubeconfig::client(&thief).await?);
        let sweeper = Actor::new(kubeconfig::client(&world.create_documented_sweeper().await?).await?);
        let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| format!("{name}@example.com"));
        let (alice, bob, carol, dave) = (
            world.actor(&alice).await?,
            world.actor(&bob).await?,
            world.actor(&carol).await?,
            world.actor(&dave).await?,
        );
        let setup = Self { world, alice, bob, carol, dave, pipeline, newcomer, thief, sweeper };
        setup.create_objects().await?;
        Ok(setup)
    }

    /// The credentials that an attack uses.
    pub(crate) fn actor(&self, name: &str) -> Result<&Actor> {
        match name {
            "alice" => Ok(&self.alice),
            "bob" => Ok(&self.bob),
            "pipeline" => Ok(&self.pipeline),
            "newcomer" => Ok(&self.newcomer),
            "thief" => Ok(&self.thief),
            "sweeper" => Ok(&self.sweeper),
            "admin" => Ok(self.world.admin()),
            other => bail!("nobody here is called {other}"),
        }
    }

    /// The users create their own objects, with their own rights.
    async fn create_objects(&self) -> Result<()> {
        let owner = user("alice@example.com");
        let contact = json!({"team": "payments"});
        for (owner, name, spec) in [
            (&self.alice, "alice-lab", json!({"className": CLASS, "owner": owner})),
            (&self.alice, "alice-walled", json!({"className": "walled", "owner": owner})),
            (
                &self.alice,
                "alice-kept",
                json!({"className": "generous", "owner": owner, "contact": contact, "protected": true}),
            ),
            (
                &self.alice,
                "alice-keeps",
                json!({"className": "generous", "owner": owner, "contact": contact, "deletionPolicy": "Retain"}),
            ),
            (
                &self.alice,
                "alice-keyed",
                json!({"className": "generous", "owner": owner, "contact": contact, "labels": {"example.org/tier": "two"}}),
            ),
            (&self.alice, "alice-going", json!({"className": "generous", "owner": owner, "contact": contact})),
            (&self.alice, "alice-typo", json!({"className": "mistyped", "owner": owner})),
            (&self.alice, "alice-orphan", json!({"className": "vanishing", "owner": owner})),
            (
                &self.carol,
                "carol-lab",
                json!({"className": CLASS, "owner": user("carol@example.com"), "contact": {"team": "checkout"}}),
            ),
        ] {
            owner.create(&space(name, spec)).await?;
        }
        for name in [
            "alice-lab",
            "alice-walled",
            "alice-kept",
            "alice-keeps",
            "alice-keyed",
            "alice-going",
            "alice-typo",
            "alice-orphan",
            "carol-lab",
        ] {
            self.world.until_ready(name).await?;
        }
        self.create_name_conflict().await?;
        self.break_classes().await?;
        self.block_a_deletion().await?;
        self.create_released_namespace().await?;
        self.create_workload().await?;
        // The control plane's own last write there: until then the space is not at rest.
        self.world
            .until("to be counted", at("ResourceQuota", "carol-lab", "developerspace"), |quota| {
                ensure!(quota["status"]["used"].is_object(), "its status is {}", quota["status"]);
                Ok(())
            })
            .await
            .map(drop)
    }

    /// A space in the class that allows transfers, with the name of an existing namespace.
    async fn create_name_conflict(&self) -> Result<()> {
        self.world.admin().create(&namespace("alice-squats", json!({}), json!({}))).await?;
        self.alice
            .create(&space("alice-squats", json!({"className": "giving", "owner": user("alice@example.com")})))
            .await?;
        self.world.until_not_ready("alice-squats", "NamespaceConflict").await.map(drop)
    }

    /// One class is refused after a typo, one is deleted, and one admits namespaces by a label that owners can set.
    async fn break_classes(&self) -> Result<()> {
        let admin = self.world.admin();
        let typo = json!({"spec": {"lifetime": {"defaultTTL": "30d", "maxTTL": "1d"}}});
        admin.patch(a_class("mistyped"), typo).await?;
        let refused = |class: &Value| {
            ensure!(
                condition(class, "Accepted")["status"] == "False" && is_observed(class),
                "its status is {}",
                class["status"]
            );
            Ok(())
        };
        self.world.until("to be refused", a_class("mistyped"), refused).await?;
        admin.delete(a_class("vanishing")).await?;
        self.world.until_not_ready("alice-orphan", "ClassNotFound").await?;
        let selectors = json!([
            {"matchLabels": {"example.com/edge": "yes"}},
            {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["edge-proxy"]}]},
        ]);
        let network = json!({"network": {"isolation": "Namespace", "allowFromNamespaces": selectors}});
        admin.create(&class("doored", class_spec(&network))).await.map(drop)
    }

    /// `alice-going` stays terminating for the lifetime of the cluster.
    async fn block_a_deletion(&self) -> Result<()> {
        let mut held = config_map("alice-going", "held");
        held["metadata"]["finalizers"] = json!(["example.com/hold"]);
        self.alice.create(&held).await?;
        self.alice.delete(a_space("alice-going")).await?;
        let is_terminating = |space: &Value| {
            ensure!(!space["metadata"]["deletionTimestamp"].is_null(), "it is not being deleted");
            Ok(())
        };
        self.world.until("to be on its way", a_space("alice-going"), is_terminating).await.map(drop)
    }

    /// A pod that no node runs, and a Service without pods.
    async fn create_workload(&self) -> Result<()> {
        for namespace in ["alice-lab", "left-walled"] {
            self.world.until("to be there", at("ServiceAccount", namespace, "default"), |_| Ok(())).await?;
        }
        self.alice.create(&pod("alice-lab", "worker")).await?;
        let metadata = json!({"name": "worker", "namespace": "alice-lab"});
        let service =
            json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"ports": [{"port": 443}]}});
        self.alice.create(&service).await.map(drop)
    }

    /// A namespace that was released from an enforced class, in which Alice has a role by other means.
    async fn create_released_namespace(&self) -> Result<()> {
        let admin = self.world.admin();
        let released_from = json!({
            "developerspace.dev/released-from": "left-walled/gone", "developerspace.dev/released-owner": "User:erin@example.com",
            "developerspace.dev/released-class": "walled", "developerspace.dev/released-at": "2026-11-24T09:00:00Z",
        });
        admin.create(&namespace("left-walled", json!({"developerspace.dev/released": "true"}), released_from)).await?;
        for name in ["developerspace-isolation", "old"] {
            admin.create(&empty_policy("left-walled", name)).await?;
        }
        admin.create(&role_binding("left-walled", "alice", "edit", &rbac_subject("User", "alice@example.com"))).await?;
        let enforced = json!({"metadata": {"labels": {"developerspace.dev/network-enforced": "true"}}});
        admin.patch(a_namespace("left-walled"), enforced).await.map(drop)
    }
}

/// An empty `NetworkPolicy`.
pub(crate) fn empty_policy(namespace: &str, name: &str) -> Value {
    network_policy(namespace, name, &json!({"podSelector": {}}))
}

/// A class that consents to everything that a class can consent to, except a new owner.
fn generous() -> Value {
    class_spec(&json!({
        "allowRetain": true, "names": {"allowed": ["*", "lan"], "denied": ["prod-*"]},
        "lifetime": {"defaultTTL": "7d", "maxTTL": "30d", "allowProtected": true},
        "metadata": {"allowedKeys": ["example.com/*", "example.org/*", "istio*"], "requiredContact": ["team"]},
    }))
}

/// A class that allows few names, and denies one that it allows.
fn picky() -> Value {
    class_spec(&json!({
        "names": {"allowed": ["alice-lab", "team-*"], "denied": ["alice-lab"]},
        "metadata": {"allowedKeys": ["example.com/*", "example.org/*"]},
    }))
}

/// A class whose owners get the role `edit`, which is the ClusterRole `view`. In its `access`, the operator omits the
/// null and the empty list.
fn aliased() -> Value {
    let access =
        json!({"methods": ["Certificate"], "certificate": {"maxDuration": "1h", "organizations": []}, "token": null});
    class_spec(&json!({"ownerRole": "edit", "roles": [{"name": "edit", "clusterRole": "view"}], "access": access}))
}

/// A class whose owner limit is 0.
fn cramped() -> Value {
    class_spec(
        &json!({"maxSpacesPerOwner": 0, "lifetime": {"defaultTTL": "7d", "maxTTL": "30d", "allowProtected": true}}),
    )
}

fn fleeting() -> Value {
    let warning = format!("{}s", FLEETING_WARNING.num_seconds());
    class_spec(&json!({
        "lifetime": {"defaultTTL": "60s", "maxTTL": "1h", "maxLifetime": "60s", "warnBefore": [warning], "retainExpired": "10s"},
    }))
}

fn class_spec(more: &Value) -> Value {
    let mut spec = json!({
        "roles": [{"name": "edit", "clusterRole": "edit"}, {"name": "view", "clusterRole": "view"}],
        "quota": {"hard": {"requests.cpu": "4", "pods": "20"}, "max": {"requests.cpu": "8"}},
        "limitRange": [{"type": "Container", "default": {"cpu": "200m", "memory": "128Mi"}, "defaultRequest": {"cpu": "20m", "memory": "32Mi"}}],
        "lifetime": {"defaultTTL": "7d", "maxTTL": "30d", "warnBefore": ["1d"]},
        "podSecurity": {"enforce": "baseline"},
        "metadata": {"allowedKeys": ["example.com/*"]},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}
