//! Rendering with a table of URLs as the network.

use super::*;
use crate::merge::to_value;
use serde_json::{Value, json};

fn config(mut value: Value) -> Config {
    value["ignition"]["version"] = "3.4.0".into();
    crate::parse_value(value).expect("a configuration").config
}

/// Renders with a table of URLs as the network; says what was asked for.
fn run(config: &Config, network: &[(&str, Value)]) -> (Config, Vec<Request>) {
    let (mut fetched, mut asked) = (Fetched::new(), Vec::new());
    loop {
        match render(config, &fetched).expect("it renders") {
            Rendering::Done(rendered) => match embed(&rendered, &fetched).expect("it renders") {
                Rendering::Done(whole) => return (whole.config, asked),
                Rendering::Fetch(request) => {
                    let (_, body) = network.iter().find(|(url, _)| *url == request.url).expect("known URL");
                    let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                    asked.push(request.clone());
                    fetched.insert(request, body.into_bytes());
                }
            },
            Rendering::Fetch(request) => {
                let (_, body) = network.iter().find(|(url, _)| *url == request.url).expect("known URL");
                let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                asked.push(request.clone());
                fetched.insert(request, body.into_bytes());
            }
        }
    }
}

#[test]
fn merged_configurations_are_rendered_depth_first_and_files_brought_in() {
    let v = |mut value: Value| {
        value["ignition"]["version"] = "3.1.0".into();
        value
    };
    let network = [
        (
            "https://c/1",
            v(json!({"ignition": {"config": {"merge": [{"source": "https://c/2"}]}},
            "storage": {"files": [{"path": "/one", "contents": {"source": "https://c/file"}}]}})),
        ),
        ("https://c/2", v(json!({"storage": {"files": [{"path": "/two"}]}}))),
        ("https://c/file", "text".into()),
    ];
    let start = config(json!({"ignition": {"config": {"merge": [
        {"source": "https://c/1", "httpHeaders": [{"name": "A", "value": "b"}]}]}}}));
    let (rendered, asked) = run(&start, &network);
    assert_eq!(
        to_value(&rendered),
        json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [
        {"path": "/one", "contents": {"source": "data:;base64,dGV4dA=="}}, {"path": "/two"}]}})
    );
    let urls: Vec<&str> = asked.iter().map(|request| request.url.as_str()).collect();
    assert_eq!(urls, ["https://c/1", "https://c/2", "https://c/file"]);
    assert_eq!(asked[0].headers, [("A".to_owned(), "b".to_owned())]);
    assert!(asked[0].is_config && !asked[2].is_config);
}

#[test]
fn replace_leaves_nothing_of_the_parent() {
    let start = config(json!({"ignition": {"config": {"replace": {"source": "https://c/1"}}},
        "storage": {"files": [{"path": "/gone"}]}}));
    let other = json!({"ignition": {"version": "3.5.0"}, "passwd": {"users": [{"name": "core"}]}});
    let (rendered, _) = run(&start, &[("https://c/1", other.clone())]);
    assert_eq!(to_value(&rendered), other);
}

#[test]
fn authorities_and_timeouts_of_a_configuration_serve_its_fetches() {
    let start = config(json!({"ignition": {"config": {"merge": [{"source": "https://c/1"}]},
        "timeouts": {"httpTotal": 60},
        "security": {"tls": {"certificateAuthorities": [{"source": "data:,PEM"}]}}}}));
    let (_, asked) = run(&start, &[("https://c/1", json!({"ignition": {"version": "3.5.0"}}))]);
    assert_eq!(asked[0].authorities, [Authority(b"PEM".to_vec())]);
    assert_eq!(asked[0].timeouts, Timeouts { response_headers: 10, total: 60 });
}

#[test]
fn a_child_is_fetched_with_what_its_parents_say() {
    let child = json!({"ignition": {"version": "3.3.0", "config": {"merge": [{"source": "https://c/2"}]},
        "proxy": {"httpsProxy": "http://p:1", "noProxy": ["d"]}, "timeouts": {"httpTotal": 9}}});
    let start = config(json!({"ignition": {"config": {"merge": [{"source": "https://c/1"}]},
        "timeouts": {"httpTotal": 60, "httpResponseHeaders": 5}}}));
    let empty = json!({"ignition": {"version": "3.5.0"}});
    let (_, asked) = run(&start, &[("https://c/1", child), ("https://c/2", empty)]);
    assert_eq!(asked[0].timeouts, Timeouts { response_headers: 5, total: 60 });
    assert_eq!(asked[1].timeouts, Timeouts { response_headers: 5, total: 9 });
    assert_eq!(asked[1].proxies.https.as_deref(), Some("http://p:1"));
}

#[test]
fn errors_name_the_entry_and_never_its_secret() {
    let start = config(json!({"ignition": {"config": {"merge": [{"source": "data:,secret",
        "verification": {"hash": format!("sha256-{}", "0".repeat(64))}}]}}}));
    let error = render(&start, &Fetched::new()).unwrap_err().to_string();
    assert_eq!(error, "$.ignition.config.merge.0: the resource data:…");
    let invalid = json!({"ignition": {"version": "3.5.0"}, "storage": {"files": [{"path": "a"}]}});
    let start = config(
        json!({"ignition": {"config": {"replace": {"source": data_url(invalid.to_string().as_bytes())}}}}),
    );
    assert!(matches!(render(&start, &Fetched::new()), Err(RenderError::Invalid { .. })));
}

#[test]
fn circles_and_deep_chains_end() {
    let to = |url: &str| json!({"ignition": {"version": "3.5.0", "config": {"merge": [{"source": url}]}}});
    let end = |next: &dyn Fn(&str) -> String| {
        let mut fetched = Fetched::new();
        loop {
            match render(&config(to("https://c/0")), &fetched) {
                Ok(Rendering::Fetch(request)) => {
                    let body = to(&next(&request.url)).to_string().into_bytes();
                    fetched.insert(request, body)
                }
                Ok(Rendering::Done(_)) => panic!("it has no end"),
                Err(error) => break error,
            };
        }
    };
    assert!(matches!(end(&str::to_owned), RenderError::Circle { .. }));
    assert!(matches!(end(&|url| format!("{url}0")), RenderError::TooDeep { .. }));
}
