//! The rules by which the approver approves a request for a client certificate. A request that does not clearly comply
//! is refused.

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    access::request::Content,
    api::{
        AccessMethod, DeveloperSpace, Member, SpaceClass, SubjectKind,
        conditions::{self, types},
        duration::format_duration,
    },
    desired::credential_lifetime::{CredentialBounds, MIN_LIFETIME, check_method, max_lifetime},
};

/// The tolerance for clocks and rounding.
const TOLERANCE: TimeDelta = TimeDelta::seconds(60);

/// The most characters of a name that a sentence contains. Names in a space are no longer.
const LONGEST_NAME: usize = 253;

/// A request as the API server stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The user that created it.
    pub requester: String,
    /// True if the requester has the verb `assign`, which permits naming owners of spaces. Checked only if the result
    /// depends on it, see [`needs_assign`].
    pub may_assign: bool,
    /// The usages of the certificate.
    pub usages: Vec<String>,
    /// The requested lifetime, in seconds.
    pub expiration_seconds: Option<i32>,
    /// The content of its PKCS#10; `None` if that cannot be read.
    pub content: Option<Content>,
}

/// Returns true if the result depends on the requester's verb `assign`: the request is for another user.
pub(crate) fn needs_assign(request: &Request) -> bool {
    let asked = request.content.as_ref().and_then(|content| content.common_names.first());
    asked.is_some_and(|name| *name != request.requester)
}

/// Validates the request. The error is a sentence that names the problem and the correction.
pub(crate) fn judge(
    request: &Request,
    name: &str,
    space: Option<&DeveloperSpace>,
    class: Option<&SpaceClass>,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let content = judge_content(request)?;
    let space = space.ok_or_else(|| {
        format!("DeveloperSpace {name} does not exist: request a certificate for an existing DeveloperSpace")
    })?;
    let conditions = space.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = conditions::is_true(conditions, types::READY) && !conditions::is_true(conditions, types::EXPIRED);
    if space.metadata.deletion_timestamp.is_some() || !ready {
        return Err(format!("DeveloperSpace {name} is not ready: request the certificate again when it is ready"));
    }
    let class = class.ok_or_else(|| {
        format!("the class of DeveloperSpace {name} does not exist: request the certificate again when it exists")
    })?;
    let class_name = class.metadata.name.as_deref().unwrap_or_default();
    let spec = class
        .in_force()
        .ok_or_else(|| format!("SpaceClass {class_name} is not accepted: an administrator has to correct it first"))?;
    let access = spec.access.as_ref();
    check_method(class_name, access, AccessMethod::Certificate).map_err(|denied| denied.to_string())?;
    let groups = spec.certificate_organizations();
    // The operator writes the spec in force to the status of the class. Only an administrator writes the current spec.
    let current = class.spec.certificate_organizations();
    if let Some(group) = content.organizations.iter().find(|group| !groups.contains(group) || !current.contains(group))
    {
        return Err(format!(
            "SpaceClass {class_name} does not allow the organization {} in certificates: omit it, or have an administrator add it to access.certificate.organizations",
            quoted(group)
        ));
    }
    let user = content.user;
    let mut people = space.spec.members.iter().map(Member::subject).chain([space.spec.owner.clone()]);
    if !people.any(|subject| subject.kind == SubjectKind::User && subject.name == user) {
        return Err(format!(
            "{} is neither the owner of DeveloperSpace {name} nor a member by user name: add this user to spec.members first",
            quoted(user)
        ));
    }
    if needs_assign(request) && !request.may_assign {
        return Err(format!(
            "{} is not allowed to request a certificate for {}: this requires the verb assign on developerspaces; the user has to request it",
            quoted(&request.requester),
            quoted(user)
        ));
    }
    let bounds = CredentialBounds {
        space: name,
        expires_at: space.status.as_ref().and_then(|status| status.expires_at),
        class: class_name,
        max_duration: access.and_then(|access| access.certificate.as_ref()?.max_duration.as_deref()),
    };
    judge_lifetime(request.expiration_seconds, bounds, now)
}

/// The content of a request that passed the checks of [`judge_content`].
struct Asked<'a> {
    user: &'a str,
    organizations: &'a [String],
}

