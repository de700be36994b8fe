//! Who is asking: histories, titles and side information of `recommend` and `predict`.

use std::path::Path;

use crate::{both, foldin, json, ok, refused, write};

const TITLES: [&str; 10] = [
    "Toy Story (1995)",
    "Matrix, The (1999)",
    "Sabrina (1954)",
    "Sabrina (1995)",
    "Star Wars (1977)",
    "Misérables, Les (1995)",
    "Alien (1979)",
    "Fargo (1996)",
    "Heat (1995)",
    "Brazil (1985)",
];

/// Ratings of 30 users on 10 films with titles and the users' ages, in Latin-1 as MovieLens is; and a model of them.
fn prepare(folder: &Path, model: &str) {
    let mut ratings = String::from("user,item,rating\n");
    let mut users = String::from("user,age,job\n");
    for user in 0..30 {
        let job = ["writer", "artist"][user % 2];
        users += &format!("u{user},{},{job}\n", 20 + user);
        for item in 0..TITLES.len() {
            if (user * 7 + item * 3) % 4 != 0 {
                ratings += &format!("u{user},m{item},{}\n", 1 + (user + item * item) % 5);
            }
        }
    }
    let lines = TITLES.iter().enumerate().map(|(item, title)| format!("m{item};{title}\n"));
    let items = String::from("item;title\n") + &lines.collect::<String>();
    let latin_1: Vec<u8> = items.chars().map(|letter| letter as u8).collect();
    std::fs::create_dir(folder.join("films")).expect("the folder can be written to");
    write(folder, "films/ratings.csv", ratings);
    write(folder, "films/users.csv", users);
    write(folder, "films/items.csv", latin_1);
    ok(folder, &["train", "--data", "films", "--model", model, "--out", "model", "--quiet"]);
}

fn history_of(folder: &Path, args: &[&str]) -> Vec<(String, String, f64)> {
    let all = [&["recommend", "--model", "model", "--json", "-n", "3"][..], args].concat();
    let answer = json(&ok(folder, &all));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let history = answer["history"].as_array().expect("an answer says what it was made from");
    history
        .iter()
        .map(|one| (text(&one["item"]), text(&one["title"]), one["rating"].as_f64().unwrap_or(f64::NAN)))
        .collect()
}

#[test]
fn titles_are_said_back_as_they_were_understood() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "bias-svd");
    let args = ["recommend", "--model", "model", "--rate", "star wars=5", "--rate", "Fargo (1996)=2"];
    let (_, said) = both(at, &args);
    assert!(said.contains("rated: Star Wars (1977) = 5, from `star wars`"), "{said}");
    assert!(said.contains("rated: Fargo (1996) = 2\n"), "{said}");
    assert!(both(at, &[&args[..], &["--quiet"]].concat()).1.is_empty());
    let expected = [
        ("m4".to_owned(), "Star Wars (1977)".to_owned(), 5.0),
        ("m5".to_owned(), "Misérables, Les (1995)".to_owned(), 4.0),
    ];
    assert_eq!(history_of(at, &["--rate", "miserables=4", "--rate", "starwars=5"]), expected);
    let args = ["predict", "--model", "model", "--rate", "m6=5", "--item", "les miserables", "--json"];
    let answer = json(&ok(at, &args));
    assert_eq!(answer["history"][0]["title"], "Alien (1979)");
    assert_eq!(answer["items"][0]["key"], "m5");
}

#[test]
fn titles_that_fit_several_items_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "bias");
    let text = refused(at, 1, &["recommend", "--model", "model", "--rate", "sabrina=5"]);
    insta::assert_snapshot!("ambiguous_title", text);
    let text = refused(at, 1, &["recommend", "--model", "model", "--rate", "Frago Story=5"]);
    assert!(text.contains("the nearest are"), "{text}");
    let twice = ["recommend", "--model", "model", "--rate", "alien=5", "--rate", "m6=4"];
    let text = refused(at, 1, &twice);
    assert!(text.contains("Alien (1979) is rated twice, in `--rate alien=5` and in `--rate m6=4`"), "{text}");
}

