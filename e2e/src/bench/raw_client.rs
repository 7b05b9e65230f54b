//! Owns the raw client, with which the operator is compared. It makes exactly the writes that the operator makes for a
//! space, in the order of their dependencies, and decides nothing. No client can be faster on the same API server.

use anyhow::{Context, Result};
use chrono::TimeDelta;
use futures::future::try_join_all;
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};

use super::{
    environment::{Environment, space_spec},
    expiry_method::expiry_patch,
    ready::ReadyWatch,
};
use crate::{
    fixtures::{CHILDREN, SOON, a_namespace, a_space, essence, holds, now, space, uid_of},
    wait::eventually,
};

const SPACES: &str = "/apis/developerspace.dev/v1alpha1/developerspaces";
const MERGE: &str = "application/merge-patch+json";

/// A client that repeats the writes of the operator for one space, with the names and UIDs of other spaces.
#[derive(Clone, Debug)]
pub struct RawClient {
    /// The namespace, with placeholders for names and UIDs. The other templates have the same placeholders.
    namespace: String,
    /// The path of the collection and the object, for each child.
    children: Vec<(String, String)>,
    status: String,
    /// The patch of the status at the expiry.
    seal: String,
}

impl RawClient {
    /// Creates a space, and records the writes of the operator for it.
    pub async fn learn(environment: &Environment) -> Result<Self> {
        let name = "recipe-lab";
        environment.create_ready_spaces(&[name.to_owned()]).await?;
        Self::from_space(environment, name).await
    }

    /// Records the objects of a space that is ready, and the seal at its expiry.
    async fn from_space(environment: &Environment, name: &str) -> Result<Self> {
        let space = environment.admin.get(a_space(name)).await?;
        let namespace = environment.admin.get(a_namespace(name)).await?;
        let placeholders = [
            (uid_of(&space).to_owned(), "$SPACE_UID"),
            (uid_of(&namespace).to_owned(), "$HOME_UID"),
            (name.to_owned(), "$NAME"),
        ];
        let with_placeholders = |object: &Value| {
            placeholders
                .iter()
                .fold(object.to_string(), |text, (known, placeholder)| text.replace(known.as_str(), placeholder))
        };
        let mut template = essence(&namespace);
        template.as_object_mut().context("a namespace is an object")?.remove("spec");
        let mut children = vec![];
        for kind in CHILDREN {
            let (version, plural) = api_path(kind)?;
            for child in environment.admin.list(kind, name).await? {
                let mut child = essence(&child);
                child["apiVersion"] = version.trim_start_matches("apis/").trim_start_matches("api/").into();
                child["kind"] = kind.into();
                children.push((format!("/{version}/namespaces/$NAME/{plural}"), with_placeholders(&child)));
            }
        }
        let seal = with_placeholders(&json!({"status": Self::observed_seal(environment, name).await?["status"]}));
        Ok(Self {
            namespace: with_placeholders(&template),
            children,
            status: with_placeholders(&json!({"status": space["status"]})),
            seal,
        })
    }

    /// The patch with which the operator seals a space, as the API server received it.
    async fn observed_seal(environment: &Environment, name: &str) -> Result<Value> {
        let mut audit = environment.cluster.audit_from_now()?;
        environment.admin.patch(a_space(name), expiry_patch(now() + TimeDelta::seconds(3))).await?;
        let entries = tokio::sync::Mutex::new(&mut audit);
        eventually("a space to be sealed", SOON, || async {
            let is_seal = |patch: &Value| holds(patch, "Expired");
            let written = entries
                .lock()
                .await
                .read()?
                .into_iter()
                .filter(|entry| entry.subresource == "status" && entry.name == name);
            Ok(written.filter_map(|entry| entry.request_object).find(is_seal))
        })
        .await
    }

    /// The number of writes for one space: the finalizer, the namespace, the children, the status.
    pub fn write_count(&self) -> usize {
        self.children.len() + 3
    }

