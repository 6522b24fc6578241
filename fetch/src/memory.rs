//! The root file system stays in memory: a machine with too little of it must hear that before it is half full.

use ashlar_model::console::Failed;

/// What the live system needs besides its root file system, bytes.
const SYSTEM: u64 = 768 << 20;

#[derive(Debug, thiserror::Error)]
#[error("this machine has {} MiB of free memory; {} MiB are needed to hold what is fetched and to run it\n\
         hint: use the full medium, which is read from where it lies", found >> 20, needed >> 20)]
pub struct TooLittle {
    found: u64,
    needed: u64,
}

impl TooLittle {
    pub fn failed(&self) -> Failed {
        let text = self.to_string();
        let (cause, remedy) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        Failed { what: "memory".into(), cause: cause.into(), remedy: Some(remedy.into()) }
    }
}

pub fn check(size: u64) -> Result<(), TooLittle> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    judge(&text, size)
}

/// A machine that does not say how much it has is let through.
fn judge(meminfo: &str, size: u64) -> Result<(), TooLittle> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    let needed = size + SYSTEM;
    match kib.map(|kib| kib * 1024) {
        Some(found) if found < needed => Err(TooLittle { found, needed }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_refused_with_both_numbers() {
        let text = "MemTotal: 2000000 kB\nMemAvailable:   1024000 kB\n";
        let said = judge(text, 640 << 20).expect_err("too little").to_string();
        assert!(said.contains("1000 MiB") && said.contains("1408 MiB"), "{said}");
        assert!(judge(text, 100 << 20).is_ok() && judge("", 1 << 40).is_ok());
    }
}
