//! Answers for a server that installs itself: a YAML file, and the Ignition configuration that it names.

use std::path::Path;

use ashlar_model::agent_api::Answers;

use super::read as read_text;
use crate::failure::{Fails, Failure};

/// # Errors
/// The file or the configuration cannot be read, or is not valid.
pub fn read(path: &Path) -> Result<Answers, Failure> {
    let understanding = || format!("understanding {}", path.display());
    let mut answers: Answers = serde_norway::from_str(&read_text(path)?).failing(understanding)?;
    if !answers.disk.starts_with("/dev/") {
        let failure = Failure::user(format!("{}: disk is `{}`", path.display(), answers.disk));
        return Err(failure.hint("name a device, best by /dev/disk/by-id/, which stays the same"));
    }
    if let Some(file) = answers.ignition.as_str() {
        let file = path.parent().unwrap_or(path).join(file);
        answers.ignition = serde_json::from_str(&read_text(&file)?)
            .failing(|| format!("understanding {}", file.display()))?;
    }
    let parsed = ashlar_ignition::parse_value(answers.ignition.clone());
    parsed.failing(|| format!("judging the first-boot configuration of {}", path.display()))?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_model::agent_api::Then;

    #[test]
    fn the_configuration_lies_beside_the_answers() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("written");
        write("first.ign", "{\"ignition\": {\"version\": \"3.4.0\"}}");
        write("answers.yaml", "disk: /dev/vda\nwipe: true\nthen: reboot\nignition: first.ign\n");
        let answers = read(&dir.path().join("answers.yaml")).expect("valid");
        assert_eq!((answers.then, answers.wipe), (Then::Reboot, true));
        assert_eq!(answers.ignition["ignition"]["version"], "3.4.0");

        write("first.ign", "{\"ignition\": {\"version\": \"9.9.9\"}}");
        assert!(read(&dir.path().join("answers.yaml")).is_err());
        write("answers.yaml", "disk: vda\nignition: {ignition: {version: 3.4.0}}\n");
        let said = read(&dir.path().join("answers.yaml")).expect_err("no device");
        assert!(said.cause().contains("disk is `vda`"), "{}", said.cause());
    }
}
