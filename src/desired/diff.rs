//! The writes that turn the existing children into the wanted ones, as far as the space's [`Grant`] allows.

use super::{
    binding_changes::{self, AccessGate, BindingChanges},
    change::Change,
    child::{Child, ChildKind, Children, is_operator_name},
    grant::Grant,
    limit_bounds,
    quota::{self, Hard},
    seen_child::SeenChild,
};

/// All writes to the children of one space, in the order of the contract.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// Quota, limits and isolation: written first, concurrently with `withdrawals`.
    pub guards: Vec<Change>,
    /// Changes that remove access. They never wait.
    pub withdrawals: Vec<Change>,
    /// Changes that give access, once `gate` is open.
    pub grants: Vec<Change>,
    /// The permission for `grants`: it depends on the grant and on the guards.
    pub gate: AccessGate,
}

impl Changes {
    /// Returns true if there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.guards.is_empty() && self.withdrawals.is_empty() && self.grants.is_empty()
    }
}

/// Compares the wanted children with the existing ones by fingerprint.
pub fn diff(wanted: &Children, seen: &[SeenChild], grant: Grant) -> Changes {
    let Children { quota, limits, network, bindings } = wanted;
    let guards =
        [quota.clone().map(Child::Quota), limits.clone().map(Child::Limits), network.clone().map(Child::Network)];
    let wanted: Vec<Child> = guards.into_iter().flatten().collect();
    // Only a cut compares the limits with the quota.
    let hard = quota.as_ref().filter(|_| grant == Grant::Withheld).map(quota::hard).unwrap_or_default();
    let mut guards: Vec<Change> = wanted.iter().filter_map(|child| guard(child, seen, grant, &hard)).collect();
    // A class without a quota or limits takes none away from a space whose spec is refused: that would grant something.
    let may_go =
        |child: &SeenChild| grant != Grant::Withheld || !matches!(child.kind, ChildKind::Quota | ChildKind::Limits);
    guards.extend(
        seen.iter()
            .filter(|child| is_our_guard(child) && find(&wanted, child).is_none() && may_go(child))
            .filter_map(removal),
    );
    let is_in_force = || wanted.iter().filter_map(|child| existing(child, seen)).all(|child| child.in_force);
    let gate = match grant {
        Grant::Full if guards.is_empty() && is_in_force() => AccessGate::Open,
        Grant::Full => AccessGate::Waiting,
        Grant::NoNewcomers | Grant::Withheld => AccessGate::Closed,
    };
    let BindingChanges { withdrawals, grants } = binding_changes::changes(bindings, seen, gate);
    Changes { guards, withdrawals, grants, gate }
}

/// The write that turns an existing object into `child`; `None` if they are equal.
pub fn compare(child: &Child, existing: &SeenChild) -> Option<Change> {
    let wanted = child.fingerprint();
    let (uid, child) = (existing.uid.clone(), child.clone());
    if wanted.identity != existing.fingerprint.identity {
        let held = || Change::Held { kind: child.kind(), name: child.name().to_owned() };
        Some(if existing.going { held() } else { Change::Replace { uid, child } })
    } else if wanted.content != existing.fingerprint.content {
        Some(Change::Repair { uid, child })
    } else {
        None
    }
}

/// The write to an existing object while nothing new is granted: it is cut to `wanted` and granted nothing that it
/// lacks. `hard` is the wanted quota.
pub fn cut(wanted: &Child, existing: &Child, hard: &Hard) -> Option<Change> {
    match (wanted, existing) {
        (Child::Quota(wanted), Child::Quota(existing)) => {
            let lowered = Child::Quota(quota::lower(wanted, existing));
            compare(&lowered, &Child::Quota(existing.clone()).seen())
        }
        (Child::Limits(wanted), Child::Limits(existing)) => {
            let kept = Child::Limits(limit_bounds::keep_strict(wanted, existing, hard));
            compare(&kept, &Child::Limits(existing.clone()).seen())
        }
        (Child::Binding(wanted), existing) => binding_changes::narrow(wanted, &existing.seen()),
        (wanted, existing) => compare(wanted, &existing.seen()),
    }
}

fn guard(child: &Child, seen: &[SeenChild], grant: Grant, hard: &Hard) -> Option<Change> {
    let is_cut = grant == Grant::Withheld && matches!(child.kind(), ChildKind::Quota | ChildKind::Limits);
    let Some(existing) = existing(child, seen) else {
        return Some(if is_cut { Change::Cut(child.clone(), hard.clone()) } else { Change::Create(child.clone()) });
    };
    let change = compare(child, existing)?;
    Some(if is_cut { Change::Cut(child.clone(), hard.clone()) } else { change })
}

