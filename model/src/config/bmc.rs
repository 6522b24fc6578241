//! BMC addresses and how a BMC's certificate is trusted.

use std::fmt;

use secrecy::SecretString;
use url::Url;

use super::names::is_certificate_bundle;
use super::problem::{Problem, quoted};
use super::raw;

#[derive(Debug, Clone)]
pub struct BmcAccess {
    pub address: BmcAddress,
    pub username: String,
    pub password: SecretString,
    pub trust: BmcTrust,
}

/// Where a BMC is, as in metal3: `SCHEME[+http|+https]://HOST[:PORT][/redfish/v1/Systems/ID]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BmcAddress {
    pub scheme: BmcScheme,
    /// False only when the address says `+http`.
    pub https: bool,
    /// Name or address; IPv6 in brackets.
    pub host: String,
    pub port: Option<u16>,
    /// Path of the system resource, without a slash at the end; without it the service's only system is meant.
    pub system: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BmcScheme {
    Redfish,
    RedfishVirtualMedia,
    IdracVirtualMedia,
    Ilo5VirtualMedia,
    RedfishUefiHttp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BmcTrust {
    /// The certificate authorities of the machine that runs the installer.
    System,
    /// PEM certificates of the authority.
    CertificateAuthority(String),
    /// SHA-256 of the certificate (DER).
    Fingerprint([u8; 32]),
    /// Any certificate; reported in the plan.
    Disabled,
}

impl BmcScheme {
    const ALL: [(BmcScheme, &str); 5] = [
        (BmcScheme::Redfish, "redfish"),
        (BmcScheme::RedfishVirtualMedia, "redfish-virtualmedia"),
        (BmcScheme::IdracVirtualMedia, "idrac-virtualmedia"),
        (BmcScheme::Ilo5VirtualMedia, "ilo5-virtualmedia"),
        (BmcScheme::RedfishUefiHttp, "redfish-uefihttp"),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(scheme, _)| *scheme == self).map_or("", |(_, name)| name)
    }
}

impl BmcAddress {
    /// `https://HOST[:PORT]`, what paths are appended to.
    pub fn base_url(&self) -> String {
        let transport = if self.https { "https" } else { "http" };
        match self.port {
            Some(port) => format!("{transport}://{}:{port}", self.host),
            None => format!("{transport}://{}", self.host),
        }
    }

    /// # Errors
    /// The rule that the text breaks and a hint.
    pub fn parse(text: &str) -> Result<Self, (String, String)> {
        let (written, _) = text.split_once("://").ok_or_else(|| {
            ("must have a scheme".to_owned(), format!("for example redfish-virtualmedia://{text}"))
        })?;
        let (scheme, https) = parse_scheme(written)?;
        let wrong = |rule: &str| {
            (rule.to_owned(), format!("for example {}://198.51.100.11/redfish/v1/Systems/1", scheme.as_str()))
        };
        let url = Url::parse(text).map_err(|error| wrong(&format!("must be a URL ({error})")))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("must not contain a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("must end with the path of the system"));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("must name a host"))?;
        if !host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_[]:".contains(c)) {
            return Err(wrong("must name a host"));
        }
        let path = url.path().trim_end_matches('/');
        if !path.is_empty() && !path.starts_with("/redfish/v1") {
            return Err(wrong("must have a path that begins with /redfish/v1"));
        }
        let system = path.contains("/Systems/").then(|| path.to_owned());
        Ok(Self { scheme, https, host: host.to_lowercase(), port: url.port(), system })
    }

    /// Two addresses of the same system are equal here, whatever their schemes are.
    pub(super) fn identity(&self) -> String {
        let port = self.port.unwrap_or(if self.https { 443 } else { 80 });
        format!("{}:{port}{}", self.host, self.system.as_deref().unwrap_or(""))
    }
}

impl fmt::Display for BmcAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = if self.https { "" } else { "+http" };
        write!(f, "{}{transport}://{}", self.scheme.as_str(), self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.system.as_deref().unwrap_or(""))
    }
}

