//! Static pod manifests of etcd, API server, controller manager and scheduler.

use super::{DIRECTORY, Etcd, EtcdState, PKI_DIRECTORY, peer_url};
use crate::bootstrap_api::Cluster;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// What the pods of one machine are made from.
pub struct Settings<'a> {
    pub cluster: &'a Cluster,
    pub address: Ipv4Addr,
    pub revision: u32,
    /// Finds the full reference of an image by its short name: `etcd` to `registry.ashlar.local/etcd:3.6.14`.
    pub image: &'a dyn Fn(&str) -> String,
}

pub fn etcd(settings: &Settings<'_>, etcd: &Etcd) -> Value {
    let address = settings.address;
    let state = match etcd.state {
        EtcdState::New => "new",
        EtcdState::Existing => "existing",
    };
    let pki = format!("{PKI_DIRECTORY}/etcd");
    let arguments = vec![
        "etcd".into(),
        format!("--name={}", etcd.member_name),
        "--data-dir=/var/lib/etcd".into(),
        format!("--listen-client-urls=https://127.0.0.1:2379,https://{address}:2379"),
        format!("--advertise-client-urls=https://{address}:2379"),
        format!("--listen-peer-urls={}", peer_url(address)),
        format!("--initial-advertise-peer-urls={}", peer_url(address)),
        format!("--initial-cluster={}", etcd.initial_cluster),
        format!("--initial-cluster-state={state}"),
        "--listen-metrics-urls=http://127.0.0.1:2381".into(),
        "--client-cert-auth=true".into(),
        format!("--trusted-ca-file={pki}/ca.crt"),
        format!("--cert-file={pki}/server.crt"),
        format!("--key-file={pki}/server.key"),
        "--peer-client-cert-auth=true".into(),
        format!("--peer-trusted-ca-file={pki}/ca.crt"),
        format!("--peer-cert-file={pki}/peer.crt"),
        format!("--peer-key-file={pki}/peer.key"),
        // Masters share disks with everything else on them: a slow fsync must not depose a leader.
        "--heartbeat-interval=200".into(),
        "--election-timeout=2000".into(),
        "--snapshot-count=10000".into(),
    ];
    let volumes = [("/var/lib/etcd", false), ("/etc/kubernetes/pki/etcd", true)];
    let probe = Probe { scheme: "HTTP", port: 2381, live: "/livez", ready: "/readyz" };
    pod(settings, "etcd", arguments, &volumes, &probe, "100m")
}

pub fn api_server(settings: &Settings<'_>) -> Value {
    let cluster = settings.cluster;
    let pki = PKI_DIRECTORY;
    let arguments = vec![
        "kube-apiserver".into(),
        format!("--advertise-address={}", settings.address),
        "--allow-privileged=true".into(),
        "--authorization-mode=Node,RBAC".into(),
        format!("--client-ca-file={pki}/ca.crt"),
        "--enable-admission-plugins=NodeRestriction".into(),
        "--enable-bootstrap-token-auth=true".into(),
        format!("--encryption-provider-config={DIRECTORY}/encryption.json"),
        "--etcd-servers=https://127.0.0.1:2379".into(),
        format!("--etcd-cafile={pki}/etcd/ca.crt"),
        format!("--etcd-certfile={pki}/apiserver-etcd-client.crt"),
        format!("--etcd-keyfile={pki}/apiserver-etcd-client.key"),
        format!("--kubelet-certificate-authority={pki}/ca.crt"),
        format!("--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt"),
        format!("--kubelet-client-key={pki}/apiserver-kubelet-client.key"),
        "--kubelet-preferred-address-types=InternalIP,Hostname".into(),
        format!("--proxy-client-cert-file={pki}/front-proxy-client.crt"),
        format!("--proxy-client-key-file={pki}/front-proxy-client.key"),
        "--requestheader-allowed-names=front-proxy-client".into(),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".into(),
        "--requestheader-group-headers=X-Remote-Group".into(),
        "--requestheader-username-headers=X-Remote-User".into(),
        "--secure-port=6443".into(),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        format!("--service-account-key-file={pki}/sa.pub"),
        format!("--service-account-signing-key-file={pki}/sa.key"),
        format!("--service-cluster-ip-range={}", cluster.service_network),
        format!("--tls-cert-file={pki}/apiserver.crt"),
        format!("--tls-private-key-file={pki}/apiserver.key"),
        "--profiling=false".into(),
    ];
    let volumes = [("/etc/kubernetes", true), ("/etc/ssl/certs", true)];
    let probe = Probe { scheme: "HTTPS", port: 6443, live: "/livez", ready: "/readyz" };
    pod(settings, "kube-apiserver", arguments, &volumes, &probe, "200m")
}

