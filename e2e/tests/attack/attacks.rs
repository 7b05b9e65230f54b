//! Carries out the attacks of `attacks.yaml`.

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    eventually,
    fixtures::{Actor, At, SOON, at, cluster_wide, code, name_of, refusal},
    mutations::merge,
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    bystanders::{bystanders, ensure_unchanged},
    setup::AttackSetup,
};

/// One line of the table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attack {
    name: String,
    by: String,
    create: Option<Value>,
    patch: Option<Value>,
    put: Option<Value>,
    delete: Option<ObjectRef>,
    get: Option<ObjectRef>,
    at: Option<ObjectRef>,
    #[serde(default)]
    subresource: String,
    stopped_by: Option<String>,
    says: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ObjectRef {
    kind: String,
    name: String,
    #[serde(default)]
    namespace: String,
}

impl ObjectRef {
    fn at(&self) -> At<'_> {
        at(&self.kind, &self.namespace, &self.name)
    }
}

fn read_attacks() -> Result<Vec<Attack>> {
    serde_saphyr::from_str(include_str!("attacks.yaml")).context("attacks.yaml cannot be read")
}

pub(crate) async fn every_attack_is_refused(setup: &AttackSetup) -> Result<()> {
    let admin = setup.world.admin();
    let before = bystanders(admin).await?;
    let mut failures = vec![];
    for attack in read_attacks()? {
        if let Err(error) = attack.ensure_refused(setup, setup.actor(&attack.by)?).await {
            failures.push(format!("{}: {error:#}", attack.name));
        }
        ensure_unchanged(admin, &before).await.with_context(|| attack.name)?;
    }
    ensure!(failures.is_empty(), "{} attacks:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}

/// Without a binding of a policy, the attacks that it stops succeed, which shows that it is needed. They run as dry
/// runs, so that they do no harm.
pub(crate) async fn each_policy_stops_its_attacks(setup: &AttackSetup) -> Result<()> {
    let admin = setup.world.admin();
    let before = bystanders(admin).await?;
    let (table, bindings) = (read_attacks()?, admin.list("ValidatingAdmissionPolicyBinding", "").await?);
    ensure!(bindings.len() == 21, "there are {} bindings", bindings.len());
    for name in bindings.iter().map(name_of) {
        let binding = cluster_wide("ValidatingAdmissionPolicyBinding", name);
        let mut kept = admin.get(binding).await?;
        let attacks: Vec<&Attack> = table.iter().filter(|attack| attack.stopped_by.as_deref() == Some(name)).collect();
        ensure!(!attacks.is_empty(), "nothing attacks {name}");
        admin.delete(binding).await?;
        let succeeded = eventually(&format!("the attacks to succeed without {name}"), SOON, || async {
            for attack in &attacks {
                attack
                    .attempt(setup, &setup.actor(&attack.by)?.dry_run())
                    .await
                    .with_context(|| attack.name.clone())?;
            }
            Ok(Some(()))
        })
        .await;
        for key in ["uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"] {
            kept["metadata"].as_object_mut().context("a binding has metadata")?.remove(key);
        }
        admin.create(&kept).await?;
        eventually(&format!("{name} to be in force again"), SOON, || async {
            for attack in &attacks {
                attack
                    .ensure_refused(setup, &setup.actor(&attack.by)?.dry_run())
                    .await
                    .with_context(|| attack.name.clone())?;
            }
            Ok(Some(()))
        })
        .await?;
        succeeded?;
    }
    ensure_unchanged(admin, &before).await
}

impl Attack {
    async fn ensure_refused(&self, setup: &AttackSetup, by: &Actor) -> Result<()> {
        let outcome = self.attempt(setup, by).await;
        if let Err(error) = &outcome {
            ensure!(matches!(code(error), Some(403 | 422)), "{error:#}");
        }
        let sentence = refusal(outcome)?;
        ensure!(sentence.contains(&self.says), "wanted {:?}, it says: {sentence}", self.says);
        Ok(())
    }

    async fn attempt(&self, setup: &AttackSetup, by: &Actor) -> Result<Value> {
        let (at, subresource) = (self.at.as_ref().map(ObjectRef::at), self.subresource.as_str());
        match (&self.create, &self.patch, &self.put, at) {
            (Some(object), None, None, None) => by.create(object).await,
            (Some(object), None, None, Some(at)) => by.create_subresource(at, subresource, object).await,
            (None, Some(patch), None, Some(at)) if subresource == "status" => by.patch_status(at, patch.clone()).await,
            (None, Some(patch), None, Some(at)) => by.patch(at, patch.clone()).await,
            (None, None, Some(patch), Some(at)) => {
                let mut object = setup.world.admin().get(at).await?;
                merge(&mut object, patch);
                if subresource.is_empty() {
                    by.replace(at, &object).await
                } else {
                    by.replace_subresource(at, subresource, &object).await
                }
            }
            _ => match (&self.delete, &self.get) {
                (Some(object), None) => by.delete(object.at()).await.map(|()| Value::Null),
                (None, Some(object)) => by.get(object.at()).await,
                _ => bail!("{} tries nothing", self.name),
            },
        }
    }
}
