//! Forms of single values: DNS names, MAC addresses, SSH keys, certificates, pull secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::problem::{Problem, quoted};

pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty()
        && text.len() <= 63
        && text.chars().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

pub(super) fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

/// Lower case with colons, or nothing. Multicast and all-zero addresses are no interface's own.
pub(super) fn mac(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let octets: Option<Vec<u8>> =
        parts.iter().map(|part| (part.len() == 2).then(|| u8::from_str_radix(part, 16).ok())?).collect();
    let octets = octets.filter(|octets| octets.len() == 6)?;
    let unicast = octets[0] & 1 == 0 && octets.iter().any(|octet| *octet != 0);
    unicast.then(|| octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":"))
}

const KEY_TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

pub(super) fn check_ssh_keys(text: &str, problems: &mut Vec<Problem>) {
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Err(reason) = check_ssh_key(line) {
            problems.push(
                Problem::new("sshKey", quoted(line.split(' ').next().unwrap_or("")), reason)
                    .hint("paste the content of a file such as ~/.ssh/id_ed25519.pub"),
            );
        }
    }
}

fn check_ssh_key(line: &str) -> Result<(), &'static str> {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or("");
    if line.contains("PRIVATE KEY") {
        return Err("must be a public key, not a private one");
    }
    if !KEY_TYPES.contains(&kind) {
        return Err("must begin with a key type such as ssh-ed25519 or ssh-rsa");
    }
    let blob = STANDARD
        .decode(words.next().unwrap_or(""))
        .map_err(|_| "must have a key in base64 after its type")?;
    let length = blob.get(..4).map_or(0, |l| u32::from_be_bytes([l[0], l[1], l[2], l[3]]) as usize);
    let named = blob.get(4..4 + length.min(blob.len()));
    if named == Some(kind.as_bytes()) && blob.len() > 4 + length {
        Ok(())
    } else {
        Err("must have a whole key of the type it names")
    }
}

pub(super) fn check_pull_secret(text: &str, problems: &mut Vec<Problem>) {
    let found = "a value that is not shown";
    let hint = "optional: without it no registry outside is used";
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) if value.get("auths").is_some_and(serde_json::Value::is_object) => {}
        Ok(_) => problems
            .push(Problem::new("pullSecret", found, "must be a JSON object with the key `auths`").hint(hint)),
        Err(_) => problems.push(Problem::new("pullSecret", found, "must be JSON").hint(hint)),
    }
}

/// At least one certificate block, each with well-formed base64 that begins like DER.
pub(super) fn is_certificate_bundle(text: &str) -> bool {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let mut rest = text;
    let mut count = 0;
    while let Some(start) = rest.find(BEGIN) {
        let body = &rest[start + BEGIN.len()..];
        let Some(end) = body.find(END) else { return false };
        let base64: String = body[..end].split_whitespace().collect();
        if !STANDARD.decode(base64).is_ok_and(|der| der.first() == Some(&0x30)) {
            return false;
        }
        count += 1;
        rest = &body[end + END.len()..];
    }
    count > 0
}
