//! The namespaces that belong to the cluster.

use super::pattern::matches_pattern;

/// Namespaces that the operator never adopts, changes or deletes, whatever objects ask for: `default`, `kube-*`,
/// `openshift-*`, the operator's own and the administrator's list.
#[derive(Clone, Debug, Default)]
pub struct ProtectedNamespaces {
    patterns: Vec<String>,
}

impl ProtectedNamespaces {
    /// `operator_namespace` and `patterns` (exact names, or a prefix followed by `*`) on top of the built-in ones.
    pub fn new(operator_namespace: &str, patterns: &[String]) -> Self {
        let mut all =
            vec!["default".to_owned(), "kube-*".to_owned(), "openshift-*".to_owned(), operator_namespace.to_owned()];
        all.extend(patterns.iter().map(|p| p.trim().to_owned()).filter(|p| !p.is_empty()));
        Self { patterns: all }
    }

    /// Returns true if `name` is protected.
    pub fn contains(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| matches_pattern(pattern, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protected_names_cover_the_clusters_own() {
        let protected = ProtectedNamespaces::new("dspace-home", &["monitoring".into(), "istio-*".into()]);
        for name in
            ["default", "kube-system", "kube-node-lease", "openshift-etcd", "dspace-home", "monitoring", "istio-system"]
        {
            assert!(protected.contains(name), "{name}");
        }
        for name in ["alice-payments", "defaults", "kubectl", "istio"] {
            assert!(!protected.contains(name), "{name}");
        }
    }
}
