//! The table of fields of `install-config.yaml` and `agent-config.yaml`.
//!
//! To add a field: one line here, one in `raw`, a rule where it is used. A test compares this table with `raw`.

use super::field::{Field, boolean, choice, foreign, integer, object, objects, text, texts};

pub(super) const INSTALL_CONFIG: &[Field] = &[
    choice("apiVersion", &["v1"], "Version of this file's format.").required(),
    text(
        "baseDomain",
        "example.com",
        "DNS domain that the cluster's names are made in: api.NAME.BASEDOMAIN.",
    )
    .required(),
    object("metadata", METADATA, "Names the cluster.").required(),
    object("networking", NETWORKING, "Address ranges and the pod network."),
    object("platform", PLATFORM, "The machines and how to reach their BMCs.").required(),
    object("controlPlane", CONTROL_PLANE, "The masters."),
    objects("compute", COMPUTE, "The workers; one entry named worker."),
    text(
        "sshKey",
        "'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIAM7y4OgXQlI+woAB9lUiuUJaQacEzR3uaBOoC8KPu6 admin'",
        "Public key that may log in to the nodes as user core; several keys on lines of their own.",
    ),
    text(
        "pullSecret",
        r#"'{"auths":{"registry.example.com":{"auth":"bGFiOmxhYg=="}}}'"#,
        "Registry credentials as JSON. Optional: the release carries every image the cluster needs.",
    )
    .secret(),
    text(
        "additionalTrustBundle",
        r#""-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n""#,
        "PEM certificates that every node trusts in addition to the system's own.",
    ),
    choice("additionalTrustBundlePolicy", &["Always", "Proxyonly"], "When the bundle is used; always, here.")
        .default("Always"),
    choice("publish", &["External"], "Who can reach the API; bare metal has one kind of address.")
        .default("External"),
    boolean("fips", "false", "FIPS mode; only false is supported.").default("false"),
];

const METADATA: &[Field] =
    &[text("name", "prod-01", "Name of the cluster: a DNS label of at most 54 characters.").required()];

const NETWORKING: &[Field] = &[
    text("networkType", "OVNKubernetes",
        "The pod network asked for. OVNKubernetes is accepted and replaced by the built-in network (the plan says so).")
        .default("OVNKubernetes"),
    objects("machineNetwork", &[text("cidr", "192.0.2.0/24", "IPv4 network in CIDR form.").required()],
        "The network that the nodes and both VIPs are in; exactly one.").required(),
    objects("clusterNetwork", CLUSTER_NETWORK, "The range that pod addresses come from; exactly one.")
        .default("one entry, 10.128.0.0/14 with hostPrefix 23"),
    texts("serviceNetwork", "[172.30.0.0/16]", "The range that service addresses come from; exactly one.")
        .default("[172.30.0.0/16]"),
];

const CLUSTER_NETWORK: &[Field] = &[
    text("cidr", "10.128.0.0/14", "IPv4 network in CIDR form.").required(),
    integer("hostPrefix", "23", "Prefix length of the part that each node gets: 23 gives 510 pods.")
        .default("23"),
];

const PLATFORM: &[Field] = &[object("baremetal", BAREMETAL, "Servers driven through their BMCs.").required()];

const BAREMETAL: &[Field] = &[
    texts("apiVIPs", "[192.0.2.10]", "Address of the API, in the machine network and used by nothing else.")
        .required(),
    texts(
        "ingressVIPs",
        "[192.0.2.11]",
        "Address of ingress, in the machine network and used by nothing else.",
    )
    .required(),
    objects("hosts", HOSTS, "Every server of the cluster.").required(),
    texts("additionalNTPServers", "[ntp1.example.com]", "Time servers of the nodes.")
        .default("those that DHCP names"),
    choice(
        "provisioningNetwork",
        &["Disabled", "Managed", "Unmanaged"],
        "Accepted for compatibility; machines boot from virtual media and need no provisioning network.",
    )
    .default("Disabled"),
];

