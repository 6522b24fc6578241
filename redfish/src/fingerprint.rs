//! SHA-256 fingerprints of TLS certificates, as operators copy them out of a BMC's web page or openssl.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a SHA-256 fingerprint; expected 64 hexadecimal digits, colons allowed")]
pub struct NotAFingerprint {
    text: String,
}

impl Fingerprint {
    /// Of a whole certificate in DER form.
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.rsplit_once('=').map_or(lower.as_str(), |(_, digits)| digits);
        let digits = digits.strip_prefix("sha256:").unwrap_or(digits).replace([':', ' '], "");
        let mut bytes = [0; 32];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| NotAFingerprint { text: text.into() })?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = NotAFingerprint;

    fn try_from(text: String) -> Result<Self, NotAFingerprint> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_that_tools_print_are_the_same_fingerprint() {
        let plain = Fingerprint::of_certificate(b"x");
        let colons = plain.to_string();
        let openssl = format!("sha256 Fingerprint={}", colons.to_uppercase());
        let prefixed = format!("sha256:{}", colons.replace(':', ""));
        for text in [colons, openssl, prefixed] {
            assert_eq!(text.parse::<Fingerprint>().unwrap(), plain, "{text}");
        }
        assert!("ab:cd".parse::<Fingerprint>().is_err());
    }
}
