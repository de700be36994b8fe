//! Each way in which data can be wrong: what is said, and the way on.

use foldin_data::{LineProblem, OpenOptions, ReadError, open, open_files};

fn read(file: &str, text: &str, options: &OpenOptions) -> Result<usize, ReadError> {
    open_files("bad", vec![(file.into(), text.into())], options).map(|(data, _)| data.interactions.len())
}

/// The message for a CSV file, which names the file.
fn message(text: &str, options: &OpenOptions) -> String {
    let message = read("ratings.csv", text, options).expect_err("the text is bad").to_string();
    assert!(message.contains("bad/ratings.csv"), "{message}");
    message
}

#[test]
fn messages_name_the_line_and_the_way_on() {
    let header = "user,item,rating,timestamp\n";
    let plain = OpenOptions::default();
    let scaled =
        OpenOptions { scale: Some(foldin_data::parse_scale("1,5,1").unwrap()), ..OpenOptions::default() };
    for (lines, options, expected) in [
        ("a,x,1,1\nb,x,2,2\na,x,3,3\n", &plain, ["line 4", "first in line 2", "--duplicates last"]),
        ("a,x,1,1\nb,x,nan,2\n", &plain, ["line 3", "`nan` is not a finite number", "--skip-bad-lines"]),
        ("a,x,1,1\nb,x,inf,2\n", &plain, ["line 3", "finite", "--skip-bad-lines"]),
        ("a,x,good,1\n", &plain, ["line 2", "`good` is not a rating", "--skip-bad-lines"]),
        ("a,x,,1\n", &plain, ["line 2", "is not a rating", "--skip-bad-lines"]),
        ("a,x,1,1\nb,x,9,1\n", &scaled, ["line 3", "9 is outside the scale 1..5", "--scale"]),
        (
            "a,x,1,1\nb,x,2.5,1\n",
            &scaled,
            ["line 3", "2.5 is not on the scale 1..5 in steps of 1", "--scale"],
        ),
        ("a,x,1,1\nb,x\n", &plain, ["line 3", "2 columns, but at least 4", "--separator"]),
        ("a,x,1,soon\n", &plain, ["line 2", "`soon` is not a time", "time=-"]),
        (",x,1,1\n", &plain, ["line 2", "user is empty", "--skip-bad-lines"]),
        ("a,x,1,1\n\"b,x,1,1\n", &plain, ["line 3", "quotation mark", "--skip-bad-lines"]),
        ("", &plain, ["is empty", "no interaction", "copied whole"]),
    ] {
        let message = message(&format!("{header}{lines}"), options);
        for part in expected {
            assert!(message.contains(part), "{part:?} in {message:?}");
        }
    }
}

#[test]
fn unusable_files_are_told_apart() {
    let plain = OpenOptions::default();
    assert!(matches!(read("ratings.csv", "", &plain), Err(ReadError::Empty { .. })));
    assert!(matches!(
        read("ratings.csv", "one\ntwo\n", &plain),
        Err(ReadError::WrongSeparator { line: 1, .. })
    ));
    let comma = OpenOptions { separator: Some(",".into()), ..OpenOptions::default() };
    let message = message("user;item\na;b\n", &comma);
    assert!(message.contains("--separator ';'"), "{message}");
    let error = read("ratings.csv", "name,thing,rating\na,b,1\n", &plain).unwrap_err();
    assert!(matches!(error, ReadError::MissingColumn { what: "user", .. }), "{error}");
    assert!(error.to_string().contains("--columns user=NAME"), "{error}");
    let error = read("x.json", "[{\"user\": 1}]", &plain).unwrap_err();
    assert!(error.to_string().contains("one object a line"), "{error}");
    let error =
        read("x.jsonl", "{\"user\": 1, \"item\": 2, \"rating\": 3}\n{\"user\": 1}\n", &plain).unwrap_err();
    assert!(
        matches!(error, ReadError::Line { line: 2, problem: LineProblem::MissingKey { .. }, .. }),
        "{error}"
    );
    let error = read("x.jsonl", "{\"user\": 1, \"item\": 2}\nnonsense\n", &plain).unwrap_err();
    assert!(matches!(error, ReadError::Line { line: 2, problem: LineProblem::Json { .. }, .. }), "{error}");
}

#[test]
fn bad_lines_are_left_out_and_counted() {
    let options = OpenOptions { skip_bad_lines: true, ..OpenOptions::default() };
    let text = "user,item,rating\na,x,1\nb,x,nan\nc,x\n\"d,x,4\ne,x,5\n,x,3\n\n";
    let (data, report) = open_files("bad", vec![("r.csv".into(), text.into())], &options).unwrap();
    assert_eq!(data.users.keys().collect::<Vec<_>>(), ["a", "e"]);
    assert_eq!((report.lines, report.skipped), (2, 4));
    assert!(report.skipped_examples[0].starts_with("line 3"), "{:?}", report.skipped_examples);
    assert!(report.remarks()[0].contains("4 bad lines"), "{:?}", report.remarks());
    let error = open_files("bad", vec![("r.csv".into(), b"user,item,rating\na,x,?\n".to_vec())], &options);
    assert!(error.unwrap_err().to_string().contains("none of its lines"));
}

#[test]
fn what_is_not_there_is_looked_for_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { data_dir: Some(folder.path().to_owned()), ..OpenOptions::default() };
    let error = open("ml-25m", &options).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, ReadError::NotFound { fetchable: true, .. }), "{message}");
    assert!(message.contains(&format!("{}", folder.path().join("ml-25m.zip").display())), "{message}");
    assert!(message.contains("foldin data fetch ml-25m"), "{message}");
    let message = open("nothing-of-that-name", &options).unwrap_err().to_string();
    assert!(message.contains("--data-dir"), "{message}");
}

#[test]
fn folders_are_searched_one_level_down() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { data_dir: Some(folder.path().to_owned()), ..OpenOptions::default() };
    for (path, name) in [
        ("tea/tea/ratings.csv", "tea"),
        ("group/milk/ratings.csv", "milk"),
        ("wine/ratings.csv", "wine"),
        ("beer.csv", "beer.csv"),
    ] {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "user,item,rating\na,x,1\nb,x,2\n").unwrap();
        let data = open(name, &options).unwrap();
        assert_eq!(data.interactions.len(), 2);
        assert_eq!(data.name, name.trim_end_matches(".csv"));
    }
}

#[test]
fn a_zip_ending_without_a_zip_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    for content in [&b""[..], b"PK", b"<html>not found</html>"] {
        std::fs::write(&path, content).unwrap();
        let error = open(path.to_str().unwrap(), &OpenOptions::default()).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "{error:?}");
    }
}
