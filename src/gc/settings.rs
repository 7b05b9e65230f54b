//! The settings that a sweep shares with the controller. A sweep by hand has neither the flag nor the variable of the
//! CronJob, and must not delete namespaces that the controller protects: it reads the ConfigMap that both use.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{Api, Client, ResourceExt, api::ListParams};

use crate::{
    api::{
        names, protected_namespaces::ProtectedNamespaces, text::shorten, without_managed_fields::WithoutManagedFields,
    },
    cli::{self, GcArgs},
    runtime::error::Error,
};

/// The page size: users can make their ConfigMaps large, and a whole page is in memory.
const PAGE_SIZE: u32 = 10;

/// The most bytes of an invalid value that a refusal quotes.
const MAX_QUOTED_BYTES: usize = 128;

/// The remedy that ends every refusal.
const SET_THE_FLAG: &str = "set --protected-namespaces to the names that this sweep must not delete";

/// Returns the protected names of the flag or the variable. If neither is set, not even to an empty value, returns
/// those of the ConfigMap. The error is the message of a refusal: the list cannot be read or is invalid, or the
/// operator is installed in another namespace than the one that was named.
pub async fn protected(client: &Client, args: &GcArgs) -> Result<ProtectedNamespaces, String> {
    let namespace = &args.common.operator_namespace;
    if !args.common.protected_namespaces.is_empty() {
        return Ok(ProtectedNamespaces::new(namespace, &args.common.protected_namespaces));
    }
    let patterns = match settings(client, namespace).await {
        Ok(Some(settings)) => patterns(namespace, &settings)?,
        Ok(None) => {
            refuse_others(client, args).await?;
            tracing::warn!(
                namespace,
                configmap = names::SETTINGS,
                "the settings of the operator were not found, so only the names that are always protected are excluded; set --operator-namespace or \
                 --protected-namespaces"
            );
            Vec::new()
        }
        Err(error) => {
            refuse_unread(args, &error)?;
            Vec::new()
        }
    };
    Ok(ProtectedNamespaces::new(namespace, &patterns))
}

async fn settings(client: &Client, namespace: &str) -> Result<Option<ConfigMap>, Error> {
    let found =
        Api::<WithoutManagedFields<ConfigMap>>::namespaced(client.clone(), namespace).get_opt(names::SETTINGS).await;
    let found = found.map_err(Error::api(format!("read ConfigMap {} in namespace {namespace}", names::SETTINGS)))?;
    Ok(found.map(|WithoutManagedFields(settings)| settings))
}

/// Returns the patterns of the ConfigMap, validated as those of the command line: an invalid pattern matches no
/// namespace and protects none.
fn patterns(namespace: &str, settings: &ConfigMap) -> Result<Vec<String>, String> {
    let (name, key) = (names::SETTINGS, names::PROTECTED_NAMESPACES);
    let value = settings.data.as_ref().and_then(|data| data.get(key)).map(String::as_str).unwrap_or_default();
    let patterns: Result<Vec<String>, String> = value.split(',').map(cli::pattern).collect();
    patterns.map_err(|error| {
        let value = shorten(value, MAX_QUOTED_BYTES);
        format!("{key} in ConfigMap {name} in namespace {namespace} is {value:?}; it {error}: correct the ConfigMap, or {SET_THE_FLAG}")
    })
}

/// Refuses a sweep that could not read the list. An account that may not read it continues with a warning, and so does
/// a dry run, which deletes nothing.
fn refuse_unread(args: &GcArgs, error: &Error) -> Result<(), String> {
    let sentence = error.sentence();
    if args.dry_run || is_forbidden(error) {
        tracing::warn!(
            error = sentence,
            "the protected namespaces of the operator are unknown, so only the names that are always protected are excluded; set \
             --protected-namespaces"
        );
        return Ok(());
    }
    Err(format!(
        "{sentence}; without the protected namespaces, the sweep could delete a namespace that the controller protects: run the sweep again, or \
         {SET_THE_FLAG}"
    ))
}

fn is_forbidden(error: &Error) -> bool {
    let Error::Api { source, .. } = error else { return false };
    matches!(&**source, kube::Error::Api(status) if status.is_forbidden())
}

/// Refuses a sweep if another namespace has the settings of an operator.
async fn refuse_others(client: &Client, args: &GcArgs) -> Result<(), String> {
    let homes = match homes(client).await {
        Ok(homes) => homes,
        Err(error) => return refuse_unread(args, &error),
    };
    let (name, named, operator) = (names::SETTINGS, &args.common.operator_namespace, names::OPERATOR);
    let places = match homes.as_slice() {
        [] => return Ok(()),
        [home] => format!("namespace {home} has one"),
        several => format!("the namespaces {} have one", several.join(", ")),
    };
    Err(format!(
        "namespace {named} has no ConfigMap {name} with the protected namespaces, and {places}: set --operator-namespace to the namespace that the \
         operator runs in, which `kubectl get clusterrolebinding {operator} -o wide` shows, or {SET_THE_FLAG}"
    ))
}

/// Returns the namespaces that have a ConfigMap of that name and may be the operator's.
async fn homes(client: &Client) -> Result<Vec<String>, Error> {
    let api = Api::<WithoutManagedFields<ConfigMap>>::all(client.clone());
    let mut params = ListParams::default().fields(&format!("metadata.name={}", names::SETTINGS)).limit(PAGE_SIZE);
    let mut homes = Vec::new();
    loop {
        let page = api
            .list(&params)
            .await
            .map_err(Error::api(format!("list the ConfigMaps {} in all namespaces", names::SETTINGS)))?;
        for namespace in page.items.iter().filter_map(ResourceExt::namespace) {
            if may_be_home(client, &namespace).await? {
                homes.push(namespace);
            }
        }
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(homes),
        }
    }
}

/// Returns true if `namespace` may be the operator's. The namespace of a space is not, and neither is one that a space
/// released: its users can create a ConfigMap of any name.
async fn may_be_home(client: &Client, namespace: &str) -> Result<bool, Error> {
    let found = Api::<WithoutManagedFields<Namespace>>::all(client.clone()).get_opt(namespace).await;
    match found.map_err(Error::api(format!("read namespace {namespace}"))) {
        Ok(found) => Ok(found.is_some_and(|found| !is_or_was_of_a_space(&found))),
        Err(error) if is_forbidden(&error) => {
            tracing::warn!(
                namespace,
                configmap = names::SETTINGS,
                "a namespace with this ConfigMap cannot be read and is ignored"
            );
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn is_or_was_of_a_space(namespace: &Namespace) -> bool {
    let (labels, annotations) = (namespace.labels(), namespace.annotations());
    let is_managed = labels.get(names::LABEL_MANAGED_BY).is_some_and(|by| by == names::OPERATOR);
    let is_claimed = annotations.contains_key(names::ANNOTATION_SPACE_UID);
    let is_released =
        labels.contains_key(names::LABEL_RELEASED) || annotations.contains_key(names::ANNOTATION_RELEASED_FROM);
    is_managed || is_claimed || is_released
}
