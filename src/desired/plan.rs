//! The plan of a reconcile: the actions that a space needs, decided from its observed state.
//!
//! Owns the order of the checks, which decides the refusal that a condition shows. The controller carries out the plan;
//! `gc` takes only [`Observed::next_step`] from it.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Resolved, SeenChild, SpecRefusal,
    expiry::{Step, step},
    lifetime::{inputs::retention, outlook::Outlook, rules::LifetimeRules},
    namespace::{Ownership, SeenNamespace},
    quota::shown,
    resolve::Ruling,
    space_name::check_name,
    standing::Standing,
    status::{InForceStatus, end_counts_from_write},
};
use crate::api::{
    DeveloperSpace, NamespaceRef, SpaceClass, SpaceClassSpec,
    conditions::{self, Reason, accepted::ROLE_NOT_FOUND, true_since, types},
    protected_namespaces::ProtectedNamespaces,
    text::some_of,
    time::from_k8s,
};

/// The longest time after the creation of a class for which the report that it was not validated waits for its verdict.
const MAX_VALIDATION_WAIT: TimeDelta = TimeDelta::seconds(10);

/// The observed state of one space and of everything that belongs to it, at one time.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The time of the observation.
    pub now: DateTime<Utc>,
    /// The class that the space names, or else the default class. It may not exist.
    pub wanted: Option<String>,
    /// That class, if it exists and can be read.
    pub(crate) wanted_class: Result<Arc<SpaceClass>, MissingClass>,
    /// The ruling of that class on the current spec, if the class has a spec in force.
    pub wanted_ruling: Option<Arc<Ruling>>,
    /// The error because of which that class is not validated, if the error lasts.
    pub validation_error: Option<Arc<str>>,
    /// The class that applies to the space: the class in force, or the wanted class before the space is admitted to
    /// any.
    pub class_name: Option<String>,
    /// That class, if it exists.
    pub class: Option<Arc<SpaceClass>>,
    /// The class and the owner that the space was admitted with, if it was.
    pub standing: Option<Standing>,
    /// The part of the status that records the admission.
    pub in_force: InForceStatus,
    /// The resources that the space may have under the class that applies to it, if the class has a spec in force.
    pub ruling: Option<Arc<Ruling>>,
    /// True if the current spec is accepted under that class and for that owner.
    pub is_accepted: bool,
    /// The lifetime in force: the class's, or the terms last accepted.
    pub rules: Option<LifetimeRules>,
    /// The namespace with the name of the space, regardless of its owner.
    pub namespace: Option<SeenNamespace>,
    /// The owner of that namespace; foreign if there is none.
    pub ownership: Ownership,
    /// The operator's objects in that namespace.
    pub children: Vec<SeenChild>,
    /// The expiry of the space, the stage of its life, and the time of its next reconcile.
    pub outlook: Outlook,
    /// True if the space is due, and is not sealed: its class has a spec that was not validated yet and that ends the
    /// space later.
    pub is_seal_held: bool,
}

/// A class that a space wants and cannot have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MissingClass {
    /// True if a class of that name is stored and cannot be read.
    pub is_unreadable: bool,
    /// The names of all classes, in their order.
    pub known: Vec<String>,
}

/// The result that the operator has recorded for a class in its current generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClassVerdict {
    /// There is no result yet.
    Pending,
    /// Spaces may use it.
    Accepted,
    /// Spaces may not use it: the reason and the message.
    Refused(String, String),
}

/// The actions that a space needs.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Finalize the space, which is being deleted, or take that step of its expiry while the deletion waits.
    Finalize(Step),
    /// Take that step of the expiry.
    Expire(Step),
    /// Report the progress of the expiry later: the seals and deletions of other spaces come first.
    Defer,
    /// Wait until the class is validated, before the space is admitted for the first time. An event follows when it is,
    /// and a request to reconcile the space if the validation fails.
    AwaitClass,
    /// Keep the present class and owner, and report the refusal.
    Refuse(SpecRefusal),
    /// Remove the access and the resources that the space may no longer have, and report the refusal only if it still
    /// applies at that time.
    Withhold {
        /// The refusal.
        refusal: SpecRefusal,
        /// The time of the report.
        report_at: DateTime<Utc>,
    },
    /// Admit the space with its current spec. The owner limit is still to be checked.
    Admit(AcceptedSpec),
}

