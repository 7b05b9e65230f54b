//! Owns a broken admission webhook on loopback: it resets each connection, so that the API server's error names another
//! port each time.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::generate_simple_self_signed;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::kubeconfig::install_crypto;

/// A webhook that never responds. After it is dropped, connections to it are refused.
#[derive(Debug)]
pub struct BrokenWebhook {
    address: SocketAddr,
    authority: String,
    accepting: JoinHandle<()>,
}

impl BrokenWebhook {
    /// Listens on a port of its own.
    pub async fn start() -> Result<Self> {
        install_crypto();
        let certificate = generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(async move {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    // A connection that is closed without a response ends with RST.
                    let _ = stream.set_zero_linger();
                }
            }
        });
        Ok(Self { address, authority: STANDARD.encode(certificate.cert.pem()), accepting })
    }

    /// The configuration that sends each creation of `resources` (of any group) in these namespaces to the webhook, and
    /// rejects a request without a response.
    pub fn configuration(&self, name: &str, resources: &[&str], namespaces: &[String]) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": {"name": name},
            "webhooks": [{
                "name": format!("{name}.example.com"), "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "timeoutSeconds": 5,
                "clientConfig": {"url": format!("https://{}/validate", self.address), "caBundle": self.authority},
                "rules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": resources}],
                "namespaceSelector": {"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces}]},
            }],
        })
    }
}

impl Drop for BrokenWebhook {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
