//! How a commit of the operating system is signed: as libostree does it (`ostree sign --sign-type=ed25519`), in the
//! commit's detached metadata. Debian's libostree is built without that; so it is written and checked by us.

/// Key in the detached metadata, an `a{sv}`; its value is an `aay` of signatures over the commit object's bytes.
pub const SIGNATURES: &str = "ostree.sign.ed25519";
/// In the system: folder of files with public keys in base64, one a line; libostree's own place.
pub const TRUSTED_KEYS: &str = "usr/share/ostree/trusted.ed25519.d";
/// Name of the release's key there.
pub const RELEASE_KEY: &str = "ashlar-release";

/// The detached metadata (GVariant `a{sv}`) with one signature. All lengths are below 256, so that each framing offset
/// is one byte.
#[must_use]
pub fn detached_metadata(signature: &[u8; 64]) -> Vec<u8> {
    let mut bytes = SIGNATURES.as_bytes().to_vec();
    bytes.push(0);
    let key_end = bytes.len() as u8;
    // A variant stands at a multiple of eight.
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes.extend(signature);
    // Where the array's only element ends; then the variant's type.
    bytes.push(signature.len() as u8);
    bytes.extend(b"\0aay");
    bytes.push(key_end);
    // Where the dictionary's only entry ends.
    bytes.push(bytes.len() as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_is_laid_out_as_gvariant_wants_it() {
        let bytes = detached_metadata(&[7; 64]);
        assert_eq!(bytes.len(), 95);
        assert_eq!(&bytes[..20], b"ostree.sign.ed25519\0");
        assert_eq!(&bytes[20..24], [0; 4]);
        assert_eq!(&bytes[24..88], [7; 64]);
        assert_eq!(&bytes[88..], [64, 0, b'a', b'a', b'y', 20, 94]);
    }
}
