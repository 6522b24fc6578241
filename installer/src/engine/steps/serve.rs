//! Starts what hosts call: media for their BMCs (HTTP), the agent API (HTTPS). Runs in every run.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use ashlar_model::agent_api::HostView;
use ashlar_model::config::Host;
use ashlar_model::config::network::keyfiles;
use ashlar_pki::tls::{Clients, server};
use ashlar_pki::{Leaf, issue};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::net::TcpListener;

use super::{Outcome, Step};
use crate::engine::handle::Handle;
use crate::engine::media::{self, Media};
use crate::engine::serve_address::{AGENT_PORT, MEDIA_PORT, resolve, towards};
use crate::engine::{Engine, agent_api};
use crate::failure::{Fails, Failure};

pub const STEP: Step = Step { id: "serve", title: "Starting the media server and the agent API", run };

/// Where this run can be reached.
pub struct Served {
    pub media: Media,
    /// Our address as each host's BMC sees it.
    pub bmc_side: BTreeMap<String, IpAddr>,
    pub machine_side: IpAddr,
}

fn run(engine: Arc<Engine>) -> BoxFuture<'static, Result<Outcome, Failure>> {
    async move {
        let release = engine.release()?;
        let iso = release.iso();
        let minimal = release.minimal(&engine.options.minimal_media)?;
        let small = minimal.as_ref().map(|(path, layout)| (path.as_path(), layout.clone()));
        let media = Media::open(&iso, release.media.clone(), small)
            .failing(|| format!("opening {}", iso.display()))?;
        let (machine_side, bmc_side) = addresses(&engine).await?;
        let mut own: Vec<IpAddr> = bmc_side.values().copied().chain([machine_side]).collect();
        own.sort_unstable();
        own.dedup();
        let words: Vec<String> = own.iter().map(ToString::to_string).collect();
        let authority = &engine.keys()?.install_ca;
        let leaf = Leaf::server("ashlar-engine", vec![], own);
        let identity = issue(authority, &leaf).failing(|| "issuing the engine's certificate".into())?;
        let config = server(&identity, Clients::AnyKey).failing(|| "setting up TLS".into())?;
        let (plain, secure) = (listen(MEDIA_PORT).await?, listen(AGENT_PORT).await?);
        let served = Served { media: media.clone(), bmc_side, machine_side };
        let _ = engine.served.set(served);
        for handle in engine.hosts.values().filter(|handle| handle.secrets().is_some()) {
            offer(&engine, handle)?;
        }
        let stop = engine.stop.clone();
        let http =
            axum::serve(plain, media::app(media.clone())).with_graceful_shutdown(stop.cancelled_owned());
        tokio::spawn(async move {
            if let Err(error) = http.await {
                tracing::error!(%error, "the media server ended");
            }
        });
        let app = agent_api::app(engine.clone()).merge(media::app(media));
        tokio::spawn(ashlar_pki::serve(
            secure,
            config,
            authority.certificate_pem.clone(),
            app,
            engine.stop.clone(),
        ));
        engine.events.note(
            None,
            format!(
                "serving media on port {MEDIA_PORT} and the agent API on port {AGENT_PORT} of {}",
                words.join(", ")
            ),
        );
        Ok(Outcome::Done)
    }
    .boxed()
}

async fn listen(port: u16) -> Result<TcpListener, Failure> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    TcpListener::bind(address).await.map_err(|error| {
        Failure::environment(format!("listening on port {port}")).because(error).hint(format!(
            "end what uses the port (`ss -ltnp sport = :{port}` names it), then run the same command again"
        ))
    })
}

/// Our own addresses: towards the machine network, and towards each BMC.
async fn addresses(engine: &Engine) -> Result<(IpAddr, BTreeMap<String, IpAddr>), Failure> {
    let mut bmc_side = BTreeMap::new();
    for handle in engine.hosts.values() {
        let own = match engine.options.serve_address {
            Some(own) => own,
            None => towards(resolve(&handle.config.bmc.address.host).await?)?,
        };
        bmc_side.insert(handle.name().to_owned(), own);
    }
    let machine_side = match engine.options.serve_address {
        Some(own) => own,
        None => towards(engine.configuration.install.api_vip.into())?,
    };
    Ok((machine_side, bmc_side))
}

/// Serves the host's medium with its present secrets. Returns its URLs for the BMC, the most widely taken first:
/// few BMCs trust a private authority, few refuse plain HTTP; the medium is checked by its own digests.
///
/// # Errors
/// The servers do not run yet, or the host's view does not fit.
pub fn offer(engine: &Engine, handle: &Handle) -> Result<Vec<String>, Failure> {
    let name = handle.name();
    let not_yet = || Failure::environment(format!("the medium of {name} is not served yet"));
    let served = engine.served.get().ok_or_else(not_yet)?;
    let secrets = handle.secrets().ok_or_else(not_yet)?;
    let own = *served.bmc_side.get(name).ok_or_else(not_yet)?;
    let mut urls = vec![format!("https://{}", SocketAddr::from((served.machine_side, AGENT_PORT)))];
    if own != served.machine_side {
        urls.push(format!("https://{}", SocketAddr::from((own, AGENT_PORT))));
    }
    let small = engine.options.minimal_media.covers(name);
    let rest = format!(
        "http://{}{}",
        SocketAddr::from((served.machine_side, MEDIA_PORT)),
        Media::rest_path(name, &secrets.media)
    );
    let view = HostView {
        version: 1,
        cluster: engine.configuration.install.name.clone(),
        host: name.to_owned(),
        engine_urls: urls,
        engine_ca_pem: engine.keys()?.install_ca.certificate_pem.clone(),
        token: secrets.token,
        network_keyfiles: network_keyfiles(&handle.config)?,
        issued_at: jiff::Timestamp::now().as_second().cast_unsigned(),
        sources: if small { vec![rest] } else { Vec::new() },
        ..HostView::default()
    };
    let view = serde_json::to_vec(&view).failing(|| format!("describing {name} for its medium"))?;
    let offered = served.media.offer(name, &secrets.media, &view, small);
    offered.failing(|| format!("making the medium of {name}"))?;
    let url = |scheme, port| media::url(scheme, SocketAddr::from((own, port)), name, &secrets.media);
    Ok(vec![url("http", MEDIA_PORT), url("https", AGENT_PORT)])
}

/// The host's own network settings; without them it asks DHCP on every interface.
///
/// # Errors
/// `networkConfig` is not one of nmstate's: it was changed after it was validated.
pub fn network_keyfiles(host: &Host) -> Result<Vec<(String, String)>, Failure> {
    let Some(config) = &host.network_config else { return Ok(Vec::new()) };
    keyfiles(config).failing(|| format!("understanding networkConfig of {}", host.name))
}

/// What a host's medium was read of in this run.
pub fn fetched(engine: &Engine, host: &str) -> Arc<media::Served> {
    engine.served.get().map(|served| served.media.served(host)).unwrap_or_default()
}
