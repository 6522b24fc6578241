//! What can be written into a medium, the same for all kinds.

use std::path::{Path, PathBuf};

use ashlar_model::agent_api::HostView;
use ashlar_model::config::network::keyfiles;
use clap::Args;

use super::{Written, answers, read};
use crate::failure::{Fails, Failure};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

#[derive(Args, Default)]
pub struct Changes {
    /// Argument for the kernel of the live system; may be repeated.
    #[arg(long = "kernel-argument", value_name = "ARGUMENT")]
    kernel_arguments: Vec<String>,
    /// NetworkManager connection for the live system; may be repeated.
    #[arg(long = "network-keyfile", value_name = "FILE")]
    network_keyfiles: Vec<PathBuf>,
    /// Network state (nmstate, YAML) for the live system.
    #[arg(long, value_name = "FILE")]
    network_nmstate: Option<PathBuf>,
    /// Where a minimal medium or a network boot fetches the root file system: the URL of a folder (with a slash at its
    /// end), of rootfs.squashfs or of a full medium.
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Certificates (PEM) that the live system is to trust.
    #[arg(long, value_name = "FILE")]
    ca_bundle: Option<PathBuf>,
    /// Answers (YAML): disk, consent, first-boot configuration; the server then installs itself without an engine.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// A host's view (JSON) instead of the one on the medium.
    #[arg(long, value_name = "FILE")]
    host_view: Option<PathBuf>,
}

impl Changes {
    /// What a medium is to hold that holds `present`; `keyfiles` are connections besides those of the arguments.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be.
    pub fn over(&self, present: &Written, keyfiles: &[(String, String)]) -> Result<Written, Failure> {
        let given = self.host_view.as_ref().map(|path| read(path)).transpose()?;
        let before = given.as_deref().or(present.host_view.as_deref());
        let parsed = before.map(serde_json::from_str::<HostView>).transpose();
        let parsed = parsed.failing(|| "understanding the host's view".into())?;
        let empty = HostView { version: 1, ..HostView::default() };
        let mut view = parsed.unwrap_or_else(|| empty.clone());
        self.network(keyfiles.to_vec(), &mut view)?;
        if let Some(path) = &self.ca_bundle {
            view.ca_bundle_pem = certificates(path)?;
        }
        if let Some(path) = &self.answers {
            view.answers = Some(answers::read(path)?);
        }
        if let Some(source) = &self.source {
            view.sources = vec![url(source)?];
        }
        let text = serde_json::to_string(&view).failing(|| "writing the host's view".into())?;
        let arguments = if self.kernel_arguments.is_empty() {
            present.kernel_arguments.clone()
        } else {
            self.kernel_arguments.clone()
        };
        Ok(Written {
            version: present.version.clone(),
            host_view: (view != empty).then_some(text),
            kernel_arguments: arguments,
            source: self.source.clone().or_else(|| present.source.clone()),
        })
    }

    fn network(&self, mut files: Vec<(String, String)>, view: &mut HostView) -> Result<(), Failure> {
        if let Some(path) = &self.network_nmstate {
            let state: serde_json::Value = serde_norway::from_str(&read(path)?)
                .failing(|| format!("understanding {}", path.display()))?;
            let made = keyfiles(&state);
            files.extend(made.failing(|| format!("understanding {} as nmstate", path.display()))?);
        }
        for path in &self.network_keyfiles {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".nmconnection") {
                let failure = Failure::user(format!("{} is no keyfile by its name", path.display()));
                return Err(failure.hint("NetworkManager reads files that end with .nmconnection"));
            }
            files.push((name, read(path)?));
        }
        for (name, contents) in files {
            view.network_keyfiles.retain(|(known, _)| *known != name);
            view.network_keyfiles.push((name, contents));
        }
        Ok(())
    }
}

fn certificates(path: &Path) -> Result<String, Failure> {
    let text = read(path)?;
    let count = |mark: &str| text.matches(mark).count();
    if count(BEGIN) == 0 || count(BEGIN) != count(END) {
        let failure = Failure::user(format!("{} holds no whole certificate", path.display()));
        return Err(failure.hint("give certificates in PEM form, one after the other; no keys"));
    }
    if text.contains("PRIVATE KEY") {
        let failure = Failure::user(format!("{} holds a private key", path.display()));
        return Err(failure.hint("give certificates alone: media are carried about"));
    }
    Ok(text)
}

fn url(text: &str) -> Result<String, Failure> {
    let fits = text.starts_with("http://") || text.starts_with("https://");
    // It stands in boot scripts as well.
    if fits && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._~:/?[]@!&()*+,=%".contains(c)) {
        return Ok(text.to_owned());
    }
    let failure = Failure::user(format!("`{text}` is no URL that a live system could fetch from"));
    Err(failure.hint("http:// or https://, then server and path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Written {
        Written { version: "1".into(), host_view: None, kernel_arguments: Vec::new(), source: None }
    }

    #[test]
    fn without_changes_a_medium_stays_nobodys() {
        assert_eq!(Changes::default().over(&nothing(), &[]).expect("nothing").host_view, None);
    }

    #[test]
    fn nmstate_becomes_keyfiles_and_a_source_is_kept() {
        let dir = tempfile::tempdir().expect("a folder");
        let state = dir.path().join("state.yaml");
        let text =
            "interfaces: [{name: eno1, type: ethernet, state: up, ipv4: {enabled: true, dhcp: true}}]\n";
        std::fs::write(&state, text).expect("written");
        let source = Some("http://192.0.2.1:6184/".to_owned());
        let changes = Changes { network_nmstate: Some(state), source, ..Changes::default() };
        let wanted = changes.over(&nothing(), &[]).expect("valid").host_view.expect("a view");
        let view: HostView = serde_json::from_str(&wanted).expect("a view");
        assert_eq!(view.network_keyfiles[0].0, "eno1.nmconnection");
        assert_eq!(view.sources, ["http://192.0.2.1:6184/"]);
    }

    #[test]
    fn what_is_no_url_or_no_certificate_is_refused() {
        assert!(
            url("ftp://a/").is_err()
                && url("http://a/\" quit").is_err()
                && url("https://[2001:db8::1]:80/a/").is_ok()
        );
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("ca.pem");
        std::fs::write(&file, format!("{BEGIN}\nMII\n")).expect("written");
        assert!(certificates(&file).is_err());
    }
}
