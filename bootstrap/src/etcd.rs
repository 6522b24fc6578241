//! etcd's membership over its JSON gateway (`/v3/cluster/…`, etcd API reference "Cluster").

use ashlar_model::keys::KeyPair;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("asking etcd at {endpoint} for {act}")]
    Call { endpoint: String, act: &'static str, source: reqwest::Error },
    #[error("etcd at {endpoint} refused {act}: {message}")]
    Refused { endpoint: String, act: &'static str, message: String },
    #[error("preparing the etcd client")]
    Client(#[from] ashlar_pki::Error),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Member {
    #[serde(rename = "ID")]
    pub id: String,
    /// Empty until the member has started for the first time.
    #[serde(default)]
    pub name: String,
    #[serde(rename = "peerURLs", default)]
    pub peer_urls: Vec<String>,
    #[serde(rename = "isLearner", default)]
    pub is_learner: bool,
}

pub struct Client {
    http: reqwest::Client,
    endpoint: String,
}

#[derive(Deserialize)]
struct Members {
    #[serde(default)]
    members: Vec<Member>,
}

impl Client {
    pub fn new(ca_pem: &str, identity: &KeyPair, address: Ipv4Addr) -> Result<Self, Error> {
        let http = ashlar_pki::tls::http_client(ca_pem, Some(identity), Duration::from_secs(10))?;
        Ok(Self { http, endpoint: format!("https://{address}:2379") })
    }

    /// Linearizable: an answer means that etcd has a quorum.
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let answer: Members =
            self.call("the member list", "cluster/member/list", json!({"linearizable": true})).await?;
        Ok(answer.members)
    }

    pub async fn add_learner(&self, peer_url: &str) -> Result<(), Error> {
        let body = json!({"peerURLs": [peer_url], "isLearner": true});
        self.call::<Value>("a new learner", "cluster/member/add", body).await.map(drop)
    }

    pub async fn promote(&self, id: &str) -> Result<(), Error> {
        self.call::<Value>("promoting a learner", "cluster/member/promote", json!({"ID": id})).await.map(drop)
    }

    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        self.call::<Value>("removing a member", "cluster/member/remove", json!({"ID": id})).await.map(drop)
    }

    async fn call<T: DeserializeOwned>(
        &self,
        act: &'static str,
        path: &str,
        body: Value,
    ) -> Result<T, Error> {
        let wrap = |source| Error::Call { endpoint: self.endpoint.clone(), act, source };
        let answer =
            self.http.post(format!("{}/v3/{path}", self.endpoint)).json(&body).send().await.map_err(wrap)?;
        if answer.status().is_success() {
            return answer.json().await.map_err(wrap);
        }
        let text = answer.text().await.map_err(wrap)?;
        let message = serde_json::from_str::<Value>(&text)
            .ok()
            .and_then(|value| value["message"].as_str().map(ToOwned::to_owned))
            .unwrap_or(text);
        Err(Error::Refused { endpoint: self.endpoint.clone(), act, message })
    }
}
