//! Boot scripts of a network boot folder: for iPXE, and for GRUB as signed shim starts it. Pure.

use super::Description;

/// What every initrd line names, in the order in which the kernel unpacks them.
pub const INITRDS: [&str; 3] = ["initrd.img", "fetch.img", "host.img"];

pub fn ipxe(about: &Description) -> String {
    let named: Vec<String> = INITRDS.iter().map(|name| format!("initrd={name}")).collect();
    let fetched: Vec<String> = INITRDS.iter().map(|name| format!("initrd ${{base}}{name}\n")).collect();
    // The script's own folder; from a TFTP server the source must be given.
    let source = about.source.as_deref().unwrap_or("${base}");
    format!(
        "#!ipxe
# Ashlar {}. `ashlar media customize` writes this file.
set base ${{cwduri}}
echo Ashlar {} from ${{base}}
kernel ${{base}}vmlinuz {} {} ashlar.source={source} {}
{}boot
",
        about.version,
        about.version,
        named.join(" "),
        about.arguments,
        about.kernel_arguments.join(" "),
        fetched.concat()
    )
}

pub fn grub(about: &Description) -> String {
    let initrds: Vec<String> = INITRDS.iter().map(|name| format!("$base/{name}")).collect();
    let source = match &about.source {
        Some(source) => format!("set source=\"{source}\"\n"),
        // GRUB knows the folder that it was loaded from, and by TFTP at least the server.
        None => "set source=\"http://$net_default_server/\"
if regexp --set=1:server --set=2:path '^\\(http,([^)]*)\\)(.*)/EFI/BOOT$' \"$cmdpath\"; then
    set source=\"http://$server$path/\"
fi
"
        .to_owned(),
    };
    format!(
        "# Ashlar {version}. `ashlar media customize` writes this file.
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
set base=\"($root)\"
if regexp --set=1:folder '^(.*)/EFI/BOOT$' \"$cmdpath\"; then
    set base=\"$folder\"
fi
{source}menuentry \"Ashlar {version}\" {{
    linux $base/vmlinuz {} ashlar.source=$source {}
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
        let kernel = "kernel ${base}vmlinuz initrd=initrd.img initrd=fetch.img initrd=host.img ashlar.live=fetch rw \
                      ashlar.source=${base} nomodeset\n";
        assert!(script.starts_with("#!ipxe\n") && script.contains(kernel), "{script}");
        assert!(script.ends_with("initrd ${base}fetch.img\ninitrd ${base}host.img\nboot\n"), "{script}");
    }

    #[test]
    fn a_given_source_stands_in_both_scripts() {
        let about = about(Some("http://a/b/"));
        assert!(ipxe(&about).contains(" ashlar.source=http://a/b/ "));
        assert!(grub(&about).contains("set source=\"http://a/b/\"\n") && !grub(&about).contains("$server"));
    }
}
