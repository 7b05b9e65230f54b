//! `describe`: prints all information about a space, and the next steps.

use std::{collections::BTreeMap, fmt::Write as _};

use chrono::{DateTime, Utc};
use clap::Args;
use k8s_openapi::api::{authentication::v1::UserInfo, core::v1::Namespace};
use kube::{Api, ResourceExt as _};

use super::{
    args::OutputArgs,
    class_in_force::ClassInForce,
    cluster::Cluster,
    events::{self, About},
    expiry_setting,
    flags::Flags,
    format,
    membership::includes_user,
    namespace_finalizers::namespace_finalizers,
    output, protection,
    quotas::{self, Use},
    requests, spaces,
};
use crate::{
    api::{
        DeveloperSpace, SpaceClass,
        conditions::types,
        duration::format_duration,
        time::{from_k8s, rfc3339},
        without_managed_fields::WithoutManagedFields,
    },
    desired::lifetime::{
        inputs::{is_sealed, retention},
        rules::Rules,
    },
};

/// Arguments of `describe`.
#[derive(Clone, Debug, Args)]
pub struct DescribeArgs {
    /// The space
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The output format.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The number of events that are shown.
const EVENTS: usize = 10;

/// The objects that the description is generated from.
struct Facts {
    space: DeveloperSpace,
    class: Option<SpaceClass>,
    namespace: Option<Namespace>,
    quota: Vec<Use>,
    events: About,
    me: Option<UserInfo>,
}

pub(crate) async fn run(cluster: &Cluster, args: &DescribeArgs) -> anyhow::Result<()> {
    let space = requests::get_space(cluster, &args.name).await?;
    if !args.output.output.is_table() {
        return output::object(&args.output.output, &space, String::new);
    }
    let class_name = space.status.as_ref().and_then(|status| status.class_name.clone());
    // Objects that cannot be read are omitted, for example if the caller has no permission.
    let class = match &class_name {
        Some(name) => requests::find_class(cluster, name).await.unwrap_or_default(),
        None => None,
    };
    let namespace = Api::<WithoutManagedFields<Namespace>>::all(cluster.client.clone()).get_opt(&args.name).await.unwrap_or_default();
    let namespace = namespace.map(|WithoutManagedFields(namespace)| namespace);
    let quota = quotas::of(cluster, std::slice::from_ref(&args.name)).await?.remove(&args.name).unwrap_or_default();
    let events = events::about(cluster, &args.name).await;
    let events = events.unwrap_or_else(|error| About { failed: Some(format!("{error:#}")), ..About::default() });
    let me = cluster.whoami().await.ok();
    output::print(&text(&Facts { space, class, namespace, quota, events, me }, &cluster.flags, cluster.now()))
}

/// The description. The flags are added only to the sections that contain commands of the operator and of the plugin.
fn text(facts: &Facts, flags: &Flags, now: DateTime<Utc>) -> String {
    let mut sections = vec![heading(&facts.space, facts.class.as_ref(), facts.namespace.as_ref())];
    if !facts.quota.is_empty() {
        let rows = facts.quota.iter().map(Use::cells);
        sections.push(format!("Quota:\n{}", indented(&output::table(["RESOURCE", "USED", "HARD", "SHARE"], rows, false))));
    }
    let life = life(&facts.space, facts.class.as_ref(), now);
    sections.push(format!("Lifetime:\n{}", indented(&timeline(&life, now))));
    let conditions = facts.space.status.iter().flat_map(|status| &status.conditions);
    let rows = conditions.map(|found| [found.type_.clone(), found.status.clone(), found.reason.clone(), format::one_line(&found.message)]);
    let conditions = format!("Conditions:\n{}", indented(&output::table(["TYPE", "STATUS", "REASON", "MESSAGE"], rows, false)));
    let next = next(&facts.space, facts.class.as_ref(), facts.me.as_ref(), now);
    let next = format!("Next steps:\n{}", indented(&next.join("\n")));
    let with_commands = std::iter::once(conditions).chain(events_of(&facts.events, now)).chain([next]);
    sections.extend(with_commands.map(|section| flags.on(&section)));
    sections.join("\n\n")
}

/// The last Events, and a line for each reason why others are missing.
fn events_of(about: &About, now: DateTime<Utc>) -> Option<String> {
    let last = &about.events[about.events.len().saturating_sub(EVENTS)..];
    let table = (!last.is_empty()).then(|| events::table(last, now));
    let gaps = about.omitted().into_iter().chain(about.failed.clone()).map(|gap| format::one_line(&gap));
    let lines: Vec<String> = table.into_iter().chain(gaps).collect();
    (!lines.is_empty()).then(|| format!("Events:\n{}", indented(&lines.join("\n"))))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

fn heading(space: &DeveloperSpace, class: Option<&SpaceClass>, live: Option<&Namespace>) -> String {
    let spec = &space.spec;
    let status = space.status.clone().unwrap_or_default();
    let contact = spec.contact.clone().unwrap_or_default();
    let cost_center = contact.cost_center.map(|code| format!("cost centre {code}"));
    let contact: Vec<String> = [contact.team, contact.email, contact.chat, contact.url, cost_center].into_iter().flatten().collect();
    let members: Vec<String> = spec.members.iter().map(|member| format!("{} ({})", member.subject(), member.role)).collect();
    let pairs = |map: &BTreeMap<String, String>| map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    let lines = [
        ("Name", vec![space.name_any()]),
        ("Display name", spec.display_name.iter().cloned().collect()),
        ("Description", spec.description.iter().cloned().collect()),
        ("Owner", vec![spec.owner.to_string()]),
        ("Members", members),
        ("Class", status.class_name.or_else(|| spec.class_name.clone()).into_iter().collect()),
        ("Contact", contact),
        ("Namespace", status.namespace.map(|namespace| format!("{} ({})", namespace.name, namespace.uid)).into_iter().collect()),
        ("Blocked by", live.and_then(held).into_iter().collect()),
        ("Labels", pairs(&spec.labels)),
        ("Annotations", pairs(&spec.annotations)),
        ("Protected", protected(space, class).into_iter().collect()),
    ];
    let mut text = String::new();
    for (title, values) in lines.into_iter().filter(|(_, values)| !values.is_empty()) {
        let title = format!("{title}:");
        let _ = writeln!(text, "{title:<14} {}", format::one_line(&values.join(", ")));
    }
    text.trim_end().to_owned()
}

/// The protection, if the spec requests it.
fn protected(space: &DeveloperSpace, class: Option<&SpaceClass>) -> Option<String> {
    let class = class.map(|class| class.in_force().unwrap_or(&class.spec));
    let text = if protection::is_endless(space, class) {
        "yes: it never expires and cannot be deleted"
    } else {
        "requested, but not in force; it takes effect when the operator accepts the spec"
    };
    space.spec.protected.then(|| text.to_owned())
}

/// The finalizers on a Namespace that is being deleted.
fn held(namespace: &Namespace) -> Option<String> {
    namespace.metadata.deletion_timestamp.as_ref()?;
    let finalizers = namespace_finalizers(namespace);
    (!finalizers.is_empty()).then(|| format!("the namespace is terminating and still has the finalizer {}", finalizers.join(", ")))
}

/// The past and future events in the lifetime of a space, in chronological order.
fn life(space: &DeveloperSpace, class: Option<&SpaceClass>, now: DateTime<Utc>) -> Vec<(DateTime<Utc>, String)> {
    let status = space.status.clone().unwrap_or_default();
    let rules = class.and_then(|class| Rules::of(ClassInForce::new(class).spec).ok());
    let mut moments: Vec<(DateTime<Utc>, String)> = Vec::new();
    moments.extend(space.metadata.creation_timestamp.as_ref().and_then(from_k8s).map(|at| (at, "created".to_owned())));
    moments.extend(status.ready_at.map(|at| (at, "ready".to_owned())));
    let renewals = status.renewals.unwrap_or_default();
    moments.extend(status.last_renewed_at.map(|at| (at, format!("renewed ({renewals} in total)"))));
    moments.extend(status.last_warning.map(|warning| (warning.at, format!("warned, {} before expiry", warning.before))));
    if let Some(end) = status.expires_at {
        // A warning threshold in the past is omitted: its warning has been sent, or will never be sent.
        for before in rules.iter().flat_map(|rules| &rules.warn_before) {
            let edge = end.checked_sub_signed(*before).filter(|edge| *edge > now);
            moments.extend(edge.map(|edge| (edge, format!("warning, {} before expiry", format_duration(*before)))));
        }
        moments.push((end, the_end(space, end <= now).to_owned()));
        let forgotten = end.checked_add_signed(retention(rules.as_ref()));
        moments.extend(forgotten.map(|at| (at, "this DeveloperSpace is deleted".to_owned())));
    }
    moments.sort_by_key(|(at, _)| *at);
    moments
}

fn the_end(space: &DeveloperSpace, is_past: bool) -> &'static str {
    match (is_sealed(space), is_past) {
        (true, _) => "expired",
        (false, true) => "expired: the namespace is about to be deleted with everything in it",
        (false, false) => "expires: the namespace is deleted with everything in it",
    }
}

fn timeline(life: &[(DateTime<Utc>, String)], now: DateTime<Utc>) -> String {
    let line = |(at, what): &(DateTime<Utc>, String)| format!("* {}  {:<14} {what}", rfc3339(*at), format::from_now(now, *at));
    let past = life.iter().filter(|(at, _)| *at <= now).map(line);
    let coming = life.iter().filter(|(at, _)| *at > now).map(line);
    past.chain([format!("> {}  now", rfc3339(now))]).chain(coming).collect::<Vec<_>>().join("\n")
}

/// The suggested next steps of the caller.
fn next(space: &DeveloperSpace, class: Option<&SpaceClass>, me: Option<&UserInfo>, now: DateTime<Utc>) -> Vec<String> {
    let name = space.name_any();
    if is_sealed(space) {
        return vec![format!(
            "It has expired and cannot be renewed. To create a new one: kubectl dspace create NAME --owner {}",
            owner(space)
        )];
    }
    if space.metadata.deletion_timestamp.is_some() {
        return vec![format!("It is being deleted. If that takes long: kubectl dspace doctor {name}")];
    }
    let ready = spaces::is_true(space, types::READY);
    let mut next = Vec::new();
    if !ready {
        next.push(format!("It is not ready. To see the cause and the fix: kubectl dspace doctor {name}"));
    }
    let unmoved = expiry_setting::set_by(space, class).and_then(|set_by| expiry_setting::unmoved(space, set_by));
    match (spaces::expires_at(space), unmoved) {
        (Some(end), Some(why)) => next.push(format!("It expires {}, and {why}.", format::from_now(now, end))),
        (Some(end), None) if end > now => {
            next.push(format!("It expires {}. To keep it: kubectl dspace renew {name}", format::from_now(now, end)));
        }
        (Some(_), None) => next.push(format!("It has expired, but it is not sealed yet. To keep it: kubectl dspace renew {name}")),
        (None, _) => {}
    }
    if ready {
        next.push(format!("List its objects: kubectl -n {name} get all"));
        next.push(if me.is_none_or(|me| includes_user(space, me)) {
            format!("Get a kubeconfig for it: kubectl dspace kubeconfig {name} -o FILE")
        } else {
            format!("Get a kubeconfig for its owner: kubectl dspace kubeconfig {name} --for {} -o FILE", owner(space))
        });
    }
    next
}

/// The owner as a word in a command.
fn owner(space: &DeveloperSpace) -> String {
    format::shell(&format::one_line(&space.spec.owner.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        api::Terms,
        plugin::{
            args::KubectlArgs,
            fixtures::{a_space, now},
        },
    };

    fn a_class() -> SpaceClass {
        serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "standard"},
            "spec": {"lifetime": {"warnBefore": ["2d", "1h"], "retainExpired": "3d"}},
        }))
        .unwrap()
    }

    #[test]
    fn a_space_with_a_day_to_go() {
        let mut space = a_space();
        let warning = json!({"at": "2026-11-23T13:00:00Z", "before": "2d", "expiresAt": "2026-11-25T13:00:00Z"});
        space.status.as_mut().unwrap().last_warning = serde_json::from_value(warning).unwrap();
        let quota = vec![Use { resource: "pods".into(), used: "2".into(), hard: "4".into(), share: 0.5 }];
        let facts = Facts { space, class: Some(a_class()), namespace: None, quota, events: About::default(), me: None };
        let shown = text(&facts, &Flags::default(), now());
        let expected = "\
Name:          orchid-lab
Owner:         User:nadia@example.com
Members:       Group:zoology (view)
Class:         standard
Contact:       botany, botany@example.com
Namespace:     orchid-lab (uid-7)

Quota:
  RESOURCE   USED   HARD   SHARE
  pods       2      4      [#####.....]  50%

Lifetime:
  * 2026-11-20T09:00:00Z  4d ago         created
  * 2026-11-20T09:00:02Z  3d23h ago      ready
  * 2026-11-22T09:00:00Z  2d ago         renewed (1 in total)
  * 2026-11-23T13:00:00Z  20h ago        warned, 2d before expiry
  > 2026-11-24T09:00:00Z  now
  * 2026-11-25T12:00:00Z  in 1d3h        warning, 1h before expiry
  * 2026-11-25T13:00:00Z  in 1d4h        expires: the namespace is deleted with everything in it
  * 2026-11-28T13:00:00Z  in 4d4h        this DeveloperSpace is deleted

Conditions:
  TYPE    STATUS   REASON        MESSAGE
  Ready   True     Provisioned   all is in place

Next steps:
  It expires in 1d4h. To keep it: kubectl dspace renew orchid-lab
  List its objects: kubectl -n orchid-lab get all
  Get a kubeconfig for it: kubectl dspace kubeconfig orchid-lab -o FILE";
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_space_that_has_expired() {
        let mut space: DeveloperSpace = serde_json::from_value(json!({
            "apiVersion": "developerspace.dev/v1alpha1",
            "kind": "DeveloperSpace",
            "metadata": {"name": "moss-bed", "creationTimestamp": "2026-11-22T09:00:00Z"},
            "spec": {
                "owner": {"kind": "Group", "name": "herbarium"},
                "description": "Mosses\nand ferns",
                "contact": {"costCenter": "4711"},
                "labels": {"example.com/tier": "wet"},
            },
            "status": {"className": "greenhouse", "expiresAt": "2026-11-24T07:00:00Z"},
        }))
        .unwrap();
        let expired = json!({
            "type": "Expired", "status": "True", "reason": "TimeIsUp", "message": "this DeveloperSpace has expired",
            "lastTransitionTime": "2026-11-24T07:00:00Z",
        });
        space.status.as_mut().unwrap().conditions = vec![serde_json::from_value(expired).unwrap()];
        let event = json!({"metadata": {"name": "e"}, "eventTime": "2026-11-24T07:00:00.000000Z", "type": "Normal", "reason": "Expired", "note": "gone"});
        let events = About { events: vec![serde_json::from_value(event).unwrap()], ..About::default() };
        let expected = "\
Name:          moss-bed
Description:   Mosses and ferns
Owner:         Group:herbarium
Class:         greenhouse
Contact:       cost centre 4711
Labels:        example.com/tier=wet

Lifetime:
  * 2026-11-22T09:00:00Z  2d ago         created
  * 2026-11-24T07:00:00Z  2h ago         expired
  > 2026-11-24T09:00:00Z  now
  * 2026-12-01T07:00:00Z  in 6d22h       this DeveloperSpace is deleted

Conditions:
  TYPE      STATUS   REASON     MESSAGE
  Expired   True     TimeIsUp   this DeveloperSpace has expired

Events:
  AGE   TYPE     REASON    MESSAGE
  2h    Normal   Expired   gone

Next steps:
  It has expired and cannot be renewed. To create a new one: kubectl dspace create NAME --owner Group:herbarium";
        let facts = Facts { space, class: None, namespace: None, quota: vec![], events, me: None };
        assert_eq!(text(&facts, &Flags::default(), now()), expected);
    }

    #[test]
    fn texts_of_the_owner_stay_unchanged() {
        let mut space = a_space();
        space.spec.description = Some("First: kubectl get pods".to_owned());
        let message = "namespace orchid-lab exists: kubectl annotate namespace orchid-lab x=y";
        message.clone_into(&mut space.status.as_mut().unwrap().conditions[0].message);
        let flags = Flags::of(&KubectlArgs { context: Some("staging".to_owned()), ..KubectlArgs::default() });
        let facts = Facts { space, class: None, namespace: None, quota: vec![], events: About::default(), me: None };
        let shown = text(&facts, &flags, now());
        for line in [
            "Description:   First: kubectl get pods",
            "  Ready   True     Provisioned   namespace orchid-lab exists: kubectl --context staging annotate namespace orchid-lab x=y",
            "  List its objects: kubectl --context staging -n orchid-lab get all",
        ] {
            assert!(shown.lines().any(|found| found == line), "{shown}");
        }
    }

    #[test]
    fn a_space_whose_time_is_up_can_be_kept_until_it_is_sealed() {
        let mut space = a_space();
        let status = space.status.as_mut().unwrap();
        status.expires_at = Some(now() - chrono::TimeDelta::seconds(30));
        status.conditions.clear();
        let coming: Vec<String> = life(&space, Some(&a_class()), now()).into_iter().map(|(_, what)| what).collect();
        assert_eq!(coming[3..], [the_end(&space, true), "this DeveloperSpace is deleted"], "no warning is yet to come");
        let expected = [
            "It is not ready. To see the cause and the fix: kubectl dspace doctor orchid-lab",
            "It has expired, but it is not sealed yet. To keep it: kubectl dspace renew orchid-lab",
        ];
        assert_eq!(next(&space, None, None, now()), expected);
    }

    #[test]
    fn a_caller_from_outside_the_space_gets_a_kubeconfig_for_the_owner() {
        let last = |name: &str| {
            let me = UserInfo { username: Some(name.to_owned()), ..UserInfo::default() };
            next(&a_space(), None, Some(&me), now()).pop().unwrap()
        };
        assert_eq!(last("nadia@example.com"), "Get a kubeconfig for it: kubectl dspace kubeconfig orchid-lab -o FILE");
        let expected = "Get a kubeconfig for its owner: kubectl dspace kubeconfig orchid-lab --for User:nadia@example.com -o FILE";
        assert_eq!(last("ines@example.com"), expected);
    }

    #[test]
    fn no_renewal_is_advised_where_none_helps() {
        let mut class = a_class();
        class.spec.lifetime.as_mut().unwrap().max_lifetime = Some("5d4h".to_owned());
        let line = next(&a_space(), Some(&class), None, now());
        let expected = "It expires in 1d4h, and a renewal does not extend its lifetime, because its SpaceClass limits the lifetime of a \
            space to 5d4h (lifetime.maxLifetime): create another space with `kubectl dspace create OTHER-NAME`, or move this space to a \
            class that allows a longer lifetime.";
        assert_eq!(line[0], expected);
        assert!(line.iter().all(|line| !line.contains("dspace renew")), "{line:?}");
        let mut dated = a_space();
        let status = dated.status.as_mut().unwrap();
        status.terms = Some(Terms { expires_at: status.expires_at, ..Terms::default() });
        dated.spec.expires_at = status.expires_at;
        let line = next(&dated, None, None, now());
        let expected = "It expires in 1d4h, and a renewal does not extend its lifetime, because spec.expiresAt sets the end: set a later \
            date with `kubectl edit dspace orchid-lab`, or set a ttl with `kubectl dspace renew orchid-lab --ttl DURATION`.";
        assert_eq!(line[0], expected);
    }

    #[test]
    fn a_protection_is_told_as_far_as_it_is_in_force() {
        let line = |space: &DeveloperSpace, class: &SpaceClass| {
            let shown = heading(space, Some(class), None);
            shown.lines().find_map(|line| line.strip_prefix("Protected:")).map(|text| text.trim().to_owned())
        };
        let (mut space, mut class) = (a_space(), a_class());
        class.spec.lifetime.as_mut().unwrap().allow_protected = true;
        assert_eq!(line(&space, &class), None);
        space.spec.protected = true;
        let requested = Some("requested, but not in force; it takes effect when the operator accepts the spec".to_owned());
        assert_eq!(line(&space, &class), requested, "it has an end");
        space.status.as_mut().unwrap().expires_at = None;
        assert_eq!(line(&space, &class).as_deref(), Some("yes: it never expires and cannot be deleted"));
        assert_eq!(line(&space, &a_class()), requested, "the class does not allow it");
    }

    #[test]
    fn events_that_could_not_be_read_are_told() {
        let event = json!({"metadata": {"name": "e"}, "eventTime": "2026-11-24T07:00:00.000000Z", "type": "Normal", "reason": "Ready"});
        let failed = Some("failed to list Events in namespace orchid-lab:\nno".to_owned());
        let mut about = About { events: vec![serde_json::from_value(event).unwrap()], unreadable: 2, failed };
        let expected = "\
Events:
  AGE   TYPE     REASON   MESSAGE
  2h    Normal   Ready
  2 Events could not be read.
  failed to list Events in namespace orchid-lab: no";
        assert_eq!(events_of(&about, now()).as_deref(), Some(expected));
        about.events.clear();
        let expected = "Events:\n  2 Events could not be read.\n  failed to list Events in namespace orchid-lab: no";
        assert_eq!(events_of(&about, now()).as_deref(), Some(expected));
        assert_eq!(events_of(&About::default(), now()), None);
    }

    #[test]
    fn what_holds_the_namespace_is_told() {
        let mut namespace: Namespace =
            serde_json::from_value(json!({"metadata": {"name": "orchid-lab", "finalizers": ["example.com/ledger"]}})).unwrap();
        assert_eq!(held(&namespace), None);
        namespace.metadata.deletion_timestamp = serde_json::from_value("2026-11-24T08:00:00Z".into()).unwrap();
        let shown = heading(&a_space(), None, Some(&namespace));
        let line = "Blocked by:    the namespace is terminating and still has the finalizer example.com/ledger";
        assert!(shown.lines().any(|found| found == line), "{shown}");
    }
}
