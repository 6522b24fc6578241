//! Where orders come from while the cluster is being installed: the bootstrap machine.

use std::time::{Duration, Instant};

use ashlar_model::bootstrap_api::{NodeOrder, NodeReport};
use ashlar_model::keys::KeyPair;

const TIMEOUT: Duration = Duration::from_secs(5);
const INTERVAL: Duration = Duration::from_secs(1);
/// While our enrolment is open, the server is only restarting.
const SLOWEST_WHEN_OPEN: Duration = Duration::from_secs(5);
/// Afterwards it is most likely gone for good.
const SLOWEST_WHEN_OVER: Duration = Duration::from_secs(60);

pub struct Server {
    url: String,
    client: reqwest::Client,
    silent_since: Option<Instant>,
}

impl Server {
    pub fn new(url: &str, ca_pem: &str, identity: &KeyPair) -> Result<Self, ashlar_pki::Error> {
        let client = ashlar_pki::tls::http_client(ca_pem, Some(identity), TIMEOUT)?;
        let url = format!("{}/v1/node", url.trim_end_matches('/'));
        Ok(Self { url, client, silent_since: None })
    }

    pub async fn report(&mut self, report: &NodeReport) -> Result<NodeOrder, reqwest::Error> {
        let answer = self.call(report).await;
        match &answer {
            Ok(_) => self.silent_since = None,
            Err(error) if self.silent_since.is_none() => {
                tracing::warn!(
                    url = self.url,
                    error = crate::failure::chain(error),
                    "no orders from the bootstrap"
                );
                self.silent_since = Some(Instant::now());
            }
            Err(_) => {}
        }
        answer
    }

    async fn call(&self, report: &NodeReport) -> Result<NodeOrder, reqwest::Error> {
        self.client.put(&self.url).json(report).send().await?.error_for_status()?.json().await
    }

    /// A quarter of the silence so far, between an interval and the slowest rhythm.
    pub fn pause(&self, enrolment_over: bool) -> Duration {
        let silence = self.silent_since.map_or(Duration::ZERO, |since| since.elapsed());
        rhythm(silence, enrolment_over)
    }
}

fn rhythm(silence: Duration, enrolment_over: bool) -> Duration {
    let slowest = if enrolment_over { SLOWEST_WHEN_OVER } else { SLOWEST_WHEN_OPEN };
    (silence / 4).clamp(INTERVAL, slowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_server_is_asked_less_and_less_often() {
        let seconds = Duration::from_secs;
        assert_eq!(rhythm(seconds(0), false), seconds(1));
        assert_eq!(rhythm(seconds(600), false), seconds(5));
        assert_eq!(rhythm(seconds(40), true), seconds(10));
        assert_eq!(rhythm(seconds(600), true), seconds(60));
    }
}
