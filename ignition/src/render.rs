//! Rendering: `ignition.config.replace` and `merge` resolved recursively, and contents of files brought in.
//!
//! Nothing is fetched here. `render` says which resource it needs next; the caller fetches it, adds it to `Fetched`
//! and calls again, until the rendered configuration comes. What is rendered refers to nothing outside itself.

use thiserror::Error;

use crate::data_url::{data_url, is_data_url, read_data_url};
use crate::parse::ParseError;
use crate::resource::{
    Authority, Fetched, Proxies, Request, ResourceError, Settings, Timeouts, check_and_unpack, shown,
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

/// The configuration that needs nothing else to be rendered: its certificate authorities stand in it.
#[cfg(feature = "runtime")]
pub fn self_contained(config: &Config, settings: &Settings) -> Rendered {
    let mut config = config.clone();
    config.ignition.config = None;
    let security = config.ignition.security.as_mut();
    if let Some(tls) = security.and_then(|security| security.tls.as_mut()) {
        let list = settings.authorities.iter().map(|authority| plain(&authority.0)).collect::<Vec<_>>();
        tls.certificate_authorities = Some(list).filter(|list| !list.is_empty());
    }
    Rendered { config, settings: settings.clone() }
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
#[path = "render_tests.rs"]
mod tests;
