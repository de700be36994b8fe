//! `foldin predict`: what a user would rate given items.

use std::path::PathBuf;

use foldin_core::ItemId;
use serde_json::json;

use crate::common::{Global, print, print_json, table, usage};
use crate::data_args::DataArgs;
use crate::models::load_serving;
use crate::person::PersonArgs;
use foldin_engine::titles::find_item;

const EXAMPLES: &str = "\
Examples:
  foldin predict --model model --rate \"Toy Story (1995)=5\" --item \"Aladdin\" --item \"Alien\"
  foldin predict --model model --user 196 --item 242 --json";

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
    /// An item, by key or title. May be given often
    #[arg(long, value_name = "ITEM", required = true)]
    item: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let loaded = load_serving(&args.model)?;
    if args.item.is_empty() {
        return Err(usage("give at least one --item"));
    }
    let person = args.person.person(&loaded, &args.data, global)?;
    let items: Vec<ItemId> = args
        .item
        .iter()
        .map(|text| Ok(find_item(text, &loaded.items, &loaded.titles)?))
        .collect::<anyhow::Result<_>>()?;
    let pairs: Vec<(u32, ItemId)> = items.iter().map(|&item| (0, item)).collect();
    let mut predicted = vec![0.0; pairs.len()];
    loaded.model.predict(&[person.view()], &pairs, &mut predicted)?;
    let deviations: Option<Vec<f32>> = if loaded.model.capabilities().uncertainty {
        let (mut mean, mut variance) = (vec![0.0; pairs.len()], vec![0.0; pairs.len()]);
        loaded.model.predict_with_variance(&[person.view()], &pairs, &mut mean, &mut variance)?;
        Some(variance.into_iter().map(f32::sqrt).collect())
    } else {
        None
    };
    if args.json {
        let list: Vec<_> = items
            .iter()
            .enumerate()
            .map(|(at, item)| {
                json!({
                    "key": loaded.items.key(item.0),
                    "title": loaded.titles[item.index()],
                    "predicted": predicted[at],
                    "standard_deviation": deviations.as_ref().map(|list| list[at]),
                })
            })
            .collect();
        return print_json(&json!({
            "model": loaded.model.name(),
            "ratings_used": person.items.len(),
            "history": person.understood(&loaded),
            "notes": person.notes,
            "items": list,
        }));
    }
    let mut out = table([]);
    out.set_header(if deviations.is_some() {
        vec!["title", "predicted", "±"]
    } else {
        vec!["title", "predicted"]
    });
    for (at, item) in items.iter().enumerate() {
        let mut row = vec![loaded.titles[item.index()].clone(), format!("{:.2}", predicted[at])];
        if let Some(list) = &deviations {
            row.push(format!("{:.2}", list[at]));
        }
        out.add_row(row);
    }
    print(out)
}