fn existing<'a>(child: &Child, seen: &'a [SeenChild]) -> Option<&'a SeenChild> {
    seen.iter().find(|seen| seen.kind == child.kind() && &*seen.name == child.name())
}

fn find<'a>(wanted: &'a [Child], seen: &SeenChild) -> Option<&'a Child> {
    wanted.iter().find(|child| seen.kind == child.kind() && &*seen.name == child.name())
}

/// The removal of a child; `None` if it is terminating already.
fn removal(existing: &SeenChild) -> Option<Change> {
    let SeenChild { kind, name, uid, .. } = existing;
    (!existing.going).then(|| Change::Remove { kind: *kind, name: name.to_string(), uid: uid.clone() })
}

/// Returns true if the child is a guard of the operator, by its name. A copy under another name belongs to another
/// client.
fn is_our_guard(child: &SeenChild) -> bool {
    child.kind != ChildKind::Binding && is_operator_name(child.kind, &child.name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ResourceQuota;
    use serde_json::{Value, json};

    use super::*;

    fn quota(hard: &Value, counted: &Value) -> ResourceQuota {
        let metadata = json!({"name": "developerspace", "uid": "uid-of-the-quota", "labels": {"app.kubernetes.io/managed-by": "developerspace-operator"}});
        serde_json::from_value(json!({"metadata": metadata, "spec": {"hard": hard}, "status": {"hard": counted}}))
            .unwrap()
    }

    fn with_quota(hard: &Value) -> Children {
        Children { quota: Some(quota(hard, &Value::Null)), ..Children::default() }
    }

    #[test]
    fn the_gate_opens_when_the_quota_is_in_force() {
        let hard = json!({"pods": "3", "requests.cpu": "2"});
        for (counted, gate) in [
            (json!({"pods": "3", "requests.cpu": "2000m"}), AccessGate::Open),
            (json!({"pods": "2", "requests.cpu": "2", "services": "1"}), AccessGate::Open),
            (json!({"pods": "4", "requests.cpu": "2"}), AccessGate::Waiting),
            (json!({"pods": "3"}), AccessGate::Waiting),
            (json!({}), AccessGate::Waiting),
            (Value::Null, AccessGate::Waiting),
        ] {
            let seen = [Child::Quota(quota(&hard, &counted)).seen()];
            assert_eq!(diff(&with_quota(&hard), &seen, Grant::Full).gate, gate, "{counted}");
            assert_eq!(diff(&with_quota(&hard), &seen, Grant::NoNewcomers).gate, AccessGate::Closed);
        }
        assert_eq!(
            diff(&Children::default(), &[], Grant::Full).gate,
            AccessGate::Open,
            "a class without a quota has nothing to wait for"
        );
    }

    #[test]
    fn while_nothing_is_granted_a_quota_is_only_lowered() {
        let existing =
            Child::Quota(quota(&json!({"pods": "3", "requests.cpu": "500m", "services": "1"}), &Value::Null));
        let wanted = |hard: &Value| Child::Quota(quota(hard, &Value::Null));
        for (hard, lowered) in [
            (
                json!({"pods": "5", "requests.cpu": "2", "secrets": "7"}),
                json!({"pods": "3", "requests.cpu": "500m", "secrets": "7"}),
            ),
            (json!({"pods": "2", "requests.cpu": "0.5"}), json!({"pods": "2", "requests.cpu": "0.5"})),
        ] {
            let expected = Change::Repair { uid: "uid-of-the-quota".into(), child: wanted(&lowered) };
            assert_eq!(cut(&wanted(&hard), &existing, &Hard::new()), Some(expected), "{hard}");
        }
        assert_eq!(
            cut(&wanted(&json!({"pods": "4", "requests.cpu": "1", "services": "9"})), &existing, &Hard::new()),
            None
        );
        let changes = diff(&with_quota(&json!({"pods": "4"})), &[existing.seen()], Grant::Withheld);
        assert_eq!(
            changes.guards,
            [Change::Cut(wanted(&json!({"pods": "4"})), [("pods".to_owned(), "4".into())].into())]
        );
    }

    #[test]
    fn a_class_without_a_quota_takes_none_away_while_nothing_is_granted() {
        let seen = [Child::Quota(quota(&json!({"pods": "3"}), &json!({"pods": "3"}))).seen()];
        let removal = Change::Remove {
            kind: ChildKind::Quota,
            name: "developerspace".to_owned(),
            uid: "uid-of-the-quota".into(),
        };
        assert_eq!(diff(&Children::default(), &seen, Grant::Full).guards, [removal]);
        assert_eq!(diff(&Children::default(), &seen, Grant::Withheld).guards, []);
    }
}
