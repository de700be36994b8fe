//! A server as a process of its own, of the shape of a data set, and load on it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldin_core::registry::Settings;
use foldin_core::{Dataset, Dictionary, FitContext};
use foldin_engine::store::{Event, RedbStore, Store, StoreOptions};
use foldin_engine::{Engine, EngineOptions, Versions};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_server::keys::Keys;
use foldin_server::{Server, ServerConfig};

use crate::{Percentiles, Shape, ratings};

/// What may fail in a bench.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Connections of a load.
pub const CONNECTIONS: usize = 32;

/// A folder that is gone at the end.
#[derive(Debug)]
pub struct Place(pub PathBuf);

impl Place {
    /// A folder of this process for a bench of this name.
    #[must_use]
    pub fn new(bench: &str) -> Self {
        Self(std::env::temp_dir().join(format!("foldin-{bench}-{}", std::process::id())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Fits a model, writes it as a version, and fills a store.
///
/// # Errors
/// What could not be written.
pub fn prepare(place: &Path, shape: Shape) -> Outcome<Dataset> {
    let interactions = ratings(shape, 1);
    let keys = |letter: &str, n: usize| Dictionary::from_keys((0..n).map(|at| format!("{letter}{at}")));
    let users = keys("u", interactions.n_users())?;
    let items = keys("", interactions.n_items())?;
    let data = Dataset::new("generated", interactions, users, items)?;
    let entry = foldin_models::find("lfg-bayes")?;
    let settings: Settings = serde_json::from_value(serde_json::json!({"iterations": 3}))?;
    let model = entry.fit(&settings, &data.training_data(), &FitContext::new(1))?;
    let versions = Versions::open(&place.join("models"))?;
    let context = SavedContext::of(&data, entry.resolve(&settings)?, serde_json::json!({}));
    let written = |folder: &Path| Ok(save(folder, &*model, &context, SaveOptions::default())?);
    versions.promote(&versions.add(written, None)?)?;
    let store = RedbStore::open(&place.join("events.redb"), StoreOptions::default())?;
    let mut events = (0..data.users.len()).flat_map(|user| {
        let (items, values) = data.interactions.by_user().row(user);
        let event = |(&item, &value): (&u32, &f32)| {
            Event::new(
                data.users.key(user as u32).unwrap_or_default(),
                data.items.key(item).unwrap_or_default(),
                "rating",
                0,
            )
            .with_value(value)
        };
        items.iter().zip(values).map(event).collect::<Vec<_>>()
    });
    store.import(&mut events)?;
    store.close()?;
    Ok(data)
}

/// Engine and versions of a prepared folder.
///
/// # Errors
/// What could not be read.
pub fn open(place: &Path, options: EngineOptions, store: StoreOptions) -> Outcome<(Engine, Versions)> {
    let versions = Versions::open(&place.join("models"))?;
    let version = versions.serving()?.ok_or("nothing serves")?;
    let store = RedbStore::open(&place.join("events.redb"), store)?;
    Ok((Engine::new(Box::new(store), versions.load(&version)?, options)?, versions))
}

/// The server's side: serves until it is killed, and says where.
///
/// # Errors
/// Why it did not.
pub fn serve(place: &Path) -> Outcome<()> {
    let (engine, versions) = open(place, EngineOptions::default(), StoreOptions::default())?;
    let config = ServerConfig { listen: "127.0.0.1:0".parse()?, ..ServerConfig::default() };
    let server = Server::bind(Arc::new(engine), versions, Keys::open(&place.join("keys.json"))?, config)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.address()?)?;
    out.flush()?;
    server.run()?;
    Ok(())
}

/// A process that serves; killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    /// The process.
    pub child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it and waits for the line that says where it listens, and for its first answer.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn start(command: &mut Command) -> Outcome<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let Ok(address) = line.trim().parse() else {
            let _ = child.kill();
            return Err(format!("it did not start: {line}").into());
        };
        let out = Self { child, address };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(60) {
            if let Ok(mut stream) = TcpStream::connect(address) {
                stream.write_all(
                    b"GET /health/ready HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
                )?;
                let mut text = String::new();
                stream.read_to_string(&mut text)?;
                if text.starts_with("HTTP/1.1 200") {
                    return Ok(out);
                }
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err("it was not ready within a minute".into())
    }
}

/// What came of a load.
#[derive(Debug)]
pub struct Load {
    /// Answers a second.
    pub rate: f64,
    /// Seconds that each took.
    pub times: Percentiles,
    /// Number of answers.
    pub answers: usize,
    /// Requests that were not answered well, in words.
    pub failures: Vec<String>,
}

impl Load {
    /// The load, if every request was answered well.
    ///
    /// # Errors
    /// The first failure.
    pub fn faultless(self) -> Outcome<Self> {
        match self.failures.first() {
            None => Ok(self),
            Some(failure) => Err(format!("{} requests failed: {failure}", self.failures.len()).into()),
        }
    }
}

/// Asks over [`CONNECTIONS`] connections: each again as soon as it is answered, or, with a rate, all together so often a second.
#[must_use]
pub fn load(
    address: SocketAddr,
    seconds: f64,
    rate: Option<f64>,
    request: &(dyn Fn(usize) -> String + Sync),
) -> Load {
    let number = AtomicUsize::new(0);
    let begin = Instant::now();
    let end = begin + Duration::from_secs_f64(seconds);
    let every = rate.map(|rate| Duration::from_secs_f64(CONNECTIONS as f64 / rate));
    let connection = |at: usize| {
        let (mut buffer, mut times, mut failures) = (Vec::new(), Vec::new(), Vec::new());
        let mut stream = None;
        // Connections take turns, so that requests do not come in bursts.
        let mut due = begin + every.unwrap_or_default().mul_f64(at as f64 / CONNECTIONS as f64);
        while Instant::now() < end {
            if let Some(every) = every {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                due += every;
            }
            let text = request(number.fetch_add(1, Ordering::Relaxed));
            let start = Instant::now();
            let open = match stream.take() {
                Some(open) => Ok(open),
                None => TcpStream::connect(address).and_then(|open| open.set_nodelay(true).map(|()| open)),
            };
            let answered = open.and_then(|mut open: TcpStream| {
                open.write_all(text.as_bytes())?;
                answer(&mut open, &mut buffer)?;
                Ok(open)
            });
            match answered {
                Ok(open) => {
                    times.push(start.elapsed().as_secs_f64());
                    stream = Some(open);
                }
                Err(error) => {
                    failures.push(format!("{}: {error}", text.lines().next().unwrap_or_default()));
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        }
        (times, failures)
    };
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    std::thread::scope(|scope| {
        let connection = &connection;
        let threads: Vec<_> = (0..CONNECTIONS).map(|at| scope.spawn(move || connection(at))).collect();
        for thread in threads {
            match thread.join() {
                Ok((times, failed)) => {
                    all.extend(times);
                    failures.extend(failed);
                }
                Err(_) => failures.push("a connection of the load generator ended early".to_owned()),
            }
        }
    });
    let answers = all.len();
    Load {
        rate: answers as f64 / begin.elapsed().as_secs_f64(),
        times: Percentiles::of(all),
        answers,
        failures,
    }
}

/// One request and the body of its answer.
///
/// # Errors
/// Anything but success.
pub fn ask(address: SocketAddr, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    let text = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes())?;
    let mut buffer = Vec::new();
    answer(&mut stream, &mut buffer)?;
    let text = String::from_utf8_lossy(&buffer);
    Ok(text.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned()))
}

/// Reads one answer; anything but success is an error.
fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    buffer.clear();
    let mut piece = [0u8; 16384];
    let mut whole = None;
    loop {
        let n = stream.read(&mut piece)?;
        if n == 0 {
            return Err(std::io::Error::other("the connection was closed"));
        }
        buffer.extend_from_slice(&piece[..n]);
        if whole.is_none()
            && let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 2") {
                return Err(std::io::Error::other(head.lines().next().unwrap_or_default().to_owned()));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
            whole = Some(end + 4 + length);
        }
        if whole.is_some_and(|whole| buffer.len() >= whole) {
            return Ok(());
        }
    }
}

/// Resident memory of a process in bytes, where the system tells.
#[must_use]
pub fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
