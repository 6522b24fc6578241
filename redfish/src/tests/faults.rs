//! A BMC that stumbles, and the rules of HTTP it keeps.

use super::Bench;
use crate::client::{Bmc, Credentials, Endpoint, Error, Timeouts, Trust};
use crate::virtual_bmc::{Faults, Personality};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn stumbles_are_outlasted() {
    let bench = Bench::new().await;
    let bmc = bench.connect().await;
    for faults in [
        Faults { unavailable: 2, ..Faults::default() },
        Faults { wrong_answers: 2, ..Faults::default() },
        Faults { dropped_connections: 2, ..Faults::default() },
    ] {
        bench.bmc.set_faults(faults.clone());
        bmc.power_state().await.unwrap_or_else(|error| panic!("{faults:?}: {error}"));
    }
    bench.bmc.set_faults(Faults { unavailable: 9, ..Faults::default() });
    let error = bmc.power_state().await.unwrap_err();
    assert!(error.to_string().contains("temporarily unavailable"), "{error}");
}

#[tokio::test]
async fn a_slow_bmc_is_not_waited_for_longer_than_agreed() {
    let bench = Bench::new().await;
    bench.bmc.set_faults(Faults { slow_answers: 9, delay: Duration::from_secs(60), ..Faults::default() });
    let endpoint = Endpoint::parse(&format!("redfish://{}", bench.address)).unwrap();
    let timeouts = Timeouts { request: Duration::from_millis(100), attempts: 2, ..super::timeouts() };
    let error = Bmc::connect(&endpoint, &Credentials::new("admin", "x"), Trust::Insecure, timeouts).await;
    assert!(matches!(error, Err(Error::NoAnswer { .. })));
}

struct Raw {
    http: Client,
    base: String,
}

impl Raw {
    fn new(bench: &Bench) -> Self {
        let (tls, _) = crate::client::trust::client_config(&Trust::Insecure, "test").unwrap();
        let http = Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
        Self { http, base: format!("https://{}", bench.address) }
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        etag: Option<&str>,
        body: Option<Value>,
    ) -> reqwest::Response {
        let mut request =
            self.http.request(method, format!("{}{path}", self.base)).basic_auth("admin", Some("s3cret"));
        if let Some(etag) = etag {
            request = request.header("If-Match", etag);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        request.send().await.unwrap()
    }
}

#[tokio::test]
async fn a_stale_etag_is_refused_and_a_fresh_one_accepted() {
    let bench = Bench::new().await;
    let raw = Raw::new(&bench);
    let path = "/redfish/v1/Systems/1";
    let first = raw.send(Method::GET, path, None, None).await.headers()["etag"].to_str().unwrap().to_owned();
    let change = |text: &str| Some(json!({"AssetTag": text}));
    let done = raw.send(Method::PATCH, path, Some(&first), change("a")).await;
    assert_eq!(done.status(), StatusCode::NO_CONTENT);
    let stale = raw.send(Method::PATCH, path, Some(&first), change("b")).await;
    assert_eq!(stale.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_bmc_that_wants_an_etag_says_so() {
    let bench = Bench::of(Personality::Lenovo).await;
    let answer = Raw::new(&bench).send(Method::PATCH, "/redfish/v1/Systems/1", None, Some(json!({}))).await;
    assert_eq!(answer.status(), StatusCode::PRECONDITION_REQUIRED);
}

#[tokio::test]
async fn refusals_are_redfish_errors() {
    let bench = Bench::new().await;
    let raw = Raw::new(&bench);
    let system = "/redfish/v1/Systems/1";
    let reset = "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset";
    for (method, path, body, status, id) in [
        (Method::GET, "/redfish/v1/Nothing", None, 404, "ResourceMissingAtURI"),
        (Method::DELETE, system, None, 405, "OperationNotAllowed"),
        (Method::PATCH, system, Some(json!({"PowerState": "On"})), 400, "PropertyNotWritable"),
        (Method::PATCH, system, Some(json!({"Colour": "red"})), 400, "PropertyUnknown"),
        (Method::POST, reset, Some(json!({})), 400, "ActionParameterMissing"),
        (Method::POST, reset, Some(json!({"ResetType": "Explode"})), 400, "ActionParameterValueNotInList"),
    ] {
        let answer = raw.send(method, path, None, body).await;
        assert_eq!(answer.status(), status, "{path}");
        assert_eq!(answer.headers()["odata-version"], "4.0");
        let body: Value = answer.json().await.unwrap();
        let found = body["error"]["@Message.ExtendedInfo"][0]["MessageId"].as_str().unwrap();
        assert!(found.ends_with(id), "{found}");
    }
}

#[tokio::test]
async fn only_the_doors_are_open_to_strangers() {
    let bench = Bench::new().await;
    let raw = Raw::new(&bench);
    for (path, status) in [
        ("/redfish", 200),
        ("/redfish/v1/", 200),
        ("/redfish/v1/$metadata", 200),
        ("/redfish/v1/odata", 200),
        ("/redfish/v1/Systems", 401),
    ] {
        let answer = raw.http.get(format!("{}{path}", raw.base)).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
}
