//! Owns the random actions of a round: the names, the variants of their spaces, and the changes that the operator must
//! undo.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::{Value, json};

use crate::{
    fault_sweep::{
        path::{UserAction, space, spec},
        rig::Rig,
    },
    fixtures::{SOON, a_space},
    proxy::Entry,
    wait::eventually,
};

/// The number of names.
pub(super) const SPACES: usize = 40;
/// The duration of faults and operations in each round.
const ROUND_DURATION: Duration = Duration::from_secs(45);

/// A name under which spaces are created and deleted.
pub(super) struct Slot {
    pub(super) name: String,
    /// The variant of its space; `None` if there should be no space.
    pub(super) expected: Option<usize>,
    /// True if the deletion or the expiry of its space was requested since the last calm phase.
    pub(super) may_go: bool,
}

/// The variants of a space's spec.
pub(super) fn variants() -> [Value; 6] {
    [
        json!({}),
        json!({"quota": {"requests.cpu": "3"}}),
        json!({"members": []}),
        json!({"className": "sweep-roomy"}),
        json!({"labels": {"example.com/stage": "test"}, "annotations": {"example.com/note": "a note"}}),
        json!({"contact": {"team": "others"}, "members": [{"kind": "Group", "name": "ops", "role": "edit"}]}),
    ]
}

/// Performs random actions one after another. Returns their number.
pub(super) async fn perform_random_actions(rig: &Rig, slots: &mut [Slot], random: &mut Rng) -> Result<usize> {
    let (begun, from, mut done) = (Instant::now(), rig.proxy.journal().len(), 0);
    while begun.elapsed() < ROUND_DURATION {
        let number = random.usize(..SPACES);
        let (roll, variant) = (random.u8(0..100), random.usize(..variants().len()));
        let Slot { name, expected, may_go } = &mut slots[number];
        let exists = rig.view.objects(name).contains_key("DeveloperSpace");
        let (action, next) = match (*expected, roll) {
            (None, _) if exists => continue,
            (None, _) => (UserAction::Create(space(&spec(&variants()[variant]))), Some(variant)),
            (Some(_), 0..40) => {
                (UserAction::Patch("DeveloperSpace", "$NAME", patch_to_variant(variant)), Some(variant))
            }
            (Some(same), 40..75) => (random_drift(random), Some(same)),
            (Some(same), 75..85) => {
                (UserAction::Patch("DeveloperSpace", "$NAME", json!({"spec": {"renewedAt": "$NOW"}})), Some(same))
            }
            (Some(_), 85..93) => (UserAction::Delete("DeveloperSpace", "$NAME"), None),
            (Some(_), _) => {
                let end = json!({"spec": {"className": "sweep-brief", "renewedAt": "$NOW", "expiresAt": "$SOON"}});
                (UserAction::Patch("DeveloperSpace", "$NAME", end), None)
            }
        };
        *may_go |= next.is_none();
        perform(rig, name, &action).await.with_context(|| trace(rig, name, from))?;
        *expected = next;
        done += 1;
        tokio::time::sleep(Duration::from_millis(random.u64(20..200))).await;
    }
    Ok(done)
}

/// Performs an action, and retries it while the API server is unavailable. An action on an object that does not exist,
/// such as a child that was just deleted, is skipped.
async fn perform(rig: &Rig, name: &str, act: &UserAction) -> Result<()> {
    eventually(&format!("{act:?} to be taken"), SOON, || async {
        let Err(error) = rig.perform(name, act).await else { return Ok(Some(())) };
        let code = match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) => status.code,
            _ => 0,
        };
        let is_needless = match (act, code) {
            // The first attempt created the space and the response was lost, or the previous space of that name still
            // exists.
            (UserAction::Create(expected), 409) => {
                let existing = rig.admin.find(a_space(name)).await?;
                let lives = |existing: &Value| {
                    existing["metadata"]["deletionTimestamp"].is_null() && existing["spec"]["expiresAt"].is_null()
                };
                existing.is_some_and(|existing| {
                    lives(&existing) && existing["spec"]["className"] == expected["spec"]["className"]
                })
            }
            (UserAction::Create(_) | UserAction::Patch("DeveloperSpace", ..), _) => false,
            (_, code) => matches!(code, 404 | 409),
        };
        if is_needless { Ok(Some(())) } else { Err(error) }
    })
    .await
}

/// Returns the patch that turns any variant into this one.
fn patch_to_variant(variant: usize) -> Value {
    let expected = spec(&variants()[variant]);
    let mut patch = json!({});
    for key in ["className", "members", "quota", "labels", "annotations", "contact"] {
        patch[key] = expected[key].clone();
    }
    for key in ["email", "team"] {
        patch["contact"][key] = expected["contact"][key].clone();
    }
    if expected["labels"].is_null() {
        patch["labels"] = Value::Null;
    }
    json!({"spec": patch})
}

/// A change of a namespace or of an object in it that the operator must undo.
fn random_drift(random: &mut Rng) -> UserAction {
    match random.u8(0..9) {
        0 => UserAction::Delete("ResourceQuota", "developerspace"),
        1 => UserAction::Delete("LimitRange", "developerspace"),
        2 => UserAction::Delete("RoleBinding", "developerspace-owner"),
        3 => UserAction::Delete("NetworkPolicy", "developerspace-isolation"),
        4 => UserAction::Delete("Namespace", "$NAME"),
        5 => UserAction::Patch("ResourceQuota", "developerspace", json!({"spec": {"hard": {"pods": "1"}}})),
        6 => UserAction::Patch("LimitRange", "developerspace", json!({"spec": {"limits": []}})),
        7 => UserAction::Patch(
            "Namespace",
            "$NAME",
            json!({"metadata": {"labels": {"developerspace.dev/space": null, "developerspace.dev/team": "wrong"}}}),
        ),
        _ => UserAction::Patch(
            "RoleBinding",
            "developerspace-owner",
            json!({"subjects": [], "metadata": {"labels": null}}),
        ),
    }
}

/// The last requests that concern the space, for messages.
pub(super) fn trace(rig: &Rig, name: &str, from: usize) -> String {
    let lines: Vec<String> = rig
        .proxy
        .journal()
        .since(from, |entry| entry.request_info.space.as_deref() == Some(name))
        .iter()
        .map(Entry::line)
        .collect();
    format!("the last requests about it:\n    {}", lines[lines.len().saturating_sub(25)..].join("\n    "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_turns_any_variant_into_any_other() {
        for from in variants() {
            for (to, expected) in variants().iter().enumerate() {
                let mut changed = spec(&from);
                crate::mutations::merge(&mut changed, &patch_to_variant(to)["spec"]);
                assert_eq!(changed, spec(expected), "{from} to {expected}");
            }
        }
    }
}
