//! The bootstrap's run: bring up, serve, grow, pivot, go.

use crate::base;
use crate::machine::{self, Images, PRIORITY_HOLD, PRIORITY_YIELD, Place};
use crate::pivot::{self, EtcdAction, Seen};
use crate::server;
use crate::state::State;
use crate::{etcd, pivot::missing};
use anyhow::Context;
use ashlar_controllers::{config_server, host_object, nodes, signing};
use ashlar_model::bootstrap_api::{HostRecord, NodeReport, NodeStatus, Phase, Role};
use ashlar_model::control_plane::peer_url;
use ashlar_pki::tls::Clients;
use ashlar_pki::{Leaf, issue};
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

pub(crate) const TICK: Duration = Duration::from_millis(500);
/// A report older than this says nothing of now.
const FRESH: Duration = Duration::from_secs(10);

pub async fn run() -> anyhow::Result<()> {
    let state = Arc::new(State::open().context("reading the bundle")?);
    let place = machine::place(&state.bundle.cluster).await?;
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve(Arc::clone(&state), place.clone(), stop.clone()));
    if state.lock().phase < Phase::Finished {
        tokio::select! {
            result = install(&state, &place) => result?,
            result = server => return result.context("serving")?,
            () = terminated() => return Ok(()),
        }
    }
    // The engine reads the end of it, then switches the machine off.
    terminated().await;
    stop.cancel();
    Ok(())
}

async fn serve(state: Arc<State>, place: Place, stop: CancellationToken) -> anyhow::Result<()> {
    let (cluster, keys) = (&state.bundle.cluster, &state.bundle.keys);
    let names = vec![format!("api-int.{}", cluster.domain())];
    let leaf = Leaf::server("bootstrap", names, vec![place.address.into(), cluster.api_vip.into()]);
    let identity = issue(&keys.install_ca, &leaf).context("minting the bootstrap's certificate")?;
    let config = ashlar_pki::tls::server(&identity, Clients::AnyKey)?;
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, config_server::PORT))
        .await
        .with_context(|| format!("listening on port {}", config_server::PORT))?;
    let authority = keys.install_ca.certificate_pem.clone();
    let router =
        server::app(Arc::clone(&state), format!("https://{}:{}", place.address, config_server::PORT));
    ashlar_pki::serve(listener, config, authority, router, stop).await;
    Ok(())
}

async fn install(state: &Arc<State>, place: &Place) -> anyhow::Result<()> {
    let images = Images::read()?;
    machine::write_files(state, place)?;
    machine::start_control_plane(state, place, &images).await?;
    machine::hold_api_address(state, place, PRIORITY_HOLD).await?;
    let etcd = etcd_client(state, place.address)?;
    until(state, "etcd to answer", async || etcd.members().await.is_ok()).await;
    state.set_phase(Phase::EtcdUp);
    state.milestone("etcd answers");
    let client = api_client(state).await?;
    until(state, "the API server to be ready", async || client.apiserver_version().await.is_ok()).await;
    state.set_phase(Phase::ApiUp);
    state.milestone("the API server answers");
    base::prepare(state, &client, &images).await;
    state.set_phase(Phase::Serving);
    state.milestone("the cluster's base objects are there");
    let approver = tokio::spawn(signing::run(client.clone(), state.directory.clone()));
    grow(state, place, &client, &etcd).await?;
    approver.abort();
    leave(state, place, &etcd).await
}

