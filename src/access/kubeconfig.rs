//! Kubeconfig files: one cluster, one user and one context with the space's namespace set, written whole or not at all,
//! see <https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/>.
//!
//! Files are handled as plain values, so that the entries of other programs stay.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use kube::config::Cluster as Endpoint;
use serde_json::{Value, json};

use crate::api::{ServerAccess, names};

/// The reason why no file is written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It exists and is not a kubeconfig for that space alone.
    #[error("{0} exists and is not a kubeconfig for DeveloperSpace {1} only: add to it with --merge, or write another file with -o")]
    Exists(PathBuf, String),
    /// It cannot be read.
    #[error("failed to read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// It is not a kubeconfig.
    #[error("{0} is not a kubeconfig ({1}) and was not changed: write another file with -o")]
    Broken(PathBuf, String),
    /// An entry of that name exists and is not the plugin's.
    #[error("{file} already contains a different {kind} {name:?} and was not changed: write another file with -o")]
    Taken {
        /// The file.
        file: PathBuf,
        /// `context` or `user`.
        kind: &'static str,
        /// The name of the entry.
        name: String,
    },
    /// Its cluster entry has another certificate authority.
    #[error(
        "{file} already contains cluster {name:?} with another certificate authority and was not changed: if the authority of the cluster has changed, delete this entry from the file, and run this command again; otherwise, write another file with -o"
    )]
    AnotherAuthority {
        /// The file.
        file: PathBuf,
        /// The name of the entry.
        name: String,
    },
    /// It cannot be written.
    #[error("failed to write {0} (nothing was changed)")]
    Write(PathBuf, #[source] io::Error),
    /// The authority's file cannot be read.
    #[error("failed to read the certificate authority {0} of the current kubeconfig")]
    Authority(String, #[source] io::Error),
    /// It cannot be serialised.
    #[error("failed to write a kubeconfig as YAML: {0}")]
    Yaml(String),
}

/// The credential of a user.
#[derive(Clone, Debug, PartialEq)]
pub enum Credential {
    /// A client certificate and its key, PEM.
    Certificate {
        /// The certificate.
        certificate: String,
        /// Its key.
        key: String,
    },
    /// A bearer token.
    Token(String),
    /// A credential plugin that kubectl runs, as in `users[].user.exec`.
    Exec(Value),
}

/// The space and the user of a kubeconfig.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The space, which is the context's name and its namespace.
    pub space: &'a str,
    /// The user's name as the cluster knows it.
    pub user: &'a str,
}

/// The cluster entry: that of the kubeconfig in use, with the settings of the class. Files are embedded, so that the result can be passed on to
/// another user. If the class sets the address, the administrator's own proxy, TLS server name and `insecure-skip-tls-verify` are omitted. A password
/// of a proxy is always omitted.
pub fn cluster(endpoint: &Endpoint, server: Option<&ServerAccess>) -> Result<Value, Error> {
    let mut entry = json!({"server": endpoint.server.as_deref().map(without_userinfo)});
    let data = match (&endpoint.certificate_authority_data, &endpoint.certificate_authority) {
        (Some(data), _) => Some(data.clone()),
        (None, Some(file)) => Some(base64(&fs::read(file).map_err(|error| Error::Authority(file.clone(), error))?)),
        (None, None) => None,
    };
    let own = [
        ("certificate-authority-data", data.map(Value::from)),
        ("tls-server-name", endpoint.tls_server_name.clone().map(Value::from)),
        ("proxy-url", endpoint.proxy_url.as_deref().map(|url| without_userinfo(url).into())),
        ("insecure-skip-tls-verify", endpoint.insecure_skip_tls_verify.filter(|skip| *skip).map(Value::from)),
    ];
    for (key, value) in own {
        if let Some(value) = value {
            entry[key] = value;
        }
    }
    if let Some(ServerAccess { url, certificate_authority, tls_server_name }) = server {
        if let Some(url) = url {
            entry["server"] = url.as_str().into();
            if let Some(entry) = entry.as_object_mut() {
                entry.retain(|key, _| !["tls-server-name", "proxy-url", "insecure-skip-tls-verify"].contains(&key.as_str()));
            }
        }
        if let Some(pem) = certificate_authority {
            entry["certificate-authority-data"] = base64(pem.as_bytes()).into();
            entry.as_object_mut().map(|entry| entry.remove("insecure-skip-tls-verify"));
        }
        if let Some(name) = tls_server_name {
            entry["tls-server-name"] = name.as_str().into();
        }
    }
    Ok(entry)
}

