//! Rendering: `ignition.config.replace` and `merge` resolved recursively, and contents of files brought in.
//!
//! Nothing is fetched here. `render` says which resource it needs next; the caller fetches it, adds it to `Fetched`
//! and calls again, until the rendered configuration comes. What is rendered refers to nothing outside itself.

use thiserror::Error;

use crate::parse::ParseError;
use crate::resource::{
    Authority, Fetched, Request, ResourceError, Timeouts, check_and_unpack, data_url, is_data_url,
    read_data_url, shown,
};
use crate::spec::{Ignition, Resource, Verification};
use crate::{Config, merge, parse};

/// Configurations may name configurations this deep.
const DEEPEST: usize = 16;

#[derive(Debug)]
pub enum Rendering {
    /// Fetch this, add the answer's body to `Fetched` under the same request, and call again.
    Fetch(Request),
    Done(Box<Config>),
}

#[derive(Debug, Error)]
pub enum RenderError {
    #[error("{path}: the resource {url}")]
    Resource { path: String, url: String, source: ResourceError },
    #[error("{path}: the configuration {url}")]
    Parse { path: String, url: String, source: ParseError },
    #[error("{path}: configurations name each other more than {DEEPEST} deep")]
    TooDeep { path: String },
}

/// Why a pass ended before the configuration was complete.
enum Stop {
    Fetch(Box<Request>),
    Error(RenderError),
}

/// # Errors
/// `RenderError` names the entry of the configuration and what is wrong with the resource.
pub fn render(config: &Config, fetched: &Fetched) -> Result<Rendering, RenderError> {
    let rendered = resolve(config, "$", 0, fetched).and_then(|mut config| {
        bring_in(&mut config, fetched)?;
        Ok(config)
    });
    match rendered {
        Ok(config) => Ok(Rendering::Done(Box::new(config))),
        Err(Stop::Fetch(request)) => Ok(Rendering::Fetch(*request)),
        Err(Stop::Error(error)) => Err(error),
    }
}

fn resolve(config: &Config, path: &str, depth: usize, fetched: &Fetched) -> Result<Config, Stop> {
    if depth > DEEPEST {
        return Err(Stop::Error(RenderError::TooDeep { path: path.to_owned() }));
    }
    let references = config.ignition.config.clone().unwrap_or_default();
    if let Some(replace) = references.replace.filter(|resource| resource.source.is_some()) {
        let path = format!("{path}.ignition.config.replace");
        let settings = Settings::of(&config.ignition, &path, fetched)?;
        let child = referenced(&replace, &path, &settings, fetched)?;
        return resolve(&child, &path, depth + 1, fetched);
    }
    let mut merged = config.clone();
    for (index, resource) in references.merge.unwrap_or_default().iter().enumerate() {
        let path = format!("{path}.ignition.config.merge.{index}");
        let settings = Settings::of(&merged.ignition, &path, fetched)?;
        let child = referenced(resource, &path, &settings, fetched)?;
        merged = merge(&merged, &resolve(&child, &path, depth + 1, fetched)?);
    }
    merged.ignition.config = None;
    Ok(merged)
}

fn referenced(
    resource: &Resource,
    path: &str,
    settings: &Settings,
    fetched: &Fetched,
) -> Result<Config, Stop> {
    let bytes = contents(resource, path, settings, true, fetched)?;
    let parsed = parse(&bytes).map_err(|source| {
        let url = shown(resource.source.as_deref().unwrap_or(""));
        Stop::Error(RenderError::Parse { path: path.to_owned(), url, source })
    })?;
    Ok(parsed.config)
}

/// What a configuration says about fetching.
#[derive(Default)]
struct Settings {
    authorities: Vec<Authority>,
    timeouts: Timeouts,
}

