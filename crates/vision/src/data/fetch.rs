//! Downloading pictures by address.
//!
//! Politely: few connections at a time, a name to be asked about in `User-Agent`, a pause where a server asks for one, and no address that
//! is known to be broken twice. Each picture is its own file, written beside its place and renamed into it, so a run that was
//! interrupted goes on where it stopped. `broken.tsv` in the folder lists addresses that gave no picture, and why.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldin_core::CancelFlag;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::VisionError;

/// The list of addresses that gave no picture.
const BROKEN: &str = "broken.tsv";

/// Pictures between two writings of that list.
const KEEP_EVERY: usize = 200;

/// How to download.
#[derive(Clone, Debug)]
pub struct FetchOptions {
    /// Connections at a time.
    pub connections: usize,
    /// How often an address is asked again after an error that may pass (a broken connection, status 429 or 5xx).
    pub retries: usize,
    /// Waiting before that, doubled each time; a server's `Retry-After` counts instead, up to [`FetchOptions::longest_pause`].
    pub pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// Longest time for one picture.
    pub timeout: Duration,
    /// Most bytes of one picture.
    pub bytes: u64,
    /// Ask addresses again that an earlier run found broken.
    pub retry_broken: bool,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self {
            connections: 4,
            retries: 2,
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            timeout: Duration::from_secs(30),
            bytes: 32 << 20,
            retry_broken: false,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchReport {
    /// Pictures that were there already.
    pub present: usize,
    /// Pictures downloaded.
    pub fetched: usize,
    /// Addresses that have none, as was found now or in an earlier run, and why.
    pub broken: BTreeMap<String, String>,
    /// Addresses that may have one, but did not give it now, and why: a server that was down, a connection that broke off. The next run
    /// asks them again.
    pub unreachable: BTreeMap<String, String>,
    /// Addresses that were not asked because the run was stopped.
    pub left: usize,
}

/// The file of an address: a checksum of it, with the ending that the address has.
#[must_use]
pub fn file_name(address: &str) -> String {
    let path = address.split(['?', '#']).next().unwrap_or(address);
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
    let ending = ending.filter(|ending| ["jpeg", "png", "webp"].contains(&ending.as_str()));
    format!("{:016x}.{}", xxh3_64(address.as_bytes()), ending.as_deref().unwrap_or("jpg"))
}

/// Downloads pictures into a folder, which is made if there is anything to ask for. `progress` is told how many of how many are done; from any thread.
///
/// # Errors
/// [`VisionError::Io`] of the folder. An address that gives no picture is none: the report has it.
pub fn fetch(
    addresses: &[String],
    folder: &Path,
    options: &FetchOptions,
    cancel: &CancelFlag,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<FetchReport, VisionError> {
    let list = folder.join(BROKEN);
    let known = if options.retry_broken { BTreeMap::new() } else { read_broken(&list)? };
    let mut report = FetchReport::default();
    let mut wanted = Vec::new();
    for address in addresses {
        if folder.join(file_name(address)).is_file() {
            report.present += 1;
        } else if let Some(reason) = known.get(address) {
            report.broken.insert(address.clone(), reason.clone());
        } else {
            wanted.push(address.as_str());
        }
    }
    if wanted.is_empty() {
        return Ok(report);
    }
    fs::create_dir_all(folder).map_err(VisionError::io(folder))?;
    let before = addresses.len() - wanted.len();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // What was found broken, and the first error of the folder itself.
    let state = Mutex::new((known, report, None::<VisionError>));
    std::thread::scope(|scope| {
        for _ in 0..options.connections.clamp(1, 64).min(wanted.len()) {
            scope.spawn(|| {
                let agent = agent(options);
                while !cancel.is_cancelled() {
                    let Some(address) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                    let outcome = one(&agent, address, folder, options, cancel);
                    let finished = done.fetch_add(1, Ordering::Relaxed) + 1;
                    let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    let (known, report, failure) = &mut *state;
                    match outcome {
                        Ok(()) => report.fetched += 1,
                        Err(Failure::Broken(reason)) => {
                            known.insert((*address).to_owned(), reason.clone());
                            report.broken.insert((*address).to_owned(), reason);
                        }
                        Err(Failure::Unreachable(reason)) => {
                            report.unreachable.insert((*address).to_owned(), reason);
                        }
                        Err(Failure::Stopped) => break,
                        Err(Failure::Folder(error)) => {
                            failure.get_or_insert(error);
                            next.store(wanted.len(), Ordering::Relaxed);
                            break;
                        }
                    }
                    if finished % KEEP_EVERY == 0
                        && let Err(error) = write_broken(&list, known)
                    {
                        failure.get_or_insert(error);
                    }
                    progress(before + finished, addresses.len());
                }
            });
        }
    });
    let (known, mut report, failure) = state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    write_broken(&list, &known)?;
    if let Some(error) = failure {
        return Err(error);
    }
    report.left =
        addresses.len() - report.present - report.fetched - report.broken.len() - report.unreachable.len();
    Ok(report)
}

enum Failure {
    Broken(String),
    Unreachable(String),
    Stopped,
    Folder(VisionError),
}

/// What one attempt said.
enum Attempt {
    Picture(Vec<u8>),
    Never(String),
    /// It may work later; with the pause the server asks for.
    Later(String, Option<Duration>),
}

fn agent(options: &FetchOptions) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!(
            "foldin/",
            env!("CARGO_PKG_VERSION"),
            " (fetches the pictures of a data set, once each)"
        ))
        .timeout_connect(Some(options.timeout))
        .timeout_global(Some(options.timeout));
    ureq::Agent::new_with_config(config.build())
}

fn one(
    agent: &ureq::Agent,
    address: &str,
    folder: &Path,
    options: &FetchOptions,
    cancel: &CancelFlag,
) -> Result<(), Failure> {
    let mut pause = options.pause;
    for attempt in 0.. {
        match ask(agent, address, options.bytes) {
            Attempt::Picture(bytes) => {
                return keep(&folder.join(file_name(address)), &bytes).map_err(Failure::Folder);
            }
            Attempt::Never(reason) => return Err(Failure::Broken(reason)),
            Attempt::Later(reason, _) if attempt >= options.retries => {
                return Err(Failure::Unreachable(reason));
            }
            Attempt::Later(_, asked) => {
                if !rest(asked.unwrap_or(pause).min(options.longest_pause), cancel) {
                    return Err(Failure::Stopped);
                }
                pause *= 2;
            }
        }
    }
    Err(Failure::Stopped)
}

/// Waits; false if the run was stopped meanwhile.
fn rest(pause: Duration, cancel: &CancelFlag) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    let mut left = pause;
    while !left.is_zero() {
        if cancel.is_cancelled() {
            return false;
        }
        std::thread::sleep(left.min(SLICE));
        left = left.saturating_sub(SLICE);
    }
    true
}

