//! Approves certificate signing requests of kubelets, only for hosts that this installation knows.
//!
//! A host's first client certificate is asked for with the bootstrap token that was given to that host alone;
//! renewals and serving certificates by the node itself, for no names or addresses but its own.

use crate::directory::Directory;
use ashlar_model::node::BOOTSTRAP_GROUP;
use futures::StreamExt;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use std::net::IpAddr;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509CertificationRequest};

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";
const SERVING_SIGNER: &str = "kubernetes.io/kubelet-serving";

/// Answers requests for ever. An API server that goes away is asked again, less and less often: the API address moves
/// while a cluster is installed and when a master is lost.
pub async fn run(client: Client, directory: Directory) {
    let api: Api<CertificateSigningRequest> = Api::all(client);
    let requests = watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects();
    let mut requests = std::pin::pin!(requests);
    while let Some(next) = requests.next().await {
        let answered = match next {
            Ok(request) => consider(&api, &directory, request).await,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "watching signing requests");
                continue;
            }
        };
        if let Err(error) = answered {
            tracing::warn!(%error, "answering a certificate signing request");
        }
    }
}

async fn consider(
    api: &Api<CertificateSigningRequest>,
    directory: &Directory,
    request: CertificateSigningRequest,
) -> Result<(), kube::Error> {
    let decided =
        request.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(|c| !c.is_empty());
    if decided {
        return Ok(());
    }
    let Some(facts) = Facts::read(&request) else { return Ok(()) };
    let (kind, message) = match decide(&facts, directory) {
        Decision::Approve => ("Approved", "the host is known to this installation".to_owned()),
        Decision::Deny(why) => ("Denied", why),
        Decision::NotOurs => return Ok(()),
    };
    tracing::info!(request = request.name_any(), requester = facts.requester, decision = kind, message);
    let patch = json!({"status": {"conditions": [{
        "type": kind,
        "status": "True",
        "reason": "AshlarHostDirectory",
        "message": message,
    }]}});
    api.patch_approval(&request.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await.map(drop)
}

/// What a request asks for and who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Facts {
    signer: String,
    requester: String,
    groups: Vec<String>,
    common_name: String,
    organization: String,
    dns_names: Vec<String>,
    addresses: Vec<IpAddr>,
}

