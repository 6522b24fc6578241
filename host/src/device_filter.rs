//! Which devices the processes of a control group may read and write, where control groups are v2: a small BPF
//! program of ours that the kernel asks at every open. (v1 has files for that: `devices.deny`.)

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// What is refused; everything else is allowed, and so is making a node of anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Block devices by major number.
    pub block_majors: Vec<u32>,
    /// Block devices of one major number but for these minors.
    pub block_but: Option<(u32, Vec<u32>)>,
    /// One character device.
    pub character: Option<(u32, u32)>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the kernel does not take a device filter (BPF); it needs CONFIG_CGROUP_BPF, and root")]
    Load { source: io::Error },
    #[error("opening the control group {}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("attaching a device filter to the control group {}", path.display())]
    Attach { path: PathBuf, source: io::Error },
}

// From linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
/// Groups below may have filters of their own; all are asked.
const ALLOW_MULTI: u32 = 2;
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const READ_OR_WRITE: i32 = 2 | 4;

// Operations of the BPF machine: 32-bit words, so that comparisons need no sign.
const LOAD_WORD: u8 = 0x61;
const SHIFT_RIGHT: u8 = 0x74;
const AND: u8 = 0x54;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

const ANSWER: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const MAJOR: u8 = 3;
const MINOR: u8 = 4;
const ACCESS: u8 = 5;

#[repr(C)]
#[derive(Clone, Copy)]
struct Instruction {
    operation: u8,
    /// Destination in the low four bits, source in the high ones.
    registers: u8,
    offset: i16,
    value: i32,
}

#[repr(C)]
#[derive(Default)]
struct LoadArguments {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

#[repr(C)]
struct AttachArguments {
    target: RawFd,
    program: RawFd,
    kind: u32,
    flags: u32,
}

/// Puts a filter on a group; it goes with the group.
///
/// # Errors
/// The kernel has no such filters, or the group is not there.
pub fn attach(group: &Path, filter: &Filter) -> Result<(), Error> {
    let program = load(&program(filter)).map_err(|source| Error::Load { source })?;
    let folder = File::open(group).map_err(|source| Error::Open { path: group.to_owned(), source })?;
    let mut arguments = AttachArguments {
        target: folder.as_raw_fd(),
        program: program.as_raw_fd(),
        kind: ATTACH_CGROUP_DEVICE,
        flags: ALLOW_MULTI,
    };
    let attached = call(PROG_ATTACH, &mut arguments);
    attached.map(drop).map_err(|source| Error::Attach { path: group.to_owned(), source })
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let mut arguments = LoadArguments {
        kind: TYPE_CGROUP_DEVICE,
        count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        ..LoadArguments::default()
    };
    let descriptor = call(PROG_LOAD, &mut arguments)?;
    // SAFETY: the kernel has just made this descriptor for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(RawFd::try_from(descriptor).map_err(io::Error::other)?) })
}

fn call<T>(command: libc::c_int, arguments: &mut T) -> io::Result<libc::c_long> {
    let pointer: *mut T = arguments;
    // SAFETY: the arguments are a prefix of the kernel's union for this command, the rest counts as zero; what they
    // point to outlives the call.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, pointer, size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Context: access in the upper, kind in the lower half of the first word, then major, then minor.
fn program(filter: &Filter) -> Vec<Instruction> {
    let mut program = vec![
        load_word(ACCESS, 0),
        load_word(MAJOR, 4),
        load_word(MINOR, 8),
        with_register(MOVE_REGISTER, KIND, ACCESS),
        with_value(AND, KIND, 0xffff),
        with_value(SHIFT_RIGHT, ACCESS, 16),
        with_value(AND, ACCESS, READ_OR_WRITE),
    ];
    // Only making a node: allowed.
    program.extend(when(&[(ACCESS, 0)], &answer(1)));
    for major in &filter.block_majors {
        program.extend(when(&[(KIND, BLOCK), (MAJOR, signed(*major))], &answer(0)));
    }
    if let Some((major, minors)) = &filter.block_but {
        let own = minors.iter().flat_map(|minor| when(&[(MINOR, signed(*minor))], &answer(1)));
        let body: Vec<Instruction> = own.chain(answer(0)).collect();
        program.extend(when(&[(KIND, BLOCK), (MAJOR, signed(*major))], &body));
    }
    if let Some((major, minor)) = filter.character {
        let it = [(KIND, CHARACTER), (MAJOR, signed(major)), (MINOR, signed(minor))];
        program.extend(when(&it, &answer(0)));
    }
    program.extend(answer(1));
    program
}

/// `body` when all registers have these values; otherwise what follows it.
fn when(conditions: &[(u8, i32)], body: &[Instruction]) -> Vec<Instruction> {
    let mut code = body.to_vec();
    for (register, value) in conditions.iter().rev() {
        let past = i16::try_from(code.len()).unwrap_or(i16::MAX);
        let mut outer = vec![
            Instruction { operation: JUMP_IF_EQUAL, registers: *register, offset: 1, value: *value },
            Instruction { operation: JUMP, registers: 0, offset: past, value: 0 },
        ];
        outer.append(&mut code);
        code = outer;
    }
    code
}

fn answer(value: i32) -> [Instruction; 2] {
    [with_value(MOVE, ANSWER, value), Instruction { operation: EXIT, registers: 0, offset: 0, value: 0 }]
}

fn load_word(register: u8, offset: i16) -> Instruction {
    Instruction { operation: LOAD_WORD, registers: register | CONTEXT << 4, offset, value: 0 }
}

fn with_value(operation: u8, register: u8, value: i32) -> Instruction {
    Instruction { operation, registers: register, offset: 0, value }
}

fn with_register(operation: u8, register: u8, from: u8) -> Instruction {
    Instruction { operation, registers: register | from << 4, offset: 0, value: 0 }
}

fn signed(number: u32) -> i32 {
    number.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Needs root and a v2 hierarchy; says so where there is none.
    #[test]
    fn a_process_in_the_group_cannot_open_what_is_refused() {
        let root = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(PathBuf::from);
        let Some(root) = root.into_iter().find(|root| root.join("cgroup.controllers").exists()) else {
            return eprintln!("no v2 control groups here");
        };
        let group = root.join(format!("ashlar-filter-{}", std::process::id()));
        if let Err(error) = std::fs::create_dir(&group) {
            return eprintln!("no group can be made: {error}");
        }
        // /dev/zero stands for the loop control device: 1:5.
        let filter =
            Filter { block_majors: vec![254], block_but: Some((7, vec![3])), character: Some((1, 5)) };
        let attached = attach(&group, &filter);
        let run = |script: &str| {
            let join = format!("echo $$ > {}/cgroup.procs && {script}", group.display());
            Command::new("sh").args(["-c", &join]).status().is_ok_and(|status| status.success())
        };
        let null = run("head -c 1 /dev/null");
        let zero = run("head -c 1 /dev/zero >/dev/null 2>&1");
        std::fs::remove_dir(&group).expect("an empty group");
        attached.expect("attached");
        assert!(null && !zero, "/dev/null {null}, /dev/zero {zero}");
    }
}
