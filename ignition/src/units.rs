//! systemd units: names, syntax, and the links that enabling them makes.

const TYPES: &[&str] = &[
    "service",
    "socket",
    "device",
    "mount",
    "automount",
    "swap",
    "target",
    "path",
    "timer",
    "snapshot",
    "slice",
    "scope",
];

/// Where `systemctl enable` would write.
pub const UNIT_DIRECTORY: &str = "/etc/systemd/system";
/// Where units come from, most important first.
pub const UNIT_PATHS: &[&str] =
    &[UNIT_DIRECTORY, "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
pub const PRESET_FILE: &str = "/etc/systemd/system-preset/20-ignition.preset";

/// By the end of its name only.
pub fn has_unit_type(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, kind)| TYPES.contains(&kind))
}

/// As systemd accepts it.
pub fn is_unit_name(name: &str) -> bool {
    let Some((stem, _)) = name.rsplit_once('.').filter(|_| has_unit_type(name)) else { return false };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    !stem.is_empty() && name.len() < 256 && stem.chars().all(allowed)
}

pub fn is_dropin_name(name: &str) -> bool {
    name.ends_with(".conf") && !name.contains(['/', '\0'])
}

/// The template (`a@.service`) and the instance (`1`) of `a@1.service`.
pub fn template(name: &str) -> Option<(String, String)> {
    let (stem, kind) = name.rsplit_once('.')?;
    let (prefix, instance) = stem.split_once('@')?;
    Some((format!("{prefix}@.{kind}"), instance.to_owned()))
}

/// Longer lines are cut by systemd.
const LONGEST_LINE: usize = 2048;

/// # Errors
/// The number of the first wrong line, and the rule.
pub fn check_syntax(text: &str) -> Result<(), (usize, &'static str)> {
    read(text).map(drop)
}

/// The names of the sections, in order; of a text with a mistake those before it.
pub fn sections(text: &str) -> Vec<String> {
    read(text).unwrap_or_default()
}

/// systemd ignores what stands before the first section, so it is not judged.
fn read(text: &str) -> Result<Vec<String>, (usize, &'static str)> {
    let mut sections = Vec::new();
    let mut lines = text.split('\n').enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        if line.len() >= LONGEST_LINE {
            return Err((number, "must have lines of less than 2048 bytes"));
        }
        let line = if sections.is_empty() { before_section(line) } else { line.trim_start() };
        if line.starts_with(['#', ';']) {
            skip_continuation(&mut lines, line.trim_end_matches(' '));
        } else if let Some(rest) = line.strip_prefix('[') {
            let end = rest.find(']').ok_or((number, "must have sections in brackets, such as [Unit]"))?;
            if !rest[end + 1..].trim().is_empty() {
                return Err((number, "must have nothing after the name of a section"));
            }
            sections.push(rest[..end].to_owned());
        } else if !line.trim().is_empty() {
            if !line.contains('=') {
                return Err((number, "must have lines of the form Name=value"));
            }
            skip_continuation(&mut lines, line.trim_end_matches('\r'));
        }
    }
    Ok(sections)
}

/// The first section or comment on a line; nothing else counts there.
fn before_section(line: &str) -> &str {
    line.find(['[', '#', ';']).map_or("", |at| &line[at..])
}

fn skip_continuation<'a>(lines: &mut impl Iterator<Item = (usize, &'a str)>, first: &'a str) {
    let mut line = first;
    while line.ends_with('\\') {
        match lines.next() {
            Some((_, next)) => line = next.trim_end_matches(['\r', ' ']),
            None => return,
        }
    }
}

/// The `[Install]` section.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Install {
    pub wanted_by: Vec<String>,
    pub required_by: Vec<String>,
    pub upheld_by: Vec<String>,
    pub alias: Vec<String>,
    pub also: Vec<String>,
    pub default_instance: Option<String>,
}