/// A spec that is accepted in full under the class that it names.
#[derive(Clone, Debug)]
pub struct AcceptedSpec {
    /// The class that the space wants.
    pub class_name: String,
    /// The limit of spaces for each owner.
    pub limit: Option<i32>,
    ruling: Arc<Ruling>,
}

impl AcceptedSpec {
    /// The resources that the space may have in that class.
    pub(crate) fn resolved(&self) -> &Resolved {
        &self.ruling.resolved
    }
}

impl Observed {
    /// The next step of the expiry of `space`, by time.
    pub fn next_step(&self, space: &DeveloperSpace) -> Step {
        step(space, self.own_namespace(), &self.outlook, retention(self.rules.as_ref()), self.now)
    }

    /// Schedules the next reconcile for `at`, unless it is scheduled for an earlier time.
    pub(crate) fn wakes_by(&mut self, at: DateTime<Utc>) {
        self.outlook.wake = Some(self.outlook.wake.map_or(at, |wake| wake.min(at)));
    }

    /// The spec in force of the class that applies to the space.
    pub fn class_spec(&self) -> Option<&SpaceClassSpec> {
        self.class.as_ref().and_then(|class| class.in_force())
    }

    /// Returns true if the class that the space wants enforces isolation: the namespace is marked before the space is
    /// admitted to it.
    pub(crate) fn wants_isolation(&self) -> bool {
        self.wanted_class.as_ref().is_ok_and(|class| class.in_force().is_some_and(|spec| spec.network.enforced))
    }

    /// Returns the refusal to report. While the class in force is missing, that is the reason, regardless of other
    /// errors, since admission depends on it.
    pub(crate) fn with_missing_class(&self, refusal: SpecRefusal) -> SpecRefusal {
        match &self.standing {
            Some(standing) if self.class.is_none() && refusal.reason != Reason::ClassNotFound => {
                let message = format!(
                    "SpaceClass {}, which is in force, does not exist or cannot be read; {}",
                    standing.class_name, refusal.message
                );
                SpecRefusal::new(Reason::ClassNotFound, message)
            }
            _ => refusal,
        }
    }

    /// The namespace, if it belongs to the space.
    pub fn own_namespace(&self) -> Option<&SeenNamespace> {
        self.namespace.as_ref().filter(|_| self.ownership == Ownership::Ours)
    }

    /// The namespace, if it belongs to the space or is recorded as such: a name that is protected for a while must not
    /// permanently cost the space its namespace.
    pub(crate) fn standing_namespace(&self, space: &DeveloperSpace) -> Option<NamespaceRef> {
        let stands =
            |recorded: &&NamespaceRef| self.namespace.as_ref().is_some_and(|namespace| namespace.uid == *recorded.uid);
        self.namespace_ref(space).or_else(|| recorded_namespace(space).filter(stands).cloned())
    }

    /// The reference to the namespace for the status, if the namespace belongs to the space.
    pub(crate) fn namespace_ref(&self, space: &DeveloperSpace) -> Option<NamespaceRef> {
        self.own_namespace()
            .map(|namespace| NamespaceRef { name: name_of(space).to_owned(), uid: namespace.uid.to_string() })
    }
}

fn name_of(space: &DeveloperSpace) -> &str {
    space.metadata.name.as_deref().unwrap_or_default()
}

/// The namespace that the status of the space records.
pub(crate) fn recorded_namespace(space: &DeveloperSpace) -> Option<&NamespaceRef> {
    space.status.as_ref()?.namespace.as_ref()
}

/// The result that the status of a class contains for its current generation.
pub(crate) fn class_verdict(class: &SpaceClass) -> ClassVerdict {
    let Some(status) = &class.status else {
        return ClassVerdict::Pending;
    };
    match conditions::find(&status.conditions, types::ACCEPTED) {
        Some(accepted) if accepted.observed_generation == class.metadata.generation => match accepted.status.as_str() {
            "True" => ClassVerdict::Accepted,
            _ => ClassVerdict::Refused(accepted.reason.clone(), accepted.message.clone()),
        },
        _ => ClassVerdict::Pending,
    }
}

