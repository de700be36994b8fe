//! `foldin recommend`: the best items for a user, known or never seen.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use comfy_table::CellAlignment;
use foldin_core::{ItemId, Scored, UserView, top_k};
use foldin_models::folder::LoadedModel;
use serde::Serialize;

use crate::common::{Global, print, print_json, seconds_in_words, table};
use crate::data_args::DataArgs;
use crate::models::load_serving;
use crate::person::{Person, PersonArgs, Understood};

const EXAMPLES: &str = "\
Examples:
  foldin recommend --model model --rate \"Toy Story (1995)=5\" --rate \"Alien=2\" -n 10
  foldin recommend --model model --rate \"Fargo=5\" --feature age=31 --feature occupation=writer --explain
  foldin recommend --model model --history my-ratings.csv --json
  foldin recommend --model model --user 196";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Model folder, as `foldin train` writes it
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    data: DataArgs,
    /// How many items
    #[arg(short, default_value_t = 10, value_name = "N")]
    n: usize,
    /// Say which ratings of the history moved each item's score, and by how much
    #[arg(long)]
    explain: bool,
    /// Recommend items of the history too
    #[arg(long)]
    include_seen: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One recommended item.
#[derive(Debug, Serialize)]
pub(crate) struct Recommendation {
    rank: usize,
    key: String,
    title: String,
    /// What the model expects the user to give, clipped to the scale.
    predicted: f32,
    /// Unclipped; what the order is by.
    score: f32,
    /// Standard deviation of the rating that would be given, from models that state one.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_deviation: Option<f32>,
    /// Ratings that moved the score most, strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    because: Vec<Influence>,
}

/// How much one rating of the history moved a score: the score with it less the score without it.
#[derive(Debug, Serialize)]
pub(crate) struct Influence {
    key: String,
    title: String,
    rating: f32,
    effect: f32,
}

/// An answer with how it came about.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    model: String,
    /// Whether the model predicts ratings; if not, `predicted` is a score that orders items and means nothing else.
    rates: bool,
    source: &'static str,
    ratings_used: usize,
    /// The ratings as they were understood.
    history: Vec<Understood>,
    /// What the user should know of how the history came about.
    notes: Vec<String>,
    seconds: f64,
    pub(crate) items: Vec<Recommendation>,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let loaded = load_serving(&args.model)?;
    let person = args.person.person(&loaded, &args.data, global)?;
    let answer = recommend(&loaded, &person, args.n, args.include_seen, args.explain)?;
    if args.json { print_json(&answer) } else { print_answer(&answer) }
}

/// The best `n` items for a person, with explanations if wanted.
pub(crate) fn recommend(
    loaded: &LoadedModel,
    person: &Person,
    n: usize,
    include_seen: bool,
    explain: bool,
) -> anyhow::Result<Answer> {
    let view = person.view();
    let mut scores = vec![0.0; loaded.model.n_items()];
    // Once to touch the memory, once to measure what a running service would take.
    loaded.model.score(&[view], &mut scores)?;
    let begin = Instant::now();
    loaded.model.score(&[view], &mut scores)?;
    let seen: &[u32] = if include_seen { &[] } else { &person.items };
    let best = top_k(&scores, n, seen);
    let seconds = begin.elapsed().as_secs_f64();

    let deviations = deviations(loaded, view, &best)?;
    let mut because = if explain { influences(loaded, person, &best)? } else { Vec::new() };
    let feedback = loaded.feedback();
    let items = best
        .iter()
        .enumerate()
        .map(|(at, scored)| Recommendation {
            rank: at + 1,
            key: loaded.items.key(scored.item.0).unwrap_or_default().to_owned(),
            title: loaded.titles[scored.item.index()].clone(),
            predicted: feedback.clip(scored.score),
            score: scored.score,
            standard_deviation: deviations.get(at).copied(),
            because: because.get_mut(at).map(std::mem::take).unwrap_or_default(),
        })
        .collect();
    Ok(Answer {
        model: loaded.model.name().to_owned(),
        rates: feedback.scale().is_some(),
        source: "generated",
        ratings_used: person.items.len(),
        history: person.understood(loaded),
        notes: person.notes.clone(),
        seconds,
        items,
    })
}

