//! Leaf certificates of this machine, minted here from the cluster's authorities: no server is needed, so a cluster
//! that was off for a year starts.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use ashlar_model::control_plane::{Authority, Leaf, PKI_DIRECTORY, PRIVATE, PUBLIC, Usage};
use ashlar_model::keys::{ClusterKeys, KeyPair};
use sha2::{Digest, Sha256};

use super::apply::under;
use crate::durable;

const STAMPS: &str = "/var/lib/ashlar/node/leaves.json";
const RENEW_SECONDS: i64 = 30 * 24 * 3600;

/// Every leaf by its name, made anew when it is missing, says something else than it should, or ends soon.
pub fn ensure(
    root: &Path,
    leaves: &[Leaf],
    keys: &ClusterKeys,
) -> anyhow::Result<BTreeMap<&'static str, KeyPair>> {
    let stamps_path = under(root, STAMPS);
    let read = std::fs::read(&stamps_path).ok();
    let have: BTreeMap<String, String> =
        read.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let mut stamps = BTreeMap::new();
    let mut pairs = BTreeMap::new();
    for leaf in leaves {
        let authority = authority(keys, leaf.authority);
        let kept = load(root, leaf.name).filter(|pair| {
            have.get(leaf.name) == Some(&stamp(leaf, authority, pair)) && lasts(&pair.certificate_pem)
        });
        let pair = match kept {
            Some(pair) => pair,
            None => {
                mint(root, leaf, authority).with_context(|| format!("minting certificate `{}`", leaf.name))?
            }
        };
        stamps.insert(leaf.name.to_owned(), stamp(leaf, authority, &pair));
        pairs.insert(leaf.name, pair);
    }
    durable::write_if_changed(&stamps_path, &serde_json::to_vec_pretty(&stamps)?, PRIVATE)?;
    Ok(pairs)
}

fn mint(root: &Path, leaf: &Leaf, authority: &KeyPair) -> anyhow::Result<KeyPair> {
    let wanted = ashlar_pki::Leaf {
        common_name: leaf.common_name.clone(),
        organizations: leaf.organizations.clone(),
        dns_names: leaf.dns_names.clone(),
        addresses: leaf.addresses.clone(),
        usage: match leaf.usage {
            Usage::Server => ashlar_pki::Usage::Server,
            Usage::Client => ashlar_pki::Usage::Client,
            Usage::Both => ashlar_pki::Usage::Both,
        },
    };
    let pair = ashlar_pki::issue(authority, &wanted)?;
    durable::write(&under(root, &path(leaf.name, "key")), pair.private_key_pem.as_bytes(), PRIVATE)?;
    durable::write(&under(root, &path(leaf.name, "crt")), pair.certificate_pem.as_bytes(), PUBLIC)?;
    tracing::info!(leaf = leaf.name, "minted");
    Ok(pair)
}

fn load(root: &Path, name: &str) -> Option<KeyPair> {
    let read = |suffix| std::fs::read_to_string(under(root, &path(name, suffix))).ok();
    Some(KeyPair { certificate_pem: read("crt")?, private_key_pem: read("key")? })
}

fn path(name: &str, suffix: &str) -> String {
    format!("{PKI_DIRECTORY}/{name}.{suffix}")
}

fn authority(keys: &ClusterKeys, authority: Authority) -> &KeyPair {
    match authority {
        Authority::Kubernetes => &keys.kubernetes_ca,
        Authority::FrontProxy => &keys.front_proxy_ca,
        Authority::Etcd => &keys.etcd_ca,
    }
}

fn lasts(certificate_pem: &str) -> bool {
    ashlar_pki::seconds_left(certificate_pem).is_ok_and(|left| left > RENEW_SECONDS)
}

/// Recorded after both files are written: a crash in between is noticed, like any other change of either.
fn stamp(leaf: &Leaf, authority: &KeyPair, pair: &KeyPair) -> String {
    let KeyPair { certificate_pem, private_key_pem } = pair;
    let text = format!("{leaf:?}\n{}\n{certificate_pem}\n{private_key_pem}", authority.certificate_pem);
    hex::encode(Sha256::digest(text))
}
