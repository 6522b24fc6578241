//! GRUB's configuration on an installed disk: the menu that OSTree's hook `grub-menu` writes, and the choice of its
//! entry by counted boots.

use ashlar_model::boot_counter;

/// `grub.cfg`.
#[must_use]
pub fn configuration() -> String {
    format!(
        "serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
source /{}
{}",
        boot_counter::MENU_FILE,
        boot_counter::grub_script()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ashlar_host::cmd::Cmd;
    use ashlar_model::boot_counter::{Entry, Environment, Menu, choose};

    /// GRUB's language is close enough to the shell's; what differs is defined here.
    const GRUB_IN_BASH: &str = r#"
set() { printf -v "${1%%=*}" %s "${1#*=}"; }
load_env() { :; }
save_env() { saved="$saved $*"; }
"#;

    /// `good`, `tried`, `tries`.
    fn environment(values: [&str; 3]) -> Environment {
        let given = ["good", "tried", "tries"].into_iter().zip(values).filter(|(_, value)| !value.is_empty());
        let lines: String = given.map(|(name, value)| format!("{name}={value}\n")).collect();
        Environment::parse(format!("# GRUB Environment Block\n{lines}").as_bytes())
    }

    async fn script(values: [&str; 3], entries: usize) -> (usize, Environment) {
        let [good, tried, tries] = values;
        let text = format!(
            "{GRUB_IN_BASH}good={good}\ntried={tried}\ntries={tries}\nmenu_id=m\nmenu_entries={entries}\n{}\
             echo \"$default:$good:$tried:$tries\"",
            boot_counter::grub_script()
        );
        let said = Cmd::new("bash").args(["-c", &text]).run().await.expect("bash").stdout;
        let fields: Vec<&str> = said.trim().split(':').collect();
        (fields[0].parse().expect("an entry"), environment([fields[1], fields[2], fields[3]]))
    }

    #[tokio::test]
    async fn the_script_decides_as_the_function_does() {
        for good in ["", "m", "x"] {
            for (tried, tries) in
                [("", ""), ("m", ""), ("m", "1"), ("m", "2"), ("m", "3"), ("x", "2"), ("x", "3")]
            {
                for entries in [1, 2, 3] {
                    let menu = Menu { id: "m".into(), entries };
                    let (entry, next) = choose(&menu, &environment([good, tried, tries]));
                    let entry = usize::from(entry == Entry::Previous);
                    let decided = script([good, tried, tries], entries).await;
                    assert_eq!(
                        decided,
                        (entry, next),
                        "good {good}, tried {tried} {tries}, {entries} entries"
                    );
                }
            }
        }
    }
}
