//! The cluster that the kubeconfig and kubectl's flags name, and a client for it.

use std::{io, sync::Arc};

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, Utc};
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use kube::{
    Api, Client, Config,
    api::PostParams,
    config::{Cluster as Endpoint, KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::{
    api_error::{ApiContext, innermost_cause},
    args::KubectlArgs,
    flags::Flags,
};
use crate::{
    client::{self, Listeners},
    clock::{Clock, ServerCheckedClock},
};

#[cfg(test)]
pub(crate) use self::tests::fake_cluster;

/// The API server that requests are sent to, and the credentials that they carry.
pub(crate) struct Cluster {
    /// A client with the user's credentials.
    pub(crate) client: Client,
    /// The cluster entry of the kubeconfig, for the kubeconfigs that the plugin writes.
    pub(crate) endpoint: Endpoint,
    /// The namespace of the current context.
    pub(crate) namespace: String,
    /// The flags of this run, for the commands that the plugin prints.
    pub(crate) flags: Flags,
    /// The local clock, checked against the time of the API server.
    pub(crate) clock: Arc<ServerCheckedClock>,
}

/// The name of this program in the log of the API server.
pub(crate) const USER_AGENT: &str = concat!("kubectl-dspace/", env!("CARGO_PKG_VERSION"));

impl Cluster {
    /// Reads the kubeconfig and creates a client. Sends no request.
    pub(crate) async fn connect(args: &KubectlArgs) -> anyhow::Result<Self> {
        let (mut config, endpoint) = configuration(args).await?;
        if let Some(user) = &args.as_user {
            config.auth_info.impersonate = Some(user.clone());
            config.auth_info.impersonate_groups = (!args.as_group.is_empty()).then(|| args.as_group.clone());
        }
        config.read_timeout = args.request_timeout.0;
        let namespace = config.default_namespace.clone();
        let clock = Arc::new(ServerCheckedClock::for_a_command());
        let client =
            client::for_config(config, Listeners { clock: clock.clone(), ..Listeners::default() }, USER_AGENT)?;
        Ok(Self { client, endpoint, namespace, flags: Flags::new(args), clock })
    }

    /// The current time. If a response has shown that the local clock is wrong, this is the time of the API server.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The user that the caller is authenticated as,
    /// see <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#self-subject-review>.
    pub(crate) async fn whoami(&self) -> anyhow::Result<UserInfo> {
        whoami(&self.client).await
    }
}

/// The user that this client is authenticated as.
pub(crate) async fn whoami(client: &Client) -> anyhow::Result<UserInfo> {
    let review = Api::<SelfSubjectReview>::all(client.clone())
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    let review = review.context_api(|| "get the current user".to_owned())?;
    review.status.and_then(|status| status.user_info).context("the cluster did not return the current user")
}

/// Reads the kubeconfig. If none exists and none is named, uses the ServiceAccount of the pod.
async fn configuration(args: &KubectlArgs) -> anyhow::Result<(Config, Endpoint)> {
    let kubeconfig = match &args.kubeconfig {
        Some(file) => Kubeconfig::read_from(file).map_err(|error| {
            anyhow!("failed to read the kubeconfig {}: {}", file.display(), innermost_cause(&error))
        })?,
        None => match Kubeconfig::read() {
            Ok(kubeconfig) => kubeconfig,
            Err(error) => {
                let is_named = !matches!(Kubeconfig::from_env(), Ok(None));
                if is_for_pods(args, is_named, &error)
                    && let Ok(config) = Config::incluster()
                {
                    return in_pod(config);
                }
                bail!(
                    "failed to read the kubeconfig: {}: set KUBECONFIG, or specify one with --kubeconfig",
                    innermost_cause(&error)
                )
            }
        },
    };
    let options =
        KubeConfigOptions { context: args.context.clone(), cluster: args.cluster.clone(), user: args.user.clone() };
    let endpoint = endpoint(&kubeconfig, args)?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let config = config.map_err(|error| anyhow!("the kubeconfig cannot be used: {}", innermost_cause(&error)))?;
    Ok((config, endpoint))
}

/// Returns true if the configuration of the pod applies: no kubeconfig exists, neither KUBECONFIG nor a flag names one,
/// and no flag selects an entry of it. Otherwise the command would act on the cluster of the pod instead of the cluster
/// that was named.
fn is_for_pods(args: &KubectlArgs, is_named: bool, error: &KubeconfigError) -> bool {
    let KubectlArgs { kubeconfig, context, cluster, user, as_user: _, as_group: _, request_timeout: _ } = args;
    let selects = kubeconfig.is_some() || context.is_some() || cluster.is_some() || user.is_some();
    let is_missing = match error {
        KubeconfigError::FindPath => true,
        KubeconfigError::ReadConfig(error, _) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    };
    !is_named && !selects && is_missing
}

fn in_pod(config: Config) -> anyhow::Result<(Config, Endpoint)> {
    let file = config.root_cert_file.as_ref().map(|file| file.to_string_lossy().into_owned());
    let endpoint = serde_json::json!({"server": config.cluster_url.to_string(), "certificate-authority": file});
    Ok((config, serde_json::from_value(endpoint)?))
}

/// The cluster entry of the kubeconfig that the flags select.
fn endpoint(kubeconfig: &Kubeconfig, args: &KubectlArgs) -> anyhow::Result<Endpoint> {
    let context = args.context.as_ref().or(kubeconfig.current_context.as_ref());
    let of_context = || {
        let named = kubeconfig.contexts.iter().find(|named| Some(&named.name) == context)?;
        Some(named.context.as_ref()?.cluster.clone())
    };
    let Some(name) = args.cluster.clone().or_else(of_context) else {
        match context {
            Some(context) => {
                bail!("the kubeconfig has no context {context:?}: `kubectl config get-contexts` lists them")
            }
            None => bail!(
                "the kubeconfig has no current context: specify one with --context, or run `kubectl config use-context`"
            ),
        }
    };
    let entry = kubeconfig.clusters.iter().find(|named| named.name == name);
    entry.and_then(|named| named.cluster.clone()).with_context(|| format!("the kubeconfig has no cluster {name:?}"))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    /// A cluster whose API server responds to each request with the code and the body that `answer` returns.
    pub(crate) fn fake_cluster(answer: impl Fn(&Request<Body>) -> (u16, Value) + Send + 'static) -> Cluster {
        let service = tower::service_fn(move |request: Request<Body>| {
            let (code, body) = answer(&request);
            ready(Response::builder().status(code).body(Body::from(body.to_string().into_bytes())))
        });
        let endpoint = Endpoint { server: Some("https://10.0.0.1:6443".to_owned()), ..Endpoint::default() };
        let namespace = "default".to_owned();
        Cluster {
            client: Client::new(service, "default"),
            endpoint,
            namespace,
            flags: Flags::default(),
            clock: Arc::default(),
        }
    }

    #[test]
    fn a_pod_uses_its_own_cluster_only_if_no_other_cluster_is_named() {
        let unread = |kind: io::ErrorKind| KubeconfigError::ReadConfig(kind.into(), "/home/ines/.kube/config".into());
        let broken = || Kubeconfig::from_yaml("a: [").unwrap_err();
        let missing = || unread(io::ErrorKind::NotFound);
        let plain = KubectlArgs::default();
        let name = || Some("staging".to_owned());
        for (args, is_named, error, expected) in [
            (plain.clone(), false, missing(), true),
            (plain.clone(), false, KubeconfigError::FindPath, true),
            (KubectlArgs { as_user: name(), ..plain.clone() }, false, missing(), true),
            (plain.clone(), true, missing(), false),
            (plain.clone(), false, unread(io::ErrorKind::PermissionDenied), false),
            (plain.clone(), false, broken(), false),
            (KubectlArgs { context: name(), ..plain.clone() }, false, missing(), false),
            (KubectlArgs { cluster: name(), ..plain.clone() }, false, missing(), false),
            (KubectlArgs { user: name(), ..plain.clone() }, false, missing(), false),
            (KubectlArgs { kubeconfig: Some("/k".into()), ..plain }, false, missing(), false),
        ] {
            assert_eq!(is_for_pods(&args, is_named, &error), expected, "{args:?} {is_named} {error}");
        }
    }
}