/// Decides on the actions that `space` needs. `deferral` is the longest time after the seal for which reports about the
/// progress of an expiry are deferred; `None` if they are not deferred.
pub fn decide(
    space: &DeveloperSpace,
    observed: &Observed,
    protected: &ProtectedNamespaces,
    deferral: Option<Duration>,
) -> Plan {
    let step = observed.next_step(space);
    if space.metadata.deletion_timestamp.is_some() {
        return Plan::Finalize(step);
    }
    if step != Step::Live {
        return if is_deferred(space, observed, &step, deferral) { Plan::Defer } else { Plan::Expire(step) };
    }
    match accepted_spec(space, observed, protected) {
        Ok(Some(accepted)) => Plan::Admit(accepted),
        Ok(None) => await_verdict(space, observed),
        Err(refusal) => Plan::Refuse(refusal),
    }
}

/// The plan while the class that `space` wants was not validated. An admitted space does not wait for the class: a
/// warning may be due, and subjects that its spec no longer names lose their access. The verdict on a class that was
/// created again follows within moments, so the report waits for it for a limited time, unless a warning is due. A new
/// space waits without a limit, since every class begins without a verdict, unless the validation fails.
fn await_verdict(space: &DeveloperSpace, observed: &Observed) -> Plan {
    if observed.standing.is_none() && observed.validation_error.is_none() {
        return Plan::AwaitClass;
    }
    let refusal = not_validated(observed, None);
    let stamp = observed.wanted_class.as_ref().ok().and_then(|class| class.metadata.creation_timestamp.as_ref());
    let limit = stamp.and_then(from_k8s).and_then(|created| created.checked_add_signed(MAX_VALIDATION_WAIT));
    match limit.filter(|at| *at > observed.now && !end_counts_from_write(space, &observed.outlook)) {
        Some(report_at) => Plan::Withhold { refusal, report_at },
        None => Plan::Refuse(refusal),
    }
}

/// Returns true if the step only reports the progress of the namespace, and the report may wait. The status reports the
/// expiry already.
fn is_deferred(space: &DeveloperSpace, observed: &Observed, step: &Step, deferral: Option<Duration>) -> bool {
    let is_report = matches!(step, Step::AwaitNamespace(_) | Step::Retain(_));
    let sealed = space.status.as_ref().and_then(|status| true_since(&status.conditions, types::EXPIRED));
    let age = sealed.and_then(|since| (observed.now - since).to_std().ok());
    is_report && age.zip(deferral).is_some_and(|(age, longest)| age < longest)
}

/// The spec, if the class that the space wants accepts it in full. `None` while the class was not validated.
fn accepted_spec(
    space: &DeveloperSpace,
    observed: &Observed,
    protected: &ProtectedNamespaces,
) -> Result<Option<AcceptedSpec>, SpecRefusal> {
    if observed.own_namespace().is_none() {
        check_name(name_of(space), protected)?;
    }
    let class =
        observed.wanted_class.as_ref().map_err(|missing| class_not_found(observed.wanted.as_deref(), missing))?;
    let class_name = observed.wanted.as_deref().unwrap_or_default();
    let Some(spec) = usable(class, class_name, observed)? else { return Ok(None) };
    let Some(ruling) = &observed.wanted_ruling else { return Ok(None) };
    if let Some(refusal) = ruling.refusals.first() {
        return Err(refusal.clone());
    }
    Ok(Some(AcceptedSpec {
        class_name: class_name.to_owned(),
        limit: spec.max_spaces_per_owner,
        ruling: ruling.clone(),
    }))
}

/// The spec by which `class` admits a space. A new space may use the spec last accepted. An existing space is moved
/// only to a class whose current spec is accepted, or is refused only for a missing ClusterRole.
fn usable<'a>(
    class: &'a SpaceClass,
    class_name: &str,
    observed: &Observed,
) -> Result<Option<&'a SpaceClassSpec>, SpecRefusal> {
    let had = observed.standing.as_ref().map(|standing| standing.class_name.as_str()).filter(|had| *had != class_name);
    match (class_verdict(class), class.in_force()) {
        (ClassVerdict::Pending, _) if had.is_some() => Err(not_validated(observed, had)),
        (ClassVerdict::Refused(_, message), None) => Err(not_accepted(class_name, &message, had)),
        (ClassVerdict::Refused(reason, message), Some(_)) if had.is_some() && reason != ROLE_NOT_FOUND => {
            Err(not_accepted(class_name, &message, had))
        }
        (_, spec) => Ok(spec),
    }
}

