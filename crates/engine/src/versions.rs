//! Versions of a model on disk, and which of them serves.
//!
//! ```text
//! DIR/current.json      {"serving": "000002", "before": ["000001"]}
//! DIR/000001/           a model folder
//! DIR/000001/report.json   how it was judged, for those that were trained here
//! DIR/000002/
//! ```
//!
//! A version's folder appears whole or not at all, and `current.json` is replaced by renaming: whatever moment a process dies at, the
//! next one finds the version that served, whole. A name is never given twice, so that a report or a log line is always about one version.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldin_core::LoadError;
use foldin_models::folder::{Manifest, SaveError, read_manifest};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::engine::Engine;
use crate::error::EngineError;
use crate::serving::Serving;

const CURRENT: &str = "current.json";
const REPORT: &str = "report.json";

/// A folder of versions that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `current.json` is not what it should be.
    #[error("{}: {reason}; put the name of a version there, as in {{\"serving\": \"000001\", \"before\": []}}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such version.
    #[error("there is no version `{name}`; there are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// Versions there are.
        known: String,
    },
    /// There is nothing to go back to.
    #[error("no version served before this one")]
    NothingBefore,
    /// The version that serves cannot be removed.
    #[error("version `{name}` serves: promote another first")]
    Serves {
        /// The name.
        name: String,
    },
    /// A model folder that was not written.
    #[error(transparent)]
    Save(#[from] SaveError),
    /// A model folder that cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model that cannot serve.
    #[error(transparent)]
    Engine(#[from] Box<EngineError>),
}

/// `current.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Current {
    serving: Option<String>,
    /// What served before, the latest last.
    before: Vec<String>,
    /// The greatest number of those that were removed.
    #[serde(default, skip_serializing_if = "is_zero")]
    removed: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Current {
    fn promote(&mut self, name: &str) {
        if self.serving.as_deref() != Some(name) {
            self.before.retain(|before| before != name);
            self.before.extend(self.serving.replace(name.to_owned()));
        }
    }
}

/// The number that a name is.
fn number(name: &str) -> u32 {
    name.parse().unwrap_or(0)
}

/// One version as it is listed.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Version {
    /// Its name: six digits.
    pub name: String,
    /// Whether it serves.
    pub serving: bool,
    /// Name of the model.
    pub model: String,
    /// What it was fitted on.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: Value,
    /// Every setting.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub config: Value,
    /// Figures of the fit.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub metrics: Value,
    /// How it was judged, if it was trained here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub report: Option<Value>,
}

/// A folder of versions. One process at a time writes it; the store's lock sees to that where a server runs.
#[derive(Clone, Debug)]
pub struct Versions {
    dir: PathBuf,
    /// One change at a time; what serves and what `current.json` says change together.
    changing: Arc<Mutex<()>>,
}

