//! The cluster entry of a kubeconfig for the users of a space.

use std::fs;

use kube::config::Cluster as Endpoint;
use serde_json::{Value, json};

use super::error::Error;
use crate::{access::encoding::base64, api::ServerAccess};

/// The cluster entry: that of the kubeconfig in use, with the settings of the class. Files are embedded, so that the
/// result can be passed on to another user. If the class sets the address, the administrator's own proxy, TLS server
/// name and `insecure-skip-tls-verify` are omitted. A password of a proxy is always omitted.
pub(crate) fn cluster_entry(endpoint: &Endpoint, server: Option<&ServerAccess>) -> Result<Value, Error> {
    let mut entry = json!({"server": endpoint.server.as_deref().map(without_userinfo)});
    let data = match (&endpoint.certificate_authority_data, &endpoint.certificate_authority) {
        (Some(data), _) => Some(data.clone()),
        (None, Some(file)) => Some(base64(&fs::read(file).map_err(|error| Error::Authority(file.clone(), error))?)),
        (None, None) => None,
    };
    let own = [
        ("certificate-authority-data", data.map(Value::from)),
        ("tls-server-name", endpoint.tls_server_name.clone().map(Value::from)),
        ("proxy-url", endpoint.proxy_url.as_deref().map(|url| without_userinfo(url).into())),
        ("insecure-skip-tls-verify", endpoint.insecure_skip_tls_verify.filter(|skip| *skip).map(Value::from)),
    ];
    for (key, value) in own {
        if let Some(value) = value {
            entry[key] = value;
        }
    }
    if let Some(ServerAccess { url, certificate_authority, tls_server_name }) = server {
        if let Some(url) = url {
            entry["server"] = url.as_str().into();
            if let Some(entry) = entry.as_object_mut() {
                entry.retain(|key, _| {
                    !["tls-server-name", "proxy-url", "insecure-skip-tls-verify"].contains(&key.as_str())
                });
            }
        }
        if let Some(pem) = certificate_authority {
            entry["certificate-authority-data"] = base64(pem.as_bytes()).into();
            entry.as_object_mut().map(|entry| entry.remove("insecure-skip-tls-verify"));
        }
        if let Some(name) = tls_server_name {
            entry["tls-server-name"] = name.as_str().into();
        }
    }
    Ok(entry)
}

/// A URL without the user and the password in it, see <https://www.rfc-editor.org/rfc/rfc3986#section-3.2.1>.
fn without_userinfo(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    format!("{scheme}://{host}{}", &rest[end..])
}

/// Returns true if the address of a kubeconfig entry reaches the machine that it is on, and no other.
pub(crate) fn is_loopback(cluster: &Value) -> bool {
    let server = cluster["server"].as_str().and_then(|server| server.parse::<http::Uri>().ok());
    let host = server.as_ref().and_then(http::Uri::host).unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback() || address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_can_set_the_server_of_a_kubeconfig() {
        let endpoint: Endpoint =
            serde_json::from_value(json!({"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": true}))
                .unwrap();
        let server = ServerAccess {
            url: Some("https://dev.example.com".into()),
            certificate_authority: Some("PEM".into()),
            tls_server_name: Some("api".into()),
        };
        assert_eq!(
            cluster_entry(&endpoint, None).unwrap(),
            json!({"server": "https://10.0.0.1:6443", "insecure-skip-tls-verify": true})
        );
        let expected = json!({"server": "https://dev.example.com", "certificate-authority-data": "UEVN", "tls-server-name": "api"});
        assert_eq!(cluster_entry(&endpoint, Some(&server)).unwrap(), expected);
    }

    #[test]
    fn connection_settings_of_the_administrator_are_omitted() {
        let endpoint = json!({
            "server": "https://10.0.0.1:6443", "certificate-authority-data": "Q0E=", "tls-server-name": "tunnel", "insecure-skip-tls-verify": false,
            "proxy-url": "socks5://rosa:s3cret@jump.example.com:1080/x?y",
        });
        let mut endpoint: Endpoint = serde_json::from_value(endpoint).unwrap();
        let own = json!({
            "server": "https://10.0.0.1:6443", "certificate-authority-data": "Q0E=", "tls-server-name": "tunnel",
            "proxy-url": "socks5://jump.example.com:1080/x?y",
        });
        assert_eq!(cluster_entry(&endpoint, None).unwrap(), own);
        endpoint.insecure_skip_tls_verify = Some(true);
        let public = ServerAccess { url: Some("https://dev.example.com".into()), ..ServerAccess::default() };
        let expected = json!({"server": "https://dev.example.com", "certificate-authority-data": "Q0E="});
        assert_eq!(cluster_entry(&endpoint, Some(&public)).unwrap(), expected);
    }

    #[test]
    fn loopback_addresses_are_detected() {
        let own = ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443", "https://0.0.0.0:6443"];
        let others = ["https://10.0.0.1:6443", "https://dev.example.com", "https://localhost.example.com", ""];
        assert!(own.iter().all(|server| is_loopback(&json!({"server": server}))));
        assert!(others.iter().all(|server| !is_loopback(&json!({"server": server}))));
    }
}
