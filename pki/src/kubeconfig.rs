//! kubeconfig files with everything embedded.

use ashlar_model::keys::KeyPair;
use base64::Engine;
use serde_json::json;

/// A kubeconfig (JSON, which is YAML) for one user of one cluster.
pub fn kubeconfig(server: &str, ca_pem: &str, identity: &KeyPair, user: &str, cluster: &str) -> String {
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": cluster, "cluster": {"server": server, "certificate-authority-data": encode(ca_pem)}}],
        "users": [{"name": user, "user": {
            "client-certificate-data": encode(&identity.certificate_pem),
            "client-key-data": encode(&identity.private_key_pem),
        }}],
        "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": user}}],
        "current-context": cluster,
    });
    serde_json::to_string_pretty(&config).unwrap_or_default() + "\n"
}
