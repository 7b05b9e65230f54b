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
    // The finding about a space that waits for the validation of the class that it names contains the advice.
    let waits = snapshot
        .space
        .object()
        .and_then(ready)
        .is_some_and(|(_, reason, _)| reason == Reason::ClassNotAccepted.as_str());
    let waits_for =
        |class: &SpaceClass| waits && snapshot.class().is_some_and(|named| named.name_any() == class.name_any());
    let outdated = snapshot.class_in_force().filter(|class| class.in_force().is_some() && !waits_for(class));
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
        fixtures::{class, class_validated_in, healthy, lines, now, set_unready, space},
    };

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
        snapshot.space = Fetched::Found(Some(moving.clone()));
        assert_eq!(found(&snapshot), Vec::<String>::new(), "another finding contains the advice");
        // The class that the space asks for is another one.
        moving.spec.class_name = Some("walled".to_owned());
        snapshot.space = Fetched::Found(Some(moving));
        let mut walled = class();
        walled.metadata.name = Some("walled".to_owned());
        snapshot.classes = Fetched::Found(vec![walled, class_validated_in(3, &json!({"description": "earlier"}))]);
        assert_eq!(found(&snapshot), expected, "the class in force is reported");
    }
}
