//! Making authorities, leaves and a host's own identity.

use crate::Error;
use ashlar_model::keys::{ClusterKeys, KeyPair, ServiceAccountKey};
use base64::Engine;
use rand::Rng;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair as Key, KeyUsagePurpose, SanType, SerialNumber,
};
use std::net::IpAddr;
use time::{Duration, OffsetDateTime};

pub const LEAF_DAYS: i64 = 90;
const AUTHORITY_DAYS: i64 = 3650;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    Server,
    Client,
    Both,
}

/// What a leaf certificate says.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub dns_names: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub usage: Usage,
}

impl Leaf {
    pub fn client(common_name: &str, organizations: &[&str]) -> Self {
        Self {
            common_name: common_name.into(),
            organizations: organizations.iter().map(ToString::to_string).collect(),
            dns_names: vec![],
            addresses: vec![],
            usage: Usage::Client,
        }
    }

    pub fn server(common_name: &str, dns_names: Vec<String>, addresses: Vec<IpAddr>) -> Self {
        Self {
            common_name: common_name.into(),
            organizations: vec![],
            dns_names,
            addresses,
            usage: Usage::Server,
        }
    }
}

/// A new authority, valid for ten years.
pub fn authority(common_name: &str) -> Result<KeyPair, Error> {
    let mut params = params(common_name, &[], AUTHORITY_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let key = Key::generate().map_err(Error::Key)?;
    let certificate =
        params.self_signed(&key).map_err(|source| Error::Sign { name: common_name.into(), source })?;
    Ok(KeyPair { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
}

/// A leaf signed by `authority`, valid for [`LEAF_DAYS`].
pub fn issue(authority: &KeyPair, leaf: &Leaf) -> Result<KeyPair, Error> {
    let issuer_key = Key::from_pem(&authority.private_key_pem).map_err(Error::Authority)?;
    let issuer =
        Issuer::from_ca_cert_pem(&authority.certificate_pem, issuer_key).map_err(Error::Authority)?;
    let params = leaf_params(leaf)?;
    let key = Key::generate().map_err(Error::Key)?;
    let certificate = params
        .signed_by(&key, &issuer)
        .map_err(|source| Error::Sign { name: leaf.common_name.clone(), source })?;
    Ok(KeyPair { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
}

/// A machine's own identity before anybody vouches for it. Valid for ten years: it is known by its key alone.
pub fn self_signed(common_name: &str, dns_names: &[String], addresses: &[IpAddr]) -> Result<KeyPair, Error> {
    let leaf = Leaf {
        common_name: common_name.into(),
        organizations: vec![],
        dns_names: dns_names.to_vec(),
        addresses: addresses.to_vec(),
        usage: Usage::Both,
    };
    let mut params = leaf_params(&leaf)?;
    params.not_after = OffsetDateTime::now_utc() + Duration::days(AUTHORITY_DAYS);
    let key = Key::generate().map_err(Error::Key)?;
    let certificate =
        params.self_signed(&key).map_err(|source| Error::Sign { name: common_name.into(), source })?;
    Ok(KeyPair { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
}

pub fn service_account() -> Result<ServiceAccountKey, Error> {
    let key = Key::generate().map_err(Error::Key)?;
    Ok(ServiceAccountKey { private_key_pem: key.serialize_pem(), public_key_pem: key.public_key_pem() })
}

/// Everything long-lived that a new cluster needs.
pub fn cluster_keys(cluster: &str) -> Result<ClusterKeys, Error> {
    let secret: [u8; 32] = rand::rng().random();
    Ok(ClusterKeys {
        install_ca: authority(&format!("{cluster} install CA"))?,
        kubernetes_ca: authority(&format!("{cluster} kubernetes CA"))?,
        front_proxy_ca: authority(&format!("{cluster} front-proxy CA"))?,
        etcd_ca: authority(&format!("{cluster} etcd CA"))?,
        service_account: service_account()?,
        encryption_key: base64::engine::general_purpose::STANDARD.encode(secret),
    })
}

/// Seconds until the certificate ends; negative when it has.
pub fn seconds_left(certificate_pem: &str) -> Result<i64, Error> {
    let der = &crate::tls::certificates(certificate_pem)?[0];
    let (_, certificate) =
        x509_parser::parse_x509_certificate(der).map_err(|error| Error::Pem(error.to_string()))?;
    Ok(certificate.validity().not_after.timestamp() - OffsetDateTime::now_utc().unix_timestamp())
}

fn leaf_params(leaf: &Leaf) -> Result<CertificateParams, Error> {
    let mut params = params(&leaf.common_name, &leaf.organizations, LEAF_DAYS);
    for name in &leaf.dns_names {
        let dns = name.clone().try_into().map_err(|error| Error::Name(name.clone(), error))?;
        params.subject_alt_names.push(SanType::DnsName(dns));
    }
    params.subject_alt_names.extend(leaf.addresses.iter().map(|address| SanType::IpAddress(*address)));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = match leaf.usage {
        Usage::Server => vec![ExtendedKeyUsagePurpose::ServerAuth],
        Usage::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        Usage::Both => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
    };
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(common_name: &str, organizations: &[String], days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    for organization in organizations {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - Duration::hours(1);
    params.not_after = now + Duration::days(days);
    let mut serial: [u8; 16] = rand::rng().random();
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leaf_carries_its_names_and_ends_after_ninety_days() {
        let ca = authority("test CA").expect("an authority");
        let leaf = Leaf::server("node", vec!["node.example".into()], vec![[127, 0, 0, 1].into()]);
        let pair = issue(&ca, &leaf).expect("a leaf");
        let left = seconds_left(&pair.certificate_pem).expect("readable");
        assert!((left - LEAF_DAYS * 86_400).abs() < 120, "{left}");
    }

    #[test]
    fn tokens_have_the_form_that_kubernetes_wants() {
        let token = crate::token::kubelet_token();
        let (id, secret) = token.split_once('.').expect("a dot");
        assert_eq!((id.len(), secret.len()), (6, 16));
    }
}
