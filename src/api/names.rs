//! The names, labels, annotations, finalizers and the field manager that the operator writes, each defined once.

/// The API group of both kinds.
pub const GROUP: &str = "developerspace.dev";
/// The prefix of the operator's own label and annotation keys.
pub const PREFIX: &str = "developerspace.dev/";
/// Field manager of all writes, see <https://kubernetes.io/docs/reference/using-api/server-side-apply/#managers>.
pub const FIELD_MANAGER: &str = "developerspace-operator";
/// The value of [`LABEL_MANAGED_BY`] and the reporting controller of Events.
pub const OPERATOR: &str = "developerspace-operator";
/// The default namespace of the operator.
pub const DEFAULT_OPERATOR_NAMESPACE: &str = "developerspace-system";
/// The ConfigMap in the operator's namespace with the settings that the controller and every sweep share.
pub const SETTINGS: &str = "developerspace-settings";
/// The key of that ConfigMap, and the environment variable, with the protected namespaces.
pub const PROTECTED_NAMESPACES: &str = "PROTECTED_NAMESPACES";
/// Finalizer on a `DeveloperSpace`: its namespace is deleted or released before the space is deleted.
pub const FINALIZER: &str = "developerspace.dev/namespace";

/// Name of the `DeveloperSpace` CRD object.
pub const SPACE_CRD: &str = "developerspaces.developerspace.dev";
/// Name of the `SpaceClass` CRD object.
pub const CLASS_CRD: &str = "spaceclasses.developerspace.dev";

/// Common label, see <https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>.
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: the space's name.
pub const LABEL_SPACE: &str = "developerspace.dev/space";
/// Label: the class in force.
pub const LABEL_CLASS: &str = "developerspace.dev/class";
/// Label on the namespace: the contact team, where it is a valid label value.
pub const LABEL_TEAM: &str = "developerspace.dev/team";
/// Label on the namespace: the cost centre, where it is a valid label value.
pub const LABEL_COST_CENTER: &str = "developerspace.dev/cost-center";

/// Annotation on the namespace: UID of its space; a claim that repairs a crash between the creation of the namespace
/// and the record of its UID.
pub const ANNOTATION_SPACE_UID: &str = "developerspace.dev/space-uid";
/// Annotation on the namespace: the accountable subject, `User:alice@example.com`.
pub const ANNOTATION_OWNER: &str = "developerspace.dev/owner";
/// Annotation on the namespace: the contact team.
pub const ANNOTATION_CONTACT_TEAM: &str = "developerspace.dev/contact-team";
/// Annotation on the namespace: the contact e-mail address.
pub const ANNOTATION_CONTACT_EMAIL: &str = "developerspace.dev/contact-email";
/// Annotation on the namespace: the contact chat channel.
pub const ANNOTATION_CONTACT_CHAT: &str = "developerspace.dev/contact-chat";
/// Annotation on the namespace: the contact page.
pub const ANNOTATION_CONTACT_URL: &str = "developerspace.dev/contact-url";
/// Annotation on the namespace: the time at which it is deleted, RFC 3339; absent means never. On a plain namespace:
/// the expiry that `gc --include-annotated` applies.
pub const ANNOTATION_EXPIRES_AT: &str = "developerspace.dev/expires-at";
/// Annotation on a plain namespace: a time to live for `gc --include-annotated`.
pub const ANNOTATION_TTL: &str = "developerspace.dev/ttl";
/// Annotation on the namespace: the cost centre, verbatim.
pub const ANNOTATION_CONTACT_COST_CENTER: &str = "developerspace.dev/contact-cost-center";
/// Annotation on a namespace that was created again: the UID of the recorded namespace that it replaces.
pub const ANNOTATION_REPLACES: &str = "developerspace.dev/replaces";
/// Label on a released namespace, `"true"`.
pub const LABEL_RELEASED: &str = "developerspace.dev/released";
/// Annotation on a released namespace: `<space>/<UID>` of the DeveloperSpace that it was released from.
pub const ANNOTATION_RELEASED_FROM: &str = "developerspace.dev/released-from";
/// Annotation on a released namespace: the class in force at its release.
pub const ANNOTATION_RELEASED_CLASS: &str = "developerspace.dev/released-class";
/// Annotation on a released namespace: the owner in force at its release, `User:alice@example.com`.
pub const ANNOTATION_RELEASED_OWNER: &str = "developerspace.dev/released-owner";
/// Annotation on a released namespace: the time of its release, RFC 3339.
pub const ANNOTATION_RELEASED_AT: &str = "developerspace.dev/released-at";
/// Annotation on an adopted namespace: the Pod Security levels that it had, `enforce=restricted,warn=baseline`. The
/// class cannot lower them.
pub const ANNOTATION_ADOPTED_POD_SECURITY: &str = "developerspace.dev/adopted-pod-security";
/// Label on the namespace, `"true"`: only the operator writes NetworkPolicies there.
pub const LABEL_NETWORK_ENFORCED: &str = "developerspace.dev/network-enforced";
/// Label on a NetworkPolicy, `"true"`: it belongs to the platform and does not count as a breach of enforced isolation.
pub const LABEL_PLATFORM_POLICY: &str = "developerspace.dev/platform-policy";
/// Annotation by which an administrator hands an existing namespace to the space that it names.
pub const ANNOTATION_ADOPT: &str = "developerspace.dev/adopt";
/// Annotation on a `SpaceClass`: `"true"` makes it the class of spaces that name none.
pub const ANNOTATION_DEFAULT_CLASS: &str = "developerspace.dev/is-default-class";

/// OpenShift's annotation for the requester of a project; other portals read it.
pub const ANNOTATION_OPENSHIFT_REQUESTER: &str = "openshift.io/requester";
/// OpenShift's annotation for a project's display name.
pub const ANNOTATION_OPENSHIFT_DISPLAY_NAME: &str = "openshift.io/display-name";
/// OpenShift's annotation for a project's description.
pub const ANNOTATION_OPENSHIFT_DESCRIPTION: &str = "openshift.io/description";

/// Prefix of the Pod Security labels, see <https://kubernetes.io/docs/concepts/security/pod-security-admission/>.
pub const POD_SECURITY_PREFIX: &str = "pod-security.kubernetes.io/";
/// Label that the API server puts on every namespace.
pub const LABEL_NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Name of the `ResourceQuota` and of the `LimitRange`.
pub const CHILD: &str = "developerspace";
/// Name of the `NetworkPolicy`.
pub const NETWORK_POLICY: &str = "developerspace-isolation";
/// Name of the owner's `RoleBinding`.
pub const OWNER_BINDING: &str = "developerspace-owner";
/// Prefix of the names of all `RoleBindings` of the operator.
pub const BINDING_PREFIX: &str = "developerspace-";

/// Returns true if only the operator writes that label or annotation. Keys of its prefix that administrators write on a
/// namespace are not reserved.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with(PREFIX) && !matches!(key, ANNOTATION_ADOPT | ANNOTATION_TTL)
}

/// Returns true if the label or annotation records the release of a namespace. Only the operator writes these keys.
pub(crate) fn records_release(key: &str) -> bool {
    [
        LABEL_RELEASED,
        ANNOTATION_RELEASED_FROM,
        ANNOTATION_RELEASED_CLASS,
        ANNOTATION_RELEASED_OWNER,
        ANNOTATION_RELEASED_AT,
    ]
    .contains(&key)
}

/// The selector by which children are watched.
pub fn managed_selector() -> String {
    format!("{LABEL_MANAGED_BY}={OPERATOR}")
}