    /// Creates the space itself, as the user does, and returns its UID.
    pub async fn create_space(client: &Client, name: &str) -> Result<String> {
        let created =
            send(client, Method::POST, SPACES, "application/json", space(name, space_spec()).to_string()).await?;
        Ok(uid_of(&created).to_owned())
    }

    /// Makes all writes that the operator makes, in the same order: no binding grants access before the limits exist
    /// and, according to `quotas`, are in force.
    pub async fn provision(&self, client: &Client, quotas: &ReadyWatch, name: &str, space: &str) -> Result<()> {
        let path = format!("{SPACES}/{name}");
        let finalizer = json!({"metadata": {"finalizers": ["developerspace.dev/namespace"]}}).to_string();
        send(client, Method::PATCH, &path, MERGE, finalizer).await?;
        let fill = |text: &str| text.replace("$SPACE_UID", space).replace("$NAME", name);
        let namespace =
            send(client, Method::POST, "/api/v1/namespaces", "application/json", fill(&self.namespace)).await?;
        let (bindings, guards): (Vec<_>, Vec<_>) =
            self.children.iter().partition(|(path, _)| path.ends_with("rolebindings"));
        let has_quota = guards.iter().any(|(path, _)| path.ends_with("resourcequotas"));
        for (batch, waits) in [(guards, has_quota), (bindings, false)] {
            let children = batch.into_iter().map(|(path, child)| async move {
                send(client, Method::POST, &path.replace("$NAME", name), "application/json", fill(child)).await
            });
            try_join_all(children).await?;
            if waits {
                quotas.until_one(name, SOON).await?;
            }
        }
        let status = fill(&self.status).replace("$HOME_UID", uid_of(&namespace));
        send(client, Method::PATCH, &format!("{path}/status"), MERGE, status).await.map(drop)
    }

    /// The namespace and the children, or only those of some kinds, as any client could apply them.
    pub fn objects(&self, name: &str, kinds: &[&str]) -> Vec<Value> {
        let all = std::iter::once(&self.namespace).chain(self.children.iter().map(|(_, child)| child));
        let filled = all.filter_map(|text| {
            serde_json::from_str::<Value>(&text.replace("$SPACE_UID", "none").replace("$NAME", name)).ok()
        });
        let mut objects: Vec<Value> =
            filled.filter(|object| kinds.is_empty() || kinds.iter().any(|kind| object["kind"] == *kind)).collect();
        for object in objects.iter_mut().filter(|object| object["kind"] != "Namespace") {
            object["metadata"]["namespace"] = name.into();
        }
        objects
    }

    /// Ends a space as the operator does: writes the seal, then deletes the namespace.
    pub async fn expire(&self, client: &Client, name: &str) -> Result<()> {
        // The UID of the namespace differs each time, so another UID of the same length replaces it.
        let seal = self.seal.replace("$NAME", name).replace("$HOME_UID", "00000000-0000-0000-0000-000000000000");
        send(client, Method::PATCH, &format!("{SPACES}/{name}/status"), MERGE, seal).await?;
        send(client, Method::DELETE, &format!("/api/v1/namespaces/{name}"), "application/json", "{}".to_owned())
            .await
            .map(drop)
    }
}

fn api_path(kind: &str) -> Result<(&'static str, &'static str)> {
    match kind {
        "ResourceQuota" => Ok(("api/v1", "resourcequotas")),
        "LimitRange" => Ok(("api/v1", "limitranges")),
        "NetworkPolicy" => Ok(("apis/networking.k8s.io/v1", "networkpolicies")),
        "RoleBinding" => Ok(("apis/rbac.authorization.k8s.io/v1", "rolebindings")),
        other => anyhow::bail!("there is no recipe for {other}"),
    }
}

async fn send(client: &Client, method: Method, path: &str, content: &str, body: String) -> Result<Value> {
    let request =
        Request::builder().method(method.clone()).uri(path).header("Content-Type", content).body(body.into_bytes())?;
    client.request(request).await.with_context(|| format!("{method} {path}"))
}
