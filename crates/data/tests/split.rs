//! Given splits, from small files made up here.

use std::path::Path;

use foldin_core::{ItemId, UserId};
use foldin_data::{LineProblem, OpenOptions, ReadError, open, read_split};

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a temporary file can be written");
    }
}

#[test]
fn a_split_that_comes_with_the_data() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("u.data", "1\t7\t5\t10\n2\t7\t1\t20\n2\t8\t2\t30\n"),
            ("u1.base", "2\t8\t2\t30\n1\t7\t5\t10\n"),
            ("u1.test", "2\t7\t1\t20\n"),
        ],
    );
    let path = folder.path().to_str().unwrap();
    let data = open(path, &OpenOptions::default()).unwrap();
    let (train, test) = read_split(path, &data, "u1", &OpenOptions::default()).unwrap();
    assert_eq!(train.by_user().triples().collect::<Vec<_>>(), [(0, 0, 5.0), (1, 1, 2.0)]);
    assert_eq!(train.times(), Some(&[10, 30][..]));
    assert_eq!(test, [(UserId(1), ItemId(0), 1.0)]);
    let message = read_split(path, &data, "u2", &OpenOptions::default()).unwrap_err().to_string();
    assert!(message.contains("comes with u1; or give two files"), "{message}");
}

#[test]
fn a_split_in_two_files_of_any_format() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        &[
            ("all.csv", "user,item,rating\nann,tea,5\nbob,tea,3\nann,milk,1\n"),
            ("train.csv", "rating;user;item\n5;ann;tea\n3;bob;tea\n"),
            ("test.jsonl", "{\"user\": \"ann\", \"item\": \"milk\", \"rating\": 1}\n"),
            ("stranger.csv", "user,item,rating\ncleo,tea,5\n"),
            ("loud.csv", "user,item,rating\nbob,milk,9\n"),
        ],
    );
    let options = OpenOptions { data_dir: Some(folder.path().to_owned()), ..OpenOptions::default() };
    let data = open("all.csv", &options).unwrap();
    let read = |spec: &str| read_split("all.csv", &data, spec, &options);
    let (train, test) = read("train.csv, test.jsonl").unwrap();
    assert_eq!((train.len(), train.n_users(), train.n_items()), (2, 2, 2));
    assert_eq!(test, [(UserId(0), ItemId(1), 1.0)]);

    assert!(matches!(read("train.csv,train.csv"), Err(ReadError::Split { .. })));
    assert!(matches!(read("train.csv,nothing.csv"), Err(ReadError::NotFound { .. })));
    assert!(matches!(read("u1"), Err(ReadError::UnknownSplit { .. })));
    let error = read("stranger.csv,test.jsonl").unwrap_err();
    assert!(matches!(
        error,
        ReadError::Line { line: 2, problem: LineProblem::UnknownKey { what: "user", .. }, .. }
    ));
    let error = read("train.csv,loud.csv").unwrap_err();
    assert!(
        matches!(error, ReadError::Line { line: 2, problem: LineProblem::OutOfScale { .. }, .. }),
        "{error}"
    );
}
