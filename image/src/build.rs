//! Builds a release: packages, initramfs and boot loader once; then what changes with every build.
//!
//! Every stage is cached by the hash of its inputs, its own code among them. When only our programs changed,
//! the work is: images, one commit of the changed files, disk image, squashfs, ISO.

mod inputs;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use ashlar_host::cmd;
use ashlar_model::release::{Image, Release};

use crate::commit::{self, Deploy, Deployment};
use crate::components::Layers;
use crate::images::{self, BuiltImage};
use crate::stage::{self, Key, cached};
use crate::system::{self, Programs};
use crate::{
    boot_loader, boot_menu, commit_signature, components, disk, initramfs, medium, minimal, packages,
    release, repository, sbom, squash, tree,
};

use inputs::{check_sandbox_image, prebuilt, programs_in, programs_key, stripped, upstream_key};

/// Kernel arguments of an installed disk.
const KERNEL_ARGUMENTS: &[&str] =
    &["root=LABEL=root", "rw", "systemd.gpt_auto=0", "console=tty0", "console=ttyS0,115200"];
/// `cache/release/<this>` leads to the newest release.
const NEWEST: &str = "dev";

/// What to build from, and where to keep it.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The repository.
    pub source_root: PathBuf,
    pub cache: PathBuf,
    /// Directory with our own programs.
    pub our_binaries: PathBuf,
    /// `ashlar-ignition` for the system and its initramfs, if not the one in `our_binaries`.
    pub ignition: Option<PathBuf>,
    /// Upstream programs as `<component>/<program>`, instead of compiling them.
    pub prebuilt: Option<PathBuf>,
    /// minisign secret key without password; one is made in the cache when there is none.
    pub signing_key: Option<PathBuf>,
    /// zstd level of the medium: 3 for speed, 19 for publishing.
    pub compression: u32,
    /// Version of the release; default: this program's.
    pub version: Option<String>,
    /// Files to add to the system, over its own: `usr/…` and `etc/…`.
    pub add: Option<PathBuf>,
    /// Versions of upstream components other than the default, by their names.
    pub components: BTreeMap<String, String>,
    /// A lock of Debian packages to build from.
    pub lock: Option<PathBuf>,
    /// Leave out programs that are not there, and container images if any is.
    pub allow_missing: bool,
}

/// One line about a stage of the build.
#[derive(Debug, Clone)]
pub struct Progress {
    pub stage: &'static str,
    pub message: String,
}