const HOSTS: &[Field] = &[
    text("name", "ctrl-1", "Host name of the node: DNS-1123, unique.").required(),
    choice("role", &["master", "worker"], "What the host becomes.")
        .default("masters are filled first, then workers"),
    object("bmc", BMC, "How to reach the server's management controller.").required(),
    text(
        "bootMACAddress",
        r#""52:54:00:00:00:01""#,
        "MAC address of the interface in the machine network; unique.",
    )
    .required(),
    choice("bootMode", &["UEFI", "UEFISecureBoot", "legacy"], "Firmware mode to boot in.").default("UEFI"),
    text("hardwareProfile", "default", "Accepted for compatibility; has no effect.").default("default"),
    object("rootDeviceHints", ROOT_DEVICE_HINTS, "Which disk to install to; all hints given must hold.")
        .default("the only disk of at least 16 GiB; several such disks stop the installation"),
    foreign(
        "networkConfig",
        NMSTATE_KEYS,
        "{interfaces: [{name: eno1, type: ethernet}]}",
        "Desired state of the host's network, in nmstate's form.",
    )
    .default("DHCP on every Ethernet interface"),
];

/// Top-level keys of an nmstate document.
const NMSTATE_KEYS: &[&str] =
    &["interfaces", "routes", "route-rules", "dns-resolver", "hostname", "ovs-db", "ovn", "description"];

const BMC: &[Field] = &[
    text("address", "redfish-virtualmedia://198.51.100.11/redfish/v1/Systems/1",
        "SCHEME://HOST[:PORT]/redfish/v1/Systems/ID. Schemes: redfish, redfish-virtualmedia, idrac-virtualmedia, \
         ilo5-virtualmedia, redfish-uefihttp, each also with +http or +https (https is the default).").required(),
    text("username", "admin", "User of the BMC.").required(),
    text("password", "'secret'", "Password of the BMC user.").required().secret(),
    boolean("disableCertificateVerification", "false",
        "Accept any certificate of the BMC. The plan reports it; certificateFingerprint is the better way.")
        .default("false"),
    text("certificateFingerprint", "3b5d5c3712955042212316173ccf37be8b6e8b1c8f4a7d1f2a3b4c5d6e7f8091",
        "SHA-256 of the BMC's certificate (64 hex digits, colons allowed): accept this certificate only. Not in OpenShift."),
    text("certificateAuthority", r#""-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n""#,
        "PEM certificates that the BMC's certificate must be signed by. Not in OpenShift."),
];

