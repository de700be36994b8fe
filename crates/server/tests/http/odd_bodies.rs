//! Whatever is sent, the answer is one of those that are documented, and the server goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::running::{Running, get, start};

/// Routes with a body, each with one that is right.
fn right() -> Vec<(&'static str, &'static str, Value)> {
    let history = json!([{"item": "item 1", "value": 5}, {"item": "item 2", "kind": "rating", "value": 2}]);
    let who = json!({"history": history, "features": {"age": 31}});
    vec![
        ("POST", "/v1/events", json!({"user": "ada", "item": "item 1", "value": 5, "time": 1})),
        ("POST", "/v1/events", json!([{"user": "ada", "item": "item 1", "kind": "view"}])),
        ("PUT", "/v1/users/ada", json!({"features": {"age": 31, "occupation": "writer"}})),
        ("POST", "/v1/recommend", json!({"history": history, "wish": {"n": 3, "diversity": 0.5}})),
        ("POST", "/v1/recommend", json!([{"user": "ada", "wish": {"n": 3, "explain": 2}}])),
        ("POST", "/v1/predict", json!({"who": who, "items": ["item 3"]})),
        ("POST", "/v1/explain", json!({"who": who, "item": "item 3", "most": 2})),
        ("POST", "/v1/ask-next", json!({"who": who, "n": 3})),
        ("POST", "/v1/similar-users", json!({"who": who, "n": 3})),
        ("PUT", "/v1/items/new", json!({"title": "New", "categories": ["a"], "attributes": {"year": 1999}})),
    ]
}

/// Anything that JSON can say, and numbers that it can only just say.
fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just(1e308), Just(-0.0), Just(5e-324), Just(1e39)].prop_map(Value::from),
        ".{0,40}".prop_map(Value::from),
        Just(Value::from("item 1")),
        (500usize..2000).prop_map(|n| Value::from("x".repeat(n))),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec(("[a-z_]{0,8}|item|user|value|n|history|wish", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

/// Replaces the `at`th place of a value, counted in depth, with another.
fn replace(value: &mut Value, at: &mut usize, with: &Value) {
    if *at == 0 {
        *value = with.clone();
        *at = usize::MAX;
        return;
    }
    *at -= 1;
    let each: Box<dyn Iterator<Item = &mut Value>> = match value {
        Value::Array(list) => Box::new(list.iter_mut()),
        Value::Object(map) => Box::new(map.values_mut()),
        _ => return,
    };
    for inner in each {
        if *at == usize::MAX {
            return;
        }
        replace(inner, at, with);
    }
}

fn ask(server: &Running, method: &str, path: &str, kind: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(body);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let mut rest = String::new();
    let _ = reader.read_to_string(&mut rest);
    let body = rest.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

/// A success, or a refusal of the one shape that is the client's fault.
fn is_documented(status: u16, body: &Value) -> bool {
    let refused = body["error"]["code"].is_string() && body["error"]["message"].is_string();
    (200..300).contains(&status) || ((400..500).contains(&status) && refused)
}

#[test]
fn right_bodies_are_right() {
    let server = start();
    for (method, path, body) in right() {
        let (status, answer) = ask(&server, method, path, "application/json", body.to_string().as_bytes());
        assert!((200..300).contains(&status), "{method} {path} {body}: {status} {answer}");
    }
}

#[test]
fn wrong_bodies_are_refused_in_words() {
    let server = start();
    let routes = right();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let cases =
        (0..routes.len(), 0usize..14, any_value(), 0usize..4, any::<prop::sample::Index>(), any::<u8>());
    runner
        .run(&cases, |(route, at, with, how, place, byte)| {
            let (method, path, body) = &routes[route];
            let mut body = body.clone();
            replace(&mut body, &mut { at }, &with);
            let mut bytes = body.to_string().into_bytes();
            match how {
                // Cut short, a byte changed, or nothing like JSON.
                1 => bytes.truncate(place.index(bytes.len())),
                2 => {
                    let at = place.index(bytes.len());
                    bytes[at] = byte;
                }
                3 => bytes = bytes.iter().map(|b| b.wrapping_add(byte)).collect(),
                _ => {}
            }
            let (status, answer) = ask(&server, method, path, "application/json", &bytes);
            let text = String::from_utf8_lossy(&bytes);
            prop_assert!(is_documented(status, &answer), "{method} {path} {text}: {status} {answer}");
            let (status, answer) = ask(&server, "POST", "/v1/events", "application/x-ndjson", &bytes);
            prop_assert!(is_documented(status, &answer), "lines {text}: {status} {answer}");
            Ok(())
        })
        .unwrap();
    assert_eq!(get(&server, "/health/ready").0, 200);
    assert_eq!(get(&server, "/v1/users/ada/recommendations").0, 200);
}
