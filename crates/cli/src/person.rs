//! The user that `recommend` and `predict` are about: somebody of a data set, or anybody with a few ratings.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use foldin_core::features::EncodedRow;
use foldin_core::{FeatureValue, RawFeatures, UserView};
use foldin_models::folder::LoadedModel;

use crate::common::{Global, usage};
use crate::data_args::DataArgs;
use crate::titles::find_item;

/// Who is asking.
#[derive(Debug, clap::Args)]
pub(crate) struct PersonArgs {
    /// A user of a data set, by key; their history and side information are read from it
    #[arg(long, value_name = "KEY", conflicts_with_all = ["history", "rate"])]
    user: Option<String>,
    /// CSV file with a history: item (key or title) and rating a line, with or without a header
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// One rating; the item by key or by title, which need not be exact. May be given often
    #[arg(long, value_name = "TITLE=RATING")]
    rate: Vec<String>,
    /// Side information, such as age=31 or occupation=writer. May be given often
    #[arg(long, value_name = "NAME=VALUE")]
    feature: Vec<String>,
}

/// A user as the model will see them, and what was left out.
#[derive(Debug, Default)]
pub(crate) struct Person {
    /// Items of the history, ascending.
    pub(crate) items: Vec<u32>,
    /// The rating of each.
    pub(crate) values: Vec<f32>,
    /// Encoded side information.
    pub(crate) features: EncodedRow,
}

impl Person {
    /// What the model sees.
    pub(crate) fn view(&self) -> UserView<'_> {
        UserView {
            items: &self.items,
            values: &self.values,
            features: self.features.as_row(),
            trained_as: None,
        }
    }
}

impl PersonArgs {
    /// Puts the user together. `data` is where `--user` is looked up, the model's own data set unless given.
    pub(crate) fn person(
        &self,
        loaded: &LoadedModel,
        data: &DataArgs,
        global: &Global,
    ) -> anyhow::Result<Person> {
        let mut person = match &self.user {
            Some(key) => known_user(key, loaded, data, global)?,
            None => {
                let mut rated = Vec::new();
                if let Some(path) = &self.history {
                    rated.extend(read_history(path, loaded)?);
                }
                for text in &self.rate {
                    rated.push(parse_rate(text, loaded)?);
                }
                Person::from_ratings(rated, loaded)?
            }
        };
        if !self.feature.is_empty() {
            let raw = parse_features(&self.feature)?;
            person.features = loaded.user_schema.encode(&raw);
            for unknown in &person.features.unknown {
                global.remark(format!("note: {unknown}; it is ignored"));
            }
        }
        if person.items.is_empty() && person.features.columns.is_empty() {
            global.remark("note: nothing is known of this user; the answer is what suits an average one");
        }
        Ok(person)
    }
}

impl Person {
    fn from_ratings(mut rated: Vec<(u32, f32)>, loaded: &LoadedModel) -> anyhow::Result<Self> {
        rated.sort_by_key(|&(item, _)| item);
        if let Some(pair) = rated.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            bail!("{} is rated twice", loaded.titles[pair[0].0 as usize]);
        }
        if let Some(scale) = loaded.feedback().scale()
            && let Some(&(item, value)) = rated.iter().find(|(_, value)| !scale.contains(*value))
        {
            bail!(
                "the rating {value} of {} is outside the model's scale, {} to {}",
                loaded.titles[item as usize],
                scale.min,
                scale.max
            );
        }
        let (items, values) = rated.into_iter().unzip();
        Ok(Self { items, values, features: EncodedRow::default() })
    }
}

