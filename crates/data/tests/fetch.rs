//! Downloading, from a server in this process.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use foldin_data::{FetchError, FetchOptions, fetch};

/// A server that answers each request with the next of its replies, and keeps what was asked.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// How to answer one request for the content.
#[derive(Clone, Copy)]
enum Reply {
    /// With what the `Range` header asks for.
    Obey,
    /// With all of it, whatever was asked.
    Whole,
    /// With the first bytes of it, then hang up.
    BreakOffAfter(usize),
    Status(u16),
}

impl Server {
    fn start(content: Vec<u8>, replies: &[Reply]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/files", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (log, replies) = (requests.clone(), replies.to_vec());
        std::thread::spawn(move || {
            for reply in replies {
                let (stream, _) = listener.accept().unwrap();
                log.lock().unwrap().push(answer(stream, &content, reply));
            }
        });
        Self { address, requests }
    }

    fn options(&self, folder: &Path) -> FetchOptions {
        FetchOptions { folder: Some(folder.to_owned()), address: Some(self.address.clone()) }
    }
}

fn answer(mut stream: TcpStream, content: &[u8], reply: Reply) -> String {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let request: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
    let request = request.join("\n").to_lowercase();
    let from = request
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        .unwrap_or(0);
    let head = |status: &str, length: usize| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
    };
    let (head, body) = match reply {
        Reply::Obey if from > 0 && from >= content.len() => {
            (head("416 Range Not Satisfiable", 0), &content[..0])
        }
        Reply::Obey if from > 0 => (head("206 Partial Content", content.len() - from), &content[from..]),
        Reply::Obey | Reply::Whole => (head("200 OK", content.len()), content),
        Reply::BreakOffAfter(bytes) => (head("200 OK", content.len()), &content[..bytes]),
        Reply::Status(status) => (head(&format!("{status} No"), 0), &content[..0]),
    };
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    request
}

/// An archive as the one set without a published checksum is: judged by the checksums within.
fn archive() -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("ml-latest-small/ratings.csv", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(b"userId,movieId,rating,timestamp\n1,2,3.5,964982703\n").unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn a_download_reports_progress_and_is_done_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(archive(), &[Reply::Obey]);
    let mut seen = Vec::new();
    let path = fetch("ml-latest-small", &server.options(folder.path()), &mut |step| seen.push(step)).unwrap();
    assert_eq!(path, folder.path().join("ml-latest-small.zip"));
    assert_eq!(std::fs::read(&path).unwrap(), archive());
    let last = seen.last().unwrap();
    assert_eq!((last.done, last.total), (archive().len() as u64, Some(archive().len() as u64)));
    assert!(!folder.path().join("ml-latest-small.zip.part").exists());
    // The server answers no second request: what is there and sound is not fetched again.
    assert_eq!(fetch("ml-latest-small", &server.options(folder.path()), &mut |_| {}).unwrap(), path);
    assert_eq!(foldin_data::open(path.to_str().unwrap(), &Default::default()).unwrap().interactions.len(), 1);
}

#[test]
fn a_download_that_broke_off_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(archive(), &[Reply::BreakOffAfter(40), Reply::Obey]);
    let error = fetch("ml-latest-small", &server.options(folder.path()), &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { done: 40, .. }), "{error}");
    assert!(error.to_string().contains("resume"), "{error}");
    let mut first = None;
    let path =
        fetch("ml-latest-small", &server.options(folder.path()), &mut |step| first = first.or(Some(step)))
            .unwrap();
    assert_eq!(std::fs::read(path).unwrap(), archive());
    assert_eq!(first.unwrap().done, 40);
    assert!(server.requests.lock().unwrap()[1].contains("range: bytes=40-"));
}

#[test]
fn a_server_that_cannot_resume_starts_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ml-latest-small.zip.part"), &archive()[..30]).unwrap();
    let server = Server::start(archive(), &[Reply::Whole]);
    let path = fetch("ml-latest-small", &server.options(folder.path()), &mut |_| {}).unwrap();
    assert_eq!(std::fs::read(path).unwrap(), archive());
}

#[test]
fn the_rest_of_another_version_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    for (part, replies) in [
        (vec![7u8; 30], &[Reply::Obey, Reply::Obey][..]),
        (archive(), &[Reply::Obey]),
        (vec![7u8; 4000], &[Reply::Obey, Reply::Obey]),
    ] {
        let _ = std::fs::remove_file(folder.path().join("ml-latest-small.zip"));
        std::fs::write(folder.path().join("ml-latest-small.zip.part"), part).unwrap();
        let server = Server::start(archive(), replies);
        let path = fetch("ml-latest-small", &server.options(folder.path()), &mut |_| {}).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), archive());
        assert_eq!(server.requests.lock().unwrap().len(), replies.len());
    }
}

#[test]
fn a_wrong_checksum_is_refused_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in
        [("ml-100k", archive()), ("ml-latest-small", b"<html>down for maintenance</html>".to_vec())]
    {
        let server = Server::start(content, &[Reply::Obey]);
        let error = fetch(name, &server.options(folder.path()), &mut |_| {}).unwrap_err();
        assert!(matches!(error, FetchError::Checksum { .. }), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

#[test]
fn without_a_server_the_way_on_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // A port that was free a moment ago refuses the connection.
    let address = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let options = FetchOptions { folder: Some(folder.path().to_owned()), address: Some(address.clone()) };
    let error = fetch("ml-1m", &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error}");
    let message = error.to_string();
    for part in [
        format!("{address}/ml-1m.zip"),
        folder.path().join("ml-1m.zip").display().to_string(),
        "--data-dir".into(),
    ] {
        assert!(message.contains(&part), "{part} in {message}");
    }
    let server = Server::start(Vec::new(), &[Reply::Status(503)]);
    let error = fetch("ml-1m", &server.options(folder.path()), &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 503, .. }), "{error}");
    let error = fetch("lastfm", &options, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("ml-100k") && !error.to_string().contains("netflix"), "{error}");
    let error = fetch("netflix", &options, &mut |_| {}).unwrap_err();
    assert!(matches!(error, FetchError::ByHand { .. }), "{error}");
    for part in ["Kaggle", "combined_data_4.txt", "training_set/mv_0000001.txt", "--data-dir"] {
        assert!(error.to_string().contains(part), "{part} in {error}");
    }
}
