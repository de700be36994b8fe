//! The user that `recommend` and `predict` are about: somebody of a data set, or anybody with a few ratings.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use foldin_core::features::EncodedRow;
use foldin_core::{FeatureValue, Field, FieldKind, RawFeatures, UserView};
use foldin_data::HistoryRating;
use foldin_engine::History;
use foldin_engine::titles::{find_item, same_title};
use foldin_models::folder::LoadedModel;
use serde::Serialize;

use crate::common::{Global, in_one_line, usage};
use crate::data_args::DataArgs;

/// Who is asking.
#[derive(Debug, clap::Args)]
pub(crate) struct PersonArgs {
    /// A user of a data set, by key; their history and side information are read from it
    #[arg(long, value_name = "KEY", conflicts_with_all = ["history", "rate"])]
    user: Option<String>,
    /// File with one person's ratings, such as CSV with the columns title (or item) and rating; --columns, --separator, --header and --skip-bad-lines hold for it too
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// One rating; the item by key or by title, which need not be exact. May be given often. To a model of clicks, TITLE alone says that
    /// it was taken
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
    /// What the user should know of how this came about.
    pub(crate) notes: Vec<String>,
}

/// A rating of the history as it was understood.
#[derive(Debug, Serialize)]
pub(crate) struct Understood {
    item: String,
    title: String,
    rating: f32,
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

    /// The same as the engine takes it: all that was rated was seen.
    pub(crate) fn history(&self) -> History {
        History {
            items: self.items.clone(),
            values: self.values.clone(),
            seen: self.items.clone(),
            features: self.features.clone(),
            ..History::default()
        }
    }

    /// The history in words.
    pub(crate) fn understood(&self, loaded: &LoadedModel) -> Vec<Understood> {
        let ratings = self.items.iter().zip(&self.values);
        ratings
            .map(|(&item, &rating)| Understood {
                item: loaded.items.key(item).unwrap_or_default().to_owned(),
                title: loaded.titles[item as usize].clone(),
                rating,
            })
            .collect()
    }
}

/// One rating before it is part of a history.
struct Rated {
    item: u32,
    value: f32,
    /// Where it was given: a flag, or file and line.
    place: String,
    /// The text that was taken for the item's title, if it is neither its title nor its key.
    said: Option<String>,
}

impl PersonArgs {
    /// Puts the user together. `data` is where `--user` is looked up, the model's own data set unless given. What was
    /// understood of titles, and everything to be noted, goes to standard error.
    pub(crate) fn person(
        &self,
        loaded: &LoadedModel,
        data: &DataArgs,
        global: &Global,
    ) -> anyhow::Result<Person> {
        let mut person = match &self.user {
            Some(key) => known_user(key, loaded, data, global)?,
            None => {
                let (mut rated, mut notes) = (Vec::new(), Vec::new());
                if let Some(path) = &self.history {
                    rated = read_history(path, loaded, data, global, &mut notes)?;
                }
                for text in &self.rate {
                    rated.push(parse_rate(text, loaded)?);
                }
                for rated in &rated {
                    // Of a file only what was guessed is worth a line.
                    match &rated.said {
                        Some(said) => {
                            global.remark(format!("rated: {}, from `{said}`", in_words(rated, loaded)));
                        }
                        None if self.history.is_none() => {
                            global.remark(format!("rated: {}", in_words(rated, loaded)));
                        }
                        None => {}
                    }
                }
                Person { notes, ..Person::from_ratings(rated, loaded)? }
            }
        };
        if !self.feature.is_empty() {
            self.add_features(&mut person, loaded)?;
        }
        if person.items.is_empty() && person.features.columns.is_empty() {
            person.notes.push("nothing is known of this user; the answer is what most people took".into());
        }
        for note in &person.notes {
            global.remark(format!("note: {note}"));
        }
        Ok(person)
    }

