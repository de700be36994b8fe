//! Where the bytes of a store lie: a file, locked for as long as the store is open. Tests put a disk that fails in its place.

use std::fmt::Debug;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::overlay::Handle;
use crate::store::StoreError;

/// What every file of redb begins with.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Where the bytes lie.
pub(in crate::store) trait Medium: Debug + Send + Sync {
    /// Its name, for errors.
    fn path(&self) -> &Path;

    /// A new handle to the same bytes. After an error redb gives up its handle; the store opens another.
    fn handle(&self) -> io::Result<Handle>;

    /// Bytes that can still be written, where the system tells.
    fn free_bytes(&self) -> Option<u64>;

    /// Lets others have the bytes.
    fn release(&self) -> io::Result<()>;
}

/// A file of the system.
#[derive(Debug)]
pub(super) struct FileMedium {
    path: PathBuf,
    file: File,
}

impl FileMedium {
    /// Opens or creates a file and locks it. What is neither empty nor redb's is left alone.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let system = |error: io::Error| StoreError::system(path, &error);
        let new = !path.try_exists().map_err(system)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(system)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { path: path.to_path_buf() }),
            Err(TryLockError::Error(error)) => return Err(system(error)),
        }
        let mut begin = Vec::new();
        Read::by_ref(&mut file).take(MAGIC.len() as u64).read_to_end(&mut begin).map_err(system)?;
        if !begin.is_empty() && begin != MAGIC {
            let reason = "it does not begin as one".to_owned();
            return Err(StoreError::Foreign { path: path.to_path_buf(), reason });
        }
        if new {
            // The file's name must outlast a power failure as well as what is in it.
            sync_folder(path).map_err(system)?;
        }
        Ok(Self { path: path.to_path_buf(), file })
    }
}

impl Medium for FileMedium {
    fn path(&self) -> &Path {
        &self.path
    }

    fn handle(&self) -> io::Result<Handle> {
        // The lock belongs to what the copies share: it stays when one of them goes.
        FileBackend::new(self.file.try_clone()?).map(Handle::new).map_err(io::Error::other)
    }

    #[cfg(unix)]
    fn free_bytes(&self) -> Option<u64> {
        let system = rustix::fs::fstatvfs(&self.file).ok()?;
        system.f_bavail.checked_mul(system.f_frsize)
    }

    #[cfg(not(unix))]
    fn free_bytes(&self) -> Option<u64> {
        None
    }

    fn release(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

/// Makes the names in the folder of a file outlast a power failure.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

/// So that a handle can be made of anything.
pub(in crate::store) type Backend = dyn StorageBackend;
