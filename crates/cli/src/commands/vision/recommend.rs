//! `foldin vision recommend`.

use std::path::PathBuf;

use foldin_vision::backend;
use foldin_vision::recommend::folder::Recommender;
use serde_json::json;

use crate::common::{print, print_json, usage};

const EXAMPLES: &str = "\
Examples:
  foldin vision recommend --model model --bought 0108775015,0669361001
  foldin vision recommend --model model --bought 0108775015 -n 20 --json";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Folder that `foldin vision train` wrote
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Items that somebody bought, by key, separated by commas
    #[arg(long, value_name = "KEYS", value_delimiter = ',', required = true)]
    bought: Vec<String>,
    /// How many to recommend
    #[arg(short, default_value_t = 10)]
    n: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let model = Recommender::load(&args.model, &backend::device("cpu")?)?;
    let number = |key: &String| {
        model
            .items
            .get(key)
            .ok_or_else(|| usage(format!("there is no item `{key}` in the catalogue of this model")))
    };
    let bought = args.bought.iter().map(number).collect::<anyhow::Result<Vec<u32>>>()?;
    let best = model.recommend(&bought, args.n)?;
    let key = |item: u32| model.items.key(item).unwrap_or_default();
    if args.json {
        let rows: Vec<_> =
            best.iter().map(|(item, score)| json!({"item": key(item.0), "score": score})).collect();
        return print_json(&rows);
    }
    best.iter()
        .enumerate()
        .try_for_each(|(at, (item, score))| print(format!("{:3} {} {score:.3}", at + 1, key(item.0))))
}
