//! What an install would give to the hosts of each pool: the installer checks and shows it by the functions that will
//! render it.

use ashlar_model::bootstrap_api::{Cluster, Role};
use ashlar_model::config::Problem;
use ashlar_model::machine_config::{self, MachineConfig, POOLS};

use crate::machine_config::{Invalid, Pool, judge, render};

/// The rendered config of a pool, by name and origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    pub name: String,
    pub sha256: String,
    /// What is merged, in this order.
    pub parts: Vec<String>,
    pub remarks: Vec<String>,
}

/// What is wrong with one machine config, with paths in the object.
pub fn problems(config: &MachineConfig) -> Vec<Problem> {
    judge(config).err().unwrap_or_default()
}

/// What is wrong with one that is of no pool that an install makes.
pub fn without_pool(config: &MachineConfig) -> Option<Problem> {
    if config.settings.is_none() {
        let roles: Vec<&str> = POOLS.iter().map(|role| role.as_str()).collect();
        return machine_config::without_pool(config, &roles);
    }
    let selected = POOLS.iter().any(|role| Pool::of_role(*role).has(config));
    (!selected).then(|| {
        let rule = "must select master or worker: pools of your own are there after the install";
        let hint = "for example matchLabels: {pools.operator.machineconfiguration.openshift.io/worker: \"\"}";
        Problem::new("spec.machineConfigPoolSelector", "a selector of no pool", rule).hint(hint)
    })
}

/// # Errors
/// What is wrong with machine configs of the pool, alone or together.
pub fn preview(cluster: &Cluster, role: Role, configs: &[MachineConfig]) -> Result<Preview, Vec<Invalid>> {
    render(cluster, &Pool::of_role(role), configs).map(|rendered| Preview {
        name: rendered.name,
        sha256: rendered.sha256,
        parts: rendered.parts,
        remarks: rendered.remarks,
    })
}