impl Settings {
    fn of(ignition: &Ignition, path: &str, fetched: &Fetched) -> Result<Self, Stop> {
        let seconds = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let default = Timeouts::default();
        let timeouts = ignition.timeouts.as_ref().map_or(default, |timeouts| Timeouts {
            response_headers: seconds(timeouts.http_response_headers).unwrap_or(default.response_headers),
            total: seconds(timeouts.http_total).unwrap_or(default.total),
        });
        let tls = ignition.security.as_ref().and_then(|security| security.tls.as_ref());
        let list = tls.and_then(|tls| tls.certificate_authorities.as_deref()).unwrap_or_default();
        let first = Settings { authorities: Vec::new(), timeouts };
        let path = format!("{path}.ignition.security.tls.certificateAuthorities");
        let authorities = list
            .iter()
            .enumerate()
            .map(|(index, resource)| {
                Ok(Authority(contents(resource, &format!("{path}.{index}"), &first, false, fetched)?))
            })
            .collect::<Result<_, Stop>>()?;
        Ok(Settings { authorities, timeouts })
    }
}

/// The checked and unpacked bytes of a resource; without a source there are none.
fn contents(
    resource: &Resource,
    path: &str,
    settings: &Settings,
    is_config: bool,
    fetched: &Fetched,
) -> Result<Vec<u8>, Stop> {
    let Some(source) = resource.source.as_deref().filter(|source| !source.is_empty()) else {
        return Ok(Vec::new());
    };
    let fail = |source_error| {
        Stop::Error(RenderError::Resource { path: path.to_owned(), url: shown(source), source: source_error })
    };
    if is_data_url(source) {
        let bytes = read_data_url(source).map_err(fail)?;
        return check_and_unpack(resource, &bytes).map_err(fail);
    }
    let headers = resource.http_headers.iter().flatten();
    let headers = headers.filter_map(|header| Some((header.name.clone(), header.value.clone()?)));
    let request = Request {
        url: source.to_owned(),
        headers: headers.collect(),
        authorities: settings.authorities.clone(),
        timeouts: settings.timeouts,
        is_config,
    };
    match fetched.get(&request) {
        Some(bytes) => check_and_unpack(resource, bytes).map_err(fail),
        None => Err(Stop::Fetch(Box::new(request))),
    }
}

/// Replaces every resource of `storage.files` by the plain data URL of its bytes.
fn bring_in(config: &mut Config, fetched: &Fetched) -> Result<(), Stop> {
    let settings = Settings::of(&config.ignition, "$", fetched)?;
    let files = config.storage.as_mut().and_then(|storage| storage.files.as_mut());
    for (index, file) in files.into_iter().flatten().enumerate() {
        let path = format!("$.storage.files.{index}");
        if let Some(resource) = file.contents.as_mut().filter(|resource| resource.source.is_some()) {
            *resource = plain(&contents(resource, &format!("{path}.contents"), &settings, false, fetched)?);
        }
        for (number, resource) in file.append.iter_mut().flatten().enumerate() {
            let path = format!("{path}.append.{number}");
            *resource = plain(&contents(resource, &path, &settings, false, fetched)?);
        }
    }
    Ok(())
}

fn plain(bytes: &[u8]) -> Resource {
    Resource {
        compression: None,
        http_headers: None,
        source: Some(data_url(bytes)),
        verification: None::<Verification>,
    }
}

#[cfg(test)]
mod tests {
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
                Rendering::Done(config) => return (*config, asked),
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
    fn errors_name_the_entry_and_never_its_secret() {
        let start = config(json!({"storage": {"files": [{"path": "/a",
            "contents": {"source": "data:,secret", "verification": {"hash": format!("sha256-{}", "0".repeat(64))}}}]}}));
        let error = render(&start, &Fetched::new()).unwrap_err().to_string();
        assert_eq!(error, "$.storage.files.0.contents: the resource data:…");
        let looped =
            json!({"ignition": {"version": "3.5.0", "config": {"merge": [{"source": "https://c/1"}]}}});
        let mut fetched = Fetched::new();
        let error = loop {
            match render(&config(looped.clone()), &fetched) {
                Ok(Rendering::Fetch(request)) => fetched.insert(request, looped.to_string().into_bytes()),
                Ok(Rendering::Done(_)) => panic!("a loop cannot be rendered"),
                Err(error) => break error,
            };
        };
        assert!(matches!(error, RenderError::TooDeep { .. }));
    }
}
