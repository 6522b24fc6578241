//! Which certificate a BMC may present. Pinning compares the leaf itself: BMC certificates often have no
//! names and are their own authority, which a chain check would refuse.

use super::Error;
use crate::fingerprint::Fingerprint;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Debug, Clone)]
pub enum Trust {
    /// SHA-256 of the BMC's certificate.
    Fingerprint(Fingerprint),
    /// PEM text of one or more authorities.
    CertificateAuthority(String),
    /// Whoever answers is believed; the plan says so.
    Insecure,
}

/// The fingerprint that was refused last, for the error that follows.
pub(crate) type Refused = Arc<Mutex<Option<Fingerprint>>>;

pub(crate) fn client_config(trust: &Trust, bmc: &str) -> Result<(ClientConfig, Refused), Error> {
    let provider = Arc::new(ring::default_provider());
    let refused = Refused::default();
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::CertificateAuthority(pem) => authority_verifier(pem, provider.clone())
            .map_err(|cause| Error::BadCertificateAuthority { bmc: bmc.into(), cause })?,
        Trust::Fingerprint(expected) => Arc::new(Pinned {
            expected: Some(*expected),
            refused: refused.clone(),
            provider: provider.clone(),
        }),
        Trust::Insecure => {
            Arc::new(Pinned { expected: None, refused: refused.clone(), provider: provider.clone() })
        }
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::BadCertificateAuthority { bmc: bmc.into(), cause: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok((config, refused))
}

fn authority_verifier(
    pem: &str,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| error.to_string())?;
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() {
        return Err("it holds no certificate".into());
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    Ok(verifier.map_err(|error| error.to_string())?)
}

#[derive(Debug)]
struct Pinned {
    expected: Option<Fingerprint>,
    refused: Refused,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let presented = Fingerprint::of_certificate(leaf);
        if self.expected.is_none_or(|expected| expected == presented) {
            return Ok(ServerCertVerified::assertion());
        }
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(presented);
        Err(rustls::Error::General("the certificate has another fingerprint".into()))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, leaf, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
