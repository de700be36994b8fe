//! Looking at data, converting and downloading them.

use crate::{both, json, ok, read, refused, write, write_ratings};

#[test]
fn every_format_gives_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    let fingerprint =
        |data: &str| json(&ok(at, &["data", "info", "--data", data, "--json"]))["fingerprint"].clone();
    let expected = fingerprint("ratings.csv");
    for format in ["csv", "tsv", "recbole", "jsonl"] {
        let args = ["data", "convert", "--data", "ratings.csv", "--to", format, "--out", format];
        let written = ok(at, &args);
        assert_eq!(written.lines().count(), 4, "{written}");
        assert_eq!(fingerprint(format), expected, "{format}");
        let text = refused(at, 1, &args);
        assert!(text.contains("is not empty: add --overwrite"), "{text}");
    }
    let text = refused(at, 2, &["data", "convert", "--data", "ratings.csv", "--to", "xml", "--out", "x"]);
    assert!(text.contains("none of: csv, tsv, recbole, jsonl"), "{text}");
}

#[test]
fn a_conversion_replaces_an_earlier_one_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    for format in ["csv", "jsonl", "recbole", "tsv", "csv"] {
        let args =
            ["data", "convert", "--data", "ratings.csv", "--to", format, "--out", "out", "--overwrite"];
        ok(at, &args);
        write(at, "out/notes.txt.bak", "mine");
        let info = json(&ok(at, &["data", "info", "--data", "out", "--json"]));
        assert_eq!((&info["users"], &info["name"]), (&json("40"), &json("\"ratings\"")), "{format}");
        let files = std::fs::read_dir(at.join("out")).unwrap().count();
        assert_eq!(files, 5, "three tables, foldin.json and the stranger");
    }
    assert_eq!(read(at, "out/notes.txt.bak"), "mine");
    // A list that names something outside the folder is not believed.
    write(at, "precious", "mine");
    let saved = read(at, "out/foldin.json").replace("\"users.csv\"", "\"../precious\"");
    write(at, "out/foldin.json", saved);
    let convert =
        ["data", "convert", "--data", "ratings.csv", "--out", "out", "--overwrite", "--to", "jsonl"];
    ok(at, &convert);
    assert_eq!(read(at, "precious"), "mine");
}

#[test]
fn netflix_prize_data_are_described() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir_all(at.join("netflix/training_set")).unwrap();
    write(at, "netflix/movie_titles.txt", b"1,2003,Dinosaur Planet\n2,NULL,Caf\xe9, The\n");
    write(at, "netflix/training_set/mv_0000001.txt", "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n");
    write(at, "netflix/training_set/mv_0000002.txt", "2:\n822109,1,2004-02-29\n");
    let text = ok(at, &["data", "info", "--data", "netflix"]);
    for part in ["netflix", "Netflix Prize", "2004-02-29", "year"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let info = json(&ok(at, &["data", "info", "--data", "netflix", "--json"]));
    assert_eq!((&info["users"], &info["items"]), (&json("2"), &json("2")));
}

#[test]
fn information_says_which_rules_were_applied() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "twice.csv", "user,item,rating\na,x,1\nb,x,10\na,x,4\nc,y,100\n");
    let (text, _) = both(at, &["data", "info", "--data", "twice.csv"]);
    assert!(text.contains("1 line repeats a pair; counted is the last of each pair"), "{text}");
    let (text, _) = both(at, &["data", "info", "--data", "twice.csv", "--duplicates", "mean"]);
    assert!(text.contains("counted is the mean of each pair"), "{text}");
    refused(at, 1, &["data", "info", "--data", "twice.csv", "--duplicates", "error"]);
    // A few values do not make a scale in odd steps.
    assert!(
        text.contains("1 to 100; mean") && text.contains("read off the ratings; --scale sets it"),
        "{text}"
    );
    let text = ok(at, &["data", "info", "--data", "twice.csv", "--scale", "1,100,1"]);
    assert!(text.contains("1 to 100, in steps of 1; mean") && !text.contains("read off"), "{text}");
    let info = json(&ok(at, &["data", "info", "--data", "twice.csv", "--json"]));
    assert_eq!((&info["duplicates_rule"], &info["scale_found"]), (&json("\"last\""), &json("true")));
    let text = refused(at, 1, &["data", "info", "--data", "twice.csv", "--scale", "1,100,9"]);
    assert!(
        text.contains("twice.csv, line 4: the rating 4 is not on the scale 1..100 in steps of 9"),
        "{text}"
    );
}

#[test]
fn a_download_without_a_network_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let list = ok(at, &["data", "fetch"]);
    assert!(list.contains("ml-100k") && list.contains("ml-25m"), "{list}");
    // A proxy where nobody listens: no test reaches the network, whatever the machine can do.
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(["data", "fetch", "ml-100k"])
        .envs(
            ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"].map(|name| (name, "http://127.0.0.1:9")),
        )
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .env("XDG_CACHE_HOME", at.join("cache"))
        .env("HOME", at)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("cannot reach https://") && text.contains("download it by other means"), "{text}");
    assert!(text.contains("ml-100k.zip") && text.contains("--data-dir"), "{text}");
}

#[test]
fn damaged_archives_name_the_way_on() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    let ratings = read(at, "ratings.csv");
    let (header, lines) = ratings.split_once('\n').unwrap();
    let text = format!("{header}\n{}", lines.repeat(20));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(text.as_bytes()).unwrap();
    let packed = packed.finish().unwrap();
    write(at, "cut.csv.gz", &packed[..packed.len() / 2]);
    let text = refused(at, 1, &["data", "info", "--data", "cut.csv.gz"]);
    assert!(text.contains("cut.csv.gz is damaged") && text.contains(", in line "), "{text}");
    assert!(text.contains("copy it from its source again") && !text.contains("data fetch"), "{text}");
    write(at, "ml-100k.zip", &b"PK\x03\x04 cut short"[..]);
    let text = refused(at, 1, &["data", "info", "--data", "ml-100k.zip"]);
    assert!(text.contains("`foldin data fetch ml-100k`"), "{text}");
}

#[test]
fn times_that_are_not_everywhere_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let lines = "{\"user\": \"a\", \"item\": \"x\", \"rating\": 1, \"timestamp\": 978300760}\n\
                 {\"user\": \"b\", \"item\": \"x\", \"rating\": 2}\n\
                 {\"user\": \"b\", \"item\": \"y\", \"rating\": 3, \"timestamp\": null}\n";
    write(at, "some.jsonl", lines);
    let text = ok(at, &["data", "info", "--data", "some.jsonl"]);
    assert!(text.contains("time          none") && text.contains("2 of 3 lines have no time"), "{text}");
    assert!(text.contains("--columns time=-"), "{text}");
    let text = ok(at, &["data", "info", "--data", "some.jsonl", "--columns", "time=-"]);
    assert!(text.contains("time          none") && !text.contains("have no time"), "{text}");
}
