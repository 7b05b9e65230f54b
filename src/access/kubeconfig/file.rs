//! Kubeconfig files on disk. A file is written completely or not at all, and only an entry that the plugin wrote is
//! replaced.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::NamedTempFile;

use super::{document::to_yaml, error::Error};
use crate::api::names;

/// The treatment of an existing file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Replaces only a file that the plugin wrote for the same space.
    Replace,
    /// Keeps everything else in the file.
    Merge,
}

/// The content to write, or the reason why it cannot be written. Called before a credential is issued, and again before
/// the file is written.
pub(crate) fn compose(file: &Path, document: &Value, existing: Existing) -> Result<Value, Error> {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(document.clone()),
        Err(error) => return Err(Error::Read(file.to_owned(), error)),
    };
    let space = document["current-context"].as_str().unwrap_or_default();
    let old = if text.trim().is_empty() { Ok(Value::Null) } else { serde_saphyr::from_str::<Value>(&text) };
    match (old, existing) {
        (Ok(old), Existing::Replace) if contains_only_this_context(&old, document) => {
            check_authority(file, &old, document)?;
            Ok(document.clone())
        }
        (_, Existing::Replace) => Err(Error::Exists(file.to_owned(), space.to_owned())),
        (Ok(old), Existing::Merge) if is_kubeconfig(&old) => merge(file, old, document),
        (Ok(_), Existing::Merge) => {
            Err(Error::Broken(file.to_owned(), "it has no lists of clusters, users and contexts".to_owned()))
        }
        (Err(error), Existing::Merge) => {
            let first = error.to_string().lines().next().unwrap_or_default().to_owned();
            Err(Error::Broken(file.to_owned(), first))
        }
    }
}

const ENTRY_LISTS: [&str; 3] = ["clusters", "users", "contexts"];

/// Returns true for a kubeconfig; kubectl accepts an empty file as one.
fn is_kubeconfig(value: &Value) -> bool {
    value.is_null()
        || (value.is_object()
            && ENTRY_LISTS.iter().all(|list| value.get(list).is_none_or(|list| list.is_array() || list.is_null())))
}

fn plugin_mark(context: &Value) -> Option<&Value> {
    let extensions = context["context"]["extensions"].as_array()?;
    extensions.iter().find(|extension| extension["name"] == names::GROUP).map(|extension| &extension["extension"])
}

/// Returns true if the file contains one context only, which the plugin wrote for the same space of the same server.
fn contains_only_this_context(old: &Value, document: &Value) -> bool {
    let contexts = old["contexts"].as_array().map(Vec::as_slice).unwrap_or_default();
    matches!(contexts, [only] if plugin_mark(only).is_some() && plugin_mark(only) == plugin_mark(&document["contexts"][0]))
}

/// Returns an error if the file contains the cluster entry with another certificate authority. Several clusters can
/// have one address, for example through tunnels.
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

/// The certificate authority of a cluster entry as PEM without whitespace, since programs break its lines in different
/// ways.
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
    if theirs.is_some_and(|theirs| plugin_mark(theirs) != plugin_mark(context)) {
        let name = context["name"].as_str().unwrap_or_default().to_owned();
        return Err(Error::Taken { file: file.to_owned(), kind: "context", name });
    }
    check_authority(file, &old, document)?;
    // A renamed context may still use that user for another server, which would receive the new credential.
    let user = &context["context"]["user"];
    if old["contexts"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|entry| entry["context"]["user"] == *user && plugin_mark(entry) != plugin_mark(context))
    {
        let name = user.as_str().unwrap_or_default().to_owned();
        return Err(Error::Taken { file: file.to_owned(), kind: "user", name });
    }
    for list in ENTRY_LISTS {
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

/// Writes a file that only its owner may read. The write is atomic: a reader sees the old or the new content.
pub(crate) fn write(file: &Path, document: &Value) -> Result<(), Error> {
    let failed = |error: io::Error| Error::Write(file.to_owned(), error);
    let target = target_of(file);
    let mut scratch = temporary_file(&target).map_err(failed)?;
    scratch.write_all(to_yaml(document)?.as_bytes()).and_then(|()| scratch.as_file().sync_all()).map_err(failed)?;
    scratch.persist(&target).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Checks that the file can be written, before a credential is issued.
pub(crate) fn check_writable(file: &Path) -> Result<(), Error> {
    let failed = |error: io::Error| Error::Write(file.to_owned(), error);
    let target = target_of(file);
    if fs::metadata(&target).is_ok_and(|found| found.permissions().readonly()) {
        return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only")));
    }
    temporary_file(&target).map(drop).map_err(failed)
}

/// The file that a write replaces. Follows a symbolic link, so that the link is kept.
fn target_of(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}

/// Creates a temporary file with mode 0600 in the folder of `target`.
fn temporary_file(target: &Path) -> io::Result<NamedTempFile> {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    tempfile::Builder::new().prefix(".kubeconfig-").tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;
    use crate::access::{
        encoding::base64,
        kubeconfig::{Credential, SpaceUser, document},
    };

    fn a_document(space: &str) -> Value {
        let cluster = json!({"server": "https://127.0.0.1:6443", "certificate-authority-data": "Q0E="});
        document(SpaceUser { space, user: "nadia@example.com" }, &cluster, &Credential::Token("secret-7".into()))
    }

    #[test]
    fn a_file_that_the_plugin_did_not_write_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        for text in ["", "hello", "contexts: []", "contexts: [{name: orchid-lab, context: {cluster: home}}]"] {
            fs::write(&file, text).unwrap();
            assert!(
                matches!(compose(&file, &a_document("orchid-lab"), Existing::Replace), Err(Error::Exists(..))),
                "{text}"
            );
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
            for list in ENTRY_LISTS {
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
        let mut elsewhere = document(
            SpaceUser { space: "orchid-lab", user: "nadia@example.com" },
            &cluster,
            &Credential::Token("secret-9".into()),
        );
        elsewhere["contexts"][0]["name"] = "renamed".into();
        write(&file, &elsewhere).unwrap();
        let refused = compose(&file, &a_document("orchid-lab"), Existing::Merge).unwrap_err();
        assert!(
            refused.to_string().contains(r#"already contains a different user "orchid-lab/nadia@example.com""#),
            "{refused}"
        );
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
            document(
                SpaceUser { space: "orchid-lab", user: "nadia@example.com" },
                &cluster,
                &Credential::Token("secret-7".into()),
            )
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
    fn a_merge_into_an_invalid_kubeconfig_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        for (text, taken) in [
            ("contexts: 7", false),
            ("a: [", false),
            ("contexts: [{name: orchid-lab, context: {cluster: home}}]", true),
        ] {
            fs::write(&file, text).unwrap();
            let refused = compose(&file, &a_document("orchid-lab"), Existing::Merge).unwrap_err();
            assert!(
                if taken { matches!(refused, Error::Taken { .. }) } else { matches!(refused, Error::Broken(..)) },
                "{refused}"
            );
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        fs::write(&file, "").unwrap();
        assert_eq!(compose(&file, &a_document("orchid-lab"), Existing::Merge).unwrap(), a_document("orchid-lab"));
    }
}
