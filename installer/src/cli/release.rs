//! `ashlar release build|show|verify|delta|serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use ashlar_image::{BuildOptions, build_release, delta, release as directory};
use clap::{Args, Subcommand};

use super::{Output, print_json, table};
use crate::engine::release::{cache, locate};
use crate::failure::{Fails, Failure};

#[derive(Subcommand)]
pub enum Command {
    /// Build a release from this repository (root, Debian).
    Build(Build),
    /// Say what is in a release.
    Show(Which),
    /// Check a release's signature and every one of its files.
    Verify(Which),
    /// Add to a release what its system has over another release's, for nodes that have that one.
    Delta(Delta),
    /// Give a release to nodes that are updated (`ashlar node os stage http://…`).
    Serve(Serve),
}

#[derive(Args)]
pub struct Build {
    /// The repository.
    #[arg(long, value_name = "DIR", default_value = ".")]
    source: PathBuf,
    /// Directory with our own programs; default: where this one is.
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// `ashlar-ignition` as it is to ship: small (`cargo build --profile initramfs`); default: the one with the others.
    #[arg(long, value_name = "FILE")]
    ignition: Option<PathBuf>,
    /// Upstream programs as COMPONENT/PROGRAM, instead of compiling them.
    #[arg(long, value_name = "DIR")]
    prebuilt: Option<PathBuf>,
    /// minisign secret key without password; default: one is made in the cache.
    #[arg(long, value_name = "FILE")]
    signing_key: Option<PathBuf>,
    /// zstd level of the medium: 3 for speed, 19 for publishing.
    #[arg(long, value_name = "LEVEL", default_value_t = 3)]
    compression: u32,
    /// Version of the release; default: this program's.
    #[arg(long, value_name = "VERSION")]
    release_version: Option<String>,
    /// Version of Kubernetes, if not the default: one that `layers/control-plane/kubernetes` has.
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<String>,
    /// Files to add to the operating system: a folder with `usr` and `etc`.
    #[arg(long, value_name = "DIR")]
    add: Option<PathBuf>,
    /// Take the Debian packages of this lock (`packages.lock.json` of a release) while they can be had.
    #[arg(long, value_name = "FILE")]
    lock: Option<PathBuf>,
}

