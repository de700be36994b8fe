//! Who watches sees what is written; and what all lists show together.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::running::{Running, code, get, post, start};

const FEED: &str = "/v1/events/feed";

/// Watches the events of an address.
pub(crate) fn watch(server: &Running, path: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).unwrap();
    }
    reader
}

/// The next write; none when the stream ends.
pub(crate) fn next(reader: &mut BufReader<TcpStream>) -> Option<Value> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return None;
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return Some(serde_json::from_str(data.trim()).unwrap());
        }
    }
}

#[test]
fn writes_are_told_to_whoever_watches() {
    let mut server = start();
    let mut watchers = [watch(&server, FEED), watch(&server, FEED)];
    let title = get(&server, "/v1/items?limit=1").1["items"][0].clone();
    let (id, title) = (title["id"].as_str().unwrap(), title["title"].as_str().unwrap());
    post(&server, "/v1/events", &json!({"user": "ada", "item": id, "value": 5, "time": 7}));
    let many: Vec<Value> =
        (0..25).map(|n| json!({"user": "bob", "item": format!("new {n}"), "value": 1})).collect();
    post(&server, "/v1/events", &json!(many));
    post(&server, "/v1/events", &json!({"user": "ada", "item": id, "value": 5000}));
    post(&server, "/v1/events", &json!({"user": "eve", "item": id, "kind": "view"}));
    for watcher in &mut watchers {
        let first = next(watcher).unwrap();
        let told = &first["events"][0];
        assert_eq!((told["user"].as_str(), told["title"].as_str()), (Some("ada"), Some(title)), "{first}");
        assert_eq!((told["value"].as_f64(), told["time"].as_i64()), (Some(5.0), Some(7)));
        let second = next(watcher).unwrap();
        assert_eq!((second["events"].as_array().unwrap().len(), second["more"].as_u64()), (20, Some(5)));
        assert_eq!(second["events"][3]["title"], "new 3");
        // What was refused was not written.
        assert_eq!(next(watcher).unwrap()["events"][0]["user"], "eve");
    }
    // Watching does not hold up the end.
    server.stopper.stop();
    assert_eq!(next(&mut watchers[0]), None);
    server.thread.take().unwrap().join().unwrap().unwrap();
}

#[test]
fn watchers_are_counted() {
    let server = start();
    let watchers: Vec<_> = (0..64).map(|_| watch(&server, FEED)).collect();
    let (status, refused) = get(&server, "/v1/events/feed");
    assert_eq!((status, code(&refused)), (503, "overloaded"));
    drop(watchers);
    // The server notices that they left when it next tells them something.
    for _ in 0..100 {
        post(&server, "/v1/events", &json!({"user": "ada", "item": "item 1", "value": 5}));
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(format!("GET {FEED} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        if line.contains("200") {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the places of watchers who left do not come back");
}

#[test]
fn coverage_is_of_the_lists_of_all() {
    let server = start();
    let (status, empty) = get(&server, "/v1/coverage");
    assert_eq!((status, empty["users"].as_u64(), empty["coverage"].as_f64()), (200, Some(0), Some(0.0)));
    for user in 0..6 {
        for item in 0..5 {
            let key = format!("item {}", (user * 5 + item) % 40);
            post(&server, "/v1/events", &json!({"user": format!("u{user}"), "item": key, "value": 4}));
        }
    }
    let (_, reach) = get(&server, "/v1/coverage?users=4&n=5");
    let number = |name: &str| reach[name].as_f64().unwrap();
    assert_eq!((number("users"), number("n")), (4.0, 5.0), "{reach}");
    assert!(number("shown") >= 5.0 && number("shown") <= 20.0, "{reach}");
    assert!((number("coverage") - number("shown") / number("items")).abs() < 1e-9);
    assert!((number("history_coverage") - 20.0 / number("items")).abs() < 1e-9, "{reach}");
    let most = reach["most"].as_array().unwrap();
    let lists: u64 = most.iter().map(|shown| shown["lists"].as_u64().unwrap()).sum();
    assert_eq!(lists, 20, "every place of every list: {reach}");
}
