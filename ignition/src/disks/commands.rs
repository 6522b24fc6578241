//! The commands that make RAID arrays, LUKS volumes and filesystems: arguments only.

use serde_json::{Map, Value, json};

use crate::spec::{Clevis, Filesystem, Luks, Raid};

pub fn mdadm_create(raid: &Raid) -> Vec<String> {
    let devices = raid.devices.as_deref().unwrap_or_default();
    let spares = raid.spares.and_then(|spares| usize::try_from(spares).ok()).unwrap_or(0);
    let mut arguments = texts(&["--create", &raid.name, "--force", "--run", "--homehost", "any", "--level"]);
    arguments.push(raid.level.clone().unwrap_or_default());
    arguments.extend(["--raid-devices".to_owned(), devices.len().saturating_sub(spares).to_string()]);
    if spares > 0 {
        arguments.extend(["--spare-devices".to_owned(), spares.to_string()]);
    }
    arguments.extend(raid.options.iter().flatten().cloned());
    arguments.extend(devices.iter().cloned());
    arguments
}

pub fn luks_format(luks: &Luks, key_file: &str) -> Vec<String> {
    let mut arguments = texts(&["luksFormat", "--batch-mode", "--type", "luks2", "--key-file", key_file]);
    for (name, value) in [("--label", &luks.label), ("--uuid", &luks.uuid)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            arguments.extend(texts(&[name, value]));
        }
    }
    arguments.extend(luks.options.iter().flatten().cloned());
    arguments.extend(luks.device.clone());
    arguments
}

/// Settings of opening are kept in the volume's header.
pub fn luks_open(luks: &Luks, key_file: &str) -> Vec<String> {
    let device = luks.device.as_deref().unwrap_or("");
    let mut arguments = texts(&["luksOpen", device, &luks.name, "--key-file", key_file, "--persistent"]);
    if luks.discard == Some(true) {
        arguments.push("--allow-discards".to_owned());
    }
    arguments.extend(luks.open_options.iter().flatten().cloned());
    arguments
}

/// `clevis luks bind`, when the volume has pins.
///
/// # Errors
/// An advertisement that is no JSON.
pub fn clevis_bind(luks: &Luks, key_file: &str) -> Result<Option<Vec<String>>, serde_json::Error> {
    let Some((pin, config)) = luks.clevis.as_ref().map(pin).transpose()?.flatten() else { return Ok(None) };
    let device = luks.device.as_deref().unwrap_or("");
    Ok(Some(texts(&["luks", "bind", "-f", "-k", key_file, "-d", device, &pin, &config])))
}

/// The pin and its configuration: what is given, or Shamir's sharing among Tang servers and the TPM.
fn pin(clevis: &Clevis) -> Result<Option<(String, String)>, serde_json::Error> {
    let custom = clevis.custom.clone().unwrap_or_default();
    if let Some(pin) = custom.pin.filter(|pin| !pin.is_empty()) {
        return Ok(Some((pin, custom.config.unwrap_or_default())));
    }
    let mut pins = Map::new();
    let mut servers = Vec::new();
    for tang in clevis.tang.iter().flatten() {
        let mut server = json!({"url": tang.url, "thp": tang.thumbprint});
        if let Some(text) = tang.advertisement.as_deref().filter(|text| !text.is_empty()) {
            server["adv"] = serde_json::from_str(text)?;
        }
        servers.push(server);
    }
    if !servers.is_empty() {
        pins.insert("tang".to_owned(), Value::Array(servers));
    }
    if clevis.tpm2 == Some(true) {
        pins.insert("tpm2".to_owned(), json!({}));
    }
    if pins.is_empty() {
        return Ok(None);
    }
    let threshold = clevis.threshold.filter(|threshold| *threshold > 0).unwrap_or(1);
    Ok(Some(("sss".to_owned(), json!({"pins": pins, "t": threshold}).to_string())))
}

/// Where the advertisements of Tang servers are that the configuration does not hold.
pub fn advertisements(luks: &Luks) -> Vec<String> {
    let servers = luks.clevis.iter().flat_map(|clevis| clevis.tang.iter().flatten());
    let absent = servers.filter(|tang| tang.advertisement.as_deref().is_none_or(str::is_empty));
    absent.filter_map(|tang| Some(format!("{}/adv", tang.url.as_deref()?.trim_end_matches('/')))).collect()
}

/// True when enough pins can be reached now to open the volume by them, for a trial.
pub fn can_be_tried(luks: &Luks) -> bool {
    let Some(clevis) = &luks.clevis else { return false };
    let pins = advertisements(luks).len() + usize::from(clevis.tpm2 == Some(true));
    let threshold = clevis.threshold.and_then(|threshold| usize::try_from(threshold).ok()).unwrap_or(1);
    pins >= threshold.max(1)
}

/// True when opening the volume needs the network.
pub fn needs_network(luks: &Luks) -> bool {
    let Some(clevis) = &luks.clevis else { return false };
    clevis.tang.as_ref().is_some_and(|tang| !tang.is_empty())
        || clevis.custom.as_ref().is_some_and(|custom| custom.needs_network == Some(true))
}

pub fn uses_clevis(luks: &Luks) -> bool {
    luks.clevis.as_ref().is_some_and(|clevis| matches!(pin(clevis), Ok(Some(_)) | Err(_)))
}

