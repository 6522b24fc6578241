//! Rendering: `ignition.config.replace` and `merge` resolved recursively, and contents of files brought in.
//!
//! Nothing is fetched here. `render` says which resource it needs next; the caller fetches it, adds it to `Fetched`
//! and calls again, until the rendered configuration comes. What is rendered refers to nothing outside itself.

use thiserror::Error;

use crate::parse::ParseError;
use crate::resource::{
    Authority, Fetched, Proxies, Request, ResourceError, Settings, Timeouts, check_and_unpack, data_url,
    is_data_url, read_data_url, shown,
};
use crate::spec::{Ignition, Resource};
use crate::{Config, merge, parse};

/// Configurations may name configurations this deep.
const DEEPEST: usize = 16;
/// A configuration may name this many others, all in all.
const MOST: usize = 1000;

#[derive(Debug)]
pub enum Rendering {
    /// Fetch this, add the answer's body to `Fetched` under the same request, and call again.
    Fetch(Request),
    Done(Box<Rendered>),
}

/// A configuration that names no other one.
#[derive(Debug)]
pub struct Rendered {
    pub config: Config,
    /// For fetching the contents of its files.
    pub settings: Settings,
}

#[derive(Debug, Error)]
pub enum RenderError {
    #[error("{path}: the resource {url}")]
    Resource { path: String, url: String, source: ResourceError },
    #[error("{path}: the configuration {url}")]
    Parse { path: String, url: String, source: ParseError },
    #[error("{path}: the configuration {url} is invalid: {problems}")]
    Invalid { path: String, url: String, problems: String },
    #[error("{path}: configurations name each other more than {DEEPEST} deep")]
    TooDeep { path: String },
    #[error("{path}: configurations name each other in a circle: {url} is being rendered already")]
    Circle { path: String, url: String },
    #[error("{path}: more than {MOST} configurations are named")]
    TooMany { path: String },
}

/// Why a pass ended before the configuration was complete.
enum Stop {
    Fetch(Box<Request>),
    Error(RenderError),
}

/// # Errors
/// `RenderError` names the entry of the configuration and what is wrong with the resource.
pub fn render(config: &Config, fetched: &Fetched) -> Result<Rendering, RenderError> {
    let mut pass = Pass { fetched, above: Vec::new(), count: 0 };
    let rendered = pass.resolve(config, &config.ignition, "$").and_then(|config| {
        let settings = settings(&config.ignition, "$", fetched)?;
        Ok(Rendered { config, settings })
    });
    done(rendered.map(|rendered| Rendering::Done(Box::new(rendered))))
}

/// Brings the contents of every file into a rendered configuration, which refers to nothing outside itself then.
///
/// # Errors
/// As `render`.
pub fn embed(rendered: &Rendered, fetched: &Fetched) -> Result<Rendering, RenderError> {
    let mut config = rendered.config.clone();
    let files = config.storage.as_mut().and_then(|storage| storage.files.as_mut());
    let all = || -> Result<(), Stop> {
        for (index, file) in files.into_iter().flatten().enumerate() {
            let path = format!("$.storage.files.{index}");
            if let Some(resource) = file.contents.as_mut().filter(|resource| resource.source.is_some()) {
                let bytes =
                    contents(resource, &format!("{path}.contents"), &rendered.settings, false, fetched)?;
                *resource = plain(&bytes);
            }
            for (number, resource) in file.append.iter_mut().flatten().enumerate() {
                let path = format!("{path}.append.{number}");
                *resource = plain(&contents(resource, &path, &rendered.settings, false, fetched)?);
            }
        }
        Ok(())
    };
    let brought = all();
    let settings = rendered.settings.clone();
    done(brought.map(|()| Rendering::Done(Box::new(Rendered { config, settings }))))
}