fn known_user(key: &str, loaded: &LoadedModel, data: &DataArgs, global: &Global) -> anyhow::Result<Person> {
    let dataset = data.open_or(&loaded.manifest.data.name, global)?;
    let Some(user) = dataset.users.get(key) else {
        bail!("{} has no user `{key}`", dataset.name);
    };
    let (items, values) = dataset.interactions.by_user().row(user as usize);
    let mut rated = Vec::with_capacity(items.len());
    let mut unknown = 0;
    for (&item, &value) in items.iter().zip(values) {
        match dataset.items.key(item).and_then(|key| loaded.items.get(key)) {
            Some(item) => rated.push((item, value)),
            None => unknown += 1,
        }
    }
    if unknown > 0 {
        global.remark(format!("note: {unknown} of the user's ratings are of items the model does not know"));
    }
    let mut person = Person::from_ratings(rated, loaded)?;
    if **dataset.user_features.schema() == loaded.user_schema {
        let row = dataset.user_features.row(user as usize);
        person.features.columns = row.columns.to_vec();
        person.features.values = row.values.to_vec();
    } else if dataset.user_features.width() > 0 {
        global.remark("note: the data set's side information is not the model's; it is ignored");
    }
    Ok(person)
}

fn parse_rate(text: &str, loaded: &LoadedModel) -> anyhow::Result<(u32, f32)> {
    let (title, rating) = text.rsplit_once('=').ok_or_else(|| {
        usage(format!("`--rate {text}` is not TITLE=RATING, such as --rate \"Toy Story (1995)=5\""))
    })?;
    let value: f32 = rating
        .trim()
        .parse()
        .ok()
        .filter(|value: &f32| value.is_finite())
        .ok_or_else(|| usage(format!("`{}` in `--rate {text}` is not a number", rating.trim())))?;
    Ok((find_item(title, &loaded.items, &loaded.titles)?.0, value))
}

/// Reads `item,rating` lines; a first line whose second field is not a number is a header.
fn read_history(path: &Path, loaded: &LoadedModel) -> anyhow::Result<Vec<(u32, f32)>> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_path(path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut rated = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let place = || format!("{}:{}", path.display(), at + 1);
        let record = record.with_context(place)?;
        let (Some(item), Some(rating)) = (record.get(0), record.get(1)) else {
            bail!("{}: expected `item,rating`, got `{}`", place(), record.as_slice());
        };
        match rating.parse::<f32>() {
            Ok(value) if value.is_finite() => {
                let item = find_item(item, &loaded.items, &loaded.titles).with_context(place)?;
                rated.push((item.0, value));
            }
            _ if at == 0 => {}
            _ => bail!("{}: `{rating}` is not a rating", place()),
        }
    }
    if rated.is_empty() {
        bail!("{} holds no ratings", path.display());
    }
    Ok(rated)
}

/// Splits `name=value` pairs; a name given more than once becomes a list.
fn parse_features(pairs: &[String]) -> anyhow::Result<RawFeatures> {
    let mut raw = RawFeatures::new();
    for pair in pairs {
        let (name, value) = pair.split_once('=').ok_or_else(|| {
            usage(format!("`--feature {pair}` is not NAME=VALUE, such as --feature age=31"))
        })?;
        let (name, text) = (name.trim().to_owned(), value.trim().to_owned());
        let value = match raw.remove(&name) {
            None => text.parse().map_or(FeatureValue::Text(text), FeatureValue::Number),
            Some(FeatureValue::List(mut list)) => {
                list.push(text);
                FeatureValue::List(list)
            }
            Some(FeatureValue::Text(first)) => FeatureValue::List(vec![first, text]),
            Some(FeatureValue::Number(_)) => return Err(usage(format!("`{name}` is given twice"))),
        };
        raw.insert(name, value);
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_read_by_their_look() {
        let raw =
            parse_features(&["age=31".into(), "occupation = writer".into(), "g=a".into(), "g=b".into()])
                .unwrap();
        assert_eq!(raw["age"], FeatureValue::Number(31.0));
        assert_eq!(raw["occupation"], FeatureValue::Text("writer".into()));
        assert_eq!(raw["g"], FeatureValue::List(vec!["a".into(), "b".into()]));
        assert!(parse_features(&["age".into()]).is_err());
        assert!(parse_features(&["age=1".into(), "age=2".into()]).is_err());
    }
}
