//! TLS configurations: servers that learn which key a client holds, clients that trust one authority.

use crate::Error;
use ashlar_model::keys::KeyPair;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clients {
    /// Client certificates are not asked for.
    Nobody,
    /// A client may show any certificate; the handshake proves that it holds the key.
    AnyKey,
}

pub fn server(identity: &KeyPair, clients: Clients) -> Result<Arc<rustls::ServerConfig>, Error> {
    let builder =
        rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = match clients {
        Clients::Nobody => builder.with_no_client_auth(),
        Clients::AnyKey => {
            builder.with_client_cert_verifier(Arc::new(AnyKey(provider().signature_verification_algorithms)))
        }
    };
    let mut config = builder.with_single_cert(
        certificates(&identity.certificate_pem)?,
        private_key(&identity.private_key_pem)?,
    )?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// As `server`, for servers that run longer than a certificate lasts: `mint` makes a new one every 30 days, when a
/// client comes.
pub fn renewing_server(
    mint: impl Fn() -> Result<KeyPair, Error> + Send + Sync + 'static,
    clients: Clients,
) -> Result<Arc<rustls::ServerConfig>, Error> {
    let identity = mint()?;
    let mut config = (*server(&identity, clients)?).clone();
    let state = Mutex::new((SystemTime::now(), Arc::new(certified(&identity)?)));
    config.cert_resolver = Arc::new(Renewing { mint: Box::new(mint), state });
    Ok(Arc::new(config))
}

const RENEW_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

struct Renewing {
    mint: Box<dyn Fn() -> Result<KeyPair, Error> + Send + Sync>,
    state: Mutex<(SystemTime, Arc<CertifiedKey>)>,
}

impl std::fmt::Debug for Renewing {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Renewing")
    }
}

impl Renewing {
    fn current(&self) -> Arc<CertifiedKey> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that was set back is no reason to mint.
        if state.0.elapsed().is_ok_and(|age| age > RENEW_AFTER) {
            match (self.mint)().and_then(|identity| certified(&identity)) {
                Ok(key) => *state = (SystemTime::now(), Arc::new(key)),
                Err(error) => tracing::error!(%error, "renewing the server's certificate"),
            }
        }
        state.1.clone()
    }
}

impl ResolvesServerCert for Renewing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

fn certified(identity: &KeyPair) -> Result<CertifiedKey, Error> {
    let key = private_key(&identity.private_key_pem)?;
    Ok(CertifiedKey::from_der(certificates(&identity.certificate_pem)?, key, &provider())?)
}

/// Trusts exactly `ca_pem`; shows `identity` when asked.
pub fn client(ca_pem: &str, identity: Option<&KeyPair>) -> Result<rustls::ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca_pem)? {
        roots.add(certificate)?;
    }
    let builder = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match identity {
        Some(identity) => builder.with_client_auth_cert(
            certificates(&identity.certificate_pem)?,
            private_key(&identity.private_key_pem)?,
        )?,
        None => builder.with_no_client_auth(),
    })
}

/// An HTTP client with a time limit for whole requests; connections are made within five seconds or not at all.
pub fn http_client(
    ca_pem: &str,
    identity: Option<&KeyPair>,
    timeout: Duration,
) -> Result<reqwest::Client, Error> {
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(client(ca_pem, identity)?)
        .connect_timeout(Duration::from_secs(5))
        .timeout(timeout)
        .no_proxy()
        .build()?)
}

/// At least one certificate.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| Error::Pem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(Error::Pem("no certificate in it".into()));
    }
    Ok(certificates)
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| Error::Pem(error.to_string()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Accepts every client certificate and proves possession of its key, nothing more.
#[derive(Debug)]
struct AnyKey(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_runs_for_months_shows_a_new_certificate() {
        let mint = || crate::self_signed("server", &["server.test".to_owned()], &[]);
        let renewing = |age: Duration| {
            let first = Arc::new(certified(&mint().expect("minted")).expect("a key"));
            let state = Mutex::new((SystemTime::now() - age, first.clone()));
            (first, Renewing { mint: Box::new(mint), state })
        };
        let (first, young) = renewing(RENEW_AFTER / 2);
        assert_eq!(young.current().cert, first.cert);
        let (first, old) = renewing(RENEW_AFTER * 2);
        let second = old.current();
        assert_ne!(second.cert, first.cert);
        assert_eq!(old.current().cert, second.cert, "one new certificate is enough");
    }
}
