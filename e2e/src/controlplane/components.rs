//! Owns the command lines of the control plane's programs.

use std::{ffi::OsString, path::Path};

use super::layout::Layout;

/// The ports of one cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) apiserver: u16,
}

/// Records writes with the request body, and all other requests with their metadata. Health checks and requests to
/// `/openapi` are omitted.
pub(super) const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  nonResourceURLs: ['/healthz*', '/livez*', '/readyz*', '/openapi*']
- level: Request
  verbs: [create, update, patch, delete, deletecollection]
- level: Metadata
";

/// Disables the controllers that depend on node agents or on a cloud provider, which this cluster does not have.
const CONTROLLERS: &str = "--controllers=*,-node-ipam-controller,-node-lifecycle-controller,-node-route-controller,\
-service-lb-controller,-cloud-node-lifecycle-controller,-persistentvolume-attach-detach-controller,\
-persistentvolume-expander-controller,-ttl-controller,-bootstrap-signer-controller,-token-cleaner-controller";

pub(super) fn etcd(layout: &Layout, ports: Ports) -> Vec<OsString> {
    let client = format!("http://127.0.0.1:{}", ports.etcd);
    let peer = format!("http://127.0.0.1:{}", ports.etcd_peer);
    Arguments::default()
        .path("--data-dir", &layout.dir.join("etcd"))
        .text("--name", "default")
        .text("--listen-client-urls", &client)
        .text("--advertise-client-urls", &client)
        .text("--listen-peer-urls", &peer)
        .text("--initial-advertise-peer-urls", &peer)
        .text("--initial-cluster", &format!("default={peer}"))
        // The data is needed only while the cluster runs, so a crash of the machine may lose it.
        .flag("--unsafe-no-fsync")
        .text("--quota-backend-bytes", "4294967296")
        .text("--log-level", "warn")
        .done()
}

pub(super) fn apiserver(layout: &Layout, ports: Ports, extra: &[String]) -> Vec<OsString> {
    let mut arguments = Arguments::default()
        .text("--etcd-servers", &format!("http://127.0.0.1:{}", ports.etcd))
        .text("--bind-address", "127.0.0.1")
        .text("--advertise-address", "127.0.0.1")
        .text("--secure-port", &ports.apiserver.to_string())
        // No client reaches the server by its Service address, and a loopback address is not valid in an endpoint.
        .text("--endpoint-reconciler-type", "none")
        .path("--cert-dir", &layout.pki(""))
        .path("--tls-cert-file", &layout.pki("apiserver.crt"))
        .path("--tls-private-key-file", &layout.pki("apiserver.key"))
        .path("--client-ca-file", &layout.pki("ca.crt"))
        .path("--token-auth-file", &layout.pki("tokens.csv"))
        .text("--authorization-mode", "RBAC")
        .text("--service-account-issuer", "https://kubernetes.default.svc")
        .path("--service-account-key-file", &layout.pki("service-accounts.pub"))
        .path("--service-account-signing-key-file", &layout.pki("service-accounts.key"))
        .text("--service-cluster-ip-range", "10.96.0.0/16")
        .flag("--allow-privileged")
        .path("--audit-policy-file", &layout.dir.join("audit-policy.yaml"))
        .path("--audit-log-path", &layout.audit_log())
        // Never rotated, because readers keep an offset.
        .text("--audit-log-maxsize", "100000")
        .done();
    arguments.extend(extra.iter().map(OsString::from));
    arguments
}

pub(super) fn controller_manager(layout: &Layout, extra: &[String]) -> Vec<OsString> {
    let mut arguments = Arguments::default()
        .path("--kubeconfig", &layout.kubeconfig_of("kube-controller-manager"))
        .flag(CONTROLLERS)
        .path("--cluster-signing-cert-file", &layout.pki("ca.crt"))
        .path("--cluster-signing-key-file", &layout.pki("ca.key"))
        .path("--root-ca-file", &layout.pki("ca.crt"))
        .path("--service-account-private-key-file", &layout.pki("service-accounts.key"))
        .flag("--use-service-account-credentials")
        .text("--leader-elect", "false")
        .text("--secure-port", "0")
        .text("--concurrent-namespace-syncs", "20")
        .text("--kube-api-qps", "500")
        .text("--kube-api-burst", "1000")
        .done();
    arguments.extend(extra.iter().map(OsString::from));
    arguments
}

pub(super) fn scheduler(layout: &Layout) -> Vec<OsString> {
    Arguments::default()
        .path("--kubeconfig", &layout.kubeconfig_of("kube-scheduler"))
        .text("--leader-elect", "false")
        .text("--secure-port", "0")
        .done()
}

pub(super) fn kwok(layout: &Layout, binaries: &Path) -> Vec<OsString> {
    Arguments::default()
        .path("--kubeconfig", &layout.kubeconfig())
        .path("--config", &binaries.join("kwok-stages.yaml"))
        .flag("--manage-all-nodes=true")
        .text("--node-lease-duration-seconds", "40")
        .done()
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flag(mut self, flag: &str) -> Self {
        self.0.push(flag.into());
        self
    }

    fn text(self, flag: &str, value: &str) -> Self {
        self.flag(&format!("{flag}={value}"))
    }

    fn path(mut self, flag: &str, value: &Path) -> Self {
        let mut argument = OsString::from(flag);
        argument.push("=");
        argument.push(value);
        self.0.push(argument);
        self
    }

    fn done(self) -> Vec<OsString> {
        self.0
    }
}
