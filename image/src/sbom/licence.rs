//! Licences: what Debian's copyright files say, in SPDX's words; and texts that are recognised.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use spdx::detection::scan::Scanner;
use spdx::detection::{Store, TextData};

use super::UNKNOWN;

/// First line of a copyright file that a program can read (DEP-5).
const MACHINE_READABLE: &str = "packaging-manuals/copyright-format/1.0";
/// Names of Debian's that SPDX has under another.
const NAMES: &[(&str, &str)] = &[
    ("expat", "MIT"),
    ("mit/x11", "MIT"),
    ("x11", "X11"),
    ("apache-2", "Apache-2.0"),
    ("gfdl-niv-1.3+", "GFDL-1.3-invariants-or-later"),
    ("artistic", "Artistic-1.0-Perl"),
    ("lgpl", "LGPL-2.0-or-later"),
    ("unicode", "Unicode-3.0"),
];
/// A text that is less like a licence than this is not called one.
const LIKENESS: f32 = 0.93;

/// The licences of a whole source package, all at once, from its copyright file.
pub fn of_copyright(text: &str) -> String {
    let readable =
        text.lines().take(5).any(|line| line.starts_with("Format") && line.contains(MACHINE_READABLE));
    if !readable {
        return UNKNOWN.into();
    }
    let mut all = BTreeSet::new();
    for paragraph in text.split("\n\n") {
        // Others hold the text of a licence, or speak of the whole.
        if !paragraph.lines().any(|line| line.starts_with("Files:")) {
            continue;
        }
        let said = paragraph.lines().find_map(|line| line.strip_prefix("License:"));
        let Some(said) = said.map(str::trim).filter(|said| !said.is_empty()).map(expression) else {
            continue;
        };
        match said.contains(" OR ") {
            true => drop(all.insert(said)),
            false => all.extend(said.split(" AND ").map(str::to_owned)),
        }
    }
    if all.is_empty() {
        return UNKNOWN.into();
    }
    let several = all.len() > 1;
    let group = |one: String| if several && one.contains(" OR ") { format!("({one})") } else { one };
    all.into_iter().map(group).collect::<Vec<_>>().join(" AND ")
}

/// `GPL-2+ or Expat` in SPDX's words. A sentence instead of names is one licence with a name of its own.
fn expression(said: &str) -> String {
    if said.len() > 120 || said.split_whitespace().count() > 12 {
        return reference(said);
    }
    let said = said.replace(", and ", " and ").replace(", or ", " or ").replace(',', "");
    let either = |part: &str| part.split(" and ").map(name).collect::<BTreeSet<_>>();
    let parts: BTreeSet<String> = said
        .split(" or ")
        .map(|part| {
            let all = either(part);
            let several = all.len() > 1 && said.contains(" or ");
            let joined = all.into_iter().collect::<Vec<_>>().join(" AND ");
            if several { format!("({joined})") } else { joined }
        })
        .collect();
    parts.into_iter().collect::<Vec<_>>().join(" OR ")
}

fn name(said: &str) -> String {
    let said = said.trim();
    let lower = said.to_lowercase();
    if let Some((_, known)) = NAMES.iter().find(|(debian, _)| *debian == lower) {
        return (*known).into();
    }
    // `GPL-2+`, `LGPL-2.1`, `GPLv3+`, `GPL-2.0+`
    for family in ["AGPL", "LGPL", "GPL"] {
        let Some(rest) = said.strip_prefix(family) else { continue };
        let version = rest.trim_start_matches(['-', 'v']);
        let (version, later) = match version.strip_suffix('+') {
            Some(version) => (version, "or-later"),
            None => (version, "only"),
        };
        let version = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
        let full = format!("{family}-{version}-{later}");
        if spdx::license_id(&full).is_some() {
            return full;
        }
    }
    let listed = spdx::license_id(said).or_else(|| {
        let any = spdx::identifiers::LICENSES.iter().find(|one| one.name.eq_ignore_ascii_case(said));
        any.and_then(|one| spdx::license_id(one.name))
    });
    listed.map_or_else(|| reference(said), |id| id.name.to_owned())
}

fn reference(said: &str) -> String {
    let said = said.replace('+', "-or-later");
    let mut name: String =
        said.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    while name.contains("--") {
        name = name.replace("--", "-");
    }
    let name: String = name.trim_matches('-').chars().take(60).collect();
    format!("LicenseRef-Debian-{}", name.trim_end_matches('-'))
}

/// What a licence's text is, if it is one that SPDX lists.
pub fn of_text(text: &str) -> Option<String> {
    static STORE: OnceLock<Option<Store>> = OnceLock::new();
    let store = STORE.get_or_init(|| Store::load_inline().ok()).as_ref()?;
    let scanner = Scanner::new(store).confidence_threshold(LIKENESS).optimize(false);
    let found = scanner.scan(&TextData::new(text));
    let name = found.license?.name;
    // The text of a GNU licence does not say whether later versions may be taken.
    spdx::license_id(name).map(|id| id.name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP5: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n\
        Files: *\nCopyright: x\nLicense: GPL-2+ or Expat\n\n\
        Files: a b\nLicense: BSD-3-clause\n text\n\n\
        Files: c\nLicense: GPL-2+ with OpenSSL exception and BSD-3-clause\n\n\
        License: Expat\n the text\n";

    #[test]
    fn the_licences_of_all_files_are_joined() {
        assert_eq!(
            of_copyright(DEP5),
            "BSD-3-Clause AND (GPL-2.0-or-later OR MIT) AND LicenseRef-Debian-GPL-2-or-later-with-OpenSSL-exception"
        );
    }

    #[test]
    fn what_no_program_can_read_is_not_guessed() {
        assert_eq!(of_copyright("This is free software; see the GPL.\n\nLicense: GPL-2\n"), UNKNOWN);
    }

    #[test]
    fn names_become_those_of_spdx() {
        for (debian, expected) in [
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("GPLv3+", "GPL-3.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("BSD-2-clause", "BSD-2-Clause"),
            ("zlib", "Zlib"),
            ("public-domain", "LicenseRef-Debian-public-domain"),
            ("GPL-2 and Expat", "GPL-2.0-only AND MIT"),
        ] {
            assert_eq!(expression(debian), expected);
        }
    }

    #[test]
    fn what_is_made_of_debians_words_is_an_expression_of_spdx() {
        let all = of_copyright(DEP5);
        assert!(spdx::Expression::parse(&all).is_ok(), "{all}");
    }

    #[test]
    fn a_text_is_recognised() {
        let own = include_str!("../../../LICENSE");
        assert_eq!(of_text(own).as_deref(), Some("Apache-2.0"));
        assert_eq!(of_text("All rights reserved."), None);
    }
}
