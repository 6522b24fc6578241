//! One of the controllers acts: who holds the lease (`coordination.k8s.io`).

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};

use crate::host_object::NAMESPACE;

const NAME: &str = "controllers";
/// Without a word for so long, a holder is gone.
const DURATION: Duration = Duration::from_secs(20);

pub struct Holder {
    api: Api<Lease>,
    identity: String,
    /// What others wrote last, and when we saw it first: clocks of two machines are not compared.
    seen: Option<(String, Instant)>,
}

impl Holder {
    pub fn new(client: Client, identity: &str) -> Self {
        Self { api: Api::namespaced(client, NAMESPACE), identity: identity.to_owned(), seen: None }
    }

    /// Takes or renews the lease; `true` while it is ours. To be called well more often than the lease lasts.
    pub async fn hold(&mut self) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.api.get_opt(NAME).await? else {
            return self
                .settled(self.api.create(&PostParams::default(), &self.lease(Lease::default())).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        let spec = lease.spec.clone().unwrap_or_default();
        let ours = spec.holder_identity.as_deref() == Some(&self.identity);
        if !ours {
            match &self.seen {
                Some((known, since)) if *known == version && since.elapsed() > DURATION => {}
                Some((known, _)) if *known == version => return Ok(false),
                _ => {
                    self.seen = Some((version, Instant::now()));
                    return Ok(false);
                }
            }
        }
        lease = self.lease(lease);
        self.settled(self.api.replace(NAME, &PostParams::default(), &lease).await)
    }

    fn lease(&self, mut lease: Lease) -> Lease {
        lease.metadata.name = Some(NAME.to_owned());
        let mut spec = lease.spec.take().unwrap_or_default();
        let now = MicroTime(Timestamp::now());
        if spec.holder_identity.as_deref() != Some(&self.identity) {
            spec.acquire_time = Some(now.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + 1);
        }
        spec.holder_identity = Some(self.identity.clone());
        spec.lease_duration_seconds = Some(DURATION.as_secs() as i32);
        spec.renew_time = Some(now);
        lease.spec = Some(spec);
        lease
    }

    /// Somebody else was quicker: not ours.
    fn settled(&self, done: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
        match done {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => Ok(false),
            Err(error) => Err(error),
        }
    }
}
