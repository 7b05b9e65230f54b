//! The cluster that is attacked: who is on it, what is theirs, and what they hold.

use anyhow::{Result, bail, ensure};
use e2e::fixtures::{Actor, World, at, binding, class, namespace, space, user};
use e2e::{kubeconfig, operator};
use serde_json::{Value, json};

/// A cluster on which people help themselves.
pub struct Stage {
    pub world: World,
    /// Owns `alice-lab`, `alice-walled` and `alice-kept`.
    pub alice: Actor,
    /// May write namespaces too, as a script of the platform might: of Alice's group, and owner of nothing.
    pub bob: Actor,
    /// Owns `carol-lab`.
    pub carol: Actor,
    /// Holds the verb `assign`, as a portal does.
    pub dave: Actor,
    /// A ServiceAccount that may write spaces, and use no class.
    pub pipeline: Actor,
    /// The operator's own token, in somebody's hands.
    pub thief: Actor,
}

/// A class of which anybody here may have many.
pub const CLASS: &str = "lab";

impl Stage {
    pub async fn set() -> Result<Self> {
        let world = World::self_service(&[]).await?;
        let admin = world.admin();
        for (name, spec) in [
            (CLASS, class_spec(&json!({}))),
            ("giving", class_spec(&json!({"allowTransfer": true}))),
            ("walled", class_spec(&json!({"network": {"isolation": "Namespace", "enforced": true}}))),
        ] {
            admin.create(&class(name, spec)).await?;
            world.accepted(name).await?;
        }
        for role in [
            role(
                "uses-labs",
                &json!([{"apiGroups": ["developerspace.dev"], "resources": ["spaceclasses"], "resourceNames": [CLASS, "giving", "walled"], "verbs": ["use"]}]),
            ),
            role(
                "writes-namespaces",
                &json!([{"apiGroups": [""], "resources": ["namespaces", "namespaces/status", "namespaces/finalize"],
                    "verbs": ["get", "list", "create", "update", "patch", "delete"]}]),
            ),
        ] {
            admin.create(&role).await?;
        }
        for (kind, name, role) in
            [("Group", "payments", "uses-labs"), ("Group", "checkout", "uses-labs"), ("User", "bob@example.com", "writes-namespaces")]
        {
            admin.create(&binding(kind, name, role)).await?;
        }
        admin.create(&namespace("plain", json!({}), json!({}))).await?;
        admin
            .create(&role(
                "makes-spaces",
                &json!([{"apiGroups": ["developerspace.dev"], "resources": ["developerspaces"], "verbs": ["create"]}]),
            ))
            .await?;
        let pipeline = Actor::new(kubeconfig::client(&world.account("pipeline", "makes-spaces").await?).await?);
        let thief = operator::write_kubeconfig(world.cluster(), "thief", None).await?;
        let thief = Actor::new(kubeconfig::client(&thief).await?);
        let [alice, bob, carol, dave] = ["alice", "bob", "carol", "dave"].map(|name| format!("{name}@example.com"));
        let (alice, bob, carol, dave) =
            (world.actor(&alice).await?, world.actor(&bob).await?, world.actor(&carol).await?, world.actor(&dave).await?);
        let stage = Self { world, alice, bob, carol, dave, pipeline, thief };
        stage.fill().await?;
        Ok(stage)
    }

    /// Whose credentials an attack uses.
    pub fn actor(&self, name: &str) -> Result<&Actor> {
        match name {
            "alice" => Ok(&self.alice),
            "bob" => Ok(&self.bob),
            "pipeline" => Ok(&self.pipeline),
            "thief" => Ok(&self.thief),
            "admin" => Ok(self.world.admin()),
            other => bail!("nobody here is called {other}"),
        }
    }

    /// People make what is theirs, by their own rights.
    async fn fill(&self) -> Result<()> {
        for (owner, name, spec) in [
            (&self.alice, "alice-lab", json!({"className": CLASS, "owner": user("alice@example.com")})),
            (&self.alice, "alice-walled", json!({"className": "walled", "owner": user("alice@example.com")})),
            (&self.alice, "alice-kept", json!({"className": CLASS, "owner": user("alice@example.com"), "protected": true})),
            (&self.carol, "carol-lab", json!({"className": CLASS, "owner": user("carol@example.com"), "contact": {"team": "checkout"}})),
        ] {
            owner.create(&space(name, spec)).await?;
        }
        for name in ["alice-lab", "alice-walled", "alice-kept", "carol-lab"] {
            self.world.ready(name).await?;
        }
        // The last that the control plane itself writes there: until then the space is not at rest.
        self.world
            .until("to be counted", at("ResourceQuota", "carol-lab", "developerspace"), |quota| {
                ensure!(quota["status"]["used"].is_object(), "its status is {}", quota["status"]);
                Ok(())
            })
            .await
            .map(drop)
    }
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

fn role(name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})
}