/// A URL without the user and the password in it, see <https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1>.
fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    format!("{scheme}://{host}{}", &rest[end..])
}

/// Returns true if the address of a kubeconfig entry reaches the machine that it is on, and no other.
pub fn is_loopback(cluster: &Value) -> bool {
    let server = cluster["server"].as_str().and_then(|server| server.parse::<http::Uri>().ok());
    let host = server.as_ref().and_then(http::Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

pub(super) fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A whole kubeconfig.
pub fn document(owner: Owner<'_>, cluster: &Value, credential: &Credential) -> Value {
    let Owner { space, user } = owner;
    let user_entry = match credential {
        Credential::Certificate { certificate, key } => {
            json!({"client-certificate-data": base64(certificate.as_bytes()), "client-key-data": base64(key.as_bytes())})
        }
        Credential::Token(token) => json!({"token": token}),
        Credential::Exec(exec) => json!({"exec": exec}),
    };
    let server = cluster["server"].as_str().unwrap_or_default();
    let place = server.split_once("://").map_or(server, |(_, place)| place).trim_end_matches('/');
    let (cluster_name, user_name) = (format!("{space}@{place}"), format!("{space}/{user}"));
    // Identifies the entries that the plugin wrote.
    let mark = json!([{"name": names::GROUP, "extension": {"space": space, "server": server}}]);
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster_name, "cluster": cluster}],
        "users": [{"name": user_name, "user": user_entry}],
        "contexts": [{"name": space, "context": {"cluster": cluster_name, "user": user_name, "namespace": space, "extensions": mark}}],
        "current-context": space,
    })
}

/// The treatment of an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Replaces only a file that the plugin wrote for the same space.
    Replace,
    /// Keeps everything else in the file.
    Merge,
}

/// The content to write, or the reason why it cannot be written. Called before a credential is issued, and again before the file is written.
pub fn compose(file: &Path, document: &Value, existing: Existing) -> Result<Value, Error> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(document.clone()),
        Err(error) => return Err(Error::Read(file.to_owned(), error)),
    };
    let space = document["current-context"].as_str().unwrap_or_default();
    let old = if text.trim().is_empty() { Ok(Value::Null) } else { serde_saphyr::from_str::<Value>(&text) };
    match (old, existing) {
        (Ok(old), Existing::Replace) if is_ours_alone(&old, document) => {
            check_authority(file, &old, document)?;
            Ok(document.clone())
        }
        (_, Existing::Replace) => Err(Error::Exists(file.to_owned(), space.to_owned())),
        (Ok(old), Existing::Merge) if is_kubeconfig(&old) => merge(file, old, document),
        (Ok(_), Existing::Merge) => Err(Error::Broken(file.to_owned(), "it has no lists of clusters, users and contexts".to_owned())),
        (Err(error), Existing::Merge) => {
            let first = error.to_string().lines().next().unwrap_or_default().to_owned();
            Err(Error::Broken(file.to_owned(), first))
        }
    }
}

const LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// Returns true for a kubeconfig; kubectl accepts an empty file as one.
fn is_kubeconfig(value: &Value) -> bool {
    value.is_null() || (value.is_object() && LISTS.iter().all(|list| value.get(list).is_none_or(|list| list.is_array() || list.is_null())))
}

fn mark(context: &Value) -> Option<&Value> {
    let extensions = context["context"]["extensions"].as_array()?;
    extensions.iter().find(|extension| extension["name"] == names::GROUP).map(|extension| &extension["extension"])
}

