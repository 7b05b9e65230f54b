//! `describe`: prints all information about a space, and the next steps.

mod heading;
mod next_steps;
mod timeline;

use chrono::{DateTime, Utc};
use clap::Args;
use k8s_openapi::api::{authentication::v1::UserInfo, core::v1::Namespace};

use super::{
    args::OutputArgs,
    cluster::Cluster,
    events::{self, SpaceEvents},
    flags::Flags,
    format, output,
    quotas::{self, ResourceUsage},
    requests,
};
use crate::api::{DeveloperSpace, SpaceClass};

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
const MAX_EVENTS: usize = 10;

/// The objects that the description is generated from.
struct SpaceDetails {
    space: DeveloperSpace,
    class: Option<SpaceClass>,
    namespace: Option<Namespace>,
    quota: Vec<ResourceUsage>,
    events: SpaceEvents,
    me: Option<UserInfo>,
}

pub(crate) async fn run(cluster: &Cluster, args: &DescribeArgs) -> anyhow::Result<()> {
    let space = requests::get_space(cluster, &args.name).await?;
    if !args.output.output.is_table() {
        return output::print_object(&args.output.output, &space, String::new);
    }
    let class_name = space.status.as_ref().and_then(|status| status.class_name.clone());
    // Objects that cannot be read are omitted, for example if the caller has no permission.
    let class = match &class_name {
        Some(name) => requests::find_class(cluster, name).await.unwrap_or_default(),
        None => None,
    };
    let namespace = requests::find_namespace(cluster, &args.name).await.unwrap_or_default();
    let quota = quotas::fetch(cluster, std::slice::from_ref(&args.name)).await?.remove(&args.name).unwrap_or_default();
    let events = events::fetch(cluster, &args.name).await;
    let events =
        events.unwrap_or_else(|error| SpaceEvents { failed: Some(format!("{error:#}")), ..SpaceEvents::default() });
    let me = cluster.whoami().await.ok();
    output::print(&text(&SpaceDetails { space, class, namespace, quota, events, me }, &cluster.flags, cluster.now()))
}

/// The description. The flags are added only to the sections that contain commands of the operator and of the plugin.
fn text(details: &SpaceDetails, flags: &Flags, now: DateTime<Utc>) -> String {
    let mut sections = vec![heading::heading(&details.space, details.class.as_ref(), details.namespace.as_ref())];
    if !details.quota.is_empty() {
        let rows = details.quota.iter().map(ResourceUsage::cells);
        sections
            .push(format!("Quota:\n{}", indented(&output::table(["RESOURCE", "USED", "HARD", "SHARE"], rows, false))));
    }
    let life = timeline::moments(&details.space, details.class.as_ref(), now);
    sections.push(format!("Lifetime:\n{}", indented(&timeline::text(&life, now))));
    let conditions = details.space.status.iter().flat_map(|status| &status.conditions);
    let rows = conditions.map(|found| {
        [found.type_.clone(), found.status.clone(), found.reason.clone(), format::one_line(&found.message)]
    });
    let conditions =
        format!("Conditions:\n{}", indented(&output::table(["TYPE", "STATUS", "REASON", "MESSAGE"], rows, false)));
    let next = next_steps::next_steps(&details.space, details.class.as_ref(), details.me.as_ref(), now);
    let next = format!("Next steps:\n{}", indented(&next.join("\n")));
    let with_commands = std::iter::once(conditions).chain(events_section(&details.events, now)).chain([next]);
    sections.extend(with_commands.map(|section| flags.add_to(&section)));
    sections.join("\n\n")
}

/// The last Events, and a line for each reason why others are missing.
fn events_section(found: &SpaceEvents, now: DateTime<Utc>) -> Option<String> {
    let last = &found.events[found.events.len().saturating_sub(MAX_EVENTS)..];
    let table = (!last.is_empty()).then(|| events::table(last, now));
    let gaps = found.omission().into_iter().chain(found.failed.clone()).map(|gap| format::one_line(&gap));
    let lines: Vec<String> = table.into_iter().chain(gaps).collect();
    (!lines.is_empty()).then(|| format!("Events:\n{}", indented(&lines.join("\n"))))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::{
        args::KubectlArgs,
        fixtures::{a_class, a_space, now},
    };

    #[test]
    fn the_description_of_a_space_that_expires_soon() {
        let mut space = a_space();
        let warning = json!({"at": "2026-11-23T13:00:00Z", "before": "2d", "expiresAt": "2026-11-25T13:00:00Z"});
        space.status.as_mut().unwrap().last_warning = serde_json::from_value(warning).unwrap();
        let quota = vec![ResourceUsage { resource: "pods".into(), used: "2".into(), hard: "4".into(), share: 0.5 }];
        let details = SpaceDetails {
            space,
            class: Some(a_class()),
            namespace: None,
            quota,
            events: SpaceEvents::default(),
            me: None,
        };
        let shown = text(&details, &Flags::default(), now());
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
    fn the_description_of_an_expired_space() {
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
        let events = SpaceEvents { events: vec![serde_json::from_value(event).unwrap()], ..SpaceEvents::default() };
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
        let details = SpaceDetails { space, class: None, namespace: None, quota: vec![], events, me: None };
        assert_eq!(text(&details, &Flags::default(), now()), expected);
    }

    #[test]
    fn texts_of_the_owner_are_unchanged() {
        let mut space = a_space();
        space.spec.description = Some("First: kubectl get pods".to_owned());
        let message = "namespace orchid-lab exists: kubectl annotate namespace orchid-lab x=y";
        message.clone_into(&mut space.status.as_mut().unwrap().conditions[0].message);
        let flags = Flags::new(&KubectlArgs { context: Some("staging".to_owned()), ..KubectlArgs::default() });
        let details = SpaceDetails {
            space,
            class: None,
            namespace: None,
            quota: vec![],
            events: SpaceEvents::default(),
            me: None,
        };
        let shown = text(&details, &flags, now());
        for line in [
            "Description:   First: kubectl get pods",
            "  Ready   True     Provisioned   namespace orchid-lab exists: kubectl --context staging annotate namespace orchid-lab x=y",
            "  List its objects: kubectl --context staging -n orchid-lab get all",
        ] {
            assert!(shown.lines().any(|found| found == line), "{shown}");
        }
    }

    #[test]
    fn events_that_could_not_be_read_are_mentioned() {
        let event = json!({"metadata": {"name": "e"}, "eventTime": "2026-11-24T07:00:00.000000Z", "type": "Normal", "reason": "Ready"});
        let failed = Some("failed to list Events in namespace orchid-lab:\nno".to_owned());
        let mut found = SpaceEvents { events: vec![serde_json::from_value(event).unwrap()], unreadable: 2, failed };
        let expected = "\
Events:
  AGE   TYPE     REASON   MESSAGE
  2h    Normal   Ready
  2 Events could not be read.
  failed to list Events in namespace orchid-lab: no";
        assert_eq!(events_section(&found, now()).as_deref(), Some(expected));
        found.events.clear();
        let expected = "Events:\n  2 Events could not be read.\n  failed to list Events in namespace orchid-lab: no";
        assert_eq!(events_section(&found, now()).as_deref(), Some(expected));
        assert_eq!(events_section(&SpaceEvents::default(), now()), None);
    }
}