    fn add_features(&self, person: &mut Person, loaded: &LoadedModel) -> anyhow::Result<()> {
        let mut raw = parse_features(&self.feature)?;
        if !loaded.model.capabilities().user_features {
            let name = loaded.model.name();
            person.notes.push(format!("{name} uses no side information of users; --feature is ignored"));
            return Ok(());
        }
        for Field { name, kind } in loaded.user_schema.fields() {
            let text = match raw.get(name) {
                Some(FeatureValue::Text(text)) => text.clone(),
                Some(FeatureValue::List(list)) => list.join(", "),
                Some(FeatureValue::Number(number)) if !number.is_finite() => number.to_string(),
                Some(FeatureValue::Number(_)) | None => continue,
            };
            if matches!(kind, FieldKind::Numeric { .. }) {
                person.notes.push(format!("`{name}` is a number, which `{text}` is not; it is ignored"));
                raw.remove(name);
            }
        }
        person.features = loaded.user_schema.encode(&raw);
        let fields: Vec<&str> = loaded.user_schema.fields().iter().map(|field| field.name.as_str()).collect();
        for unknown in &person.features.unknown {
            person.notes.push(format!("{unknown}; it is ignored (the model knows {})", fields.join(", ")));
        }
        Ok(())
    }
}

fn in_words(rated: &Rated, loaded: &LoadedModel) -> String {
    format!("{} = {}", loaded.titles[rated.item as usize], rated.value)
}

impl Person {
    fn from_ratings(mut rated: Vec<Rated>, loaded: &LoadedModel) -> anyhow::Result<Self> {
        rated.sort_by_key(|rated| rated.item);
        if let Some(pair) = rated.windows(2).find(|pair| pair[0].item == pair[1].item) {
            bail!(
                "{} is rated twice, in {} and in {}: keep one",
                loaded.titles[pair[0].item as usize],
                pair[0].place,
                pair[1].place
            );
        }
        for rated in &rated {
            check_scale(rated, loaded)?;
        }
        let (items, values) = rated.into_iter().map(|rated| (rated.item, rated.value)).unzip();
        Ok(Self { items, values, ..Self::default() })
    }
}

fn check_scale(rated: &Rated, loaded: &LoadedModel) -> anyhow::Result<()> {
    match loaded.feedback().scale() {
        Some(scale) if !scale.contains(rated.value) => bail!(
            "{}: the rating {} of {} is outside the model's scale, {} to {}, which its training data had; if the scale is wider, train the model with --scale MIN,MAX",
            rated.place,
            rated.value,
            loaded.titles[rated.item as usize],
            scale.min,
            scale.max
        ),
        _ => Ok(()),
    }
}

fn known_user(key: &str, loaded: &LoadedModel, data: &DataArgs, global: &Global) -> anyhow::Result<Person> {
    let dataset = data.open_or(&loaded.manifest.data.name, global)?;
    let Some(user) = dataset.users.get(key) else {
        bail!("{} has no user `{key}`", dataset.name);
    };
    let (items, values) = dataset.interactions.by_user().row(user as usize);
    // A model of clicks was trained on ratings from this one up, if on any.
    let liked_from = loaded.manifest.metrics.get("liked_from").and_then(serde_json::Value::as_f64);
    let counts = |value: f32| liked_from.is_none_or(|least| f64::from(value) >= least);
    let mut rated = Vec::with_capacity(items.len());
    let (mut unknown, mut renamed) = (0, 0);
    for (&item, &value) in items.iter().zip(values).filter(|&(_, &value)| counts(value)) {
        match dataset.items.key(item).and_then(|key| loaded.items.get(key)) {
            Some(known) => {
                renamed += usize::from(dataset.titles[item as usize] != loaded.titles[known as usize]);
                rated.push(Rated {
                    item: known,
                    value,
                    place: format!("{}, user {key}", dataset.name),
                    said: None,
                });
            }
            None => unknown += 1,
        }
    }
    let mut person = Person::from_ratings(rated, loaded)?;
    let mut learned = dataset.interactions.clone();
    if loaded.feedback().scale().is_none() {
        let keep: Vec<bool> = learned.by_user().values().iter().map(|&value| counts(value)).collect();
        learned = learned.filter(&keep).as_implicit();
    }
    if learned.fingerprint() != loaded.manifest.data.fingerprint {
        let trained_on = &loaded.manifest.data.name;
        let titles = match renamed {
            0 => String::new(),
            n => format!(
                "; {n} of the user's items have another title there, so these keys may mean other items"
            ),
        };
        person.notes.push(format!(
            "{} is not what the model was trained on ({trained_on}, or another state of it); items are matched by key{titles}",
            dataset.name
        ));
    }
    if unknown > 0 {
        let note = format!("{unknown} of the user's ratings are of items that the model does not know");
        person.notes.push(note);
    }
    if **dataset.user_features.schema() == loaded.user_schema {
        let row = dataset.user_features.row(user as usize);
        person.features.columns = row.columns.to_vec();
        person.features.values = row.values.to_vec();
    } else if dataset.user_features.width() > 0 {
        person.notes.push("the data set's side information is not the model's; it is ignored".to_owned());
    }
    Ok(person)
}

