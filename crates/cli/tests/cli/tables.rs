//! Recipes and the quickstart.

use crate::{json, ok, read, refused, write};

#[test]
fn recipes_are_listed_and_rebuilt() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let list = ok(at, &["reproduce", "--list"]);
    for recipe in [
        "lfg-table1",
        "lfg-table2",
        "lfg-table3",
        "lfg-table4",
        "lfg-ablation",
        "autorec-table-c",
        "autorec-deep",
    ] {
        assert!(list.contains(recipe), "{recipe}");
    }
    // Anything called ml-100k will do to see a recipe run from end to end.
    std::fs::create_dir(at.join("ml-100k")).unwrap();
    let mut ratings = String::new();
    for user in 1..=25 {
        for item in 1..=12 {
            if (user * 5 + item * 7) % 4 != 0 {
                ratings += &format!("{user}\t{item}\t{}\t{}\n", 1 + (user * item) % 5, 880_000_000 + user);
            }
        }
    }
    write(at, "ml-100k/u.data", ratings);
    let table = ok(at, &["reproduce", "lfg-table1", "--quick", "--data-dir", ".", "--out", "out", "--quiet"]);
    assert!(table.contains("paper, mean") && table.contains("0.9130"), "{table}");
    let report = json(&read(at, "out/lfg-table1-quick.json"));
    assert_eq!((&report["recipe"]["name"], &report["folds"]), (&json("\"lfg-table1\""), &json("[\"1\"]")));
    assert!(read(at, "out/lfg-table1-quick.html").contains("<svg"));
}

#[test]
fn a_recipe_of_ones_own_runs_and_is_checked_before_anything_is_fitted() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut ratings = String::from("user,item,rating\n");
    for user in 0..30 {
        for item in 0..12 {
            if (user * 5 + item * 7) % 4 != 0 {
                ratings += &format!("{user},{item},{}\n", 1 + (user * item) % 5);
            }
        }
    }
    write(at, "mine.csv", ratings);
    let recipe = |model: &str| {
        format!(
            "title = \"Mine\"\ndata = \"mine.csv\"\nprotocol = \"ratings\"\nfolds = 3\nseed = 1\nabout = \"Two.\"\n\
             [[column]]\nlabel = \"one\"\nmodel = \"bias\"\nmetric = \"rmse\"\n\
             [[column]]\nlabel = \"two\"\nmodel = \"{model}\"\nmetric = \"rmse\"\nfits = 2\n"
        )
    };
    write(at, "mine.toml", recipe("bias-svd"));
    let table = ok(at, &["reproduce", "mine.toml", "--out", "out", "--quiet"]);
    assert!(table.contains("one") && table.contains("two"), "{table}");
    assert_eq!(json(&read(at, "out/mine.json"))["recipe"]["name"], "mine");
    // What fits found is kept no longer than it is of use.
    assert!(!at.join("out/mine.unfinished").exists());
    write(at, "mine.toml", recipe("bias-svt"));
    let said = refused(at, 2, &["reproduce", "mine.toml", "--quiet"]);
    assert!(said.contains("did you mean `bias-svd`"), "{said}");
    let said = refused(at, 1, &["reproduce", "yours.toml", "--quiet"]);
    assert!(said.contains("yours.toml"), "{said}");
    // A model of clicks predicts no ratings; a split to measure on is nothing to train on.
    for command in ["evaluate", "tune"] {
        let model = if command == "tune" { "--model" } else { "--models" };
        let said = refused(at, 2, &[command, "--data", "mine.csv", model, "ease", "--quiet"]);
        assert!(said.contains("--protocol top-n"), "{said}");
    }
    let said = refused(at, 2, &["train", "--data", "cfgan-ciao", "--model", "ease", "--out", "x"]);
    assert!(said.contains("to measure on"), "{said}");
}

#[test]
fn a_recipe_says_which_of_its_data_sets_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("ml-1m")).unwrap();
    let mut ratings = String::new();
    for user in 1..=25 {
        for item in 1..=12 {
            if (user * 5 + item * 7) % 4 != 0 {
                ratings += &format!("{user}::{item}::{}::{}\n", 1 + (user * item) % 5, 880_000_000 + user);
            }
        }
    }
    write(at, "ml-1m/ratings.dat", ratings);
    let table =
        ok(at, &["reproduce", "autorec-figure-5", "--quick", "--data-dir", ".", "--out", "out", "--quiet"]);
    assert!(table.contains("k = 500") && table.contains("0.8310"), "{table}");
    assert!(read(at, "out/autorec-figure-5-quick.html").contains("RMSE by hidden units"));
    let table =
        ok(at, &["reproduce", "autorec-table-a", "--quick", "--data-dir", ".", "--out", "out", "--quiet"]);
    assert!(
        table.contains("ml-10m: not run: data not found; `foldin data fetch ml-10m` downloads it"),
        "{table}"
    );
}

#[test]
fn the_quickstart_runs_on_built_in_data() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let text = ok(at, &["quickstart", "--generated", "--no-serve", "--out", "out", "--quiet"]);
    for part in
        ["Data: generated", "1. Known users", "2. New users", "3. Somebody who was never seen", "Done in"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    for file in
        ["known-users.json", "known-users.html", "new-users.json", "new-users.html", "model/manifest.json"]
    {
        assert!(at.join("out").join(file).is_file(), "{file}");
    }
}
