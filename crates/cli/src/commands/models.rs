//! `foldin models`: which models there are and what each can do, and which activations their networks know.

use clap::Subcommand;
use foldin_core::Capabilities;
use foldin_core::config::ConfigKey;
use foldin_models::registry::registry;
use serde_json::{Value, json};

use crate::commands::activations;
use crate::common::{print, print_json, table};
use crate::models::find;

const EXAMPLES: &str = "\
Examples:
  foldin models                      every model and what it can do
  foldin models show lfg             every setting of a model, with default, range and meaning
  foldin models show lfg --toml      the same as a file to edit and give to --config
  foldin models activations          every activation function with its formula";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const SHOW_EXAMPLES: &str = "\
Examples:
  foldin models show lfg-bayes
  foldin models show lfg --toml > lfg.toml     a file to edit and give to --config";

#[derive(Debug, Subcommand)]
enum Command {
    /// Every model and what it can do; the same as without a command
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Every setting of a model
    #[command(after_help = SHOW_EXAMPLES)]
    Show {
        /// The model
        model: String,
        /// Print a TOML file with the defaults, each setting explained
        #[arg(long, conflicts_with = "json")]
        toml: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Every activation function of the networks, with its formula and trained parameters
    Activations(activations::Args),
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match &args.command {
        None => list(args.json),
        Some(Command::List { json }) => list(args.json || *json),
        Some(Command::Show { model, toml, json }) => show(model, *toml, *json),
        Some(Command::Activations(args)) => activations::run(args),
    }
}

fn list(json: bool) -> anyhow::Result<()> {
    if json {
        let list: Vec<_> = registry()
            .iter()
            .map(|entry| json!({"name": entry.name, "summary": entry.summary, "capabilities": entry.capabilities}))
            .collect();
        return print_json(&list);
    }
    let mut out = table([
        "model",
        "learns from",
        "new users",
        "factors",
        "uncertainty",
        "side information",
        "keeps histories",
        "what it is",
    ]);
    for entry in registry() {
        let Capabilities {
            new_users,
            generator,
            uncertainty,
            user_features,
            item_features,
            keeps_histories,
            explicit,
            implicit,
        } = entry.capabilities;
        let learns = match (explicit, implicit) {
            (true, true) => "both",
            (false, true) => "clicks",
            _ => "ratings",
        };
        let yes = |can: bool| if can { "yes" } else { "–" };
        let side = match (user_features, item_features) {
            (true, true) => "users, items",
            (true, false) => "users",
            (false, true) => "items",
            (false, false) => "–",
        };
        out.add_row([
            entry.name,
            learns,
            yes(new_users),
            yes(generator),
            yes(uncertainty),
            side,
            yes(keeps_histories),
            entry.summary,
        ]);
    }
    print(out)?;
    print(
        "\nlearns from: ratings, or clicks: things that happened, whatever was said of them\n\
         new users: serves somebody who was not in training, from their history, without retraining\n\
         factors: generates latent factors; a score is u·m + b_u + b_i + μ\n\
         keeps histories: a saved model holds the ratings of its training users, without their names\n\
         `foldin models show MODEL` lists a model's settings",
    )?;
    #[cfg(feature = "vision")]
    {
        let names = super::vision::settings::DESCRIBED.map(|described| described.name).join(", ");
        print(format!("of `foldin vision` it lists those of {names}"))?;
    }
    Ok(())
}

fn show(model: &str, toml: bool, json: bool) -> anyhow::Result<()> {
    #[cfg(feature = "vision")]
    if let Some(described) = super::vision::settings::find(model) {
        let (name, summary, keys) = (described.name, described.summary, (described.keys)());
        return show_keys(name, summary, keys, toml, json, &json!({"name": name, "summary": summary}));
    }
    let entry = find(model)?;
    let about = json!({"name": entry.name, "summary": entry.summary, "capabilities": entry.capabilities});
    show_keys(entry.name, entry.summary, entry.keys(), toml, json, &about)
}

fn show_keys(
    name: &str,
    summary: &str,
    keys: Vec<ConfigKey>,
    toml: bool,
    json: bool,
    about: &Value,
) -> anyhow::Result<()> {
    if json {
        let mut about = about.clone();
        about["settings"] = json!(keys);
        return print_json(&about);
    }
    if toml {
        print(format!("# {name}: {summary}\n"))?;
        for key in keys {
            let range = if key.range.is_empty() { String::new() } else { format!(" Range: {}.", key.range) };
            print(format!("# {} ({}){range}\n{} = {}\n", key.meaning, key.kind, key.key, key.default))?;
        }
        return Ok(());
    }
    print(format!("{name}: {summary}\n"))?;
    let mut out = table(["setting", "default", "range", "meaning"]);
    for key in keys {
        let mut range =
            if key.range.is_empty() { key.kind.clone() } else { format!("{}: {}", key.kind, key.range) };
        if !key.search.is_empty() {
            range += &format!("\nsearched: {}", key.search);
        }
        out.add_row([key.key, key.default.to_string(), range, key.meaning]);
    }
    print(out)?;
    print("\nSet one with --set KEY=VALUE, or many with --config FILE.toml")
}
