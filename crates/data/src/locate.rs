//! From what a user says (`ml-100k`, `ratings.csv`, `archive.zip/ratings.csv`) to a folder, archive and file.

use std::path::{Path, PathBuf};

use crate::error::ReadError;
use crate::known::{KNOWN, find};
use crate::layout::Layout;
use crate::netflix::RATINGS_ARCHIVE;
use crate::options::OpenOptions;
use crate::source::{Source, is_archive};

/// The environment variable that names a folder of data sets.
pub const DATA_DIR_VARIABLE: &str = "FOLDIN_DATA_DIR";

/// Something to read: a folder or archive, and the file in it where one was named.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) source: Source,
    pub(crate) file: Option<String>,
    /// A short name for reports.
    pub(crate) name: String,
}

impl Location {
    fn holds_data(&self) -> bool {
        self.file.is_some() || Layout::of_source(&self.source).is_ok()
    }
}

/// The folder that `foldin data fetch` downloads to; `None` if the user has no home.
#[must_use]
pub fn cache_dir() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "foldin").map(|dirs| dirs.cache_dir().join("data"))
}

/// Finds what `name` means: a path first, then a name in the folders of data sets.
pub(crate) fn locate(name: &str, options: &OpenOptions) -> Result<Location, ReadError> {
    let mut looked = Vec::new();
    let here = at_path(Path::new(name), name)?;
    if let Some(location) = &here
        && (name.contains(['/', '\\', '.']) || location.holds_data())
    {
        return Ok(location.clone());
    }
    let path = Path::new(name);
    if here.is_none() && path.exists() {
        let reason = "it is neither a file nor a folder; write what it gives to a file first".to_owned();
        return Err(ReadError::Unsupported { file: name.to_owned(), reason });
    }
    let mut unrecognised = here;
    // An absolute path is the same seen from any folder.
    for folder in folders(options).into_iter().filter(|_| path.is_relative()) {
        for candidate in candidates(&folder, name) {
            if candidate.exists() {
                let location = at_path(&candidate, name)?;
                // A folder of that name need not hold the data itself: `ml-100k/ml-100k.zip` is found next.
                if let Some(location) = location {
                    let location = Location { name: short_name(Path::new(name)), ..location };
                    if location.holds_data() {
                        return Ok(location);
                    }
                    unrecognised.get_or_insert(location);
                }
            }
            if !looked.contains(&candidate) {
                looked.push(candidate);
            }
        }
    }
    // A folder of that name in which nothing is recognised: the reader says what it misses there.
    if let Some(location) = unrecognised {
        return Ok(location);
    }
    let fetchable = find(name).is_some_and(|known| known.by_hand.is_none());
    Err(ReadError::NotFound { name: name.to_owned(), looked, fetchable })
}

fn folders(options: &OpenOptions) -> Vec<PathBuf> {
    let variable = std::env::var_os(DATA_DIR_VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    options.data_dir.clone().into_iter().chain(variable).chain(cache_dir()).collect()
}

/// `NAME`, `NAME.zip`, the same within `NAME/`, then within any other folder.
fn candidates(folder: &Path, name: &str) -> Vec<PathBuf> {
    let zip = format!("{name}.zip");
    let mut out = vec![folder.join(name), folder.join(&zip)];
    // Most archives are published under the name of the data set.
    out.extend(find(name).filter(|known| known.file != zip).map(|known| folder.join(known.file)));
    out.extend([folder.join(name).join(name), folder.join(name).join(&zip)]);
    // `download` says nothing of what is in it, other than within a folder that does.
    let unpacked = find(name).filter(|known| known.by_hand.is_none()).and_then(|known| known.unpacked);
    out.extend(unpacked.map(|unpacked| folder.join(unpacked)));
    // A name with a folder in it was looked up as it stands; nothing is to be found further down.
    if !name.contains(['/', '\\']) {
        let mut below: Vec<PathBuf> = std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.is_dir() && !path.ends_with(name))
            .collect();
        below.sort();
        out.extend(
            below.iter().flat_map(|path| [path.join(name), path.join(&zip)]).filter(|path| path.exists()),
        );
    }
    out
}

/// What lies at a path; also `archive.zip/file`. `None` if there is nothing.
pub(crate) fn at_path(path: &Path, given: &str) -> Result<Option<Location>, ReadError> {
    let name = short_name(path);
    if path.is_dir() {
        let source = Source::open(path)?;
        // A folder that only wraps a folder or an archive of its own name, or an archive as it was published.
        if Layout::of_source(&source).is_err() {
            let zip = format!("{name}.zip");
            let by_hand = KNOWN.iter().filter(|known| known.by_hand.is_some()).map(|known| known.file);
            let unpacked = KNOWN.iter().filter_map(|known| known.unpacked);
            let wrapped = [&*name, &*zip, RATINGS_ARCHIVE].into_iter().chain(by_hand).chain(unpacked);
            let mut wrapped = wrapped.map(|inner| path.join(inner));
            let inner = wrapped.find(|inner| inner.is_dir() || is_archive(inner));
            drop(wrapped);
            if let Some(inner) = inner {
                // It may wrap another one.
                return Ok(at_path(&inner, given)?.map(|location| Location { name, ..location }));
            }
        }
        return Ok(Some(Location { source, file: None, name }));
    }
    if is_archive(path) {
        return Ok(Some(Location { source: Source::open(path)?, file: None, name }));
    }
    if path.is_file() {
        // Opening the folder lets tables of users and items beside the ratings be found.
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let file = path.file_name().and_then(|file| file.to_str()).map(str::to_owned);
        let Some(file) = file else {
            let reason = "the file's name is not Unicode; rename it".to_owned();
            return Err(ReadError::Unsupported { file: given.to_owned(), reason });
        };
        return Ok(Some(Location { source: Source::open(folder)?, file: Some(file), name }));
    }
    for ancestor in path.ancestors().skip(1).take_while(|ancestor| !ancestor.as_os_str().is_empty()) {
        if is_archive(ancestor) {
            let source = Source::open(ancestor)?;
            let inner = path.strip_prefix(ancestor).unwrap_or(path).to_string_lossy().replace('\\', "/");
            // Members are listed without their common folder; a name that has it is understood too.
            let file = source
                .files()
                .into_iter()
                .find(|file| inner == *file || inner.ends_with(&format!("/{file}")));
            let file = file.map(str::to_owned);
            return Ok(file.map(|file| Location { source, file: Some(file), name }));
        }
        if ancestor.exists() {
            break;
        }
    }
    Ok(None)
}

/// The last part of a path without the endings of data files.
fn short_name(path: &Path) -> String {
    let mut name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    for ending in [
        ".gz", ".zip", ".tar", ".tgz", ".csv", ".tsv", ".txt", ".jsonl", ".json", ".ndjson", ".inter",
        ".dat", ".data",
    ] {
        if let Some(stem) = name.strip_suffix(ending)
            && !stem.is_empty()
        {
            name = stem.to_owned();
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_their_endings() {
        assert_eq!(short_name(Path::new("/data/ml-1m.zip")), "ml-1m");
        assert_eq!(short_name(Path::new("ratings.csv.gz")), "ratings");
        assert_eq!(short_name(Path::new("ml-100k")), "ml-100k");
    }
}
