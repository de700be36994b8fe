//! A file of decoded pictures, built once.
//!
//! # The file
//! Little-endian: `FOLDINPX`, format version (`u32`), px (`u32`), number of pictures (`u64`), key (two `u64`), length of the tail (`u64`),
//! zeros up to byte 64; then the pixels of [`ImageSet`], picture after picture; then the tail, JSON with the names of the
//! pictures and the defects of those left out. The key is a checksum of everything the content depends on: names and stamps of the
//! pictures wanted, px, how they are fitted. A file with another key is built anew; a file is written beside its place and renamed into it.
//!
//! # Cost
//! Memory: the encoded bytes of one chunk of pictures and their pixels, and what the decoder takes on each thread; never the set. Reading
//! is serial, decoding parallel. The order, and so the file, does not depend on the number of threads.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::error::VisionError;
use crate::images::set::CHANNELS;
use crate::images::{DecodeLimits, Defect, Fit, ImageSet, PictureStore, decode};

const MAGIC: &[u8; 8] = b"FOLDINPX";
const VERSION: u32 = 1;
const HEADER: u64 = 64;
/// Pictures read before they are decoded together; with limits as they are by default, files of usual size make some MiB.
const CHUNK: usize = 256;
/// Encoded bytes that end a chunk early, so that large files do not add up.
const CHUNK_BYTES: usize = 64 << 20;

/// How pictures are decoded.
#[derive(Clone, Copy, Debug)]
pub struct BuildOptions {
    /// Width and height wanted.
    pub px: usize,
    /// What becomes of pictures that are not square.
    pub fit: Fit,
    /// What one picture may cost.
    pub limits: DecodeLimits,
}

impl BuildOptions {
    /// Squashed to this size, with the usual limits.
    #[must_use]
    pub fn new(px: usize) -> Self {
        Self { px, fit: Fit::default(), limits: DecodeLimits::default() }
    }
}

/// What came of the pictures wanted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BuildReport {
    /// Pictures in the set.
    pub decoded: usize,
    /// Pictures left out, and why, by name.
    pub defects: Vec<(String, String)>,
    /// The same, counted by kind.
    pub counts: BTreeMap<String, usize>,
    /// Whether a file from before was used.
    pub reused: bool,
}

impl BuildReport {
    /// What was left out, in words: a line for each kind of defect, and one for each of the first pictures.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let counts = self.counts.iter().map(|(kind, count)| format!("{count} pictures {kind}"));
        let named = self.defects.iter().take(NAMED).map(|(name, defect)| format!("  {name}: {defect}"));
        counts.chain(named).collect()
    }
}

/// Pictures left out that are named.
const NAMED: usize = 5;

#[derive(Serialize, Deserialize)]
struct Tail {
    names: Vec<String>,
    /// Name, kind and text of each defect.
    defects: Vec<(String, String, String)>,
}

/// The pictures of `wanted` (each once, in this order) from `store`, decoded: out of `target` if it holds just these, else built there.
/// Those with a defect are left out of the set and told in the report.
///
/// `progress` is told how many of how many are done, after each chunk; an error of its ends the building and leaves no file.
///
/// # Errors
/// [`VisionError::Io`] of `target`, [`VisionError::Shape`] if px is 0 or beyond 4096, and whatever `progress` says. Never a defect of a picture.
pub fn build(
    store: &mut PictureStore,
    wanted: &[String],
    options: &BuildOptions,
    target: &Path,
    progress: &dyn Fn(usize, usize) -> Result<(), VisionError>,
) -> Result<(ImageSet, BuildReport), VisionError> {
    let each: Vec<&[String]> = wanted.iter().map(std::slice::from_ref).collect();
    build_first(store, &each, options, target, progress)
}

/// As [`build`], with several names for each picture wanted: the first that can be decoded is taken, and those after it are not looked at.
///
/// # Errors
/// As [`build`].
pub fn build_first(
    store: &mut PictureStore,
    wanted: &[&[String]],
    options: &BuildOptions,
    target: &Path,
    progress: &dyn Fn(usize, usize) -> Result<(), VisionError>,
) -> Result<(ImageSet, BuildReport), VisionError> {
    if !(1..=4096).contains(&options.px) {
        return Err(VisionError::shape("pixels a side", "1 to 4096", options.px));
    }
    let key = key(store, wanted, options)?;
    // Whatever is wrong with an earlier file, another is built in its place.
    if let Ok(Some(found)) = open_if(target, key, options.px) {
        return Ok(found);
    }
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent).map_err(VisionError::io(parent))?;
    }
    let beside = target.with_extension(format!("{}.part", std::process::id()));
    let built = write(store, wanted, options, key, &beside, progress);
    if built.is_err() {
        let _ = fs::remove_file(&beside);
    }
    built?;
    fs::rename(&beside, target).map_err(VisionError::io(target))?;
    let found =
        open_if(target, key, options.px)?.map(|(set, report)| (set, BuildReport { reused: false, ..report }));
    found.ok_or_else(|| VisionError::Format {
        path: target.to_owned(),
        problem: "it was replaced while it was being read".to_owned(),
    })
}

/// A checksum of everything that the content of a cache depends on.
fn key(store: &mut PictureStore, wanted: &[&[String]], options: &BuildOptions) -> Result<u128, VisionError> {
    let stamps: HashMap<String, u64> = store.list()?.into_iter().collect();
    let mut hash = Xxh3::new();
    hash.update(&VERSION.to_le_bytes());
    let BuildOptions { px, fit, limits } = options;
    hash.update(format!("{px} {fit:?} {limits:?}").as_bytes());
    for names in wanted {
        if names.len() != 1 {
            hash.update(format!("the first of {}", names.len()).as_bytes());
        }
        for name in *names {
            hash.update(&(name.len() as u64).to_le_bytes());
            hash.update(name.as_bytes());
            hash.update(&stamps.get(name).map_or([0xff; 8], |stamp| stamp.to_le_bytes()));
        }
    }
    Ok(hash.digest128())
}

