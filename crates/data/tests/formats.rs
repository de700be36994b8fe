//! Every format, from small files made up here.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use foldin_core::{Dataset, FeatureValue, Feedback, RatingScale};
use foldin_data::{OpenOptions, ReadError, ReadReport, open_files, open_with_report};

fn read_with(files: &[(&str, &str)], options: &OpenOptions) -> Result<(Dataset, ReadReport), ReadError> {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    open_files("made-up", files, options)
}

fn read(files: &[(&str, &str)]) -> Dataset {
    read_with(files, &OpenOptions::default()).unwrap().0
}

/// All interactions as `user item value` with their keys.
fn triples(data: &Dataset) -> Vec<(&str, &str, f32)> {
    let cells = data.interactions.by_user().triples();
    cells.map(|(u, i, value)| (data.users.key(u).unwrap(), data.items.key(i).unwrap(), value)).collect()
}

fn scale(data: &Dataset) -> (f32, f32, Option<f32>) {
    let RatingScale { min, max, step } = data.interactions.feedback().scale().expect("explicit ratings");
    (min, max, step)
}

#[test]
fn movielens_100k() {
    let (data, report) = open_files(
        "made-up",
        vec![
            ("u.data".into(), b"2\t7\t5\t881250949\n1\t7\t1\t881250950\n".to_vec()),
            ("u.user".into(), b"1|24|M|writer|00000\n2|60|F|artist|T8H1N\n3|30|F|none|1\n".to_vec()),
            ("u.item".into(), b"5|unknown|||x|1|0|0\n7|Caf\xe9 (1995)|01-Jan-1995||x|0|1|1\n".to_vec()),
            ("u.genre".into(), b"unknown|0\nDrama|1\nComedy|2\n\n".to_vec()),
            ("u.occupation".into(), b"artist\nnone\nwriter\n".to_vec()),
        ],
        &OpenOptions::default(),
    )
    .unwrap();
    assert_eq!(report.format, "MovieLens 100K");
    assert_eq!(data.users.keys().collect::<Vec<_>>(), ["1", "2", "3"]);
    assert_eq!(data.titles, ["unknown", "Café (1995)"]);
    assert_eq!(triples(&data), [("1", "7", 1.0), ("2", "7", 5.0)]);
    assert_eq!(scale(&data), (1.0, 5.0, Some(1.0)));
    assert_eq!(data.interactions.times(), Some(&[881_250_950, 881_250_949][..]));
    let names = data.item_features.schema().column_names();
    assert_eq!(names, ["genres=unknown", "genres=Drama", "genres=Comedy", "year"]);
    let row = data.item_features.row(1);
    assert_eq!((row.columns, row.values), (&[1, 2, 3][..], &[1.0, 1.0, 10.0 / 15.0][..]));
    let names = data.user_features.schema().column_names();
    assert_eq!(names[..3], ["age", "age<18", "age=18..25"]);
    let row = data.user_features.row(0);
    let expected = ["age", "age=18..25", "gender=M", "occupation=writer"];
    assert_eq!(row.columns.iter().map(|&column| &*names[column as usize]).collect::<Vec<_>>(), expected);
}

#[test]
fn movielens_1m_and_10m() {
    let ratings = ("ratings.dat", "1::20::4::978300760\n2::10::3::978300761\n");
    let movies = ("movies.dat", "10::Sun: A Story (1998)::Drama|War\n20::Moon (1999)::War\n");
    let users = ("users.dat", "1::F::1::10::48067\n2::M::56::16::70072\n");
    let data = read(&[ratings, movies, users]);
    assert_eq!(data.titles, ["Sun: A Story (1998)", "Moon (1999)"]);
    assert_eq!(triples(&data), [("1", "20", 4.0), ("2", "10", 3.0)]);
    assert_eq!(scale(&data), (1.0, 5.0, Some(1.0)));
    let names = data.user_features.schema().column_names();
    assert!(names.contains(&"occupation=K-12 student".to_owned()) && names.len() == 8 + 2 + 21);

    let data = read(&[("ratings.dat", "1::20::4.5::978300760\n"), movies]);
    assert_eq!(scale(&data), (0.5, 5.0, Some(0.5)));
    assert_eq!(data.user_features.width(), 0);
}

