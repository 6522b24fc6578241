//! Where a BMC is, in the address form of install-config.yaml (`idrac-virtualmedia+https://host:port/path`).

use super::Error;
use std::fmt;
use url::Url;

/// How the address asks to be driven; all families speak Redfish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    Redfish,
    RedfishVirtualMedia,
    IdracVirtualMedia,
    Ilo5VirtualMedia,
    RedfishUefiHttp,
}

const FAMILIES: &[(&str, Family)] = &[
    ("redfish", Family::Redfish),
    ("redfish-virtualmedia", Family::RedfishVirtualMedia),
    ("idrac-virtualmedia", Family::IdracVirtualMedia),
    ("ilo5-virtualmedia", Family::Ilo5VirtualMedia),
    ("redfish-uefihttp", Family::RedfishUefiHttp),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub family: Family,
    base: Url,
    system: Option<String>,
}

impl Endpoint {
    /// Scheme with an optional `+http` or `+https` (default https), host, optional port, optional system path.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let bad = |cause: &str| Error::BadAddress { address: address.into(), cause: cause.into() };
        let (scheme, rest) = address.trim().split_once("://").ok_or_else(|| bad("it has no scheme"))?;
        let (name, transport) = scheme.split_once('+').unwrap_or((scheme, "https"));
        let family = FAMILIES.iter().find(|(known, _)| *known == name).map(|(_, family)| *family);
        let family = family.ok_or_else(|| bad(&format!("scheme {name:?} is none of {}", family_names())))?;
        if !["http", "https"].contains(&transport) {
            return Err(bad(&format!("transport {transport:?} is neither http nor https")));
        }
        let url = Url::parse(&format!("{transport}://{rest}")).map_err(|error| bad(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("user and password do not belong in the address"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(bad("it must end after the system's path"));
        }
        let system = system_path(url.path()).map_err(bad)?;
        let mut base = url;
        base.set_path("/");
        Ok(Self { family, base, system })
    }

    /// `https://host:port/`.
    pub fn base(&self) -> &Url {
        &self.base
    }

    /// Path of the system; `None` means the only one there is.
    pub fn system(&self) -> Option<&str> {
        self.system.as_deref()
    }

    /// `host:port`, by which errors name the BMC.
    pub fn authority(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        format!("{host}:{}", self.base.port_or_known_default().unwrap_or(443))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAMILIES.iter().find(|(_, family)| *family == self.family).map_or("", |(name, _)| name);
        let transport = if self.base.scheme() == "http" { "+http" } else { "" };
        let authority = &self.base[url::Position::BeforeHost..url::Position::AfterPort];
        write!(f, "{name}{transport}://{authority}{}", self.system.as_deref().unwrap_or_default())
    }
}

fn system_path(path: &str) -> Result<Option<String>, &'static str> {
    let path = path.trim_end_matches('/');
    match path {
        "" | "/redfish" | "/redfish/v1" | "/redfish/v1/Systems" => Ok(None),
        path if path.starts_with("/redfish/v1/") => Ok(Some(path.to_owned())),
        _ => Err("its path is not that of a system (/redfish/v1/Systems/…)"),
    }
}

fn family_names() -> String {
    FAMILIES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_ports_and_paths_are_understood() {
        let cases = [
            ("redfish://10.0.0.1", "https://10.0.0.1/", None),
            ("redfish-virtualmedia+http://10.0.0.1:8000/redfish/v1", "http://10.0.0.1:8000/", None),
            (
                "idrac-virtualmedia://bmc.example/redfish/v1/Systems/System.Embedded.1/",
                "https://bmc.example/",
                Some("/redfish/v1/Systems/System.Embedded.1"),
            ),
            (
                "ilo5-virtualmedia+https://[fd00::1]:444/redfish/v1/Systems/1",
                "https://[fd00::1]:444/",
                Some("/redfish/v1/Systems/1"),
            ),
        ];
        for (address, base, system) in cases {
            let endpoint = Endpoint::parse(address).unwrap();
            assert_eq!((endpoint.base().as_str(), endpoint.system()), (base, system), "{address}");
            assert_eq!(Endpoint::parse(&endpoint.to_string()).unwrap(), endpoint);
        }
    }

    #[test]
    fn wrong_addresses_say_what_is_wrong() {
        for (address, cause) in [
            ("10.0.0.1", "no scheme"),
            ("ipmi://10.0.0.1", "none of redfish,"),
            ("redfish+ftp://10.0.0.1", "neither http nor https"),
            ("redfish://root:calvin@10.0.0.1", "do not belong"),
            ("redfish://10.0.0.1/web/index.html", "not that of a system"),
        ] {
            let message = Endpoint::parse(address).unwrap_err().to_string();
            assert!(message.contains(cause), "{message}");
        }
    }
}
