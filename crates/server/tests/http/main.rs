//! The server as clients meet it: through real sockets.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod design;
mod faults;
mod feed;
mod odd_bodies;
mod running;
mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldin_engine::store::MemoryStore;
use foldin_engine::{Engine, EngineOptions, Versions};
use foldin_server::config::Limits;
use foldin_server::keys::{Keys, Role};
use foldin_server::{ServeError, Server, ServerConfig};
use serde_json::{Value, json};

use running::{code, data, get, post, send, start, start_with, write_model};

#[test]
fn an_event_is_in_the_next_answer() {
    let server = start();
    let (status, popular) = get(&server, "/v1/users/ada/recommendations?n=5");
    assert_eq!((status, popular["source"].as_str()), (200, Some("popular")));
    for step in 0..4 {
        let (_, list) = get(&server, "/v1/users/ada/recommendations");
        let item = list["items"][0]["item"].as_str().unwrap().to_owned();
        let (status, written) =
            post(&server, "/v1/events", &json!({"user": "ada", "item": item, "value": 10}));
        assert_eq!((status, written["written"].as_u64()), (201, Some(1)), "{written}");
        let (_, after) = get(&server, "/v1/users/ada/recommendations?explain=2");
        assert_eq!((after["source"].as_str(), after["used"].as_u64()), (Some("generated"), Some(step + 1)));
        let shown = after["items"].as_array().unwrap();
        assert!(shown.iter().all(|shown| shown["item"] != item.as_str()));
        assert!(after["micros"].as_u64().unwrap() > 0 && !shown[0]["because"].as_array().unwrap().is_empty());
    }
    let (_, user) = get(&server, "/v1/users/ada?limit=2");
    assert_eq!((user["events"].as_u64(), user["history"].as_array().unwrap().len()), (Some(4), 2));
    let (status, ..) = send(&server, "DELETE", "/v1/users/ada", None, "");
    assert_eq!(status, 200);
    assert_eq!(get(&server, "/v1/users/ada").0, 404);
    assert_eq!(get(&server, "/v1/users/ada/recommendations").1["source"], "popular");
}

#[test]
fn anybody_is_served_from_the_request_alone() {
    let server = start();
    let history = json!([{"item": "item 1", "value": 10}, {"item": "item 2", "value": -10}]);
    let (status, one) = post(&server, "/v1/recommend", &json!({"history": history, "wish": {"n": 3}}));
    assert_eq!((status, one["used"].as_u64()), (200, Some(2)), "{one}");
    let batch = json!([{"history": history, "wish": {"n": 3}}, {"user": "nobody"}]);
    let (status, many) = post(&server, "/v1/recommend", &batch);
    assert_eq!((status, &many[0]["items"]), (200, &one["items"]));
    let who = json!({"history": history});
    let item = &one["items"][0]["item"];
    let (status, predicted) = post(&server, "/v1/predict", &json!({"who": who, "items": [item]}));
    assert_eq!(status, 200);
    assert_eq!(predicted[0]["predicted"], one["items"][0]["predicted"]);
    let (status, why) = post(&server, "/v1/explain", &json!({"who": who, "item": item}));
    assert_eq!((status, why.as_array().unwrap().len()), (200, 2));
    let (status, ask) = post(&server, "/v1/ask-next", &json!({"who": who, "n": 4}));
    assert_eq!((status, ask.as_array().unwrap().len()), (200, 4));
    let (status, features) = post(&server, "/v1/recommend", &json!({"features": {"job": "job 1"}}));
    assert_eq!((status, features["source"].as_str()), (200, Some("generated")), "{features}");
    assert_eq!(post(&server, "/v1/similar-users", &json!({"who": who})).0, 200);
}