#[test]
fn movielens_10m_as_published() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ml-10m.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, content) in [
        ("ml-10M100K/README.html", "read me"),
        (
            "ml-10M100K/movies.dat",
            "1::Cité, La (1995)::Drama\r\n122::Moon: A Story (1992)::(no genres listed)\r\n",
        ),
        (
            "ml-10M100K/ratings.dat",
            "1::122::0.5::838985046\r\n3::1::5::838983525\r\n1::1::3.5::838983392\r\n",
        ),
        ("ml-10M100K/tags.dat", "15::4973::excellent!::1215184630\n"),
        ("ml-10M100K/split_ratings.sh", "#!/bin/bash\n"),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap();
    let options = OpenOptions { data_dir: Some(folder.path().to_owned()), ..OpenOptions::default() };
    let (data, report) = open_with_report("ml-10m", &options).unwrap();
    assert_eq!(report.format, "MovieLens 10M");
    assert_eq!(data.titles, ["Cité, La (1995)", "Moon: A Story (1992)"]);
    assert_eq!(triples(&data), [("1", "1", 3.5), ("1", "122", 0.5), ("3", "1", 5.0)]);
    assert_eq!(scale(&data), (0.5, 5.0, Some(0.5)));
    assert_eq!(data.item_features.schema().column_names(), ["genres=Drama", "year"]);
    assert_eq!(data.user_features.width(), 0);

    let text = "1::122::0.5::838985046\n1::1::6::838983392\n3::1::4.5::838983525\n";
    let error = read_with(&[("ratings.dat", text)], &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("line 2") && error.contains("outside the scale 0.5..5"), "{error}");
    let skip = OpenOptions { skip_bad_lines: true, ..OpenOptions::default() };
    let (data, report) = read_with(&[("ratings.dat", text)], &skip).unwrap();
    assert_eq!((data.interactions.len(), report.skipped), (2, 1));
}

#[test]
fn movielens_csv() {
    let data = read(&[
        ("ratings.csv", "userId,movieId,rating,timestamp\r\n1,31,2.5,1260759144\r\n1,7,5.0,1260759179\r\n"),
        (
            "movies.csv",
            "movieId,title,genres\n7,\"Moon, The (1999)\",Drama|War\n31,Sun,(no genres listed)\n8,Rain (2001),War\n",
        ),
        ("tags.csv", "userId,movieId,tag,timestamp\n"),
    ]);
    assert_eq!(data.items.keys().collect::<Vec<_>>(), ["7", "31", "8"]);
    assert_eq!(triples(&data), [("1", "7", 5.0), ("1", "31", 2.5)]);
    assert_eq!(scale(&data), (0.5, 5.0, Some(0.5)));
    assert_eq!(data.item_features.schema().column_names(), ["genres=Drama", "genres=War", "year"]);
    assert!(data.item_features.row(1).columns.is_empty());
}

#[test]
fn any_table_with_a_header() {
    let data = read(&[(
        "books.csv",
        "\"User-ID\";\"ISBN\";\"Book-Rating\"\n\"276725\";\"034545104X\";\"1\"\n\"276726\";\"0155061224\";\"100\"\n",
    )]);
    assert_eq!(triples(&data), [("276725", "034545104X", 1.0), ("276726", "0155061224", 100.0)]);
    assert_eq!(scale(&data), (1.0, 100.0, None));

    let options = OpenOptions {
        columns: "user=who,item=3,rating=opinion,time=-".parse().unwrap(),
        ..OpenOptions::default()
    };
    let text = "opinion,who,what,date\n-9.5,ann,tea,nonsense\n10,bob,\"a \"\"b\"\", c\",\n";
    let data = read_with(&[("x.csv", text)], &options).unwrap().0;
    assert_eq!(triples(&data), [("ann", "tea", -9.5), ("bob", "a \"b\", c", 10.0)]);
    assert_eq!(data.interactions.times(), None);
}

