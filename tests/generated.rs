//! Checks that the generated files are up to date, and that the shipped classes and samples are valid.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a helper that fails fails its test")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use developerspace_operator::{
    api::{DeveloperSpace, SpaceClass, crd::crds, names, protected_namespaces::ProtectedNamespaces},
    desired::{admitted::Admitted, class, ledger},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML files of `folder`, except `kustomization.yaml`.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "yaml") && !path.ends_with("kustomization.yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{folder} has no YAML");
    files
}

/// The documents of `folder`, each with the path of its file.
fn documents(folder: &str) -> Vec<(PathBuf, Value)> {
    let read = |path: PathBuf| {
        let documents: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap()).unwrap();
        documents.into_iter().filter(|document| !document.is_null()).map(move |document| (path.clone(), document))
    };
    files(folder).into_iter().flat_map(read).collect()
}

/// Returns the fields of `given` that are not in `kept`. No code reads these fields.
fn lost(given: &Value, kept: &Value, at: &str) -> Vec<String> {
    match given {
        Value::Object(fields) => {
            let below = |(key, value): (&String, &Value)| match kept.get(key) {
                Some(kept) => lost(value, kept, &format!("{at}.{key}")),
                // An empty field need not be stored.
                None if [json!({}), json!([]), Value::Null].contains(value) => Vec::new(),
                None => vec![format!("{at}.{key}")],
            };
            fields.iter().flat_map(below).collect()
        }
        Value::Array(items) => {
            let kept = kept.as_array().map(Vec::as_slice).unwrap_or_default();
            let below = |(place, item): (usize, &Value)| {
                lost(item, kept.get(place).unwrap_or(&Value::Null), &format!("{at}[{place}]"))
            };
            items.iter().enumerate().flat_map(below).collect()
        }
        _ => Vec::new(),
    }
}

/// Decodes `document` strictly: a field of its spec that the type does not have is an error.
fn read<T: DeserializeOwned + Serialize>(path: &Path, document: &Value) -> T {
    let read: T =
        serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lost = lost(&document["spec"], &serde_json::to_value(&read).unwrap()["spec"], "spec");
    assert!(lost.is_empty(), "{}: nobody reads {}", path.display(), lost.join(", "));
    read
}

fn classes() -> BTreeMap<String, SpaceClass> {
    let documents = [documents("config/classes"), documents("config/samples")].concat();
    let classes = documents.iter().filter(|(_, document)| document["kind"] == "SpaceClass");
    classes
        .map(|(path, document)| (document["metadata"]["name"].as_str().unwrap().to_owned(), read(path, document)))
        .collect()
}

#[test]
fn the_stored_crds_are_those_of_the_types() {
    for crd in crds() {
        let path = root().join("crds").join(format!("{}.yaml", crd.spec.names.plural));
        let stored = fs::read_to_string(&path).unwrap();
        let made = serde_saphyr::to_string(&crd).unwrap();
        let differs = stored.lines().zip(made.lines()).position(|(stored, made)| stored != made);
        assert!(
            stored == made,
            "{} is out of date from line {:?} on: make generate",
            path.display(),
            differs.map(|line| line + 1)
        );
    }
    assert_eq!(files("crds").len(), crds().len(), "crds/ holds another file");
}

#[test]
fn shipped_classes_are_accepted_and_one_is_the_default() {
    let classes = classes();
    for (name, shipped) in &classes {
        assert_eq!(class::check(&shipped.spec), Ok(()), "SpaceClass {name}");
        let enforced = shipped.spec.pod_security.as_ref().and_then(|levels| levels.enforce);
        assert!(
            enforced.is_some() && shipped.spec.max_spaces_per_owner.is_some(),
            "administrators copy SpaceClass {name}"
        );
    }
    let is_default = |class: &&SpaceClass| {
        class
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get("developerspace.dev/is-default-class"))
            .is_some_and(|value| value == "true")
    };
    assert_eq!(classes.values().filter(is_default).count(), 1);
}

#[test]
fn samples_are_spaces_that_their_classes_allow() {
    let classes = classes();
    let default = "standard".to_owned();
    let admitted = Admitted::from_classes(classes.iter().map(|(name, class)| (name.as_str(), &class.spec)));
    let protected = ProtectedNamespaces::new("developerspace-system", &[]);
    let samples = documents("config/samples");
    let spaces = samples.iter().filter(|(_, document)| document["kind"] == "DeveloperSpace");
    let mut names = Vec::new();
    for (path, document) in spaces {
        let space: DeveloperSpace = read(path, document);
        let class_name = space.spec.class_name.as_ref().unwrap_or(&default);
        let class =
            classes.get(class_name).unwrap_or_else(|| panic!("{}: no class {class_name} is shipped", path.display()));
        let around = ledger::Surroundings {
            now: chrono::DateTime::UNIX_EPOCH,
            protected: &protected,
            admitted: &admitted,
            reservation: None,
            has_namespace: false,
        };
        let ruling = ledger::validate_spec(&space, class_name, &class.spec, &around);
        assert_eq!((ruling.refusals, ruling.resolved.notices), (vec![], vec![]), "{}", path.display());
        names.extend(space.metadata.name);
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "two samples have one name: {names:?}");
}

#[test]
fn samples_are_listed_for_kustomize() {
    for folder in ["config/samples", "config/classes"] {
        let kustomization: Value =
            serde_saphyr::from_str(&fs::read_to_string(root().join(folder).join("kustomization.yaml")).unwrap())
                .unwrap();
        let mut listed: Vec<&str> =
            kustomization["resources"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        listed.sort_unstable();
        let files = files(folder);
        let stored: Vec<&str> = files.iter().filter_map(|path| path.file_name()?.to_str()).collect();
        assert_eq!(listed, stored, "{folder}/kustomization.yaml");
    }
}

#[test]
fn the_controller_and_the_sweep_have_the_same_settings() {
    let documents: Vec<Value> =
        ["config/manager", "config/gc"].iter().flat_map(|folder| documents(folder)).map(|(_, it)| it).collect();
    let find = |kind: &str| {
        documents.iter().find(|document| document["kind"] == kind).unwrap_or_else(|| panic!("there is no {kind}"))
    };
    let environment = |pod: &Value| {
        let container = &pod["spec"]["containers"][0];
        (container["envFrom"].clone(), container["env"].clone(), container["image"].clone())
    };
    let (controller, sweep) = (find("Deployment"), find("CronJob"));
    let shared = environment(&controller["spec"]["template"]);
    assert_eq!(shared, environment(&sweep["spec"]["jobTemplate"]["spec"]["template"]));
    assert_eq!(shared.0, json!([{"configMapRef": {"name": names::SETTINGS}}]));
    let settings = find("ConfigMap");
    assert_eq!(settings["metadata"]["name"], names::SETTINGS);
    assert_eq!(settings["data"], json!({(names::PROTECTED_NAMESPACES): ""}));
}
