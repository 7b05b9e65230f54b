//! The status of a space: its content, the patch that writes it, and the changes that are published as Events.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};

use super::lifetime::{
    formula::Bound,
    inputs::{created, is_sealed},
    outlook::Outlook,
    stage::Stage,
};
use crate::api::{
    DeveloperSpace, DeveloperSpaceStatus, NamespaceRef, Notice, OwnerInForce, Terms, Warning,
    conditions::{self, Reason, WantedCondition, types},
    duration::format_duration,
    time::{ceil_second, rfc3339},
};

/// The content of the condition `Ready`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The reason; `Provisioned` is the only one that is ready.
    pub reason: Reason,
    /// A sentence.
    pub message: String,
    /// kstatus `Reconciling`: work is under way.
    pub working: bool,
}

/// The class, the owner and the terms that a space was admitted with. A field that is `None` keeps its value in the
/// status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForceStatus {
    /// The class in force.
    pub class_name: Option<String>,
    /// The owner for whom the space counts under the owner limit.
    pub owner: Option<OwnerInForce>,
    /// The lifetime as accepted.
    pub terms: Option<Terms>,
}

/// The result of a reconcile, from which the status is built.
#[derive(Clone, Debug)]
pub struct StatusInputs<'a> {
    /// The space as it was seen.
    pub space: &'a DeveloperSpace,
    /// The class, the owner and the terms in force.
    pub in_force: InForceStatus,
    /// The namespace, if it belongs to the space and is deleted when the space expires. Otherwise the recorded one
    /// stays recorded until the seal.
    pub namespace: Option<NamespaceRef>,
    /// The expiry and the stage of the space.
    pub outlook: &'a Outlook,
    /// True if the space has expired.
    pub sealed: bool,
    /// The content of the condition `Ready`.
    pub readiness: Readiness,
}

impl Readiness {
    /// The readiness with that reason, which decides whether work is under way.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let working = !reason.is_stalled() && reason != Reason::Provisioned;
        Self { reason, message: message.into(), working }
    }
}

/// The status that reports `inputs`.
pub fn next_status(inputs: &StatusInputs<'_>, now: DateTime<Utc>) -> DeveloperSpaceStatus {
    let StatusInputs { space, in_force, namespace, outlook, sealed, readiness } = inputs;
    let InForceStatus { class_name, owner, terms } = in_force.clone();
    let old = space.status.clone().unwrap_or_default();
    let warning = last_warning(inputs, &old, now);
    let notice = |old: Option<Notice>, now: Option<Notice>| if *sealed { old } else { now };
    // Times are whole seconds, so a renewal may fall into the second of the creation. A `renewedAt` that the space was
    // created with is not a renewal, but is recorded.
    let at_once = space.spec.renewed_at == Some(outlook.anchor);
    let renewed = (outlook.anchor > created(space) || at_once).then_some(outlook.anchor);
    let was_seen = old.observed_generation.is_some_and(|generation| generation > 0);
    let was_sealed = is_sealed(space);
    let counts = renewed.filter(|at| *at > created(space) || was_seen);
    let is_new_renewal = !was_sealed && counts.is_some_and(|at| old.last_renewed_at.is_none_or(|before| at > before));
    let generation = space.metadata.generation;
    let ready = readiness.reason == Reason::Provisioned;
    DeveloperSpaceStatus {
        observed_generation: generation,
        class_name: class_name.or(old.class_name),
        owner: owner.or(old.owner),
        // Kept until the seal: without the recorded UID the claim of a copy would hold, see `ownership`, and no
        // re-creation would be reported.
        namespace: namespace.clone().or_else(|| old.namespace.filter(|_| !sealed)),
        expires_at: if was_sealed { old.expires_at } else { outlook.expires_at },
        renewals: Some(old.renewals.unwrap_or_default().saturating_add(i64::from(is_new_renewal))),
        last_renewed_at: if was_sealed { old.last_renewed_at } else { renewed },
        last_warning: warning,
        terms: terms.filter(|_| !was_sealed).or(old.terms),
        postponed: notice(old.postponed, outlook.postponed),
        last_notice: notice(old.last_notice, outlook.last_notice),
        ready_at: old.ready_at.or_else(|| ready.then(|| ceil_second(now))),
        conditions: conditions::set(&old.conditions, &wanted_conditions(inputs), generation, now),
    }
}

