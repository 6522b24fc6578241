//! Random secrets and their hashes.

use rand::Rng;
use sha2::{Digest, Sha256};

/// An enrolment token: 32 random bytes, hex.
pub fn token() -> String {
    hex::encode(rand::rng().random::<[u8; 32]>())
}

/// What servers keep instead of a token.
pub fn token_sha256(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}

/// A Kubernetes bootstrap token, `id.secret` (6 and 16 characters of `[a-z0-9]`).
pub fn kubelet_token() -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut random = rand::rng();
    let mut text = |length: usize| -> String {
        (0..length).map(|_| ALPHABET[random.random_range(0..ALPHABET.len())] as char).collect()
    };
    format!("{}.{}", text(6), text(16))
}
