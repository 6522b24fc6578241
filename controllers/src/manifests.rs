//! The objects that make an API server a cluster: access rules, node network, service network, names, and our own
//! controllers. Plain YAML in `layers/` and `controllers/manifests/`, with `@NAME@` where the cluster differs.

use ashlar_model::bootstrap_api::Cluster;

/// (name, YAML) in the order of application.
pub fn base(cluster: &Cluster, image: &dyn Fn(&str) -> String) -> Vec<(&'static str, String)> {
    let values = [
        ("@CLUSTER_NETWORK@", cluster.cluster_network.to_string()),
        ("@DNS_SERVICE_IP@", cluster.dns_service_ip().to_string()),
        ("@API_VIP@", cluster.api_vip.to_string()),
        ("@CLUSTER_NAME@", cluster.name.clone()),
        ("@DOMAIN@", cluster.domain()),
        ("@IMAGE_KUBE_PROXY@", image("kube-proxy")),
        ("@IMAGE_FLANNEL@", image("flannel")),
        ("@IMAGE_COREDNS@", image("coredns")),
        ("@IMAGE_CONTROLLERS@", image("ashlar-controllers")),
    ];
    TEMPLATES
        .iter()
        .map(|(name, template)| {
            let text =
                values.iter().fold((*template).to_owned(), |text, (key, value)| text.replace(key, value));
            (*name, text)
        })
        .collect()
}

const TEMPLATES: &[(&str, &str)] = &[
    ("access.yaml", include_str!("../manifests/access.yaml")),
    ("kube-proxy.yaml", include_str!("../../layers/network/kube-proxy.yaml")),
    ("flannel.yaml", include_str!("../../layers/network/flannel.yaml")),
    ("coredns.yaml", include_str!("../../layers/network/coredns.yaml")),
    ("controllers.yaml", include_str!("../manifests/controllers.yaml")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[test]
    fn every_manifest_is_yaml_and_no_placeholder_is_left() {
        let cluster = Cluster {
            name: "lab".into(),
            base_domain: "example.test".into(),
            kubernetes_version: "1.35.8".into(),
            machine_network: "192.0.2.0/24".parse().expect("a network"),
            cluster_network: "10.128.0.0/14".parse().expect("a network"),
            host_prefix: 23,
            service_network: "172.30.0.0/16".parse().expect("a network"),
            api_vip: [192, 0, 2, 10].into(),
            ingress_vip: [192, 0, 2, 11].into(),
            ssh_key: None,
            ntp_servers: vec![],
            additional_trust_bundle: None,
            masters: 3,
        };
        for (name, text) in base(&cluster, &|name| format!("registry.ashlar.local/{name}:1")) {
            assert!(!text.contains('@'), "{name} has a placeholder left");
            for document in serde_norway::Deserializer::from_str(&text) {
                let value = serde_json::Value::deserialize(document).expect(name);
                assert!(value["kind"].is_string() || value.is_null(), "{name}: {value}");
            }
        }
    }
}
