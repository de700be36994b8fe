use std::sync::Mutex;

use foldin_core::ModelEntry;
use foldin_core::registry::Settings;
use foldin_eval::html::render_beside;
use foldin_eval::machine::Machine;
use foldin_eval::report::Named;
use foldin_eval::{
    Claim, Clock, EvalOptions, EvalReport, ModelRequest, NewUserMode, OtherFigures, Protocol, Published,
    PublishedFigure, evaluate, html_page, text_table,
};
use serde_json::Value;

use crate::toys::{ByHeart, History, ItemMean, Sure, generated};

/// A report in which nothing depends on the machine: each look at the clock is a quarter of a second later.
fn report(protocol: Protocol) -> EvalReport {
    let settings: Settings = [("shift".to_owned(), 0.25.into())].into_iter().collect();
    let requests = [
        ModelRequest::new(ModelEntry::of::<ItemMean>()),
        ModelRequest::new(ModelEntry::of::<Sure>()).labelled("sure & <shifted>").with(settings),
        ModelRequest::new(ModelEntry::of::<History>()).meeting(NewUserMode::NoHistory).labelled("silent"),
        ModelRequest::new(ModelEntry::of::<ByHeart>()),
        ModelRequest::new(ModelEntry::of::<ByHeart>()).meeting(NewUserMode::RetrainAll).labelled("again"),
    ];
    let now = Mutex::new(0.0);
    let clock = Clock::new(move || {
        let mut now = now.lock().unwrap();
        *now += 0.25;
        *now
    });
    let options = EvalOptions {
        protocol,
        folds: 3,
        only_folds: vec![1, 3],
        seed: 3,
        clock,
        code_version: "0.0.0-test".into(),
        ..EvalOptions::default()
    };
    let mut report = evaluate(&generated(30), &requests, &options, &()).unwrap();
    report.threads = 2;
    report.machine = Machine { cpu: "Some Processor".into(), cores: 2 };
    for model in &mut report.models {
        model.peak_memory_bytes = vec![64 << 20, 65 << 20];
        model.peak_memory_increase_bytes = vec![1 << 20, 3 << 19];
    }
    report
}

/// The JSON form is a promise; see docs/report-schema.md. A key that goes or changes needs a new `format`.
#[test]
fn golden_json() {
    for (name, protocol) in [("ratings.json", Protocol::Ratings), ("new-users.json", Protocol::NewUsers)] {
        let mut json = serde_json::from_str(&report(protocol).to_json()).unwrap();
        round(&mut json);
        insta::assert_snapshot!(name, serde_json::to_string_pretty(&json).unwrap());
    }
}

/// Rounds to 9 decimals: the last bits of logarithms in the p-values are the C library's own.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            *value = ((number.as_f64().unwrap() * 1e9).round() / 1e9).into();
        }
        Value::Array(list) => list.iter_mut().for_each(round),
        Value::Object(map) => map.values_mut().for_each(round),
        _ => {}
    }
}

#[test]
fn golden_tables() {
    insta::assert_snapshot!("ratings.txt", text_table(&report(Protocol::Ratings)));
    insta::assert_snapshot!("new-users.txt", text_table(&report(Protocol::NewUsers)));
}

/// The paths that scripts are told to rely on.
#[test]
fn promised_paths() {
    let json: Value = serde_json::from_str(&report(Protocol::NewUsers).to_json()).unwrap();
    let model = &json["models"][0];
    assert_eq!(model["model"], "toy-item-mean");
    for name in ["rmse@0", "rmse@1", "rmse@5", "rmse@10", "rmse@20", "rmse@all"] {
        let metric = &model["metrics"][name];
        assert!(metric["mean"].is_f64() && metric["ci95"].is_f64(), "{name}: {metric}");
        assert_eq!(metric["folds"].as_array().unwrap().len(), 2);
    }
    assert_eq!(model["fit_seconds"], serde_json::json!([0.25, 0.25]));
    let paired = &json["models"][1]["paired"];
    assert!(
        paired["against"] == "toy-item-mean" && paired["mean_difference"].is_f64() && paired["p"].is_f64()
    );
}