fn deviations(loaded: &LoadedModel, view: UserView<'_>, best: &[Scored]) -> anyhow::Result<Vec<f32>> {
    if !loaded.model.capabilities().uncertainty {
        return Ok(Vec::new());
    }
    let pairs: Vec<(u32, ItemId)> = best.iter().map(|scored| (0, scored.item)).collect();
    let (mut mean, mut variance) = (vec![0.0; pairs.len()], vec![0.0; pairs.len()]);
    loaded.model.predict_with_variance(&[view], &pairs, &mut mean, &mut variance)?;
    Ok(variance.into_iter().map(f32::sqrt).collect())
}

/// Leaves each rating of the history out once and sees how far every recommended item's score moves.
fn influences(loaded: &LoadedModel, person: &Person, best: &[Scored]) -> anyhow::Result<Vec<Vec<Influence>>> {
    let without: Vec<(Vec<u32>, Vec<f32>)> = (0..person.items.len())
        .map(|left_out| {
            let keep = |at: &usize| *at != left_out;
            let kept: Vec<usize> = (0..person.items.len()).filter(keep).collect();
            (
                kept.iter().map(|&at| person.items[at]).collect(),
                kept.iter().map(|&at| person.values[at]).collect(),
            )
        })
        .collect();
    let views: Vec<UserView<'_>> =
        without.iter().map(|(items, values)| UserView { items, values, ..person.view() }).collect();
    // One row of scores at a time keeps a long history over a large catalogue small.
    let mut row = vec![0.0; loaded.model.n_items()];
    let mut moved: Vec<Vec<Influence>> = best.iter().map(|_| Vec::new()).collect();
    for (at, view) in views.iter().enumerate() {
        loaded.model.score(&[*view], &mut row).context("scoring without one rating")?;
        let item = person.items[at];
        for (scored, list) in best.iter().zip(&mut moved) {
            list.push(Influence {
                key: loaded.items.key(item).unwrap_or_default().to_owned(),
                title: loaded.titles[item as usize].clone(),
                rating: person.values[at],
                effect: scored.score - row[scored.item.index()],
            });
        }
    }
    for list in &mut moved {
        list.sort_by(|a, b| b.effect.abs().total_cmp(&a.effect.abs()));
        list.truncate(3);
    }
    Ok(moved)
}

/// Prints an answer as a table, explanations below each item.
pub(crate) fn print_answer(answer: &Answer) -> anyhow::Result<()> {
    let mut out = table([]);
    let uncertain = answer.items.iter().any(|item| item.standard_deviation.is_some());
    let explained = answer.items.iter().any(|item| !item.because.is_empty());
    let mut header = vec!["", "title", if answer.rates { "predicted" } else { "score" }];
    if uncertain {
        header.push("±");
    }
    if explained {
        header.push("because (effect on the score)");
    }
    out.set_header(header);
    for item in &answer.items {
        let digits = if answer.rates { 2 } else { 4 };
        let mut row = vec![item.rank.to_string(), item.title.clone(), format!("{:.digits$}", item.predicted)];
        if uncertain {
            row.push(item.standard_deviation.map(|sd| format!("{sd:.2}")).unwrap_or_default());
        }
        if explained {
            let lines: Vec<String> = item
                .because
                .iter()
                .map(|influence| {
                    let rating =
                        if answer.rates { format!(" = {}", influence.rating) } else { String::new() };
                    format!("{:+.3}  {}{rating}", influence.effect, influence.title)
                })
                .collect();
            row.push(lines.join("\n"));
        }
        out.add_row(row);
    }
    for column in [0, 2, 3] {
        if let Some(column) = out.column_mut(column).filter(|_| column != 3 || uncertain) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    print(out)?;
    print(format!(
        "{}: {} generated from {} {}{}, all items scored and the best chosen in {}",
        answer.model,
        if answer.rates { "factors" } else { "scores" },
        answer.ratings_used,
        if answer.rates { "rating" } else { "interaction" },
        if answer.ratings_used == 1 { "" } else { "s" },
        seconds_in_words(answer.seconds)
    ))
}
