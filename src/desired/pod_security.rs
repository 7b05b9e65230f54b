//! Pod Security levels of a namespace: as labels, and as the annotation that records the levels that an adopted
//! namespace had.
//!
//! An adopted namespace keeps the stricter of the level that it had and that of its class, see
//! `docs/adopting-and-releasing.md`.

use std::collections::BTreeMap;

use super::spec_refusal::SpecRefusal;
use crate::api::{PodSecurity, PodSecurityLevel, conditions::Reason, names, text::some_of};

/// The modes of
/// <https://kubernetes.io/docs/concepts/security/pod-security-admission/#pod-security-admission-labels-for-namespaces>.
pub(crate) const MODES: [&str; 3] = ["enforce", "audit", "warn"];

/// The labels that set `levels`.
pub fn labels(levels: PodSecurity) -> BTreeMap<String, String> {
    by_mode(levels).map(|(mode, level)| (label(mode), name(level).to_owned())).collect()
}

/// The levels that `labels` set; a level that Kubernetes does not know is none.
pub(crate) fn from_labels(labels: Option<&BTreeMap<String, String>>) -> PodSecurity {
    from_modes(|mode| labels.and_then(|labels| labels.get(&label(mode))).and_then(|text| parse(text)))
}

/// For each mode the stricter level of the two.
pub fn stricter(one: PodSecurity, other: PodSecurity) -> PodSecurity {
    // `None` is the level of the cluster's configuration, below any that is set here.
    let level = |one: Option<PodSecurityLevel>, other: Option<PodSecurityLevel>| one.max(other);
    let PodSecurity { enforce, audit, warn } = one;
    PodSecurity {
        enforce: level(enforce, other.enforce),
        audit: level(audit, other.audit),
        warn: level(warn, other.warn),
    }
}

/// `enforce=restricted,warn=baseline`: the value of [`names::ANNOTATION_ADOPTED_POD_SECURITY`]. None without any level.
pub(crate) fn to_annotation(levels: PodSecurity) -> Option<String> {
    let parts: Vec<String> = by_mode(levels).map(|(mode, level)| format!("{mode}={}", name(level))).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Parses [`to_annotation`]; an unreadable part sets no level.
pub(crate) fn from_annotation(text: &str) -> PodSecurity {
    from_modes(|mode| text.split(',').find_map(|part| part.strip_prefix(mode)?.strip_prefix('=')).and_then(parse))
}

/// The label that enforces a level, and the level.
pub fn enforced(labels: &BTreeMap<String, String>) -> Option<(&str, &str)> {
    labels.get_key_value(&label("enforce")).map(|(key, level)| (key.as_str(), level.as_str()))
}

/// The number of pods that a sentence names.
const MAX_NAMED_PODS: usize = 3;

/// A part of every warning of the API server about the pods that it checks against a new level, see
/// `EvaluatePodsInNamespace` in `k8s.io/pod-security-admission/admission`.
const LEVEL_WARNING: &str = "new PodSecurity enforce level";

/// The refusal to admit the space of `namespace` to a class that enforces `level`, by the warnings of the API server
/// about that level. The API server warns about pods that violate the level, and if it did not check all pods: it
/// checks a limited number, for a limited time.
pub(crate) fn not_admitted(class_name: &str, namespace: &str, level: &str, warnings: &[String]) -> Option<SpecRefusal> {
    let message = violating(class_name, namespace, level, warnings)
        .or_else(|| unchecked(class_name, namespace, level, warnings))?;
    Some(SpecRefusal::new(Reason::InvalidSpec, message))
}

/// The message about pods that violate `level`. The first warning introduces the pods, and each of the next warnings
/// names some.
fn violating(class_name: &str, namespace: &str, level: &str, warnings: &[String]) -> Option<String> {
    let first = warnings.iter().position(|warning| warning.contains("violate the new PodSecurity enforce level"))?;
    let pods = some_of(&warnings[first + 1..], MAX_NAMED_PODS, 0);
    Some(format!(
        "pods in namespace {namespace} do not comply with the Pod Security level {level} of class {class_name} ({pods}), and the space is not admitted to it \
         while they run; its current class stays in force: delete them, or use another class"
    ))
}

/// The message about pods that the API server did not check against `level`. It omits the numbers in the warning, which
/// differ from check to check.
fn unchecked(class_name: &str, namespace: &str, level: &str, warnings: &[String]) -> Option<String> {
    warnings.iter().any(|warning| warning.contains(LEVEL_WARNING)).then(|| {
        format!(
            "the API server did not check all pods in namespace {namespace} against the Pod Security level {level} of class {class_name}, and the \
             space is not admitted to it until all are checked; its current class stays in force: delete pods that have completed, or use another class"
        )
    })
}

fn label(mode: &str) -> String {
    format!("{}{mode}", names::POD_SECURITY_PREFIX)
}

/// The label that pins the version of a mode's level.
pub(crate) fn version_label(mode: &str) -> String {
    format!("{}{mode}-version", names::POD_SECURITY_PREFIX)
}

fn by_mode(levels: PodSecurity) -> impl Iterator<Item = (&'static str, PodSecurityLevel)> {
    let PodSecurity { enforce, audit, warn } = levels;
    MODES.into_iter().zip([enforce, audit, warn]).filter_map(|(mode, level)| Some((mode, level?)))
}

fn from_modes(level: impl Fn(&str) -> Option<PodSecurityLevel>) -> PodSecurity {
    let [enforce, audit, warn] = MODES.map(level);
    PodSecurity { enforce, audit, warn }
}

fn name(level: PodSecurityLevel) -> &'static str {
    match level {
        PodSecurityLevel::Privileged => "privileged",
        PodSecurityLevel::Baseline => "baseline",
        PodSecurityLevel::Restricted => "restricted",
    }
}

