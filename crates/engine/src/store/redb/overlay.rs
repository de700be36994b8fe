//! Handles to the bytes of a store as redb uses them; one kind keeps what is written in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::medium::Backend;

/// Bytes of a piece that was written to in memory.
const PIECE: u64 = 4096;

/// Passes on reading and writing, and neither locking nor closing: the medium holds the lock, and outlives the handle.
#[derive(Debug)]
pub(in crate::store) struct Handle(Box<Backend>);

impl Handle {
    pub(in crate::store) fn new(backend: impl StorageBackend) -> Self {
        Self(Box::new(backend))
    }
}

impl StorageBackend for Handle {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

/// The bytes as they are, with what is written kept in memory alone. On a disk that cannot be written to, redb does its
/// repairs here, which touch few pages, and everything can still be read.
#[derive(Debug)]
pub(super) struct Overlay {
    under: Handle,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    /// Length as it looks, and how much of the bytes below still counts: they are zero after a cut.
    len: u64,
    below: u64,
    pieces: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(super) fn new(under: Handle) -> io::Result<Self> {
        let len = under.len()?;
        Ok(Self { under, over: Mutex::new(Over { len, below: len, pieces: BTreeMap::new() }) })
    }

    fn lock(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from below, zero where nothing is.
    fn read_below(&self, below: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = below.saturating_sub(offset).min(out.len() as u64) as usize;
        let (found, missing) = out.split_at_mut(there);
        missing.fill(0);
        if found.is_empty() { Ok(()) } else { self.under.read(offset, found) }
    }
}

/// The pieces of a range: number of the piece, range within it, range within the data.
fn pieces(
    offset: u64,
    len: usize,
) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let end = offset + len as u64;
    (offset / PIECE..end.div_ceil(PIECE)).map(move |piece| {
        let start = piece * PIECE;
        let (from, to) = (offset.max(start), end.min(start + PIECE));
        (
            piece,
            (from - start) as usize..(to - start) as usize,
            (from - offset) as usize..(to - offset) as usize,
        )
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.lock();
        if offset + out.len() as u64 > over.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let below = over.below;
        let written: Vec<_> = pieces(offset, out.len())
            .filter_map(|(piece, within, at)| Some((over.pieces.get(&piece)?[within].to_vec(), at)))
            .collect();
        drop(over);
        self.read_below(below, offset, out)?;
        for (bytes, at) in written {
            out[at].copy_from_slice(&bytes);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.lock();
        if len < over.len {
            over.below = over.below.min(len);
            over.pieces.retain(|piece, _| piece * PIECE < len);
            let (last, used) = (len / PIECE, (len % PIECE) as usize);
            if let Some(piece) = over.pieces.get_mut(&last) {
                piece[used..].fill(0);
            }
        }
        over.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.lock();
        let below = over.below;
        for (piece, within, at) in pieces(offset, data.len()) {
            let whole = match over.pieces.entry(piece) {
                Entry::Occupied(whole) => whole.into_mut(),
                Entry::Vacant(missing) => {
                    let mut whole = vec![0; PIECE as usize].into_boxed_slice();
                    self.read_below(below, piece * PIECE, &mut whole)?;
                    missing.insert(whole)
                }
            };
            whole[within].copy_from_slice(&data[at]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redb::backends::InMemoryBackend;

    #[test]
    fn writes_stay_above_and_reads_see_both() {
        let below = InMemoryBackend::new();
        below.set_len(10_000).unwrap();
        below.write(0, &[1; 10_000]).unwrap();
        let overlay = Overlay::new(Handle::new(below)).unwrap();
        overlay.write(4090, &[2; 12]).unwrap();
        let mut out = [0; 20];
        overlay.read(4086, &mut out).unwrap();
        assert_eq!(out[..4], [1; 4]);
        assert_eq!(out[4..16], [2; 12]);
        assert_eq!(out[16..], [1; 4]);
        let mut untouched = [0; 12];
        overlay.under.read(4090, &mut untouched).unwrap();
        assert_eq!(untouched, [1; 12]);
    }

    #[test]
    fn what_was_cut_off_comes_back_as_zero() {
        let below = InMemoryBackend::new();
        below.set_len(10_000).unwrap();
        below.write(0, &[1; 10_000]).unwrap();
        let overlay = Overlay::new(Handle::new(below)).unwrap();
        overlay.write(8000, &[2; 500]).unwrap();
        overlay.set_len(8100).unwrap();
        assert!(overlay.read(8090, &mut [0; 20]).is_err(), "past the end");
        overlay.set_len(12_000).unwrap();
        let mut out = [9; 4000];
        overlay.read(8000, &mut out).unwrap();
        assert_eq!(out[..100], [2; 100]);
        assert_eq!(out[100..], [0; 3900]);
    }
}
