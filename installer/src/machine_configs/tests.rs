use super::*;

/// Of the case 003-02-machineconfig-99-worker-custom-chrony.
const CHRONY: &str = include_str!("../../../model/src/machine_config/chrony-case.yaml");

fn motd(role: &str, spec: &str) -> String {
    format!(
        "apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\nmetadata:\n  name: 99-{role}-motd\n  \
         labels: {{machineconfiguration.openshift.io/role: {role}}}\nspec: {spec}\n"
    )
}

fn with_file(path: &str) -> String {
    format!(
        "{{config: {{ignition: {{version: 3.2.0}}, storage: {{files: [{{path: {path}, contents: {{inline: hello}}}}]}}}}}}"
    )
}

pub(crate) fn configs(role: &str) -> Vec<MachineConfig> {
    let documents = machine_config::read(&motd(role, &with_file("/etc/motd")));
    documents.into_iter().map(|document| document.outcome.expect("valid")).collect()
}

/// The machine configs of a folder with these files, and its problems as they are printed.
fn folder(files: &[(&str, &str)]) -> (Vec<MachineConfig>, Vec<String>) {
    let directory = tempfile::tempdir().expect("a folder");
    fs::create_dir(directory.path().join(FOLDER)).expect("a folder");
    for (name, text) in files {
        fs::write(directory.path().join(FOLDER).join(name), text).expect("a file");
    }
    let mut problems = Vec::new();
    let configs = read(directory.path(), &mut problems).expect("readable");
    (configs, problems.iter().map(ToString::to_string).collect())
}

#[test]
fn several_files_and_documents_are_read_and_the_chrony_case_is_valid() {
    let two = format!(
        "{}---\n{}",
        motd("worker", &with_file("/etc/motd")),
        motd("master", "{kernelArguments: [quiet]}")
    );
    let (configs, problems) = folder(&[("chrony.yaml", CHRONY), ("two.yml", &two), (".swp", "x")]);
    assert_eq!(problems, Vec::<String>::new());
    let names: Vec<&str> = configs.iter().map(|config| config.name.as_str()).collect();
    assert_eq!(names, ["99-worker-custom-chrony", "99-worker-motd", "99-master-motd"]);
}

#[test]
fn all_problems_come_in_one_answer_with_file_object_and_path() {
    let two = format!("{}---\n{}", motd("worker", &with_file("etc/motd")), motd("infra", "{}"));
    let again = motd("worker", "{fips: true}");
    let (_, problems) = folder(&[("a.yaml", &two), ("b.yaml", &again), ("c.bu", "variant: fcos")]);
    let starts = [
        "machine-configs/a.yaml: 99-worker-motd: spec.config.storage.files.0.path: ",
        "machine-configs/a.yaml: 99-infra-motd: metadata.labels.machineconfiguration.openshift.io/role: ",
        "machine-configs/b.yaml: 99-worker-motd: metadata.name: must be the only one of this name; another is in machine-configs/a.yaml",
        "machine-configs/b.yaml: 99-worker-motd: spec.fips: is not supported",
        "machine-configs/c.bu: .: is not read",
    ];
    assert_eq!(problems.len(), starts.len(), "{problems:#?}");
    for (problem, start) in problems.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
}

#[test]
fn a_config_for_workers_is_remarked_on_while_there_are_none() {
    let mut configuration = crate::plan::tests::configuration();
    configuration.machine_configs = configs("worker");
    assert_eq!(remarks(&configuration), ["99-worker-motd: no host is a worker yet"]);
    assert!(together(&configuration).is_empty());
}