fn parse_scheme(written: &str) -> Result<(BmcScheme, bool), (String, String)> {
    let (name, https) = match written.split_once('+') {
        None => (written, true),
        Some((name, "https")) => (name, true),
        Some((name, "http")) => (name, false),
        Some(_) => ("", true),
    };
    let known = BmcScheme::ALL.iter().find(|(_, known)| *known == name);
    known.map(|(scheme, _)| (*scheme, https)).ok_or_else(|| {
        let names: Vec<&str> = BmcScheme::ALL.iter().map(|(_, name)| *name).collect();
        let hint = match written {
            "ipmi" | "libvirt" | "idrac" | "ilo4" | "ilo5" | "irmc" => "only Redfish is spoken; ",
            "http" | "https" => "the scheme names the kind of BMC; ",
            _ => "",
        };
        (
            format!("must have one of the schemes {}, each also with +http or +https", names.join(", ")),
            format!("{hint}try redfish-virtualmedia://"),
        )
    })
}

/// The validated access, or nothing after problems were reported.
pub(super) fn access(raw: &raw::Bmc, path: &str, problems: &mut Vec<Problem>) -> Option<BmcAccess> {
    let address = raw.address.as_ref().and_then(|text| {
        let refuse = |(rule, hint): (String, String)| {
            problems
                .push(Problem::new(format!("{path}.address"), quoted(without_user(text)), rule).hint(hint));
        };
        BmcAddress::parse(text).map_err(refuse).ok()
    });
    let trust = trust(raw, path, problems);
    if raw.username.as_ref().is_some_and(String::is_empty) {
        problems.push(Problem::new(format!("{path}.username"), "an empty name", "must not be empty"));
    }
    Some(BmcAccess {
        address: address?,
        username: raw.username.clone()?,
        password: raw.password.clone()?,
        trust: trust?,
    })
}

fn without_user(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => text.to_owned(),
    }
}

fn trust(raw: &raw::Bmc, path: &str, problems: &mut Vec<Problem>) -> Option<BmcTrust> {
    let given = [
        (raw.disable_certificate_verification, "disableCertificateVerification"),
        (raw.certificate_fingerprint.is_some(), "certificateFingerprint"),
        (raw.certificate_authority.is_some(), "certificateAuthority"),
    ];
    let given: Vec<&str> = given.iter().filter(|(given, _)| *given).map(|(_, name)| *name).collect();
    if given.len() > 1 {
        problems.push(
            Problem::new(
                path,
                given.join(" and "),
                "must say in one way only how the certificate is trusted",
            )
            .hint("keep certificateFingerprint or certificateAuthority"),
        );
        return None;
    }
    if let Some(text) = &raw.certificate_fingerprint {
        return match fingerprint(text) {
            Some(bytes) => Some(BmcTrust::Fingerprint(bytes)),
            None => {
                let rule = "must be a SHA-256 fingerprint: 64 hex digits, with or without colons";
                problems.push(
                    Problem::new(format!("{path}.certificateFingerprint"), quoted(text), rule)
                        .hint("openssl x509 -noout -fingerprint -sha256 prints it"),
                );
                None
            }
        };
    }
    if let Some(text) = &raw.certificate_authority {
        if !is_certificate_bundle(text) {
            let rule = "must be PEM certificates";
            problems.push(
                Problem::new(format!("{path}.certificateAuthority"), quoted(text), rule)
                    .hint("use a block scalar: certificateAuthority: |"),
            );
            return None;
        }
        return Some(BmcTrust::CertificateAuthority(text.clone()));
    }
    Some(if raw.disable_certificate_verification { BmcTrust::Disabled } else { BmcTrust::System })
}

fn fingerprint(text: &str) -> Option<[u8; 32]> {
    let digits: String = text.trim_start_matches("sha256:").chars().filter(|c| *c != ':').collect();
    hex::decode(digits).ok()?.try_into().ok()
}