fn parse(text: &str) -> Option<PodSecurityLevel> {
    [PodSecurityLevel::Privileged, PodSecurityLevel::Baseline, PodSecurityLevel::Restricted]
        .into_iter()
        .find(|level| name(*level) == text)
}

#[cfg(test)]
mod tests {
    use super::{PodSecurityLevel::*, *};

    fn levels(
        enforce: Option<PodSecurityLevel>,
        audit: Option<PodSecurityLevel>,
        warn: Option<PodSecurityLevel>,
    ) -> PodSecurity {
        PodSecurity { enforce, audit, warn }
    }

    #[test]
    fn a_space_whose_pods_violate_the_level_of_another_class_is_not_admitted_to_it() {
        let warned = |warnings: &[&str]| {
            let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
            not_admitted("small", "orchid-lab", "restricted", &warnings)
                .map(|SpecRefusal { reason, message }| (reason, message))
        };
        assert_eq!(warned(&[]), None);
        assert_eq!(warned(&["metadata.finalizers: prefer a domain-qualified finalizer name"]), None);
        let message = "pods in namespace orchid-lab do not comply with the Pod Security level restricted of class small (web-1 (and 2 other pods): host \
                       namespaces), and the space is not admitted to it while they run; its current class stays in force: delete them, or use another class";
        let first =
            r#"existing pods in namespace "orchid-lab" violate the new PodSecurity enforce level "restricted:latest""#;
        let violation = "web-1 (and 2 other pods): host namespaces";
        assert_eq!(warned(&[first, violation]), Some((Reason::InvalidSpec, message.to_owned())));
        let partly = "new PodSecurity enforce level only checked against the first 3000 of 3500 existing pods";
        assert_eq!(warned(&[partly, first, violation]), Some((Reason::InvalidSpec, message.to_owned())));
    }

    #[test]
    fn a_space_whose_pods_were_not_all_checked_is_not_admitted_to_another_class() {
        for warning in [
            "new PodSecurity enforce level only checked against the first 3000 of 3500 existing pods",
            "failed to list pods while checking new PodSecurity enforce level",
        ] {
            let warnings =
                ["metadata.finalizers: prefer a domain-qualified finalizer name", warning].map(str::to_owned);
            let message = "the API server did not check all pods in namespace orchid-lab against the Pod Security level baseline of class standard, and the \
                           space is not admitted to it until all are checked; its current class stays in force: delete pods that have completed, or use \
                           another class";
            assert_eq!(
                not_admitted("standard", "orchid-lab", "baseline", &warnings),
                Some(SpecRefusal::new(Reason::InvalidSpec, message))
            );
        }
    }

    #[test]
    fn each_mode_keeps_the_stricter_level() {
        let found = levels(Some(Restricted), Some(Privileged), None);
        let class = levels(Some(Baseline), Some(Baseline), Some(Baseline));
        let both = levels(Some(Restricted), Some(Baseline), Some(Baseline));
        assert_eq!((stricter(found, class), stricter(class, found)), (both, both));
        assert_eq!(stricter(found, PodSecurity::default()), found);
    }

    #[test]
    fn levels_are_read_as_they_were_written() {
        for written in [levels(Some(Restricted), None, Some(Baseline)), levels(None, Some(Privileged), None)] {
            assert_eq!(from_annotation(&to_annotation(written).unwrap()), written);
            assert_eq!(from_labels(Some(&labels(written))), written);
        }
        assert_eq!(to_annotation(PodSecurity::default()), None);
        for nonsense in ["", "enforce", "enforce=strict", "ENFORCE=baseline", "enforce-version=v1.33"] {
            assert_eq!(from_annotation(nonsense), PodSecurity::default(), "{nonsense}");
        }
    }
}