/// Returns true if the file contains one context only, which the plugin wrote for the same space of the same server.
fn is_ours_alone(old: &Value, document: &Value) -> bool {
    let contexts = old["contexts"].as_array().map(Vec::as_slice).unwrap_or_default();
    matches!(contexts, [only] if mark(only).is_some() && mark(only) == mark(&document["contexts"][0]))
}

/// Returns an error if the file contains the cluster entry with another certificate authority. Several clusters can have one address, for example
/// through tunnels.
fn check_authority(file: &Path, old: &Value, document: &Value) -> Result<(), Error> {
    let cluster = &document["clusters"][0];
    let known = old["clusters"].as_array().into_iter().flatten().find(|entry| entry["name"] == cluster["name"]);
    match (known.and_then(authority), authority(cluster)) {
        (Some(known), Some(ours)) if known != ours => {
            let name = cluster["name"].as_str().unwrap_or_default().to_owned();
            Err(Error::AnotherAuthority { file: file.to_owned(), name })
        }
        _ => Ok(()),
    }
}

/// The certificate authority of a cluster entry as PEM without whitespace, since programs break its lines in different ways.
fn authority(cluster: &Value) -> Option<String> {
    use base64::Engine as _;
    let data: String = cluster["cluster"]["certificate-authority-data"].as_str()?.split_whitespace().collect();
    let pem = base64::engine::general_purpose::STANDARD.decode(&data);
    let pem = pem.map_or(data, |pem| String::from_utf8_lossy(&pem).into_owned());
    Some(pem.split_whitespace().collect())
}

/// Adds the entries of `document`, which replace those of the same names. Its context becomes the current one.
fn merge(file: &Path, mut old: Value, document: &Value) -> Result<Value, Error> {
    if old.is_null() {
        return Ok(document.clone());
    }
    let context = &document["contexts"][0];
    let theirs = old["contexts"].as_array().into_iter().flatten().find(|entry| entry["name"] == context["name"]);
    if theirs.is_some_and(|theirs| mark(theirs) != mark(context)) {
        let name = context["name"].as_str().unwrap_or_default().to_owned();
        return Err(Error::Taken { file: file.to_owned(), kind: "context", name });
    }
    check_authority(file, &old, document)?;
    // A renamed context may still use that user for another server, which would receive the new credential.
    let user = &context["context"]["user"];
    if old["contexts"].as_array().into_iter().flatten().any(|entry| entry["context"]["user"] == *user && mark(entry) != mark(context)) {
        let name = user.as_str().unwrap_or_default().to_owned();
        return Err(Error::Taken { file: file.to_owned(), kind: "user", name });
    }
    for list in LISTS {
        let ours = &document[list][0];
        let mut entries = old[list].as_array().cloned().unwrap_or_default();
        entries.retain(|entry| entry["name"] != ours["name"]);
        entries.push(ours.clone());
        old[list] = entries.into();
    }
    for key in ["apiVersion", "kind", "current-context"] {
        old[key] = document[key].clone();
    }
    Ok(old)
}

/// The text of a kubeconfig.
pub fn text(document: &Value) -> Result<String, Error> {
    serde_saphyr::to_string(document).map_err(|error| Error::Yaml(error.to_string()))
}

