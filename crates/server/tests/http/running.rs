//! A server of a small model on a port of its own, and requests to it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use foldin_core::registry::Settings;
use foldin_core::{Dataset, FitContext};
use foldin_engine::store::{MemoryStore, Store};
use foldin_engine::{Engine, EngineOptions, Versions};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_server::design::Designer;
use foldin_server::keys::{Keys, Role};
use foldin_server::serve::Stopper;
use foldin_server::{ServeError, Server, ServerConfig};
use foldin_testkit::planted;
use serde_json::{Value, json};

pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stopper: Stopper,
    pub(crate) thread: Option<JoinHandle<Result<(), ServeError>>>,
    pub(crate) place: tempfile::TempDir,
    pub(crate) engine: Arc<Engine>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok_and(|ended| ended.is_ok()), "the server ends well");
        }
    }
}

pub(crate) fn data() -> Dataset {
    planted::with_side_information(60, 40, 4, 1).dataset()
}

pub(crate) fn write_model(folder: &std::path::Path, users: u32) {
    let mut data = data();
    let some: Vec<u32> = (0..users).collect();
    data.interactions = data.interactions.select_users(&some);
    data.user_features = data.user_features.select_rows(&some);
    data.users = foldin_core::Dictionary::from_keys(data.users.keys().take(users as usize)).unwrap();
    let entry = foldin_models::find("lfg-bayes").unwrap();
    let model = entry.fit(&Settings::new(), &data.training_data(), &FitContext::new(1)).unwrap();
    let config = entry.resolve(&Settings::new()).unwrap();
    save(folder, &*model, &SavedContext::of(&data, config, json!({})), SaveOptions::default()).unwrap();
}

pub(crate) fn start_with(config: ServerConfig, key: Option<Role>) -> (Running, Option<String>) {
    start_over(Box::new(MemoryStore::new()), config, key)
}

pub(crate) fn start_over(
    store: Box<dyn Store>,
    config: ServerConfig,
    key: Option<Role>,
) -> (Running, Option<String>) {
    let place = tempfile::tempdir().unwrap();
    let (server, engine, key) = bind(place.path(), store, config, key);
    (running(server.unwrap(), engine, place), key)
}

/// A server that designs new items.
pub(crate) fn start_designing(
    store: Box<dyn Store>,
    config: ServerConfig,
    designer: Arc<dyn Designer>,
) -> Running {
    let place = tempfile::tempdir().unwrap();
    let (server, engine, _) = bind(place.path(), store, config, None);
    running(server.unwrap().with_designer(designer), engine, place)
}

fn running(server: Server, engine: Arc<Engine>, place: tempfile::TempDir) -> Running {
    let (address, stopper) = (server.address().unwrap(), server.stopper());
    let thread = Some(std::thread::spawn(move || server.run()));
    Running { address, stopper, thread, place, engine }
}

/// Whether it would start.
pub(crate) fn try_start(config: ServerConfig) -> Result<(), ServeError> {
    let place = tempfile::tempdir().unwrap();
    bind(place.path(), Box::new(MemoryStore::new()), config, None).0.map(drop)
}

fn bind(
    place: &std::path::Path,
    store: Box<dyn Store>,
    config: ServerConfig,
    key: Option<Role>,
) -> (Result<Server, ServeError>, Arc<Engine>, Option<String>) {
    write_model(&place.join("model"), 20);
    let versions = Versions::open(&place.join("models")).unwrap();
    let name = versions.adopt(&place.join("model")).unwrap();
    versions.promote(&name).unwrap();
    let engine =
        Arc::new(Engine::new(store, versions.load(&name).unwrap(), EngineOptions::default()).unwrap());
    let keys = Keys::open(&place.join("keys.json")).unwrap();
    let key = key.map(|role| keys.create("test", role, 0).unwrap().1);
    let config = ServerConfig { listen: "127.0.0.1:0".parse().unwrap(), drain_seconds: 5, ..config };
    (Server::bind(engine.clone(), versions, keys, config), engine, key)
}

pub(crate) fn start() -> Running {
    start_with(ServerConfig::default(), None).0
}

/// Sends a request; status, headers as text, and the body as JSON where it is.
pub(crate) fn send(
    server: &Running,
    method: &str,
    path: &str,
    body: Option<(&str, &[u8])>,
    headers: &str,
) -> (u16, String, Value) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (kind, body) = body.unwrap_or(("", b""));
    let kind = if kind.is_empty() { String::new() } else { format!("content-type: {kind}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{kind}{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    // A refusal may come before all of a large body is read.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    // Small answers come in one piece.
    let value = serde_json::from_str(rest).unwrap_or(Value::Null);
    (status, head.to_ascii_lowercase(), value)
}

pub(crate) fn get(server: &Running, path: &str) -> (u16, Value) {
    let (status, _, body) = send(server, "GET", path, None, "");
    (status, body)
}

pub(crate) fn post(server: &Running, path: &str, body: &Value) -> (u16, Value) {
    let text = body.to_string();
    let (status, _, body) = send(server, "POST", path, Some(("application/json", text.as_bytes())), "");
    (status, body)
}

pub(crate) fn code(body: &Value) -> &str {
    body["error"]["code"].as_str().unwrap_or("")
}
