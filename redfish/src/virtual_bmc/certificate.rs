//! The BMC's own TLS certificate: self-signed, kept as PEM so that its fingerprint outlives a restart.

use crate::fingerprint::Fingerprint;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

#[derive(Clone)]
pub struct Certificate {
    pub certificate_pem: String,
    pub key_pem: String,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("making a certificate for {names:?}")]
    Make { names: Vec<String>, source: rcgen::Error },
    #[error("reading the certificate of a virtual BMC")]
    Read(#[source] rustls_pki_types::pem::Error),
    #[error("using the certificate of a virtual BMC")]
    Use(#[source] rustls::Error),
}

impl Certificate {
    /// `names` are host names and IP addresses.
    pub fn self_signed(names: &[String]) -> Result<Self, CertificateError> {
        let make = |source| CertificateError::Make { names: names.to_vec(), source };
        let mut params = CertificateParams::new(names.to_vec()).map_err(make)?;
        params.distinguished_name.push(DnType::CommonName, "Ashlar virtual BMC");
        let key = KeyPair::generate().map_err(make)?;
        let certificate = params.self_signed(&key).map_err(make)?;
        Ok(Self { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    pub fn fingerprint(&self) -> Result<Fingerprint, CertificateError> {
        Ok(Fingerprint::of_certificate(&self.leaf()?))
    }

    pub(super) fn server_config(&self) -> Result<ServerConfig, CertificateError> {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(CertificateError::Read)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Use)?
            .with_no_client_auth()
            .with_single_cert(vec![self.leaf()?], key)
            .map_err(CertificateError::Use)?;
        Ok(config)
    }

    fn leaf(&self) -> Result<CertificateDer<'static>, CertificateError> {
        CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(CertificateError::Read)
    }
}
