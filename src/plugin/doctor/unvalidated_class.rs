//! A class whose current spec the operator has not validated: an earlier spec applies, or new spaces wait.

use chrono::{DateTime, Utc};
use kube::ResourceExt as _;

use super::{
    diagnosis::{Advice, Diagnosis},
    operator,
    snapshot::ClusterSnapshot,
};
use crate::{
    api::{SpaceClass, conditions::Reason},
    desired::plan::{ClassVerdict, class_verdict},
    plugin::spaces::ready,
};

pub(super) fn diagnose(snapshot: &ClusterSnapshot, _now: DateTime<Utc>) -> Vec<Diagnosis> {
    // The finding about a space that waits for the validation contains the advice.
    let waits = snapshot
        .space
        .object()
        .and_then(ready)
        .is_some_and(|(_, reason, _)| reason == Reason::ClassNotAccepted.as_str());
    let outdated = snapshot.class().filter(|class| !waits && class.in_force().is_some());
    let advice = outdated.and_then(|class| advice(snapshot, class));
    advice.map(|(sentence, commands)| Diagnosis::warning(sentence).with_commands(commands)).into_iter().collect()
}

/// The advice about `class`, if the operator has not validated its current spec.
pub(super) fn advice(snapshot: &ClusterSnapshot, class: &SpaceClass) -> Option<Advice> {
    if class_verdict(class) != ClassVerdict::Pending {
        return None;
    }
    let name = class.name_any();
    let effect = if class.in_force().is_some() { "the spec that was accepted last applies" } else { "new spaces wait" };
    let (state, commands) = operator::state(snapshot);
    let sentence = format!(
        "The operator has not validated the current spec of SpaceClass {name}, so {effect}. The validation usually takes a moment. If this \
        persists, a webhook or a policy of the cluster may reject the operator's write of the status of the class: the Events about the \
        class contain the error. {state}"
    );
    Some((sentence, std::iter::once(format!("kubectl describe spaceclass {name}")).chain(commands).collect()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::doctor::{
        fetched::Fetched,
        fixtures::{class, healthy, lines, now, parse, set_unready, space},
    };

    /// The class in its fourth generation, with the result for another one and the spec that was accepted last.
    fn class_validated_in(generation: i64, accepted: &Value) -> SpaceClass {
        let mut class = class();
        class.metadata.generation = Some(4);
        class.status = parse(json!({"observedGeneration": generation, "accepted": accepted, "conditions": [{
            "type": "Accepted", "status": "True", "reason": "Valid", "message": "", "observedGeneration": generation,
            "lastTransitionTime": "2026-11-20T09:00:00Z",
        }]}));
        class
    }

    #[test]
    fn a_change_of_a_class_that_the_operator_has_not_validated_is_reported() {
        let mut snapshot = healthy();
        let found = |snapshot: &ClusterSnapshot| lines(&diagnose(snapshot, now()));
        assert_eq!(found(&snapshot), Vec::<String>::new());
        for (generation, accepted) in [(4, json!({"description": "current"})), (3, Value::Null)] {
            snapshot.classes = Fetched::Found(vec![class_validated_in(generation, &accepted)]);
            assert_eq!(found(&snapshot), Vec::<String>::new(), "validated in generation {generation}");
        }
        snapshot.classes = Fetched::Found(vec![class_validated_in(3, &json!({"description": "earlier"}))]);
        let expected = [
            "Warning: The operator has not validated the current spec of SpaceClass greenhouse, so the spec that was accepted last applies. \
            The validation usually takes a moment. If this persists, a webhook or a policy of the cluster may reject the operator's write of \
            the status of the class: the Events about the class contain the error. The operator is running (2 of 2 replicas are available); \
            see its log for details.",
            "  kubectl describe spaceclass greenhouse",
            "  kubectl -n developerspace-system logs deployment/developerspace-operator --tail=20",
        ];
        assert_eq!(found(&snapshot), expected);
        let mut moving = space();
        set_unready(&mut moving, "ClassNotAccepted", "");
        snapshot.space = Fetched::Found(Some(moving));
        assert_eq!(found(&snapshot), Vec::<String>::new(), "another finding contains the advice");
    }
}