pub fn controller_manager(settings: &Settings<'_>) -> Value {
    let cluster = settings.cluster;
    let pki = PKI_DIRECTORY;
    let config = format!("{DIRECTORY}/controller-manager.conf");
    let arguments = vec![
        "kube-controller-manager".into(),
        "--bind-address=127.0.0.1".into(),
        "--allocate-node-cidrs=true".into(),
        format!("--cluster-cidr={}", cluster.cluster_network),
        format!("--node-cidr-mask-size={}", cluster.host_prefix),
        format!("--service-cluster-ip-range={}", cluster.service_network),
        format!("--cluster-name={}", cluster.name),
        format!("--cluster-signing-cert-file={pki}/ca.crt"),
        format!("--cluster-signing-key-file={pki}/ca.key"),
        "--cluster-signing-duration=2160h".into(),
        "--controllers=*,bootstrapsigner,tokencleaner".into(),
        format!("--kubeconfig={config}"),
        format!("--authentication-kubeconfig={config}"),
        format!("--authorization-kubeconfig={config}"),
        format!("--client-ca-file={pki}/ca.crt"),
        format!("--requestheader-client-ca-file={pki}/front-proxy-ca.crt"),
        "--leader-elect=true".into(),
        format!("--root-ca-file={pki}/ca.crt"),
        format!("--service-account-private-key-file={pki}/sa.key"),
        "--use-service-account-credentials=true".into(),
        "--profiling=false".into(),
    ];
    let volumes = [("/etc/kubernetes", true), ("/etc/ssl/certs", true)];
    let probe = Probe { scheme: "HTTPS", port: 10257, live: "/healthz", ready: "/healthz" };
    pod(settings, "kube-controller-manager", arguments, &volumes, &probe, "100m")
}

pub fn scheduler(settings: &Settings<'_>) -> Value {
    let config = format!("{DIRECTORY}/scheduler.conf");
    let arguments = vec![
        "kube-scheduler".into(),
        "--bind-address=127.0.0.1".into(),
        format!("--kubeconfig={config}"),
        format!("--authentication-kubeconfig={config}"),
        format!("--authorization-kubeconfig={config}"),
        "--leader-elect=true".into(),
        "--profiling=false".into(),
    ];
    let volumes = [("/etc/kubernetes", true)];
    let probe = Probe { scheme: "HTTPS", port: 10259, live: "/livez", ready: "/readyz" };
    pod(settings, "kube-scheduler", arguments, &volumes, &probe, "50m")
}

struct Probe {
    scheme: &'static str,
    port: u16,
    live: &'static str,
    ready: &'static str,
}

impl Probe {
    fn http(&self, path: &str, extra: Value) -> Value {
        let mut probe = json!({
            "httpGet": {"host": "127.0.0.1", "path": path, "port": self.port, "scheme": self.scheme},
            "timeoutSeconds": 5,
        });
        if let (Some(probe), Some(extra)) = (probe.as_object_mut(), extra.as_object()) {
            probe.extend(extra.clone());
        }
        probe
    }
}

fn pod(
    settings: &Settings<'_>,
    name: &str,
    command: Vec<String>,
    volumes: &[(&str, bool)],
    probe: &Probe,
    cpu: &str,
) -> Value {
    let mounts: Vec<Value> = volumes
        .iter()
        .enumerate()
        .map(|(index, (path, read_only))| {
            json!({"name": format!("host-{index}"), "mountPath": path, "readOnly": read_only})
        })
        .collect();
    let host_paths: Vec<Value> = volumes
        .iter()
        .enumerate()
        .map(|(index, (path, _))| {
            json!({"name": format!("host-{index}"), "hostPath": {"path": path, "type": "DirectoryOrCreate"}})
        })
        .collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "kube-system",
            "labels": {"component": name, "tier": "control-plane"},
            "annotations": {"ashlar.dev/revision": settings.revision.to_string()},
        },
        "spec": {
            "hostNetwork": true,
            "priorityClassName": "system-node-critical",
            "terminationGracePeriodSeconds": 10,
            "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": name,
                "image": (settings.image)(name),
                "imagePullPolicy": "IfNotPresent",
                "command": command,
                "resources": {"requests": {"cpu": cpu, "memory": "64Mi"}},
                "startupProbe": probe.http(probe.live, json!({"periodSeconds": 2, "failureThreshold": 150})),
                "livenessProbe": probe.http(probe.live, json!({"periodSeconds": 10, "failureThreshold": 8})),
                "readinessProbe": probe.http(probe.ready, json!({"periodSeconds": 2, "failureThreshold": 3})),
                "volumeMounts": mounts,
            }],
            "volumes": host_paths,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> Cluster {
        Cluster {
            name: "lab".into(),
            base_domain: "example.test".into(),
            kubernetes_version: "1.35.8".into(),
            machine_network: "192.0.2.0/24".parse().expect("a network"),
            cluster_network: "10.128.0.0/14".parse().expect("a network"),
            host_prefix: 23,
            service_network: "172.30.0.0/16".parse().expect("a network"),
            api_vip: Ipv4Addr::new(192, 0, 2, 10),
            ingress_vip: Ipv4Addr::new(192, 0, 2, 11),
            ssh_key: None,
            ntp_servers: vec![],
            additional_trust_bundle: None,
            masters: 3,
        }
    }

    #[test]
    fn a_joining_member_never_says_new() {
        let cluster = cluster();
        let image = |name: &str| format!("registry.ashlar.local/{name}:1");
        let settings =
            Settings { cluster: &cluster, address: Ipv4Addr::new(192, 0, 2, 21), revision: 1, image: &image };
        let member = Etcd {
            member_name: member_name("master-1", 1),
            initial_cluster: "b-1=https://192.0.2.20:2380,master-1-1=https://192.0.2.21:2380".into(),
            state: EtcdState::Existing,
        };
        let pod = etcd(&settings, &member).to_string();
        assert!(pod.contains("--initial-cluster-state=existing") && !pod.contains("state=new"));
    }

    use super::super::member_name;

    #[test]
    fn the_service_network_gives_the_api_and_dns_addresses() {
        assert_eq!(cluster().kubernetes_service_ip(), Ipv4Addr::new(172, 30, 0, 1));
        assert_eq!(cluster().dns_service_ip(), Ipv4Addr::new(172, 30, 0, 10));
    }
}