/// Opens a cache; `None` if it is of other pictures.
fn open_if(path: &Path, key: u128, px: usize) -> Result<Option<(ImageSet, BuildReport)>, VisionError> {
    let io = || VisionError::io(path);
    let damaged = |problem: &str| VisionError::Format { path: path.to_owned(), problem: problem.to_owned() };
    let mut file = File::open(path).map_err(io())?;
    let mut header = [0u8; HEADER as usize];
    file.read_exact(&mut header).map_err(io())?;
    let short = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let long = |at: usize| u64::from(short(at)) | u64::from(short(at + 4)) << 32;
    if &header[..8] != MAGIC || short(8) != VERSION {
        return Err(damaged("not a cache of pictures in a format this version knows"));
    }
    let (count, found, tail) = (long(16), u128::from(long(24)) | u128::from(long(32)) << 64, long(40));
    if found != key || short(12) as usize != px {
        return Ok(None);
    }
    let pixels = count.saturating_mul((CHANNELS * px * px) as u64);
    let length = file.metadata().map_err(io())?.len();
    if HEADER.saturating_add(pixels).saturating_add(tail) != length {
        return Err(damaged("its length is not what its header says"));
    }
    file.seek(SeekFrom::Start(HEADER + pixels)).map_err(io())?;
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(io())?;
    let tail: Tail = serde_json::from_slice(&text).map_err(|error| damaged(&error.to_string()))?;
    if tail.names.len() as u64 != count {
        return Err(damaged("the names are not those of its pictures"));
    }
    let mut report = BuildReport { decoded: tail.names.len(), reused: true, ..BuildReport::default() };
    for (name, kind, text) in tail.defects {
        *report.counts.entry(kind).or_default() += 1;
        report.defects.push((name, text));
    }
    Ok(Some((ImageSet::in_file(px, tail.names, file, path.to_owned(), HEADER), report)))
}

fn write(
    store: &mut PictureStore,
    wanted: &[&[String]],
    options: &BuildOptions,
    key: u128,
    path: &Path,
    progress: &dyn Fn(usize, usize) -> Result<(), VisionError>,
) -> Result<(), VisionError> {
    let io = || VisionError::io(path);
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).map_err(io())?);
    out.write_all(&[0; HEADER as usize]).map_err(io())?;
    let mut tail = Tail { names: Vec::new(), defects: Vec::new() };
    // In rounds: what has no picture yet is looked at again by its next name. A name may be wanted for several.
    let mut usable: HashMap<&String, bool> = HashMap::new();
    let (mut left, mut done) = (wanted.to_vec(), 0);
    while !left.is_empty() {
        let next: Vec<&String> = left.iter().filter_map(|names| names.first()).collect();
        let mut names = Vec::new();
        for name in next {
            if let Entry::Vacant(place) = usable.entry(name) {
                place.insert(false);
                names.push(name);
            }
        }
        decode_all(
            store,
            &names,
            options,
            |name, picture| {
                match picture {
                    Ok(pixels) => {
                        out.write_all(&pixels).map_err(io())?;
                        usable.insert(name, true);
                        tail.names.push(name.clone());
                    }
                    Err(defect) => {
                        tail.defects.push((name.clone(), defect.kind().to_owned(), defect.to_string()));
                    }
                }
                Ok(())
            },
            &|more| progress(done + more, done + names.len()),
        )?;
        done += names.len();
        left.retain(|names| names.first().is_some_and(|name| !usable[name]));
        left.iter_mut().for_each(|names| *names = &names[1..]);
    }
    let text = serde_json::to_vec(&tail)
        .map_err(|error| VisionError::Format { path: path.to_owned(), problem: error.to_string() })?;
    out.write_all(&text).map_err(io())?;

    let mut header = Vec::with_capacity(HEADER as usize);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&(options.px as u32).to_le_bytes());
    header.extend_from_slice(&(tail.names.len() as u64).to_le_bytes());
    header.extend_from_slice(&key.to_le_bytes());
    header.extend_from_slice(&(text.len() as u64).to_le_bytes());
    header.resize(HEADER as usize, 0);
    out.seek(SeekFrom::Start(0)).map_err(io())?;
    out.write_all(&header).map_err(io())?;
    let file = out.into_inner().map_err(|error| io()(error.into_error()))?;
    file.sync_all().map_err(io())
}

/// Hands each of these pictures to `take`, in order, and tells `progress` how many are done after each chunk.
fn decode_all<'a>(
    store: &mut PictureStore,
    names: &[&'a String],
    options: &BuildOptions,
    mut take: impl FnMut(&'a String, Result<Vec<u8>, Defect>) -> Result<(), VisionError>,
    progress: &dyn Fn(usize) -> Result<(), VisionError>,
) -> Result<(), VisionError> {
    let mut at = 0;
    while at < names.len() {
        let (mut encoded, mut bytes) = (Vec::new(), 0);
        while at + encoded.len() < names.len() && encoded.len() < CHUNK && bytes < CHUNK_BYTES {
            let read = store.read(names[at + encoded.len()], options.limits.bytes);
            bytes += read.as_ref().map_or(0, Vec::len);
            encoded.push(read);
        }
        let pictures: Vec<Result<Vec<u8>, Defect>> = encoded
            .into_par_iter()
            .map(|bytes| decode(&bytes?, options.px, options.fit, &options.limits))
            .collect();
        for picture in pictures {
            take(names[at], picture)?;
            at += 1;
        }
        progress(at)?;
    }
    Ok(())
}
