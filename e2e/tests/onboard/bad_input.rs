//! Errors that are found before the command waits for anything: exit code 1, one sentence, and nothing written or
//! changed.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    fixtures::a_space,
    kubeconfig::{self, Credential},
    ports,
};

use crate::{
    people::{FOREIGN, RITA, SVEN, TILDA, WALT},
    results::{ensure_nothing_written, error_sentence},
    setup::OnboardingSetup,
};

/// An error in the access to the cluster is reported.
pub(crate) async fn an_unusable_cluster_is_reported(setup: &OnboardingSetup) -> Result<()> {
    let folder = setup.folder("kubeconfigs")?;
    let unreachable = folder.join("unreachable");
    let server = format!("https://127.0.0.1:{}", ports::free()?);
    kubeconfig::write(&unreachable, &server, Some(&setup.cluster.authority()), RITA, &Credential::Token("any"))?;
    let broken = folder.join("broken");
    fs::write(&broken, "apiVersion: v1\nkind: Config\nclusters: [\n")?;
    let empty = folder.join("pointless");
    fs::write(&empty, "apiVersion: v1\nkind: Config\nclusters: []\nusers: []\ncontexts: []\n")?;
    let unknown_token = setup.write_kubeconfig("stranger", "nobody-knows-this-one")?;
    for (name, kubeconfig, expected_text) in [
        ("unreachable", unreachable, "cannot be reached"),
        ("broken", broken, "kubeconfig"),
        ("pointless", empty, "context"),
        ("absent", folder.join("absent"), "kubeconfig"),
        ("stranger", unknown_token, "credentials"),
    ] {
        let file = setup.kubeconfig_path(&format!("from-{name}"))?;
        let arguments = [
            "onboard",
            "karl@example.com",
            "--class",
            "greenhouse",
            "--name",
            "thistle-lab",
            "--auth",
            "cert",
            "-o",
            &file,
        ];
        let sentence =
            error_sentence(&setup.dspace_with(&kubeconfig, &arguments).await?).with_context(|| name.to_owned())?;
        ensure!(sentence.contains(expected_text), "{name}: {sentence}");
        ensure_nothing_written(&file)?;
    }
    ensure!(setup.admin.find(a_space("thistle-lab")).await?.is_none(), "a space was made all the same");
    Ok(())
}

/// Invalid requests: a description, the caller, the arguments and the expected text.
const REQUESTS: [(&str, &str, &[&str], &str); 11] = [
    (
        "an unknown class",
        SVEN,
        &["lars@example.com", "--class", "none-such", "--name", "lupin-lab", "--auth", "cert"],
        "there is no SpaceClass none-such",
    ),
    (
        "no rights",
        WALT,
        &["lars@example.com", "--class", "greenhouse", "--name", "lupin-lab", "--auth", "cert"],
        "forbidden",
    ),
    (
        "a way that the class does not allow",
        RITA,
        &["lars@example.com", "--class", "foundry", "--name", "lupin-lab", "--auth", "cert"],
        "does not allow access by cert",
    ),
    (
        "a token where the class has none",
        TILDA,
        &["lars@example.com", "--class", "observatory", "--name", "lupin-lab", "--auth", "token"],
        "does not allow access by token",
    ),
    (
        "an issuer that nobody named",
        SVEN,
        &["lars@example.com", "--class", "greenhouse", "--name", "lupin-lab", "--auth", "oidc"],
        "--oidc-issuer-url",
    ),
    ("somebody else's space", RITA, &["lars@example.com", "--name", FOREIGN, "--auth", "cert"], "zoe@example.com"),
    (
        "a space of another class",
        RITA,
        &["zoe@example.com", "--name", FOREIGN, "--class", "standard", "--auth", "cert"],
        "greenhouse",
    ),
    (
        "a name that no space may have",
        RITA,
        &["lars@example.com", "--class", "greenhouse", "--name", "kube-lupin", "--auth", "cert"],
        "names of the cluster's own namespaces are reserved",
    ),
    (
        "a certificate for a group",
        RITA,
        &["Group:botanists", "--class", "greenhouse", "--name", "sage-lab", "--auth", "cert"],
        "Group:botanists",
    ),
    (
        "a space that ends too soon",
        RITA,
        &["mona@example.com", "--class", "greenhouse", "--name", "poppy-lab", "--ttl", "5m", "--auth", "cert"],
        "10m",
    ),
    (
        "a life that the class does not allow",
        RITA,
        &["nils@example.com", "--class", "greenhouse", "--name", "yew-lab", "--ttl", "never", "--auth", "cert"],
        "never",
    ),
];

