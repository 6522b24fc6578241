//! `machine-configs/*.yaml` of the install directory: read, judged alone and together, previewed, and kept the same
//! while an install goes on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ashlar_controllers::preview::{self, Preview};
use ashlar_model::bootstrap_api::Role;
use ashlar_model::config::{self, Problem};
use ashlar_model::machine_config::{self, MachineConfig, POOLS};

use crate::directory::{Configuration, FileProblem};
use crate::engine::Engine;
use crate::failure::{Fails, Failure};

pub const FOLDER: &str = "machine-configs";
/// Journal key: the names of the rendered configs that the bootstrap was given.
const GIVEN: &str = "machine-configs-given";

/// Every machine config that is valid by itself; what is wrong with others goes to `problems`.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn read(directory: &Path, problems: &mut Vec<FileProblem>) -> Result<Vec<MachineConfig>, Failure> {
    let mut all = Vec::new();
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    for name in files(&directory.join(FOLDER))? {
        let file = format!("{FOLDER}/{name}");
        if !name.ends_with(".yaml") && !name.ends_with(".yml") {
            let problem =
                Problem::new(".", "another kind of file", "is not read: its name must end with .yaml");
            let hint = "rename it, or keep it elsewhere; the program butane translates *.bu";
            problems.push(FileProblem { file, object: None, problem: problem.hint(hint) });
            continue;
        }
        let path = directory.join(&file);
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::user(format!("reading {}", path.display()))
                .because(error)
                .hint("it must be a file of text")
        })?;
        for document in machine_config::read(&text) {
            let object = document.name.clone();
            let of = |problem| FileProblem { file: file.clone(), object: object.clone(), problem };
            if let Some(before) = object.as_ref().and_then(|name| seen.insert(name.clone(), file.clone())) {
                let rule = format!("must be the only one of this name; another is in {before}");
                problems.push(of(Problem::new("metadata.name", "the same name", rule)));
            }
            match document.outcome {
                Ok(config) => {
                    problems.extend(preview::without_pool(&config).into_iter().map(of));
                    problems.extend(preview::problems(&config).into_iter().map(of));
                    all.push(config);
                }
                Err(found) => problems.extend(found.into_iter().map(of)),
            }
        }
    }
    Ok(all)
}

/// Names in the order of the alphabet; what an editor hides is left out.
fn files(folder: &Path) -> Result<Vec<String>, Failure> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let doing = || format!("reading {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).failing(doing)? {
        let name = entry.failing(doing)?.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// What is wrong with valid machine configs when they meet in a pool.
pub fn together(configuration: &Configuration) -> Vec<FileProblem> {
    let invalid = POOLS.iter().filter_map(|role| preview(configuration, *role).err()).flatten();
    let problem = |(object, problem)| FileProblem { file: FOLDER.to_owned(), object: Some(object), problem };
    invalid.map(problem).collect()
}

/// The pool of a host; the bootstrap has none.
pub fn pool(role: config::Role) -> Option<Role> {
    match role {
        config::Role::Master => Some(Role::Master),
        config::Role::Worker => Some(Role::Worker),
        config::Role::Bootstrap => None,
    }
}

/// What the hosts of a pool will be given. No release is needed: nothing of it depends on one.
///
/// # Errors
/// Objects and their problems.
pub fn preview(configuration: &Configuration, role: Role) -> Result<Preview, Vec<(String, Problem)>> {
    let preview = preview::preview(&configuration.cluster(""), role, &configuration.machine_configs);
    preview.map_err(|all| all.into_iter().map(|invalid| (invalid.object, invalid.problem)).collect())
}

/// What `validate` and `plan` say of the machine configs.
pub fn remarks(configuration: &Configuration) -> Vec<String> {
    let mut remarks = Vec::new();
    for role in POOLS {
        if let Ok(preview) = preview(configuration, *role) {
            remarks.extend(preview.remarks);
        }
    }
    let for_workers =
        configuration.machine_configs.iter().filter(|config| config.role == Role::Worker.as_str());
    if configuration.install.workers().next().is_none() {
        let remark = |config: &MachineConfig| format!("{}: no host is a worker yet", config.name);
        remarks.extend(for_workers.map(remark));
    }
    remarks
}

/// The bootstrap is about to be given the machine configs.
///
/// # Errors
/// The journal cannot be written.
pub fn remember(engine: &Engine) -> Result<(), Failure> {
    let given = names(&engine.configuration);
    engine.journal.put(GIVEN, &given).failing(|| "recording which machine configs were given".into())
}

/// What the bootstrap was given in an earlier run is what it serves: another answer now would be a lie.
///
/// # Errors
/// The machine configs were changed since, or the journal cannot be read.
pub fn unchanged(engine: &Engine) -> Result<(), Failure> {
    let given: Option<Vec<String>> = engine.journal.get(GIVEN).failing(|| "reading the journal".into())?;
    match given {
        Some(given) if given != names(&engine.configuration) => Err(Failure::user(format!(
            "what {FOLDER}/ and the configuration make of hosts has changed since the bootstrap was given it"
        ))
        .hint(
            "bring the files back as they were and go on; apply changes with kubectl when the cluster is there, or \
             begin anew with `ashlar destroy cluster`",
        )),
        _ => Ok(()),
    }
}

fn names(configuration: &Configuration) -> Vec<String> {
    POOLS.iter().filter_map(|role| preview(configuration, *role).ok()).map(|preview| preview.name).collect()
}

#[cfg(test)]
pub(crate) mod tests;
