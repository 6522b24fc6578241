//! The HTTP clients of a fetcher: one for each way of connecting, with its certificates, identity and proxies.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, NoProxy, Proxy};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::attempts::{Attempt, never};
use super::fetch::{Fetcher, Identity};
use super::report::chain;
use crate::resource::Request;

const CONNECT: Duration = Duration::from_secs(10);
const STALLED: Duration = Duration::from_secs(30);

impl Fetcher {
    pub(super) fn client(&self, request: &Request, own: bool) -> Result<Client, Attempt> {
        let key = (own, request.authorities.clone(), request.proxies.clone());
        let mut clients = self.clients.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, client)) = clients.iter().find(|(other, _)| *other == key) {
            return Ok(client.clone());
        }
        let client = self.new_client(request, own)?;
        clients.push((key, client.clone()));
        Ok(client)
    }

    fn new_client(&self, request: &Request, own: bool) -> Result<Client, Attempt> {
        let mut roots = RootCertStore::empty();
        if own {
            add_certificates(&mut roots, self.server_ca_pem.as_bytes());
        } else {
            add_certificates(&mut roots, &self.system_bundle);
        }
        for authority in &request.authorities {
            if add_certificates(&mut roots, &authority.0) == 0 {
                return Err(never("a certificate authority of the configuration is not PEM"));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| never(&error.to_string()))?
            .with_root_certificates(roots);
        let tls = match self.identity.as_ref().filter(|_| own) {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) =
                    identity.pair().ok_or_else(|| never("the identity in the config slot is not PEM"))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| never(&error.to_string()))?
            }
        };
        let mut client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .read_timeout(STALLED)
            .user_agent(concat!("ashlar-ignition/", env!("CARGO_PKG_VERSION")));
        // The configuration server is in the cluster's own network.
        if own {
            client = client.no_proxy();
        }
        for proxy in proxies(request).map_err(|error| never(&error))?.into_iter().filter(|_| !own) {
            client = client.proxy(proxy);
        }
        client.build().map_err(|error| never(&chain(&error)))
    }
}

fn proxies(request: &Request) -> Result<Vec<Proxy>, String> {
    let none = NoProxy::from_string(&request.proxies.none.join(","));
    let one = |make: fn(&str) -> reqwest::Result<Proxy>, url: &str| {
        make(url)
            .map(|proxy| proxy.no_proxy(none.clone()))
            .map_err(|error| format!("the proxy: {}", chain(&error.without_url())))
    };
    let http = request.proxies.http.as_deref().map(|url| one(|url| Proxy::http(url), url));
    let https = request.proxies.https.as_deref().map(|url| one(|url| Proxy::https(url), url));
    http.into_iter().chain(https).collect()
}

impl Identity {
    fn pair(&self) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty())?;
        Some((chain, PrivateKeyDer::from_pem_slice(self.private_key_pem.as_bytes()).ok()?))
    }
}

pub(super) fn add_certificates(roots: &mut RootCertStore, pem: &[u8]) -> usize {
    let certificates = CertificateDer::pem_slice_iter(pem).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates).0
}
