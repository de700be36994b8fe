//! Downloading a known data set into the user's cache.
//!
//! An interrupted download stays as `NAME.zip.part` and is resumed by asking the server for the rest. Nothing gets its
//! final name before its checksum was compared with the published one.

use std::fs::{File, OpenOptions as FileOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use md5::{Digest, Md5};
use zip::ZipArchive;

use crate::known::{ARCHIVES, KnownDataset, find, published};
use crate::locate::{DATA_DIR_VARIABLE, cache_dir};

/// Where to download from and to. The default is the publisher's server and the user's cache.
#[derive(Clone, Debug, Default)]
pub struct FetchOptions {
    /// The folder to download into; the user's cache if `None`.
    pub folder: Option<PathBuf>,
    /// The address that file names are appended to; [`known::ARCHIVES`](crate::known::ARCHIVES) if `None`.
    pub address: Option<String>,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchProgress {
    /// Bytes on disk, those of earlier attempts included.
    pub done: u64,
    /// Bytes in all, if the server says so.
    pub total: Option<u64>,
}

/// Why a data set was not downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// A name that cannot be fetched.
    #[error("no data set `{name}` can be fetched; there are: {}", published())]
    Unknown {
        /// The name.
        name: String,
    },
    /// A data set that nobody publishes any more.
    #[error("`{name}` cannot be downloaded: {by_hand}")]
    ByHand {
        /// The name.
        name: &'static str,
        /// Where people have it from, and where it is looked for.
        by_hand: &'static str,
    },
    /// The user has no cache folder.
    #[error("there is no folder to download into: this user has no home; set HOME")]
    NoCache,
    /// The server cannot be reached.
    #[error("cannot reach {url} ({reason}); {}", by_hand(url, path))]
    Offline {
        /// The address.
        url: String,
        /// Where the file would have gone.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The server refuses.
    #[error("{url} answers with status {status}; {}", by_hand(url, path))]
    Status {
        /// The address.
        url: String,
        /// Where the file would have gone.
        path: PathBuf,
        /// The HTTP status.
        status: u16,
    },
    /// The connection broke.
    #[error(
        "the download of {url} broke off after {done} bytes ({reason}); run the same command again to resume it"
    )]
    Interrupted {
        /// The address.
        url: String,
        /// Bytes on disk.
        done: u64,
        /// Why.
        reason: String,
    },
    /// The file is not the published one.
    #[error(
        "what {url} sent is not the published file ({reason}); it was removed. Try again later, or download the file \
         elsewhere and put it at {}",
        path.display()
    )]
    Checksum {
        /// The address.
        url: String,
        /// Where the file belongs.
        path: PathBuf,
        /// What differs.
        reason: String,
    },
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

fn by_hand(url: &str, path: &Path) -> String {
    format!(
        "download it by other means from {url} and put it at {}, or into any folder that --data-dir or {DATA_DIR_VARIABLE} names",
        path.display()
    )
}

/// Downloads a data set of [`known::KNOWN`](crate::known::KNOWN) unless it is there already; returns the archive's path.
/// `progress` is called now and then.
///
/// # Errors
/// [`FetchError`]; its message says how to go on.
pub fn fetch(
    name: &str,
    options: &FetchOptions,
    progress: &mut dyn FnMut(FetchProgress),
) -> Result<PathBuf, FetchError> {
    let known = find(name).ok_or_else(|| FetchError::Unknown { name: name.to_owned() })?;
    if let Some(by_hand) = known.by_hand {
        return Err(FetchError::ByHand { name: known.name, by_hand });
    }
    let folder = options.folder.clone().or_else(cache_dir).ok_or(FetchError::NoCache)?;
    std::fs::create_dir_all(&folder).map_err(|source| FetchError::Io { path: folder.clone(), source })?;
    let download = Download {
        known,
        url: format!(
            "{}/{}",
            options.address.as_deref().unwrap_or(ARCHIVES).trim_end_matches('/'),
            known.file
        ),
        path: folder.join(known.file),
        part: folder.join(format!("{}.part", known.file)),
    };
    if download.path.is_file() && download.difference(&download.path)?.is_none() {
        return Ok(download.path);
    }
    let resumed = download.transfer(progress)?;
    let mut difference = download.difference(&download.part)?;
    if difference.is_some() && resumed {
        // The rest of another version was appended: once more from the start.
        download.remove_part()?;
        download.transfer(progress)?;
        difference = download.difference(&download.part)?;
    }
    if let Some(reason) = difference {
        download.remove_part()?;
        return Err(FetchError::Checksum { url: download.url, path: download.path, reason });
    }
    std::fs::rename(&download.part, &download.path)
        .map_err(|source| FetchError::Io { path: download.path.clone(), source })?;
    Ok(download.path)
}

