//! A configuration in another version of the specification; refused when that version cannot say all of it.

use ashlar_model::config::Problem;
use serde_json::Value;
use thiserror::Error;

use crate::Config;
use crate::merge::to_value;
use crate::parse::{ParseError, parse_value};
use crate::version::Version;

#[derive(Debug, Error)]
pub enum ConvertError {
    #[error("spec {version} cannot say what the configuration says")]
    TooNew { version: Version, problems: Vec<Problem> },
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// # Errors
/// What the version does not know.
pub fn convert(config: &Config, version: Version) -> Result<Value, ConvertError> {
    let mut value = to_value(config);
    value["ignition"]["version"] = version.text().into();
    let parsed = parse_value(value.clone())?;
    let report = parsed.report();
    let unknown = parsed.warnings.iter().filter_map(|warning| warning.strip_prefix("unused key: "));
    let unknown = unknown.map(|path| Problem::new(path, "a key", format!("is not known in spec {version}")));
    let problems: Vec<Problem> = unknown.chain(report.errors).collect();
    if problems.is_empty() { Ok(value) } else { Err(ConvertError::TooNew { version, problems }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(mut value: Value) -> Config {
        value["ignition"] = json!({"version": "3.5.0"});
        parse_value(value).expect("a configuration").config
    }

    #[test]
    fn what_an_older_version_can_say_is_converted_and_converted_back() {
        let new = config(json!({"storage": {"files": [{"path": "/a", "mode": 420}]}}));
        for version in Version::ALL {
            let old = convert(&new, *version).expect("possible");
            assert_eq!(old["ignition"]["version"], version.text());
            assert_eq!(parse_value(old).expect("valid").config, new);
        }
    }

    #[test]
    fn what_it_cannot_say_is_refused_by_name() {
        let new = config(json!({"kernelArguments": {"shouldExist": ["a"]},
            "storage": {"filesystems": [{"device": "/dev/a", "format": "none"}]}}));
        assert!(convert(&new, Version::V3_3).is_ok());
        let Err(ConvertError::TooNew { problems, .. }) = convert(&new, Version::V3_2) else {
            panic!("it cannot be said")
        };
        let paths: Vec<&str> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["$.kernelArguments", "$.storage.filesystems.0.format"]);
    }
}
