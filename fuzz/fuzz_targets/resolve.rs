//! Arbitrary structures instead of bytes, so that the fuzzer spends its time on the decisions and not on the decoder.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use chrono::{DateTime, Utc};
use developerspace_operator::{
    api::{
        ClassMetadata, ClassQuota, Contact, DeletionPolicy, DeveloperSpace, DeveloperSpaceSpec, DeveloperSpaceStatus, Lifetime,
        LimitRangeItem, LimitType, Member, Role, SpaceClassSpec, Subject, SubjectKind, Warning, quantity::Quantity,
    },
    desired::{
        Child, Grant,
        class::check,
        desire,
        diff::diff,
        lifetime::{
            inputs::{lifetime_inputs, refusal},
            outlook::outlook,
            rules::LifetimeRules,
            stage::{SEAL_LEAD, Stage},
        },
        resolve,
    },
};
use libfuzzer_sys::fuzz_target;

type List<'a> = Vec<(Key<'a>, &'a str)>;

#[derive(Arbitrary, Debug)]
enum Key<'a> {
    Cpu,
    RequestsCpu,
    LimitsMemory,
    Pods,
    Other(&'a str),
}

#[derive(Arbitrary, Debug)]
struct Item<'a> {
    type_: u8,
    lists: [List<'a>; 5],
}

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    now: i64,
    renewed: Option<i64>,
    expires: Option<i64>,
    ttl: Option<&'a str>,
    protected: bool,
    warned: Option<(i64, &'a str, i64)>,
    recorded: Option<(i64, i64)>,
    members: Vec<(&'a str, bool)>,
    labels: Vec<(&'a str, &'a str)>,
    quota: List<'a>,
    items: Vec<Item<'a>>,
    hard: List<'a>,
    max: List<'a>,
    class_items: Vec<Item<'a>>,
    spans: [Option<&'a str>; 4],
    warn_before: Vec<&'a str>,
    allowed: Vec<&'a str>,
    owner_role: &'a str,
}

fn time(second: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second, 0)
}

fn list(list: &List<'_>) -> BTreeMap<String, Quantity> {
    let name = |key: &Key<'_>| match key {
        Key::Cpu => "cpu".to_owned(),
        Key::RequestsCpu => "requests.cpu".to_owned(),
        Key::LimitsMemory => "limits.memory".to_owned(),
        Key::Pods => "pods".to_owned(),
        Key::Other(other) => (*other).to_owned(),
    };
    list.iter().map(|(key, value)| (name(key), Quantity::from(*value))).collect()
}

fn items(items: &[Item<'_>]) -> Vec<LimitRangeItem> {
    let item = |Item { type_, lists: [default, default_request, max, min, ratio] }: &Item<'_>| LimitRangeItem {
        type_: [LimitType::Container, LimitType::Pod, LimitType::PersistentVolumeClaim][usize::from(*type_) % 3],
        default: list(default),
        default_request: list(default_request),
        max: list(max),
        min: list(min),
        max_limit_request_ratio: list(ratio),
    };
    items.iter().map(item).collect()
}

fn space(input: &Input<'_>) -> DeveloperSpace {
    let member = |(name, known): &(&str, bool)| Member {
        kind: SubjectKind::Group,
        name: (*name).to_owned(),
        namespace: None,
        role: if *known { "view".to_owned() } else { (*name).to_owned() },
    };
    let labels: BTreeMap<_, _> = input.labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let spec = DeveloperSpaceSpec {
        class_name: None,
        owner: Subject { kind: SubjectKind::User, name: "alice".into(), namespace: None },
        members: input.members.iter().map(member).collect(),
        display_name: None,
        description: None,
        contact: Some(Contact { team: input.members.first().map(|(name, _)| (*name).to_owned()), ..Contact::default() }),
        annotations: labels.clone(),
        labels,
        ttl: input.ttl.map(str::to_owned),
        expires_at: input.expires.and_then(time),
        renewed_at: input.renewed.and_then(time),
        quota: list(&input.quota),
        limit_range: items(&input.items),
        protected: input.protected,
        deletion_policy: DeletionPolicy::Delete,
    };
    let warning =
        input.warned.and_then(|(at, before, of)| Some(Warning { at: time(at)?, before: before.to_owned(), expires_at: time(of)? }));
    let status = DeveloperSpaceStatus {
        last_warning: warning,
        expires_at: input.recorded.and_then(|(end, _)| time(end)),
        last_renewed_at: input.recorded.and_then(|(_, renewed)| time(renewed)),
        ..DeveloperSpaceStatus::default()
    };
    let mut space = DeveloperSpace::new("alice", spec);
    space.status = Some(status);
    space
}

fn class(input: &Input<'_>) -> SpaceClassSpec {
    let [default_ttl, max_ttl, max_lifetime, retain_expired] = input.spans.map(|text| text.map(str::to_owned));
    let warn_before = input.warn_before.iter().map(|text| (*text).to_owned()).collect();
    SpaceClassSpec {
        owner_role: input.owner_role.to_owned(),
        roles: vec![Role { name: "view".into(), cluster_role: "view".into() }],
        quota: Some(ClassQuota { hard: list(&input.hard), max: list(&input.max) }),
        limit_range: items(&input.class_items),
        lifetime: Some(Lifetime {
            default_ttl,
            max_ttl,
            max_lifetime,
            allow_never: true,
            allow_protected: false,
            warn_before,
            retain_expired,
        }),
        metadata: Some(ClassMetadata {
            allowed_keys: input.allowed.iter().map(|key| (*key).to_owned()).collect(),
            ..ClassMetadata::default()
        }),
        ..SpaceClassSpec::default()
    }
}

fuzz_target!(|input: Input<'_>| {
    let (space, class) = (space(&input), class(&input));
    let Some(now) = time(input.now) else { return };
    let rules = LifetimeRules::from_class(&class).ok();
    let is_accepted = rules.as_ref().is_some_and(|rules| refusal(&space, rules, now).is_none());
    let outlook = outlook(&lifetime_inputs(&space, rules.as_ref(), is_accepted, now), now);
    assert!(outlook.stage != Stage::Due || outlook.expires_at.is_some_and(|at| at <= now + SEAL_LEAD), "{outlook:?}");
    assert!(outlook.wake.is_none_or(|wake| wake > now), "{outlook:?}");
    if check(&class).is_err() {
        return;
    }
    // The quota of a space is within the ceiling, whatever its spec asks for, and the created objects need no second
    // write.
    let resolved = resolve(&space, "fuzz", &class).resolved;
    let ceilings = class.quota.unwrap_or_default();
    for (key, value) in &resolved.quota {
        let ceiling = ceilings.max.get(key).or_else(|| ceilings.hard.get(key)).expect("the class has the limit");
        assert!(value.value() <= ceiling.value(), "{key}: {value:?} is above {ceiling:?}");
    }
    let children = desire(&space, &resolved, outlook.expires_at).children;
    let made: Vec<_> =
        [children.quota.clone().map(Child::from), children.limits.clone().map(Child::from), children.network.clone().map(Child::from)]
            .into_iter()
            .flatten()
            .chain(children.bindings.iter().cloned().map(Child::from))
            .map(|child| child.seen())
            .collect();
    assert!(diff(&children, &made, Grant::Full).is_empty());
});
