//! Models of clicks, ranked lists and the search for settings, from the command line.

use crate::{both, json, ok, read, refused, write, write_ratings};

const TOP_N: [&str; 6] = ["evaluate", "--protocol", "top-n", "--quiet", "--json", "r.json"];

/// The ratings as a split of two files, every seventh to the test.
fn write_split(folder: &std::path::Path) {
    write_ratings(folder);
    let all = read(folder, "ratings.csv");
    let (header, lines) = all.split_once('\n').expect("there is a header");
    let part = |test: bool| -> String {
        let chosen = lines.lines().enumerate().filter(|(at, _)| (at % 7 == 0) == test);
        chosen.fold(header.to_owned() + "\n", |text, (_, line)| text + line + "\n")
    };
    write(folder, "train.csv", part(false));
    write(folder, "test.csv", part(true));
}

#[test]
fn lists_of_a_split_without_other_data() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_split(at);
    let split = ["--split", "train.csv,test.csv", "--liked-from", "5", "--cutoffs", "3,20"];
    let models = ["--models", "popularity,ease,bias-svd", "--html", "r.html"];
    let table = ok(at, &[&TOP_N[..], &split, &models].concat());
    assert!(table.contains("nDCG@20") && table.contains("coverage@20"), "{table}");
    let report = json(&read(at, "r.json"));
    let figure =
        |model: usize, name: &str| report["models"][model]["metrics"][name]["mean"].as_f64().unwrap();
    // Likes are those of the own parity, which popularity does not know.
    assert!(figure(1, "ndcg@20") > 1.1 * figure(0, "ndcg@20"), "{table}");
    assert!(figure(2, "ndcg@3") > 0.0 && report["models"][1]["paired"]["p"].is_number());
    assert!(read(at, "r.html").contains("Every figure"));
    let refusals = [
        (&["--liked-from", "50"][..], "the scale is"),
        (&["--cutoffs", "0"], "at least one place"),
        (&["--fits", "0"], "1 is the least"),
    ];
    for (flags, says) in refusals {
        let args =
            [&["evaluate", "--protocol", "top-n", "--split", "train.csv,test.csv"][..], &models, flags];
        let output = crate::foldin(at, &args.concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{flags:?}: {said}");
    }
    let said = refused(at, 2, &["evaluate", "--data", "ratings.csv", "--models", "bias", "--cutoffs", "5"]);
    assert!(said.contains("--cutoffs is about ranked lists"), "{said}");
}

#[test]
fn a_model_of_clicks_is_trained_on_ratings_and_recommends() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    let train = ["train", "--data", "ratings.csv", "--model", "ease", "--out", "model"];
    let (out, said) = both(at, &train);
    assert!(out.contains("interactions of 40 users"), "{out}");
    assert!(said.contains("every rating counts as one"), "{said}");
    ok(at, &[&train[..], &["--liked-from", "5", "--overwrite", "--quiet"]].concat());
    let answer =
        ok(at, &["recommend", "--model", "model", "--rate", "i2", "--rate", "i4=-10", "-n", "3", "--json"]);
    let answer = json(&answer);
    assert_eq!((&answer["rates"], &answer["ratings_used"]), (&json("false"), &json("2")));
    for item in answer["items"].as_array().unwrap() {
        let number: u32 = item["key"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(number % 2, 0, "even items go with even ones: {answer}");
    }
    let known =
        ok(at, &["recommend", "--model", "model", "--user", "u2", "--data", "ratings.csv", "-n", "2"]);
    assert!(known.contains("scores generated from"), "{known}");
    let said = refused(
        at,
        2,
        &["train", "--data", "ratings.csv", "--model", "bias", "--liked-from", "5", "--out", "m"],
    );
    assert!(said.contains("bias learns from ratings"), "{said}");
}

#[test]
fn a_search_is_kept_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    let search = ["tune", "--data", "ratings.csv", "--model", "bias", "--out", "found"];
    let table = ok(at, &[&search[..], &["--trials", "4"]].concat());
    assert!(table.contains("4 trials") && table.contains("user_damping"), "{table}");
    let trials = || read(at, "found/trials.jsonl").lines().count() - 1;
    assert_eq!(trials(), 4);
    let said = refused(at, 1, &search);
    assert!(said.contains("--resume"), "{said}");
    // A trial cut off in the middle of writing is made again.
    let kept = read(at, "found/trials.jsonl");
    write(at, "found/trials.jsonl", &kept[..kept.len() - 9]);
    ok(at, &[&search[..], &["--trials", "6", "--resume"]].concat());
    assert_eq!(trials(), 6);
    // All but the seconds of its fit.
    let fourth = |text: &str| {
        let mut trial = json(text.lines().nth(4).expect("the fourth trial"));
        trial["seconds"] = json("0");
        trial
    };
    assert_eq!(fourth(&read(at, "found/trials.jsonl")), fourth(&kept));
    let report = json(&read(at, "found/report.json"));
    assert_eq!(report["trials"].as_array().unwrap().len(), 6);
    assert!(report["config"]["user_damping"].is_number());
    assert!(read(at, "found/report.html").contains("<svg"));
    let said = refused(at, 1, &[&search[..], &["--resume", "--seed", "2"]].concat());
    assert!(said.contains("choose another --out"), "{said}");
    for (flags, says) in [
        (&["--space", "user_damping=log:0:1"][..], "LOW < HIGH"),
        (&["--space", "speed=log:1:2"], "no setting `speed`"),
        (&["--only", "rounds"], "say where to look"),
        (&["--trials", "0"], "would try nothing"),
    ] {
        let said = refused(at, 2, &[&search[..], flags].concat());
        assert!(said.contains(says), "{flags:?}: {said}");
    }
    let said = refused(at, 2, &["tune", "--data", "ratings.csv", "--model", "global-mean"]);
    assert!(said.contains("nothing to search"), "{said}");
}