/// The checks that do not depend on the space.
fn judge_content(request: &Request) -> Result<Asked<'_>, String> {
    let content = request
        .content
        .as_ref()
        .ok_or("it contains no certificate request that can be read: create it with kubectl dspace onboard")?;
    let Content { common_names, organizations, other_subject, extras, sane_key, signed } = content;
    let [user] = common_names.as_slice() else {
        return Err("its subject must have exactly one common name, the name of the user: create it with kubectl dspace onboard".to_owned());
    };
    if *other_subject || *extras {
        return Err(
            "it requests more than a common name and organizations: omit other names, extensions and attributes"
                .to_owned(),
        );
    }
    if !signed {
        return Err("its signature does not match its key: sign it with the private key of the certificate".to_owned());
    }
    if !sane_key {
        return Err("its key is not P-256, P-384, Ed25519, or RSA of at least 2048 bits: use one of these".to_owned());
    }
    if user.starts_with("system:") || organizations.iter().any(|group| group.starts_with("system:")) {
        return Err(
            "names that begin with system: belong to Kubernetes and are not allowed in certificates: omit them"
                .to_owned(),
        );
    }
    let usages: Vec<&str> = request.usages.iter().map(String::as_str).collect();
    if !matches!(
        usages.as_slice(),
        ["client auth"] | ["client auth", "digital signature"] | ["digital signature", "client auth"]
    ) {
        return Err(format!("its usages are {usages:?}: request only \"client auth\""));
    }
    Ok(Asked { user, organizations })
}

fn judge_lifetime(asked: Option<i32>, bounds: CredentialBounds<'_>, now: DateTime<Utc>) -> Result<(), String> {
    let most = max_lifetime(bounds, now).map_err(|denied| denied.to_string())?;
    let advice =
        format!("set expirationSeconds to at least {} and at most {}", MIN_LIFETIME.num_seconds(), most.num_seconds());
    let Some(asked) = asked.map(|seconds| TimeDelta::seconds(seconds.into())) else {
        return Err(format!("it does not set the lifetime of the certificate: {advice}"));
    };
    if asked < MIN_LIFETIME {
        return Err(format!("it requests {} seconds, less than the API server grants: {advice}", asked.num_seconds()));
    }
    if asked > most + TOLERANCE {
        let (asked, most) = (format_duration(asked), format_duration(most));
        return Err(format!("it requests {asked}, and the class and the expiry of the space allow {most}: {advice}"));
    }
    Ok(())
}

