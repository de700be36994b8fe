//! Folders and zip archives of pictures.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use zip::ZipArchive;

use crate::error::VisionError;
use crate::images::Defect;

/// A folder or a zip archive; pictures are named by their path within it, with `/` between the parts.
#[derive(Debug)]
pub struct PictureStore {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Folder,
    Zip(Box<ZipArchive<BufReader<File>>>),
}

impl PictureStore {
    /// Opens a folder or an archive.
    ///
    /// # Errors
    /// [`VisionError::Io`] or [`VisionError::Format`] if it is neither.
    pub fn open(path: &Path) -> Result<Self, VisionError> {
        if path.is_dir() {
            return Ok(Self { path: path.to_owned(), kind: Kind::Folder });
        }
        let file = File::open(path).map_err(VisionError::io(path))?;
        let archive = ZipArchive::new(BufReader::new(file)).map_err(|error| VisionError::Format {
            path: path.to_owned(),
            problem: format!("neither a folder nor a zip archive of pictures ({error})"),
        })?;
        Ok(Self { path: path.to_owned(), kind: Kind::Zip(Box::new(archive)) })
    }

    /// The folder or archive.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of all its pictures (`.jpg`, `.jpeg`, `.png`, `.webp`), by name, each with a number that changes when the picture does:
    /// made of size and checksum in an archive, of size and time of change in a folder.
    ///
    /// # Errors
    /// [`VisionError::Io`] or [`VisionError::Format`].
    pub fn list(&mut self) -> Result<Vec<(String, u64)>, VisionError> {
        let mut out = Vec::new();
        match &mut self.kind {
            Kind::Folder => list_folder(&self.path, "", &mut out)?,
            Kind::Zip(archive) => {
                for number in 0..archive.len() {
                    let member = archive.by_index_raw(number).map_err(|error| VisionError::Format {
                        path: self.path.clone(),
                        problem: error.to_string(),
                    })?;
                    if member.is_file()
                        && let Ok(name) = member.name()
                        && is_picture(&name)
                    {
                        out.push((name.into_owned(), member.size() << 32 | u64::from(member.crc32())));
                    }
                }
            }
        }
        out.sort();
        Ok(out)
    }

    /// The bytes of a picture, `most` of them at most.
    ///
    /// # Errors
    /// Its [`Defect`].
    pub fn read(&mut self, name: &str, most: usize) -> Result<Vec<u8>, Defect> {
        let mut bytes = Vec::new();
        let unreadable = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => Defect::Missing,
            _ => Defect::Unreadable(error.to_string()),
        };
        match &mut self.kind {
            Kind::Folder => {
                let file = File::open(self.path.join(name)).map_err(unreadable)?;
                file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
            }
            Kind::Zip(archive) => {
                let member = archive.by_name(name).map_err(|error| match error {
                    zip::result::ZipError::FileNotFound => Defect::Missing,
                    error => Defect::Unreadable(error.to_string()),
                })?;
                member.take(most as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
            }
        }
        if bytes.len() > most { Err(Defect::TooLarge) } else { Ok(bytes) }
    }
}

fn is_picture(name: &str) -> bool {
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|extension| {
        ["jpg", "jpeg", "png", "webp"].iter().any(|known| extension.eq_ignore_ascii_case(known))
    })
}

fn list_folder(folder: &Path, prefix: &str, out: &mut Vec<(String, u64)>) -> Result<(), VisionError> {
    for entry in std::fs::read_dir(folder).map_err(VisionError::io(folder))? {
        let entry = entry.map_err(VisionError::io(folder))?;
        // What is not UTF-8 cannot be named by a table either.
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = entry.path();
        if path.is_dir() {
            list_folder(&path, &format!("{prefix}{name}/"), out)?;
        } else if is_picture(&name) {
            let metadata = entry.metadata().map_err(VisionError::io(&path))?;
            let since_1970 = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let changed = since_1970.map_or(0, |since| since.as_nanos() as u64);
            out.push((format!("{prefix}{name}"), metadata.len().rotate_left(32) ^ changed));
        }
    }
    Ok(())
}
