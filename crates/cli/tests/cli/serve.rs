//! The server as it is started, asked, killed and stopped.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::running::{Running, ask, start};
use crate::{foldin, ok, write_ratings};

fn train(folder: &Path) {
    write_ratings(folder);
    ok(folder, &["train", "--data", "ratings.csv", "--model", "lfg-bayes", "--out", "model"]);
}

#[test]
fn a_model_is_served_and_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let args = ["--model", "model", "--store", "store", "--import", "ratings.csv"];
    let mut server = start(folder, &args);
    let (status, user) = ask(&server.address, "GET", "/v1/users/u3", None).unwrap();
    assert_eq!(status, 200);
    assert!(user["history"].as_array().unwrap().len() >= 19, "{user}");
    let event = json!({"user": "ada", "item": "i2", "value": 9});
    assert_eq!(ask(&server.address, "POST", "/v1/events", Some(&event)).unwrap().0, 201);
    let (_, list) = ask(&server.address, "GET", "/v1/users/ada/recommendations?n=5", None).unwrap();
    assert_eq!((list["source"].as_str(), list["used"].as_u64()), (Some("generated"), Some(1)));
    let in_use = foldin(folder, &["import", "--store", "store", "--data", "ratings.csv"]);
    assert!(String::from_utf8_lossy(&in_use.stderr).contains("in use by another process"));

    #[cfg(unix)]
    {
        let stopped = Command::new("kill").arg(server.child.id().to_string()).status().unwrap();
        assert!(stopped.success());
        assert_eq!(server.child.wait().unwrap().code(), Some(0), "a server that is asked to stop ends well");
    }
    // The same again, without the model folder: the version that served last, with everything that was written.
    let server = start(folder, &["--store", "store"]);
    let (_, again) = ask(&server.address, "GET", "/v1/users/ada/recommendations?n=5", None).unwrap();
    assert_eq!(again["items"], list["items"]);
    drop(server);

    // Another model becomes the version that serves, and the first command does not undo that.
    ok(folder, &["train", "--data", "ratings.csv", "--model", "bias-svd", "--out", "other"]);
    let serving = |args: &[&str]| {
        let server = start(folder, args);
        ask(&server.address, "GET", "/v1/stats", None).unwrap().1["model_version"].clone()
    };
    assert_eq!(serving(&["--model", "other", "--store", "store"]), "000002");
    assert_eq!(serving(&["--model", "model", "--store", "store"]), "000002");
}

/// Killed in the middle of the import at its start: the next start knows, and goes on to the whole of it.
#[test]
fn an_interrupted_import_is_gone_on_with() {
    const USERS: usize = 4000;
    const ITEMS: usize = 100;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let mut lines = String::from("user,item,rating\n");
    for at in 0..USERS * ITEMS {
        writeln!(lines, "u{},i{},{}", at / ITEMS, at % ITEMS, 1 + at % 10).unwrap();
    }
    std::fs::write(folder.join("many.csv"), lines).unwrap();
    let events = |server: &Running| {
        let (_, stats) = ask(&server.address, "GET", "/v1/stats", None).unwrap();
        stats["store"]["events"].as_u64().unwrap()
    };
    let args = ["--model", "model", "--store", "store"];
    let importing: Vec<&str> = args.iter().copied().chain(["--import", "many.csv"]).collect();
    let mut child = Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(&importing)
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A tenth of it is some megabytes.
    let store = folder.join("store/events.redb");
    let begin = Instant::now();
    while std::fs::metadata(&store).map_or(0, |found| found.len()) < 4 << 20 {
        assert!(begin.elapsed() < Duration::from_secs(60), "nothing is imported");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();

    // Started without it, the server takes what there is, and from then on nothing writes over what is written.
    std::fs::create_dir(folder.join("other")).unwrap();
    std::fs::copy(&store, folder.join("other/events.redb")).unwrap();
    let of_other: Vec<&str> =
        importing.iter().map(|&argument| if argument == "store" { "other" } else { argument }).collect();
    let server = start(folder, &of_other[..args.len()]);
    let part = events(&server);
    assert!(part > 0 && part < (USERS * ITEMS) as u64, "killed in the middle, at {part} events");
    drop(server);
    assert_eq!(events(&start(folder, &of_other)), part);

    let server = start(folder, &importing);
    assert_eq!(events(&server), (USERS * ITEMS) as u64, "all of it, nothing twice");
    let own = json!({"user": "u0", "item": "i0", "value": 7});
    assert_eq!(ask(&server.address, "POST", "/v1/events", Some(&own)).unwrap().0, 201);
    drop(server);
    // Once it ended it is not done again: what came since stays.
    let server = start(folder, &importing);
    let (_, user) = ask(&server.address, "GET", "/v1/users/u0", None).unwrap();
    let value = |event: &Value| (event["item"] == "i0").then(|| event["value"].clone());
    assert_eq!(user["history"].as_array().unwrap().iter().find_map(value), Some(json!(7.0)), "{user}");
}

/// Killed in the middle of writing, again and again: what was acknowledged is there, and everything opens.
#[test]
fn nothing_acknowledged_is_lost_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..20 {
        let mut server = start(folder, &["--model", "model", "--store", "store"]);
        let begin = Instant::now();
        let address = server.address.clone();
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let address = address.clone();
                std::thread::spawn(move || {
                    let mut written = Vec::new();
                    for number in 0.. {
                        let user = format!("r{round}-w{writer}-n{number}");
                        let event = json!({"user": user, "item": "i1", "value": 3});
                        match ask(&address, "POST", "/v1/events", Some(&event)) {
                            Some((201, _)) => written.push(user),
                            _ => break,
                        }
                    }
                    written
                })
            })
            .collect();
        while begin.elapsed() < Duration::from_millis(40 + 17 * (round % 7)) {
            std::thread::sleep(Duration::from_millis(1));
        }
        server.child.kill().unwrap();
        server.child.wait().unwrap();
        for writer in writers {
            acknowledged.extend(writer.join().unwrap());
        }
    }
    assert!(acknowledged.len() > 20, "{} events were acknowledged", acknowledged.len());
    let server = start(folder, &["--store", "store"]);
    for user in &acknowledged {
        let (status, found) = ask(&server.address, "GET", &format!("/v1/users/{user}"), None).unwrap();
        assert_eq!((status, found["events"].as_u64()), (200, Some(1)), "{user}");
    }
    let (_, stats) = ask(&server.address, "GET", "/v1/stats", None).unwrap();
    assert!(stats["store"]["events"].as_u64().unwrap() >= acknowledged.len() as u64);
}

