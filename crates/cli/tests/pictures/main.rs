//! `foldin vision` as a user runs it: from purchases with pictures to recommendations, from labelled pictures to designs for one person.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../common/running.rs"]
mod running;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use foldin_vision::sheet::Sheet;
use serde_json::{Value, json};

use crate::running::{ask, start};

/// Runs the binary in a folder, far from the data and the home of whoever runs the tests.
fn foldin(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(args)
        .current_dir(folder)
        .env_remove("FOLDIN_DATA_DIR")
        .env_remove("FOLDIN_SIMD")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("HOME", folder)
        .output()
        .expect("the binary starts")
}

fn ok(folder: &Path, args: &[&str]) -> String {
    let output = foldin(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

fn refused(folder: &Path, args: &[&str]) -> String {
    let output = foldin(folder, args);
    assert!(!output.status.success(), "{args:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

const PX: usize = 24;

/// A square of one colour on white; the seed moves it a little.
fn picture(path: &Path, [red, green, blue]: [u8; 3], seed: usize) {
    let (left, top) = (4 + seed % 3, 4 + seed / 3 % 3);
    let mut bytes = Vec::new();
    for value in [red, green, blue] {
        for y in 0..PX {
            for x in 0..PX {
                let inside = (left..left + 14).contains(&x) && (top..top + 14).contains(&y);
                bytes.push(if inside { value } else { 250 });
            }
        }
    }
    let mut sheet = Sheet::new(PX);
    sheet.pictures(&bytes, 1).expect("one picture");
    sheet.save(path).expect("the folder can be written to");
}

const COLOURS: [[u8; 3]; 3] = [[200, 30, 30], [30, 160, 40], [30, 60, 200]];

/// A shop in the plain layout: 60 items of three colours; 30 users, each of whom buys items of one.
fn shop(folder: &Path) {
    let images = folder.join("shop/images");
    std::fs::create_dir_all(&images).unwrap();
    let mut items = String::from("item,colour\n");
    for item in 0..60 {
        picture(&images.join(format!("i{item}.png")), COLOURS[item % 3], item);
        items += &format!("i{item},{}\n", ["red", "green", "blue"][item % 3]);
    }
    let mut table = String::from("user,item\n");
    for user in 0..30 {
        for nth in 0..6 {
            table += &format!("u{user},i{}\n", user % 3 + 3 * ((user * 7 + nth * 3) % 20));
        }
    }
    std::fs::write(folder.join("shop/items.csv"), items).unwrap();
    std::fs::write(folder.join("shop/interactions.csv"), table).unwrap();
}

/// Labelled pictures as fashion products: two of the six categories.
fn products(folder: &Path) {
    let images = folder.join("products/images");
    std::fs::create_dir_all(&images).unwrap();
    let mut table = String::from(
        "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName\n",
    );
    for item in 0..40 {
        picture(&images.join(format!("{item}.png")), COLOURS[item % 3], item);
        let (gender, kind) = if item % 2 == 0 { ("Men", "Topwear") } else { ("Women", "Shoes") };
        table += &format!("{item},{gender},Apparel,{kind},Shirts,Blue,Fall,2011,Casual,\"A name, or two\"\n");
    }
    std::fs::write(folder.join("products/styles.csv"), table).unwrap();
}

fn best(folder: &Path, model: &str) -> Vec<usize> {
    let text =
        ok(folder, &["vision", "recommend", "--model", model, "--bought", "i0,i3,i6", "-n", "6", "--json"]);
    let rows: Value = serde_json::from_str(&text).unwrap();
    let rows = rows.as_array().unwrap();
    rows.iter().map(|row| row["item"].as_str().unwrap()[1..].parse().unwrap()).collect()
}

#[test]
fn from_purchases_with_pictures_to_recommendations_and_a_design() {
    let place = tempfile::tempdir().unwrap();
    // What is made here, and the binary that made it, are left for whoever asks: the dashboard's check serves them to a browser.
    let kept = std::env::var_os("FOLDIN_KEEP_SHOP").map(PathBuf::from);
    if let Some(kept) = &kept {
        let _ = std::fs::remove_dir_all(kept);
        std::fs::create_dir_all(kept).unwrap();
    }
    let at = kept.as_deref().unwrap_or(place.path());
    shop(at);
    assert!(ok(at, &["vision", "data", "--data", "shop"]).contains("30 users, 60 items"));

    // A picture that is none is named, with its item.
    std::fs::write(at.join("shop/images/i59.png"), b"no picture").unwrap();
    ok(at, &["vision", "data", "--data", "shop", "--px", "16", "--defects", "defects.csv"]);
    let defects = std::fs::read_to_string(at.join("defects.csv")).unwrap();
    assert_eq!(defects, "item,picture,address,problem\n\"i59\",\"i59.png\",\"\",\"of unknown format\"\n");
    picture(&at.join("shop/images/i59.png"), COLOURS[59 % 3], 59);

    // Every recommender on the same split; what looks at pictures finds what people like, chance does not.
    let few =
        ["bpr.epochs=2", "vbpr.epochs=8", "scratch.epochs=1", "pretrained.epochs=1", "pretrain.epochs=2"];
    let few: Vec<&str> = few.iter().flat_map(|pair| ["--set", pair]).collect();
    let table =
        ok(at, &[&["vision", "evaluate", "--data", "shop", "--out", "out", "--quiet"], &few[..]].concat());
    assert!(table.contains("too few to learn from"), "{table}");
    assert!(["vis-rank-max", "visual-sum", "random"].iter().all(|model| table.contains(model)), "{table}");
    for ending in ["html", "json", "md"] {
        assert!(at.join(format!("out/vision-shop.{ending}")).is_file(), "{ending}");
    }
    assert!(refused(at, &["vision", "evaluate", "--data", "shop", "--set", "epochs=2"]).contains("scratch"));
    // On a part of the data, by features made elsewhere, within a label that is named.
    let features: String = (0..59).map(|item| format!("i{item},{},{}\n", item % 3, item % 7)).collect();
    std::fs::write(at.join("features.csv"), format!("item,a,b\n{features}")).unwrap();
    let own = ["--treatment", "all-vendor", "--min-user", "6", "--min-item", "2", "--category", "colour"];
    let evaluate =
        ["vision", "evaluate", "--data", "shop", "--features", "features.csv", "--out", "own", "--quiet"];
    let table = ok(at, &[&evaluate[..], &own[..], &few[..]].concat());
    assert!(
        table.contains("shop, all-vendor: 30 users, ") && table.contains("by the label colour"),
        "{table}"
    );
    assert!(table.contains("features.csv, which lacks 1 of them"), "{table}");
    let said = refused(at, &["vision", "evaluate", "--data", "shop", "--category", "kind"]);
    assert!(said.contains("there is no label `kind`; there are colour"), "{said}");
    let said = refused(at, &["vision", "data", "--data", "shop", "--min-item", "40"]);
    assert!(said.contains("40 buyers"), "{said}");

    // Refused before anything is trained.
    let train = ["vision", "train", "--data", "shop", "--out", "model", "--quiet", "--overwrite", "--model"];
    let with = |more: &[&'static str]| [&train[..], more].concat();
    for (more, named) in [
        (vec!["vbpr", "--fold-in", "nan"], "lambda"),
        (vec!["vbpr", "--fold-in=-1"], "lambda"),
        (vec!["vbpr", "--set", "batch=0"], "batch"),
        (vec!["dvbpr", "--set", "patience=0"], "patience"),
        (vec!["dvbpr", "--set", "px=4"], "px"),
        (vec!["dvbpr", "--device", "cuda:0"], "cpu"),
        (vec!["vis-rank", "--preset", "small"], "learns nothing"),
        (vec!["vis-rank", "--pretraining", "epochs=2"], "learns nothing"),
        (vec!["dvbpr", "--features", "some.csv"], "pictures themselves"),
        (vec!["vbpr", "--features", "some.csv"], "no file some.csv"),
    ] {
        let said = refused(at, &with(&more));
        assert!(said.contains(named), "{more:?}: {said}");
        assert!(!at.join("model.checkpoint").exists(), "{more:?}");
    }
    // Nor is anything that took long lost for a name: another training that was interrupted, or a model.
    let taken = ["vision", "train", "--data", "shop", "--out", "taken", "--quiet", "--model", "vis-rank"];
    std::fs::create_dir_all(at.join("taken.checkpoint/dvbpr")).unwrap();
    ok(at, &taken);
    assert!(at.join("taken.checkpoint/dvbpr").exists());
    std::fs::remove_dir_all(at.join("taken.checkpoint")).unwrap();
    assert!(refused(at, &taken).contains("add --overwrite"));

    // Somebody who bought red things is told of red things; and of nothing twice by the sum.
    for model in ["vis-rank", "vbpr"] {
        ok(at, &with(&[model]));
        let found = best(at, "model");
        assert!(found.iter().filter(|&item| item % 3 == 0).count() >= 4, "{model}: {found:?}");
    }
    // A shop of few labels: pretraining that was asked for is refused, with what to do; that of the sum is left out.
    let said = refused(at, &with(&["dvbpr", "--preset", "pretrained"]));
    assert!(said.contains("60 pictures") && said.contains("--preset small"), "{said}");
    let scratch = ["vision", "train", "--data", "shop", "--out", "scratch", "--model", "visual-sum"];
    let output = foldin(at, &[&scratch[..], &["--set", "px=16", "--set", "epochs=1"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("learns from scratch: 60 pictures"), "{said}");
    let small = ["--set", "px=16", "--set", "batch=32", "--set", "epochs=2"];
    let pretrained = ["--preset", "pretrained", "--pretraining", "epochs=3", "--pretraining", "batch=16"];
    ok(at, &with(&[&["visual-sum"], &small[..], &pretrained[..]].concat()));
    let found = best(at, "model");
    assert!(found.len() == 6 && !found.iter().any(|item| [0, 3, 6].contains(item)), "{found:?}");
    assert!(!at.join("model.checkpoint").exists());

    // What was written is a model folder as any other, with what is known of its items.
    let person = ["--rate", "i0", "--rate", "i3", "--rate", "i6"];
    let text = ok(at, &[&["recommend", "--model", "model", "-n", "6", "--json"], &person[..]].concat());
    let listed: Value = serde_json::from_str(&text).unwrap();
    let keys: Vec<String> = found.iter().map(|item| format!("i{item}")).collect();
    let of_rows = |rows: &Value| -> Vec<String> {
        let rows = rows["items"].as_array().unwrap().iter();
        rows.map(|row| row["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(of_rows(&listed), keys, "{listed}");
    assert!(ok(at, &["inspect", "model"]).contains("visual-sum"));
    let said =
        refused(at, &["train", "--data", "shop/interactions.csv", "--model", "item-vectors", "--out", "x"]);
    assert!(said.contains("foldin vision train"), "{said}");

    // A generator, and a design with the network of a dvbpr.
    let dvbpr = ["vision", "train", "--data", "shop", "--out", "dvbpr", "--quiet", "--model", "dvbpr"];
    ok(at, &[&dvbpr[..], &small[..]].concat());
    products(at);
    let lsgan = ["vision", "train-lsgan", "--data", "products", "--out", "gan", "--no-score", "--quiet"];
    let tiny =
        ["px=16", "epochs=1", "batch=8", "noise=8", "generator_channels=16", "discriminator_channels=8"];
    let tiny: Vec<&str> = tiny.iter().flat_map(|pair| ["--set", pair]).collect();
    ok(at, &[&lsgan[..], &tiny[..]].concat());
    // A folder of pictures for each category will do.
    for item in 0..24 {
        let category = at.join("own").join(["hats", "shoes"][item % 2]);
        std::fs::create_dir_all(&category).unwrap();
        picture(&category.join(format!("{item}.png")), COLOURS[item % 3], item);
    }
    let own = ["vision", "train-lsgan", "--data", "own", "--out", "own-gan", "--no-score", "--quiet"];
    ok(at, &[&own[..], &tiny[..]].concat());
    let hats = ["vision", "generate", "--model", "own-gan", "--category", "hats", "--out", "hats.png"];
    assert!(ok(at, &hats).contains("16 pictures of hats"));
    assert!(ok(at, &[&hats[..], &["-n", "1"]].concat()).contains("1 picture of hats"));
    let jpeg = ["vision", "generate", "--model", "own-gan", "--out", "hats.jpg"];
    assert!(refused(at, &jpeg).contains("end in .png") && !at.join("hats.jpg").exists());
    // What is taken out of pictures is no reason to train again.
    let weights = || std::fs::read(at.join("own-gan/lsgan/weights.safetensors")).unwrap();
    let (before, sheet) = (weights(), std::fs::read(at.join("own-gan/sheet.png")).unwrap());
    std::fs::remove_dir_all(at.join("own-gan/training")).unwrap();
    ok(at, &[&own[..], &tiny[..], &["--set", "smoothing=axes"]].concat());
    assert!(weights() == before && !at.join("own-gan/training").exists(), "trained again");
    assert!(std::fs::read(at.join("own-gan/sheet.png")).unwrap() != sheet, "the sheet is as before");
    assert!(std::fs::read_to_string(at.join("own-gan/lsgan/manifest.json")).unwrap().contains("axes"));
    // What would take its place is.
    assert!(
        refused(at, &[&own[..], &tiny[..], &["--seed", "2"]].concat()).contains("--overwrite replaces it")
    );
    assert!(weights() == before, "replaced");
    ok(at, &[&own[..], &tiny[..], &["--seed", "2", "--overwrite"]].concat());
    assert!(weights() != before, "not replaced");
    std::fs::write(at.join("own/backup.zip"), b"").unwrap();
    assert!(refused(at, &own).contains("backup.zip too"));
    std::fs::remove_file(at.join("own/backup.zip")).unwrap();
    assert!(refused(at, &[&own[..], &["--preset", "grown-64"]].concat()).contains("--from says"));
    let said = refused(at, &["vision", "train-lsgan", "--data", "shop", "--out", "own-gan-2"]);
    assert!(said.contains("shop holds purchases") && said.contains("for each of two categories"), "{said}");
    ok(
        at,
        &[
            "vision",
            "generate",
            "--model",
            "gan/lsgan",
            "--category",
            "men-tops",
            "-n",
            "4",
            "--out",
            "s.png",
        ],
    );
    assert!(at.join("s.png").is_file());
    let design = [
        "vision",
        "design",
        "--lsgan",
        "gan",
        "--model",
        "dvbpr",
        "--catalogue",
        "products",
        "--out",
        "design",
    ];
    let few = ["--category", "Women-shoes", "--set", "steps=3", "--set", "starts=4", "--quiet"];
    ok(at, &[&design[..], &few[..], &["--bought", "i0,i3"]].concat());
    // By their key in what the recommender learned from.
    ok(at, &[&design[..], &few[..], &["--user", "u4"]].concat());
    let json = std::fs::read_to_string(at.join("design/design.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["user"], &json["judged"]), (&json!("u4"), &Value::Null));
    // A second recommender is asked as well; one without a network cannot say.
    let judge = [&design[..], &few[..], &["--bought", "i0,i3", "--judge"]].concat();
    assert!(ok(at, &[&judge[..], &["dvbpr"]].concat()).contains("by the judge"));
    let json = std::fs::read_to_string(at.join("design/design.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let judged = &json["judged"];
    assert_eq!(
        (judged["designs"].as_array().unwrap().len(), judged["retrieved"].as_array().unwrap().len()),
        (4, 4),
        "{judged}"
    );
    assert!(refused(at, &[&judge[..], &["nowhere"]].concat()).contains("no judge in nowhere"));
    assert!(refused(at, &[&design[..], &few[..], &["--bought", "hat"]].concat()).contains("hat"));
    assert!(
        refused(at, &[&design[..], &few[..], &["--user", "nobody", "--data", "shop"]].concat())
            .contains("nobody")
    );

    designs_are_asked_of_the_server(at);
    if kept.is_some() {
        std::fs::hard_link(env!("CARGO_BIN_EXE_foldin"), at.join("foldin")).unwrap();
    }
}

/// The generator and the recommenders of `folder` behind a server: somebody buys two red things, is told of what looks like them, and a design
/// comes of it.
fn designs_are_asked_of_the_server(folder: &Path) {
    let with = |lsgan: &'static str| {
        let of = ["--lsgan", lsgan, "--design-model", "dvbpr", "--design-catalogue", "products"];
        [&["--model", "model"][..], &of[..]].concat()
    };
    let check = |lsgan| [&["serve", "--check"][..], &with(lsgan)[..]].concat();
    let said = ok(folder, &check("gan/lsgan"));
    assert!(said.contains("designs of 2 categories"), "{said}");
    assert!(refused(folder, &check("nowhere")).contains("there is no generator in nowhere"));
    // A folder that holds something else.
    let said = refused(folder, &check("shop"));
    assert!(said.contains("shop"), "{said}");

    let server = start(folder, &with("gan"));
    let ask = |method: &str, path: &str, body: Option<&Value>| {
        ask(&server.address, method, path, body).expect("the server answers")
    };
    for item in ["i0", "i3"] {
        let event = json!({"user": "ada", "item": item, "kind": "click"});
        assert_eq!(ask("POST", "/v1/events", Some(&event)).0, 201);
    }
    let (status, list) =
        ask("POST", "/v1/recommend", Some(&json!({"user": "ada", "wish": {"n": 6, "explain": 2}})));
    assert_eq!(status, 200, "{list}");
    let text =
        ok(folder, &["vision", "recommend", "--model", "model", "--bought", "i0,i3", "-n", "6", "--json"]);
    let expected: Value = serde_json::from_str(&text).unwrap();
    let keys = |rows: &Value| -> Vec<Value> {
        rows.as_array().unwrap().iter().map(|row| row["item"].clone()).collect()
    };
    assert_eq!(keys(&list["items"]), keys(&expected), "{list}");
    assert_eq!(ask("GET", "/v1/items/i0/similar?n=3", None).0, 200);
    let (_, stats) = ask("GET", "/v1/stats", None);
    assert!(stats["designs"]["categories"].as_array().unwrap().contains(&json!("women-shoes")), "{stats}");
    let wish = |user: &str, category: &str| json!({"user": user, "category": category, "steps": 3, "starts": 4, "keep": 2});
    let (status, refusal) = ask("POST", "/v1/design", Some(&wish("nobody", "men-tops")));
    assert_eq!((status, refusal["error"]["code"].as_str()), (404, Some("unknown_user")), "{refusal}");
    let (status, refusal) = ask("POST", "/v1/design", Some(&wish("ada", "hats")));
    assert_eq!((status / 100, refusal["error"]["field"].as_str()), (4, Some("category")), "{refusal}");
    let (status, run) = ask("POST", "/v1/design", Some(&wish("ada", "women-shoes")));
    assert_eq!(status, 202, "{run}");
    let (path, begin) = (format!("/v1/design/{}", run["id"]), Instant::now());
    let run = loop {
        let (_, run) = ask("GET", &path, None);
        if run["ended"].is_number() {
            break run;
        }
        assert!(begin.elapsed() < Duration::from_secs(120), "{run}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!((run["state"].as_str(), run["design"]["used"].as_u64()), (Some("done"), Some(2)), "{run}");
    let designs = run["design"]["designs"].as_array().unwrap();
    assert_eq!(designs.len(), 2);
    for design in designs {
        assert!(
            design["pictures"]
                .as_array()
                .unwrap()
                .iter()
                .all(|picture| picture.as_str().unwrap().len() > 100)
        );
        assert!(!design["nearest"].as_array().unwrap().is_empty());
    }
}

/// Answers every request with `answer`, and says when one came.
fn answering(answer: &'static [u8]) -> (String, std::sync::mpsc::Receiver<()>) {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (told, came) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer);
            let _ = told.send(());
        }
    });
    (address, came)
}

#[test]
fn what_could_not_be_fetched_is_named() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let folder = at.join("amazon");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a.json"), "{\"reviewerID\":\"u\",\"asin\":\"i\"}\n").unwrap();
    std::fs::write(folder.join("b.json"), "{\"reviewerID\":\"u\",\"asin\":\"i\"}\n").unwrap();
    let fetch = ["data", "images", "fetch", "--min-user", "1", "--data"];
    assert!(refused(at, &[&fetch[..], &["amazon"]].concat()).contains("a.json, b.json"));
    let fetch = [&fetch[..], &["amazon/a.json"]].concat();
    let said = refused(at, &fetch);
    assert!(said.contains("no pictures to download"), "{said}");
    assert!(!folder.join("images").exists());

    let (gone, _) = answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let metadata = |address: &str| {
        let line = format!(
            "{{\"asin\":\"i\",\"imageURL\":[\"{address}/1.jpg\",\"ftp://x/2.jpg\",\"http://127.0.0.1:1/3.jpg\"]}}\n"
        );
        std::fs::write(folder.join("meta.json"), line).unwrap();
    };
    metadata(&gone);
    let output = foldin(at, &[&fetch[..], &["--failures", "failures.csv"]].concat());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no answer: http://127.0.0.1:1/3.jpg"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 addresses that are neither http nor https"));
    let failures = std::fs::read_to_string(at.join("failures.csv")).unwrap();
    assert_eq!(failures.lines().count(), 4, "{failures}");
    assert!(
        ["/1.jpg\",\"status 404", "ftp://x/2.jpg", ":1/3.jpg"].iter().all(|part| failures.contains(part)),
        "{failures}"
    );
    // Of an item whose pictures never came, addresses are told.
    let said = refused(at, &["vision", "data", "--data", "amazon/a.json", "--min-user", "1"]);
    assert!(said.contains("no user has 1 items with pictures"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_download_that_is_interrupted_is_no_success() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let (busy, came) =
        answering(b"HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    std::fs::create_dir_all(at.join("amazon")).unwrap();
    let review = format!("{{\"reviewerID\":\"u\",\"asin\":\"i\",\"image\":[\"{busy}/1.jpg\"]}}\n");
    std::fs::write(at.join("amazon/reviews.json"), review).unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(["data", "images", "fetch", "--min-user", "1", "--data", "amazon"])
        .current_dir(at)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    came.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("1 addresses are left: the same command goes on"), "{said}");
}