/// Returns true if the end of `space` counts from the write of its status: a warning is due, or a notice begins. Until
/// the status contains it, the end moves with the clock.
pub fn end_counts_from_write(space: &DeveloperSpace, outlook: &Outlook) -> bool {
    let status = space.status.as_ref();
    let begins = |notice: Option<Notice>, recorded: Option<Notice>| {
        // A notice that postpones nothing continues when a renewal moves the end.
        let times = |notice: Notice| (notice.from, notice.until, Some(notice.of).filter(|of| *of < notice.until));
        notice.is_some() && notice.map(times) != recorded.map(times)
    };
    matches!(outlook.stage, Stage::Warn(_))
        || begins(outlook.postponed, status.and_then(|status| status.postponed))
        || begins(outlook.last_notice, status.and_then(|status| status.last_notice))
}

/// The warning that is given now, or else the last one if it is for the expiry in force. If the expiry was a different
/// one in between, the warning is given again.
fn last_warning(inputs: &StatusInputs<'_>, old: &DeveloperSpaceStatus, now: DateTime<Utc>) -> Option<Warning> {
    let Outlook { stage, nominal, .. } = *inputs.outlook;
    match (stage, nominal) {
        _ if inputs.sealed => old.last_warning.clone(),
        (Stage::Warn(before), Some(expires_at)) => {
            Some(Warning { at: ceil_second(now), before: format_duration(before), expires_at })
        }
        _ => old.last_warning.clone().filter(|warning| Some(warning.expires_at) == nominal),
    }
}

fn wanted_conditions(inputs: &StatusInputs<'_>) -> Vec<WantedCondition> {
    let StatusInputs { space, outlook, sealed, readiness, .. } = inputs;
    let word = readiness.reason.as_str().to_owned();
    let stalled = readiness.reason.is_stalled() && !readiness.working;
    let condition = |type_, status, reason: &str, message: &str| WantedCondition {
        type_,
        status,
        reason: reason.to_owned(),
        message: message.to_owned(),
    };
    let (is_expiring, expiring) = match (outlook.stage, outlook.expires_at) {
        (Stage::Warn(before) | Stage::Warned(before), Some(at)) if !sealed => {
            (true, expiring_message(inputs, at, &format_duration(before)))
        }
        _ => (false, String::new()),
    };
    let expired = match (sealed, outlook.expires_at) {
        (false, _) => String::new(),
        (true, at) => {
            let at = space.status.as_ref().and_then(|status| status.expires_at).filter(|_| is_sealed(space)).or(at);
            format!(
                "this DeveloperSpace expired at {}; create a new DeveloperSpace to continue",
                at.map(rfc3339).unwrap_or_default()
            )
        }
    };
    vec![
        WantedCondition {
            type_: types::READY,
            status: readiness.reason == Reason::Provisioned,
            reason: word.clone(),
            message: readiness.message.clone(),
        },
        condition(types::EXPIRING, is_expiring, if is_expiring { "WarningGiven" } else { "NotYet" }, &expiring),
        condition(types::EXPIRED, *sealed, if *sealed { "TimeIsUp" } else { "NotYet" }, &expired),
        condition(
            types::RECONCILING,
            readiness.working,
            &word,
            if readiness.working { &readiness.message } else { "" },
        ),
        condition(types::STALLED, stalled, &word, if stalled { &readiness.message } else { "" }),
    ]
}

fn expiring_message(inputs: &StatusInputs<'_>, at: DateTime<Utc>, before: &str) -> String {
    let remedy = match inputs.outlook.bound {
        Some(Bound::ExpiresAt) => "spec.expiresAt sets this expiry: set a later time to keep the namespace",
        Some(Bound::MaxLifetime) => {
            "lifetime.maxLifetime of the class sets this expiry, and a renewal does not extend it: create a new DeveloperSpace, or use another class"
        }
        Some(Bound::Ttl) | None => "to renew, set spec.renewedAt to the current time",
    };
    let what = match &inputs.namespace {
        Some(NamespaceRef { name, .. }) => format!("namespace {name} and everything in it is deleted"),
        None => "this DeveloperSpace expires".to_owned(),
    };
    format!("{what} at {} (warned {before} before); {remedy}", rfc3339(at))
}

/// The merge patch (RFC 7386) of the status subresource that sets it to `status`, refused if the object has changed
/// since `resource_version`.
pub fn patch(status: &DeveloperSpaceStatus, resource_version: &str) -> Value {
    let DeveloperSpaceStatus {
        observed_generation,
        class_name,
        owner,
        namespace,
        expires_at,
        renewals,
        last_renewed_at,
        last_warning,
        terms,
        postponed,
        last_notice,
        ready_at,
        conditions,
    } = status;
    json!({
        "metadata": {"resourceVersion": resource_version},
        "status": {
            "observedGeneration": observed_generation,
            "className": class_name,
            "owner": whole(owner, &["namespace"]),
            "namespace": namespace,
            "expiresAt": expires_at.map(rfc3339),
            "renewals": renewals,
            "lastRenewedAt": last_renewed_at,
            "lastWarning": last_warning,
            "terms": whole(terms, &["ttl", "expiresAt", "protected", "maxTTL", "maxLifetime", "warnBefore", "retainExpired"]),
            "postponed": postponed,
            "lastNotice": last_notice,
            "readyAt": ready_at,
            "conditions": conditions,
        },
    })
}

