//! `ashlar media`: what is on a medium, and changing it without making it anew.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ashlar_image::{customize, release as directory};
use ashlar_model::agent_api::HostView;
use clap::{Args, Subcommand};

use super::{Output, print_json};
use crate::engine::release::locate;
use crate::failure::{Fails, Failure};

#[derive(Subcommand)]
pub enum Command {
    /// Say what a medium is and what was written into its reserved areas. Secrets are not shown.
    Inspect(Image),
    /// Write network settings and kernel arguments into a medium; nothing is packed anew.
    Customize(Customize),
    /// Make a medium what it was when it was built.
    Reset(Image),
    /// Check that a medium is the one of a release, whatever is in its reserved areas.
    Verify(Verify),
}

#[derive(Args)]
pub struct Image {
    /// The ISO image.
    #[arg(value_name = "ISO")]
    image: PathBuf,
}

#[derive(Args)]
pub struct Customize {
    #[command(flatten)]
    image: Image,
    /// Leave the ISO as it is and change a copy.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Argument for the kernel of the live system; may be repeated.
    #[arg(long = "kernel-argument", value_name = "ARGUMENT")]
    kernel_arguments: Vec<String>,
    /// NetworkManager connection for the live system; may be repeated.
    #[arg(long = "network-keyfile", value_name = "FILE")]
    network_keyfiles: Vec<PathBuf>,
    /// A host's view (JSON) instead of the one on the medium.
    #[arg(long, value_name = "FILE")]
    host_view: Option<PathBuf>,
}

#[derive(Args)]
pub struct Verify {
    #[command(flatten)]
    image: Image,
    /// Release directory; default: the newest of the cache.
    #[arg(long, value_name = "DIR")]
    release: Option<PathBuf>,
    /// Public key (minisign) that must have signed the release; default: the one beside it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl Command {
    pub fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Inspect(image) => image.inspect(output)?,
            Self::Customize(change) => change.run()?,
            Self::Reset(image) => {
                customize::reset(&image.image).failing(|| image.doing("resetting"))?;
            }
            Self::Verify(verify) => verify.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Image {
    fn doing(&self, what: &str) -> String {
        format!("{what} {}", self.image.display())
    }

    fn inspect(&self, output: Output) -> Result<(), Failure> {
        let found = customize::inspect(&self.image).failing(|| self.doing("reading"))?;
        let view = found.host_view.as_deref().map(shown_view).transpose()?;
        let used = |text: Option<&str>| text.map_or(0, str::len);
        let rooms = [
            ("host view", used(found.host_view.as_deref()), found.media.host_view.length),
            (
                "kernel arguments",
                found.kernel_arguments.join(" ").len(),
                found.media.kernel_arguments.first().map_or(0, |area| area.length),
            ),
        ];
        if output == Output::Json {
            return print_json(&serde_json::json!({
                "version": found.media.version,
                "hostView": view,
                "kernelArguments": found.kernel_arguments,
                "reserved": rooms.map(|(name, used, room)| serde_json::json!({"area": name, "used": used, "bytes": room})),
            }));
        }
        println!("Ashlar {}", found.media.version);
        for (name, used, room) in rooms {
            println!("{name:<17} {used} of {room} bytes used");
        }
        if !found.kernel_arguments.is_empty() {
            println!("\nkernel arguments  {}", found.kernel_arguments.join(" "));
        }
        if let Some(view) = view {
            println!("\n{}", serde_json::to_string_pretty(&view).unwrap_or_default());
        }
        Ok(())
    }
}

/// Without its token and without the secrets that network settings may hold.
fn shown_view(text: &str) -> Result<serde_json::Value, Failure> {
    let view: HostView = serde_json::from_str(text).failing(|| "understanding the host's view".into())?;
    let keyfiles: Vec<&String> = view.network_keyfiles.iter().map(|(name, _)| name).collect();
    Ok(serde_json::json!({
        "cluster": view.cluster,
        "host": view.host,
        "engineUrls": view.engine_urls,
        "token": if view.token.is_empty() { "none" } else { "there (not shown)" },
        "networkKeyfiles": keyfiles,
    }))
}

impl Customize {
    fn run(self) -> Result<(), Failure> {
        let source = &self.image.image;
        let found = customize::inspect(source).failing(|| self.image.doing("reading"))?;
        let view = self.view(found.host_view.as_deref())?;
        let arguments = if self.kernel_arguments.is_empty() {
            found.kernel_arguments
        } else {
            self.kernel_arguments.clone()
        };
        let target = self.to.as_ref().unwrap_or(source);
        if target != source {
            std::fs::copy(source, target).failing(|| format!("copying to {}", target.display()))?;
        }
        let text = match view {
            Some(view) => serde_json::to_vec(&view).failing(|| "writing the host's view".into())?,
            None => b"{}".to_vec(),
        };
        let changed = customize::customize(target, &text, &arguments);
        changed.failing(|| format!("changing {}", target.display()))
    }

    /// None for a medium that is nobody's and stays so.
    fn view(&self, present: Option<&str>) -> Result<Option<HostView>, Failure> {
        let given = self.host_view.as_ref().map(|path| read(path)).transpose()?;
        let text = given.as_deref().or(present);
        let parsed = text.map(serde_json::from_str::<HostView>).transpose();
        let mut view = parsed.failing(|| "understanding the host's view".into())?;
        if self.network_keyfiles.is_empty() {
            return Ok(view);
        }
        let view_of_all = view.get_or_insert_with(|| HostView {
            version: 1,
            cluster: String::new(),
            host: String::new(),
            engine_urls: Vec::new(),
            engine_ca_pem: String::new(),
            token: String::new(),
            network_keyfiles: Vec::new(),
            issued_at: 0,
        });
        for path in &self.network_keyfiles {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.ends_with(".nmconnection") {
                let failure = Failure::user(format!("{} is no keyfile by its name", path.display()));
                return Err(failure.hint("NetworkManager reads files that end with .nmconnection"));
            }
            view_of_all.network_keyfiles.retain(|(known, _)| *known != name);
            view_of_all.network_keyfiles.push((name, read(path)?));
        }
        Ok(view)
    }
}

impl Verify {
    fn run(self) -> Result<(), Failure> {
        let image = &self.image.image;
        let path = locate(self.release.as_deref())?;
        let key = self.key.as_ref().map(|path| read(path)).transpose()?;
        let release = directory::read_signed(&path, key.as_deref())
            .failing(|| format!("reading the release in {}", path.display()))?;
        let wanted = release.files.get(directory::MEDIUM);
        let wanted =
            wanted.ok_or_else(|| Failure::user(format!("release {} has no medium", release.version)))?;
        let (found, bytes) = customize::digest_as_built(image).failing(|| self.image.doing("reading"))?;
        if found == wanted.sha256 {
            println!("{} is the medium of release {}", image.display(), release.version);
            return Ok(());
        }
        let failure =
            Failure::user(format!("{} is not the medium of release {}", image.display(), release.version));
        let why = if bytes == wanted.bytes {
            format!("its contents differ: SHA-256 {found}, should be {}", wanted.sha256)
        } else {
            format!("it has {bytes} bytes, should have {}", wanted.bytes)
        };
        Err(failure.because(why).hint("copy it again, or name its own release with --release"))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).failing(|| format!("reading {}", path.display()))
}
