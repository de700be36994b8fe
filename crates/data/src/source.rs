//! A folder or an archive (zip, tar) as a set of named files; gzip is undone on the way.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::ReadError;
use crate::netflix::RATINGS_FOLDER;
use crate::tarball::{self, Member, Stream, damage};

/// Where the files of a data set lie.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Folder(Vec<String>),
    /// Names without the folder they all lie in, and their numbers in the archive.
    Zip(Vec<(String, usize)>),
    /// The same of a tar archive.
    Tar(Vec<(String, Member)>),
    Memory(Vec<(String, Vec<u8>)>),
}

impl Source {
    /// Lists an archive, or a folder; of the folders in it only the one that the Netflix Prize data keep their ratings in.
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        if path.is_dir() {
            let mut files = files_in(path)?;
            let ratings = path.join(RATINGS_FOLDER);
            if ratings.is_dir() {
                files.extend(files_in(&ratings)?.iter().map(|file| format!("{RATINGS_FOLDER}/{file}")));
            }
            files.sort();
            return Ok(Self { path: path.to_owned(), kind: Kind::Folder(files) });
        }
        if tarball::is_tar(path) {
            return Ok(Self {
                path: path.to_owned(),
                kind: Kind::Tar(without_common_folder(tarball::list(path)?.into_iter())),
            });
        }
        let archive = open_archive(path)?;
        let members = (0..archive.len())
            .filter_map(|number| Some((archive.name_for_index(number)?.ok()?.into_owned(), number)));
        Ok(Self { path: path.to_owned(), kind: Kind::Zip(without_common_folder(members)) })
    }

    /// Files that are in memory.
    pub(crate) fn in_memory(name: &str, files: Vec<(String, Vec<u8>)>) -> Self {
        Self { path: PathBuf::from(name), kind: Kind::Memory(files) }
    }

    /// The folder or archive itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the files.
    pub(crate) fn files(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Folder(files) => files.iter().map(String::as_str).collect(),
            Kind::Zip(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
            Kind::Tar(members) => members.iter().map(|(name, _)| name.as_str()).collect(),
            Kind::Memory(files) => files.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }

    /// The file of that name, compressed or not.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let files = self.files();
        let of_name = |wanted: &str| files.iter().copied().find(|file| *file == wanted);
        of_name(name).or_else(|| of_name(&format!("{name}.gz")))
    }

    /// A file's name as errors give it, and as a user can give it as a path.
    pub(crate) fn label(&self, file: &str) -> String {
        self.path.join(file).display().to_string()
    }

    /// Opens a file and hands its content, unpacked, to `read`.
    pub(crate) fn read<T>(
        &self,
        file: &str,
        read: impl FnOnce(&mut dyn Read, &str) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let (mut read, mut out) = (Some(read), None);
        self.read_each(&[file], |_, input, label| {
            out = read.take().map(|read| read(input, label)).transpose()?;
            Ok(())
        })?;
        out.ok_or_else(|| missing(self.label(file)))
    }

    /// Hands several files to `read`, one after the other, as name, content and label; an archive is opened only once.
    /// They come in the order of `files`, but out of a gzipped tar archive in the order in which they lie there.
    pub(crate) fn read_each(
        &self,
        files: &[impl AsRef<str>],
        mut read: impl FnMut(&str, &mut dyn Read, &str) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let files = files.iter().map(AsRef::as_ref);
        match &self.kind {
            Kind::Folder(_) => {
                for file in files {
                    let label = self.label(file);
                    let opened = File::open(self.path.join(file))
                        .map_err(|source| ReadError::Io { file: label.clone(), source })?;
                    unpack(opened, &label, |input| read(file, input, &label))?;
                }
            }
            Kind::Memory(members) => {
                for file in files {
                    let label = self.label(file);
                    let member = members.iter().find(|(name, _)| name == file);
                    let (_, content) = member.ok_or_else(|| missing(label.clone()))?;
                    unpack(&content[..], &label, |input| read(file, input, &label))?;
                }
            }
            Kind::Zip(members) => {
                let mut archive = open_archive(&self.path)?;
                for file in files {
                    let label = self.label(file);
                    let (_, number) = find(members, file).ok_or_else(|| missing(label.clone()))?;
                    let member = archive.by_index(*number).map_err(|error| zip_error(&label, error))?;
                    unpack(member, &label, |input| read(file, input, &label))?;
                }
            }
            Kind::Tar(members) => {
                let label = self.path.display().to_string();
                let mut stream = Stream::open(&self.path).map_err(|error| damage(&label, error))?;
                let mut wanted = Vec::new();
                for file in files {
                    wanted.push(find(members, file).ok_or_else(|| missing(self.label(file)))?);
                }
                for (file, member) in stream.in_order(wanted) {
                    let label = self.label(file);
                    let content = stream.member(member).map_err(|error| damage(&label, error))?;
                    unpack(content, &label, |input| read(file, input, &label))?;
                }
            }
        }
        Ok(())
    }

    /// The whole content of a (small) file.
    pub(crate) fn bytes(&self, file: &str) -> Result<Vec<u8>, ReadError> {
        self.read(file, |input, label| {
            let mut out = Vec::new();
            input.read_to_end(&mut out).map_err(|source| ReadError::io(label, source))?;
            Ok(out)
        })
    }
}