#[test]
fn keys_are_made_listed_and_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let made = ok(folder, &["keys", "create", "--store", "store", "--role", "read", "--label", "a reader"]);
    let key = made.lines().next().unwrap().to_owned();
    assert!(key.starts_with("fk_") && made.contains("may read"), "{made}");
    let listed = ok(folder, &["keys", "list", "--store", "store"]);
    assert!(listed.contains("a reader") && !listed.contains(&key), "{listed}");
    let server = start(folder, &["--model", "model", "--store", "store"]);
    assert_eq!(ask(&server.address, "GET", "/v1/stats", None).unwrap().0, 401);
    let id = key.split('_').nth(1).unwrap();
    ok(folder, &["keys", "revoke", "--store", "store", id]);
    let again = foldin(folder, &["keys", "revoke", "--store", "store", id]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("there is no key"));
}

#[test]
fn settings_are_checked_before_anything_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let fails = |config: &str, expected: &str| {
        std::fs::write(folder.join("foldin.toml"), config).unwrap();
        let args = ["serve", "--model", "model", "--config", "foldin.toml", "--check"];
        let output = foldin(folder, &args);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(expected), "{config}: {text}");
    };
    fails("lisen = 3", "unknown field `lisen`");
    fails("listen = \"0.0.0.0:0\"", "foldin keys create");
    fails("[limits]\nconcurrency = 0", "`limits.concurrency` is 0");
    fails("cors_origins = [\"shop.example/x\"]", "an origin is a scheme and a host");
    fails("[engine.kinds]\nview = { weight = -1.0, seen = false }", "a weight is above 0");
    std::fs::write(folder.join("foldin.toml"), "listen = \"127.0.0.1:0\"\n[train]\nevery_seconds = 60")
        .unwrap();
    let well = ok(folder, &["serve", "--model", "model", "--config", "foldin.toml", "--check"]);
    assert!(well.contains("all is well: lfg-bayes"), "{well}");
    ok(folder, &["serve", "--model", "model", "--store", "unchanged", "--import", "ratings.csv", "--check"]);
    assert!(!folder.join("unchanged").exists(), "a check makes nothing");
    let output = foldin(folder, &["serve", "--store", "unchanged"]);
    assert!(!output.status.success(), "a check has not adopted the model");
    let output = foldin(folder, &["serve", "--store", "nothing"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("give a model with --model DIR"));
}

/// A collector is sent a trace of every request, on the trace that its sender began, and the rest when the server stops.
#[cfg(all(unix, feature = "otlp"))]
#[test]
fn traces_are_sent_to_a_collector() {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    train(folder);
    let collector = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", collector.local_addr().unwrap());
    let collected = std::thread::spawn(move || {
        let (mut stream, _) = collector.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (mut sent, mut part) = (Vec::new(), [0u8; 65536]);
        // A head, and a body of the length that it says.
        loop {
            let n = stream.read(&mut part).unwrap();
            sent.extend_from_slice(&part[..n]);
            let Some(end) = sent.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8_lossy(&sent[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            if sent.len() >= end + 4 + length.unwrap().parse::<usize>().unwrap() {
                break;
            }
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
        sent
    });
    let mut server = start(folder, &["--model", "model", "--otlp", &url]);
    let mut stream = TcpStream::connect(&server.address).unwrap();
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let head = format!(
        "GET /v1/users/ada/recommendations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert!(Command::new("kill").arg(server.child.id().to_string()).status().unwrap().success());
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
    let sent = collected.join().unwrap();
    let holds = |bytes: &[u8]| sent.windows(bytes.len()).any(|window| window == bytes);
    assert!(sent.starts_with(b"POST /v1/traces HTTP/1.1"));
    assert!(holds(b"GET /v1/users/{id}/recommendations") && holds(b"recommend") && holds(b"foldin"));
    let id: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&trace[2 * at..2 * at + 2], 16).unwrap()).collect();
    assert!(holds(&id), "the trace goes on");
}
