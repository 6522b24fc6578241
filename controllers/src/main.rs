//! `ashlar-controllers`: what runs on the masters of an installed cluster.

use anyhow::Context;
use ashlar_controllers::lease::Holder;
use ashlar_controllers::machine_config::{Pools, live, pool};
use ashlar_controllers::update::{self, Releases, Store, Updater};
use ashlar_controllers::{
    admission, cluster_object, config_server, directory::Directory, drain, first_boot, host_object, nodes,
    signing,
};
use ashlar_model::bootstrap_api::Cluster;
use ashlar_model::keys::{ClusterKeys, KeyPair};
use ashlar_model::node::{CLUSTER_KEYS_FILE, NODE_FILE, NodeFile};
use ashlar_model::update::STORE;
use ashlar_pki::tls::{self, Clients};
use ashlar_pki::{Leaf, issue};
use clap::{Parser, Subcommand};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often hosts are read again and nodes are labelled.
const RESYNC: Duration = Duration::from_secs(5);
/// How often objects that are ours are made again what they shall be.
const KEEP: Duration = Duration::from_secs(60);

#[derive(Parser)]
#[command(name = "ashlar-controllers", version, about = "Ashlar's controllers in the cluster")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Approves node certificates and serves the configuration of later hosts
    Run,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter("info").with_writer(std::io::stderr).init();
    let Arguments { command: Command::Run } = Arguments::parse();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let node: NodeFile = read(NODE_FILE)?;
    let keys: ClusterKeys = read(CLUSTER_KEYS_FILE)?;
    let client = Client::try_default().await.context("reaching the API server")?;
    let shared = Shared::default();
    let stop = CancellationToken::new();
    let cluster = Arc::new(node.cluster.clone());
    let releases = Releases {
        store: Store::new(Path::new(STORE)),
        directory: shared.directory.clone(),
        allowed: Arc::default(),
    };
    let updater = Updater::new(cluster.clone(), Arc::new(keys.clone()), &node.host, releases.clone());
    let holder = Holder::new(client.clone(), &node.host);
    let keep = Keep { cluster: cluster.clone(), authority_pem: keys.install_ca.certificate_pem.clone() };
    let admission = tokio::spawn(admit(keys.install_ca.clone(), shared.pools.clone(), stop.clone()));
    let server = tokio::spawn(serve(client.clone(), node, keys, shared.clone(), releases, stop.clone()));
    tokio::select! {
        () = signing::run(client.clone(), shared.directory.clone()) => {}
        () = live::follow(client.clone(), cluster, shared.pools.clone()) => {}
        () = resync(client, keep, shared, updater, holder) => {}
        result = server => result.context("serving configurations")??,
        _ = terminated() => {}
    }
    stop.cancel();
    admission.await.context("ending the admission server")
}

/// Nothing else ends with it: what is not refused at once is said in the pool's status.
async fn admit(authority: KeyPair, pools: Pools, stop: CancellationToken) {
    if let Err(error) = admission::serve(authority, pools, stop).await {
        tracing::error!(error = format!("{error:#}"), "machine configs are not judged when they are applied");
    }
}

/// Objects of ours.
struct Keep {
    cluster: Arc<Cluster>,
    authority_pem: String,
}

impl Keep {
    async fn write(&self, client: &Client) -> Result<(), kube::Error> {
        cluster_object::store(client, &self.cluster).await?;
        admission::register(client, &self.authority_pem).await
    }
}

/// What the server, the approver and the loop know together.
#[derive(Clone, Default)]
struct Shared {
    directory: Directory,
    pools: Pools,
    /// Hosts that were given a config and whose node does not say so yet.
    given: Arc<Mutex<BTreeMap<String, String>>>,
}

async fn serve(
    client: Client,
    node: NodeFile,
    keys: ClusterKeys,
    shared: Shared,
    releases: Releases,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let cluster = node.cluster;
    let names = vec![format!("api-int.{}", cluster.domain()), format!("api.{}", cluster.domain())];
    let addresses = vec![cluster.api_vip.into(), node.address.into()];
    let leaf = Leaf::server("configuration server", names, addresses);
    let install_ca = keys.install_ca.clone();
    let config = tls::renewing_server(move || issue(&install_ca, &leaf), Clients::AnyKey)
        .context("minting the configuration server's certificate")?;
    let authority = keys.install_ca.certificate_pem.clone();
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, config_server::PORT))
        .await
        .with_context(|| format!("listening on port {}", config_server::PORT))?;
    let router = config_server::app(config_server::Server {
        directory: shared.directory,
        cluster: Arc::new(cluster),
        keys: Arc::new(keys),
        bootstrap_url: None,
        pools: shared.pools,
        fetched: Arc::new(move |host, rendered| {
            let mut given = shared.given.lock().unwrap_or_else(PoisonError::into_inner);
            given.insert(host.to_owned(), rendered.to_owned());
        }),
        stopped: Arc::new(move |host, failure| first_boot::tell(&client, host, failure)),
    })
    .merge(update::router(releases));
    ashlar_pki::serve(listener, config, authority, router, stop).await;
    Ok(())
}

async fn resync(client: Client, keep: Keep, shared: Shared, updater: Updater, mut holder: Holder) {
    let mut kept: Option<Instant> = None;
    let mut interval = tokio::time::interval(RESYNC);
    loop {
        interval.tick().await;
        if let Err(error) = host_object::load(&client, &shared.directory).await {
            tracing::warn!(%error, "reading hosts");
        }
        let acting = holder.hold().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "holding the lease");
            false
        });
        if acting && kept.is_none_or(|last| last.elapsed() > KEEP) {
            match keep.write(&client).await {
                Ok(()) => kept = Some(Instant::now()),
                Err(error) => tracing::warn!(%error, "writing the objects that are ours"),
            }
        }
        if let Err(error) = look_at_nodes(&client, &shared, &updater, acting).await {
            tracing::warn!(error = format!("{error:#}"), "going on with nodes and pools");
        }
    }
}

/// `acting`: this controller, and no other, changes nodes.
async fn look_at_nodes(
    client: &Client,
    shared: &Shared,
    updater: &Updater,
    acting: bool,
) -> anyhow::Result<()> {
    let api = Api::all(client.clone());
    let nodes = nodes::label(&api, &shared.directory).await?;
    let given = shared.given.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for host in nodes::annotate(&api, &nodes, &given).await? {
        let mut known = shared.given.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have been given another one meanwhile.
        if known.get(&host) == given.get(&host) {
            known.remove(&host);
        }
    }
    if acting {
        drain::step(client, &nodes).await?;
    }
    // One thing at a time: machine configs wait while an update changes nodes.
    let updating = update::go_on(updater, client, &nodes, acting).await?;
    pool::go_on(client, &shared.pools, &shared.directory, &nodes, acting && !updating).await?;
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(path: &str) -> anyhow::Result<T> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {path}"))?;
    serde_json::from_str(&text).with_context(|| format!("understanding {path}"))
}

async fn terminated() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    signal(SignalKind::terminate())?.recv().await;
    Ok(())
}