#[derive(Args)]
pub struct Which {
    /// Release directory; default: the newest of the cache.
    #[arg(value_name = "DIR")]
    release: Option<PathBuf>,
    /// Public key (minisign) that must have signed it; default: the one beside it.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

#[derive(Args)]
pub struct Delta {
    /// Directory of the release that nodes have.
    #[arg(long, value_name = "DIR")]
    from: PathBuf,
    #[command(flatten)]
    which: Which,
}

impl Delta {
    async fn run(self, output: Output) -> Result<(), Failure> {
        let path = locate(self.which.release.as_deref())?;
        let trusted = self.which.trusted()?;
        let signed = |path: &PathBuf| {
            directory::read_signed(path, trusted.as_deref())
                .failing(|| format!("reading the release in {}", path.display()))
        };
        let from = locate(Some(&self.from))?;
        let (old, new) = (signed(&from)?, signed(&path)?);
        eprintln!("comparing {} with {}: a minute, or more when much has changed", new.version, old.version);
        let old = delta::System { release: &from, commit: &old.ostree_commit };
        let new = delta::System { release: &path, commit: &new.ostree_commit };
        let made = delta::make(&cache(), old, new).await;
        let made = made.failing(|| format!("adding a delta to the release in {}", path.display()))?;
        if output == Output::Json {
            return print_json(&made);
        }
        println!("delta    {:>12} bytes", made.bytes);
        println!("objects  {:>12} bytes in {} files, without it", made.object_bytes, made.objects);
        Ok(())
    }
}

#[derive(Args)]
pub struct Serve {
    #[command(flatten)]
    which: Which,
    /// Address and port to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:6182")]
    listen: SocketAddr,
}

impl Serve {
    /// Until interrupted. What is served is signed and checked by who takes it: no TLS is needed for that.
    async fn run(self) -> Result<(), Failure> {
        let path = locate(self.which.release.as_deref())?;
        let release = directory::read_signed(&path, self.which.trusted()?.as_deref())
            .failing(|| format!("reading the release in {}", path.display()))?;
        let address = self.listen;
        let listener = tokio::net::TcpListener::bind(address).await;
        let listener = listener.failing(|| format!("listening on {address}"))?;
        eprintln!("release {} is served on http://{address}/ (end with Ctrl-C)", release.version);
        let app = axum::Router::new().fallback_service(tower_http::services::ServeDir::new(&path));
        let interrupted = async { drop(tokio::signal::ctrl_c().await) };
        let served = axum::serve(listener, app).with_graceful_shutdown(interrupted).await;
        served.failing(|| "serving the release".into())
    }
}

impl Command {
    pub async fn run(self, output: Output) -> Result<ExitCode, Failure> {
        match self {
            Self::Build(arguments) => arguments.run(output).await?,
            Self::Show(which) => which.show(output)?,
            Self::Verify(which) => which.verify()?,
            Self::Delta(arguments) => arguments.run(output).await?,
            Self::Serve(serve) => serve.run().await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Build {
    async fn run(self, output: Output) -> Result<(), Failure> {
        let own = std::env::current_exe().failing(|| "finding this program".into())?;
        let beside = own.parent().map(PathBuf::from).unwrap_or_default();
        let options = BuildOptions {
            source_root: std::fs::canonicalize(&self.source)
                .failing(|| format!("finding the repository {}", self.source.display()))?,
            cache: cache(),
            our_binaries: self.programs.unwrap_or(beside),
            ignition: self.ignition,
            prebuilt: self.prebuilt,
            signing_key: self.signing_key,
            compression: self.compression,
            version: self.release_version,
            add: self.add,
            components: self
                .kubernetes
                .map(|version| ("kubernetes".to_owned(), version))
                .into_iter()
                .collect(),
            lock: self.lock,
            allow_missing: false,
        };
        let start = Instant::now();
        let report = |progress: ashlar_image::Progress| {
            eprintln!("[{:>6.1} s] {}: {}", start.elapsed().as_secs_f64(), progress.stage, progress.message);
        };
        let built = build_release(&options, &report).await.failing(|| "building the release".into())?;
        eprintln!("release {} is ready after {:.1} s", built.release.version, start.elapsed().as_secs_f64());
        match output {
            Output::Text => println!("{}", built.path.display()),
            Output::Json => print_json(&serde_json::json!({"path": built.path, "release": built.release}))?,
        }
        Ok(())
    }
}

impl Which {
    fn trusted(&self) -> Result<Option<String>, Failure> {
        let read =
            |path: &PathBuf| std::fs::read_to_string(path).failing(|| format!("reading {}", path.display()));
        self.key.as_ref().map(read).transpose()
    }

    fn show(&self, output: Output) -> Result<(), Failure> {
        let path = locate(self.release.as_deref())?;
        let release = directory::read_signed(&path, self.trusted()?.as_deref())
            .failing(|| format!("reading the release in {}", path.display()))?;
        if output == Output::Json {
            return print_json(&release);
        }
        println!("{}\n", path.display());
        println!("version     {}\nKubernetes  {}", release.version, release.kubernetes_version);
        println!("OS commit   {}\npackages    {}\n", release.ostree_commit, release.packages.len());
        let files: Vec<Vec<String>> = release
            .files
            .iter()
            .map(|(name, file)| {
                vec![name.clone(), format!("{} MB", file.bytes / 1_000_000), file.sha256.clone()]
            })
            .collect();
        println!("{}", table::table(&["FILE", "SIZE", "SHA-256"], &files));
        let images: Vec<Vec<String>> =
            release.images.iter().map(|image| vec![image.name.clone(), image.digest.clone()]).collect();
        print!("{}", table::table(&["IMAGE", "DIGEST"], &images));
        Ok(())
    }

    fn verify(&self) -> Result<(), Failure> {
        let path = locate(self.release.as_deref())?;
        let release = directory::verify(&path, self.trusted()?.as_deref()).map_err(|error| {
            Failure::user(format!("the release in {} must not be used", path.display())).because(error)
        })?;
        println!(
            "{}: release {}, {} files, all as signed",
            path.display(),
            release.version,
            release.files.len()
        );
        if self.key.is_none() {
            eprintln!(
                "note: checked with the key beside it, which proves only that nothing broke on the way; --key FILE"
            );
        }
        Ok(())
    }
}
