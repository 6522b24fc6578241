//! Table tests: one line per rule.

use super::field::{Field, Kind};
use super::*;

const CASE: &str = include_str!("../../tests/data/install-config-ove-prod-01.yaml");

const SMALL: &str = r#"
apiVersion: v1
baseDomain: example.com
metadata: {name: lab}
networking:
  machineNetwork: [{cidr: 192.0.2.0/24}]
  clusterNetwork: [{cidr: 10.128.0.0/14, hostPrefix: 23}]
  serviceNetwork: [172.30.0.0/16]
controlPlane: {replicas: 1}
compute: [{name: worker, replicas: 1}]
platform:
  baremetal:
    apiVIPs: [192.0.2.10]
    ingressVIPs: [192.0.2.11]
    hosts:
    - name: one
      role: master
      bootMACAddress: 52:54:00:00:00:01
      bmc: {address: redfish-virtualmedia://198.51.100.1/redfish/v1/Systems/1, username: admin, password: hidden}
      rootDeviceHints: {deviceName: /dev/vda}
      networkConfig: {interfaces: [{name: eno1, ipv4: {address: [{ip: 192.0.2.21, prefix-length: 24}]}}]}
    - name: two
      role: worker
      bootMACAddress: 52:54:00:00:00:02
      bmc: {address: redfish-virtualmedia+http://198.51.100.2:8000/redfish/v1/Systems/1, username: admin, password: hidden}
"#;

fn problems(text: &str) -> Vec<String> {
    parse(text).map_or_else(|problems| problems.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

/// Replaces `from` by `to` in the small configuration and compares the paths of the problems.
#[track_caller]
fn check(from: &str, to: &str, want: &[&str]) {
    assert!(SMALL.contains(from), "{from} is not in the text");
    let got = parse(&SMALL.replacen(from, to, 1)).map_or_else(|problems| problems, |_| Vec::new());
    let paths: Vec<&str> = got.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(paths, want, "{to}: {got:#?}");
}

#[test]
fn the_printed_configuration_of_ove_prod_01_is_valid_unchanged() {
    let config = parse(CASE).expect("valid");
    assert_eq!(config.cluster_domain(), "ove-prod-01.infra.bank.ch");
    assert_eq!((config.masters().count(), config.workers().count()), (3, 9));
    assert_eq!(config.hosts[0].bmc.address.base_url(), "https://10.10.0.101");
    assert_eq!(config.hosts[0].bmc.address.system.as_deref(), Some("/redfish/v1/Systems/1"));
    assert_eq!(
        config.remarks,
        [
            "networkType OVNKubernetes is replaced by the built-in network.",
            "pullSecret is not used: every image comes with the release."
        ]
    );
    assert!(!format!("{config:?}").contains("lab-only-password"));
}

#[test]
fn the_small_configuration_is_valid_and_says_that_http_is_plain() {
    assert_eq!(problems(SMALL), [""; 0]);
    assert_eq!(parse(SMALL).expect("valid").remarks, ["BMC passwords travel unencrypted (+http) for two."]);
}

#[test]
fn each_rule_names_its_field() {
    let host = |index: usize, field: &str| format!("platform.baremetal.hosts[{index}].{field}");
    let cases: &[(&str, &str, &str)] = &[
        ("name: lab", "name: Lab_1", "metadata.name"),
        ("example.com", "-example.com", "baseDomain"),
        ("192.0.2.0/24", "192.0.2.1/24", "networking.machineNetwork[0].cidr"),
        ("192.0.2.0/24", "2001:db8::/64", "networking.machineNetwork[0].cidr"),
        ("172.30.0.0/16", "10.129.0.0/16", "networking.serviceNetwork"),
        ("172.30.0.0/16", "172.30.0.0/28", "networking.serviceNetwork[0]"),
        ("10.128.0.0/14", "192.0.0.0/14", "networking.clusterNetwork"),
        ("hostPrefix: 23", "hostPrefix: 14", "networking.clusterNetwork[0].hostPrefix"),
        (
            "10.128.0.0/14, hostPrefix: 23",
            "10.128.0.0/23, hostPrefix: 23",
            "networking.clusterNetwork[0].hostPrefix",
        ),
        ("apiVIPs: [192.0.2.10]", "apiVIPs: [192.0.3.10]", "platform.baremetal.apiVIPs[0]"),
        ("apiVIPs: [192.0.2.10]", "apiVIPs: [192.0.2.255]", "platform.baremetal.apiVIPs[0]"),
        ("apiVIPs: [192.0.2.10]", "apiVIPs: [192.0.2.10, 192.0.2.12]", "platform.baremetal.apiVIPs"),
        ("apiVIPs: [192.0.2.10]", "apiVIPs: [somewhere]", "platform.baremetal.apiVIPs[0]"),
        ("ingressVIPs: [192.0.2.11]", "ingressVIPs: [192.0.2.10]", "platform.baremetal.ingressVIPs[0]"),
        ("ingressVIPs: [192.0.2.11]", "ingressVIPs: [192.0.2.21]", &host(0, "networkConfig")),
        ("controlPlane: {replicas: 1}", "controlPlane: {replicas: 3}", "controlPlane.replicas"),
        ("replicas: 1}]", "replicas: 2}]", "compute[0].replicas"),
        ("replicas: 1}]", "replicas: -1}]", "compute[0].replicas"),
        ("name: two", "name: one", &host(1, "name")),
        ("name: two", "name: two_2", &host(1, "name")),
        ("52:54:00:00:00:02", "52-54-00-00-00-01", &host(1, "bootMACAddress")),
        ("52:54:00:00:00:02", "53:54:00:00:00:02", &host(1, "bootMACAddress")),
        ("redfish-virtualmedia+http://198.51.100.2:8000", "redfish://198.51.100.1", &host(1, "bmc.address")),
        ("redfish-virtualmedia+http://198.51.100.2:8000", "ipmi://198.51.100.2", &host(1, "bmc.address")),
        ("redfish-virtualmedia+http://", "redfish-virtualmedia+ssh://", &host(1, "bmc.address")),
        ("redfish-virtualmedia+http://", "redfish://me:secret@", &host(1, "bmc.address")),
        ("198.51.100.2:8000/redfish", "198.51.100.2/rest", &host(1, "bmc.address")),
        ("deviceName: /dev/vda", "deviceName: vda", &host(0, "rootDeviceHints.deviceName")),
        ("deviceName: /dev/vda", "deviceName: /dev/../vda", &host(0, "rootDeviceHints.deviceName")),
        ("deviceName: /dev/vda", "wwn: 5000c500", &host(0, "rootDeviceHints.wwn")),
        ("deviceName: /dev/vda", "hctl: '0:0'", &host(0, "rootDeviceHints.hctl")),
        ("deviceName: /dev/vda", "minSizeGigabytes: 0", &host(0, "rootDeviceHints.minSizeGigabytes")),
        ("deviceName: /dev/vda", "wwnWithExtension: '0x1'", &host(0, "rootDeviceHints.wwnWithExtension")),
        ("{name: eno1, ipv4", "{ipv4", &host(0, "networkConfig.interfaces[0].name")),
        ("networkConfig: {", "networkConfig: {interface: [], ", &host(0, "networkConfig.interface")),
        (
            "password: hidden}",
            "password: hidden, certificateFingerprint: 12}",
            &host(0, "bmc.certificateFingerprint"),
        ),
        ("apiVersion: v1", "apiVersion: v1\nsshKey: ssh-ed25519 AAAA", "sshKey"),
        ("apiVersion: v1", "apiVersion: v1\npullSecret: '{}'", "pullSecret"),
        ("apiVersion: v1", "apiVersion: v1\nadditionalTrustBundle: none", "additionalTrustBundle"),
        ("apiVersion: v1", "apiVersion: v1\nfips: true", "fips"),
        ("apiVersion: v1", "apiVersion: v2", "apiVersion"),
    ];
    for (from, to, path) in cases {
        check(from, to, &[path]);
    }
}

#[test]
fn unknown_fields_wrong_types_and_broken_rules_come_in_one_answer() {
    let text = SMALL
        .replace("baseDomain: example.com", "baseDomian: example.com")
        .replace("hostPrefix: 23", "hostPrefix: '23'")
        .replace("password: hidden}\n      root", "password: 1234}\n      root")
        .replace("apiVIPs: [192.0.2.10]", "apiVIPs: [192.0.9.10]")
        .replace("name: two", "name: two\n      nmae: 2");
    let got = problems(&text);
    let want = [
        "baseDomain: is required (found nothing); for example `baseDomain: example.com`",
        "baseDomian: must be a known field (found an unknown field); did you mean `baseDomain`?",
        "networking.clusterNetwork[0].hostPrefix: must be an integer (found `23`); write it without quotes",
        "platform.baremetal.hosts[0].bmc.password: must be a string (found another type (not shown)); write it in quotes",
        "platform.baremetal.hosts[1].nmae: must be a known field (found an unknown field); did you mean `name`?",
        "platform.baremetal.apiVIPs[0]: must lie in the machine network 192.0.2.0/24 (found `192.0.9.10`); take a free address of that network",
    ];
    assert_eq!(got, want);
}

#[test]
fn hosts_without_a_role_fill_the_masters_first() {
    let config = parse(&SMALL.replace("      role: master\n", "").replace("      role: worker\n", ""));
    let roles: Vec<Role> = config.expect("valid").hosts.iter().map(|host| host.role).collect();
    assert_eq!(roles, [Role::Master, Role::Worker]);
}

#[test]
fn a_text_that_is_no_mapping_is_one_problem() {
    assert_eq!(problems("- a\n- b").len(), 1);
    assert_eq!(problems("a: b: c").len(), 1);
    assert_eq!(problems("a: 1\na: 2").len(), 1);
}

#[test]
fn an_agent_configuration_names_the_bootstrap_and_must_not_repeat_a_host() {
    let text = "
apiVersion: v1beta1
bootstrap:
  name: bootstrap
  bootMACAddress: 52:54:00:00:00:01
  bmc: {address: redfish://198.51.100.9, username: admin, password: hidden}
";
    let agent = agent_config::parse(text).expect("valid");
    assert_eq!(agent.bootstrap.as_ref().map(|host| host.role), Some(Role::Bootstrap));
    let conflicts = agent_config::conflicts(&agent, &parse(SMALL).expect("valid"));
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].path, "bootstrap.bootMACAddress");
    let wrong = agent_config::parse(&text.replace("name: bootstrap", "name: Boot\n  role: master"));
    let paths: Vec<String> = wrong.unwrap_err().into_iter().map(|problem| problem.path).collect();
    assert_eq!(paths, ["bootstrap.role", "bootstrap.name"]);
}

/// A file with every field of the table, each with its example.
fn full_example(fields: &[Field]) -> serde_norway::Value {
    let value = |field: &Field| match field.kind {
        Kind::Object(children) => full_example(children),
        Kind::Objects(children) => serde_norway::Value::Sequence(vec![full_example(children)]),
        _ => serde_norway::from_str(field.example).expect("an example is YAML"),
    };
    serde_norway::Value::Mapping(fields.iter().map(|field| (field.name.into(), value(field))).collect())
}

#[test]
fn the_table_and_the_raw_types_have_the_same_fields() {
    for fields in [fields::INSTALL_CONFIG, fields::AGENT_CONFIG] {
        let text = serde_norway::to_string(&full_example(fields)).expect("YAML");
        let form = match fields.len() == fields::AGENT_CONFIG.len() {
            true => walk::read::<raw::AgentConfig>(&text, fields).map(|(_, problems)| problems),
            false => walk::read::<raw::InstallConfig>(&text, fields).map(|(_, problems)| problems),
        };
        assert_eq!(form.unwrap_or_else(|problems| problems), []);
    }
}

#[test]
fn explain_describes_a_field_and_corrects_a_name() {
    let text = explain("platform.baremetal.hosts.bmc.address").expect("known");
    assert!(text.contains("redfish-virtualmedia") && text.contains("required: yes"));
    assert!(explain("platform.baremetal.hosts[0].bmc").expect("known").contains("certificateFingerprint"));
    assert!(explain("platform.baremetal.host").unwrap_err().to_string().contains("`hosts`"));
    assert!(explain("bootstrap.bmc").is_ok());
    assert!(reference().contains("| `platform.baremetal.hosts[].bmc.address` |"));
    assert_eq!(json_schema()["properties"]["networking"]["type"], "object");
}

#[test]
fn the_reference_page_is_the_generated_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/config-reference.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        page == reference(),
        "docs/config-reference.md differs from the fields; `cargo xtask docs` writes it anew"
    );
}

mod disks {
    use super::super::*;
    use crate::inventory::Disk;

    fn disk(name: &str, gib: u64, serial: &str) -> Disk {
        Disk {
            name: name.into(),
            links: vec![format!("/dev/disk/by-id/{serial}")],
            size_bytes: gib << 30,
            serial: Some(serial.into()),
            model: Some("PM9A3 960GB".into()),
            ..Disk::default()
        }
    }

    fn hints(yaml: &str) -> RootDeviceHints {
        serde_norway::from_str(yaml).expect("hints")
    }

    #[test]
    fn the_one_disk_that_matches_all_hints_is_chosen() {
        let disks = [disk("/dev/vda", 20, "A"), disk("/dev/vdb", 40, "B"), disk("/dev/vdc", 8, "C")];
        let cases = [
            ("{deviceName: /dev/vdb}", "/dev/vdb"),
            ("{deviceName: /dev/disk/by-id/C}", "/dev/vdc"),
            ("{serialNumber: a}", "/dev/vda"),
            ("{minSizeGigabytes: 30}", "/dev/vdb"),
            ("{model: pm9a3, minSizeGigabytes: 21}", "/dev/vdb"),
        ];
        for (text, want) in cases {
            assert_eq!(choose(&hints(text), &disks).expect(text).name, want);
        }
    }

    #[test]
    fn no_match_and_several_matches_list_the_candidates() {
        let mut disks = vec![disk("/dev/vda", 20, "A"), disk("/dev/vdb", 40, "B")];
        disks[1].contents = vec!["ext4 `data`".into()];
        let none = choose(&hints("{wwn: '0x5000c500'}"), &disks).unwrap_err();
        assert_eq!(none.reason, "no disk matches the hints wwn=0x5000c500");
        assert_eq!(
            none.candidates[1],
            "/dev/vdb (40.0 GiB, PM9A3 960GB, serial B): ext4 `data`: wwn is unknown, not `0x5000c500`"
        );
        let several = choose(&RootDeviceHints::default(), &disks).unwrap_err();
        assert_eq!(several.reason, "2 disks could be installed to, and there are no rootDeviceHints");
        disks.pop();
        assert_eq!(choose(&RootDeviceHints::default(), &disks).expect("the only one").name, "/dev/vda");
        assert!(choose(&RootDeviceHints::default(), &[]).unwrap_err().to_string().contains("has no disk"));
    }
}