#[test]
fn every_key_is_documented() {
    fn keys(value: &Value, path: &str, out: &mut Vec<String>) {
        // Their keys are names of settings and of figures, and what was given.
        if ["config", "metrics", "by_metric", "seconds_per_list"].contains(&path) {
            return;
        }
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                out.push(key.clone());
                keys(value, key, out);
            }),
            Value::Array(list) => list.iter().for_each(|value| keys(value, path, out)),
            _ => {}
        }
    }
    let schema = include_str!("../../../../docs/report-schema.md");
    for protocol in [Protocol::Ratings, Protocol::NewUsers, Protocol::TopNNewUsers] {
        let mut found = Vec::new();
        keys(&serde_json::from_str(&report(protocol).to_json()).unwrap(), "", &mut found);
        for key in found {
            assert!(schema.contains(&format!("`{key}`")), "docs/report-schema.md does not mention `{key}`");
        }
    }
}

#[test]
fn the_page_stands_alone() {
    for protocol in [Protocol::Ratings, Protocol::NewUsers] {
        let page = html_page(&report(protocol)).unwrap();
        let addresses: Vec<&str> = page.match_indices("http").map(|(at, _)| &page[at..at + 26]).collect();
        assert!(addresses.iter().all(|address| *address == "http://www.w3.org/2000/svg"), "{addresses:?}");
        for absent in ["<script", "<link", "src=", "url(", "@import", "<shifted>", "#0100", "#0200", "NaN"] {
            assert!(!page.contains(absent), "the page has {absent}");
        }
        assert!(page.contains("sure &amp; &lt;shifted&gt;"));
        let plots = page.matches("<svg").count();
        assert_eq!(plots, page.matches("</svg>").count());
        // Intervals, calibration, one learning curve (all toys learn alike), and RMSE by ratings given.
        assert_eq!(plots, if protocol == Protocol::NewUsers { 4 } else { 3 });
        for tag in ["section", "table", "figure", "details", "div", "ul"] {
            let (opened, closed) = (format!("<{tag}"), format!("</{tag}>"));
            assert_eq!(page.matches(&opened).count(), page.matches(&closed).count(), "{tag}");
        }
    }
}

#[test]
fn published_figures_stand_beside_ours() {
    let report = report(Protocol::Ratings);
    let label = report.models[0].label.clone();
    let published = Published {
        name: "table".to_owned(),
        title: "A table & its figures".to_owned(),
        about: "Read as it stands.".to_owned(),
        paper: vec![PublishedFigure {
            label: label.clone(),
            metric: "rmse".to_owned(),
            mean: Some(0.98765),
            folds: vec![0.9, 0.8],
            ..PublishedFigure::default()
        }],
        ..Published::default()
    };
    let page = render_beside(&report, &published).unwrap();
    let ours = format!("{:.4}", report.models[0].metrics.get("rmse").unwrap().mean);
    let row = page.split("<tr>").find(|row| row.contains("0.9877")).unwrap();
    assert!(row.contains(&label) && row.contains(&ours) && row.contains("0.9000 0.8000"), "{row}");
    assert!(page.contains("A table &amp; its figures") && page.contains("Read as it stands."));
}

#[test]
fn a_page_of_markdown_holds_the_same_figures() {
    let report = report(Protocol::Ratings);
    let page = foldin_eval::markdown::render(&report, None, "foldin evaluate --models a|b");
    assert!(page.starts_with("# ") && page.contains("Made by `foldin evaluate --models a|b`"), "{page}");
    for model in &report.models {
        let mean = format!("{:.4}", model.metrics.get("rmse").unwrap().mean);
        assert!(
            page.lines()
                .any(|line| line.starts_with(&format!("| {} |", model.label)) && line.contains(&mean))
        );
    }
    // Every row of a table has as many cells as its header.
    for table in page.split("## ").skip(1) {
        let cells: Vec<usize> = table
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| line.matches(" |").count())
            .collect();
        assert!(cells.len() > 2 && cells.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    }
}