const ROOT_DEVICE_HINTS: &[Field] = &[
    text("deviceName", "/dev/nvme0n1", "Path in /dev, also /dev/disk/by-path/… and other links."),
    text("hctl", r#""0:0:0:0""#, "The whole SCSI address host:channel:target:lun."),
    text("model", "PM9A3", "Part of the model's name."),
    text("vendor", "ATA", "Part of the vendor's name."),
    text("serialNumber", "S6KMNE0T", "The whole serial number."),
    integer("minSizeGigabytes", "120", "Smallest size in GiB."),
    text("wwn", r#""0x5000c500a1b2c3d4""#, "The whole world wide name."),
    boolean("rotational", "false", "true: spinning disks only; false: solid-state only."),
];

const CONTROL_PLANE: &[Field] = &[
    choice("name", &["master"], "Name of the pool.").default("master"),
    integer("replicas", "3", "How many masters: 1, 3 or 5; as many hosts must have the role.").default("3"),
    ARCHITECTURE,
    HYPERTHREADING,
    POOL_PLATFORM,
];

const COMPUTE: &[Field] = &[
    choice("name", &["worker"], "Name of the pool.").default("worker"),
    integer("replicas", "0", "How many workers; as many hosts must have the role.")
        .default("as many as hosts have the role"),
    ARCHITECTURE,
    HYPERTHREADING,
    POOL_PLATFORM,
];

const ARCHITECTURE: Field = choice("architecture", &["amd64"], "Processor architecture.").default("amd64");
const HYPERTHREADING: Field =
    choice("hyperthreading", &["Enabled"], "Simultaneous threads per core.").default("Enabled");
const POOL_PLATFORM: Field =
    object("platform", &[foreign("baremetal", &[], "{}", "Empty.")], "Accepted for compatibility; empty.");

pub(super) const AGENT_CONFIG: &[Field] = &[
    choice("apiVersion", &["v1beta1", "v1alpha1"], "Version of this file's format.").required(),
    choice("kind", &["AgentConfig"], "Kind of this file.").default("AgentConfig"),
    object(
        "metadata",
        &[text("name", "prod-01", "Name of the cluster, as in install-config.yaml.")],
        "Names the cluster.",
    ),
    object(
        "bootstrap",
        BOOTSTRAP,
        "A server that only holds the temporary control plane and is given back afterwards.",
    )
    .required(),
    texts("additionalNTPSources", "[ntp1.example.com]", "Time servers of the live systems.")
        .default("those that DHCP names"),
];

const BOOTSTRAP: &[Field] = &[
    text("name", "bootstrap", "Host name: DNS-1123, not that of another host.").required(),
    object("bmc", BMC, "How to reach the server's management controller.").required(),
    text(
        "bootMACAddress",
        r#""52:54:00:00:00:01""#,
        "MAC address of the interface in the machine network; unique.",
    )
    .required(),
    choice("bootMode", &["UEFI", "UEFISecureBoot", "legacy"], "Firmware mode to boot in.").default("UEFI"),
    object("rootDeviceHints", ROOT_DEVICE_HINTS, "Which disk keeps the bootstrap's state; it is wiped.")
        .default("the only disk of at least 16 GiB"),
    foreign(
        "networkConfig",
        NMSTATE_KEYS,
        "{interfaces: [{name: eno1, type: ethernet}]}",
        "Desired state of the host's network, in nmstate's form.",
    )
    .default("DHCP on every Ethernet interface"),
];

/// Fields that OpenShift has and that are not supported: the hint differs from that for a spelling mistake.
pub(super) const UNSUPPORTED: &[(&str, &str)] = &[
    ("proxy", "nodes need no way out; remove it"),
    ("imageContentSources", "the release carries all images; remove it"),
    ("imageDigestSources", "the release carries all images; remove it"),
    ("capabilities", "all parts are installed as layers; remove it"),
    ("featureSet", "remove it"),
    ("featureGates", "remove it"),
    ("cpuPartitioningMode", "remove it"),
    ("credentialsMode", "remove it"),
    ("arbiter", "use 1, 3 or 5 masters"),
    ("fencing", "use 1, 3 or 5 masters"),
    ("bootstrapInPlace", "use one master and no bootstrap host"),
    ("operatorPublishingStrategy", "remove it"),
    ("clusterNetworkMTU", "remove it"),
    ("ovnKubernetesConfig", "remove it"),
    ("apiVIP", "write it as a list, apiVIPs"),
    ("ingressVIP", "write it as a list, ingressVIPs"),
    ("loadBalancer", "the VIPs are held by the masters; remove it"),
    ("provisioningNetworkCIDR", "machines boot from virtual media; remove it"),
    ("provisioningDHCPRange", "machines boot from virtual media; remove it"),
    ("provisioningNetworkInterface", "machines boot from virtual media; remove it"),
    ("provisioningBridge", "machines boot from virtual media; remove it"),
    ("bootstrapProvisioningIP", "machines boot from virtual media; remove it"),
    ("clusterProvisioningIP", "machines boot from virtual media; remove it"),
    ("externalBridge", "the bootstrap is a host of its own: agent-config.yaml, bootstrap"),
    ("libvirtURI", "the bootstrap is a host of its own: agent-config.yaml, bootstrap"),
    ("bootstrapExternalStaticIP", "use networkConfig of bootstrap in agent-config.yaml"),
    ("bootstrapExternalStaticGateway", "use networkConfig of bootstrap in agent-config.yaml"),
    ("bootstrapExternalStaticDNS", "use networkConfig of bootstrap in agent-config.yaml"),
    ("bootstrapOSImage", "the release carries the operating system; remove it"),
    ("clusterOSImage", "the release carries the operating system; remove it"),
    ("defaultMachinePlatform", "remove it"),
    ("wwnWithExtension", "use wwn"),
    ("wwnVendorExtension", "use wwn"),
    ("rendezvousIP", "name the machine in bootstrap"),
    ("bootArtifactsBaseURL", "artifacts are served by the installer; remove it"),
    ("minimalISO", "there is one kind of medium; remove it"),
    ("hosts", "list hosts in install-config.yaml, platform.baremetal.hosts"),
];