fn not_accepted(class_name: &str, message: &str, had: Option<&str>) -> SpecRefusal {
    let message = format!(
        "SpaceClass {class_name} is not accepted, and an administrator has to correct it: {message}{}",
        stays(had)
    );
    SpecRefusal::new(Reason::ClassNotAccepted, message)
}

/// The result for a class follows within moments, unless the validation fails. Until then the space keeps its own
/// class, and its condition reports that.
fn not_validated(observed: &Observed, had: Option<&str>) -> SpecRefusal {
    let class_name = observed.wanted.as_deref().unwrap_or_default();
    let cause = observed
        .validation_error
        .as_ref()
        .map_or_else(String::new, |error| format!(": it {error}; the operator retries"));
    let message =
        format!("the operator has not validated the current spec of SpaceClass {class_name} yet{cause}{}", stays(had));
    SpecRefusal::new(Reason::ClassNotAccepted, message)
}

fn stays(had: Option<&str>) -> String {
    had.map_or_else(String::new, |had| format!("; until then this space stays in SpaceClass {had}"))
}

/// The number of classes that a condition names.
const MAX_NAMED_CLASSES: usize = 20;

fn class_not_found(wanted: Option<&str>, missing: &MissingClass) -> SpecRefusal {
    let MissingClass { is_unreadable, known } = missing;
    let known = if known.is_empty() {
        "there is none".to_owned()
    } else {
        format!("available: {}", some_of(known, MAX_NAMED_CLASSES, 0))
    };
    let message = match wanted.map(shown) {
        Some(name) if *is_unreadable => {
            format!(
                "SpaceClass {name} cannot be read by this operator: an administrator has to correct it, or set spec.className to another class; existing objects stay unchanged"
            )
        }
        Some(name) => {
            format!(
                "SpaceClass {name} does not exist: set spec.className to an existing class ({known}); existing objects stay unchanged"
            )
        }
        None => format!(
            "there is no default SpaceClass: set spec.className ({known}), or ask an administrator to set a default class"
        ),
    };
    SpecRefusal::new(Reason::ClassNotFound, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::desired::{lifetime::stage::Stage, standing::standing};

    fn space(status: &Value) -> DeveloperSpace {
        let metadata =
            json!({"name": "orchid-lab", "uid": "u1", "generation": 2, "creationTimestamp": "2026-03-01T09:00:00Z"});
        let spec = json!({"className": "greenhouse", "owner": {"kind": "User", "name": "ada@example.com"}});
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": metadata, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    /// A space without a namespace, whose class does not exist.
    fn observed() -> Observed {
        let now = "2026-03-04T12:00:00Z".parse().unwrap();
        let outlook = Outlook {
            anchor: now,
            nominal: None,
            expires_at: None,
            bound: None,
            stage: Stage::Calm,
            postponed: None,
            last_notice: None,
            wake: None,
        };
        Observed {
            now,
            wanted: Some("greenhouse".to_owned()),
            wanted_class: Err(MissingClass::default()),
            wanted_ruling: None,
            validation_error: None,
            class_name: Some("greenhouse".to_owned()),
            class: None,
            standing: None,
            in_force: InForceStatus::default(),
            ruling: None,
            is_accepted: false,
            rules: None,
            namespace: None,
            ownership: Ownership::Foreign,
            children: Vec::new(),
            outlook,
            is_seal_held: false,
        }
    }

    fn protected(names: &[&str]) -> ProtectedNamespaces {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        ProtectedNamespaces::new("operators-home", &names)
    }

    #[test]
    fn the_progress_of_an_expiry_is_deferred_for_a_limited_time() {
        let plan = |sealed: &str, deferral: Option<Duration>| {
            let expired = json!({"type": "Expired", "status": "True", "reason": "TimeIsUp", "message": "", "lastTransitionTime": sealed});
            decide(&space(&json!({"conditions": [expired]})), &observed(), &protected(&[]), deferral)
        };
        let five_minutes = Some(Duration::from_secs(300));
        assert!(matches!(plan("2026-03-04T11:55:01Z", five_minutes), Plan::Defer));
        assert!(matches!(plan("2026-03-04T11:55:00Z", five_minutes), Plan::Expire(Step::Retain(_))));
        assert!(matches!(plan("2026-03-04T11:55:01Z", None), Plan::Expire(Step::Retain(_))));
    }

    #[test]
    fn a_protected_name_is_refused_before_the_class_is_looked_at() {
        let reason = |names: &[&str]| match decide(&space(&Value::Null), &observed(), &protected(names), None) {
            Plan::Refuse(refusal) => Some(refusal.reason),
            _ => None,
        };
        assert_eq!(reason(&["orchid-lab"]), Some(Reason::NamespaceConflict));
        assert_eq!(reason(&["monitoring"]), Some(Reason::ClassNotFound));
    }

    #[test]
    fn the_name_of_a_missing_class_is_quoted_if_it_is_not_a_name() {
        for (name, shown) in [("meadow", "meadow"), ("mea\u{1b}[2Jdow\n", r#""mea\u{1b}[2Jdow\n""#)] {
            for is_unreadable in [false, true] {
                let message = class_not_found(Some(name), &MissingClass { is_unreadable, known: vec![] }).message;
                assert!(message.starts_with(&format!("SpaceClass {shown} ")), "{message}");
            }
        }
    }

    #[test]
    fn a_new_space_waits_for_the_validation_of_its_class() {
        let class = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "greenhouse"}, "spec": {}});
        let class: SpaceClass = serde_json::from_value(class).unwrap();
        let observed = Observed { wanted_class: Ok(Arc::new(class)), ..observed() };
        assert!(matches!(decide(&space(&Value::Null), &observed, &protected(&[]), None), Plan::AwaitClass));
        let standing =
            standing(&space(&json!({"className": "greenhouse", "owner": {"kind": "User", "name": "ada@example.com"}})));
        let admitted = Observed { standing, ..observed };
        let plan = |admitted: &Observed| decide(&space(&Value::Null), admitted, &protected(&[]), None);
        let is_refused =
            |plan: &Plan| matches!(plan, Plan::Refuse(refusal) if refusal.reason == Reason::ClassNotAccepted);
        assert!(is_refused(&plan(&admitted)), "the time of its creation is not known");

        let created = |at: &str, outlook: Outlook| {
            let mut class = SpaceClass::clone(admitted.wanted_class.as_ref().unwrap());
            class.metadata.creation_timestamp = serde_json::from_value(json!(at)).unwrap();
            Observed { wanted_class: Ok(Arc::new(class)), outlook, ..admitted.clone() }
        };
        let (recent, calm) = ("2026-03-04T11:59:51Z", admitted.outlook);
        let Plan::Withhold { refusal, report_at } = plan(&created(recent, calm)) else {
            panic!("the verdict may still follow")
        };
        assert_eq!(
            (refusal.reason, report_at.to_rfc3339()),
            (Reason::ClassNotAccepted, "2026-03-04T12:00:01+00:00".to_owned())
        );
        assert!(is_refused(&plan(&created("2026-03-04T11:59:50Z", calm))), "the verdict did not follow");
        let warns = Outlook { stage: Stage::Warn(TimeDelta::hours(1)), ..calm };
        assert!(is_refused(&plan(&created(recent, warns))), "a warning is due");

        let new = |at: &str, error: Option<&str>| Observed {
            standing: None,
            validation_error: error.map(Into::into),
            ..created(at, calm)
        };
        let (old, error) =
            ("2026-03-04T11:59:50Z", Some("failed to write the status of SpaceClass greenhouse: it is frozen"));
        assert!(matches!(plan(&new(old, None)), Plan::AwaitClass), "the operator may have started moments ago");
        assert!(matches!(plan(&new(recent, error)), Plan::Withhold { .. }), "the next attempt may succeed");
        let Plan::Refuse(refusal) = plan(&new(old, error)) else { panic!("the verdict does not follow") };
        assert_eq!(refusal.reason, Reason::ClassNotAccepted);
        let expected = "the operator has not validated the current spec of SpaceClass greenhouse yet: it failed to write the status of \
                        SpaceClass greenhouse: it is frozen; the operator retries";
        assert_eq!(refusal.message, expected);
    }
}
