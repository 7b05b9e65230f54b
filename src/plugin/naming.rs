//! Names of new spaces: checks that a class allows a name, and proposes a name. The API server and the operator
//! validate the name again.

use anyhow::anyhow;
use kube::ResourceExt as _;

use super::{
    class_in_force::{ClassInForce, default_class},
    cluster::Cluster,
    requests,
};
use crate::{
    api::{
        SpaceClass, Subject, names::DEFAULT_OPERATOR_NAMESPACE, protected_namespaces::ProtectedNamespaces,
        syntax::is_dns_label,
    },
    desired::{
        admitted::Admitted,
        space_name::{self, Reservation},
    },
};

/// The maximum length of a namespace name.
const MAX_LENGTH: usize = 63;

/// Parses a name for clap. Rejects a name that no space can have before any request is sent.
pub(crate) fn parse(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        return Ok(text.to_owned());
    }
    let fitting = dns_label(text);
    let example = if fitting.is_empty() { String::new() } else { format!(", such as {fitting}") };
    Err(format!(
        "a name consists of at most {MAX_LENGTH} lower-case letters, digits and dashes, and begins and ends with a letter or a digit{example}"
    ))
}

/// The class of a new space, and all classes, since their rules determine the names that are allowed. Contains only the
/// classes that the caller may read.
pub(crate) struct NamingRules {
    class: Option<SpaceClass>,
    all: Vec<SpaceClass>,
}

impl NamingRules {
    /// Reads the classes. Classes that the caller may not read are omitted.
    pub(crate) async fn read(cluster: &Cluster, wanted: Option<&str>) -> Self {
        let all = requests::list_classes(cluster).await.unwrap_or_default();
        let listed = match wanted {
            Some(name) => all.iter().find(|class| class.name_any() == name),
            None => default_class(&all),
        };
        let class = match (listed.cloned(), wanted) {
            (Some(class), _) => Some(class),
            (None, Some(name)) => requests::find_class(cluster, name).await.unwrap_or_default(),
            (None, None) => None,
        };
        Self { class, all }
    }

    /// The name of the class and its spec in force, or its current spec if none is in force.
    pub(crate) fn class(&self) -> Option<ClassInForce<'_>> {
        self.class.as_ref().map(ClassInForce::new)
    }

    /// Returns an error if a new space cannot have the name.
    pub(crate) fn ensure(&self, name: &str) -> anyhow::Result<()> {
        let Some(objection) = self.objection(name) else { return Ok(()) };
        let other = self.first_allowed(name).map(|other| format!("; {other} is allowed")).unwrap_or_default();
        Err(anyhow!("no space can be named {name}: {objection}{other}"))
    }

    /// The name that earlier versions, which required no dash, gave to the space of `owner`; `None` if a new space can
    /// still have it.
    pub(crate) fn former_name(&self, owner: &Subject) -> Option<String> {
        let base = base_name(owner);
        (is_dns_label(&base) && self.objection(&base).is_some()).then_some(base)
    }

    /// Proposes a name for the space of `owner`.
    pub(crate) fn propose(&self, owner: &Subject) -> anyhow::Result<String> {
        let base = base_name(owner);
        self.first_allowed(&base).ok_or_else(|| {
            let class = self.class().map(|class| format!(" that SpaceClass {} allows", class.name)).unwrap_or_default();
            anyhow!("no name{class} can be derived from {:?}: set one with --name", owner.name)
        })
    }

    fn first_allowed(&self, base: &str) -> Option<String> {
        let allowed = self
            .class()
            .and_then(|class| class.spec.names.as_ref())
            .map(|names| names.allowed.as_slice())
            .unwrap_or_default();
        candidates(base, allowed).into_iter().find(|name| is_dns_label(name) && self.objection(name).is_none())
    }

    fn objection(&self, name: &str) -> Option<String> {
        objection(name, self.class(), &self.all)
    }
}

/// The reason why a new space of the class cannot have the name, according to the rules of `all` classes; `None` if it
/// can.
pub(crate) fn objection(name: &str, class: Option<ClassInForce<'_>>, all: &[SpaceClass]) -> Option<String> {
    if ProtectedNamespaces::new(DEFAULT_OPERATOR_NAMESPACE, &[]).contains(name) {
        return Some("names of the cluster's own namespaces are reserved".to_owned());
    }
    let specs = all.iter().map(|class| (class.metadata.name.as_deref().unwrap_or_default(), &class.spec));
    let admitted = Admitted::from_classes(specs);
    let reservation = admitted.admitting(name).map(|class| Reservation::Admitted { class: class.to_owned() });
    let (class, rules) = class.map_or(("of the space", None), |class| (class.name, class.spec.names.as_ref()));
    space_name::objection(name, class, rules, reservation.as_ref())
}