#[test]
fn purchases_have_no_rating() {
    let data = read(&[(
        "t.csv",
        "t_dat,customer_id,article_id,price\n2018-09-20,a,0493,0.02\n2018-09-21,b,0493,0.04\n",
    )]);
    assert_eq!(data.interactions.feedback(), Feedback::Implicit);
    assert_eq!(triples(&data), [("a", "0493", 1.0), ("b", "0493", 1.0)]);
    assert_eq!(data.interactions.times().unwrap()[1] - data.interactions.times().unwrap()[0], 86_400);

    let options = OpenOptions { implicit: true, ..OpenOptions::default() };
    let data = read_with(&[("t.csv", "user,item,rating\na,x,1\na,y,5\n")], &options).unwrap().0;
    assert_eq!(data.interactions.feedback(), Feedback::Implicit);
}

#[test]
fn tables_without_a_header() {
    for text in [
        "1\t10\t3\t978300760\n2\t10\t5\t978300761\n",
        "1 10 3.0 978300760\n2 10 5 978300761\n",
        "1,10,3,978300760\n2,10,5,978300761\n",
    ] {
        let data = read(&[("x.txt", text)]);
        assert_eq!(triples(&data), [("1", "10", 3.0), ("2", "10", 5.0)]);
        assert_eq!(data.interactions.times(), Some(&[978_300_760, 978_300_761][..]));
    }
}

#[test]
fn recbole() {
    let data = read(&[
        (
            "x.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\ta\t3.5\t8.8E8\n2\tb\t1\t880000000\n",
        ),
        ("x.user", "user_id:token\tage:token\tgender:token\tzip_code:token\n2\t31\tM\t1\n1\t17\tF\t2\n"),
        (
            "x.item",
            "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\nb\tB film\t1995\tDrama War\na\tA\t\tWar\n",
        ),
    ]);
    assert_eq!(
        (data.users.keys().collect::<Vec<_>>(), data.items.keys().collect::<Vec<_>>()),
        (vec!["2", "1"], vec!["b", "a"])
    );
    assert_eq!(data.titles, ["B film", "A"]);
    assert_eq!(triples(&data), [("2", "b", 1.0), ("1", "a", 3.5)]);
    assert_eq!(data.interactions.times(), Some(&[880_000_000, 880_000_000][..]));
    assert_eq!(data.item_features.schema().column_names(), ["year", "genres=Drama", "genres=War"]);
}

#[test]
fn json_lines() {
    let data = read(&[(
        "reviews.json",
        "{\"overall\": 5.0, \"reviewerID\": \"A1\", \"asin\": \"B0\", \"style\": {\"Size:\": \"M\"}, \"unixReviewTime\": 1441324800}\n\n\
         {\"unixReviewTime\": 1441324801, \"asin\": \"B\\u00e9\", \"overall\": \"2\", \"reviewerID\": 7}\n",
    )]);
    assert_eq!(triples(&data), [("A1", "B0", 5.0), ("7", "Bé", 2.0)]);
    assert_eq!(data.interactions.times(), Some(&[1_441_324_800, 1_441_324_801][..]));
    assert_eq!(scale(&data), (2.0, 5.0, None));
}