impl Facts {
    fn read(request: &CertificateSigningRequest) -> Option<Self> {
        let pem = x509_parser::pem::parse_x509_pem(&request.spec.request.0).ok()?.1;
        let (_, parsed) = X509CertificationRequest::from_der(&pem.contents).ok()?;
        parsed.verify_signature().ok()?;
        let subject = &parsed.certification_request_info.subject;
        let text = |attribute: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            attribute.and_then(|a| a.as_str().ok()).unwrap_or_default().to_owned()
        };
        let mut facts = Self {
            signer: request.spec.signer_name.clone(),
            requester: request.spec.username.clone().unwrap_or_default(),
            groups: request.spec.groups.clone().unwrap_or_default(),
            common_name: text(subject.iter_common_name().next()),
            organization: text(subject.iter_organization().next()),
            dns_names: vec![],
            addresses: vec![],
        };
        for extension in parsed.requested_extensions().into_iter().flatten() {
            if let ParsedExtension::SubjectAlternativeName(names) = extension {
                facts.add_names(&names.general_names);
            }
        }
        Some(facts)
    }

    fn add_names(&mut self, names: &[GeneralName<'_>]) {
        for name in names {
            match name {
                GeneralName::DNSName(name) => self.dns_names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    if let Ok(four) = <[u8; 4]>::try_from(*bytes) {
                        self.addresses.push(IpAddr::from(four));
                    } else if let Ok(sixteen) = <[u8; 16]>::try_from(*bytes) {
                        self.addresses.push(IpAddr::from(sixteen));
                    }
                }
                // Anything else is a name that no host record can vouch for.
                other => self.dns_names.push(format!("{other:?}")),
            }
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Approve,
    Deny(String),
    NotOurs,
}

fn decide(facts: &Facts, directory: &Directory) -> Decision {
    match facts.signer.as_str() {
        CLIENT_SIGNER => decide_client(facts, directory),
        SERVING_SIGNER => decide_serving(facts, directory),
        _ => Decision::NotOurs,
    }
}

fn decide_client(facts: &Facts, directory: &Directory) -> Decision {
    let Some(wanted) = node_of(&facts.common_name) else {
        return Decision::Deny(format!("`{}` is not a node's name", facts.common_name));
    };
    if facts.organization != "system:nodes" || !facts.dns_names.is_empty() || !facts.addresses.is_empty() {
        return Decision::Deny(
            "a kubelet's client certificate has organization system:nodes and no other names".into(),
        );
    }
    let by_token = facts
        .requester
        .strip_prefix("system:bootstrap:")
        .filter(|_| facts.groups.iter().any(|group| group == BOOTSTRAP_GROUP))
        .and_then(|id| directory.by_kubelet_token_id(id))
        .map(|host| host.name);
    let by_itself = node_of(&facts.requester).and_then(|name| directory.by_name(name)).map(|host| host.name);
    match by_token.or(by_itself) {
        Some(name) if name == wanted => Decision::Approve,
        Some(name) => Decision::Deny(format!("host {name} asked for the certificate of {wanted}")),
        None => Decision::Deny(format!("{} is no host of this installation", facts.requester)),
    }
}

fn decide_serving(facts: &Facts, directory: &Directory) -> Decision {
    let host = node_of(&facts.requester).and_then(|name| directory.by_name(name));
    let Some(host) = host else {
        return Decision::Deny(format!("{} is no host of this installation", facts.requester));
    };
    if facts.common_name != facts.requester {
        return Decision::Deny(format!(
            "host {} asked for the certificate of {}",
            host.name, facts.common_name
        ));
    }
    let foreign_name = facts.dns_names.iter().find(|name| **name != host.name);
    let foreign_address =
        facts.addresses.iter().find(|address| Some(**address) != host.address.map(IpAddr::from));
    match (foreign_name, foreign_address) {
        (None, None) => Decision::Approve,
        (Some(name), _) => Decision::Deny(format!("`{name}` is not a name of host {}", host.name)),
        (_, Some(address)) => Decision::Deny(format!("{address} is not an address of host {}", host.name)),
    }
}

fn node_of(user: &str) -> Option<&str> {
    user.strip_prefix("system:node:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::bootstrap_api::{HostRecord, Role};

    fn directory() -> Directory {
        let host = |name: &str, id: &str, last: u8| HostRecord {
            name: name.into(),
            role: Role::Master,
            boot_mac: String::new(),
            address: Some([192, 0, 2, last].into()),
            token_sha256: String::new(),
            key_sha256: None,
            generation: 1,
            kubelet_token: format!("{id}.0123456789abcdef"),
        };
        Directory::new(vec![host("master-1", "aaaaaa", 21), host("master-2", "bbbbbb", 22)])
    }

    fn client(requester: &str, wanted: &str) -> Facts {
        Facts {
            signer: CLIENT_SIGNER.into(),
            requester: requester.into(),
            groups: vec![BOOTSTRAP_GROUP.into()],
            common_name: format!("system:node:{wanted}"),
            organization: "system:nodes".into(),
            dns_names: vec![],
            addresses: vec![],
        }
    }

    #[test]
    fn a_token_opens_its_own_host_only() {
        assert_eq!(decide(&client("system:bootstrap:aaaaaa", "master-1"), &directory()), Decision::Approve);
        assert_eq!(
            decide(&client("system:bootstrap:aaaaaa", "master-2"), &directory()),
            Decision::Deny("host master-1 asked for the certificate of master-2".into())
        );
        assert!(matches!(
            decide(&client("system:bootstrap:cccccc", "master-2"), &directory()),
            Decision::Deny(_)
        ));
    }

    #[test]
    fn a_serving_certificate_names_nothing_but_its_host() {
        let mut facts = client("system:node:master-1", "master-1");
        facts.signer = SERVING_SIGNER.into();
        facts.dns_names = vec!["master-1".into()];
        facts.addresses = vec![[192, 0, 2, 21].into()];
        assert_eq!(decide(&facts, &directory()), Decision::Approve);
        facts.addresses.push([192, 0, 2, 22].into());
        assert!(matches!(decide(&facts, &directory()), Decision::Deny(_)));
    }

    #[test]
    fn other_signers_are_left_to_others() {
        let mut facts = client("system:bootstrap:aaaaaa", "master-1");
        facts.signer = "example.com/other".into();
        assert_eq!(decide(&facts, &directory()), Decision::NotOurs);
    }
}