fn ask(agent: &ureq::Agent, address: &str, most: u64) -> Attempt {
    let mut request = agent.get(address);
    if address.starts_with("http://127.0.0.1") || address.starts_with("http://localhost") {
        request = request.config().proxy(None).build();
    }
    let mut response = match request.call() {
        Ok(response) => response,
        Err(ureq::Error::BadUri(reason)) => return Attempt::Never(reason),
        Err(error) => return Attempt::Later(error.to_string(), None),
    };
    let status = response.status().as_u16();
    match status {
        200 => {}
        429 | 500..=599 => {
            let seconds = response.headers().get("retry-after");
            let seconds = seconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
            return Attempt::Later(format!("status {status}"), seconds.map(Duration::from_secs));
        }
        _ => return Attempt::Never(format!("status {status}")),
    }
    let announced = response.body().content_length();
    let mut bytes = Vec::new();
    let body = response.body_mut().with_config().limit(most + 1).reader();
    if let Err(error) = body.take(most + 1).read_to_end(&mut bytes) {
        return Attempt::Later(error.to_string(), None);
    }
    if bytes.len() as u64 > most {
        return Attempt::Never(format!("more than {most} bytes"));
    }
    if announced.is_some_and(|announced| announced != bytes.len() as u64) {
        return Attempt::Later("the connection broke off".to_owned(), None);
    }
    if image::guess_format(&bytes).is_err() {
        return Attempt::Never("not a picture".to_owned());
    }
    Attempt::Picture(bytes)
}

fn keep(path: &Path, bytes: &[u8]) -> Result<(), VisionError> {
    let part = path.with_extension("part");
    fs::write(&part, bytes).map_err(VisionError::io(&part))?;
    fs::rename(&part, path).map_err(VisionError::io(path))
}

fn read_broken(path: &Path) -> Result<BTreeMap<String, String>, VisionError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text
            .lines()
            .filter_map(|line| line.split_once('\t'))
            .map(|(address, reason)| (address.to_owned(), reason.to_owned()))
            .collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(VisionError::io(path)(error)),
    }
}

fn write_broken(path: &Path, broken: &BTreeMap<String, String>) -> Result<(), VisionError> {
    if broken.is_empty() && !path.exists() {
        return Ok(());
    }
    let one_line = |reason: &str| reason.replace(['\n', '\r', '\t'], " ");
    let text: String =
        broken.iter().map(|(address, reason)| format!("{address}\t{}\n", one_line(reason))).collect();
    keep(path, text.as_bytes())
}
