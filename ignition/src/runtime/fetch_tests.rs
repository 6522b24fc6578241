//! Fetching over TLS from a server that asks for a client certificate.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use ashlar_model::slot::{Slot, SlotSecret};

use super::super::clients::add_certificates;
use super::super::machine::Machine;
use super::super::notify::notify;
use super::*;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
}

/// Certificate and key, PEM.
fn leaf(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.signed_by(&key, authority).expect("a certificate").pem(), key.serialize_pem())
}

fn server_config(authority: &CertifiedIssuer<'static, KeyPair>) -> ServerConfig {
    let (certificate, key) = leaf(authority, "127.0.0.1");
    let mut roots = RootCertStore::empty();
    add_certificates(&mut roots, authority.pem().as_bytes());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(clients.build().expect("a verifier"))
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("PEM"),
        )
        .expect("a pair")
}

/// The request, or nothing when the client broke off.
async fn answer_once(listener: Arc<TcpListener>, tls: Arc<ServerConfig>) -> Option<String> {
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut stream = TlsAcceptor::from(tls).accept(stream).await.ok()?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.expect("a request"));
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody").await.expect("an answer");
    stream.shutdown().await.expect("an end");
    String::from_utf8(request).ok()
}

#[test]
fn the_configuration_server_gets_token_and_certificate_and_nobody_else_is_believed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let origin = format!("https://{}", listener.local_addr().expect("an address"));
        let authority = authority();
        let (certificate_pem, private_key_pem) = leaf(&authority, "master-1");
        let identity = Some(Identity { token: "proof".into(), certificate_pem, private_key_pem });
        let origins = [origin.clone()].into();
        let fetcher = Fetcher::of_host(origins, authority.pem(), identity, Path::new("/"), |_| {});
        let request = Request {
            url: format!("{origin}/config/master"),
            headers: Vec::new(),
            authorities: Vec::new(),
            timeouts: Default::default(),
            proxies: Default::default(),
            is_config: true,
        };
        let tls = Arc::new(server_config(&authority));
        let server = tokio::spawn(answer_once(listener.clone(), tls.clone()));
        assert_eq!(fetcher.fetch(&request).await.expect("fetched"), b"body");
        let asked = server.await.expect("it ended").expect("a request");
        assert!(asked.contains("authorization: Bearer proof\r\n"));

        let server = tokio::spawn(answer_once(listener.clone(), tls.clone()));
        let other = Fetcher::plain(Path::new("/"), |_| {});
        let refused = other.attempt(&request, &Wanted::default(), &mut Vec::new()).await;
        assert!(matches!(refused, Err(Attempt::Again(cause)) if cause.contains("certificate")));
        assert_eq!(server.await.expect("it ended"), None, "an unknown server sees no request");
    });
}

#[test]
fn the_configuration_server_is_told_of_a_failure_and_gets_no_secret_but_the_token() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.expect("a port"));
        let origin = format!("https://{}", listener.local_addr().expect("an address"));
        let authority = authority();
        let (certificate_pem, private_key_pem) = leaf(&authority, "master-1");
        let secret = SlotSecret { token: "proof".into(), certificate_pem, private_key_pem };
        let merge = serde_json::json!([{"source": format!("{origin}/config/master")}]);
        let slot = Slot {
            host: "master-1".into(),
            ignition: serde_json::json!({"ignition": {"version": "3.5.0", "config": {"merge": merge}}}),
            server_ca_pem: authority.pem(),
            secret: Some(secret),
            issued_at: 0,
        };
        let machine = Machine::new("/".into(), "/none".into(), 0, |_| {});
        let failure = Failure::because("disks", "/dev/vdb", "it is in use", "name another device");
        let server = tokio::spawn(answer_once(listener.clone(), Arc::new(server_config(&authority))));
        assert_eq!(notify(&machine, &slot, &failure).await, Some(Ok(())));
        let asked = server.await.expect("it ended").expect("a request");
        assert!(asked.starts_with("POST /v1/first-boot-failure HTTP/1.1\r\n"), "{asked}");
        assert!(asked.contains("authorization: Bearer proof\r\n"), "{asked}");
        assert!(asked.contains("content-type: application/json\r\n"), "{asked}");
        let wiped = Slot { secret: None, ..slot };
        assert_eq!(notify(&machine, &wiped, &failure).await, None, "nobody would believe it");
    });
}
