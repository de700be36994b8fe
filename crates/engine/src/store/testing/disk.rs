//! A disk in memory that fills up, fails, and loses what was not synced.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use foldin_core::random::Random;
use redb::StorageBackend;

use crate::store::redb::medium::Medium;
use crate::store::redb::overlay::Handle;
use crate::store::{RedbStore, StoreError, StoreOptions};

/// What a disk writes as a whole.
const SECTOR: usize = 512;

/// A disk in memory. Copies are the same disk.
///
/// What a store wrote is visible at once but safe only after a sync: [`power_loss`](Self::power_loss) keeps of the rest what chance
/// keeps, in any order and in single sectors.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    platter: Arc<Mutex<Platter>>,
}

#[derive(Debug, Default)]
struct Platter {
    now: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    operations: u64,
    syncs: u64,
    fault: Option<Fault>,
    free_bytes: Option<u64>,
    sync_takes: Duration,
}

#[derive(Clone, Debug)]
enum Change {
    Length(usize),
    Write(usize, Vec<u8>),
}

#[derive(Clone, Copy, Debug)]
struct Fault {
    /// Writes and syncs to go before it begins.
    after: u64,
    /// How many then fail.
    lasts: u64,
    kind: io::ErrorKind,
    reads_too: bool,
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => bytes.resize(*length, 0),
        Change::Write(at, data) => {
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
    }
}

impl SimulatedDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A disk that holds these bytes, all of them safe.
    #[must_use]
    pub fn holding(bytes: Vec<u8>) -> Self {
        let platter = Platter { now: bytes.clone(), synced: bytes, ..Platter::default() };
        Self { platter: Arc::new(Mutex::new(platter)) }
    }

    /// Opens the store on it, or makes one.
    ///
    /// # Errors
    /// As [`RedbStore::open`].
    pub fn open(&self, options: StoreOptions) -> Result<RedbStore, StoreError> {
        RedbStore::on(Box::new(self.clone()), options)
    }

    /// All bytes, as a reader sees them.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.platter().now.clone()
    }

    /// Writes and syncs so far, failed ones included.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.platter().operations
    }

    /// Syncs so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.platter().syncs
    }

    /// After so many more writes and syncs, so many fail, half done, with this kind of error. Reading works on.
    pub fn fail_writes(&self, after: u64, lasts: u64, kind: io::ErrorKind) {
        self.platter().fault = Some(Fault { after, lasts, kind, reads_too: false });
    }

    /// From now on everything fails, reading too.
    pub fn fail_everything(&self) {
        let kind = io::ErrorKind::Other;
        self.platter().fault = Some(Fault { after: 0, lasts: u64::MAX, kind, reads_too: true });
    }

    /// The disk is sound again.
    pub fn mend(&self) {
        self.platter().fault = None;
    }

    /// A sync takes this long from now on, while reading and writing go on.
    pub fn sync_takes(&self, time: Duration) {
        self.platter().sync_takes = time;
    }

    /// How much room the system reports; not at all at first.
    pub fn report_free_bytes(&self, bytes: Option<u64>) {
        self.platter().free_bytes = bytes;
    }

    /// The disk as it would be found if the power failed now. This one goes on.
    #[must_use]
    pub fn power_loss(&self, random: &mut Random) -> Self {
        let platter = self.platter();
        let mut bytes = platter.synced.clone();
        // Sometimes all or nothing of it is kept, mostly some.
        let keep = [0.0, 0.1, 0.5, 0.9, 1.0][random.below(5)];
        let mut changes: Vec<Change> = Vec::new();
        for change in &platter.unsynced {
            match change {
                Change::Length(_) if random.chance(keep) => changes.push(change.clone()),
                Change::Length(_) => {}
                Change::Write(at, data) => {
                    let sectors = data.chunks(SECTOR).enumerate().filter(|_| random.chance(keep));
                    changes.extend(
                        sectors.map(|(number, sector)| Change::Write(at + number * SECTOR, sector.to_vec())),
                    );
                }
            }
        }
        random.shuffle(&mut changes);
        for change in &changes {
            apply(&mut bytes, change);
        }
        Self::holding(bytes)
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Platter {
    /// Whether the operation that begins now fails.
    fn operation(&mut self) -> Option<io::Error> {
        self.operations += 1;
        let fault = self.fault.as_mut()?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        if fault.lasts == 0 {
            return None;
        }
        fault.lasts -= 1;
        Some(fault.kind.into())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.now, &change);
        self.unsynced.push(change);
    }
}

impl StorageBackend for SimulatedDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.platter().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let platter = self.platter();
        if let Some(fault) = platter.fault.filter(|fault| fault.reads_too) {
            return Err(fault.kind.into());
        }
        let start = offset as usize;
        let found = platter.now.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut platter = self.platter();
        platter.operation().map_or(Ok(()), Err)?;
        platter.change(Change::Length(len as usize));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let takes = self.platter().sync_takes;
        if !takes.is_zero() {
            thread::sleep(takes);
        }
        let mut platter = self.platter();
        platter.syncs += 1;
        platter.operation().map_or(Ok(()), Err)?;
        let Platter { synced, unsynced, .. } = &mut *platter;
        for change in unsynced.drain(..) {
            apply(synced, &change);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut platter = self.platter();
        let error = platter.operation();
        let written = if error.is_some() { data.len() / 2 } else { data.len() };
        platter.change(Change::Write(offset as usize, data[..written].to_vec()));
        error.map_or(Ok(()), Err)
    }
}

impl Medium for SimulatedDisk {
    fn path(&self) -> &Path {
        Path::new("simulated-disk")
    }

    fn handle(&self) -> io::Result<Handle> {
        Ok(Handle::new(self.clone()))
    }

    fn free_bytes(&self) -> Option<u64> {
        self.platter().free_bytes
    }

    fn release(&self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_synced_is_safe() {
        let disk = SimulatedDisk::new();
        disk.set_len(4096).unwrap();
        disk.write(0, &[1; 2048]).unwrap();
        disk.sync_data().unwrap();
        disk.write(0, &[2; 2048]).unwrap();
        let mut seen = [false; 3];
        for seed in 0..20 {
            let bytes = disk.power_loss(&mut Random::new(seed)).bytes();
            assert_eq!(bytes.len(), 4096);
            for sector in bytes[..2048].chunks(SECTOR) {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "a sector is whole");
                seen[usize::from(sector[0])] = true;
            }
        }
        assert_eq!(seen, [false, true, true]);
    }

    #[test]
    fn failed_writes_are_half_done() {
        let disk = SimulatedDisk::holding(vec![0; 8]);
        disk.fail_writes(1, 1, io::ErrorKind::StorageFull);
        assert!(disk.write(0, &[1; 2]).is_ok());
        assert_eq!(disk.write(2, &[1; 4]).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(disk.write(6, &[1; 2]).is_ok());
        assert_eq!(disk.bytes(), [1, 1, 1, 1, 0, 0, 1, 1]);
    }
}
