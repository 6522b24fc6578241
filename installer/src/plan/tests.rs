use super::*;
use ashlar_model::config;

const INSTALL: &str = r#"
apiVersion: v1
metadata: {name: demo}
baseDomain: example.test
networking:
  networkType: OVNKubernetes
  clusterNetwork: [{cidr: 10.128.0.0/14, hostPrefix: 23}]
  serviceNetwork: [172.30.0.0/16]
  machineNetwork: [{cidr: 192.0.2.0/24}]
platform:
  baremetal:
    apiVIPs: [192.0.2.100]
    ingressVIPs: [192.0.2.101]
    hosts:
      - {name: master-1, role: master, bootMACAddress: "52:54:00:00:00:01", bmc: {address: "redfish-virtualmedia://198.51.100.11/redfish/v1/Systems/1", username: root, password: hush, disableCertificateVerification: true}}
      - {name: master-2, role: master, bootMACAddress: "52:54:00:00:00:02", bmc: {address: "redfish-virtualmedia://198.51.100.12/redfish/v1/Systems/1", username: root, password: hush}, rootDeviceHints: {serialNumber: S2}}
      - {name: master-3, role: master, bootMACAddress: "52:54:00:00:00:03", bmc: {address: "redfish-virtualmedia://198.51.100.13/redfish/v1/Systems/1", username: root, password: hush}}
controlPlane: {replicas: 3}
compute: [{name: worker, replicas: 0}]
pullSecret: '{"auths":{}}'
"#;

const AGENT: &str = r#"
apiVersion: v1beta1
kind: AgentConfig
metadata: {name: demo}
bootstrap: {name: bootstrap, bootMACAddress: "52:54:00:00:00:09", bmc: {address: "redfish-virtualmedia://198.51.100.10/redfish/v1/Systems/1", username: root, password: hush}}
"#;

pub(crate) fn configuration() -> Configuration {
    let install = config::parse(INSTALL).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let agent = config::agent_config::parse(AGENT).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Configuration { install, agent, machine_configs: Vec::new() }
}

#[test]
fn the_plan_names_every_disk_call_and_risk_and_no_password() {
    let facts = Facts { consent: "master-2".parse().expect("infallible"), ..Facts::default() };
    let text = plan(&configuration(), &facts).to_string();
    for part in [
        "cluster demo.example.test",
        "serialNumber=S2; known after discovery: OVERWRITTEN",
        "the only disk of at least 16 GiB; known after discovery: WIPED, keeps the bootstrap's state",
        "overwritten, you consented",
        "--wipe master-3 consents",
        "eject whatever is in the virtual CD",
        "the certificate of the BMC of master-1 is not verified",
        "no route to the machine network",
    ] {
        assert!(text.contains(part), "`{part}` is missing from\n{text}");
    }
    assert!(!text.contains("hush"));
}

#[test]
fn a_host_that_is_installed_is_left_alone() {
    let line = HostLine {
        name: "master-1".into(),
        role: "master".into(),
        state: State::Joined,
        seconds: 1,
        address: None,
        disk: Some("/dev/vda".into()),
    };
    let facts = Facts { known: BTreeMap::from([("master-1".into(), line)]), ..Facts::default() };
    let plan = plan(&configuration(), &facts);
    let host = plan.hosts.iter().find(|host| host.name == "master-1").expect("planned");
    assert!(host.calls.is_empty() && host.disk.contains("left as it is"), "{host:?}");
}

#[test]
fn the_address_that_bmcs_are_given_stands_in_their_calls() {
    let towards = BTreeMap::from([("master-1".to_owned(), IpAddr::from([198, 51, 100, 1]))]);
    let facts = Facts { serve_towards_bmc: towards, ..Facts::default() };
    let text = plan(&configuration(), &facts).to_string();
    assert!(text.contains("insert http://198.51.100.1:6180/media/…/master-1.iso"), "{text}");
}

#[test]
fn each_node_is_named_its_rendered_config_and_what_it_is_made_of() {
    let mut configuration = configuration();
    let before = plan(&configuration, &Facts::default()).to_string();
    configuration.machine_configs = crate::machine_configs::tests::configs("master");
    let plan = plan(&configuration, &Facts::default());
    let text = plan.to_string();
    assert!(before.contains("= 00-master\n") && text.contains("= 00-master + 99-master-motd\n"), "{text}");
    let of = |name: &str| {
        plan.hosts.iter().find(|host| host.name == name).and_then(|host| host.machine_config.as_ref())
    };
    let config = of("master-1").expect("a config");
    assert_eq!(config.name, format!("rendered-master-{}", config.sha256));
    assert!(!before.contains(&config.sha256) && of("bootstrap").is_none());
}