/// Grows etcd and control planes until the masters serve and the engine says to finish.
async fn grow(state: &State, place: &Place, client: &Client, etcd: &etcd::Client) -> anyhow::Result<()> {
    let mut stored = state.directory.all();
    loop {
        let hosts = state.directory.all();
        if hosts != stored {
            match host_object::store(client, &hosts).await {
                Ok(()) => stored.clone_from(&hosts),
                Err(error) => tracing::warn!(%error, "writing the hosts"),
            }
            if state.lock().phase < Phase::Pivoted {
                machine::hold_api_address(state, place, PRIORITY_HOLD).await?;
            }
        }
        if let Err(error) = step(state, place, client, etcd, &hosts).await {
            tracing::info!(error = format!("{error:#}"), "pivot");
        }
        if state.asked_to_finish() && all_told(state, &hosts) {
            return Ok(());
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn step(
    state: &State,
    place: &Place,
    client: &Client,
    etcd: &etcd::Client,
    hosts: &[HostRecord],
) -> anyhow::Result<()> {
    let members = etcd.members().await?;
    let api = Api::<Node>::all(client.clone());
    let nodes = nodes::label(&api, &state.directory).await?;
    let given = state.given();
    let said = nodes::annotate(&api, &nodes, &given).await?;
    state.forget_given(&given, &said).context("recording what nodes say")?;
    let reports = fresh_reports(state);
    let masters: Vec<Seen<'_>> = hosts
        .iter()
        .filter(|host| host.role == Role::Master)
        .map(|host| Seen {
            host,
            report: reports.iter().find(|report| report.host == host.name),
            ready: nodes.iter().any(|node| node.name_any() == host.name && nodes::is_ready(node)),
        })
        .collect();
    publish(state, place, hosts, &members, &nodes, &reports);
    if let Some(action) = pivot::next_etcd(&members, &masters) {
        state.set_phase(Phase::Growing);
        return carry_out(state, etcd, action).await;
    }
    let missing = missing(&members, &masters, state.bundle.cluster.masters);
    if missing.is_empty() {
        return pivoted(state, place, client).await;
    }
    state.wait_for(Some(missing.join("; ")));
    Ok(())
}

async fn carry_out(state: &State, etcd: &etcd::Client, action: EtcdAction) -> anyhow::Result<()> {
    match action {
        EtcdAction::AddLearner { host, peer_url } => {
            etcd.add_learner(&peer_url).await?;
            state.milestone(format!("{host} joins etcd as a learner"));
        }
        EtcdAction::Promote { host, id } => {
            etcd.promote(&id).await?;
            state.milestone(format!("{host} votes in etcd"));
        }
        EtcdAction::RemoveStale { name, id } => {
            etcd.remove(&id).await?;
            state.milestone(format!("the stale etcd member {name} is removed"));
        }
    }
    Ok(())
}

/// The masters serve: the completion is recorded and the address handed over.
async fn pivoted(state: &State, place: &Place, client: &Client) -> anyhow::Result<()> {
    if state.lock().phase >= Phase::Pivoted {
        return Ok(());
    }
    machine::hold_api_address(state, place, PRIORITY_YIELD).await?;
    let mut record = ConfigMap::default();
    record.metadata.name = Some("ashlar-install".into());
    record.metadata.namespace = Some(host_object::NAMESPACE.into());
    record.data = Some([("complete".to_owned(), "true".to_owned())].into());
    Api::<ConfigMap>::namespaced(client.clone(), host_object::NAMESPACE)
        .patch(
            "ashlar-install",
            &PatchParams::apply(host_object::FIELD_MANAGER).force(),
            &Patch::Apply(&record),
        )
        .await
        .context("recording completion")?;
    state.wait_for(None);
    state.set_phase(Phase::Pivoted);
    state.milestone("the masters serve; completion is recorded");
    Ok(())
}

/// Stops the temporary control plane: address, API, membership, etcd, in this order.
async fn leave(state: &State, place: &Place, etcd: &etcd::Client) -> anyhow::Result<()> {
    machine::stop_api().await?;
    state.milestone("the bootstrap's API server is stopped");
    let own_url = peer_url(place.address);
    loop {
        match remove_member(state, etcd, &own_url).await {
            Ok(()) => break,
            Err(error) => {
                tracing::info!(error = format!("{error:#}"), "removing the bootstrap's etcd member")
            }
        }
        tokio::time::sleep(TICK).await;
    }
    machine::stop_etcd()?;
    state.milestone("the bootstrap's etcd member is removed");
    state.set_finished().context("recording the end")
}

/// Asks a master to remove the bootstrap's member: a member that removes itself cannot confirm it.
async fn remove_member(state: &State, own: &etcd::Client, own_url: &str) -> anyhow::Result<()> {
    let masters = state.directory.all();
    let addresses = masters.iter().filter(|host| host.role == Role::Master).filter_map(|host| host.address);
    let mut last = None;
    for address in addresses {
        let client = etcd_client(state, address)?;
        match client.members().await {
            Ok(members) => {
                let Some(member) =
                    members.iter().find(|member| member.peer_urls.iter().any(|url| url == own_url))
                else {
                    return Ok(());
                };
                return Ok(client.remove(&member.id).await?);
            }
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error.into()),
        None => own.members().await.map(drop).map_err(Into::into),
    }
}

/// Tells the server what each node is to do and the engine what each node is.
fn publish(
    state: &State,
    place: &Place,
    hosts: &[HostRecord],
    members: &[etcd::Member],
    nodes: &[Node],
    reports: &[NodeReport],
) {
    let bootstrap = (state.bundle.bootstrap_host.as_str(), place.address);
    let mut inner = state.lock();
    for host in hosts.iter().filter(|host| host.role != Role::Bootstrap) {
        let node = nodes.iter().find(|node| node.name_any() == host.name);
        let report = reports.iter().find(|report| report.host == host.name);
        let ready = node.is_some_and(nodes::is_ready);
        let over = ready && inner.phase >= Phase::Pivoted;
        inner.orders.insert(host.name.clone(), pivot::order(members, hosts, host, bootstrap, over));
        let voter = host.address.is_some_and(|address| {
            members.iter().any(|member| !member.is_learner && member.peer_urls.contains(&peer_url(address)))
        });
        let status = NodeStatus {
            config_fetched: inner.fetched.contains(&host.name) || node.is_some(),
            registered: node.is_some(),
            ready,
            etcd_voter: voter,
            api_ready: report.is_some_and(|report| report.api_ready),
            address: host.address,
        };
        inner.nodes.insert(host.name.clone(), status);
    }
}

fn fresh_reports(state: &State) -> Vec<NodeReport> {
    let inner = state.lock();
    inner.reports.values().filter(|(_, at)| at.elapsed() < FRESH).map(|(report, _)| report.clone()).collect()
}

fn all_told(state: &State, hosts: &[HostRecord]) -> bool {
    let inner = state.lock();
    hosts.iter().filter(|host| host.role == Role::Master).all(|host| inner.told.contains(&host.name))
}

fn etcd_client(state: &State, address: Ipv4Addr) -> anyhow::Result<etcd::Client> {
    let keys = &state.bundle.keys;
    let identity = issue(&keys.etcd_ca, &Leaf::client("ashlar-bootstrap", &[]))?;
    Ok(etcd::Client::new(&keys.etcd_ca.certificate_pem, &identity, address)?)
}

async fn api_client(state: &State) -> anyhow::Result<Client> {
    let keys = &state.bundle.keys;
    let identity = issue(&keys.kubernetes_ca, &Leaf::client("ashlar-bootstrap", &["system:masters"]))?;
    let text = ashlar_pki::kubeconfig(
        "https://127.0.0.1:6443",
        &keys.kubernetes_ca.certificate_pem,
        &identity,
        "ashlar-bootstrap",
        &state.bundle.cluster.name,
    );
    let config = kube::config::Kubeconfig::from_yaml(&text)?;
    let config =
        kube::Config::from_custom_kubeconfig(config, &kube::config::KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// Asks twice a second until the answer is yes; says what it waits for.
async fn until(state: &State, what: &str, answers: impl AsyncFn() -> bool) {
    state.wait_for(Some(what.to_owned()));
    while !answers().await {
        tokio::time::sleep(TICK).await;
    }
    state.wait_for(None);
}

async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => tracing::error!(%error, "listening for signals"),
    }
}
