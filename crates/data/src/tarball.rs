//! A tar archive, gzipped or not, as members that are found by their place in it.
//!
//! One tar archive within another is looked into, as the Netflix Prize data have it. A gzipped archive is unpacked from the
//! start to list it and once more to read it, so its members are best read in the order in which they lie there.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tar::Archive;

use crate::error::ReadError;

/// A file in an archive.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// Where its content begins in the unpacked archive.
    start: u64,
    length: u64,
}

/// Whether a file is a tar archive by its name, compressed or not.
pub(crate) fn is_tar(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    [".tar", ".tar.gz", ".tgz"].iter().any(|ending| name.ends_with(ending))
}

/// All files in an archive, those of an archive within it included, in the order in which they lie there.
pub(crate) fn list(path: &Path) -> Result<Vec<(String, Member)>, ReadError> {
    let mut members = Vec::new();
    let listed = Stream::open(path).and_then(|mut stream| {
        let input = stream.input();
        list_into(input, None, &mut members)?;
        // What lies behind the last member says whether the archive is whole.
        std::io::copy(input, &mut std::io::sink())
    });
    match listed {
        Ok(_) => {
            // Unpacked and packed once more, they would be the same file twice.
            let mut met = HashSet::new();
            members.retain(|(name, _)| met.insert(name.clone()));
            Ok(members)
        }
        Err(error) => Err(damage(&path.display().to_string(), error)),
    }
}

/// `outer` is the place and name of the archive that `input` is a member of.
fn list_into(
    input: &mut dyn Read,
    outer: Option<(u64, &str)>,
    members: &mut Vec<(String, Member)>,
) -> std::io::Result<()> {
    let mut archive = Archive::new(input);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let Ok(name) = String::from_utf8(entry.path_bytes().into_owned()) else { continue };
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = name.trim_start_matches("./");
        let (before, folder) = outer.map_or((0, ""), |(start, outer)| (start, folder_of(outer)));
        let start = before + entry.raw_file_position();
        if outer.is_none() && name.ends_with(".tar") {
            list_into(&mut entry, Some((start, name)), members)?;
        } else {
            members.push((format!("{folder}{name}"), Member { start, length: entry.size() }));
        }
    }
    Ok(())
}

fn folder_of(name: &str) -> &str {
    &name[..name.rfind('/').map_or(0, |at| at + 1)]
}

/// An archive that is open for reading members.
pub(crate) enum Stream {
    Plain(File),
    Gzip(Box<Counted<MultiGzDecoder<BufReader<File>>>>),
}

impl Stream {
    /// Opens an archive at its start.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = Vec::new();
        file.by_ref().take(2).read_to_end(&mut magic)?;
        file.rewind()?;
        Ok(if magic == [0x1f, 0x8b] {
            let unpacked = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
            Self::Gzip(Box::new(Counted { inner: unpacked, at: 0 }))
        } else {
            Self::Plain(file)
        })
    }

    fn input(&mut self) -> &mut dyn Read {
        match self {
            Self::Plain(file) => file,
            Self::Gzip(unpacked) => unpacked,
        }
    }

    /// Goes to a member; in a gzipped archive there is no way back.
    pub(crate) fn member(&mut self, member: &Member) -> std::io::Result<impl Read> {
        match self {
            Self::Plain(file) => {
                file.seek(SeekFrom::Start(member.start))?;
            }
            Self::Gzip(unpacked) => {
                let skipped = member.start.checked_sub(unpacked.at).ok_or(std::io::ErrorKind::NotSeekable)?;
                std::io::copy(&mut unpacked.by_ref().take(skipped), &mut std::io::sink())?;
            }
        }
        Ok(self.input().take(member.length))
    }

    /// Named members in an order in which [`Stream::member`] can go from one to the next: as asked for, if any will do.
    pub(crate) fn in_order<'m>(&self, mut members: Vec<&'m (String, Member)>) -> Vec<&'m (String, Member)> {
        if matches!(self, Self::Gzip(_)) {
            members.sort_by_key(|(_, member)| member.start);
        }
        members
    }
}

/// Counts the bytes that were read.
pub(crate) struct Counted<R> {
    inner: R,
    at: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// What the operating system did not refuse is the archive's fault.
pub(crate) fn damage(label: &str, error: std::io::Error) -> ReadError {
    if error.raw_os_error().is_some() {
        return ReadError::Io { file: label.to_owned(), source: error };
    }
    ReadError::Damaged { file: label.to_owned(), reason: error.to_string(), line: None }
}
