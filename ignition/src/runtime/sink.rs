//! Where fetched bytes go: unpacked as they arrive, hashed, written. Never more than a chunk in memory.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use sha2::{Digest, Sha256, Sha512};

use crate::resource::{Hash, Wanted};

/// Why the bytes are refused.
#[derive(Debug)]
pub(super) enum Refused {
    Hash { wanted: String, found: String },
    Gzip(String),
    Write(io::Error),
}

pub(super) struct Sink<'a, W: Write>(Out<'a, W>);

enum Out<'a, W: Write> {
    Plain(Hashed<'a, W>),
    Gzip(Box<MultiGzDecoder<Hashed<'a, W>>>),
}

impl<'a, W: Write> Sink<'a, W> {
    pub fn new(wanted: &Wanted, writer: &'a mut W) -> Self {
        let hashed = Hashed { hash: wanted.hash.clone().map(Hasher::new), writer };
        Self(if wanted.gzip { Out::Gzip(Box::new(MultiGzDecoder::new(hashed))) } else { Out::Plain(hashed) })
    }

    pub fn finish(self) -> Result<(), Refused> {
        let hashed = match self.0 {
            Out::Plain(hashed) => hashed,
            Out::Gzip(decoder) => decoder.finish().map_err(|error| refused(error, true))?,
        };
        hashed.finish()
    }

    /// What a failed write means.
    pub fn refusal(&self, error: io::Error) -> Refused {
        refused(error, matches!(self.0, Out::Gzip(_)))
    }
}

/// The specification's hash "describes the decompressed" contents: it is taken of what is written.
struct Hashed<'a, W: Write> {
    hash: Option<(Hash, Hasher)>,
    writer: &'a mut W,
}

enum Hasher {
    Sha256(Sha256),
    Sha512(Box<Sha512>),
}

impl Hasher {
    fn new(wanted: Hash) -> (Hash, Self) {
        let hasher = match wanted {
            Hash::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Hash::Sha512(_) => Hasher::Sha512(Box::new(Sha512::new())),
        };
        (wanted, hasher)
    }
}

impl<W: Write> Hashed<'_, W> {
    fn finish(self) -> Result<(), Refused> {
        if let Some((wanted, hasher)) = self.hash {
            let found = match hasher {
                Hasher::Sha256(hasher) => Hash::Sha256(hex::encode(hasher.finalize())),
                Hasher::Sha512(hasher) => Hash::Sha512(hex::encode(hasher.finalize())),
            };
            if wanted != found {
                return Err(Refused::Hash { wanted: wanted.text(), found: found.text() });
            }
        }
        self.writer.flush().map_err(Refused::Write)
    }
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write_all(bytes)?;
        match &mut self.hash {
            Some((_, Hasher::Sha256(hasher))) => hasher.update(bytes),
            Some((_, Hasher::Sha512(hasher))) => hasher.update(bytes),
            None => {}
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refused(error: io::Error, is_gzip: bool) -> Refused {
    let malformed = matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    );
    if is_gzip && malformed { Refused::Gzip(error.to_string()) } else { Refused::Write(error) }
}

impl<W: Write> Write for Sink<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Out::Plain(hashed) => hashed.write_all(bytes),
            Out::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Memory for a configuration; more than fits is refused, however it is packed.
pub(super) struct Limited {
    pub bytes: Vec<u8>,
    pub most: usize,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            let text = format!("more than the {} MiB that a configuration may have", self.most >> 20);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).expect("memory");
        packer.finish().expect("memory")
    }

    #[test]
    fn the_hash_is_that_of_the_unpacked_bytes() {
        let bytes = packed(b"text");
        let wanted = Wanted { hash: Some(Hash::Sha256(hex::encode(Sha256::digest(b"text")))), gzip: true };
        let mut out = Vec::new();
        let mut sink = Sink::new(&wanted, &mut out);
        bytes.chunks(3).for_each(|chunk| sink.write_all(chunk).expect("memory"));
        sink.finish().expect("it is right");
        assert_eq!(out, b"text");
        let mut out = Vec::new();
        let sink = Sink::new(&Wanted { hash: Some(Hash::Sha256("0".repeat(64))), gzip: false }, &mut out);
        assert!(matches!(sink.finish(), Err(Refused::Hash { .. })));
    }

    #[test]
    fn a_bomb_ends_at_the_limit_and_garbage_is_named() {
        let mut out = Limited { bytes: Vec::new(), most: 1 << 20 };
        let mut sink = Sink::new(&Wanted { hash: None, gzip: true }, &mut out);
        let error = sink.write_all(&packed(&vec![0; 8 << 20])).and_then(|()| Write::flush(&mut sink)).err();
        let refusal = error.map(|error| sink.refusal(error)).or_else(|| sink.finish().err());
        assert!(
            matches!(refusal, Some(Refused::Write(error)) if error.kind() == io::ErrorKind::FileTooLarge)
        );
        assert!(out.bytes.len() <= 1 << 20);
        let mut out = Vec::new();
        let mut sink = Sink::new(&Wanted { hash: None, gzip: true }, &mut out);
        let error = sink.write_all(b"<html>not gzip at all</html>").expect_err("it is no gzip");
        assert!(matches!(sink.refusal(error), Refused::Gzip(_)));
    }
}
