//! Puts a file together from bytes that arrive in order: only chunks whose hash is right are let through. Pure.

use ashlar_model::release::FetchList;
use sha2::{Digest, Sha256};

/// A chunk is not what the list says. The assembly is back at its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongChunk {
    pub index: usize,
    pub range: std::ops::Range<u64>,
}

/// Its place in the file, and its bytes.
pub type Chunk = (u64, Vec<u8>);

pub struct Assembly<'a> {
    list: &'a FetchList,
    index: usize,
    partial: Vec<u8>,
}

impl<'a> Assembly<'a> {
    pub fn new(list: &'a FetchList) -> Self {
        Self { list, index: 0, partial: Vec::new() }
    }

    /// The next byte that is needed.
    pub fn position(&self) -> u64 {
        self.list.range(self.index).start + self.partial.len() as u64
    }

    /// Bytes that are checked.
    pub fn checked(&self) -> u64 {
        self.list.range(self.index).start
    }

    pub fn is_complete(&self) -> bool {
        self.checked() == self.list.size
    }

    /// Takes what fits into the present chunk. When that is whole and right it is returned, with its place in the
    /// file; what was not taken is returned too.
    ///
    /// # Errors
    /// The chunk is whole and wrong.
    pub fn take<'b>(&mut self, bytes: &'b [u8]) -> Result<(Option<Chunk>, &'b [u8]), WrongChunk> {
        let range = self.list.range(self.index);
        let room = (range.end - range.start) as usize - self.partial.len();
        let (own, rest) = bytes.split_at(room.min(bytes.len()));
        self.partial.extend_from_slice(own);
        if own.len() < room || range.is_empty() {
            return Ok((None, rest));
        }
        let chunk = std::mem::take(&mut self.partial);
        let found = hex::encode(Sha256::digest(&chunk));
        if self.list.chunks.get(self.index) != Some(&found) {
            return Err(WrongChunk { index: self.index, range });
        }
        self.index += 1;
        Ok((Some((range.start, chunk)), rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(parts: &[&[u8]]) -> FetchList {
        let chunks = parts.iter().map(|part| hex::encode(Sha256::digest(part))).collect();
        let size = parts.iter().map(|part| part.len() as u64).sum();
        FetchList { version: "1".into(), size, medium_offset: 0, chunk_size: parts[0].len() as u64, chunks }
    }

    #[test]
    fn pieces_of_any_size_become_checked_chunks() {
        let list = list(&[b"abcd", b"efgh", b"ij"]);
        for size in 1..=10 {
            let mut assembly = Assembly::new(&list);
            let mut made = vec![0; 10];
            for piece in b"abcdefghij".chunks(size) {
                let mut rest = piece;
                while !rest.is_empty() {
                    let (chunk, left) = assembly.take(rest).expect("right");
                    if let Some((at, chunk)) = chunk {
                        made[at as usize..][..chunk.len()].copy_from_slice(&chunk);
                    }
                    rest = left;
                }
            }
            assert!(assembly.is_complete());
            assert_eq!(made, b"abcdefghij");
        }
    }

    #[test]
    fn a_wrong_chunk_is_named_and_asked_for_again_from_its_beginning() {
        let list = list(&[b"abcd", b"efgh"]);
        let mut assembly = Assembly::new(&list);
        assembly.take(b"abcd").expect("right");
        assert_eq!(assembly.take(b"efXh").expect_err("wrong"), WrongChunk { index: 1, range: 4..8 });
        assert_eq!(assembly.position(), 4);
        assembly.take(b"ef").expect("not whole yet");
        assert_eq!((assembly.position(), assembly.checked()), (6, 4));
        assembly.take(b"gh").expect("right");
        assert!(assembly.is_complete());
    }
}