/// Each invalid request is reported.
pub(crate) async fn an_invalid_request_is_reported(setup: &OnboardingSetup) -> Result<()> {
    for (index, (what, caller, arguments, expected_text)) in REQUESTS.into_iter().enumerate() {
        let file = setup.kubeconfig_path(&format!("request-{index}"))?;
        let arguments = [&["onboard"], arguments, &["-o", &file]].concat();
        let sentence = error_sentence(&setup.dspace(caller, &arguments).await?).with_context(|| what.to_owned())?;
        ensure!(sentence.contains(expected_text), "{what}: {sentence}");
        ensure_nothing_written(&file).with_context(|| what.to_owned())?;
    }
    for name in ["lupin-lab", "kube-lupin"] {
        ensure!(setup.admin.find(a_space(name)).await?.is_none(), "{name} was made all the same");
    }
    Ok(())
}

/// A file that cannot be written is reported before anything is created.
pub(crate) async fn an_unwritable_file_is_reported(setup: &OnboardingSetup) -> Result<()> {
    const SPACE: &str = "willow-lab";
    let other_cluster = PathBuf::from(setup.kubeconfig_path("of-another-cluster")?);
    fs::copy(setup.cluster.kubeconfig(), &other_cluster)?;
    let no_kubeconfig = PathBuf::from(setup.kubeconfig_path("prose")?);
    fs::write(&no_kubeconfig, "Dear diary,\n- today: [\n")?;
    let read_only = PathBuf::from(setup.kubeconfig_path("kept")?);
    fs::write(&read_only, "")?;
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o400))?;
    let absent = setup.folder("parent")?.join("absent").join("kubeconfig");
    let in_read_only_folder = read_only_folder(&setup.folder("sealed")?)?.join("dspace-kubeconfig");
    let (plain, merge): (&[&str], &[&str]) = (&[], &["--merge"]);
    for (what, file, more, expected_text) in [
        ("one of another cluster", &other_cluster, plain, "--merge"),
        ("one that is none", &no_kubeconfig, merge, "is not a kubeconfig"),
        ("one that nobody may change", &read_only, merge, "read-only"),
        ("one in a folder that is not there", &absent, plain, "failed to write"),
        ("one in a folder where nobody writes", &in_read_only_folder, plain, "failed to write"),
    ] {
        let before = fs::read(file).ok();
        let path = file.to_string_lossy();
        let arguments =
            ["onboard", "olaf@example.com", "--class", "greenhouse", "--name", SPACE, "--auth", "cert", "-o", &path];
        let output = setup.dspace(RITA, &[&arguments, more].concat()).await?;
        let sentence = error_sentence(&output).with_context(|| what.to_owned())?;
        ensure!(sentence.contains(expected_text) && sentence.contains(&*path), "{what}: {sentence}");
        ensure!(fs::read(file).ok() == before, "{what}: it was changed");
    }
    for file in [&other_cluster, &no_kubeconfig, &read_only] {
        let folder = file.parent().context("the file is in no folder")?;
        ensure!(fs::read_dir(folder)?.count() == 1, "something was left beside {}", file.display());
    }
    ensure!(setup.admin.find(a_space(SPACE)).await?.is_none(), "a space was made all the same");
    Ok(())
}

/// A folder in which no file can be created: the given one or, for root, which no mode stops, one of the kernel's.
fn read_only_folder(folder: &Path) -> Result<PathBuf> {
    fs::set_permissions(folder, fs::Permissions::from_mode(0o555))?;
    let trial = folder.join("trial");
    if fs::write(&trial, "").is_err() {
        return Ok(folder.to_owned());
    }
    fs::remove_file(&trial)?;
    Ok(PathBuf::from("/proc"))
}