pub fn parse_install(text: &str) -> Install {
    let mut install = Install::default();
    let mut section = String::new();
    for line in text.replace("\\\n", " ").lines().map(str::trim) {
        if line.starts_with('[') {
            section = line.to_owned();
        }
        let Some((name, value)) = line.split_once('=').filter(|_| section == "[Install]") else { continue };
        if line.starts_with(['#', ';']) {
            continue;
        }
        let words = value.split_whitespace().map(str::to_owned);
        match name.trim() {
            "WantedBy" => install.wanted_by.extend(words),
            "RequiredBy" => install.required_by.extend(words),
            "UpheldBy" => install.upheld_by.extend(words),
            "Alias" => install.alias.extend(words),
            "Also" => install.also.extend(words),
            "DefaultInstance" => install.default_instance = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    install
}

/// The links (path, target) that enable `name`, whose file is `file` (the template for an instance).
pub fn enablement_links(name: &str, file: &str, install: &Install) -> Vec<(String, String)> {
    let name = with_instance(name, install);
    let by =
        [(&install.wanted_by, "wants"), (&install.required_by, "requires"), (&install.upheld_by, "upholds")];
    let mut links = Vec::new();
    for (targets, kind) in by {
        for target in targets {
            let target = with_specifiers(target, &name);
            links.push((format!("{UNIT_DIRECTORY}/{target}.{kind}/{name}"), file.to_owned()));
        }
    }
    for alias in &install.alias {
        let alias = with_specifiers(alias, &name);
        if alias != name {
            links.push((format!("{UNIT_DIRECTORY}/{alias}"), file.to_owned()));
        }
    }
    links
}

fn with_instance(name: &str, install: &Install) -> String {
    match (template(name), &install.default_instance) {
        (Some((template, instance)), Some(default)) if instance.is_empty() => {
            template.replacen("@.", &format!("@{default}."), 1)
        }
        _ => name.to_owned(),
    }
}

/// `%i`, `%n`, `%N` and `%p` as systemd knows them in `[Install]`.
fn with_specifiers(text: &str, name: &str) -> String {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    text.replace("%i", instance).replace("%n", name).replace("%N", stem).replace("%p", prefix)
}

/// The lines of a preset file; instances that are enabled stand behind their template.
pub fn preset_lines<'a>(units: impl Iterator<Item = (&'a str, bool)>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (name, enabled) in units {
        let verb = if enabled { "enable" } else { "disable" };
        match template(name).filter(|(_, instance)| enabled && !instance.is_empty()) {
            Some((template, instance)) => {
                let start = format!("enable {template} ");
                match lines.iter_mut().find(|line| line.starts_with(&start)) {
                    Some(line) => *line = format!("{line} {instance}"),
                    None => lines.push(start + &instance),
                }
            }
            None => lines.push(format!("{verb} {name}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enabling_makes_the_links_that_the_install_section_names() {
        let install = parse_install(
            "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy=multi-user.target \\\n  b.target\nRequiredBy=c.target\nAlias=d.service\n",
        );
        let links = enablement_links("a.service", "/usr/lib/systemd/system/a.service", &install);
        let paths: Vec<&str> = links.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "/etc/systemd/system/multi-user.target.wants/a.service",
                "/etc/systemd/system/b.target.wants/a.service",
                "/etc/systemd/system/c.target.requires/a.service",
                "/etc/systemd/system/d.service",
            ]
        );
    }

    #[test]
    fn templates_are_enabled_as_instances() {
        let install = parse_install("[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n");
        let links =
            |name| enablement_links(name, "/usr/lib/systemd/system/a@.service", &install)[0].0.clone();
        assert_eq!(links("a@.service"), "/etc/systemd/system/getty.target.wants/a@tty1.service");
        assert_eq!(links("a@x.service"), "/etc/systemd/system/getty.target.wants/a@x.service");
        let units = [("a@x.service", true), ("b.service", false), ("a@y.service", true)];
        assert_eq!(preset_lines(units.into_iter()), ["enable a@.service x y", "disable b.service"]);
    }
}