#[test]
fn every_refusal_has_the_one_shape() {
    let server = start();
    let bad = |method: &str,
               path: &str,
               body: Option<(&str, &str)>,
               status: u16,
               expected: &str,
               field: Option<&str>| {
        let body = body.map(|(kind, text)| (kind, text.as_bytes()));
        let (got, head, answer) = send(&server, method, path, body, "x-request-id: mine-1\r\n");
        assert_eq!((got, code(&answer)), (status, expected), "{method} {path}: {answer}");
        assert_eq!(answer["error"]["request_id"], "mine-1");
        assert!(head.contains("x-request-id: mine-1") && head.contains("application/json"), "{head}");
        assert_eq!(answer["error"]["field"].as_str(), field, "{answer}");
        assert!(answer["error"]["message"].as_str().unwrap().len() > 5);
    };
    const JSON: &str = "application/json";
    bad("GET", "/v1/nowhere", None, 404, "not_found", None);
    bad("GET", "/nowhere.js", None, 404, "not_found", None);
    bad("GET", "/v1/../../etc/passwd", None, 404, "not_found", None);
    bad("PATCH", "/v1/stats", None, 405, "method_not_allowed", None);
    bad("GET", "/v1/users/ada", None, 404, "unknown_user", None);
    bad("GET", "/v1/users/%ff", None, 400, "bad_request", None);
    bad("GET", "/v1/users/ada/recommendations?n=0", None, 400, "bad_request", Some("n"));
    bad("GET", "/v1/users/ada/recommendations?n=many", None, 400, "bad_request", Some("n"));
    bad("GET", "/v1/users/ada/recommendations?diversity=2", None, 400, "bad_request", Some("diversity"));
    bad("POST", "/v1/events", Some((JSON, "{")), 400, "bad_body", None);
    bad("POST", "/v1/events", Some((JSON, "[{\"user\": 3}]")), 400, "bad_body", Some("[0].user"));
    bad(
        "POST",
        "/v1/events",
        Some((JSON, r#"{"user":"a","item":"b","value":1,"oops":2}"#)),
        400,
        "bad_body",
        Some("oops"),
    );
    bad(
        "POST",
        "/v1/events",
        Some((JSON, r#"{"user":"a","item":"b","value":1e30}"#)),
        400,
        "bad_event",
        Some("value"),
    );
    bad(
        "POST",
        "/v1/events",
        Some((JSON, r#"{"user":"a","item":"b","kind":"sneeze"}"#)),
        400,
        "bad_event",
        Some("kind"),
    );
    bad(
        "POST",
        "/v1/events",
        Some((JSON, r#"[{"user":"a","item":"b","value":1},{"user":"","item":"b","value":1}]"#)),
        400,
        "bad_event",
        Some("[1].user"),
    );
    bad("POST", "/v1/events", Some(("text/html", "x")), 415, "wrong_type", None);
    bad("DELETE", "/v1/events?user=a&item=b", None, 404, "not_found", None);
    bad("POST", "/v1/recommend", Some((JSON, r#"{"wish":{"n":"x"}}"#)), 400, "bad_body", Some("wish.n"));
    bad("POST", "/v1/explain", Some((JSON, r#"{"item":"nothing"}"#)), 404, "unknown_item", Some("item"));
    bad("GET", "/v1/items/nothing", None, 404, "unknown_item", None);
    bad("GET", "/v1/items/nothing/similar", None, 404, "unknown_item", Some("item"));
    bad("POST", "/v1/models/000009/promote", None, 404, "unknown_version", None);
    bad("POST", "/v1/models/rollback", None, 409, "conflict", None);
    bad("DELETE", "/v1/models/000001", None, 409, "conflict", None);
    bad("POST", "/v1/train", Some((JSON, r#"{"held_out": 2}"#)), 400, "bad_request", Some("held_out"));
}

#[test]
fn bulks_of_events_are_written_up_to_the_first_bad_line() {
    let server = start();
    let lines: String = (0..5000)
        .map(|n| format!("{{\"user\":\"u{}\",\"item\":\"item {}\",\"value\":1}}\n", n % 50, n % 40))
        .collect();
    let kind = "application/x-ndjson";
    let (status, _, written) = send(&server, "POST", "/v1/events", Some((kind, lines.as_bytes())), "");
    assert_eq!((status, written["written"].as_u64()), (201, Some(5000)), "{written}");
    assert_eq!(server.engine.store().counts().unwrap().users, 50);
    let lines = "{\"user\":\"v\",\"item\":\"item 1\",\"value\":1}\n\n{\"user\":\"v\",\"item\":3}\n";
    let (status, _, refused) = send(&server, "POST", "/v1/events", Some((kind, lines.as_bytes())), "");
    assert_eq!((status, code(&refused)), (400, "bad_event"), "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("line 3") && message.contains("1 events before it"), "{message}");
    assert_eq!(server.engine.store().history("v", 9).unwrap().len(), 1);
}

#[test]
fn roles_are_kept_apart_and_secrets_are_not_shown() {
    let (server, key) = start_with(ServerConfig::default(), Some(Role::Admin));
    let admin = format!("authorization: Bearer {}\r\n", key.unwrap());
    let (status, head, refused) = send(&server, "GET", "/v1/stats", None, "");
    assert_eq!((status, code(&refused)), (401, "unauthorised"));
    assert!(head.contains("www-authenticate"), "{head}");
    assert_eq!(send(&server, "GET", "/v1/stats", None, "x-api-key: fk_wrong_wrong\r\n").0, 401);
    assert_eq!(send(&server, "GET", "/health/ready", None, "").0, 200, "health is asked without a key");
    let make = |role: &str| {
        let body = json!({"label": role, "role": role}).to_string();
        let (status, _, made) =
            send(&server, "POST", "/v1/keys", Some(("application/json", body.as_bytes())), &admin);
        assert_eq!(status, 201, "{made}");
        (made["id"].as_str().unwrap().to_owned(), format!("x-api-key: {}\r\n", made["key"].as_str().unwrap()))
    };
    let ((reader, read), (_, write)) = (make("read"), make("write"));
    let event = json!({"user": "a", "item": "item 1", "value": 1}).to_string();
    let event = Some(("application/json", event.as_bytes()));
    assert_eq!(send(&server, "GET", "/v1/stats", None, &read).0, 200);
    assert_eq!(send(&server, "POST", "/v1/events", event, &read).0, 403);
    assert_eq!(send(&server, "DELETE", "/v1/users/a", None, &read).0, 403);
    let item = Some(("application/json", &b"{}"[..]));
    assert_eq!(send(&server, "PUT", "/v1/items/x", item, &read).0, 403);
    assert_eq!(send(&server, "POST", "/v1/events", event, &write).0, 201);
    assert_eq!(send(&server, "POST", "/v1/train", item, &write).0, 403);
    assert_eq!(send(&server, "GET", "/v1/keys", None, &write).0, 403);
    let (_, _, listed) = send(&server, "GET", "/v1/keys", None, &admin);
    assert_eq!(listed.as_array().unwrap().len(), 3);
    assert!(!listed.to_string().contains("sha256") && !listed.to_string().contains("fk_"));
    assert_eq!(send(&server, "DELETE", &format!("/v1/keys/{reader}"), None, &admin).0, 204);
    assert_eq!(send(&server, "GET", "/v1/stats", None, &read).0, 401);
    // When the last key goes, nobody may ask any more, rather than everybody.
    let (_, _, listed) = send(&server, "GET", "/v1/keys", None, &admin);
    let own = |key: &Value| key["role"] == "admin";
    let all = listed.as_array().unwrap();
    for key in all.iter().filter(|key| !own(key)).chain(all.iter().filter(|key| own(key))) {
        let path = format!("/v1/keys/{}", key["id"].as_str().unwrap());
        assert_eq!(send(&server, "DELETE", &path, None, &admin).0, 204);
    }
    let (status, _, refused) = send(&server, "GET", "/v1/stats", None, "");
    assert_eq!((status, code(&refused)), (401, "unauthorised"));
}

#[test]
fn without_keys_other_sites_and_names_are_refused() {
    let server = start();
    let event = json!({"user": "a", "item": "item 1", "value": 1}).to_string();
    let event = Some(("application/json", event.as_bytes()));
    for (headers, expected) in [
        ("origin: https://evil.example\r\n", 403),
        ("origin: null\r\n", 403),
        ("origin: http://localhost:5173\r\n", 201),
    ] {
        assert_eq!(send(&server, "POST", "/v1/events", event, headers).0, expected, "{headers}");
    }
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream
        .write_all(b"GET /v1/stats HTTP/1.1\r\nhost: rebound.example:8080\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
}

#[test]
fn an_open_address_needs_keys() {
    let place = tempfile::tempdir().unwrap();
    write_model(&place.path().join("model"), 20);
    let versions = Versions::open(&place.path().join("models")).unwrap();
    let name = versions.adopt(&place.path().join("model")).unwrap();
    let engine =
        Engine::new(Box::new(MemoryStore::new()), versions.load(&name).unwrap(), EngineOptions::default());
    let config = ServerConfig { listen: "0.0.0.0:0".parse().unwrap(), ..ServerConfig::default() };
    let keys = Keys::open(&place.path().join("keys.json")).unwrap();
    let error = Server::bind(Arc::new(engine.unwrap()), versions, keys, config).unwrap_err();
    assert!(matches!(error, ServeError::KeysNeeded { .. }), "{error}");
}

#[test]
fn limits_refuse_and_the_rest_goes_on() {
    let mut config = ServerConfig::default();
    config.limits.body_bytes = 1000;
    config.limits.rate_per_second = 5;
    config.limits.rate_burst = 10;
    let (server, _) = start_with(config, None);
    let large = format!("{{\"user\": \"{}\"}}", "x".repeat(5000));
    let body = Some(("application/json", large.as_bytes()));
    let (status, _, refused) = send(&server, "POST", "/v1/events", body, "");
    assert_eq!((status, code(&refused)), (413, "too_large"));
    let answers: Vec<(u16, String)> = (0..30)
        .map(|_| {
            let (status, head, _) = send(&server, "GET", "/v1/stats", None, "");
            (status, head)
        })
        .collect();
    assert!(answers.iter().any(|(status, _)| *status == 200));
    let limited = answers.iter().find(|(status, _)| *status == 429).expect("the limit is reached");
    assert!(limited.1.contains("retry-after: 1"), "{}", limited.1);
    assert_eq!(get(&server, "/health/live").0, 200, "health is not limited");
}

/// A head that never ends, a body that never comes, and a head that is too large harm nobody.
#[test]
fn slow_and_odd_clients_harm_nobody() {
    let limits = Limits { request_seconds: 2, ..Limits::default() };
    let (server, _) = start_with(ServerConfig { limits, ..ServerConfig::default() }, None);
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(b"GET /v1/stats HTTP/1.1\r\nhost: localhost").unwrap();
    let mut waiting = TcpStream::connect(server.address).unwrap();
    waiting
        .write_all(b"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        .unwrap();
    let huge = format!("x-much: {}\r\n", "y".repeat(1 << 20));
    let (status, ..) = send(&server, "GET", "/v1/stats", None, &huge);
    assert!(status == 431 || status == 0, "{status}");
    let mut noise = TcpStream::connect(server.address).unwrap();
    noise.write_all(&[0, 159, 146, 150, 13, 10, 13, 10]).unwrap();
    assert_eq!(get(&server, "/v1/stats").0, 200);
    // And nobody is waited for: a body that does not come is given up after the limit, a head after ten seconds.
    for (stream, most, what) in [(&mut waiting, 8, "a body"), (&mut slow, 20, "a head")] {
        let begin = Instant::now();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(begin.elapsed() < Duration::from_secs(most), "{what} was waited for");
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || answer.contains(" 503 ") || answer.contains(" 408 "),
            "{what}: {answer}"
        );
    }
}

#[test]
fn training_is_watched_promoted_and_rolled_back() {
    let server = start();
    let data = data();
    let mut lines = String::new();
    for user in 0..data.users.len() {
        let (items, values) = data.interactions.by_user().row(user);
        for (at, (&item, &value)) in items.iter().zip(values).enumerate() {
            let time = (at * 1000 + user) as i64;
            let event = json!({"user": data.users.key(user as u32).unwrap_or_default(), "item": data.items.key(item).unwrap_or_default(), "value": value, "time": time});
            lines += &format!("{event}\n");
        }
    }
    let body = Some(("application/x-ndjson", lines.as_bytes()));
    assert_eq!(send(&server, "POST", "/v1/events", body, "").0, 201);
    let (status, job) = post(&server, "/v1/train", &json!({"tolerance": 0.5}));
    assert_eq!(status, 202, "{job}");

    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    write!(
        stream,
        "GET /v1/jobs/{}/events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        job["id"]
    )
    .unwrap();
    let events: Vec<Value> = BufReader::new(stream)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("data: ").and_then(|text| serde_json::from_str(text).ok()))
        .collect();
    let last = events.last().expect("a run is watched until it ends");
    assert_eq!(last["state"], "done", "{last}");
    assert_eq!(last["report"]["promoted"], true, "{last}");

    let (_, models) = get(&server, "/v1/models");
    assert_eq!(models.as_array().unwrap().len(), 2);
    assert_eq!((&models[1]["serving"], &models[1]["name"]), (&json!(true), &json!("000002")));
    assert_eq!(get(&server, "/v1/users/ada/recommendations").1["version"], "000002");
    assert_eq!(post(&server, "/v1/models/rollback", &json!({})).1["serving"], "000001");
    assert_eq!(get(&server, "/v1/users/ada/recommendations").1["version"], "000001");
    // Both answer the same history, whichever serves.
    let history = json!([{"item": "item 1", "value": 10}]);
    let by = |version: &str| {
        let (status, list) = post(&server, "/v1/recommend", &json!({"history": history, "version": version}));
        assert_eq!((status, list["version"].as_str()), (200, Some(version)), "{list}");
        list["items"].clone()
    };
    assert_ne!(by("000001"), by("000002"));
    assert_eq!(post(&server, "/v1/recommend", &json!({"version": "000009"})).0, 404);
    let (_, map) = get(&server, "/v1/map?items=10&users=7");
    assert_eq!((map["items"].as_array().unwrap().len(), map["users"].as_array().unwrap().len()), (10, 7));
    assert!((0.0..=1.0).contains(&map["explained"].as_f64().unwrap()), "{map}");
    assert_eq!(post(&server, "/v1/models/000002/promote", &json!({})).0, 200);
    assert_eq!(get(&server, "/v1/jobs").1[0]["state"], "done");
    for (model, status) in [("i-autorec", 422), ("ease", 422), ("no-such", 400)] {
        let refused = post(&server, "/v1/train", &json!({"model": model}));
        assert_eq!((refused.0, refused.1["error"]["field"].as_str()), (status, Some("model")), "{refused:?}");
    }
    let (status, refused) = post(&server, "/v1/train", &json!({"settings": {"factors": -3}}));
    assert_eq!((status, refused["error"]["field"].as_str()), (400, Some("settings")), "{refused}");
    assert_eq!(get(&server, "/v1/jobs").1.as_array().unwrap().len(), 1, "none of them began");

    // A damaged version is refused, and the one that serves goes on.
    let weights = server.place.path().join("models/000001/weights.safetensors");
    std::fs::write(&weights, b"torn").unwrap();
    let (status, refused) = post(&server, "/v1/models/000001/promote", &json!({}));
    assert_eq!((status, code(&refused)), (409, "conflict"), "{refused}");
    assert!(refused.to_string().contains("damaged"), "{refused}");
    assert_eq!(get(&server, "/v1/users/ada/recommendations").1["version"], "000002");
}

#[test]
fn items_are_searched_set_and_hidden() {
    let server = start();
    let (_, page) = get(&server, "/v1/items?limit=3");
    assert_eq!((page["items"].as_array().unwrap().len(), page["total"].as_u64()), (3, Some(40)));
    let top = page["items"][0]["id"].as_str().unwrap().replace(' ', "%20");
    let body = json!({"title": "The Ünicorn (2001)", "categories": ["Special"], "attributes": {"price": 3}})
        .to_string();
    let body = Some(("application/json", body.as_bytes()));
    assert_eq!(send(&server, "PUT", &format!("/v1/items/{top}"), body, "").0, 204);
    let (_, found) = get(&server, "/v1/items?search=unicorn");
    assert_eq!(found["items"][0]["attributes"]["price"], 3.0, "{found}");
    let (_, list) = get(&server, "/v1/users/ada/recommendations?category=Special");
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(get(&server, "/v1/categories").1["Special"], 1);
    let (_, near) = get(&server, &format!("/v1/items/{top}/similar?n=3"));
    assert_eq!(near.as_array().unwrap().len(), 3);
    let many = json!([{"id": "new one", "title": "New"}, {"id": top.replace("%20", " "), "hidden": true}])
        .to_string();
    let many = Some(("application/json", many.as_bytes()));
    assert_eq!(send(&server, "PUT", "/v1/items", many, "").0, 204);
    assert_eq!(get(&server, "/v1/items/new%20one").1["known"], false);
    assert_eq!(get(&server, "/v1/users/ada/recommendations?category=Special").1["items"], json!([]));
    assert_eq!(send(&server, "DELETE", "/v1/items/new%20one", None, "").0, 204);
}

#[test]
fn the_server_describes_and_measures_itself() {
    let server = start();
    let (status, head, _) = send(&server, "GET", "/openapi.json", None, "");
    assert_eq!(status, 200);
    for header in ["x-content-type-options: nosniff", "content-security-policy", "x-frame-options: deny"] {
        assert!(head.contains(header), "{header}: {head}");
    }
    let api = serde_json::to_value(foldin_server::routes::api()).unwrap();
    assert!(api["openapi"].as_str().unwrap().starts_with("3.1"), "{}", api["openapi"]);
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} says what it does");
            assert!(operation["responses"]["500"].is_object(), "{method} {path} lists refusals");
        }
    }
    post(&server, "/v1/events", &json!({"user": "a", "item": "item 1", "value": 1}));
    get(&server, "/v1/users/a/recommendations");
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    for figure in [
        "foldin_requests_total{method=\"GET\",route=\"/v1/users/{id}/recommendations\",status=\"200\"} 1",
        "foldin_events_written_total 1",
        "foldin_model_version 1",
        "foldin_stored_events 1",
        "foldin_recommendation_seconds_count 1",
    ] {
        assert!(text.contains(figure), "{figure} in\n{text}");
    }
    let (_, stats) = get(&server, "/v1/stats");
    assert_eq!((stats["model"].as_str(), stats["store"]["events"].as_u64()), (Some("lfg-bayes"), Some(1)));
}

/// Requests that have begun are answered when the server is told to stop.
#[test]
fn it_drains_and_stops() {
    let mut server = start();
    let address = server.address;
    let asking: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                let mut answered = 0;
                while let Ok(mut stream) = TcpStream::connect(address) {
                    let head =
                        "GET /v1/users/a/recommendations HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
                    if stream.write_all(head.as_bytes()).is_err() {
                        break;
                    }
                    let mut text = String::new();
                    match stream.read_to_string(&mut text) {
                        Ok(0) | Err(_) => break,
                        Ok(_) => assert!(text.starts_with("HTTP/1.1 200"), "{text}"),
                    }
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    // Half of a request is here when the server is asked to stop.
    let body = json!({"user": "ada", "item": "item 1", "value": 5}).to_string();
    let mut begun = TcpStream::connect(address).unwrap();
    let head =
        format!("POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    begun.write_all(head.as_bytes()).unwrap();
    begun.write_all(&body.as_bytes()[..9]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    server.stopper.stop();
    std::thread::sleep(Duration::from_millis(100));
    begun.write_all(&body.as_bytes()[9..]).unwrap();
    let mut text = String::new();
    begun.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 201"), "what had begun is done: {text}");
    server.thread.take().unwrap().join().unwrap().unwrap();
    let answered: usize = asking.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert!(answered > 0);
    assert!(server.engine.store().counts().is_err(), "the store is closed");
}
