//! Pod Security levels of a namespace: as labels, and as the annotation that remembers the levels that an adopted namespace had.
//!
//! An adopted namespace keeps the stricter of the level that it had and that of its class, see `docs/adopting-and-releasing.md`.

use std::collections::BTreeMap;

use crate::api::{PodSecurity, PodSecurityLevel, names};

/// The modes of <https://kubernetes.io/docs/concepts/security/pod-security-admission/#pod-security-admission-labels-for-namespaces>.
pub const MODES: [&str; 3] = ["enforce", "audit", "warn"];

/// The labels that set `levels`.
pub fn labels(levels: PodSecurity) -> BTreeMap<String, String> {
    by_mode(levels).map(|(mode, level)| (label(mode), name(level).to_owned())).collect()
}

/// The levels that `labels` set; a level that Kubernetes does not know is none.
pub fn of_labels(labels: Option<&BTreeMap<String, String>>) -> PodSecurity {
    from_modes(|mode| labels.and_then(|labels| labels.get(&label(mode))).and_then(|text| parse(text)))
}

/// For each mode the stricter level of the two.
pub fn stricter(one: PodSecurity, other: PodSecurity) -> PodSecurity {
    // `None` is the level of the cluster's configuration, below any that is set here.
    let level = |one: Option<PodSecurityLevel>, other: Option<PodSecurityLevel>| one.max(other);
    let PodSecurity { enforce, audit, warn } = one;
    PodSecurity { enforce: level(enforce, other.enforce), audit: level(audit, other.audit), warn: level(warn, other.warn) }
}

/// `enforce=restricted,warn=baseline`: the value of [`names::ANNOTATION_ADOPTED_POD_SECURITY`]. None without any level.
pub fn to_annotation(levels: PodSecurity) -> Option<String> {
    let parts: Vec<String> = by_mode(levels).map(|(mode, level)| format!("{mode}={}", name(level))).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// Parses [`to_annotation`]; an unreadable part sets no level.
pub fn of_annotation(text: &str) -> PodSecurity {
    from_modes(|mode| text.split(',').find_map(|part| part.strip_prefix(mode)?.strip_prefix('=')).and_then(parse))
}

/// The label of a mode.
fn label(mode: &str) -> String {
    format!("{}{mode}", names::POD_SECURITY_PREFIX)
}

/// The label that pins the version of a mode's level.
pub fn version_label(mode: &str) -> String {
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
    [PodSecurityLevel::Privileged, PodSecurityLevel::Baseline, PodSecurityLevel::Restricted].into_iter().find(|level| name(*level) == text)
}

#[cfg(test)]
mod tests {
    use super::{PodSecurityLevel::*, *};

    fn levels(enforce: Option<PodSecurityLevel>, audit: Option<PodSecurityLevel>, warn: Option<PodSecurityLevel>) -> PodSecurity {
        PodSecurity { enforce, audit, warn }
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
            assert_eq!(of_annotation(&to_annotation(written).unwrap()), written);
            assert_eq!(of_labels(Some(&labels(written))), written);
        }
        assert_eq!(to_annotation(PodSecurity::default()), None);
        for nonsense in ["", "enforce", "enforce=strict", "ENFORCE=baseline", "enforce-version=v1.33"] {
            assert_eq!(of_annotation(nonsense), PodSecurity::default(), "{nonsense}");
        }
    }
}
