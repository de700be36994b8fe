//! The Netflix Prize data in both forms, from small files made up here.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use foldin_core::Dataset;
use foldin_data::{
    Duplicates, LineProblem, OpenOptions, ReadError, ReadReport, open_files, open_with_report,
};

const TITLES: (&str, &[u8]) = (
    "movie_titles.txt",
    b"1,2003,Dinosaur Planet\r\n2,NULL,Caf\xe9, The Last\n10,1997,Character\n11,1,Old\n",
);
const MOVIE_1: (&str, &[u8]) = ("mv_0000001.txt", b"1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n");
const MOVIE_2: (&str, &[u8]) =
    ("mv_0000002.txt", b"2:\r\n822109,1,2004-02-29\r\n\r\n2059652,4,1999-12-31\r\n");
const MOVIE_10: (&str, &[u8]) = ("mv_0000010.txt", b"10:\n1488844,2,2005-01-01");
const COMBINED: [(&str, &[u8]); 2] = [
    (
        "combined_data_1.txt",
        b"1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n822109,1,2004-02-29\n2059652,4,1999-12-31\n",
    ),
    ("combined_data_3.txt", b"10:\n1488844,2,2005-01-01\n"),
];

fn read_with(files: &[(&str, &[u8])], options: &OpenOptions) -> Result<(Dataset, ReadReport), ReadError> {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    open_files("made-up", files, options)
}

fn refused(files: &[(&str, &[u8])]) -> ReadError {
    read_with(files, &OpenOptions::default()).map(|(data, _)| data.interactions.len()).unwrap_err()
}

fn open(path: &Path) -> Result<(Dataset, ReadReport), ReadError> {
    open_with_report(path.to_str().unwrap(), &OpenOptions::default())
}

/// What all forms of the files above hold.
fn check((data, report): &(Dataset, ReadReport)) {
    assert_eq!(report.format, "Netflix Prize");
    assert_eq!(data.users.keys().collect::<Vec<_>>(), ["1488844", "822109", "2059652"]);
    assert_eq!(data.items.keys().collect::<Vec<_>>(), ["1", "2", "10", "11"]);
    assert_eq!(data.titles, ["Dinosaur Planet", "Café, The Last", "Character", "Old"]);
    let cells: Vec<_> = data.interactions.by_user().triples().collect();
    assert_eq!(cells, [(0, 0, 3.0), (0, 2, 2.0), (1, 0, 5.0), (1, 1, 1.0), (2, 1, 4.0)]);
    let times = data.interactions.times().unwrap();
    assert_eq!(times, [1_125_964_800, 1_104_537_600, 1_115_942_400, 1_078_012_800, 946_598_400]);
    let scale = data.interactions.feedback().scale().unwrap();
    assert_eq!((scale.min, scale.max, scale.step), (1.0, 5.0, Some(1.0)));
    assert_eq!(data.item_features.schema().column_names(), ["year"]);
    assert!(data.item_features.row(1).columns.is_empty());
    assert_eq!(data.item_features.row(0).values, [18.0 / 15.0]);
    assert_eq!(data.user_features.width(), 0);
    assert!(report.remarks().is_empty(), "{:?}", report.remarks());
}

fn write(folder: &Path, files: &[(&str, &[u8])]) {
    for (name, bytes) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// The archive of ratings as the original has it.
fn training_set() -> Vec<u8> {
    let [one, two, ten] =
        [MOVIE_1, MOVIE_2, MOVIE_10].map(|(name, bytes)| (format!("training_set/{name}"), bytes));
    tar(&[(&one.0, one.1), (&two.0, two.1), (&ten.0, ten.1)])
}

#[test]
fn files_of_one_movie_each() {
    check(
        &read_with(&[MOVIE_10, MOVIE_2, TITLES, MOVIE_1, ("probe.txt", b"1:\n5\n")], &OpenOptions::default())
            .unwrap(),
    );
}

#[test]
fn files_of_many_movies() {
    let others: [(&str, &[u8]); 2] =
        [("qualifying.txt", b"1:\n5,2005-12-31\n"), ("movie_titles.csv", TITLES.1)];
    check(&read_with(&[COMBINED[1], others[0], COMBINED[0], others[1]], &OpenOptions::default()).unwrap());
    // Part of the data is data: movies without ratings stay in the catalogue.
    let (data, _) = read_with(&[COMBINED[1], TITLES], &OpenOptions::default()).unwrap();
    assert_eq!(
        (data.interactions.len(), data.items.len(), data.users.keys().collect::<Vec<_>>()),
        (1, 4, vec!["1488844"])
    );
    // Without titles, movies are numbered as they come.
    let (data, _) = read_with(&COMBINED, &OpenOptions::default()).unwrap();
    assert_eq!(
        (data.items.keys().collect::<Vec<_>>(), &data.titles[0]),
        (vec!["1", "2", "10"], &"1".to_owned())
    );
}

#[test]
fn folders_with_and_without_their_own_folder() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(&at.join("kaggle"), &[COMBINED[0], COMBINED[1], TITLES, ("README", b"read me")]);
    check(&open(&at.join("kaggle")).unwrap());
    let (part, _) = open(&at.join("kaggle/combined_data_3.txt")).unwrap();
    assert_eq!((part.interactions.len(), &*part.titles[2]), (1, "Character"));

    write(&at.join("netflix/training_set"), &[MOVIE_1, MOVIE_2, MOVIE_10]);
    write(&at.join("netflix"), &[TITLES, ("probe.txt", b"1:\n5\n")]);
    check(&open(&at.join("netflix")).unwrap());
    check(&open(&at.join("netflix/training_set")).unwrap());
    let options = OpenOptions { data_dir: Some(at.to_owned()), ..OpenOptions::default() };
    let named = open_with_report("netflix", &options).unwrap();
    check(&named);
    assert_eq!(named.0.name, "netflix");

    // As it was unpacked.
    std::fs::remove_dir_all(at.join("netflix")).unwrap();
    write(&at.join("netflix/download"), &[TITLES, ("training_set.tar", &training_set())]);
    let named = open_with_report("netflix", &options).unwrap();
    check(&named);
    assert_eq!(named.0.name, "netflix");
}

