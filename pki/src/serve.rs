//! HTTPS for an axum router; each request learns which key its client proved to hold.

use crate::{key_sha256_of_der, tls};
use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Who is at the other end; every request carries it as an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    pub address: SocketAddr,
    /// SHA-256 of the client's public key, hex; `None` when it showed no certificate.
    pub key_sha256: Option<String>,
    /// Common name, when the client's certificate is signed by the authority that the server was given.
    pub install_name: Option<String>,
}

/// Serves until `stop`; running requests get five seconds to end.
pub async fn serve(
    listener: TcpListener,
    config: Arc<rustls::ServerConfig>,
    authority_pem: String,
    router: Router,
    stop: CancellationToken,
) {
    let acceptor = TlsAcceptor::from(config);
    let authority: Arc<str> = authority_pem.into();
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let (acceptor, authority, router, stop) =
                    (acceptor.clone(), authority.clone(), router.clone(), stop.clone());
                tasks.spawn(async move {
                    if let Err(error) = connection(stream, address, acceptor, &authority, router, stop).await
                    {
                        tracing::debug!(%address, error, "connection ended");
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "accepting a connection"),
        }
    }
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await;
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    authority: &str,
    router: Router,
    stop: CancellationToken,
) -> Result<(), String> {
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream))
        .await
        .map_err(|_| "no TLS handshake within ten seconds".to_owned())?
        .map_err(|error| error.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first().cloned());
    let peer = Peer {
        address,
        key_sha256: certificate.as_ref().and_then(|der| key_sha256_of_der(der).ok()),
        install_name: certificate.as_ref().and_then(|der| name_if_signed(der, authority)),
    };
    let service = TowerToHyperService::new(router.layer(axum::Extension(peer)));
    let builder = Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => result.map_err(|error| error.to_string()),
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await.map_err(|error| error.to_string())
        }
    }
}

/// The certificate's common name, if `authority` signed it and it is valid now.
fn name_if_signed(der: &[u8], authority_pem: &str) -> Option<String> {
    let authority_der = tls::certificates(authority_pem).ok()?;
    let (_, authority) = x509_parser::parse_x509_certificate(&authority_der[0]).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    certificate.verify_signature(Some(authority.public_key())).ok()?;
    certificate.validity().is_valid().then_some(())?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?;
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Clients;
    use crate::{Leaf, authority, issue, key_sha256, self_signed};
    use axum::Extension;
    use axum::routing::get;

    async fn who(identity: Option<&ashlar_model::keys::KeyPair>, ca: &ashlar_model::keys::KeyPair) -> String {
        let server = issue(ca, &Leaf::server("server", vec![], vec![[127, 0, 0, 1].into()])).expect("a leaf");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let router = Router::new().route(
            "/",
            get(|Extension(peer): Extension<Peer>| async move {
                format!("{:?} {:?}", peer.key_sha256, peer.install_name)
            }),
        );
        let stop = CancellationToken::new();
        let config = tls::server(&server, Clients::AnyKey).expect("a config");
        let task = tokio::spawn(serve(listener, config, ca.certificate_pem.clone(), router, stop.clone()));
        let client =
            tls::http_client(&ca.certificate_pem, identity, Duration::from_secs(5)).expect("a client");
        let answer = client.get(format!("https://{address}/")).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        stop.cancel();
        task.await.expect("no panic");
        text
    }

    #[tokio::test]
    async fn a_stranger_is_known_by_its_key_but_has_no_name() {
        let ca = authority("CA").expect("an authority");
        let stranger = self_signed("engine", &[], &[]).expect("an identity");
        let key = key_sha256(&stranger.certificate_pem).expect("a key");
        assert_eq!(who(Some(&stranger), &ca).await, format!("Some({key:?}) None"));
        assert_eq!(who(None, &ca).await, "None None");
    }

    #[tokio::test]
    async fn a_certificate_of_the_authority_gives_the_name() {
        let ca = authority("CA").expect("an authority");
        let engine = issue(&ca, &Leaf::client("engine", &[])).expect("a leaf");
        assert!(who(Some(&engine), &ca).await.ends_with("Some(\"engine\")"));
    }
}