fn done(result: Result<Rendering, Stop>) -> Result<Rendering, RenderError> {
    match result {
        Ok(rendering) => Ok(rendering),
        Err(Stop::Fetch(request)) => Ok(Rendering::Fetch(*request)),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// One walk through the tree of configurations.
struct Pass<'a> {
    fetched: &'a Fetched,
    /// The sources that are being rendered, outermost first.
    above: Vec<String>,
    count: usize,
}

impl Pass<'_> {
    /// `outer` is what is in force: this configuration merged into all that was merged before it.
    fn resolve(&mut self, config: &Config, outer: &Ignition, path: &str) -> Result<Config, Stop> {
        if self.above.len() > DEEPEST {
            return Err(Stop::Error(RenderError::TooDeep { path: path.to_owned() }));
        }
        let references = config.ignition.config.clone().unwrap_or_default();
        if let Some(replace) = references.replace.filter(|resource| resource.source.is_some()) {
            let path = format!("{path}.ignition.config.replace");
            let settings = settings(outer, &path, self.fetched)?;
            let child = self.enter(&replace, &path, &settings)?;
            let resolved = self.resolve(&child, &child.ignition, &path)?;
            self.above.pop();
            return Ok(resolved);
        }
        let mut merged = config.clone();
        let mut outer = outer.clone();
        for (index, resource) in references.merge.unwrap_or_default().iter().enumerate() {
            let path = format!("{path}.ignition.config.merge.{index}");
            let settings = settings(&outer, &path, self.fetched)?;
            let child = self.enter(resource, &path, &settings)?;
            let resolved = self.resolve(&child, &both(&outer, &child.ignition), &path)?;
            self.above.pop();
            outer = both(&outer, &resolved.ignition);
            merged = merge(&merged, &resolved);
        }
        merged.ignition.config = None;
        Ok(merged)
    }

    /// The configuration that a resource is, valid by the rules of its version.
    fn enter(&mut self, resource: &Resource, path: &str, settings: &Settings) -> Result<Config, Stop> {
        let source = resource.source.clone().unwrap_or_default();
        let url = shown(&source);
        let fail = |error| Err(Stop::Error(error));
        if self.above.contains(&source) {
            return fail(RenderError::Circle { path: path.to_owned(), url });
        }
        self.count += 1;
        if self.count > MOST {
            return fail(RenderError::TooMany { path: path.to_owned() });
        }
        let bytes = contents(resource, path, settings, true, self.fetched)?;
        let parsed = match parse(&bytes) {
            Ok(parsed) => parsed,
            Err(source) => return fail(RenderError::Parse { path: path.to_owned(), url, source }),
        };
        let problems = parsed.report().errors;
        if !problems.is_empty() {
            let problems = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            return fail(RenderError::Invalid { path: path.to_owned(), url, problems });
        }
        self.above.push(source);
        Ok(parsed.config)
    }
}

/// The settings for fetching of a child that is being merged.
fn both(parent: &Ignition, child: &Ignition) -> Ignition {
    let whole = |ignition: &Ignition| Config { ignition: ignition.clone(), ..Config::default() };
    merge(&whole(parent), &whole(child)).ignition
}

fn settings(ignition: &Ignition, path: &str, fetched: &Fetched) -> Result<Settings, Stop> {
    let seconds = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
    let default = Timeouts::default();
    let timeouts = ignition.timeouts.as_ref().map_or(default, |timeouts| Timeouts {
        response_headers: seconds(timeouts.http_response_headers).unwrap_or(default.response_headers),
        total: seconds(timeouts.http_total).unwrap_or(default.total),
    });
    let proxy = ignition.proxy.clone().unwrap_or_default();
    let proxies = Proxies {
        http: proxy.http_proxy.filter(|url| !url.is_empty()),
        https: proxy.https_proxy.filter(|url| !url.is_empty()),
        none: proxy.no_proxy.unwrap_or_default(),
    };
    let tls = ignition.security.as_ref().and_then(|security| security.tls.as_ref());
    let list = tls.and_then(|tls| tls.certificate_authorities.as_deref()).unwrap_or_default();
    let mut settings = Settings { authorities: Vec::new(), timeouts, proxies };
    let path = format!("{path}.ignition.security.tls.certificateAuthorities");
    let authorities = list.iter().enumerate().map(|(index, resource)| {
        Ok(Authority(contents(resource, &format!("{path}.{index}"), &settings, false, fetched)?))
    });
    settings.authorities = authorities.collect::<Result<_, Stop>>()?;
    Ok(settings)
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
    let request = settings.request(resource, source, is_config);
    match fetched.get(&request) {
        Some(bytes) => check_and_unpack(resource, bytes).map_err(fail),
        None => Err(Stop::Fetch(Box::new(request))),
    }
}

fn plain(bytes: &[u8]) -> Resource {
    Resource { source: Some(data_url(bytes)), ..Resource::default() }
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
                Rendering::Done(rendered) => match embed(&rendered, &fetched).expect("it renders") {
                    Rendering::Done(whole) => return (whole.config, asked),
                    Rendering::Fetch(request) => {
                        let (_, body) =
                            network.iter().find(|(url, _)| *url == request.url).expect("known URL");
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
        let to =
            |url: &str| json!({"ignition": {"version": "3.5.0", "config": {"merge": [{"source": url}]}}});
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
}
