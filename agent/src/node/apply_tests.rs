//! Orders against a folder that stands for a machine's root.

use std::collections::BTreeMap;

use ashlar_model::bootstrap_api::{Cluster, Role};

use super::*;

fn node(root: &Path) -> Node {
    let cluster = Cluster {
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
    };
    let file = NodeFile {
        host: "master-1".into(),
        role: Role::Master,
        address: Ipv4Addr::new(192, 0, 2, 21),
        cluster,
        generation: 1,
        bootstrap_url: None,
        server_ca_pem: String::new(),
    };
    let keys = ashlar_pki::cluster_keys("lab").expect("keys");
    Node { root: root.to_owned(), file, keys: Some(keys), images: BTreeMap::new() }
}

fn order(member: &str) -> NodeOrder {
    NodeOrder {
        etcd_initial_cluster: Some(format!("b-1=https://192.0.2.20:2380,{member}=https://192.0.2.21:2380")),
        etcd_member_name: Some(member.into()),
        control_plane: true,
        revision: 1,
        ..NodeOrder::default()
    }
}

/// Every file with its contents and the time of its last change.
fn snapshot(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path())
        {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let changed = entry.metadata().and_then(|meta| meta.modified()).expect("a time");
                files.insert(entry.clone(), (std::fs::read(&entry).expect("a file"), changed));
            }
        }
    }
    files
}

fn manifests(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(under(root, MANIFESTS_DIRECTORY)).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[test]
fn applying_an_order_twice_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path());
    node.apply(&order("master-1-1")).expect("applied");
    let once = snapshot(dir.path());
    node.apply(&order("master-1-1")).expect("applied again");
    assert!(snapshot(dir.path()) == once, "a second run wrote files");
    let all = ["etcd.json", "kube-apiserver.json", "kube-controller-manager.json", "kube-scheduler.json"];
    assert_eq!(manifests(dir.path()), all);
}

#[test]
fn before_its_turn_a_master_has_certificates_and_no_pods() {
    let dir = tempfile::tempdir().expect("a folder");
    node(dir.path()).apply(&NodeOrder::default()).expect("applied");
    assert!(under(dir.path(), "/etc/kubernetes/pki/etcd/peer.key").exists());
    assert_eq!(manifests(dir.path()), Vec::<String>::new());
}

#[test]
fn a_running_member_is_not_restarted_when_the_member_list_grows() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path());
    let first = order("master-1-1");
    node.apply(&first).expect("applied");
    let path = under(dir.path(), &manifest("etcd"));
    let before = std::fs::read(&path).expect("a manifest");
    let grown = first.etcd_initial_cluster.as_ref().map(|list| format!("{list},c-1=https://192.0.2.22:2380"));
    let grown = NodeOrder { etcd_initial_cluster: grown, revision: 2, ..first };
    std::fs::create_dir_all(under(dir.path(), ETCD_DATA).join("member")).expect("data");
    node.apply(&grown).expect("applied");
    assert_eq!(std::fs::read(&path).expect("a manifest"), before);
}

#[test]
fn a_new_generation_begins_with_empty_data_and_keeps_the_old() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path());
    node.apply(&order("master-1-1")).expect("applied");
    let data = under(dir.path(), ETCD_DATA);
    std::fs::create_dir_all(data.join("member")).expect("data");
    node.apply(&order("master-1-2")).expect("applied");
    assert!(!data.join("member").exists() && data.join("old-master-1-1").exists());
    let text = std::fs::read_to_string(under(dir.path(), &manifest("etcd"))).expect("a manifest");
    assert!(text.contains("--name=master-1-2"));
}

#[test]
fn a_damaged_certificate_is_minted_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = node(dir.path());
    node.apply(&NodeOrder::default()).expect("applied");
    let path = under(dir.path(), "/etc/kubernetes/pki/apiserver.crt");
    std::fs::write(&path, "damaged").expect("damage");
    node.apply(&NodeOrder::default()).expect("applied");
    assert!(std::fs::read_to_string(&path).expect("a certificate").contains("BEGIN CERTIFICATE"));
}
