//! Over TLS, as operator, master and node do it.

use std::collections::BTreeSet;
use std::time::Duration;

use ashlar_model::bootstrap_api::{HostRecord, Role};
use ashlar_model::keys::KeyPair;
use ashlar_model::release::File;
use ashlar_pki::tls::{self, Clients};
use ashlar_pki::{Leaf, authority, issue, key_sha256, self_signed};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::update::peers;

const COMMIT: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Master {
    releases: Releases,
    url: String,
    authority: String,
    _folder: tempfile::TempDir,
    stop: CancellationToken,
}

impl Master {
    /// One that knows a node's key and one operator's.
    async fn start(node: &KeyPair, operator: &KeyPair) -> Self {
        let ca = authority("CA").expect("an authority");
        let identity = issue(&ca, &Leaf::server("s", vec![], vec![[127, 0, 0, 1].into()])).expect("a leaf");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("bound"));
        let folder = tempfile::tempdir().expect("a folder");
        let record = HostRecord {
            name: "worker-1".into(),
            role: Role::Worker,
            boot_mac: String::new(),
            address: None,
            token_sha256: String::new(),
            key_sha256: Some(key_sha256(&node.certificate_pem).expect("a key")),
            generation: 1,
            kubelet_token: String::new(),
        };
        let key = key_sha256(&operator.certificate_pem).expect("a key");
        let releases = Releases {
            store: Store::new(folder.path()),
            directory: Directory::new(vec![record]),
            allowed: Arc::new(RwLock::new(Some((COMMIT.into(), key)))),
        };
        let stop = CancellationToken::new();
        let config = tls::server(&identity, Clients::AnyKey).expect("a config");
        let app = router(releases.clone());
        tokio::spawn(ashlar_pki::serve(listener, config, ca.certificate_pem.clone(), app, stop.clone()));
        Self { releases, url, authority: ca.certificate_pem, _folder: folder, stop }
    }

    fn client(&self, identity: &KeyPair) -> reqwest::Client {
        tls::http_client(&self.authority, Some(identity), Duration::from_secs(5)).expect("a client")
    }

    fn path(&self, rest: &str) -> String {
        format!("{}{RELEASE_PATH}/{COMMIT}/{rest}", self.url)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn sha(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn an_index() -> Index {
    let file = |text: &str| File { sha256: sha(text), bytes: text.len() as u64 };
    Index {
        files: [("release.json".into(), file("manifest")), ("ostree/config".into(), file("config"))].into(),
    }
}

#[tokio::test]
async fn what_the_operator_brings_is_checked_and_goes_to_nodes_and_other_masters_and_to_nobody_else() {
    let identity = |name: &str| self_signed(name, &[], &[]).expect("an identity");
    let (operator, node, stranger) = (identity("operator"), identity("node"), identity("stranger"));
    let master = Master::start(&node, &operator).await;
    let brings = master.client(&operator);
    let put = async |rest: &str, body: &'static str| {
        brings.put(master.path(rest)).body(body).send().await.expect("an answer").status()
    };
    let tell = async || {
        let answer = brings.put(master.path("index")).json(&an_index()).send().await.expect("an answer");
        answer.json::<BTreeSet<String>>().await.expect("what is missing")
    };
    assert_eq!(tell().await.len(), 2);
    assert_eq!(put(&format!("blob/{}", sha("manifest")), "other").await, StatusCode::BAD_REQUEST);
    assert_eq!(put(&format!("blob/{}", sha("manifest")), "manifest").await, StatusCode::NO_CONTENT);
    assert_eq!(tell().await, BTreeSet::from([sha("config")]), "what came is not sent again");

    let asks = master.client(&node);
    let get = async |client: &reqwest::Client, rest: &str| {
        client.get(master.path(rest)).send().await.expect("an answer")
    };
    assert_eq!(get(&asks, "files/release.json").await.status(), StatusCode::NOT_FOUND, "half a release");
    assert_eq!(put(&format!("blob/{}", sha("config")), "config").await, StatusCode::NO_CONTENT);
    assert!(tell().await.is_empty());
    assert_eq!(get(&asks, "files/ostree/config").await.text().await.expect("text"), "config");

    let unknown = master.client(&stranger);
    for rest in ["index", "files/release.json"] {
        assert_eq!(get(&unknown, rest).await.status(), StatusCode::UNAUTHORIZED);
    }
    let taken = unknown.put(master.path(&format!("blob/{}", sha("x")))).body("x").send().await;
    assert_eq!(taken.expect("an answer").status(), StatusCode::UNAUTHORIZED);
    let by_node = asks.put(master.path(&format!("blob/{}", sha("x")))).body("x").send().await;
    assert_eq!(by_node.expect("an answer").status(), StatusCode::UNAUTHORIZED, "nodes only read");

    let folder = tempfile::tempdir().expect("a folder");
    let other = Store::new(folder.path());
    peers::copy(&other, &asks, &master.url, COMMIT).await.expect("copied");
    assert_eq!(other.index(COMMIT), master.releases.store.index(COMMIT));
}