/// A finished release on disk.
#[derive(Debug, Clone)]
pub struct ReleaseDir {
    pub path: PathBuf,
    pub release: Release,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("programs are missing: {}\nhint: build them first (cargo build)", .0.join(", "))]
    Missing(Vec<&'static str>),
    #[error("{} does not name the sandbox image {image}", path.display())]
    Sandbox { path: PathBuf, image: String },
    #[error("there is no component `kubernetes` under layers/")]
    NoKubernetes,
    #[error("reading or writing {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("describing the release")]
    Describe(#[from] serde_json::Error),
    #[error("compiling the upstream components")]
    Components(#[from] components::Error),
    #[error("making the container images")]
    Images(#[from] images::Error),
    #[error("removing the symbols of {}", path.display())]
    Strip { path: PathBuf, source: cmd::Error },
    #[error("getting the Debian packages")]
    Fetch(#[from] packages::Error),
    #[error("installing the Debian packages")]
    Install(#[from] packages::InstallError),
    #[error("making the package tree")]
    Tree(#[from] tree::Error),
    #[error("making the initramfs")]
    Initramfs(#[from] initramfs::Error),
    #[error("making the boot loader")]
    BootLoader(#[from] boot_loader::Error),
    #[error("committing the system")]
    Commit(#[from] commit::Error),
    #[error("listing what the release is made of")]
    Sbom(#[from] sbom::Error),
    #[error("signing the commit of the system")]
    SignCommit(#[from] commit_signature::Error),
    #[error("putting the system together")]
    System(#[from] system::Error),
    #[error("making the disk image")]
    Disk(#[from] disk::Error),
    #[error("making the root filesystem file")]
    Squash(#[from] squash::Error),
    #[error("making the medium")]
    Medium(#[from] medium::Error),
    #[error("making the minimal medium")]
    Minimal(#[from] minimal::Error),
    #[error(transparent)]
    Repository(#[from] repository::Error),
    #[error("writing the release")]
    Release(#[from] release::Error),
    #[error("keeping build results")]
    Stage(#[from] stage::Error),
}

/// Builds the release, or finds it in the cache. One with a version, components or files of its own does not become
/// the newest.
///
/// # Errors
/// A stage fails; what the earlier ones made is kept.
pub async fn build_release(options: &BuildOptions, report: &dyn Fn(Progress)) -> Result<ReleaseDir, Error> {
    let build = Build::new(options, report).await?;
    let fetched = build.fetched().await?;
    let packages = build.packages(&fetched).await?;
    let loader = build.boot_loader(&packages).await?;
    let initramfs = build.initramfs(&packages).await?;
    let base = build.base(&packages).await?;
    let images = build.images(&packages)?.await?;
    let parts = ReleaseParts { fetched, packages, loader, initramfs, base, images };
    let path = build.release(&parts).await?;
    let release = release::read_signed(&path, None)?;
    if options.version.is_none() && options.add.is_none() && options.components.is_empty() {
        point_to(&options.cache.join("release").join(NEWEST), &path)?;
    }
    Ok(ReleaseDir { path, release })
}

/// A cached stage's directory and key.
struct Made {
    path: PathBuf,
    key: String,
}

struct ReleaseParts {
    fetched: Made,
    packages: Made,
    loader: Made,
    initramfs: Made,
    base: Made,
    images: Made,
}

type Bill = (sbom::Inventory, Vec<(String, sbom::Document)>);

struct Build<'a> {
    options: &'a BuildOptions,
    os: PathBuf,
    report: &'a dyn Fn(Progress),
    stage: RefCell<Option<(&'static str, Instant)>>,
    layers: Layers,
    upstream: Programs,
    upstream_key: String,
    ours: Programs,
    versions: BTreeMap<String, String>,
    /// Container images cannot be made.
    lacking: bool,
}

impl<'a> Build<'a> {
    async fn new(options: &'a BuildOptions, report: &'a dyn Fn(Progress)) -> Result<Self, Error> {
        let layers = Layers { dir: options.source_root.join("layers"), chosen: options.components.clone() };
        let upstream = match &options.prebuilt {
            Some(dir) => prebuilt(dir)?,
            None => {
                let told =
                    |message: &str| report(Progress { stage: "components", message: message.to_owned() });
                components::build(&layers, &options.cache, &told).await?
            }
        };
        let mut ours = programs_in(
            &options.our_binaries,
            &[system::OUR_PROGRAMS, system::OUR_MEDIUM_PROGRAMS, system::OUR_IMAGE_PROGRAMS].concat(),
        );
        ours.extend(options.ignition.iter().map(|path| ("ashlar-ignition".to_owned(), path.clone())));
        let missing = system::missing(&upstream, &ours);
        if !missing.is_empty() {
            if !options.allow_missing {
                return Err(Error::Missing(missing));
            }
            report(Progress { stage: "programs", message: format!("left out: {}", missing.join(", ")) });
        }
        let ours = stripped(&options.cache, &ours).await?;
        let upstream_key = upstream_key(&upstream)?;
        let versions = components::versions(&layers)?;
        let os = options.source_root.join("image/os");
        check_sandbox_image(&os, &versions)?;
        let lacking = missing
            .iter()
            .any(|name| !system::OUR_PROGRAMS.contains(name) && !system::OUR_MEDIUM_PROGRAMS.contains(name));
        Ok(Self {
            options,
            os,
            report,
            stage: RefCell::default(),
            layers,
            upstream,
            upstream_key,
            ours,
            versions,
            lacking,
        })
    }

    /// Not by the code that fetches: what was once chosen stays, until the list or the lock changes.
    async fn fetched(&self) -> Result<Made, Error> {
        let list = self.os.join("packages.txt");
        let wanted = packages::list(&list)?;
        let lock = self.options.lock.as_deref().map(packages::read_lock).transpose()?;
        let mut key = Key::new("packages").file(&list)?;
        if let Some(lock) = &self.options.lock {
            key = key.file(lock)?;
        }
        let key = key.finish();
        let known = stage::finished(&self.options.cache, "packages");
        let path = cached::<Error, _, _>(&self.options.cache, "packages", &key, async |dir| {
            self.start("packages", "fetching Debian packages");
            let told = |message: &str| self.tell("packages", message);
            packages::fetch(&wanted, lock.as_ref(), &known, &dir, &told).await?;
            self.finish();
            Ok(())
        })
        .await?;
        if let Some(lock) = lock {
            for difference in lock.differences(&packages::read_lock(&path.join(packages::LOCK))?) {
                self.tell("packages", &difference.to_string());
            }
        }
        Ok(Made { path, key })
    }

    async fn packages(&self, fetched: &Made) -> Result<Made, Error> {
        let lock = fetched.path.join(packages::LOCK);
        let key = Key::new(include_str!("packages/install.rs"))
            .file(&lock)?
            .file(&self.os.join("finish-packages.sh"))?
            .finish();
        let lock = packages::read_lock(&lock)?;
        let path = cached::<Error, _, _>(&self.options.cache, "tree", &key, async |dir| {
            self.start("packages", "installing Debian packages");
            let told = |message: &str| self.tell("packages", message);
            packages::install(&fetched.path, &lock, &self.os, &dir.join("root"), &told).await?;
            self.finish();
            Ok(())
        })
        .await?;
        Ok(Made { path: path.join("root"), key })
    }

    async fn boot_loader(&self, packages: &Made) -> Result<Made, Error> {
        let key = Key::new(include_str!("boot_loader.rs")).text(&packages.key).finish();
        let path = cached::<Error, _, _>(&self.options.cache, "boot-loader", &key, async |dir| {
            self.start("boot loader", "making GRUB images");
            boot_loader::make(&packages.path, &dir).await?;
            self.finish();
            Ok(())
        })
        .await?;
        Ok(Made { path, key })
    }

    async fn initramfs(&self, packages: &Made) -> Result<Made, Error> {
        let key = Key::new("dracut, modules unpacked")
            .text(&packages.key)
            .tree(&self.os.join("dracut"))?
            .tree(&self.os.join("root/usr/lib/ostree"))?
            .finish();
        let path = cached::<Error, _, _>(&self.options.cache, "initramfs", &key, async |dir| {
            self.start("initramfs", "running dracut");
            let kernel = tree::kernel_version(&packages.path)?;
            initramfs::make_base(&packages.path, &kernel, &self.os, &dir).await?;
            self.finish();
            Ok(())
        })
        .await?;
        Ok(Made { path: path.join("initramfs.img"), key })
    }

    async fn base(&self, packages: &Made) -> Result<Made, Error> {
        let key = Key::new(include_str!("tree.rs")).text(include_str!("repository.rs")).text(&packages.key);
        let key = key.tree(&self.os.join("root"))?.finish();
        let path = cached::<Error, _, _>(&self.options.cache, "base", &key, async |dir| {
            self.start("base", "committing the package tree");
            tree::make_system(&packages.path, &self.os, &dir.join("tree")).await?;
            commit::commit_base(&packages.path, &dir, "tree").await?;
            repository::pack_base(&packages.path, &dir).await?;
            fs::remove_dir_all(dir.join("tree")).or_else(ignore_missing).map_err(file(&dir.join("tree")))?;
            self.finish();
            Ok(())
        })
        .await?;
        Ok(Made { path, key })
    }

    fn images(&self, packages: &Made) -> Result<impl Future<Output = Result<Made, Error>>, Error> {
        let mut key = Key::new(include_str!("images.rs")).text(include_str!("oci.rs")).text(&packages.key);
        key = key.text(&self.upstream_key).text(&self.lacking.to_string());
        for name in system::OUR_IMAGE_PROGRAMS {
            if let Some(path) = self.ours.get(*name) {
                key = key.file(path)?;
            }
        }
        let key = key.finish();
        let packages = packages.path.clone();
        Ok(async move {
            let path = cached::<Error, _, _>(&self.options.cache, "images", &key, async |dir| {
                self.start("images", "packing container images");
                let built = if self.lacking {
                    Vec::new()
                } else {
                    images::build_all(&self.upstream, &self.versions, &packages, &self.ours, &dir)?
                };
                write_images(&dir, &built)?;
                self.finish();
                Ok(())
            })
            .await?;
            Ok(Made { path, key })
        })
    }

    async fn release(&self, parts: &ReleaseParts) -> Result<PathBuf, Error> {
        let signing_key = self.signing_key()?;
        let mut key = Key::new(include_str!("build.rs"))
            .text(include_str!("system.rs"))
            .text(include_str!("initramfs.rs"))
            .text(include_str!("commit.rs"))
            .text(include_str!("commit_signature.rs"))
            .text(include_str!("disk.rs"))
            .text(&boot_menu::configuration())
            .text(include_str!("squash.rs"))
            .text(include_str!("sbom/spdx.rs"))
            .text(include_str!("sbom/licence.rs"))
            .file(&self.options.source_root.join("Cargo.lock"))?
            .text(include_str!("medium.rs"))
            .text(include_str!("minimal.rs"));
        for made in
            [&parts.fetched, &parts.packages, &parts.loader, &parts.initramfs, &parts.base, &parts.images]
        {
            key = key.text(&made.key);
        }
        key = programs_key(key.text(&self.upstream_key), &self.ours)?.file(&signing_key)?;
        if let Some(add) = &self.options.add {
            key = key.tree(add)?;
        }
        let key = key.text(&self.options.compression.to_string()).text(self.version()).finish();
        cached(&self.options.cache, "release", &key, async |dir| {
            self.make_release(parts, &signing_key, &dir).await
        })
        .await
    }

    async fn make_release(&self, parts: &ReleaseParts, key: &Path, dir: &Path) -> Result<(), Error> {
        let work = dir.join("work");
        let content = work.join("content");
        fs::create_dir_all(&content).map_err(file(&content))?;
        let images = read_images(&parts.images.path)?;
        let bill = self.bill(parts).await?;
        let deployment = self.deploy(parts, &images, &bill, &work).await?;
        let boot = work.join("sysroot.boot");
        self.start("repository", "packing what nodes update from");
        let (sysroot, repository) = (work.join("sysroot"), dir.join(repository::DIRECTORY));
        let (packages, base) = (&parts.packages.path, &parts.base.path);
        repository::publish(packages, &self.options.cache, base, &sysroot, &repository).await?;

        self.start("disk", "writing the disk image");
        let disk =
            disk::make(packages, &sysroot, &parts.loader.path, &content.join(squash::DISK_IMAGE)).await?;
        write_json(&content.join(squash::DISK_MANIFEST), &disk)?;
        let mut release = self.describe(parts, &deployment, &images)?;
        // The manifest has the hashes of the disk image.
        release.files = release::describe(&content, &[squash::DISK_MANIFEST.into()])?;
        write_json(&content.join(squash::RELEASE), &release)?;

        self.start("medium", "compressing the root filesystem");
        let root_filesystem = work.join("rootfs.squashfs");
        squash::make(&content, &root_filesystem, self.options.compression).await?;
        self.start("medium", "writing the ISO image");
        let image = dir.join(release::MEDIUM);
        let root = disk.partitions.iter().find(|partition| partition.name == disk::ROOT);
        let medium_parts = medium::Parts {
            version: self.version(),
            kernel: &boot.join(&deployment.kernel),
            initramfs: &boot.join(&deployment.initramfs),
            loader: &parts.loader.path,
            root: root.ok_or(Error::NoKubernetes)?,
            deployment: &deployment.path,
        };
        let full = medium::make(&medium_parts, &root_filesystem, &work, &image).await?;
        self.start("medium", "writing the minimal ISO image");
        let minimal_parts = minimal::Parts {
            common: medium_parts,
            full: &full,
            root_filesystem: &root_filesystem,
            ours: &self.ours,
        };
        minimal::make(&minimal_parts, &work, &dir.join(release::MINIMAL_MEDIUM)).await?;

        self.start("release", "hashing and signing");
        let mut names =
            vec![release::MEDIUM.to_owned(), release::MINIMAL_MEDIUM.to_owned(), packages::LOCK.to_owned()];
        let lock = dir.join(packages::LOCK);
        fs::copy(parts.fetched.path.join(packages::LOCK), &lock).map_err(file(&lock))?;
        for (name, _) in &bill.1 {
            names.push(format!("{}/{name}", sbom::FOLDER));
        }
        names.push(format!("{}/{}", sbom::FOLDER, sbom::LICENCES));
        sbom::write(&dir.join(sbom::FOLDER), &bill.1, &bill.0)?;
        for name in system::CLIENT_TOOLS {
            if let Some(from) = self.upstream.get(*name) {
                system::place_program(from, &dir.join("bin").join(name))?;
                names.push(format!("bin/{name}"));
            }
        }
        release.files = release::describe(dir, &names)?;
        release::sign(dir, &release, key)?;
        fs::remove_dir_all(&work).map_err(file(&work))?;
        self.finish();
        Ok(())
    }

    /// What the release is made of.
    async fn bill(&self, parts: &ReleaseParts) -> Result<Bill, Error> {
        self.start("system", "listing what it is made of");
        let lock = packages::read_lock(&parts.fetched.path.join(packages::LOCK))?;
        let sources = sbom::Sources {
            root: &self.options.source_root,
            tree: &parts.packages.path,
            lock: &lock,
            upstream: &self.upstream,
            ours: &self.ours,
            components: &components::makers(&self.layers)?,
            versions: &self.versions,
            version: self.version(),
            with_images: !self.lacking,
        };
        Ok(sbom::collect(&sources).await?)
    }

    async fn deploy(
        &self,
        parts: &ReleaseParts,
        images: &[BuiltImage],
        bill: &Bill,
        work: &Path,
    ) -> Result<Deployment, Error> {
        self.start("system", "adding programs and container images");
        let late = work.join("late");
        let kernel = tree::kernel_version(&parts.packages.path)?;
        let system_parts = system::Parts {
            upstream: &self.upstream,
            ours: &self.ours,
            images,
            initramfs: &parts.initramfs.path,
            kernel: &kernel,
            version: self.version(),
        };
        system::assemble(&system_parts, &late)?;
        let key = self.signing_key()?;
        release::write_public_key(&key, &late.join(release::TRUSTED_KEY))?;
        commit_signature::trust(&key, &late)?;
        sbom::write(&late.join("usr/share/ashlar").join(sbom::FOLDER), &bill.1, &bill.0)?;
        if let Some(add) = &self.options.add {
            tree::add(add, &late)?;
        }
        self.start("system", "committing and deploying");
        let deploy = Deploy {
            packages: &parts.packages.path,
            cache: &self.options.cache,
            base: &parts.base.path,
            late: &late,
            tools: &self.os.join("root/usr/libexec/ashlar"),
            sysroot: &work.join("sysroot"),
            version: self.version(),
            kernel_arguments: KERNEL_ARGUMENTS,
        };
        let deployment = commit::deploy(&deploy).await?;
        commit_signature::sign(&key, &deploy.sysroot.join("ostree/repo"), &deployment.commit)?;
        Ok(deployment)
    }

    fn describe(
        &self,
        parts: &ReleaseParts,
        deployment: &Deployment,
        images: &[BuiltImage],
    ) -> Result<Release, Error> {
        let kubernetes = self.versions.get("kubernetes").ok_or(Error::NoKubernetes)?;
        let images = images.iter().map(|image| Image {
            name: image.reference.clone(),
            file: image.archive.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            digest: image.digest.clone(),
        });
        Ok(Release {
            format: 1,
            version: self.version().to_owned(),
            kubernetes_version: kubernetes.trim_start_matches('v').to_owned(),
            ostree_commit: deployment.commit.clone(),
            images: images.collect(),
            files: BTreeMap::new(),
            packages: tree::package_versions(&parts.packages.path)?,
        })
    }

    fn signing_key(&self) -> Result<PathBuf, Error> {
        if let Some(key) = &self.options.signing_key {
            return Ok(key.clone());
        }
        let key = self.options.cache.join("keys/release.key");
        release::ensure_key(&key)?;
        Ok(key)
    }

    fn version(&self) -> &str {
        self.options.version.as_deref().unwrap_or(env!("CARGO_PKG_VERSION"))
    }

    fn start(&self, stage: &'static str, message: &str) {
        self.finish();
        self.tell(stage, message);
        *self.stage.borrow_mut() = Some((stage, Instant::now()));
    }

    fn finish(&self) {
        if let Some((stage, since)) = self.stage.borrow_mut().take() {
            self.tell(stage, &format!("done in {:.1} s", since.elapsed().as_secs_f64()));
        }
    }

    fn tell(&self, stage: &'static str, message: &str) {
        (self.report)(Progress { stage, message: message.to_owned() });
    }
}

const IMAGE_LIST: &str = "images.json";

fn write_images(dir: &Path, images: &[BuiltImage]) -> Result<(), Error> {
    let row = |image: &BuiltImage| {
        let name = image.archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (image.reference.clone(), image.digest.clone(), name, image.size)
    };
    write_json(&dir.join(IMAGE_LIST), &images.iter().map(row).collect::<Vec<_>>())
}

fn read_images(dir: &Path) -> Result<Vec<BuiltImage>, Error> {
    let path = dir.join(IMAGE_LIST);
    let rows: Vec<(String, String, String, u64)> =
        serde_json::from_slice(&fs::read(&path).map_err(file(&path))?)?;
    let image = |(reference, digest, name, size)| BuiltImage {
        reference,
        digest,
        archive: dir.join::<String>(name),
        size,
    };
    Ok(rows.into_iter().map(image).collect())
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), Error> {
    fs::write(path, serde_json::to_vec(value)?).map_err(file(path))
}

/// Replaces the link in one step.
fn point_to(link: &Path, target: &Path) -> Result<(), Error> {
    let new = link.with_extension("new");
    let name = target.file_name().unwrap_or_default();
    fs::remove_file(&new).or_else(ignore_missing).map_err(file(&new))?;
    std::os::unix::fs::symlink(name, &new).and_then(|()| fs::rename(&new, link)).map_err(file(link))
}

fn ignore_missing(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}