#[test]
fn lines_that_differ_in_a_number_are_plotted_against_it() {
    let report = report(Protocol::Ratings);
    let of = |at: usize, mean: Option<f64>| PublishedFigure {
        label: report.models[at].label.clone(),
        metric: "rmse".to_owned(),
        mean,
        folds: Vec::new(),
        x: Some(10.0 * (at + 1) as f64),
        ..PublishedFigure::default()
    };
    let published = |x: Option<&str>, mean| Published {
        name: "figure".to_owned(),
        title: "A figure".to_owned(),
        about: "Read as it stands.".to_owned(),
        paper: vec![of(0, None), of(1, mean)],
        x: x.map(str::to_owned),
        ..Published::default()
    };
    let page = render_beside(&report, &published(Some("hidden units"), Some(0.9))).unwrap();
    assert!(page.contains("<h2>RMSE by hidden units</h2>") && page.contains(">published</li>"));
    let page = render_beside(&report, &published(Some("hidden units"), None)).unwrap();
    assert!(page.contains(">ours</li>") && !page.contains(">published</li>"));
    assert!(!render_beside(&report, &published(None, None)).unwrap().contains("hidden units"));
}

#[test]
fn figures_stand_in_columns_and_by_length_with_a_verdict() {
    let requests = [
        ModelRequest::new(ModelEntry::of::<ItemMean>()).fitted(2),
        ModelRequest::new(ModelEntry::of::<History>()).fitted(2).labelled("other"),
    ];
    let options =
        EvalOptions { protocol: Protocol::TopN, folds: 2, cutoffs: vec![2, 5, 20], ..EvalOptions::default() };
    let report = evaluate(&generated(30), &requests, &options, &()).unwrap();
    let of = |label: &str, others| PublishedFigure {
        label: label.to_owned(),
        others,
        ..PublishedFigure::default()
    };
    let figures = Named(vec![("ndcg@20".to_owned(), (0.4207, Some(0.0048)))]);
    let published = Published {
        paper: vec![
            of(&report.models[0].label, vec![OtherFigures { by: "replicated".to_owned(), figures }]),
            of("other", Vec::new()),
        ],
        metrics: vec!["ndcg@20".to_owned(), "precision@5".to_owned()],
        by_cutoff: vec!["recall".to_owned()],
        claims: vec![Claim { model: "other".to_owned(), figure: "recall".to_owned(), points: 90.0 }],
        ..Published::default()
    };
    let text = foldin_eval::table::render_beside(&report, &published);
    let summary = report.models[0].metrics.get("ndcg@20").unwrap();
    assert_eq!(summary.fits.len(), 2);
    let own = format!("{:.4} ± {:.4}", summary.mean, summary.sd_fits.unwrap());
    assert!(text.contains(&own) && text.contains("0.4207 ± 0.0048"), "{text}");
    assert!(text.contains("recall by length of the list") && text.contains("@20"), "{text}");
    assert!(text.contains("p over users (Holm)") && text.contains("p over fits"), "{text}");
    assert!(
        text.contains("Claimed: other gains 90 points of recall") && text.contains("does not hold"),
        "{text}"
    );
    let page = render_beside(&report, &published).unwrap();
    assert!(page.contains("0.4207 <small>± 0.0048</small>") && page.contains("The claim does not hold."));
    assert!(page.contains("By length of the list") && page.contains("<polygon"));
    let markdown = foldin_eval::markdown::render(&report, Some(&published), "foldin reproduce x");
    assert!(markdown.contains("## recall by length of the list") && markdown.contains("does not hold"));
}
