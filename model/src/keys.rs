//! The cluster's long-lived keys. Made once by the engine, kept encrypted in its journal, handed to bootstrap and
//! masters only. No Debug: nothing of it may reach a log.

use serde::{Deserialize, Serialize};

/// A certificate with its private key, PEM.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyPair {
    pub certificate_pem: String,
    pub private_key_pem: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct ClusterKeys {
    /// Signs the engine's, bootstrap's and configuration servers' certificates: what media and slots trust.
    pub install_ca: KeyPair,
    pub kubernetes_ca: KeyPair,
    pub front_proxy_ca: KeyPair,
    pub etcd_ca: KeyPair,
    /// Signs service-account tokens (PKCS#8 private key, SPKI public key).
    pub service_account: ServiceAccountKey,
    /// 32 bytes, base64: secrets at rest in etcd.
    pub encryption_key: String,
}

#[derive(Clone, Serialize, Deserialize)]
pub struct ServiceAccountKey {
    pub private_key_pem: String,
    pub public_key_pem: String,
}