/// The fields that decisions depend on and that `stored` lacks, in whole or in part, although they were `sent`: the API
/// server drops fields that its CRD does not have. It stores all other values as they were sent, times included.
pub(crate) fn dropped_fields(sent: &DeveloperSpaceStatus, stored: Option<&DeveloperSpaceStatus>) -> Vec<&'static str> {
    let without = DeveloperSpaceStatus::default();
    let stored = stored.unwrap_or(&without);
    let fields = [
        ("status.terms", sent.terms.is_some() && sent.terms != stored.terms),
        ("status.postponed", sent.postponed.is_some() && sent.postponed != stored.postponed),
        ("status.lastNotice", sent.last_notice.is_some() && sent.last_notice != stored.last_notice),
    ];
    fields.into_iter().filter(|(_, is_dropped)| *is_dropped).map(|(field, _)| field).collect()
}

/// `value` for a merge patch, which keeps the fields that it omits: absent ones of `may_be_absent` are set to null.
fn whole(value: &impl Serialize, may_be_absent: &[&str]) -> Value {
    let mut value = json!(value);
    for field in may_be_absent {
        if let Some(fields) = value.as_object_mut().filter(|fields| !fields.contains_key(*field)) {
            fields.insert((*field).to_owned(), Value::Null);
        }
    }
    value
}

/// A message to publish as an Event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// True if a user or an administrator should act.
    pub warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub message: String,
    /// True if the Event is published in the namespace as well.
    pub in_namespace: bool,
}

