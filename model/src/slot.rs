//! The config slot: a GPT partition of an installed disk that carries the host's first-boot configuration.
//!
//! Layout: magic, version, payload length, SHA-256 of the payload, payload (JSON). Written last by the installing
//! agent; the secret part is wiped by the node agent after a successful first boot.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

pub const PARTITION_TYPE: &str = "6b2a9f3e-5c1d-4e7a-9b8c-a51a12c0f160";
pub const SLOT_BYTES: u64 = 8 * 1024 * 1024;
const MAGIC: &[u8; 8] = b"ASHLARCF";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 8 + 32;

/// What a host needs to fetch and apply its configuration at its first boot.
#[derive(Clone, Serialize, Deserialize)]
pub struct Slot {
    pub host: String,
    /// An Ignition config; it merges the host's own config from the configuration server.
    pub ignition: serde_json::Value,
    /// Trusted for the fetches of this config, PEM.
    pub server_ca_pem: String,
    /// `None` once wiped.
    pub secret: Option<SlotSecret>,
    /// When this was written, in seconds since 1970: the machine's clock is not before it. 0: not known.
    #[serde(default)]
    pub issued_at: u64,
}

/// Proof of who the host is: the enrolment token and the key pair that it is bound to.
#[derive(Clone, Serialize, Deserialize)]
pub struct SlotSecret {
    pub token: String,
    pub certificate_pem: String,
    pub private_key_pem: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    #[error("the config slot holds no configuration (no `ASHLARCF` magic)")]
    Empty,
    #[error("the config slot has version {0}; this program reads version 1")]
    Version(u32),
    #[error("the config slot says {0} bytes, more than the slot can hold")]
    Length(u64),
    #[error("the config slot's checksum does not match: it was not written completely")]
    Checksum,
    #[error("the configuration needs {need} bytes; the config slot holds {have}")]
    TooLarge { need: u64, have: u64 },
    #[error("reading the config slot's JSON")]
    Json(#[from] serde_json::Error),
}

/// Bytes to write at the start of the slot.
pub fn encode(slot: &Slot) -> Result<Vec<u8>, SlotError> {
    let payload = serde_json::to_vec(slot)?;
    let need = (HEADER_BYTES + payload.len()) as u64;
    if need > SLOT_BYTES {
        return Err(SlotError::TooLarge { need, have: SLOT_BYTES });
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&Sha256::digest(&payload));
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// Reads a slot from the bytes of its partition (trailing bytes are ignored).
pub fn decode(bytes: &[u8]) -> Result<Slot, SlotError> {
    let header = bytes.get(..HEADER_BYTES).ok_or(SlotError::Empty)?;
    if &header[..8] != MAGIC {
        return Err(SlotError::Empty);
    }
    let version = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
    if version != VERSION {
        return Err(SlotError::Version(version));
    }
    let length = u64::from_le_bytes(header[12..20].try_into().expect("eight bytes"));
    let end = usize::try_from(length).ok().and_then(|length| length.checked_add(HEADER_BYTES));
    let payload = end.and_then(|end| bytes.get(HEADER_BYTES..end)).ok_or(SlotError::Length(length))?;
    if header[20..52] != Sha256::digest(payload)[..] {
        return Err(SlotError::Checksum);
    }
    Ok(serde_json::from_slice(payload)?)
}

/// SHA-256 of the payload in hex: names the configuration in stamps.
pub fn identity(slot: &Slot) -> Result<String, SlotError> {
    Ok(hex::encode(Sha256::digest(serde_json::to_vec(&(&slot.host, &slot.ignition))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> Slot {
        Slot {
            host: "master-1".into(),
            ignition: serde_json::json!({"ignition": {"version": "3.5.0"}}),
            server_ca_pem: "PEM".into(),
            secret: None,
            issued_at: 0,
        }
    }

    #[test]
    fn what_is_written_is_read_back_with_trailing_bytes() {
        let mut bytes = encode(&slot()).expect("it fits");
        bytes.resize(bytes.len() + 4096, 0xff);
        assert_eq!(decode(&bytes).expect("valid").host, "master-1");
    }

    #[test]
    fn a_half_written_slot_is_not_a_configuration() {
        let mut bytes = encode(&slot()).expect("it fits");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert!(matches!(decode(&bytes), Err(SlotError::Checksum)));
        assert!(matches!(decode(&[0; 4096]), Err(SlotError::Empty)));
    }
}
