//! One machine config by the rules of Ignition, and by those of a node that must stay one. Pure.

use ashlar_ignition::{Config, ParseError, Parsed, parse_value};
use ashlar_model::config::Problem;
use ashlar_model::machine_config::MachineConfig;
use serde_json::{Value, json};

use super::membership::selector_of_pools;
use super::protect;

/// A machine config that can be merged.
#[derive(Clone)]
pub struct Judged {
    pub name: String,
    /// Ignition 3.5, kernel arguments included.
    pub config: Config,
    /// What is valid and surely not meant, one sentence each.
    pub remarks: Vec<String>,
}

/// # Errors
/// Every problem, with its path in the object (`spec.config.storage.files.0.path`).
pub fn judge(object: &MachineConfig) -> Result<Judged, Vec<Problem>> {
    if let Some(Err(why)) = object.settings.as_ref().map(|settings| selector_of_pools(&settings.pools)) {
        let path = "spec.machineConfigPoolSelector";
        return Err(vec![Problem::new(path, why, "must be a label selector of Kubernetes")]);
    }
    let empty = || json!({"ignition": {"version": "3.5.0"}});
    let value = object.config.clone().unwrap_or_else(empty);
    let parsed = parse_value(value.clone()).map_err(|error| vec![unread(&error, value)])?;
    let unused = parsed.warnings.len();
    let report = parsed.report();
    // A key that the spec does not know would have no effect, so it is refused; it stands first among the warnings.
    let (unknown, warnings) = report.warnings.split_at(unused);
    let mut problems: Vec<Problem> = report.errors.iter().chain(unknown).map(in_object).collect();
    problems.extend(protect::problems(&parsed.config).iter().map(in_object));
    let Parsed { mut config, .. } = parsed;
    add_arguments(&mut config, &object.kernel_arguments, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let remarks = warnings.iter().map(|warning| in_object(warning).to_string()).collect();
    Ok(Judged { name: object.name.clone(), config, remarks })
}

fn unread(error: &ParseError, value: Value) -> Problem {
    let (path, rule) = match error {
        ParseError::NoVersion | ParseError::Version(_) => {
            ("spec.config.ignition.version", "must be one of 3.0.0 to 3.5.0, in quotes or with two dots")
        }
        ParseError::Form { .. } => return misshapen(value),
        _ => ("spec.config", "must be an Ignition config"),
    };
    Problem::new(path, error, rule).hint(error.remedy())
}

/// The parser's own message has the value in it, which may be a secret, and not the place.
fn misshapen(value: Value) -> Problem {
    let Err(error) = serde_path_to_error::deserialize::<_, Config>(value) else {
        return Problem::new("spec.config", "a config", "must have the form of its spec version");
    };
    let path = error.path().to_string().replace('[', ".").replace(']', "");
    let text = error.inner().to_string();
    let (found, rule) = match (text.rsplit_once("expected "), text.starts_with("missing field")) {
        (Some((_, "i64")), _) => ("another type", "must be an integer".to_owned()),
        (Some((_, expected)), _) => ("another type", format!("must be {expected}")),
        (None, true) => ("nothing", text),
        (None, false) => ("another form", "must have the form of its spec version".to_owned()),
    };
    Problem::new(format!("spec.config.{path}"), found, rule).hint("correct the value, or remove it")
}

/// Ignition's paths begin with `$`; ours with the object.
pub(crate) fn in_object(problem: &Problem) -> Problem {
    let inner = problem.path.trim_start_matches('$');
    Problem { path: format!("spec.config{inner}"), ..problem.clone() }
}

/// `spec.kernelArguments` are Ignition's arguments that should exist.
fn add_arguments(config: &mut Config, arguments: &[String], problems: &mut Vec<Problem>) {
    if arguments.is_empty() {
        return;
    }
    let wanted = config.kernel_arguments.get_or_insert_default();
    let unwanted = wanted.should_not_exist.clone().unwrap_or_default();
    let list = wanted.should_exist.get_or_insert_default();
    for (index, argument) in arguments.iter().enumerate() {
        if unwanted.contains(argument) {
            let rule = "must not be in spec.config.kernelArguments.shouldNotExist as well";
            problems.push(Problem::new(
                format!("spec.kernelArguments.{index}"),
                format!("`{argument}`"),
                rule,
            ));
        } else if !list.contains(argument) {
            list.push(argument.clone());
        }
    }
}
