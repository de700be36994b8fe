//! `foldin recommend`: the best items for a user, known or never seen.

use std::path::PathBuf;
use std::time::Instant;

use comfy_table::CellAlignment;
use foldin_engine::explain::Influence;
use foldin_engine::{Catalogue, Filter, Serving, Source, Wish};
use serde::Serialize;

use crate::common::{Global, print, print_json, seconds_in_words, table, usage};
use crate::data_args::DataArgs;
use crate::models::load_serving;
use crate::person::{Person, PersonArgs, Understood};

const EXAMPLES: &str = "\
Examples:
  foldin recommend --model model --rate \"Toy Story (1995)=5\" --rate \"Alien=2\" -n 10
  foldin recommend --model model --rate \"Fargo=5\" --feature age=31 --feature occupation=writer --explain
  foldin recommend --model model --history my-ratings.csv --json
  foldin recommend --model model --rate \"Fargo=5\" --category Drama --without-category War --diversity 0.3
  foldin recommend --model model --user 196";

/// Ratings that are named for each recommended item.
pub(crate) const INFLUENCES: usize = 3;

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
    #[arg(short, default_value_t = 10, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=10_000))]
    n: usize,
    /// Say which ratings of the history moved each item's score, and by how much
    #[arg(long)]
    explain: bool,
    /// Recommend items of the history too
    #[arg(long)]
    include_seen: bool,
    /// Only items of this category, such as a genre. May be given often: items of any of them
    #[arg(long, value_name = "NAME")]
    category: Vec<String>,
    /// No items of this category. May be given often
    #[arg(long, value_name = "NAME")]
    without_category: Vec<String>,
    /// How different the items shall be from each other, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    diversity: f32,
    /// Only items that the user would like with at least this probability, 0 to 1; of models that state an uncertainty
    #[arg(long, value_name = "P")]
    min_confidence: Option<f32>,
    /// The rating that counts as liking an item [default: three quarters up the scale]
    #[arg(long, value_name = "RATING")]
    liked_from: Option<f32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    fn wish(&self) -> Wish {
        Wish {
            n: self.n,
            exclude_seen: !self.include_seen,
            filter: Filter {
                categories: self.category.clone(),
                without_categories: self.without_category.clone(),
                ..Filter::default()
            },
            diversity: self.diversity,
            min_confidence: self.min_confidence,
            liked_from: self.liked_from,
            explain: if self.explain { INFLUENCES } else { 0 },
            ..Wish::default()
        }
    }
}

/// One recommended item.
#[derive(Debug, Serialize)]
pub(crate) struct Recommendation {
    rank: usize,
    key: String,
    title: String,
    /// What the model expects the user to give, clipped to the scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    predicted: Option<f32>,
    /// Unclipped; what the order is by.
    score: f32,
    /// Standard deviation of the rating that would be given, from models that state one.
    #[serde(skip_serializing_if = "Option::is_none")]
    standard_deviation: Option<f32>,
    /// Probability that the user would like it, from the same models.
    #[serde(skip_serializing_if = "Option::is_none")]
    confidence: Option<f32>,
    /// Ratings that moved the score most, strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    because: Vec<Because>,
}

/// How much one rating of the history moved a score: the score with it less the score without it.
#[derive(Debug, Serialize)]
pub(crate) struct Because {
    key: String,
    title: String,
    rating: f32,
    effect: f32,
}

/// An answer with how it came about.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    model: String,
    /// Whether the model predicts ratings; if not, `score` orders items and means nothing else.
    rates: bool,
    source: Source,
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
    let wish = args.wish();
    let serving = Serving::new(loaded, "")?;
    let catalogue = Catalogue::new(&serving);
    check_categories(&wish.filter, &catalogue)?;
    let answer = recommend(&serving, &catalogue, &person, &wish)?;
    if args.json { print_json(&answer) } else { print_answer(&answer) }
}

/// A category that no item has is a slip, which would otherwise be answered with an empty list.
fn check_categories(filter: &Filter, catalogue: &Catalogue) -> anyhow::Result<()> {
    let known = catalogue.categories();
    for name in filter.categories.iter().chain(&filter.without_categories) {
        if !known.contains_key(name.as_str()) {
            let all: Vec<&str> = known.keys().copied().collect();
            let all = if all.is_empty() { "the model has none".to_owned() } else { all.join(", ") };
            return Err(usage(format!("there is no category `{name}`: {all}")));
        }
    }
    Ok(())
}

/// The best items for a person, with explanations if wanted.
pub(crate) fn recommend(
    serving: &Serving,
    catalogue: &Catalogue,
    person: &Person,
    wish: &Wish,
) -> anyhow::Result<Answer> {
    let history = person.history();
    let plain = Wish { explain: 0, ..wish.clone() };
    // Once to touch the memory, once to measure what a running service would take.
    foldin_engine::recommend::recommend(serving, catalogue, &history, &plain)?;
    let begin = Instant::now();
    foldin_engine::recommend::recommend(serving, catalogue, &history, &plain)?;
    let seconds = begin.elapsed().as_secs_f64();
    let answer = foldin_engine::recommend::recommend(serving, catalogue, &history, wish)?;
    let because = |influence: Influence| Because {
        key: influence.item,
        title: influence.title,
        rating: influence.value,
        effect: influence.effect,
    };
    let items = answer.items.into_iter().enumerate().map(|(at, item)| Recommendation {
        rank: at + 1,
        key: item.item,
        title: item.title,
        predicted: item.predicted,
        score: item.score,
        standard_deviation: item.deviation,
        confidence: item.confidence,
        because: item.because.into_iter().map(because).collect(),
    });
    Ok(Answer {
        model: answer.model,
        rates: serving.feedback().scale().is_some(),
        source: answer.source,
        ratings_used: answer.used,
        history: person.understood(serving.loaded()),
        notes: person.notes.clone(),
        seconds,
        items: items.collect(),
    })
}

/// Prints an answer as a table, explanations below each item.
pub(crate) fn print_answer(answer: &Answer) -> anyhow::Result<()> {
    let mut out = table([]);
    let uncertain = answer.items.iter().any(|item| item.standard_deviation.is_some());
    let explained = answer.items.iter().any(|item| !item.because.is_empty());
    let popular = answer.source == Source::Popular;
    let rates = answer.rates && !popular;
    let figure = if popular {
        "taken by"
    } else if rates {
        "predicted"
    } else {
        "score"
    };
    let mut header = vec!["", "title", figure];
    if uncertain {
        header.push("±");
    }
    if explained {
        header.push("because (effect on the score)");
    }
    if answer.items.is_empty() {
        return print(
            "nothing is left to recommend: all items are in the history; --include-seen lists them too",
        );
    }
    out.set_header(header);
    for item in &answer.items {
        let digits = if popular {
            0
        } else if rates {
            2
        } else {
            4
        };
        let figure = item.predicted.unwrap_or(item.score);
        let mut row = vec![item.rank.to_string(), item.title.clone(), format!("{figure:.digits$}")];
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
    if popular {
        let why = if answer.ratings_used == 0 {
            "nothing is known of this user"
        } else {
            "nothing follows from what this user took"
        };
        return print(format!("{}: {why}, so these are the items that most people took", answer.model));
    }
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
