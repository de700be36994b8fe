//! `foldin inspect`: what is in a model folder.

use std::path::PathBuf;

use serde_json::json;

use crate::common::{print, print_json, table};
use crate::models::load;

/// Entries of a list that are shown.
const SHOWN: usize = 16;

const EXAMPLES: &str = "\
Examples:
  foldin inspect model
  foldin inspect model --json";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Model folder
    #[arg(value_name = "DIR")]
    model: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let loaded = load(&args.model)?;
    let parts = loaded.model.to_parts();
    if args.json {
        let tensors: Vec<_> =
            parts.tensors.iter().map(|(name, tensor)| json!({"name": name, "shape": tensor.shape})).collect();
        return print_json(&json!({
            "manifest": loaded.manifest,
            "tensors": tensors,
            "items": loaded.items.len(),
            "user_features": loaded.user_schema.column_names(),
            "item_features": loaded.item_schema.column_names(),
        }));
    }
    print(format!("{}: {}\n", args.model.display(), loaded.model.name()))?;
    let mut out = table([]);
    let manifest = serde_json::to_value(&loaded.manifest)?;
    if let Some(map) = manifest.as_object() {
        for (key, value) in map {
            match value.as_object() {
                Some(inner) => {
                    for (name, value) in inner {
                        out.add_row([format!("{key}.{name}"), in_words(value)]);
                    }
                }
                None => {
                    out.add_row([key.clone(), in_words(value)]);
                }
            }
        }
    }
    out.add_row(["items".to_owned(), loaded.items.len().to_string()]);
    for (name, schema) in
        [("user side information", &loaded.user_schema), ("item side information", &loaded.item_schema)]
    {
        let fields: Vec<&str> = schema.fields().iter().map(|field| field.name.as_str()).collect();
        let fields = if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
        out.add_row([name.to_owned(), fields]);
    }
    print(out)?;

    let mut out = table(["tensor", "shape", "KiB"]);
    for (name, tensor) in &parts.tensors {
        out.add_row([
            name.clone(),
            format!("{:?}", tensor.shape),
            (tensor.data.len() * 4).div_ceil(1024).to_string(),
        ]);
    }
    print(out)?;
    for note in loaded.model.notes() {
        print(format!("note: {note}"))?;
    }
    Ok(())
}

fn in_words(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        // Such as a learning curve.
        serde_json::Value::Array(long) if long.len() > SHOWN => {
            format!("{} entries; --json shows them", long.len())
        }
        other => other.to_string(),
    }
}
