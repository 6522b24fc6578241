//! Keys and certificates: mint, name, load, serve TLS with them. No policy: who gets what is decided elsewhere.
//!
//! ECDSA P-256 throughout. Authorities live ten years; leaves [`LEAF_DAYS`] days, backdated by an hour because the
//! clocks of freshly booted servers disagree.

pub mod kubeconfig;
pub mod mint;
pub mod serve;
pub mod tls;
pub mod token;

pub use kubeconfig::kubeconfig;
pub use mint::{
    LEAF_DAYS, Leaf, Usage, authority, cluster_keys, issue, seconds_left, self_signed, service_account,
};
pub use serve::{Peer, serve};
pub use token::{kubelet_token, token, token_sha256};

use sha2::{Digest, Sha256};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("making a key")]
    Key(#[source] rcgen::Error),
    #[error("signing the certificate of `{name}`")]
    Sign { name: String, source: rcgen::Error },
    #[error("reading the certificate or key of the authority")]
    Authority(#[source] rcgen::Error),
    #[error("`{0}` is not a name a certificate can carry")]
    Name(String, #[source] rcgen::Error),
    #[error("reading PEM: {0}")]
    Pem(String),
    #[error("setting up TLS")]
    Tls(#[from] rustls::Error),
    #[error("building the HTTP client")]
    Http(#[from] reqwest::Error),
}

/// SHA-256 of the subject public key info, hex: what an enrolment token is bound to.
pub fn key_sha256(certificate_pem: &str) -> Result<String, Error> {
    key_sha256_of_der(&tls::certificates(certificate_pem)?[0])
}

/// SHA-256 of the whole certificate (DER), hex: what a pin names.
pub fn certificate_sha256(certificate_pem: &str) -> Result<String, Error> {
    Ok(hex::encode(Sha256::digest(&tls::certificates(certificate_pem)?[0])))
}

pub(crate) fn key_sha256_of_der(der: &[u8]) -> Result<String, Error> {
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| Error::Pem(error.to_string()))?;
    Ok(hex::encode(Sha256::digest(certificate.public_key().raw)))
}