#[test]
fn archives_are_read_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in [TITLES, COMBINED[0], COMBINED[1]] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    // The titles lie behind the ratings in the archive, but are read before them.
    let whole = gzip(&tar(&[
        ("download/README", b"read me"),
        ("download/training_set.tar", &training_set()),
        ("download/movie_titles.txt", TITLES.1),
    ]));
    let unpacked_once = &[TITLES, ("training_set.tar", &training_set()), ("probe.txt", b"1:\n5\n")];
    write(at, &[("netflix.zip", &zip), ("nf_prize_dataset.tar.gz", &whole)]);
    write(&at.join("download"), unpacked_once);
    for path in ["netflix.zip", "nf_prize_dataset.tar.gz", "download", "download/training_set.tar", ""] {
        check(&open(&at.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")));
    }
    let (one, _) = open(&at.join("nf_prize_dataset.tar.gz/training_set/mv_0000010.txt")).unwrap();
    assert_eq!((one.interactions.len(), one.items.len()), (1, 4));

    let options = OpenOptions { data_dir: Some(at.to_owned()), ..OpenOptions::default() };
    std::fs::remove_file(at.join("netflix.zip")).unwrap();
    check(&open_with_report("netflix", &options).unwrap());
    for length in [0, 3, whole.len() / 2, whole.len() - 9] {
        write(at, &[("nf_prize_dataset.tar.gz", &whole[..length])]);
        let error = open(&at.join("nf_prize_dataset.tar.gz")).map(|(data, _)| data.interactions.len());
        let error = error.unwrap_err();
        assert!(length == 0 || matches!(error, ReadError::Damaged { .. }), "{length}: {error}");
    }
    write(at, &[("x.tar", b"<html>not found</html>")]);
    assert!(matches!(open(&at.join("x.tar")), Err(ReadError::Damaged { .. })));
    // Unpacked, and packed once more with the archive that it came from.
    let [one, two, ten] =
        [MOVIE_1, MOVIE_2, MOVIE_10].map(|(name, bytes)| (format!("training_set/{name}"), bytes));
    let both =
        [("training_set.tar", &*training_set()), TITLES, (&one.0, one.1), (&two.0, two.1), (&ten.0, ten.1)];
    write(at, &[("both.tar.gz", &gzip(&tar(&both)))]);
    check(&open(&at.join("both.tar.gz")).unwrap());
    // Any other data may lie in a tar archive too.
    write(
        at,
        &[("drinks.tgz", &gzip(&tar(&[("./drinks/ratings.csv", b"user,item,rating\na,tea,5\nb,tea,1\n")])))],
    );
    assert_eq!(open(&at.join("drinks.tgz")).unwrap().0.interactions.len(), 2);
}

#[test]
fn messages_name_file_line_and_the_way_on() {
    for (text, line, expected) in [
        (
            &b"1488844,3,2005-09-06\n1:\n"[..],
            1,
            "no line `MOVIE:` comes before it; correct the line, put the number",
        ),
        (b"2:\n1488844,3,2005-09-06\n", 1, "movie 2 in the file of movie 1"),
        (b"1:\n1488844,3,2005-02-30\n", 2, "`2005-02-30` is not a date as in 2005-12-31"),
        (b"1:\n1488844,3,soon\n", 2, "`soon` is not a date"),
        (b"1:\n1488844,three,2005-02-03\n", 2, "`three` is not a rating"),
        (b"1:\n1488844,0,2005-02-03\n", 2, "0 is outside the scale 1..5"),
        (b"1:\n1488844,3\n", 2, "neither `MOVIE:` nor `CUSTOMER,RATING,DATE`"),
        (b"1:\n1488844\n", 2, "neither"),
        (b"1:\n1488844,3,2005-02-03,9\n", 2, "neither"),
        (b"1:\n,3,2005-02-03\n", 2, "user is empty"),
        (b"1:\n5,3,2005-02-03\nx:\n", 3, "`x:` is neither"),
    ] {
        let message = refused(&[("mv_0000001.txt", text), MOVIE_2]).to_string();
        let place = format!("made-up/mv_0000001.txt, line {line}: ");
        assert!(message.starts_with(&place), "{message}");
        assert!(message.contains(expected) && message.contains("--skip-bad-lines"), "{message}");
    }
    for (text, expected) in [
        (&b"1,2003\n"[..], "line 1: 2 columns"),
        (b"1,2003,A\n2,soon,B\n", "line 2: `soon` is not a year"),
        (b"1,2003,A\n1,2003,B\n", "line 2: `1` is described twice"),
        (b",2003,A\n", "line 1: the item is empty"),
    ] {
        let message = refused(&[MOVIE_1, ("movie_titles.csv", text)]).to_string();
        assert!(message.contains("movie_titles.csv") && message.contains(expected), "{message}");
    }
    assert!(matches!(refused(&[("mv_0000001.txt", b"1:\n")]), ReadError::Empty { .. }));
}

#[test]
fn bad_lines_are_left_out_and_counted() {
    let options = OpenOptions { skip_bad_lines: true, ..OpenOptions::default() };
    let files: [(&str, &[u8]); 3] = [
        ("mv_0000001.txt", b"2:\n5,3,2005-02-03\n1:\n5,3,2005-02-03\n6,3,never\n"),
        MOVIE_2,
        ("movie_titles.txt", b"1,2003,A\n2,soon,B\n\n"),
    ];
    let (data, report) = read_with(&files, &options).unwrap();
    assert_eq!((data.interactions.len(), report.lines, report.skipped), (3, 3, 4));
    assert_eq!(report.skipped_examples[0], "movie_titles.txt, line 2: `soon` is not a year");
    assert!(
        report.skipped_examples[1].starts_with("mv_0000001.txt, line 1: "),
        "{:?}",
        report.skipped_examples
    );
    assert!(report.skipped_examples[2].contains("no line `MOVIE:`"), "{:?}", report.skipped_examples);
    assert_eq!(data.titles, ["A", "2"]);
}

#[test]
fn repetitions_are_found_across_files() {
    let files: [(&str, &[u8]); 2] = [
        ("combined_data_1.txt", b"1:\n5,3,2005-02-03\n6,3,2005-02-03\n"),
        ("combined_data_2.txt", b"2:\n5,3,2005-02-03\n1:\n6,4,2004-02-03\n"),
    ];
    let error = refused(&files);
    let message = error.to_string();
    assert!(message.contains("combined_data_2.txt, line 4: user `6` and item `1` again"), "{message}");
    assert!(message.contains("(first in made-up/combined_data_1.txt, line 3)"), "{message}");
    let options = OpenOptions { duplicates: Duplicates::Last, ..OpenOptions::default() };
    assert_eq!(read_with(&files, &options).unwrap().0.interactions.len(), 3);
    let message =
        refused(&[("mv_0000001.txt", b"1:\n5,3,2005-02-03\n5,4,2005-02-04\n"), MOVIE_2]).to_string();
    assert!(message.contains("mv_0000001.txt, line 3") && message.contains("(first in line 2)"), "{message}");
}

#[test]
fn two_files_make_a_split() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[COMBINED[0], COMBINED[1], TITLES]);
    let data = folder.path().to_str().unwrap();
    let (dataset, _) = open(folder.path()).unwrap();
    let spec = format!("{data}/combined_data_1.txt,{data}/combined_data_3.txt");
    let (train, test) = foldin_data::read_split(data, &dataset, &spec, &OpenOptions::default()).unwrap();
    assert_eq!((train.len(), test.len(), test[0].2), (4, 1, 2.0));
    let bad = OpenOptions { skip_bad_lines: true, ..OpenOptions::default() };
    assert!(foldin_data::read_split(data, &dataset, "u1", &bad).is_err());
}

#[test]
fn a_line_problem_can_be_matched() {
    let error = refused(&[("combined_data_1.txt", b"5,3,2005-02-03\n")]);
    assert!(matches!(error, ReadError::Line { line: 1, problem: LineProblem::NoMovie, .. }), "{error}");
}
