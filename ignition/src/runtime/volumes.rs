//! LUKS volumes of the disks stage: made, or opened again when they are those of the configuration.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::devices::{not_in_use, not_the_systems, settle, wait_for};
use super::disks::{Disks, fail, is_empty, probe, refuse, run};
use super::report::Failure;
use crate::disks::commands;
use crate::resource::Source;
use crate::spec::{Luks, Resource};

/// Key files live here until the root file system is there; never on a disk.
pub(super) const KEYS: &str = "/run/ashlar-ignition/luks";

/// The key file of a volume.
struct Key {
    path: String,
    /// Made here, known to nobody else.
    own: bool,
}

impl Disks<'_> {
    pub(super) async fn luks(&self, luks: &Luks) -> Result<(), Failure> {
        let name = luks.device.clone().unwrap_or_default();
        let device = wait_for(&name).await?;
        let mapped = Path::new("/dev/mapper").join(&luks.name);
        if mapped.exists() {
            (self.say)(&format!("{}: the volume is open already", mapped.display()));
            return Ok(());
        }
        let key = self.key_file(luks).await?;
        // Made by a run that a power cut ended: its key may be lost, and nothing of the user's is in it.
        let wipe = luks.wipe_volume == Some(true) || self.marks.has(&name);
        let found = probe(&name, &device).await?;
        if !wipe && found.get("TYPE").is_some_and(|kind| kind == "crypto_LUKS") {
            return self.open_again(luks, &name, &key, &found).await;
        }
        not_the_systems(&name, &device)?;
        not_in_use(&name, &device, true, &[])?;
        if !wipe {
            is_empty(&name, &device, "set wipeVolume, or name another device").await?;
        }
        self.marks.set(&name)?;
        run("wipefs", vec!["--all".to_owned(), name.clone()], &name).await?;
        run("cryptsetup", commands::luks_format(luks, &key.path), &name).await?;
        run("cryptsetup", commands::luks_open(luks, &key.path), &name).await?;
        self.bind(luks, &name, &key).await?;
        settle().await;
        wait_for(&mapped.display().to_string()).await.map(drop)
    }

    async fn open_again(
        &self,
        luks: &Luks,
        name: &str,
        key: &Key,
        found: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        let dump = ["luksDump", "--dump-json-metadata", name].map(str::to_owned).into();
        let other = |why: String| refuse(name, &why, "set wipeVolume, or correct the entry");
        if found.get("VERSION").is_some_and(|version| version != "2") {
            return Err(other(
                "a LUKS volume of version 1 is there; only version 2 is used again".to_owned(),
            ));
        }
        let dump: Value = serde_json::from_str(&run("cryptsetup", dump, name).await?).unwrap_or_default();
        if let Some(why) = difference(luks, key.own, found, &dump) {
            return Err(other(format!("a LUKS volume is there, and {why}")));
        }
        run("cryptsetup", commands::luks_open(luks, &key.path), name).await.map(drop)
    }

    /// Binds to the pins; a key that was made for it alone is then removed.
    async fn bind(&self, luks: &Luks, name: &str, key: &Key) -> Result<(), Failure> {
        let bind = commands::clevis_bind(luks, &key.path)
            .map_err(|error| fail(name, &error, "correct the advertisement of the Tang server"))?;
        let Some(arguments) = bind else { return Ok(()) };
        // Fetched here for the sake of waiting: clevis gives up at once.
        for url in commands::advertisements(luks) {
            let resource = Resource { source: Some(url.clone()), ..Resource::default() };
            self.fetcher.fetch(&self.settings.request(&resource, &url, false)).await?;
        }
        run("clevis", arguments, name).await?;
        if commands::can_be_tried(luks) {
            run("cryptsetup", vec!["luksClose".to_owned(), luks.name.clone()], name).await?;
            let unlock = ["luks", "unlock", "-d", name, "-n", &luks.name].map(str::to_owned);
            run("clevis", unlock.into(), name).await?;
        }
        if key.own {
            let remove = ["luksRemoveKey", name, &key.path].map(str::to_owned);
            run("cryptsetup", remove.into(), name).await?;
            fs::remove_file(&key.path).map_err(|error| fail(name, &error, "check /run"))?;
        }
        Ok(())
    }

    async fn key_file(&self, luks: &Luks) -> Result<Key, Failure> {
        let io = |error: io::Error| fail(&luks.name, &error, "check /run");
        let folder = Path::new(KEYS);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
        let path: PathBuf = folder.join(&luks.name);
        let named = |own| Key { path: path.display().to_string(), own };
        let given =
            luks.key_file.as_ref().filter(|key| key.source.as_ref().is_some_and(|source| !source.is_empty()));
        if given.is_none() && path.exists() {
            return Ok(named(true));
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&path).map_err(io)?;
        match given.map(|key| Source::of(key, self.settings)) {
            None => {
                let mut key = vec![0; 4096];
                let mut random = fs::File::open("/dev/urandom").map_err(io)?;
                random.read_exact(&mut key).and_then(|()| file.write_all(&key)).map_err(io)?;
                Ok(named(true))
            }
            Some(Ok(Source::Bytes(bytes))) => file.write_all(&bytes).map_err(io).map(|()| named(false)),
            Some(Ok(Source::Remote { request, wanted })) => {
                self.fetcher.fetch_into(&request, &wanted, &mut file).await.map(|()| named(false))
            }
            Some(Err(error)) => Err(fail(&luks.name, &error, "correct keyFile")),
        }
    }
}

/// In what a volume that is there is not that of the configuration, as the reference judges it.
fn difference(luks: &Luks, own_key: bool, found: &BTreeMap<String, String>, dump: &Value) -> Option<String> {
    if own_key || commands::uses_clevis(luks) {
        return Some("only one with the key file of the configuration can be used again".to_owned());
    }
    for (key, wanted) in [("LABEL", &luks.label), ("UUID", &luks.uuid)] {
        let found = found.get(key).map_or("", String::as_str);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| !wanted.is_empty() && *wanted != found) {
            return Some(format!("its {} is `{found}`, not `{wanted}`", key.to_lowercase()));
        }
    }
    let flags = dump["config"]["flags"].as_array();
    let discards = flags.is_some_and(|flags| flags.iter().any(|flag| flag == "allow-discards"));
    let wanted = luks.discard == Some(true);
    (discards != wanted).then(|| format!("it says {discards} for discard, not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_volume_is_used_again_when_nothing_of_it_differs() {
        let luks = |more: Value| -> Luks {
            let mut value =
                json!({"name": "data", "device": "/dev/vda4", "keyFile": {"source": "data:,key"}});
            value.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
            serde_json::from_value(value).expect("a volume")
        };
        let found: BTreeMap<String, String> =
            [("LABEL", "l"), ("UUID", "u")].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let dump = json!({"config": {"flags": ["allow-discards"]}});
        let why = |more: Value, own| difference(&luks(more), own, &found, &dump);
        assert_eq!(why(json!({"discard": true, "label": "l", "uuid": "u"}), false), None);
        assert!(why(json!({"discard": true}), true).is_some_and(|why| why.contains("key file")));
        assert!(why(json!({"discard": true, "clevis": {"tpm2": true}}), false).is_some());
        assert!(why(json!({"discard": true, "label": "x"}), false).is_some_and(|why| why.contains("`x`")));
        assert!(why(json!({"discard": true, "uuid": "x"}), false).is_some());
        assert!(why(json!({}), false).is_some_and(|why| why.contains("discard")));
    }
}
