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
fn splits_with_odd_test_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Users u0 to u9 have five of i0 to i5, in turns; `all` has them all.
    let own = |user: usize| (0..6).filter(move |item| item % 6 != user % 6).map(move |item| (user, item));
    let mut train: String = (0..10).flat_map(own).map(|(user, item)| format!("u{user},i{item}\n")).collect();
    (0..6).for_each(|item| train += &format!("all,i{item}\n"));
    let header = "user,item\n";
    let test: String = (0..10).map(|user| format!("u{user},i{}\n", user % 6)).collect();
    write(at, "train.csv", format!("{header}{train}"));
    let with = |more: &str| format!("{header}{test}{more}");
    for (name, text) in [
        ("test.csv", with("")),
        ("empty.csv", header.to_owned()),
        ("unseen.csv", with("u0,new\nall,new\n")),
        ("only-unseen.csv", format!("{header}u0,new\n")),
        ("stranger.csv", with("nobody,i3\n")),
        ("overlap.csv", with("u1,i0\n")),
    ] {
        write(at, name, text);
    }
    let report = |test: &str| {
        let split = format!("train.csv,{test}");
        // More places than there are items.
        let args = ["--split", &split, "--models", "popularity,lfg-rank,ease", "--cutoffs", "2,500"];
        ok(at, &[&TOP_N[..], &args].concat());
        json(&read(at, "r.json"))
    };
    let plain = report("test.csv");
    let recall = |report: &serde_json::Value| {
        report["models"]
            .as_array()
            .unwrap()
            .iter()
            .map(|model| model["metrics"]["recall@500"]["mean"].as_f64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!((&plain["test_users"], recall(&plain)), (&json("[10]"), vec![1.0; 3]));
    // An item that is not in the training part is left out and counted, whoever has everything else is not tested.
    let unseen = report("unseen.csv");
    assert_eq!(unseen["test_users"], json("[10]"));
    assert!(unseen["notes"][0].as_str().unwrap().contains("2 test ratings of items that nobody has"));
    // Somebody without training ratings is tested.
    let stranger = report("stranger.csv");
    assert_eq!((&stranger["test_users"], recall(&stranger)), (&json("[11]"), vec![1.0; 3]));
    // Nothing goes with what nobody else has: who has nothing else is shown what is popular, as who has nothing at all: i4 and i5.
    write(at, "solo-train.csv", format!("{header}{train}solo,rare\n"));
    write(at, "solo.csv", format!("{header}solo,i4\n"));
    let args = ["--split", "solo-train.csv,solo.csv", "--models", "popularity,ease", "--cutoffs", "1"];
    ok(at, &[&TOP_N[..], &args].concat());
    let report = json(&read(at, "r.json"));
    for model in report["models"].as_array().unwrap() {
        assert_eq!(model["metrics"]["hit@1"]["mean"], 1.0, "{}", model["label"]);
    }
    let overlap = "train.csv, line 7) and in the test part (";
    for (test, says) in [
        ("empty.csv", "no interaction was found"),
        ("only-unseen.csv", "were left out"),
        ("overlap.csv", overlap),
    ] {
        let split = format!("train.csv,{test}");
        let said = refused(at, 1, &[&TOP_N[..], &["--split", &split, "--models", "popularity"]].concat());
        assert!(said.contains(says), "{test}: {said}");
    }
    let said =
        refused(at, 1, &[&TOP_N[..], &["--split", "empty.csv,test.csv", "--models", "popularity"]].concat());
    assert!(said.contains("no interaction was found"), "{said}");
    // Served, whoever has everything gets an empty list, and a list is no longer than what is left.
    ok(at, &["train", "--data", "train.csv", "--model", "ease", "--out", "model", "--quiet"]);
    let recommend = |user: &str, more: &[&str]| {
        let args = ["recommend", "--model", "model", "--data", "train.csv", "--user", user, "-n", "500"];
        ok(at, &[&args[..], more].concat())
    };
    assert!(recommend("all", &[]).contains("nothing is left to recommend"));
    assert_eq!(json(&recommend("all", &["--json"]))["items"].as_array().unwrap().len(), 0);
    assert_eq!(json(&recommend("all", &["--json", "--include-seen"]))["items"].as_array().unwrap().len(), 6);
    assert_eq!(json(&recommend("u1", &["--json"]))["items"].as_array().unwrap().len(), 1);
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
    for (more, says) in [
        (&["--model", "global-mean"][..], "global-mean has no settings"),
        (&["--model", "i-cfgan", "--protocol", "top-n-new-users"], "cannot serve users who were not"),
    ] {
        let said = refused(at, 2, &[&["tune", "--data", "ratings.csv"], more].concat());
        assert!(said.contains(says), "{said}");
    }
}