struct Download {
    known: &'static KnownDataset,
    url: String,
    path: PathBuf,
    part: PathBuf,
}

impl Download {
    /// Brings the rest of the file; true if it was appended to an earlier attempt.
    fn transfer(&self, progress: &mut dyn FnMut(FetchProgress)) -> Result<bool, FetchError> {
        let have = std::fs::metadata(&self.part).map_or(0, |file| file.len());
        let mut response = self.request(have)?;
        if response.status() == 416 {
            // The earlier attempt was complete, or is longer than the file: the checksum tells.
            return Ok(true);
        }
        let resumed = response.status() == 206 && have > 0;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            return Err(FetchError::Status { url: self.url.clone(), path: self.path.clone(), status });
        }
        let mut done = if resumed { have } else { 0 };
        let total = response.body().content_length().map(|length| length + done);
        let io = |source| FetchError::Io { path: self.part.clone(), source };
        let mut file = FileOptions::new()
            .create(true)
            .append(resumed)
            .write(true)
            .truncate(!resumed)
            .open(&self.part)
            .map_err(io)?;
        let interrupted =
            |done, reason: String| FetchError::Interrupted { url: self.url.clone(), done, reason };
        let mut body = response.body_mut().as_reader();
        let mut chunk = vec![0; 1 << 16];
        progress(FetchProgress { done, total });
        loop {
            let count = body.read(&mut chunk).map_err(|error| interrupted(done, error.to_string()))?;
            if count == 0 {
                break;
            }
            file.write_all(&chunk[..count]).map_err(io)?;
            done += count as u64;
            progress(FetchProgress { done, total });
        }
        match total {
            Some(total) if done < total => Err(interrupted(done, format!("{total} bytes were announced"))),
            _ => Ok(resumed),
        }
    }

    fn request(&self, have: u64) -> Result<ureq::http::Response<ureq::Body>, FetchError> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(Duration::from_secs(60)));
        if self.url.starts_with("http://127.0.0.1") || self.url.starts_with("http://localhost") {
            config = config.proxy(None);
        }
        let agent = ureq::Agent::new_with_config(config.build());
        // Byte ranges are those of the file only if nothing is compressed on the way.
        let mut request = agent.get(&self.url).header("Accept-Encoding", "identity");
        if have > 0 {
            request = request.header("Range", format!("bytes={have}-"));
        }
        request.call().map_err(|error| FetchError::Offline {
            url: self.url.clone(),
            path: self.path.clone(),
            reason: error.to_string(),
        })
    }

    /// How a file differs from the published one, in words; `None` if it does not. Without a published checksum, those
    /// within the archive are compared.
    fn difference(&self, path: &Path) -> Result<Option<String>, FetchError> {
        let io = |source| FetchError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let Some(expected) = self.known.md5 else {
            return Ok(damaged_member(file));
        };
        let mut hash = Md5::new();
        let mut chunk = vec![0; 1 << 16];
        loop {
            match file.read(&mut chunk).map_err(io)? {
                0 => break,
                count => hash.update(&chunk[..count]),
            }
        }
        let got: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok((got != expected).then(|| format!("MD5 {got} instead of {expected}")))
    }

    fn remove_part(&self) -> Result<(), FetchError> {
        std::fs::remove_file(&self.part).map_err(|source| FetchError::Io { path: self.part.clone(), source })
    }
}

/// Reads every member of an archive, which compares its checksum.
fn damaged_member(file: File) -> Option<String> {
    let mut archive = match ZipArchive::new(file) {
        Ok(archive) => archive,
        Err(error) => return Some(error.to_string()),
    };
    (0..archive.len()).find_map(|number| {
        let read = archive.by_index(number).map_err(std::io::Error::from);
        read.and_then(|mut member| std::io::copy(&mut member, &mut std::io::sink()))
            .err()
            .map(|error| error.to_string())
    })
}