#[test]
fn a_history_is_read_in_many_forms() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "bias-svd");
    let expected = [
        ("m5".to_owned(), "Misérables, Les (1995)".to_owned(), 4.0),
        ("m6".to_owned(), "Alien (1979)".to_owned(), 5.0),
    ];
    for (text, more) in [
        (&b"rating,title\n5,Alien\n4,Les Mis\xe9rables\n"[..], &[][..]),
        (b"Alien,5\nm5,4\n", &[]),
        (b"title;rating\nAlien (1979);5\nmiserables;4\n", &[]),
        (b"Title\tRating\nAlien\t5\nmiserables\t4\n", &[]),
        (b"title|stars\nAlien|5\nmiserables|4\n", &[]),
        (b"userId,movieId,rating,timestamp\n7,m6,5,978300760\n7,m5,4,978300761\n", &[]),
        // Keys of another catalogue: the titles beside them decide.
        (b"movieId,title,rating\nm1,Alien,5\n99,miserables,4\n", &[]),
        (b"Date,Name,Year,Rating\n2024-01-02,Alien,1979,5\n2024-01-02,Miserables,1995,4\n", &[]),
        (b"{\"title\": \"Alien\", \"rating\": 5}\n{\"title\": \"miserables\", \"rating\": 4}\n", &[]),
        (b"what,how\nAlien,5\nm5,4\n", &["--columns", "item=what,rating=how"]),
    ] {
        write(at, "mine.csv", text);
        let args = [&["--history", "mine.csv"][..], more].concat();
        assert_eq!(history_of(at, &args), expected, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_history_that_cannot_be_used_is_refused_with_a_way_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "bias");
    for (text, parts) in [
        ("user,item,rating\na,m1,3\nb,m2,4\n", ["2 users (a, b)", "--user a --data mine.csv"]),
        ("Alien,good\nFargo,5\n", ["line 1: `good` is not a rating", "--header true"]),
        ("title,rating\nAlien,5\nFargo,9\n", ["line 3: the rating 9 of Fargo (1996)", "1 to 5"]),
        ("title,rating\nAlien,5\nFrago Story,3\n", ["line 3: no item is called", "--skip-bad-lines"]),
        ("title,rating\nAlien,5\nalien,3\n", ["mine.csv, line 2", "mine.csv, line 3"]),
        ("title,liking\nAlien,5\n", ["no column for the rating", "--columns rating=NAME"]),
    ] {
        write(at, "mine.csv", text);
        let said = refused(at, 1, &["recommend", "--model", "model", "--history", "mine.csv"]);
        for part in parts {
            assert!(said.contains(part) && said.contains("mine.csv"), "{part:?} in {said:?}");
        }
    }
    write(at, "mine.csv", "title,rating\nAlien,5\nFargo,9\nnobody knows this one,3\n");
    let args = ["recommend", "--model", "model", "--history", "mine.csv", "--skip-bad-lines", "--json"];
    let answer = json(&ok(at, &args));
    assert_eq!((&answer["ratings_used"], answer["notes"].as_array().unwrap().len()), (&json("1"), 2));
    let said = refused(at, 1, &["recommend", "--model", "model", "--history", "nowhere.csv"]);
    assert!(said.contains("nowhere.csv"), "{said}");
}

#[test]
fn side_information_is_used_or_said_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "lfg-bayes");
    let predict = ["predict", "--model", "model", "--item", "Alien", "--json"];
    let predicted = |more: &[&str]| {
        let answer = json(&ok(at, &[&predict[..], more].concat()));
        (answer["items"][0]["predicted"].as_f64().unwrap(), answer["notes"].to_string())
    };
    let (young, notes) = predicted(&["--feature", "age=20", "--feature", "job=writer"]);
    let (old, _) = predicted(&["--feature", "age=49", "--feature", "job=artist"]);
    assert!((young - old).abs() > 1e-6 && notes == "[]", "{young} {old} {notes}");
    let (_, notes) = predicted(&["--feature", "age=abc", "--feature", "job=pilot", "--feature", "shoe=42"]);
    for part in ["`age` is a number, which `abc` is not", "no value `pilot`", "unknown field `shoe`"] {
        assert!(notes.contains(part) && !notes.contains("Text("), "{part} in {notes}");
    }
    refused(at, 2, &[&predict[..], &["--feature", "age"]].concat());

    ok(at, &["train", "--data", "films", "--model", "bias", "--out", "plain", "--quiet"]);
    let args = ["recommend", "--model", "plain", "--rate", "alien=5", "--feature", "age=31"];
    let (_, said) = both(at, &args);
    assert!(said.contains("note: bias uses no side information of users; --feature is ignored"), "{said}");
}

#[test]
fn a_user_of_other_data_comes_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    prepare(at, "bias-svd");
    let notes = |data: &str| {
        let args = ["recommend", "--model", "model", "--user", "u3", "--data", data, "--json"];
        let output = foldin(at, &args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        (json(&String::from_utf8_lossy(&output.stdout))["notes"].to_string(), said)
    };
    let (same, _) = notes("films");
    assert_eq!(same, "[]");
    std::fs::create_dir(at.join("books")).unwrap();
    write(at, "books/ratings.csv", "user,item,rating\nu3,m1,5\nu3,m2,1\nu4,m1,3\n");
    write(at, "books/items.csv", "item,title\nm1,Ulysses\nm2,Sabrina (1954)\n");
    let (other, said) = notes("books");
    for text in [other, said] {
        assert!(text.contains("not what the model was trained on"), "{text}");
        assert!(text.contains("1 of the user's items have another title"), "{text}");
    }
}
