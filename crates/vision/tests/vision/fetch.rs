//! Downloading pictures from a server of our own.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldin_core::CancelFlag;
use foldin_vision::data::fetch::{FetchOptions, fetch, file_name};
use image::ImageFormat;

use crate::pictures::{encoded, plain};

/// Answers by path, counting requests and how many are open at once.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    most_at_once: Arc<AtomicUsize>,
}

fn serve() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let picture = encoded(&plain(6, 6, [9, 9, 9]), ImageFormat::Png);
    let server = Server { address, asked: asked.clone(), most_at_once: most.clone() };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (asked, open, most, picture) = (asked.clone(), open.clone(), most.clone(), picture.clone());
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let Some(Ok(first)) = lines.next() else { return };
                lines.find(|line| line.as_ref().map_or(true, String::is_empty));
                most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let path = first.split(' ').nth(1).unwrap().to_owned();
                let before = {
                    let mut asked = asked.lock().unwrap();
                    asked.push(path.clone());
                    asked.iter().filter(|other| **other == path).count()
                };
                std::thread::sleep(Duration::from_millis(5));
                let answer = |status: &str, body: &[u8], length: usize| {
                    let mut out = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nRetry-After: 0\r\nConnection: close\r\n\r\n"
                    )
                    .into_bytes();
                    out.extend_from_slice(body);
                    out
                };
                let out = match path.as_str() {
                    "/gone.jpg" => answer("404 Not Found", b"", 0),
                    "/page.jpg" => answer("200 OK", b"<html>", 6),
                    "/busy.jpg" if before < 3 => answer("503 Service Unavailable", b"", 0),
                    "/never.jpg" => answer("500 Internal Server Error", b"", 0),
                    "/cut.jpg" if before < 2 => answer("200 OK", &picture[..20], picture.len()),
                    "/large.jpg" => answer("200 OK", &vec![0; 5000], 5000),
                    _ => answer("200 OK", &picture, picture.len()),
                };
                // Before the answer: whoever has it asks the next at once.
                open.fetch_sub(1, Ordering::SeqCst);
                let _ = stream.write_all(&out);
            });
        }
    });
    server
}

fn options() -> FetchOptions {
    FetchOptions { pause: Duration::from_millis(1), bytes: 4000, ..FetchOptions::default() }
}

#[test]
fn pictures_come_once_and_broken_links_are_told() {
    let server = serve();
    let folder = tempfile::tempdir().unwrap();
    let mut addresses: Vec<String> =
        (0..20).map(|at| format!("{}/{at}.png?size=1", server.address)).collect();
    let bad = ["gone", "page", "never", "large"].map(|name| format!("{}/{name}.jpg", server.address));
    addresses.extend(bad.clone());
    addresses.extend(["busy", "cut"].map(|name| format!("{}/{name}.jpg", server.address)));
    addresses.push("http://127.0.0.1:1/nobody.jpg".to_owned());
    let steps = Mutex::new(Vec::new());
    let run = |options: &FetchOptions| {
        let told = |done, of| steps.lock().unwrap().push((done, of));
        fetch(&addresses, folder.path(), options, &CancelFlag::default(), &told).unwrap()
    };
    let report = run(&options());
    assert_eq!((report.present, report.fetched, report.broken.len(), report.left), (0, 22, 3, 0));
    // What may work later is no broken link.
    assert!(report.unreachable.len() == 2 && report.unreachable[&bad[2]].contains("500"), "{report:?}");
    assert!(report.broken[&bad[0]].contains("404") && report.broken[&bad[1]].contains("not a picture"));
    assert!(report.broken[&bad[3]].contains("more than"), "{}", report.broken[&bad[3]]);
    assert!(server.most_at_once.load(Ordering::SeqCst) <= options().connections);
    assert_eq!(steps.lock().unwrap().iter().max(), Some(&(27, 27)));
    assert!(folder.path().join(file_name(&addresses[0])).is_file());
    let parts = std::fs::read_dir(folder.path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "part")
    });
    assert_eq!(parts.count(), 0);

    // Again: nothing but what may have come back is asked for a second time, unless that is wanted of the broken ones.
    let asked = server.asked.lock().unwrap().len();
    let report = run(&FetchOptions { retries: 0, ..options() });
    assert_eq!(
        (report.present, report.fetched, report.broken.len(), report.unreachable.len()),
        (22, 0, 3, 2)
    );
    assert_eq!(server.asked.lock().unwrap().len(), asked + 1);
    run(&FetchOptions { retry_broken: true, retries: 0, ..options() });
    assert_eq!(server.asked.lock().unwrap().len(), asked + 5);
}

#[test]
fn a_run_that_is_stopped_says_what_is_left() {
    let server = serve();
    let folder = tempfile::tempdir().unwrap();
    let addresses: Vec<String> = (0..50).map(|at| format!("{}/{at}.png", server.address)).collect();
    let cancel = CancelFlag::default();
    let stop = |done, _| {
        if done >= 10 {
            cancel.cancel();
        }
    };
    let report = fetch(&addresses, folder.path(), &options(), &cancel, &stop).unwrap();
    assert!(report.fetched >= 10 && report.left > 20, "{report:?}");
    assert_eq!(report.fetched + report.left, 50);
    let rest = fetch(&addresses, folder.path(), &options(), &CancelFlag::default(), &|_, _| ()).unwrap();
    assert_eq!((rest.present, rest.fetched), (report.fetched, report.left));
}

#[test]
fn where_there_is_nothing_to_ask_for_no_folder_is_made() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("images");
    fetch(&[], &folder, &options(), &CancelFlag::default(), &|_, _| ()).unwrap();
    assert!(!folder.exists());
}

#[test]
fn files_are_named_after_addresses() {
    let name = file_name("https://x/a.PNG?b=1.webp");
    assert!(name.len() == 20 && name.ends_with(".png"));
    assert!(file_name("https://x/a").ends_with(".jpg"));
    assert_ne!(file_name("https://x/a.jpg"), file_name("https://x/b.jpg"));
}
