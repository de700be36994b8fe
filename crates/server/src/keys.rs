//! API keys: who may do what.
//!
//! A key is `fk_` + 12 letters that name it + `_` + 43 letters of secret, 256 random bits. The file holds names and SHA-256 hashes of
//! secrets: these are random, so that no slow hash is needed against guessing. Comparing takes the same time wherever they differ. The
//! file is read again when it changes, so that a key made or revoked on the command line counts within a second.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

const PREFIX: &str = "fk_";
const NAME_LETTERS: usize = 12;
const SECRET_LETTERS: usize = 43;
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.";

/// How long a file is taken to be as it was.
const FRESH: Duration = Duration::from_secs(1);

/// What a key may do; each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Ask: recommendations, items, versions, figures.
    Read,
    /// Write: events, users, items.
    Write,
    /// Everything: training, promoting, keys.
    Admin,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// A key as it is listed: without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyInfo {
    /// The key's own name, part of the key.
    pub id: String,
    /// What it is for, in words.
    pub label: String,
    /// What it may do.
    pub role: Role,
    /// When it was made, in milliseconds since 1970.
    pub created: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    info: KeyInfo,
    /// SHA-256 of the secret, in hexadecimal.
    sha256: String,
}

/// A file of keys that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not a list of keys.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// There is no such key.
    #[error("there is no key `{id}`")]
    Unknown {
        /// Its name.
        id: String,
    },
    /// The system has no random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
    /// A label nobody can read.
    #[error("a label has 1 to 100 characters, none of them a control character")]
    Label,
}

/// By what a file is known to be as it was: when it was written, and its length.
type Stamp = (SystemTime, u64);

#[derive(Debug)]
struct Read {
    keys: Vec<Stored>,
    stamp: Option<Stamp>,
    looked: Option<Instant>,
}

/// The keys of a file, which need not exist: then there are none.
#[derive(Debug)]
pub struct Keys {
    path: PathBuf,
    read: RwLock<Read>,
}

impl Keys {
    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let out = Self {
            path: path.to_owned(),
            read: RwLock::new(Read { keys: Vec::new(), stamp: None, looked: None }),
        };
        out.refresh()?;
        Ok(out)
    }

    /// Whether there are any; while there are none, nobody is asked for one.
    #[must_use]
    pub fn any(&self) -> bool {
        self.up_to_date();
        !self.read.read().unwrap_or_else(PoisonError::into_inner).keys.is_empty()
    }

    /// All keys, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<KeyInfo> {
        self.up_to_date();
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        read.keys.iter().map(|key| key.info.clone()).collect()
    }

    /// The key that was sent, if it is one of these.
    #[must_use]
    pub fn check(&self, sent: &str) -> Option<KeyInfo> {
        self.up_to_date();
        let (id, secret) = sent.strip_prefix(PREFIX)?.split_once('_')?;
        let hash = hash(secret);
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        let key = read.keys.iter().find(|key| key.info.id == id)?;
        let same = bool::from(hash.as_bytes().ct_eq(key.sha256.as_bytes()));
        same.then(|| key.info.clone())
    }

    /// Makes a key and keeps its hash; the key itself is returned and known to nobody else.
    ///
    /// # Errors
    /// [`KeyError`]; no key is made then.
    pub fn create(&self, label: &str, role: Role, now: i64) -> Result<(KeyInfo, String), KeyError> {
        if label.is_empty() || label.chars().count() > 100 || label.chars().any(char::is_control) {
            return Err(KeyError::Label);
        }
        let id = random_letters::<NAME_LETTERS>()?.replace(['-', '.'], "x");
        let secret = random_letters::<SECRET_LETTERS>()?;
        let info = KeyInfo { id: id.clone(), label: label.to_owned(), role, created: now };
        self.change(|keys| {
            keys.push(Stored { info: info.clone(), sha256: hash(&secret) });
            Ok(())
        })?;
        Ok((info, format!("{PREFIX}{id}_{secret}")))
    }

    /// Takes a key away.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], or an error of the file.
    pub fn revoke(&self, id: &str) -> Result<(), KeyError> {
        self.change(|keys| {
            let before = keys.len();
            keys.retain(|key| key.info.id != id);
            if keys.len() == before { Err(KeyError::Unknown { id: id.to_owned() }) } else { Ok(()) }
        })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Stored>) -> Result<(), KeyError>) -> Result<(), KeyError> {
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        let (mut keys, _) = self.load()?;
        change(&mut keys)?;
        let json = serde_json::to_vec_pretty(&keys)
            .map_err(|error| KeyError::Format { path: self.path.clone(), reason: error.to_string() })?;
        let fresh = self.path.with_extension("json.new");
        let at = |source| KeyError::Io { path: fresh.clone(), source };
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&fresh).map_err(at)?;
        file.write_all(&json).and_then(|()| file.sync_all()).map_err(at)?;
        fs::rename(&fresh, &self.path).map_err(|source| KeyError::Io { path: self.path.clone(), source })?;
        (read.keys, read.stamp) = self.load()?;
        Ok(())
    }

    /// Reads the file again if it changed and was not looked at just now. A file that cannot be read changes nothing: whoever has a
    /// key keeps it.
    fn up_to_date(&self) {
        let looked = self.read.read().unwrap_or_else(PoisonError::into_inner).looked;
        if looked.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        if let Err(error) = self.refresh() {
            tracing::error!(%error, "the file of keys");
        }
    }

    fn refresh(&self) -> Result<(), KeyError> {
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        read.looked = Some(Instant::now());
        if read.stamp.is_none() || read.stamp != stamp(&self.path) {
            (read.keys, read.stamp) = self.load()?;
        }
        Ok(())
    }

    fn load(&self) -> Result<(Vec<Stored>, Option<Stamp>), KeyError> {
        let stamp = stamp(&self.path);
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
            Err(source) => return Err(KeyError::Io { path: self.path.clone(), source }),
        };
        let keys = serde_json::from_slice(&bytes)
            .map_err(|error| KeyError::Format { path: self.path.clone(), reason: error.to_string() })?;
        Ok((keys, stamp))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn hash(secret: &str) -> String {
    Sha256::digest(secret.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn random_letters<const N: usize>() -> Result<String, KeyError> {
    let mut bytes = [0u8; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes.iter().map(|byte| LETTERS[usize::from(byte % 64)] as char).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_by_its_secret_until_it_is_revoked() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        let keys = Keys::open(&path).unwrap();
        assert!(!keys.any());
        let (info, key) = keys.create("shop", Role::Write, 7).unwrap();
        assert_eq!(keys.check(&key), Some(info.clone()));
        let mut wrong = key.clone();
        wrong.pop();
        for sent in [wrong.as_str(), "", "fk_", "fk__", &key[..20], &format!("{key}x")] {
            assert_eq!(keys.check(sent), None, "{sent}");
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(key.rsplit('_').next().unwrap()), "no secret is written");
        assert_eq!(Keys::open(&path).unwrap().list(), std::slice::from_ref(&info));
        keys.revoke(&info.id).unwrap();
        assert_eq!(keys.check(&key), None);
        assert!(matches!(keys.revoke(&info.id), Err(KeyError::Unknown { .. })));
        assert!(matches!(keys.create("", Role::Read, 0), Err(KeyError::Label)));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_reads_the_file() {
        use std::os::unix::fs::PermissionsExt;
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        Keys::open(&path).unwrap().create("shop", Role::Read, 0).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_list_of_keys_is_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys.json");
        fs::write(&path, "{}").unwrap();
        assert!(Keys::open(&path).unwrap_err().to_string().contains("keys.json"));
    }
}
