//! Boot scripts of a network boot folder: for iPXE, and for GRUB as signed shim starts it. Pure.

use super::Description;

/// What every initrd line names, in the order in which the kernel unpacks them.
pub const INITRDS: [&str; 3] = ["initrd.img", "fetch.img", "host.img"];

pub fn ipxe(about: &Description) -> String {
    let named: Vec<String> = INITRDS.iter().map(|name| format!("initrd={name}")).collect();
    let fetched: Vec<String> = INITRDS.iter().map(|name| format!("initrd {name}\n")).collect();
    let source = match &about.source {
        Some(source) => format!("set source {source}"),
        // The folder of this script; an old iPXE knows only the script's name, as DHCP said it.
        None => "isset ${cwduri} && set source ${cwduri} || set source ${filename}".to_owned(),
    };
    format!(
        "#!ipxe
# Ashlar {version}. `ashlar media customize` writes this file.
{source}
echo Ashlar {version} from ${{source}}
kernel vmlinuz {} {} ashlar.source=${{source}} {}
{}boot
",
        named.join(" "),
        about.arguments,
        about.kernel_arguments.join(" "),
        fetched.concat(),
        version = about.version,
    )
}

pub fn grub(about: &Description) -> String {
    let initrds: Vec<String> = INITRDS.iter().map(|name| format!("/{name}")).collect();
    // By HTTP GRUB's server is address and port; Debian's GRUB asks for its menu at the server's root alone.
    let source = about.source.as_deref().unwrap_or("http://$net_default_server/");
    format!(
        "# Ashlar {version}. `ashlar media customize` writes this file.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
menuentry \"Ashlar {version}\" {{
    linux /vmlinuz {} ashlar.source={source} {}
    initrd {}
}}
",
        about.arguments,
        about.kernel_arguments.join(" "),
        initrds.join(" "),
        version = about.version,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(source: Option<&str>) -> Description {
        Description {
            version: "1.2.3".into(),
            arguments: "ashlar.live=fetch rw".into(),
            kernel_arguments: vec!["nomodeset".into()],
            source: source.map(ToOwned::to_owned),
        }
    }

    #[test]
    fn ipxe_loads_what_lies_beside_the_script() {
        let script = ipxe(&about(None));
        let kernel = "kernel vmlinuz initrd=initrd.img initrd=fetch.img initrd=host.img ashlar.live=fetch rw \
                      ashlar.source=${source} nomodeset\n";
        assert!(script.starts_with("#!ipxe\n") && script.contains(kernel), "{script}");
        assert!(script.contains("|| set source ${filename}\n"), "{script}");
        assert!(script.ends_with("initrd fetch.img\ninitrd host.img\nboot\n"), "{script}");
    }

    #[test]
    fn a_given_source_stands_in_both_scripts() {
        let about = about(Some("http://a/b/"));
        assert!(ipxe(&about).contains("\nset source http://a/b/\n"));
        assert!(grub(&about).contains(" ashlar.source=http://a/b/ ") && !grub(&about).contains("$net"));
    }
}
