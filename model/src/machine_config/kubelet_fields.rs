//! The fields of the kubelet's configuration that a `KubeletConfig` may set: those of Kubernetes 1.35
//! (`kubelet.config.k8s.io/v1beta1`, KubeletConfiguration).

/// What a field's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Truth,
    Integer,
    Number,
    Text,
    /// As Go writes it: `1h30m`.
    Duration,
    /// A list of strings.
    Texts,
    /// A mapping of names to strings.
    Words,
    /// A mapping of names to truth values.
    Truths,
    /// A list, which the kubelet itself judges.
    List,
    /// A mapping, which the kubelet itself judges.
    Mapping,
}

/// Fields on which a node's identity, its health checks and its place in the cluster hang: the release sets them.
pub const OURS: &[&str] = &[
    "address",
    "authentication",
    "authorization",
    "cgroupDriver",
    "cgroupRoot",
    "clusterDNS",
    "clusterDomain",
    "containerRuntimeEndpoint",
    "enableServer",
    "healthzBindAddress",
    "healthzPort",
    "imageServiceEndpoint",
    "kubeletCgroups",
    "podCIDR",
    "podLogsDir",
    "port",
    "providerID",
    "registerNode",
    "resolvConf",
    "rotateCertificates",
    "runOnce",
    "serverTLSBootstrap",
    "staticPodPath",
    "staticPodURL",
    "staticPodURLHeader",
    "systemCgroups",
    "tlsCertFile",
    "tlsPrivateKeyFile",
    "volumePluginDir",
];

pub const FIELDS: &[(Kind, &[&str])] = &[
    (
        Kind::Truth,
        &[
            "cgroupsPerQOS",
            "cpuCFSQuota",
            "enableContentionProfiling",
            "enableControllerAttachDetach",
            "enableDebugFlagsHandler",
            "enableDebuggingHandlers",
            "enableProfilingHandler",
            "enableSystemLogHandler",
            "enableSystemLogQuery",
            "failCgroupV1",
            "failSwapOn",
            "kernelMemcgNotification",
            "localStorageCapacityIsolation",
            "makeIPTablesUtilChains",
            "mergeDefaultEvictionSettings",
            "protectKernelDefaults",
            "seccompDefault",
            "serializeImagePulls",
            "singleProcessOOMKill",
        ],
    ),
    (
        Kind::Integer,
        &[
            "containerLogMaxFiles",
            "containerLogMaxWorkers",
            "eventBurst",
            "eventRecordQPS",
            "evictionMaxPodGracePeriod",
            "imageGCHighThresholdPercent",
            "imageGCLowThresholdPercent",
            "iptablesDropBit",
            "iptablesMasqueradeBit",
            "kubeAPIBurst",
            "kubeAPIQPS",
            "maxOpenFiles",
            "maxParallelImagePulls",
            "maxPods",
            "nodeLeaseDurationSeconds",
            "nodeStatusMaxImages",
            "oomScoreAdj",
            "podPidsLimit",
            "podsPerCore",
            "readOnlyPort",
            "registryBurst",
            "registryPullQPS",
        ],
    ),
    (Kind::Number, &["memoryThrottlingFactor"]),
    (
        Kind::Text,
        &[
            "configMapAndSecretChangeDetectionStrategy",
            "containerLogMaxSize",
            "contentType",
            "cpuManagerPolicy",
            "hairpinMode",
            "imagePullCredentialsVerificationPolicy",
            "kubeReservedCgroup",
            "memoryManagerPolicy",
            "reservedSystemCPUs",
            "showHiddenMetricsForVersion",
            "systemReservedCgroup",
            "tlsMinVersion",
            "topologyManagerPolicy",
            "topologyManagerScope",
        ],
    ),
    (
        Kind::Duration,
        &[
            "containerLogMonitorInterval",
            "cpuCFSQuotaPeriod",
            "cpuManagerReconcilePeriod",
            "evictionPressureTransitionPeriod",
            "fileCheckFrequency",
            "httpCheckFrequency",
            "imageMaximumGCAge",
            "imageMinimumGCAge",
            "nodeStatusReportFrequency",
            "nodeStatusUpdateFrequency",
            "runtimeRequestTimeout",
            "shutdownGracePeriod",
            "shutdownGracePeriodCriticalPods",
            "streamingConnectionIdleTimeout",
            "syncFrequency",
            "volumeStatsAggPeriod",
        ],
    ),
    (
        Kind::Texts,
        &[
            "allowedUnsafeSysctls",
            "enforceNodeAllocatable",
            "preloadedImagesVerificationAllowlist",
            "tlsCipherSuites",
        ],
    ),
    (
        Kind::Words,
        &[
            "cpuManagerPolicyOptions",
            "evictionHard",
            "evictionMinimumReclaim",
            "evictionSoft",
            "evictionSoftGracePeriod",
            "kubeReserved",
            "qosReserved",
            "systemReserved",
            "topologyManagerPolicyOptions",
        ],
    ),
    (Kind::Truths, &["featureGates"]),
    (Kind::List, &["registerWithTaints", "reservedMemory", "shutdownGracePeriodByPodPriority"]),
    (Kind::Mapping, &["crashLoopBackOff", "logging", "memorySwap", "tracing", "userNamespaces"]),
];

pub fn kind(field: &str) -> Option<Kind> {
    FIELDS.iter().find(|(_, names)| names.contains(&field)).map(|(kind, _)| *kind)
}
