//! From the sources to the one configuration that the later stages carry out, and how it is handed on to them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use ashlar_model::slot::{self, Slot};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::fetch::{Fetcher, Identity, origin};
use super::files;
use super::machine::Machine;
use super::report::Failure;
use super::sources::{Origin, Sources};
use crate::disks::refusals::refusals;
use crate::merge::to_value;
use crate::render::self_contained;
use crate::spec::Ignition;
use crate::{
    Config, Fetched, Problem, Rendered, Rendering, digest, merge, parse_value, plan, render, validate,
};

const HANDED: &str = "config.json";
const CORRECT: &str = "correct the configuration on the server and restart the host";

/// A configuration that is complete and valid, and what the end of the first boot says of it.
pub struct Prepared {
    pub rendered: Rendered,
    pub about: About,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Which source was taken.
    pub origin: String,
    pub user_configuration: bool,
    /// Of the config slot.
    pub host: Option<String>,
    /// SHA-256, hex: what the stamp says.
    pub identity: String,
    pub warnings: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Handed {
    config: Value,
    about: About,
}

/// Fetches, merges, checks; nothing on the machine is changed.
///
/// # Errors
/// What cannot be fetched, is no configuration, or cannot be done on this machine.
pub async fn prepare(sources: &Sources, fetcher: &Fetcher) -> Result<Prepared, Failure> {
    let nothing = Config::default();
    let (user, mut warnings) = match &sources.user {
        Some((_, parsed)) => {
            let report = parsed.report();
            accept(report.errors, "validate")?;
            (&parsed.config, report.warnings.iter().map(ToString::to_string).collect())
        }
        None => (&nothing, Vec::new()),
    };
    let user = fetch_all(user, fetcher).await?;
    accept(validate(&user.config), "validate")?;
    let whole = match &sources.base {
        Some(base) => merge(base, &user.config),
        None => user.config.clone(),
    };
    accept(validate(&whole), "validate")?;
    let rendered = self_contained(&whole, &user.settings);
    accept(refusals(&rendered.config), "plan")?;
    plan(&rendered.config, &rendered.settings).map(drop).or_else(|problems| accept(problems, "plan"))?;
    warnings.dedup();
    let identity = match (&sources.user, &sources.slot) {
        (Some((Origin::ConfigSlot, _)), Some(slot)) => slot::identity(slot).map_err(|error| {
            Failure::new("read slot", "identity", &error, super::first_boot::INSTALL_AGAIN)
        })?,
        _ => digest(&rendered.config),
    };
    let origin = sources.user.as_ref().map_or("the base configurations".to_owned(), |(o, _)| o.to_string());
    let host = sources.slot.as_ref().map(|slot| slot.host.clone());
    let user_configuration = sources.user.is_some();
    Ok(Prepared { rendered, about: About { origin, user_configuration, host, identity, warnings } })
}

/// Fetches every configuration that this one names, and merges them.
///
/// # Errors
/// What cannot be fetched, or is no configuration.
pub async fn fetch_all(config: &Config, fetcher: &Fetcher) -> Result<Rendered, Failure> {
    let mut fetched = Fetched::new();
    loop {
        match render(config, &fetched) {
            Ok(Rendering::Done(rendered)) => return Ok(*rendered),
            Ok(Rendering::Fetch(request)) => {
                let bytes = fetcher.fetch(&request).await?;
                fetched.insert(request, bytes);
            }
            Err(error) => return Err(Failure::new("render", "the configuration", &error, CORRECT)),
        }
    }
}

/// Problems become one failure; none become nothing.
pub(super) fn accept(problems: Vec<Problem>, stage: &'static str) -> Result<(), Failure> {
    let Some(first) = problems.first() else { return Ok(()) };
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(Failure::because(stage, &first.path, lines.join("\n        "), CORRECT))
}

/// True when something must be fetched to carry the configuration out, or a Tang server asked.
pub fn needs_network(sources: &Sources) -> bool {
    let user = match &sources.user {
        None => None,
        Some((_, parsed)) => match render(&parsed.config, &Fetched::new()) {
            Ok(Rendering::Fetch(_)) => return true,
            Ok(Rendering::Done(rendered)) => Some(rendered.config),
            // Found again, and told, when it is prepared.
            Err(_) => None,
        },
    };
    user.iter().chain(&sources.base).any(|config| names_remote(&to_value(config)))
}

fn names_remote(value: &Value) -> bool {
    match value {
        Value::Array(list) => list.iter().any(names_remote),
        Value::Object(map) => map.iter().any(|(key, value)| match (key.as_str(), value) {
            ("source", Value::String(url)) => !url.is_empty() && !crate::data_url::is_data_url(url),
            ("needsNetwork", value) => value == true,
            ("tang", Value::Array(servers)) => {
                servers.iter().any(|server| server["advertisement"].as_str().is_none_or(str::is_empty))
            }
            (_, value) => names_remote(value),
        }),
        _ => false,
    }
}

/// The configuration server is whatever the slot's own configuration names.
pub fn fetcher(slot: Option<&Slot>, machine: &Machine) -> Fetcher {
    let Some(slot) = slot else { return Fetcher::plain(&machine.sysroot, machine.say) };
    let identity = slot.secret.as_ref().map(|secret| Identity {
        token: secret.token.clone(),
        certificate_pem: secret.certificate_pem.clone(),
        private_key_pem: secret.private_key_pem.clone(),
    });
    let origins = slot_origins(slot);
    Fetcher::of_host(origins, slot.server_ca_pem.clone(), identity, &machine.sysroot, machine.say)
}

/// Scheme, host and port of the servers that the slot names.
pub fn slot_origins(slot: &Slot) -> BTreeSet<String> {
    let parsed = parse_value(slot.ignition.clone());
    parsed.map(|parsed| own_origins(&parsed.config.ignition)).unwrap_or_default()
}

fn own_origins(ignition: &Ignition) -> BTreeSet<String> {
    let references = ignition.config.clone().unwrap_or_default();
    let resources = references.merge.into_iter().flatten().chain(references.replace);
    let sources = resources.filter_map(|resource| Url::parse(resource.source.as_deref()?).ok());
    sources.filter(|url| url.scheme() != "data").map(|url| origin(&url)).collect()
}

/// Makes the directory that only root reads.
pub(super) fn make_run(run: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(run)
}

impl Prepared {
    /// # Errors
    /// The directory cannot be written.
    pub fn hand_on(&self, run: &Path) -> Result<(), Failure> {
        let keep = |error: io::Error| Failure::new("fetch", run.display(), &error, "restart the host");
        let handed = Handed { config: to_value(&self.rendered.config), about: self.about.clone() };
        let text = serde_json::to_vec(&handed).map_err(|error| keep(error.into()))?;
        make_run(run).and_then(|()| files::write_synced(&run.join(HANDED), &text, 0o600)).map_err(keep)
    }

    /// What an earlier stage handed on; nothing when there is nothing to do.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn handed_on(run: &Path) -> Result<Option<Self>, Failure> {
        let path = run.join(HANDED);
        let again = |error: io::Error| Failure::new("read", path.display(), &error, "restart the host");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(again(error)),
        };
        let handed: Handed = serde_json::from_slice(&bytes).map_err(|error| again(error.into()))?;
        let parsed = parse_value(handed.config).map_err(|error| again(io::Error::other(error)))?;
        match render(&parsed.config, &Fetched::new()) {
            Ok(Rendering::Done(rendered)) => Ok(Some(Self { rendered: *rendered, about: handed.about })),
            Ok(Rendering::Fetch(_)) => Err(again(io::Error::other("it names something to fetch"))),
            Err(error) => Err(again(io::Error::other(error))),
        }
    }
}
