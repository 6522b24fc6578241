//! Kernel arguments: what a boot entry's arguments become. Pure.

use crate::spec::KernelArguments;

/// The arguments after the change, or nothing when they are right already. An argument stands at most once more
/// than it did; one that should not exist is removed wherever it stands.
pub fn edited(line: &str, wanted: &KernelArguments) -> Option<String> {
    let unwanted = wanted.should_not_exist.as_deref().unwrap_or_default();
    let mut words: Vec<&str> = line.split_whitespace().collect();
    let before = words.len();
    words.retain(|word| !unwanted.iter().any(|other| other == word));
    let mut changed = words.len() != before;
    for group in wanted.should_exist.iter().flatten() {
        let parts: Vec<&str> = group.split_whitespace().collect();
        // `console=tty0 console=ttyS0` is one entry whose order matters.
        if !parts.is_empty() && !words.windows(parts.len()).any(|window| window == parts) {
            words.extend(parts);
            changed = true;
        }
    }
    changed.then(|| words.join(" "))
}

/// The text of a boot loader's file with every line of arguments edited: `options …` of a boot entry, `linux PATH …`
/// of GRUB's menu.
pub fn edited_file(text: &str, wanted: &KernelArguments) -> Option<String> {
    let mut changed = false;
    let lines = text.split('\n').map(|line| {
        let Some((start, arguments)) = split(line) else { return line.to_owned() };
        match edited(arguments, wanted) {
            Some(new) => {
                changed = true;
                format!("{start}{new}")
            }
            None => line.to_owned(),
        }
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    changed.then_some(text)
}

/// Up to the arguments, and the arguments.
fn split(line: &str) -> Option<(&str, &str)> {
    let indent = line.len() - line.trim_start().len();
    let word = line[indent..].split_whitespace().next()?;
    let after = indent + word.len();
    let skip_blanks = |at: usize| at + (line[at..].len() - line[at..].trim_start().len());
    match word {
        "options" => Some(line.split_at(skip_blanks(after))),
        "linux" | "linuxefi" if indent > 0 || line.contains('=') => {
            let path = skip_blanks(after);
            let end = line[path..].find(char::is_whitespace).map_or(line.len(), |length| path + length);
            Some(line.split_at(skip_blanks(end)))
        }
        _ => None,
    }
}

pub fn is_empty(wanted: &KernelArguments) -> bool {
    wanted.should_exist.iter().flatten().chain(wanted.should_not_exist.iter().flatten()).next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(exist: &[&str], not: &[&str]) -> KernelArguments {
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        KernelArguments { should_exist: list(exist), should_not_exist: list(not) }
    }

    #[test]
    fn arguments_are_added_and_removed_once() {
        let change = wanted(&["nosmt", "quiet"], &["splash"]);
        let line = edited("root=LABEL=root quiet splash", &change).expect("changed");
        assert_eq!(line, "root=LABEL=root quiet nosmt");
        assert_eq!(edited(&line, &change), None);
    }

    #[test]
    fn boot_entries_and_menus_are_edited_in_place() {
        let change = wanted(&["a=b"], &["quiet"]);
        let entry = "title Ashlar\noptions root=LABEL=root quiet\nlinux /vmlinuz\n";
        assert_eq!(
            edited_file(entry, &change).as_deref(),
            Some("title Ashlar\noptions root=LABEL=root a=b\nlinux /vmlinuz\n")
        );
        let menu = "menuentry 'A' {\n  linux /vmlinuz root=LABEL=root quiet\n  initrd /i\n}\n";
        let new = edited_file(menu, &change).expect("changed");
        assert_eq!(new, "menuentry 'A' {\n  linux /vmlinuz root=LABEL=root a=b\n  initrd /i\n}\n");
        assert_eq!(edited_file(&new, &change), None);
    }
}