impl Versions {
    /// Opens a folder of versions, made if it is not there.
    ///
    /// # Errors
    /// [`VersionError::Io`].
    pub fn open(dir: &Path) -> Result<Self, VersionError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        Ok(Self { dir: dir.to_owned(), changing: Arc::default() })
    }

    fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Names of all versions, oldest first.
    ///
    /// # Errors
    /// [`VersionError::Io`].
    pub fn names(&self) -> Result<Vec<String>, VersionError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(at(&self.dir))? {
            let name = entry.map_err(at(&self.dir))?.file_name();
            if let Some(name) = name.to_str()
                && name.len() == 6
                && name.bytes().all(|byte| byte.is_ascii_digit())
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// All versions, oldest first. One whose folder cannot be read is left out.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn list(&self) -> Result<Vec<Version>, VersionError> {
        let serving = self.current()?.serving;
        let mut out = Vec::new();
        for name in self.names()? {
            let Ok(manifest) = read_manifest(&self.dir.join(&name)) else { continue };
            out.push(self.version(name, &manifest, serving.as_deref()));
        }
        Ok(out)
    }

    fn version(&self, name: String, manifest: &Manifest, serving: Option<&str>) -> Version {
        let report = fs::read(self.dir.join(&name).join(REPORT)).ok();
        Version {
            serving: serving == Some(name.as_str()),
            model: manifest.model.clone(),
            data: serde_json::to_value(&manifest.data).unwrap_or_default(),
            config: manifest.config.clone(),
            metrics: manifest.metrics.clone(),
            report: report.and_then(|bytes| serde_json::from_slice(&bytes).ok()),
            name,
        }
    }

    /// The name of the version that serves.
    ///
    /// # Errors
    /// [`VersionError`].
    pub fn serving(&self) -> Result<Option<String>, VersionError> {
        Ok(self.current()?.serving)
    }

    /// The folder of a version.
    ///
    /// # Errors
    /// [`VersionError::Unknown`].
    pub fn folder(&self, name: &str) -> Result<PathBuf, VersionError> {
        let names = self.names()?;
        if names.iter().any(|known| known == name) {
            return Ok(self.dir.join(name));
        }
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Err(VersionError::Unknown { name: name.to_owned(), known })
    }

    /// Loads a version.
    ///
    /// # Errors
    /// [`VersionError`] naming the file; other versions are untouched.
    pub fn load(&self, name: &str) -> Result<Serving, VersionError> {
        Ok(Serving::open(&self.folder(name)?, name).map_err(Box::new)?)
    }

    /// Adds a version: `write` writes a model folder at the place it is given. Does not let it serve.
    ///
    /// # Errors
    /// Those of `write`; nothing is added then.
    pub fn add(
        &self,
        write: impl FnOnce(&Path) -> Result<(), VersionError>,
        report: Option<&Value>,
    ) -> Result<String, VersionError> {
        let _one_change = self.change();
        let last = self.names()?.last().map_or(0, |name| number(name)).max(self.current()?.removed);
        let name = format!("{:06}", last + 1);
        let fresh = self.dir.join(format!(".new-{name}"));
        let place = self.dir.join(&name);
        if fresh.exists() {
            // Of a process that died while it wrote.
            fs::remove_dir_all(&fresh).map_err(at(&fresh))?;
        }
        let written = write(&fresh).and_then(|()| {
            if let Some(report) = report {
                write_synced(&fresh.join(REPORT), &pretty(report))?;
            }
            fs::rename(&fresh, &place).map_err(at(&place))
        });
        if written.is_err() {
            // The error says what is wrong; what is half written would be in the way of the next attempt.
            let _ = fs::remove_dir_all(&fresh);
        }
        written.map(|()| name)
    }

    /// Adds a copy of a model folder, unless the version that serves is the same already; the name of the one that holds it.
    ///
    /// # Errors
    /// [`VersionError`] where the folder cannot be read or copied.
    pub fn adopt(&self, folder: &Path) -> Result<String, VersionError> {
        let manifest = read_manifest(folder)?;
        for name in self.names()?.into_iter().rev() {
            // Not the files alone: what a model says of itself stands in the manifest.
            let same = |known: Manifest| {
                (known.model, known.config, known.description, known.files)
                    == (
                        manifest.model.clone(),
                        manifest.config.clone(),
                        manifest.description.clone(),
                        manifest.files.clone(),
                    )
            };
            if read_manifest(&self.dir.join(&name)).is_ok_and(same) {
                return Ok(name);
            }
        }
        self.add(
            |fresh| {
                fs::create_dir_all(fresh).map_err(at(fresh))?;
                for name in manifest.files.keys().map(String::as_str).chain(["manifest.json"]) {
                    let from = folder.join(name);
                    let bytes = fs::read(&from).map_err(at(&from))?;
                    write_synced(&fresh.join(name), &bytes)?;
                }
                // What cannot be served is not kept: a whole folder of the same name would be taken for it.
                foldin_models::folder::load(fresh)?;
                Ok(())
            },
            None,
        )
    }

    /// Lets a version serve from the next start on, as a server does before there is an engine. [`put_into_service`](Self::put_into_service) does it
    /// under a running one.
    ///
    /// # Errors
    /// [`VersionError::Unknown`], or an error of writing; what served then still serves.
    pub fn promote(&self, name: &str) -> Result<(), VersionError> {
        let _one_change = self.change();
        self.folder(name)?;
        let mut current = self.current()?;
        current.promote(name);
        self.put_current(&current)
    }

    /// Puts a version into service, now and from the next start on: all of that, or nothing. Requests that have begun end with what they began with.
    ///
    /// # Errors
    /// [`VersionError`] naming what is wrong with the version; what served goes on serving.
    pub fn put_into_service(&self, engine: &Engine, name: &str) -> Result<(), VersionError> {
        let _one_change = self.change();
        let mut next = self.current()?;
        next.promote(name);
        self.serve(engine, &next)
    }

    /// Puts the version into service that served before; its name.
    ///
    /// # Errors
    /// [`VersionError::NothingBefore`], or as [`Versions::put_into_service`].
    pub fn roll_back(&self, engine: &Engine) -> Result<String, VersionError> {
        let _one_change = self.change();
        let mut next = self.current()?;
        let names = self.names()?;
        while let Some(before) = next.before.pop() {
            if names.contains(&before) {
                next.serving = Some(before.clone());
                self.serve(engine, &next)?;
                return Ok(before);
            }
        }
        Err(VersionError::NothingBefore)
    }

    /// Serves what `next` says. The version is loaded before anything changes: one that cannot serve must not be the next start's either.
    fn serve(&self, engine: &Engine, next: &Current) -> Result<(), VersionError> {
        let serving = self.load(next.serving.as_deref().unwrap_or_default())?;
        let now = self.current()?;
        self.put_current(next)?;
        engine.swap(serving).map_err(|error| {
            // The error of the swap is what is told; if the disk fails here too, the next start serves a version that is whole.
            let _ = self.put_current(&now);
            VersionError::from(Box::new(error))
        })
    }

    /// Removes a version.
    ///
    /// # Errors
    /// [`VersionError::Unknown`], or [`VersionError::Serves`].
    pub fn remove(&self, name: &str) -> Result<(), VersionError> {
        let _one_change = self.change();
        let folder = self.folder(name)?;
        let mut current = self.current()?;
        if current.serving.as_deref() == Some(name) {
            return Err(VersionError::Serves { name: name.to_owned() });
        }
        current.before.retain(|before| before != name);
        current.removed = current.removed.max(number(name));
        self.put_current(&current)?;
        // Renamed first: a folder half removed would still look like a version.
        let gone = self.dir.join(format!(".gone-{name}"));
        fs::rename(&folder, &gone).map_err(at(&folder))?;
        fs::remove_dir_all(&gone).map_err(at(&gone))
    }

    /// Removes the oldest versions that were trained here until so many of those are left, but neither the one that serves nor the one before it.
    /// Those that were removed.
    ///
    /// # Errors
    /// As [`Versions::remove`].
    pub fn prune(&self, keep: usize) -> Result<Vec<String>, VersionError> {
        let current = self.current()?;
        let stays = [current.serving.as_ref(), current.before.last()];
        let trained: Vec<String> =
            self.names()?.into_iter().filter(|name| self.dir.join(name).join(REPORT).exists()).collect();
        let surplus = trained.len().saturating_sub(keep);
        let old = trained.into_iter().take(surplus).filter(|name| !stays.contains(&Some(name)));
        let old: Vec<String> = old.collect();
        old.iter().try_for_each(|name| self.remove(name))?;
        Ok(old)
    }

    /// What was reported of a version.
    ///
    /// # Errors
    /// [`VersionError::Unknown`].
    pub fn report(&self, name: &str) -> Result<Option<Value>, VersionError> {
        let bytes = fs::read(self.folder(name)?.join(REPORT)).ok();
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn current(&self) -> Result<Current, VersionError> {
        let path = self.dir.join(CURRENT);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Current::default()),
            Err(source) => return Err(VersionError::Io { path, source }),
        };
        serde_json::from_slice(&bytes)
            .map_err(|error| VersionError::Format { path, reason: error.to_string() })
    }

    fn put_current(&self, current: &Current) -> Result<(), VersionError> {
        let fresh = self.dir.join(".current.json");
        let place = self.dir.join(CURRENT);
        write_synced(&fresh, &pretty(&serde_json::to_value(current).unwrap_or_default()))?;
        fs::rename(&fresh, &place).map_err(at(&place))?;
        // The renaming itself, on systems where a folder can be synced.
        if let Ok(folder) = File::open(&self.dir) {
            let _ = folder.sync_all();
        }
        Ok(())
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> VersionError {
    let path = path.to_owned();
    move |source| VersionError::Io { path, source }
}

fn pretty(value: &Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), VersionError> {
    let mut file = File::create(path).map_err(at(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(path))
}