/// Names derived from `base`, the simplest first.
fn candidates(base: &str, allowed: &[String]) -> Vec<String> {
    if base.is_empty() {
        return vec![];
    }
    let shortened = |others: usize| base[..base.len().min(MAX_LENGTH.saturating_sub(others))].trim_end_matches('-');
    let common = ["*", "*-dev", "*-lab", "dev-*"].map(ToOwned::to_owned);
    let patterns = common.iter().chain(allowed).filter(|pattern| pattern.matches('*').count() == 1);
    patterns.map(|pattern| pattern.replace('*', shortened(pattern.len() - 1))).collect()
}

/// A DNS-1123 label derived from a user's name: `oidc:Alice.B@example.com` becomes `alice-b`.
fn base_name(owner: &Subject) -> String {
    let bare = owner.name.rsplit(':').next().unwrap_or_default();
    dns_label(bare.split('@').next().unwrap_or_default())
}

fn dns_label(text: &str) -> String {
    let lower = text.to_lowercase();
    let letters = lower.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    let label: String = letters.skip_while(|letter| *letter == '-').take(MAX_LENGTH).collect();
    label.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::fixtures::user;

    fn class(name: &str, spec: Value) -> SpaceClass {
        SpaceClass::new(name, serde_json::from_value(spec).unwrap())
    }

    fn classes(names: &Value) -> NamingRules {
        let front = class(
            "front",
            json!({"network": {"allowFromNamespaces": [
                {"matchLabels": {"kubernetes.io/metadata.name": "nadia-dev"}},
                {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["gate-way", "gate-two"]}]},
            ]}}),
        );
        let meadow = class("meadow", json!({"names": names}));
        NamingRules { class: Some(meadow.clone()), all: vec![front, meadow] }
    }

    #[test]
    fn a_space_is_named_after_its_owner_as_its_class_allows() {
        let open = classes(&json!({}));
        for (name, proposed) in [
            ("alice@example.com", Some("alice-dev")),
            ("oidc:Alice.B@example.com", Some("alice-b")),
            ("_x_", Some("x-dev")),
            ("nadia@example.com", Some("nadia-lab")),
            ("jürgen.groß@example.com", Some("j-rgen-gro")),
            ("@", None),
            ("日本", None),
        ] {
            assert_eq!(open.propose(&user(name)).ok().as_deref(), proposed, "{name}");
        }
        let long = open.propose(&user(&"a".repeat(80))).unwrap();
        assert_eq!((long.len(), long.ends_with("a-dev")), (63, true));
        let teams = classes(&json!({"allowed": ["team-*", "*-live-*"], "denied": ["team-root"]}));
        assert_eq!(teams.propose(&user("omar@example.com")).unwrap(), "team-omar");
        let none = teams.propose(&user("root")).unwrap_err().to_string();
        assert_eq!(none, r#"no name that SpaceClass meadow allows can be derived from "root": set one with --name"#);
    }

    #[test]
    fn an_error_about_a_name_proposes_an_allowed_name() {
        let open = classes(&json!({"allowed": ["*", "lab"], "denied": ["prod-*"]}));
        for (name, says, other) in [
            ("alice", "a name without a dash can be a top-level domain", "alice-dev"),
            (
                "gate-two",
                "SpaceClass front allows traffic from the namespace of that name into its spaces",
                "gate-two-dev",
            ),
            ("prod-db", "SpaceClass meadow denies it (names.denied: prod-*)", "dev-prod-db"),
            ("kube-lab", "names of the cluster's own namespaces are reserved", "dev-kube-lab"),
            ("xn--p1ai", "a name that begins with xn-- can be a top-level domain", "dev-xn--p1ai"),
        ] {
            let error = open.ensure(name).unwrap_err().to_string();
            let (begins, ends) = (format!("no space can be named {name}: {says}"), format!("; {other} is allowed"));
            assert!(error.starts_with(&begins) && error.ends_with(&ends), "{error}");
        }
        for name in ["alice-dev", "lab"] {
            assert!(open.ensure(name).is_ok(), "{name}");
        }
        let narrow = classes(&json!({"allowed": ["team-*"]}));
        let error = narrow.ensure("orchid-lab").unwrap_err().to_string();
        assert_eq!(
            error,
            "no space can be named orchid-lab: SpaceClass meadow allows only team-* (names.allowed); team-orchid-lab is allowed"
        );
    }

    #[test]
    fn an_invalid_name_is_rejected_before_any_request() {
        assert_eq!(parse("orchid-lab"), Ok("orchid-lab".to_owned()));
        let rule = "a name consists of at most 63 lower-case letters, digits and dashes, and begins and ends with a letter or a digit";
        assert_eq!(parse("UPPER_case"), Err(format!("{rule}, such as upper-case")));
        assert_eq!(parse("_"), Err(rule.to_owned()));
    }
}
