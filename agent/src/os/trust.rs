//! Whether a commit of the operating system is signed by a key that this machine trusts.

use std::path::Path;

use anyhow::{Context, ensure};
use ashlar_host::ostree::Signed;
use ashlar_model::commit_signature::TRUSTED_KEYS;
use base64::Engine;
use ring::signature::{ED25519, UnparsedPublicKey};

type PublicKey = Vec<u8>;

/// By the keys of the system that runs.
pub fn check(signed: &Signed) -> anyhow::Result<()> {
    let keys = keys(&Path::new("/").join(TRUSTED_KEYS))?;
    ensure!(
        is_signed(signed, &keys),
        "its commit is not signed by a key that this machine trusts\nhint: get the release again from where it is \
         published; `ashlar release verify` checks it"
    );
    Ok(())
}

fn is_signed(signed: &Signed, keys: &[PublicKey]) -> bool {
    let by = |key: &PublicKey| {
        let key = UnparsedPublicKey::new(&ED25519, key);
        signed.signatures.iter().any(|signature| key.verify(&signed.commit, signature).is_ok())
    };
    keys.iter().any(by)
}

/// Base64, one a line, in any number of files.
fn keys(folder: &Path) -> anyhow::Result<Vec<PublicKey>> {
    let reading = || format!("reading the trusted keys in {}", folder.display());
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        let text = std::fs::read_to_string(entry.with_context(reading)?.path()).with_context(reading)?;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let key = base64::engine::general_purpose::STANDARD.decode(line);
            keys.push(key.with_context(|| format!("{line:?} in {} is no key", folder.display()))?);
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a key")
    }

    fn signed(by: &[&Ed25519KeyPair]) -> Signed {
        let commit = b"a commit".to_vec();
        Signed { signatures: by.iter().map(|pair| pair.sign(&commit).as_ref().to_vec()).collect(), commit }
    }

    #[test]
    fn one_signature_of_a_trusted_key_is_enough_and_others_are_none() {
        let (ours, other) = (pair(1), pair(2));
        let keys = [ours.public_key().as_ref().to_vec()];
        assert!(is_signed(&signed(&[&ours]), &keys));
        assert!(is_signed(&signed(&[&other, &ours]), &keys));
        assert!(!is_signed(&signed(&[&other]), &keys));
        assert!(!is_signed(&signed(&[]), &keys));
        assert!(!is_signed(&signed(&[&ours]), &[]));
    }

    #[test]
    fn a_commit_that_was_altered_is_not_the_signed_one() {
        let ours = pair(1);
        let mut altered = signed(&[&ours]);
        altered.commit[0] ^= 1;
        assert!(!is_signed(&altered, &[ours.public_key().as_ref().to_vec()]));
    }

    #[test]
    fn keys_are_read_line_by_line_and_rubbish_is_named() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let key = base64::engine::general_purpose::STANDARD.encode([3; 32]);
        std::fs::write(dir.path().join("ashlar"), format!("{key}\n\n{key}\n")).expect("write");
        assert_eq!(keys(dir.path()).expect("keys"), [vec![3; 32], vec![3; 32]]);
        std::fs::write(dir.path().join("other"), "?\n").expect("write");
        assert!(format!("{:#}", keys(dir.path()).expect_err("no key")).contains("is no key"));
    }
}