fn parse_rate(text: &str, loaded: &LoadedModel) -> anyhow::Result<Rated> {
    let clicks = loaded.feedback().scale().is_none();
    // What happened needs no number; where there is one, it is not read.
    let (title, rating) = match text.rsplit_once('=') {
        Some((title, rating)) => (title, rating),
        None if clicks => (text, "1"),
        None => {
            return Err(usage(format!(
                "`--rate {text}` is not TITLE=RATING, such as --rate \"Toy Story (1995)=5\""
            )));
        }
    };
    let value: f32 = rating
        .trim()
        .parse()
        .ok()
        .filter(|value: &f32| value.is_finite())
        .ok_or_else(|| usage(format!("`{}` in `--rate {text}` is not a number", rating.trim())))?;
    let item = find_item(title, &loaded.items, &loaded.titles)?.0;
    Ok(Rated { item, value, place: format!("`--rate {text}`"), said: forgiven(title, item, loaded) })
}

/// What was said, if the item was only guessed from it.
fn forgiven(said: &str, item: u32, loaded: &LoadedModel) -> Option<String> {
    let exact = loaded.items.key(item) == Some(said) || loaded.titles[item as usize] == said;
    (!exact).then(|| said.to_owned())
}

/// Reads a history from a file and finds its items in the catalogue.
fn read_history(
    path: &Path,
    loaded: &LoadedModel,
    data: &DataArgs,
    global: &Global,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Rated>> {
    let options = data.options(global)?;
    let history = foldin_data::read_history(path, &options)?;
    notes.extend(history.skipped.into_iter().map(|line| format!("{line}; it is left out")));
    let mut out = Vec::with_capacity(history.ratings.len());
    for rating in &history.ratings {
        let place = format!("{}, line {}", history.file, rating.line);
        let rated = item_of(rating, loaded).with_context(|| place.clone()).and_then(|(item, said)| {
            let rated = Rated { item, value: rating.rating, place, said };
            check_scale(&rated, loaded).map(|()| rated)
        });
        match rated {
            Ok(rated) => out.push(rated),
            Err(error) => {
                let error = in_one_line(&error);
                // Behind a list of titles a sentence stands better on a line of its own.
                let between = if error.contains('\n') { "\n" } else { "; " };
                if options.skip_bad_lines {
                    notes.push(format!("{error}{between}it is left out"));
                    continue;
                }
                bail!("{error}{between}correct the line, or leave such lines out with --skip-bad-lines");
            }
        }
    }
    if out.is_empty() {
        bail!("{}: none of its {} ratings can be used", history.file, history.ratings.len());
    }
    Ok(out)
}

/// The item of a line: by its key, unless a title beside it says that the keys are those of another catalogue.
fn item_of(rating: &HistoryRating, loaded: &LoadedModel) -> anyhow::Result<(u32, Option<String>)> {
    let by_key = rating.item.as_deref().and_then(|key| loaded.items.get(key));
    let text = match (by_key, &rating.title) {
        (Some(item), None) => return Ok((item, None)),
        (Some(item), Some(title)) if same_title(title, &loaded.titles[item as usize]) => {
            return Ok((item, None));
        }
        // A model without titles knows keys alone.
        (Some(item), Some(_)) if loaded.items.key(item) == Some(&loaded.titles[item as usize]) => {
            return Ok((item, None));
        }
        (_, Some(title)) => title,
        (None, None) => rating.item.as_deref().unwrap_or_default(),
    };
    let item = find_item(text, &loaded.items, &loaded.titles)?.0;
    Ok((item, forgiven(text, item, loaded)))
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