/// A name from the request, quoted and shortened for a sentence.
fn quoted(name: &str) -> String {
    format!("{:?}", name.chars().take(LONGEST_NAME).collect::<String>())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn content() -> Content {
        Content {
            common_names: vec!["nadia@example.com".into()],
            organizations: vec![],
            other_subject: false,
            extras: false,
            sane_key: true,
            signed: true,
        }
    }

    fn request() -> Request {
        Request {
            requester: "nadia@example.com".into(),
            may_assign: false,
            usages: vec!["client auth".into()],
            expiration_seconds: Some(28_800),
            content: Some(content()),
        }
    }

    fn space(change: impl FnOnce(&mut Value)) -> DeveloperSpace {
        let mut value = json!({
            "apiVersion": "developerspace.dev/v1alpha1", "kind": "DeveloperSpace", "metadata": {"name": "orchid-lab"},
            "spec": {"owner": {"kind": "User", "name": "nadia@example.com"}, "members": [
                {"kind": "User", "name": "omar@example.com", "role": "view"}, {"kind": "Group", "name": "gardeners", "role": "view"},
            ]},
            "status": {"expiresAt": "2026-11-26T09:00:00Z", "conditions": [
                {"type": "Ready", "status": "True", "reason": "Provisioned", "message": "", "lastTransitionTime": "2026-11-20T09:00:00Z"},
            ]},
        });
        change(&mut value);
        serde_json::from_value(value).unwrap()
    }

    fn class(access: &Value) -> SpaceClass {
        refused_class(access, access)
    }

    /// A class whose current spec is not accepted.
    fn refused_class(current: &Value, in_force: &Value) -> SpaceClass {
        let (spec, status) = (json!({"access": current}), json!({"accepted": {"access": in_force}}));
        let value = json!({"apiVersion": "developerspace.dev/v1alpha1", "kind": "SpaceClass", "metadata": {"name": "greenhouse"}, "spec": spec, "status": status});
        serde_json::from_value(value).unwrap()
    }

    fn verdict(request: &Request, space: &DeveloperSpace, access: &Value) -> String {
        let now = "2026-11-24T09:00:00Z".parse().unwrap();
        judge(request, "orchid-lab", Some(space), Some(&class(access)), now).err().unwrap_or_default()
    }

    #[test]
    fn what_is_plainly_right_is_approved() {
        let space = space(|_| {});
        let signature = Request { usages: vec!["digital signature".into(), "client auth".into()], ..request() };
        let day = Request { expiration_seconds: Some(86_460), ..request() };
        let shortest = Request { expiration_seconds: Some(600), ..request() };
        let other = Request { requester: "portal".into(), may_assign: true, ..request() };
        let member = Content { common_names: vec!["omar@example.com".into()], ..content() };
        let member = Request { requester: "omar@example.com".into(), content: Some(member), ..request() };
        let group =
            Request { content: Some(Content { organizations: vec!["botany".into()], ..content() }), ..request() };
        for fine in [request(), signature, day, shortest, other, member] {
            assert_eq!(verdict(&fine, &space, &json!({})), "", "{fine:?}");
        }
        assert_eq!(verdict(&group, &space, &json!({"certificate": {"organizations": ["botany"]}})), "");
        assert_eq!(verdict(&request(), &space, &json!({"methods": ["Certificate", "Token"]})), "");
    }

    /// A request with other content.
    fn with(change: impl FnOnce(&mut Content)) -> Request {
        let mut content = content();
        change(&mut content);
        Request { content: Some(content), ..request() }
    }

    #[test]
    fn content_that_may_never_be_is_refused() {
        let more = "it requests more than a common name and organizations: omit other names, extensions and attributes";
        let one_name = "its subject must have exactly one common name, the name of the user: create it with kubectl dspace onboard";
        let system =
            "names that begin with system: belong to Kubernetes and are not allowed in certificates: omit them";
        for (request, says) in [
            (
                Request { content: None, ..request() },
                "it contains no certificate request that can be read: create it with kubectl dspace onboard",
            ),
            (with(|content| content.common_names.clear()), one_name),
            (with(|content| content.common_names.push("omar@example.com".into())), one_name),
            (with(|content| content.extras = true), more),
            (with(|content| content.other_subject = true), more),
            (
                with(|content| content.signed = false),
                "its signature does not match its key: sign it with the private key of the certificate",
            ),
            (
                with(|content| content.sane_key = false),
                "its key is not P-256, P-384, Ed25519, or RSA of at least 2048 bits: use one of these",
            ),
            (with(|content| content.common_names[0] = "system:admin".into()), system),
            (with(|content| content.organizations.push("system:masters".into())), system),
            (
                Request { usages: vec!["client auth".into(), "server auth".into()], ..request() },
                "its usages are [\"client auth\", \"server auth\"]: request only \"client auth\"",
            ),
            (
                Request { usages: vec!["digital signature".into()], ..request() },
                "its usages are [\"digital signature\"]: request only \"client auth\"",
            ),
            (Request { usages: vec![], ..request() }, "its usages are []: request only \"client auth\""),
        ] {
            // Refused even if the class lists the organization.
            assert_eq!(
                verdict(&request, &space(|_| {}), &json!({"certificate": {"organizations": ["system:masters"]}})),
                says
            );
        }
    }

    #[test]
    fn who_and_how_long_depend_on_the_space_and_its_class() {
        let seconds = |seconds| Request { expiration_seconds: seconds, ..request() };
        for (request, says) in [
            (
                with(|content| content.organizations.push("botany".into())),
                "SpaceClass greenhouse does not allow the organization \"botany\" in certificates: omit it, or have an administrator add it to access.certificate.organizations",
            ),
            (
                with(|content| content.common_names[0] = "petra@example.com".into()),
                "\"petra@example.com\" is neither the owner of DeveloperSpace orchid-lab nor a member by user name: add this user to spec.members first",
            ),
            (
                with(|content| content.common_names[0] = "gardeners".into()),
                "\"gardeners\" is neither the owner of DeveloperSpace orchid-lab nor a member by user name: add this user to spec.members first",
            ),
            (
                Request { requester: "omar@example.com".into(), ..request() },
                "\"omar@example.com\" is not allowed to request a certificate for \"nadia@example.com\": this requires the verb assign on developerspaces; the user has to request it",
            ),
            (
                seconds(None),
                "it does not set the lifetime of the certificate: set expirationSeconds to at least 600 and at most 86400",
            ),
            (
                seconds(Some(599)),
                "it requests 599 seconds, less than the API server grants: set expirationSeconds to at least 600 and at most 86400",
            ),
            (
                seconds(Some(-1)),
                "it requests -1 seconds, less than the API server grants: set expirationSeconds to at least 600 and at most 86400",
            ),
            (
                seconds(Some(86_461)),
                "it requests 1d1m1s, and the class and the expiry of the space allow 1d: set expirationSeconds to at least 600 and at most 86400",
            ),
        ] {
            assert_eq!(verdict(&request, &space(|_| {}), &json!({})), says);
        }
    }

    #[test]
    fn an_organization_has_to_be_in_the_current_spec_and_in_the_spec_in_force() {
        let now = "2026-11-24T09:00:00Z".parse().unwrap();
        let request = with(|content| content.organizations.push("botany".into()));
        let (with_group, without) =
            (json!({"certificate": {"organizations": ["botany", "zoology"]}}), json!({"certificate": {}}));
        let refusal = "SpaceClass greenhouse does not allow the organization \"botany\" in certificates: omit it, or have an administrator add it to access.certificate.organizations";
        for (current, in_force, expected) in [
            (&with_group, &with_group, Ok(())),
            (&without, &with_group, Err(refusal.to_owned())),
            (&json!(null), &with_group, Err(refusal.to_owned())),
            (&with_group, &without, Err(refusal.to_owned())),
        ] {
            let class = refused_class(current, in_force);
            assert_eq!(
                judge(&request, "orchid-lab", Some(&space(|_| {})), Some(&class), now),
                expected,
                "{current} and {in_force}"
            );
        }
    }

    #[test]
    fn the_space_and_its_class_have_to_be_in_order() {
        let unready = "DeveloperSpace orchid-lab is not ready: request the certificate again when it is ready";
        let expired = json!({"type": "Expired", "status": "True", "reason": "Expired", "message": "", "lastTransitionTime": "2026-11-20T09:00:00Z"});
        let ending = |at: &str| {
            let at = at.to_owned();
            space(|value| value["status"]["expiresAt"] = at.into())
        };
        for (space, access, says) in [
            (space(|value| value["status"]["conditions"][0]["status"] = "False".into()), json!({}), unready),
            (space(|value| value["status"]["conditions"] = json!([])), json!({}), unready),
            (space(|value| value["status"] = Value::Null), json!({}), unready),
            (space(|value| value["metadata"]["deletionTimestamp"] = "2026-11-24T08:59:00Z".into()), json!({}), unready),
            (space(|value| value["status"]["conditions"].as_array_mut().unwrap().push(expired)), json!({}), unready),
            (
                space(|value| value["spec"]["owner"]["kind"] = "Group".into()),
                json!({}),
                "\"nadia@example.com\" is neither the owner of DeveloperSpace orchid-lab nor a member by user name: add this user to spec.members first",
            ),
            (
                ending("2026-11-24T09:05:00Z"),
                json!({}),
                "DeveloperSpace orchid-lab expires in 5m, and a credential is valid for at least 10m: renew the space first with `kubectl dspace renew orchid-lab`",
            ),
            (
                ending("2026-11-24T10:00:00Z"),
                json!({}),
                "it requests 8h, and the class and the expiry of the space allow 1h: set expirationSeconds to at least 600 and at most 3600",
            ),
            (
                space(|_| {}),
                json!({"methods": ["Token"]}),
                "SpaceClass greenhouse does not allow access by cert: it allows token",
            ),
            (
                space(|_| {}),
                json!({"certificate": {"maxDuration": "2h"}}),
                "it requests 8h, and the class and the expiry of the space allow 2h: set expirationSeconds to at least 600 and at most 7200",
            ),
        ] {
            assert_eq!(verdict(&request(), &space, &access), says);
        }
        let now = "2026-11-24T09:00:00Z".parse().unwrap();
        let gone = judge(&request(), "orchid-lab", None, None, now).unwrap_err();
        assert_eq!(
            gone,
            "DeveloperSpace orchid-lab does not exist: request a certificate for an existing DeveloperSpace"
        );
        let classless = judge(&request(), "orchid-lab", Some(&space(|_| {})), None, now).unwrap_err();
        assert_eq!(
            classless,
            "the class of DeveloperSpace orchid-lab does not exist: request the certificate again when it exists"
        );
    }

    #[test]
    fn the_word_of_others_is_asked_for_where_it_matters() {
        assert!(!needs_assign(&request()));
        assert!(!needs_assign(&Request { content: None, ..request() }));
        assert!(needs_assign(&Request { requester: "portal".into(), ..request() }));
    }

    #[test]
    fn a_name_without_end_is_cut() {
        let refused =
            verdict(&with(|content| content.common_names[0] = "x".repeat(10_000)), &space(|_| {}), &json!({}));
        assert!(refused.len() < 400, "{refused}");
    }
}