/// Writes a file that only its owner may read. The write is atomic: a reader sees the old or the new content.
pub fn write(file: &Path, document: &Value) -> Result<(), Error> {
    let failed = |error: io::Error| Error::Write(file.to_owned(), error);
    // Follows a symbolic link, so that the link is kept.
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // Created with mode 0600.
    let mut scratch = tempfile::Builder::new().prefix(".kubeconfig-").tempfile_in(folder).map_err(failed)?;
    scratch.write_all(text(document)?.as_bytes()).and_then(|()| scratch.as_file().sync_all()).map_err(failed)?;
    scratch.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Checks that the file can be written, before a credential is issued.
pub fn check_writable(file: &Path) -> Result<(), Error> {
    let target = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let failed = |error: io::Error| Error::Write(file.to_owned(), error);
    if fs::metadata(&target).is_ok_and(|found| found.permissions().readonly()) {
        return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only")));
    }
    tempfile::Builder::new().prefix(".kubeconfig-").tempfile_in(folder).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn a_document(space: &str) -> Value {
        let cluster = json!({"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="});
        document(Owner { space, user: "nadia@example.com" }, &cluster, &Credential::Token("secret-7".into()))
    }

    #[test]
    fn the_context_has_the_namespace() {
        let extensions = json!([{"name": "developerspace.dev", "extension": {"space": "orchid-lab", "server": "https://127.0.0.1:6443"}}]);
        let expected = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "orchid-lab@127.0.0.1:6443", "cluster": {"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="}}],
            "users": [{"name": "orchid-lab/nadia@example.com", "user": {"token": "secret-7"}}],
            "contexts": [{"name": "orchid-lab", "context": {
                "cluster": "orchid-lab@127.0.0.1:6443", "user": "orchid-lab/nadia@example.com", "namespace": "orchid-lab", "extensions": extensions,
            }}],
            "current-context": "orchid-lab",
        });
        assert_eq!(a_document("orchid-lab"), expected);
    }

    #[test]
    fn a_class_says_how_its_developers_reach_the_server() {
        let endpoint: Endpoint =
            serde_json::from_value(json!({"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": true})).unwrap();
        let server = ServerAccess {
            url: Some("https://dev.example.com".into()),
            certificate_authority: Some("PEM".into()),
            tls_server_name: Some("api".into()),
        };
        assert_eq!(cluster(&endpoint, None).unwrap(), json!({"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": true}));
        let expected = json!({"server": "https://dev.example.com", "certificate-authority-data": "UEVN", "tls-server-name": "api"});
        assert_eq!(cluster(&endpoint, Some(&server)).unwrap(), expected);
    }

    #[test]
    fn the_administrators_own_way_to_the_server_is_not_handed_on() {
        let endpoint = json!({
            "server": "https://10.0.0.1:6443", "certificate-authority-data": "Q0E=", "tls-server-name": "tunnel", "insecure-skip-tls-verify": false,
            "proxy-url": "socks5://rosa:s3cret@jump.example.com:1080/x?y",
        });
        let mut endpoint: Endpoint = serde_json::from_value(endpoint).unwrap();
        let own = json!({
            "server": "https://10.0.0.1:6443", "certificate-authority-data": "Q0E=", "tls-server-name": "tunnel",
            "proxy-url": "socks5://jump.example.com:1080/x?y",
        });
        assert_eq!(cluster(&endpoint, None).unwrap(), own);
        endpoint.insecure_skip_tls_verify = Some(true);
        let public = ServerAccess { url: Some("https://dev.example.com".into()), ..ServerAccess::default() };
        let expected = json!({"server": "https://dev.example.com", "certificate-authority-data": "Q0E="});
        assert_eq!(cluster(&endpoint, Some(&public)).unwrap(), expected);
    }

    #[test]
    fn addresses_of_the_machine_itself_are_known() {
        let own = ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443", "https://0.0.0.0:6443"];
        let others = ["https://10.0.0.1:6443", "https://dev.example.com", "https://localhost.example.com", ""];
        assert!(own.iter().all(|server| is_loopback(&json!({"server": server}))));
        assert!(others.iter().all(|server| !is_loopback(&json!({"server": server}))));
    }

    #[test]
    fn a_file_of_somebody_elses_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        for text in ["", "hello", "contexts: []", "contexts: [{name: orchid-lab, context: {cluster: home}}]"] {
            fs::write(&file, text).unwrap();
            assert!(matches!(compose(&file, &a_document("orchid-lab"), Existing::Replace), Err(Error::Exists(..))), "{text}");
        }
        write(&file, &a_document("fern-lab")).unwrap();
        assert!(matches!(compose(&file, &a_document("orchid-lab"), Existing::Replace), Err(Error::Exists(..))));
        write(&file, &a_document("orchid-lab")).unwrap();
        assert_eq!(compose(&file, &a_document("orchid-lab"), Existing::Replace).unwrap(), a_document("orchid-lab"));
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn a_merge_keeps_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let own = json!({
            "apiVersion": "v1", "kind": "Config", "preferences": {"colors": true}, "current-context": "home",
            "clusters": [{"name": "home", "cluster": {"server": "https://home"}}],
            "users": [{"name": "me", "user": {"token": "mine"}}],
            "contexts": [{"name": "home", "context": {"cluster": "home", "user": "me"}}],
        });
        write(&file, &own).unwrap();
        let (fern, orchid) = (a_document("fern-lab"), a_document("orchid-lab"));
        for document in [&fern, &orchid, &orchid] {
            write(&file, &compose(&file, document, Existing::Merge).unwrap()).unwrap();
        }
        let mut expected = own;
        for document in [&fern, &orchid] {
            for list in LISTS {
                expected[list].as_array_mut().unwrap().push(document[list][0].clone());
            }
        }
        expected["current-context"] = "orchid-lab".into();
        assert_eq!(serde_saphyr::from_str::<Value>(&fs::read_to_string(&file).unwrap()).unwrap(), expected);
    }

    #[test]
    fn a_merge_sends_no_credential_to_another_server() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let cluster = json!({"server": "https://10.0.0.9:6443"});
        let mut elsewhere =
            document(Owner { space: "orchid-lab", user: "nadia@example.com" }, &cluster, &Credential::Token("secret-9".into()));
        elsewhere["contexts"][0]["name"] = "renamed".into();
        write(&file, &elsewhere).unwrap();
        let refused = compose(&file, &a_document("orchid-lab"), Existing::Merge).unwrap_err();
        assert!(refused.to_string().contains(r#"already contains a different user "orchid-lab/nadia@example.com""#), "{refused}");
        let mut renamed = a_document("orchid-lab");
        renamed["contexts"][0]["name"] = "renamed".into();
        write(&file, &renamed).unwrap();
        assert!(compose(&file, &a_document("orchid-lab"), Existing::Merge).is_ok(), "it is for the same server");
    }

    #[test]
    fn another_cluster_at_the_same_address_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let with = |authority: Option<&str>| {
            let mut cluster = json!({"server": "https://127.0.0.1:6443"});
            if let Some(authority) = authority {
                cluster["certificate-authority-data"] = base64(authority.as_bytes()).into();
            }
            document(Owner { space: "orchid-lab", user: "nadia@example.com" }, &cluster, &Credential::Token("secret-7".into()))
        };
        write(&file, &with(Some("one"))).unwrap();
        for existing in [Existing::Merge, Existing::Replace] {
            let refused = compose(&file, &with(Some("two")), existing).unwrap_err().to_string();
            let expected = format!(
                "{} already contains cluster \"orchid-lab@127.0.0.1:6443\" with another certificate authority and was not changed: if the \
                authority of the cluster has changed, delete this entry from the file, and run this command again; otherwise, write \
                another file with -o",
                file.display()
            );
            assert_eq!(refused, expected);
        }
        for same in [with(Some("one")), with(Some("o\r\nne\n")), with(None)] {
            assert_eq!(compose(&file, &same, Existing::Replace).unwrap(), same);
            assert_eq!(compose(&file, &same, Existing::Merge).unwrap(), same);
        }
    }

    #[test]
    fn a_merge_into_what_it_does_not_understand_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        for (text, taken) in [("contexts: 7", false), ("a: [", false), ("contexts: [{name: orchid-lab, context: {cluster: home}}]", true)] {
            fs::write(&file, text).unwrap();
            let refused = compose(&file, &a_document("orchid-lab"), Existing::Merge).unwrap_err();
            assert!(if taken { matches!(refused, Error::Taken { .. }) } else { matches!(refused, Error::Broken(..)) }, "{refused}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        fs::write(&file, "").unwrap();
        assert_eq!(compose(&file, &a_document("orchid-lab"), Existing::Merge).unwrap(), a_document("orchid-lab"));
    }
}