#[test]
fn gzip_and_zip_are_read_in_place() {
    let text = b"user,item,rating\nann,tea,5\nbob,tea,3\n";
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(text).unwrap();
    let gzip = gzip.finish().unwrap();
    let data = open_files("x", vec![("r.csv.gz".into(), gzip.clone())], &OpenOptions::default()).unwrap().0;
    assert_eq!(triples(&data), [("ann", "tea", 5.0), ("bob", "tea", 3.0)]);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drinks.zip");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&path).unwrap());
    for (name, content) in [
        ("drinks/README.txt", &b"read me"[..]),
        ("drinks/ratings.csv.gz", &gzip),
        ("drinks/tags.csv", b"a,b\n"),
    ] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap();
    for given in [path.clone(), path.join("ratings.csv.gz"), path.join("drinks/ratings.csv.gz")] {
        let data = foldin_data::open(given.to_str().unwrap(), &OpenOptions::default()).unwrap();
        assert_eq!(triples(&data).len(), 2, "{given:?}");
    }
    let options = OpenOptions { data_dir: Some(folder.path().to_owned()), ..OpenOptions::default() };
    let data = foldin_data::open("drinks", &options).unwrap();
    assert_eq!(data.name, "drinks");

    // Cut short at any length, an archive is refused as damaged.
    let whole = std::fs::read(&path).unwrap();
    for length in [4, whole.len() / 3, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = foldin_data::open("drinks", &options).unwrap_err();
        assert!(matches!(error, ReadError::Damaged { .. }), "{length}: {error:?}");
        assert!(error.to_string().contains("drinks.zip"), "{error}");
    }
    let error =
        open_files("x", vec![("r.csv.gz".into(), gzip[..gzip.len() - 9].to_vec())], &OpenOptions::default());
    assert!(matches!(error, Err(ReadError::Damaged { .. })), "{error:?}");
}

#[test]
fn tables_of_users_and_items_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let [users, items] = [
        ("people.csv", "user,age,town\nbob,70,Ulm\nann,20,Bonn\n"),
        ("goods.jsonl", "{\"id\": \"tea\", \"title\": \"Green tea\"}\n"),
    ]
    .map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Some(path)
    });
    let options = OpenOptions { users, items, ..OpenOptions::default() };
    let (data, report) =
        read_with(&[("r.csv", "user,item,rating\nann,tea,5\ncleo,milk,4\n")], &options).unwrap();
    assert_eq!(data.users.keys().collect::<Vec<_>>(), ["bob", "ann", "cleo"]);
    assert_eq!(data.titles, ["Green tea", "milk"]);
    assert_eq!(data.user_features.schema().fields()[0].name, "age");
    assert!(data.user_features.row(2).columns.is_empty());
    assert!(report.notes.iter().any(|note| note.contains("1 of 3 users are missing")), "{:?}", report.notes);
    let bad = OpenOptions { users: Some(folder.path().join("nobody.csv")), ..OpenOptions::default() };
    assert!(read_with(&[("r.csv", "user,item\na,b\n")], &bad).is_err());
}

#[test]
fn a_side_feature_is_encoded_as_people_write_it() {
    let data = read(&[
        ("ratings.csv", "user,item,rating\nann,tea,5\nbob,tea,3\n"),
        ("users.csv", "user,age,sex,income\nann,31,f,1000\nbob,17,m,3000\n"),
    ]);
    let raw = [
        ("age".to_owned(), FeatureValue::Number(31.0)),
        ("gender".to_owned(), FeatureValue::Text("f".into())),
        ("income".to_owned(), FeatureValue::Number(1000.0)),
    ];
    let encoded = data.user_features.schema().encode(&raw.into());
    assert!(encoded.unknown.is_empty(), "{:?}", encoded.unknown);
    assert_eq!(data.user_features.row(0), encoded.as_row());
}

#[test]
fn an_archive_may_unpack_to_a_folder_of_another_name() {
    for below in ["ml-10M100K", "ml-10m/ml-10M100K"] {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(below);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("ratings.dat"), "1::122::5::838985046\n2::122::3.5::838983525\n").unwrap();
        let options = OpenOptions { data_dir: Some(place.path().to_owned()), ..OpenOptions::default() };
        let (data, report) =
            open_with_report("ml-10m", &options).unwrap_or_else(|error| panic!("{below}: {error}"));
        assert_eq!((data.interactions.len(), &*data.name), (2, "ml-10m"), "{below}: {}", report.format);
    }
}