/// The changes between two statuses, as messages for users.
pub fn notes(old: &DeveloperSpaceStatus, new: &DeveloperSpaceStatus) -> Vec<Note> {
    let mut notes = Vec::new();
    let ready = |status: &DeveloperSpaceStatus| {
        conditions::find(&status.conditions, types::READY)
            .map(|ready| (ready.reason.clone(), ready.message.clone(), ready.status == "True"))
    };
    let before = ready(old).map(|(reason, ..)| reason);
    if new.renewals > old.renewals.or(Some(0)) {
        let until = new.expires_at.map_or_else(|| "indefinitely".to_owned(), |at| format!("until {}", rfc3339(at)));
        notes.push(Note {
            warning: false,
            reason: "Renewed".into(),
            message: format!("renewed {until}"),
            in_namespace: false,
        });
    }
    let expiring = conditions::find(&new.conditions, types::EXPIRING).filter(|expiring| expiring.status == "True");
    if let (true, Some(expiring)) = (new.last_warning != old.last_warning, expiring) {
        notes.push(Note {
            warning: true,
            reason: "Expiring".into(),
            message: expiring.message.clone(),
            in_namespace: true,
        });
    }
    if let Some((reason, message, is_ready)) = ready(new).filter(|(reason, ..)| Some(reason) != before.as_ref()) {
        let benign = ["Provisioning", "Terminating", "NamespaceTerminating"].contains(&reason.as_str());
        notes.push(Note { warning: !is_ready && !benign, reason, message, in_namespace: false });
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> DeveloperSpace {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace",
            "metadata": {"name": "alice-payments", "uid": "space-1", "generation": 3, "creationTimestamp": "2026-11-24T09:00:00Z"},
            "spec": {"owner": {"kind": "User", "name": "alice@example.com"}},
            "status": {"observedGeneration": -1, "conditions": [{"type": "Ready", "status": "Unknown", "reason": "Pending", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn outlook(stage: Stage) -> Outlook {
        let expires_at = Some(at("2026-12-01T09:00:00Z"));
        Outlook {
            anchor: at("2026-11-24T09:00:00Z"),
            nominal: expires_at,
            expires_at,
            bound: Some(Bound::Ttl),
            stage,
            postponed: None,
            last_notice: None,
            wake: None,
        }
    }

    fn inputs<'a>(space: &'a DeveloperSpace, outlook: &'a Outlook, readiness: Readiness) -> StatusInputs<'a> {
        let namespace = Some(NamespaceRef { name: "alice-payments".into(), uid: "ns-1".into() });
        let in_force = InForceStatus { class_name: Some("standard".into()), ..InForceStatus::default() };
        StatusInputs { space, in_force, namespace, outlook, sealed: false, readiness }
    }

    #[test]
    fn an_unchanged_result_does_not_change_the_status() {
        let (mut space, outlook) = (space(), outlook(Stage::Calm));
        let readiness = Readiness::new(Reason::Provisioned, "ready");
        let first = next_status(&inputs(&space, &outlook, readiness.clone()), at("2026-11-24T09:00:01Z"));
        assert_eq!(
            notes(space.status.as_ref().unwrap(), &first)
                .into_iter()
                .map(|note| (note.reason, note.warning))
                .collect::<Vec<_>>(),
            [("Provisioned".into(), false)]
        );
        space.status = Some(first.clone());
        let second = next_status(&inputs(&space, &outlook, readiness), at("2026-11-25T09:00:01Z"));
        assert_eq!(first, second);
        assert_eq!(second.ready_at, Some(at("2026-11-24T09:00:01Z")));
        assert_eq!(notes(&first, &second), []);
    }

    #[test]
    fn a_renewal_in_the_second_of_the_creation_counts_once_unless_the_space_was_created_with_it() {
        let (mut space, outlook) = (space(), outlook(Stage::Calm));
        let now = at("2026-11-24T09:00:01Z");
        let report = |space: &DeveloperSpace| {
            next_status(&inputs(space, &outlook, Readiness::new(Reason::Provisioned, "ready")), now)
        };
        let seen = report(&space);
        for (first, renewals) in [(space.status.clone().unwrap(), 0), (seen, 1)] {
            space.status = Some(first);
            space.spec.renewed_at = Some(outlook.anchor);
            for generation in [4, 4, 5] {
                space.metadata.generation = Some(generation);
                let reported = report(&space);
                assert_eq!(
                    (reported.renewals, reported.last_renewed_at),
                    (Some(renewals), Some(outlook.anchor)),
                    "in generation {generation}"
                );
                space.status = Some(reported);
            }
        }
    }

    #[test]
    fn a_warning_is_recorded_and_published_in_the_namespace() {
        let (space, outlook) = (space(), outlook(Stage::Warn(chrono::TimeDelta::hours(1))));
        let status = next_status(
            &inputs(&space, &outlook, Readiness::new(Reason::Provisioned, "ready")),
            at("2026-12-01T08:00:00.2Z"),
        );
        let expected =
            Warning { at: at("2026-12-01T08:00:01Z"), before: "1h".into(), expires_at: at("2026-12-01T09:00:00Z") };
        assert_eq!(status.last_warning, Some(expected));
        assert!(conditions::is_true(&status.conditions, types::EXPIRING));
        let reported = notes(&DeveloperSpaceStatus::default(), &status);
        assert!(
            reported.iter().any(|note| note.reason == "Expiring" && note.in_namespace && note.warning),
            "{reported:?}"
        );
    }

    #[test]
    fn a_warning_about_a_space_without_a_namespace_of_its_own_names_none() {
        let (space, outlook) = (space(), outlook(Stage::Warn(chrono::TimeDelta::hours(1))));
        let inputs =
            StatusInputs { namespace: None, ..inputs(&space, &outlook, Readiness::new(Reason::NamespaceConflict, "")) };
        let status = next_status(&inputs, at("2026-12-01T08:00:00Z"));
        let expiring = conditions::find(&status.conditions, types::EXPIRING).unwrap();
        let message = "this DeveloperSpace expires at 2026-12-01T09:00:00Z (warned 1h before); to renew, set spec.renewedAt to the current time";
        assert_eq!(expiring.message, message);
    }

    #[test]
    fn an_end_counts_from_the_write_until_the_status_has_the_warning_and_the_notice() {
        let notice = Notice {
            of: at("2026-11-30T09:00:00Z"),
            from: at("2026-12-01T08:00:00Z"),
            until: at("2026-12-01T09:00:00Z"),
        };
        let warns = outlook(Stage::Warn(chrono::TimeDelta::hours(1)));
        let postpones = Outlook { postponed: Some(notice), ..outlook(Stage::Calm) };
        let ends = Outlook { last_notice: Some(notice), ..outlook(Stage::Warned(chrono::TimeDelta::hours(1))) };
        for (outlook, recorded) in [
            (warns, Outlook { stage: Stage::Warned(chrono::TimeDelta::hours(1)), ..warns }),
            (postpones, postpones),
            (ends, ends),
        ] {
            let mut space = space();
            assert!(end_counts_from_write(&space, &outlook), "{outlook:?}");
            let readiness = Readiness::new(Reason::Provisioned, "ready");
            space.status = Some(next_status(&inputs(&space, &outlook, readiness), at("2026-12-01T08:00:00Z")));
            assert!(!end_counts_from_write(&space, &recorded), "{outlook:?}");
        }
        assert!(
            !end_counts_from_write(&space(), &outlook(Stage::Due))
                && !end_counts_from_write(&space(), &outlook(Stage::Calm))
        );
    }

    #[test]
    fn a_renewal_counts_once() {
        let (mut space, mut outlook) = (space(), outlook(Stage::Calm));
        outlook.anchor = at("2026-11-26T09:00:00Z");
        for _ in 0..2 {
            space.status = Some(next_status(
                &inputs(&space, &outlook, Readiness::new(Reason::Provisioned, "ready")),
                at("2026-11-26T09:00:00Z"),
            ));
            assert_eq!(space.status.as_ref().unwrap().renewals, Some(1));
        }
    }

    #[test]
    fn a_forged_count_of_renewals_does_not_overflow() {
        let (mut space, mut outlook) = (space(), outlook(Stage::Calm));
        outlook.anchor = at("2026-11-26T09:00:00Z");
        space.status = Some(DeveloperSpaceStatus { renewals: Some(i64::MAX), ..DeveloperSpaceStatus::default() });
        let next = next_status(
            &inputs(&space, &outlook, Readiness::new(Reason::Provisioned, "ready")),
            at("2026-11-26T09:00:00Z"),
        );
        assert_eq!(next.renewals, Some(i64::MAX));
    }

    #[test]
    fn a_field_that_the_api_server_drops_is_found() {
        let notice = Notice {
            of: at("2026-11-30T09:00:00Z"),
            from: at("2026-12-01T08:00:00Z"),
            until: at("2026-12-01T09:00:00Z"),
        };
        let sent = DeveloperSpaceStatus {
            terms: Some(Terms::default()),
            last_notice: Some(notice),
            ..DeveloperSpaceStatus::default()
        };
        assert_eq!(dropped_fields(&sent, Some(&sent)), [""; 0]);
        assert_eq!(
            dropped_fields(&sent, Some(&DeveloperSpaceStatus { terms: None, ..sent.clone() })),
            ["status.terms"]
        );
        assert_eq!(dropped_fields(&sent, None), ["status.terms", "status.lastNotice"]);
        assert_eq!(dropped_fields(&DeveloperSpaceStatus::default(), Some(&sent)), [""; 0]);
        let terms = Terms { max_lifetime: Some("30d".into()), ..Terms::default() };
        let bounded = DeveloperSpaceStatus { terms: Some(terms), ..sent.clone() };
        assert_eq!(dropped_fields(&bounded, Some(&sent)), ["status.terms"], "a field of the terms was dropped");
    }

    #[test]
    fn the_terms_and_the_notices_come_back_from_the_api_server_as_they_were_sent() {
        let moment = at("2026-12-01T08:00:00.123456789Z");
        let notice = Some(Notice { of: moment, from: at("2026-12-01T08:00:00.5Z"), until: at("2026-12-01T09:00:00Z") });
        let terms = Terms { expires_at: Some(moment), warn_before: vec!["1h".into()], ..Terms::default() };
        let sent = DeveloperSpaceStatus {
            terms: Some(terms),
            postponed: notice,
            last_notice: notice,
            ..DeveloperSpaceStatus::default()
        };
        let mut stored =
            json!({"status": {"terms": {"ttl": "7d", "protected": true, "retainExpired": "3d"}, "conditions": []}});
        json_patch::merge(&mut stored, &patch(&sent, "7"));
        let stored: DeveloperSpaceStatus = serde_json::from_value(stored["status"].clone()).unwrap();
        assert_eq!(dropped_fields(&sent, Some(&stored)), [""; 0]);
    }

    #[test]
    fn the_patch_sets_removed_fields_to_null() {
        let status = DeveloperSpaceStatus { terms: Some(Terms::default()), ..DeveloperSpaceStatus::default() };
        let patch = patch(&status, "7");
        assert_eq!(patch["metadata"], json!({"resourceVersion": "7"}));
        let terms = json!({"ttl": null, "expiresAt": null, "protected": null, "maxTTL": null, "maxLifetime": null, "warnBefore": null,
            "retainExpired": null, "allowNever": false, "allowProtected": false, "allowRetain": false});
        assert_eq!(patch["status"]["terms"], terms, "a field that the class no longer sets is removed");
        assert!(
            patch["status"]["expiresAt"].is_null() && patch["status"].as_object().unwrap().contains_key("expiresAt")
        );
    }
}