pub fn crypttab_line(luks: &Luks, uuid: &str) -> String {
    let key = if uses_clevis(luks) { "none".to_owned() } else { format!("/etc/luks/{}", luks.name) };
    let network = if needs_network(luks) { ",_netdev" } else { "" };
    format!("{} UUID={uuid} {key} luks{network}\n", luks.name)
}

/// Program and arguments; nothing for formats that are not made.
pub fn make_filesystem(entry: &Filesystem) -> Option<(&'static str, Vec<String>)> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (label, uuid) = (given(&entry.label), given(&entry.uuid));
    let (program, force, label_flag, uuid_flag): (_, &[&str], _, _) = match entry.format.as_deref()? {
        "ext4" => ("mkfs.ext4", &["-F"], "-L", "-U"),
        "xfs" => ("mkfs.xfs", &["-f"], "-L", "-m"),
        "btrfs" => ("mkfs.btrfs", &["--force"], "-L", "-U"),
        "vfat" => ("mkfs.fat", &[], "-n", "-i"),
        "swap" => ("mkswap", &[], "-L", "-U"),
        _ => return None,
    };
    let mut arguments: Vec<String> = entry.options.iter().flatten().cloned().collect();
    arguments.extend(texts(force));
    if let Some(uuid) = uuid {
        let value = match program {
            "mkfs.xfs" => format!("uuid={uuid}"),
            // FAT has a number of four bytes.
            "mkfs.fat" => uuid.replace('-', ""),
            _ => uuid,
        };
        arguments.extend([uuid_flag.to_owned(), value]);
    }
    if let Some(label) = label {
        arguments.extend([label_flag.to_owned(), label]);
    }
    arguments.push(entry.device.clone());
    Some((program, arguments))
}

fn texts(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luks(more: Value) -> Luks {
        let mut value = json!({"name": "data", "device": "/dev/vda4"});
        value.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        serde_json::from_value(value).expect("a volume")
    }

    #[test]
    fn an_array_counts_its_spares_apart() {
        let raid: Raid = serde_json::from_value(json!({"name": "md", "level": "raid1", "spares": 1,
            "devices": ["/dev/a", "/dev/b", "/dev/c"], "options": ["--bitmap=internal"]}))
        .expect("an array");
        let wanted = "--create md --force --run --homehost any --level raid1 --raid-devices 2 --spare-devices 1 --bitmap=internal /dev/a /dev/b /dev/c";
        assert_eq!(mdadm_create(&raid).join(" "), wanted);
    }

    #[test]
    fn volumes_are_formatted_opened_and_bound() {
        let plain = luks(
            json!({"label": "l", "discard": true, "openOptions": ["--perf-no_read_workqueue"], "options": ["--cipher=a"]}),
        );
        assert_eq!(
            luks_format(&plain, "/k").join(" "),
            "luksFormat --batch-mode --type luks2 --key-file /k --label l --cipher=a /dev/vda4"
        );
        let wanted =
            "luksOpen /dev/vda4 data --key-file /k --persistent --allow-discards --perf-no_read_workqueue";
        assert_eq!(luks_open(&plain, "/k").join(" "), wanted);
        assert_eq!(clevis_bind(&plain, "/k").expect("valid"), None);
        assert_eq!(crypttab_line(&plain, "U"), "data UUID=U /etc/luks/data luks\n");
    }

    #[test]
    fn pins_are_shared_by_threshold_and_a_custom_one_is_taken_as_it_is() {
        let tang = json!({"url": "http://t", "thumbprint": "x", "advertisement": "{\"a\": 1}"});
        let bound = luks(json!({"clevis": {"tang": [tang], "tpm2": true, "threshold": 2}}));
        let arguments = clevis_bind(&bound, "/k").expect("valid").expect("bound");
        let wanted = r#"{"pins":{"tang":[{"url":"http://t","thp":"x","adv":{"a":1}}],"tpm2":{}},"t":2}"#;
        assert_eq!(arguments[7..], ["sss", wanted]);
        assert_eq!(crypttab_line(&bound, "U"), "data UUID=U none luks,_netdev\n");
        let custom =
            luks(json!({"clevis": {"custom": {"pin": "tpm2", "config": "{}", "needsNetwork": false}}}));
        assert_eq!(clevis_bind(&custom, "/k").expect("valid").expect("bound")[7..], ["tpm2", "{}"]);
        assert_eq!(crypttab_line(&custom, "U"), "data UUID=U none luks\n");
    }

    #[test]
    fn each_format_has_its_own_flags() {
        let command = |format: &str| {
            let entry = json!({"device": "/dev/vda1", "format": format, "label": "l", "uuid": "1234-ABCD", "options": ["-q"]});
            make_filesystem(&serde_json::from_value(entry).expect("a filesystem"))
                .map(|(program, arguments)| format!("{program} {}", arguments.join(" ")))
        };
        assert_eq!(command("ext4").as_deref(), Some("mkfs.ext4 -q -F -U 1234-ABCD -L l /dev/vda1"));
        assert_eq!(command("xfs").as_deref(), Some("mkfs.xfs -q -f -m uuid=1234-ABCD -L l /dev/vda1"));
        assert_eq!(command("btrfs").as_deref(), Some("mkfs.btrfs -q --force -U 1234-ABCD -L l /dev/vda1"));
        assert_eq!(command("vfat").as_deref(), Some("mkfs.fat -q -i 1234ABCD -n l /dev/vda1"));
        assert_eq!(command("swap").as_deref(), Some("mkswap -q -U 1234-ABCD -L l /dev/vda1"));
        assert_eq!(command("none"), None);
    }
}
