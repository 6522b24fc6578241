//! What the cluster wishes of this node, and what the node says of itself: annotations of its own object, with the
//! kubelet's credential, which may touch no other node. Configs come from the configuration server.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use ashlar_model::keys::KeyPair;
use ashlar_model::machine_config::{
    Applied, CURRENT_CONFIG, DESIRED_CONFIG, DESIRED_DRAIN, LAST_APPLIED_DRAIN, NodeState, REASON,
    RENDERED_PATH, STATE,
};
use ashlar_model::node::{IDENTITY_CERTIFICATE, IDENTITY_KEY, NodeFile};
use ashlar_model::update::RELEASE_PATH;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

/// Certificate and key; the kubelet replaces it when it renews them.
const CREDENTIAL: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
const AUTHORITY: &str = "/etc/kubernetes/pki/ca.crt";
const CONFIG_SERVER_PORT: u16 = 22623;
const TIMEOUT: Duration = Duration::from_secs(10);

pub struct Cluster {
    node: String,
    api: String,
    config_server: String,
    config_server_ca: String,
    /// With the time of the credential that it uses.
    client: Option<(SystemTime, reqwest::Client)>,
}

/// From the annotations.
#[derive(Debug, Default)]
pub struct Wish {
    pub desired: Option<String>,
    /// What was asked for last, and what was done last.
    pub drain: Option<String>,
    drained: Option<String>,
}

impl Wish {
    pub fn drained(&self, config: &str) -> bool {
        self.drained == Some(format!("drain-{config}"))
    }
}

impl Cluster {
    pub fn new(file: &NodeFile) -> Self {
        let internal = format!("api-int.{}", file.cluster.domain());
        Self {
            node: file.host.clone(),
            api: format!("https://{internal}:6443"),
            config_server: format!("https://{internal}:{CONFIG_SERVER_PORT}"),
            config_server_ca: file.server_ca_pem.clone(),
            client: None,
        }
    }

    pub async fn wish(&mut self) -> anyhow::Result<Wish> {
        let node = self.node().await?;
        let annotation = |name: &str| node["metadata"]["annotations"][name].as_str().map(ToOwned::to_owned);
        Ok(Wish {
            desired: annotation(DESIRED_CONFIG),
            drain: annotation(DESIRED_DRAIN),
            drained: annotation(LAST_APPLIED_DRAIN),
        })
    }

    /// The own node, as the API server's cache has it.
    pub async fn node(&mut self) -> anyhow::Result<Value> {
        let url = format!("{}?resourceVersion=0", self.own_url());
        Ok(self.client()?.get(url).send().await?.error_for_status()?.json().await?)
    }

    /// A static pod of this node by its short name.
    pub async fn own_pod(&mut self, name: &str) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/namespaces/kube-system/pods/{name}-{}", self.api, self.node);
        Ok(self.client()?.get(url).send().await?.error_for_status()?.json().await?)
    }

    /// Where the files of a release are.
    pub fn release_url(&self, commit: &str) -> String {
        format!("{}{RELEASE_PATH}/{commit}/files", self.config_server)
    }

    pub async fn tell(&mut self, current: &str, state: NodeState, reason: &str) -> anyhow::Result<()> {
        self.annotate(&json!({CURRENT_CONFIG: current, STATE: state.as_str(), REASON: reason})).await
    }

    pub async fn ask_for_drain(&mut self, config: &str) -> anyhow::Result<()> {
        self.annotate(&json!({DESIRED_DRAIN: format!("drain-{config}")})).await
    }

    pub async fn ask_for_uncordon(&mut self, config: &str) -> anyhow::Result<()> {
        self.annotate(&json!({DESIRED_DRAIN: format!("uncordon-{config}")})).await
    }

    /// A rendered config by its name, which is its SHA-256: what comes is what was asked for.
    pub async fn fetch(&self, name: &str) -> anyhow::Result<Applied> {
        let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("reading {path}"));
        let identity =
            KeyPair { certificate_pem: read(IDENTITY_CERTIFICATE)?, private_key_pem: read(IDENTITY_KEY)? };
        let client = ashlar_pki::tls::http_client(&self.config_server_ca, Some(&identity), TIMEOUT)?;
        let url = format!("{}{RENDERED_PATH}/{name}", self.config_server);
        let answer = client.get(&url).send().await.with_context(|| format!("asking {url}"))?;
        let status = answer.status();
        if !status.is_success() {
            anyhow::bail!("{url} answers {status}: {}", answer.text().await.unwrap_or_default());
        }
        let config: Applied = answer.json().await.with_context(|| format!("understanding {url}"))?;
        let parsed = ashlar_ignition::parse_value(config.config.clone())
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let digest = ashlar_ignition::digest(&parsed.config);
        anyhow::ensure!(
            config.name == name && name.ends_with(&digest),
            "{url} gives another config ({digest})"
        );
        Ok(config)
    }

    /// For who reads `kubectl get events`; that it is not heard changes nothing.
    pub async fn event(&mut self, reason: &str, note: &str) {
        if let Err(error) = self.post_event(reason, note).await {
            tracing::info!(reason, error = format!("{error:#}"), "no event");
        }
    }

    async fn post_event(&mut self, reason: &str, note: &str) -> anyhow::Result<()> {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
        let bad = reason != "MachineConfigApplied";
        let object = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": format!("{}.{:x}", self.node, since.as_nanos()), "namespace": "default"},
            "eventTime": now,
            "reportingController": "ashlar.dev/agent",
            "reportingInstance": self.node,
            "action": "MachineConfig",
            "reason": reason,
            "type": if bad { "Warning" } else { "Normal" },
            "note": note.chars().take(1000).collect::<String>(),
            "regarding": {"apiVersion": "v1", "kind": "Node", "name": self.node, "uid": self.node},
        });
        let url = format!("{}/apis/events.k8s.io/v1/namespaces/default/events", self.api);
        self.client()?.post(url).json(&object).send().await?.error_for_status()?;
        Ok(())
    }

    pub async fn annotate(&mut self, annotations: &Value) -> anyhow::Result<()> {
        let patch = json!({"metadata": {"annotations": annotations}}).to_string();
        let request =
            self.client()?.patch(self.own_url()).header(CONTENT_TYPE, "application/merge-patch+json");
        request.body(patch).send().await?.error_for_status()?;
        Ok(())
    }

    fn own_url(&self) -> String {
        format!("{}/api/v1/nodes/{}", self.api, self.node)
    }

    fn client(&mut self) -> anyhow::Result<reqwest::Client> {
        let credential = PathBuf::from(CREDENTIAL);
        let time = credential.metadata().and_then(|data| data.modified());
        let time =
            time.with_context(|| format!("looking at {CREDENTIAL}: the kubelet has no certificate yet"))?;
        if let Some((of, client)) = &self.client
            && *of == time
        {
            return Ok(client.clone());
        }
        let pem = std::fs::read_to_string(&credential).with_context(|| format!("reading {CREDENTIAL}"))?;
        let authority = std::fs::read_to_string(AUTHORITY).with_context(|| format!("reading {AUTHORITY}"))?;
        let identity = KeyPair { certificate_pem: pem.clone(), private_key_pem: pem };
        let client = ashlar_pki::tls::http_client(&authority, Some(&identity), TIMEOUT)?;
        self.client = Some((time, client.clone()));
        Ok(client)
    }
}