/// Names of the files right in a folder.
fn files_in(folder: &Path) -> Result<Vec<String>, ReadError> {
    let io = |source| ReadError::io(folder.display().to_string(), source);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        if entry.path().is_file() {
            files.extend(entry.file_name().into_string());
        }
    }
    Ok(files)
}

/// The files among the members of an archive, sorted by name, without the folder that all lie in.
fn without_common_folder<T>(members: impl Iterator<Item = (String, T)>) -> Vec<(String, T)> {
    let mut members: Vec<(String, T)> =
        members.filter(|(name, _)| !name.ends_with('/') && !name.starts_with("__MACOSX/")).collect();
    let common = common_folder(members.iter().map(|(name, _)| name.as_str()));
    for (name, _) in &mut members {
        name.drain(..common);
    }
    members.sort_by(|one, other| one.0.cmp(&other.0));
    members
}

/// A member by name; members are sorted.
fn find<'m, T>(members: &'m [(String, T)], file: &str) -> Option<&'m (String, T)> {
    let at = members.partition_point(|(name, _)| name.as_str() < file);
    members.get(at).filter(|(name, _)| name == file)
}

fn missing(file: String) -> ReadError {
    ReadError::Io { file, source: std::io::Error::from(std::io::ErrorKind::NotFound) }
}

fn unpack<T>(
    mut input: impl Read,
    label: &str,
    read: impl FnOnce(&mut dyn Read) -> Result<T, ReadError>,
) -> Result<T, ReadError> {
    let mut magic = [0u8; 2];
    let mut got = 0;
    while got < 2 {
        match input.read(&mut magic[got..]).map_err(|source| ReadError::io(label, source))? {
            0 => break,
            count => got += count,
        }
    }
    let mut input = magic[..got].chain(input);
    if magic == [0x1f, 0x8b] {
        read(&mut MultiGzDecoder::new(BufReader::with_capacity(1 << 16, input)))
    } else {
        read(&mut input)
    }
}

fn open_archive(path: &Path) -> Result<ZipArchive<BufReader<File>>, ReadError> {
    let label = path.display().to_string();
    let file = File::open(path).map_err(|source| ReadError::Io { file: label.clone(), source })?;
    ZipArchive::new(BufReader::new(file)).map_err(|error| zip_error(&label, error))
}

fn zip_error(label: &str, error: ZipError) -> ReadError {
    match error {
        ZipError::Io(source) => ReadError::io(label, source),
        ZipError::UnsupportedArchive(reason) => ReadError::Unsupported {
            file: label.to_owned(),
            reason: format!("{reason}; unpack the archive and give the folder instead"),
        },
        other => ReadError::Damaged { file: label.to_owned(), reason: other.to_string(), line: None },
    }
}

/// Length of the folder names that all paths begin with.
fn common_folder<'a>(mut names: impl Iterator<Item = &'a str>) -> usize {
    let Some(first) = names.next() else { return 0 };
    let mut common = first.rfind('/').map_or(0, |at| at + 1);
    for name in names {
        while !name.starts_with(&first[..common]) {
            common = first[..common - 1].rfind('/').map_or(0, |at| at + 1);
        }
    }
    common
}

/// Whether a file is an archive: a tar by its name, a zip by its name or its first bytes.
pub(crate) fn is_archive(path: &Path) -> bool {
    path.is_file()
        && (tarball::is_tar(path) || path.extension().is_some_and(|ending| ending == "zip") || is_zip(path))
}

/// Whether a file begins as zip archives do.
fn is_zip(path: &Path) -> bool {
    let mut magic = [0u8; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok_and(|()| magic.starts_with(b"PK"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_is_found() {
        for (names, common) in [
            (&["ml-1m/a", "ml-1m/b"][..], 6),
            (&["x/y/a", "x/z/b"], 2),
            (&["a", "x/b"], 0),
            (&["x/ab/1", "x/ac/2"], 2),
            (&[], 0),
        ] {
            assert_eq!(common_folder(names.iter().copied()), common, "{names:?}");
        }
    }
}
