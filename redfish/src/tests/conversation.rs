//! Reaching a BMC, trusting it, logging in and out.

use super::{Bench, config, listen, timeouts};
use crate::client::{Bmc, Credentials, Endpoint, Error, Trust};
use crate::fingerprint::Fingerprint;
use crate::power::PowerState;
use crate::virtual_bmc::{Certificate, Faults};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_session_is_opened_shows_the_system_and_is_closed() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    assert_eq!(bench.bmc.open_sessions(), 1);
    let system = bmc.system().await.unwrap();
    assert_eq!(system.serial.as_deref(), Some("LAB-1"));
    assert_eq!(
        (system.power, system.memory_gib, system.processors.cores),
        (PowerState::Off, Some(4.0), Some(2))
    );
    let interfaces = bmc.ethernet_interfaces().await.unwrap();
    assert_eq!(interfaces[0].mac, "52:54:00:00:00:01");
    bmc.close().await.unwrap();
    assert_eq!(bench.bmc.open_sessions(), 0);
}

#[tokio::test]
async fn a_wrong_password_is_told_from_everything_else() {
    let bench = Bench::new().await;
    let error = bench.connect_as("calvin", Trust::Insecure).await.err().unwrap();
    assert!(matches!(&error, Error::WrongPassword { user, .. } if user == "admin"), "{error}");
    assert!(!error.to_string().contains("calvin"));
}

#[tokio::test]
async fn another_certificate_is_refused_with_both_fingerprints() {
    let bench = Bench::new().await;
    let expected = Fingerprint::of_certificate(b"another");
    let error = bench.connect_as("s3cret", Trust::Fingerprint(expected)).await.err().unwrap().to_string();
    for part in [bench.address.to_string(), expected.to_string(), bench.pin().to_string()] {
        assert!(error.contains(&part), "{error}");
    }
}

#[tokio::test]
async fn an_authority_is_trusted_and_a_stranger_is_not() {
    let bench = Bench::new().await;
    let own = Trust::CertificateAuthority(bench.certificate.certificate_pem.clone());
    bench.connect_as("s3cret", own).await.unwrap().close().await.unwrap();
    let stranger = Bench::new().await.certificate.certificate_pem;
    let error = bench.connect_as("s3cret", Trust::CertificateAuthority(stranger)).await.err().unwrap();
    assert!(matches!(error, Error::CertificateRefused { .. }), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::parse(&format!("redfish://{address}")).unwrap();
    let error = Bmc::connect(&endpoint, &Credentials::new("admin", "x"), Trust::Insecure, timeouts()).await;
    let error = error.err().unwrap();
    assert!(matches!(&error, Error::Unreachable { bmc, .. } if *bmc == address.to_string()), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_ended_session_is_renewed_once() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    bench.bmc.end_sessions();
    bmc.system().await.unwrap();
    assert_eq!(bench.bmc.open_sessions(), 1);
    bmc.close().await.unwrap();
}

#[tokio::test]
async fn without_a_free_session_the_password_is_sent() {
    let bench = Bench::new().await;
    bench.bmc.set_faults(Faults { refused_sessions: 1, ..Faults::default() });
    let bmc = bench.connect().await;
    assert_eq!(bench.bmc.open_sessions(), 0);
    bmc.system().await.unwrap();
}

#[tokio::test]
async fn a_dropped_client_leaves_no_session() {
    let bench = Bench::new().await;
    drop(bench.connect().await);
    let start = std::time::Instant::now();
    while bench.bmc.open_sessions() > 0 && start.elapsed() < super::LIMIT {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    assert_eq!(bench.bmc.open_sessions(), 0);
}

#[tokio::test]
async fn a_system_that_is_not_there_is_refused_and_the_session_closed() {
    let bench = Bench::with(config()).await;
    let endpoint = Endpoint::parse(&format!("redfish://{}/redfish/v1/Systems/9", bench.address)).unwrap();
    let credentials = Credentials::new("admin", "s3cret");
    let error = Bmc::connect(&endpoint, &credentials, Trust::Insecure, timeouts()).await.err().unwrap();
    assert!(error.to_string().contains("/redfish/v1/Systems/9"), "{error}");
    assert_eq!(bench.bmc.open_sessions(), 0);
}

#[tokio::test]
async fn of_several_systems_one_must_be_named() {
    let systems = json!({"Members": [{"@odata.id": "/redfish/v1/Systems/Host"}, {"@odata.id": "/redfish/v1/Systems/HGX"}]});
    let router = Router::new()
        .route(
            "/redfish/v1/",
            get(|| async { Json(json!({"Systems": {"@odata.id": "/redfish/v1/Systems"}})) }),
        )
        .route("/redfish/v1/Systems", get(|| async { Json(systems) }));
    let (stop, certificate) =
        (CancellationToken::new(), Certificate::self_signed(&["localhost".into()]).unwrap());
    let address = listen(router, &certificate, &stop).await;
    let endpoint = Endpoint::parse(&format!("redfish://{address}")).unwrap();
    let error = Bmc::connect(&endpoint, &Credentials::new("admin", "x"), Trust::Insecure, timeouts()).await;
    let error = error.err().unwrap().to_string();
    assert!(error.contains("/redfish/v1/Systems/Host, /redfish/v1/Systems/HGX"), "{error}");
    stop.cancel();
}
