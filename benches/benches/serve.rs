//! The server under load: recommendations a second over HTTP with keep-alive, latencies, durable writes, cold start and memory.
//!
//! Model and store have the shape of MovieLens 1M. The server is a process of its own (this program, started again); the load comes from 32
//! connections of this one, on the same two cores, so that what is measured is what both together can do. Beside it, where
//! `$FOLDIN_PYTHON` has `pip install -r benches/rivals/requirements.txt`, a FastAPI service around the fold-in of the package `implicit`, under
//! the same load. Floor of an answer in the engine: the factors of a user of 96 ratings (`generate` has the count), and one scan of
//! the items.
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use foldin_benches::{Bench, Percentiles, Shape, ratings, time_each};
use foldin_core::registry::Settings;
use foldin_core::{Dataset, Dictionary, FitContext};
use foldin_engine::store::{Event, RedbStore, Store, StoreOptions};
use foldin_engine::{Engine, EngineOptions, Versions, Who, Wish};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_server::keys::Keys;
use foldin_server::{Server, ServerConfig};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const CONNECTIONS: usize = 32;

fn main() -> Outcome<()> {
    if let Some(folder) = std::env::args().skip_while(|argument| argument != "--serve").nth(1) {
        return serve(Path::new(&folder));
    }
    let mut bench = Bench::new("serve");
    let place = Place(std::env::temp_dir().join(format!("foldin-serve-{}", std::process::id())));
    let shape = if bench.is_measuring() { Shape::ML_1M } else { Shape::SMALL };
    let data = prepare(&place.0, shape)?;
    let seconds = if bench.is_measuring() { 10.0 } else { 0.2 };

    engine_alone(&mut bench, &place.0, &data)?;

    let begin = Instant::now();
    let server = Process::start(Command::new(std::env::current_exe()?).arg("--serve").arg(&place.0))?;
    bench.line("cold start to ready").measured(begin.elapsed().as_secs_f64() * 1e3, "ms").goal(500.0);
    let n_users = data.users.len();
    let ask = |n: usize| {
        format!("GET /v1/users/u{}/recommendations?n=10 HTTP/1.1\r\nhost: localhost\r\n\r\n", n % n_users)
    };
    load(server.address, 0.2 * seconds, &ask)?;
    let (rate, times) = load(server.address, seconds, &ask)?;
    bench.line("recommendations a second").measured(rate, "/s").goal_at_least(8000.0);
    bench.line("the same, p50").measured(times.p50 * 1e3, "ms");
    bench.line("the same, p99").measured(times.p99 * 1e3, "ms").goal(15.0);
    let event = |n: usize| {
        let body = format!("{{\"user\":\"w{}\",\"item\":\"{}\",\"value\":3}}", n % 5000, n % 1000);
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let (writes, times) = load(server.address, 0.5 * seconds, &event)?;
    bench.line("durable events a second").measured(writes, "/s").goal_at_least(2000.0);
    bench.line("the same, p99").measured(times.p99 * 1e3, "ms");
    if let Some(bytes) = resident(server.child.id()) {
        bench.line("resident memory of the server").bytes(bytes).goal(200.0);
    }
    drop(server);

    if bench.is_measuring() {
        match rival(&place.0, &data, seconds) {
            Ok((theirs, times)) => {
                bench.line("FastAPI around implicit, recommendations a second").measured(theirs, "/s");
                bench.line("the same, p99").measured(times.p99 * 1e3, "ms");
                bench.line("ours over theirs").measured(rate / theirs, "×").goal_at_least(10.0);
            }
            Err(error) => eprintln!("FastAPI around implicit is not measured: {error}"),
        }
    }
    bench.finish();
    Ok(())
}

/// A folder that is gone at the end.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Fits a model, writes it as a version, and fills a store.
fn prepare(place: &Path, shape: Shape) -> Outcome<Dataset> {
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

fn open(place: &Path, options: EngineOptions, store: StoreOptions) -> Outcome<(Engine, Versions)> {
    let versions = Versions::open(&place.join("models"))?;
    let version = versions.serving()?.ok_or("nothing serves")?;
    let store = RedbStore::open(&place.join("events.redb"), store)?;
    Ok((Engine::new(Box::new(store), versions.load(&version)?, options)?, versions))
}

/// The server's side: serves until it is killed, and says where.
fn serve(place: &Path) -> Outcome<()> {
    let (engine, versions) = open(place, EngineOptions::default(), StoreOptions::default())?;
    let config = ServerConfig { listen: "127.0.0.1:0".parse()?, ..ServerConfig::default() };
    let server = Server::bind(Arc::new(engine), versions, Keys::open(&place.join("keys.json"))?, config)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", server.address()?)?;
    out.flush()?;
    server.run()?;
    Ok(())
}

fn engine_alone(bench: &mut Bench, place: &Path, data: &Dataset) -> Outcome<()> {
    // Everything read from the file and worked out for each answer; then as it is served, with what is kept of users of whom nothing new is known.
    for (kept, goal) in [(false, Some(80.0)), (true, None)] {
        let bytes = if kept { EngineOptions::default().prepared_bytes } else { 0 };
        let options = EngineOptions { prepared_bytes: bytes, ..EngineOptions::default() };
        let records = if kept { StoreOptions::default().record_bytes } else { 0 };
        let (engine, _) =
            open(place, options, StoreOptions { record_bytes: records, ..StoreOptions::default() })?;
        let mut user = 0;
        let mut ask = || {
            user = (user + 7919) % data.users.len();
            let who = Who { user: data.users.key(user as u32), ..Who::default() };
            engine.recommend(&who, &Wish::default())
        };
        for _ in 0..bench.rounds(data.users.len()) {
            let _ = ask();
        }
        let times = time_each(bench.rounds(20_000), ask);
        let what = if kept {
            "engine alone, asked again: top 10, p50"
        } else {
            "engine alone: history, factors, top 10, p50"
        };
        let line = bench.line(what).microseconds(times.p50);
        if let Some(goal) = goal {
            line.goal(goal);
        }
        bench.line("the same, p99").microseconds(times.p99);
        engine.store().close()?;
    }
    Ok(())
}

/// A process that serves; killed when this is dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts it and waits for the line that says where it listens, and for its first answer.
    fn start(command: &mut Command) -> Outcome<Self> {
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

/// Answers a second, and how long each took, of connections that ask again as soon as they are answered.
fn load(
    address: SocketAddr,
    seconds: f64,
    request: &(dyn Fn(usize) -> String + Sync),
) -> Outcome<(f64, Percentiles)> {
    let (done, number) = (AtomicBool::new(false), AtomicUsize::new(0));
    let begin = Instant::now();
    let times: Vec<std::io::Result<Vec<f64>>> = std::thread::scope(|scope| {
        let connections: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(address)?;
                    stream.set_nodelay(true)?;
                    let (mut buffer, mut times) = (Vec::new(), Vec::new());
                    while !done.load(Ordering::Relaxed) {
                        let text = request(number.fetch_add(7919, Ordering::Relaxed));
                        let start = Instant::now();
                        stream.write_all(text.as_bytes())?;
                        answer(&mut stream, &mut buffer)?;
                        times.push(start.elapsed().as_secs_f64());
                    }
                    Ok(times)
                })
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        done.store(true, Ordering::Relaxed);
        let joined = connections.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(std::io::Error::other("a connection ended early")))
        });
        joined.collect()
    });
    let elapsed = begin.elapsed().as_secs_f64();
    let mut all = Vec::new();
    for one in times {
        all.extend(one?);
    }
    Ok((all.len() as f64 / elapsed, Percentiles::of(all)))
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

fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}

/// The same load on a FastAPI service.
fn rival(place: &Path, data: &Dataset, seconds: f64) -> Outcome<(f64, Percentiles)> {
    let lines: String = (0..data.users.len())
        .flat_map(|user| {
            let items = data.interactions.by_user().row(user).0;
            items.iter().map(move |item| format!("{user}\t{item}\n")).collect::<Vec<_>>()
        })
        .collect();
    std::fs::write(place.join("clicks.tsv"), lines)?;
    let python = std::env::var("FOLDIN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rivals/fastapi_als.py");
    let service = Process::start(Command::new(python).arg(script).arg(place.join("clicks.tsv")))?;
    let n_users = data.users.len();
    let ask = |n: usize| {
        format!("GET /users/u{}/recommendations?n=10 HTTP/1.1\r\nhost: localhost\r\n\r\n", n % n_users)
    };
    load(service.address, 0.2 * seconds, &ask)?;
    load(service.address, seconds, &ask)
}
