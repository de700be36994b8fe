//! Built-in generated data, for when MovieLens can be neither found nor downloaded.
//!
//! 600 people rate 400 invented films from 1 to 5. Each person likes some of six genres; taste, a film's quality and a
//! person's mildness make the rating. It is a stand-in to see the program work; no figure about it means anything beyond
//! this program.

use std::sync::Arc;

use anyhow::Context;
use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Csr, Dataset, Dictionary, FeatureSchema, FeatureValue, Features, Feedback, Field, FieldKind,
    Interactions, RatingScale, RawFeatures,
};

const USERS: usize = 600;
const ITEMS: usize = 400;
const GENRES: [&str; 6] = ["Comedy", "Drama", "Thriller", "Romance", "Science fiction", "Documentary"];
const FIRST: [&str; 10] =
    ["Silent", "Golden", "Broken", "Distant", "Crimson", "Hidden", "Paper", "Winter", "Electric", "Last"];
const SECOND: [&str; 10] =
    ["Harbour", "Garden", "Signal", "Letters", "Mountain", "Engine", "Mirror", "Orchard", "Station", "Tide"];

/// Makes the data set; the same seed gives the same data.
pub(crate) fn generated(seed: u64) -> anyhow::Result<Dataset> {
    let mut random = Random::new(child_seed(seed, "built-in data"));
    let mut titles = Vec::with_capacity(ITEMS);
    let mut item_raw: Vec<RawFeatures> = Vec::with_capacity(ITEMS);
    let mut genres = Vec::with_capacity(ITEMS);
    for item in 0..ITEMS {
        let year = 1950 + random.below(70);
        titles.push(format!(
            "{} {} {} ({year})",
            FIRST[item % 10],
            SECOND[item / 10 % 10],
            ["I", "II", "III", "IV"][item / 100]
        ));
        let own = [random.below(GENRES.len()), random.below(GENRES.len())];
        let list = own.iter().map(|&genre| GENRES[genre].to_owned()).collect();
        item_raw.push(
            [
                ("genres".to_owned(), FeatureValue::List(list)),
                ("year".to_owned(), FeatureValue::Number(year as f64)),
            ]
            .into(),
        );
        genres.push(own);
    }
    let quality: Vec<f64> = (0..ITEMS).map(|_| 0.5 * random.normal()).collect();
    let mut user_raw: Vec<RawFeatures> = Vec::with_capacity(USERS);
    let mut triples = Vec::new();
    for user in 0..USERS {
        let age = 16 + random.below(60);
        user_raw.push([("age".to_owned(), FeatureValue::Number(age as f64))].into());
        let taste: Vec<f64> = GENRES.iter().map(|_| 0.7 * random.normal()).collect();
        let mildness = 0.4 * random.normal();
        let mut order: Vec<usize> = (0..ITEMS).collect();
        random.shuffle(&mut order);
        for &item in &order[..15 + random.below(100)] {
            let liking: f64 = genres[item].iter().map(|&genre| taste[genre]).sum();
            let rating = 3.4 + mildness + quality[item] + liking + 0.6 * random.normal();
            triples.push((user as u32, item as u32, rating.round().clamp(1.0, 5.0) as f32));
        }
    }
    let scale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
    let interactions =
        Interactions::new(Csr::from_triples(USERS, ITEMS, &triples)?, None, Feedback::Explicit(scale))?;
    let keys = |prefix: &str, n: usize| {
        Dictionary::from_keys((1..=n).map(|number| format!("{prefix}{number}"))).ok()
    };
    let mut dataset = Dataset::new(
        "generated",
        interactions,
        keys("person-", USERS).context("keys are distinct")?,
        keys("film-", ITEMS).context("keys are distinct")?,
    )?;
    dataset.titles = titles;
    dataset.user_features = encode(
        vec![Field {
            name: "age".into(),
            kind: FieldKind::Numeric { center: 35.0, scale: 50.0, edges: vec![25.0, 45.0] },
        }],
        &user_raw,
    )?;
    let words = GENRES.iter().map(|genre| (*genre).to_owned()).collect();
    dataset.item_features = encode(
        vec![
            Field { name: "genres".into(), kind: FieldKind::MultiCategory { values: words } },
            Field {
                name: "year".into(),
                kind: FieldKind::Numeric { center: 1985.0, scale: 15.0, edges: vec![] },
            },
        ],
        &item_raw,
    )?;
    dataset.check()?;
    Ok(dataset)
}

fn encode(fields: Vec<Field>, raw: &[RawFeatures]) -> anyhow::Result<Features> {
    let schema = FeatureSchema::new(fields);
    let mut triples = Vec::new();
    for (row, raw) in raw.iter().enumerate() {
        let encoded = schema.encode(raw);
        triples.extend(
            encoded.columns.iter().zip(&encoded.values).map(|(&column, &value)| (row as u32, column, value)),
        );
    }
    let rows = Csr::from_triples(raw.len(), schema.width(), &triples)?;
    Ok(Features::new(Arc::new(schema), rows)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_are_whole_and_repeatable() {
        let data = generated(1).unwrap();
        assert_eq!(data.interactions.fingerprint(), generated(1).unwrap().interactions.fingerprint());
        assert!(data.interactions.len() > 20_000, "{}", data.interactions.len());
        let mut titles = data.titles.clone();
        titles.sort_unstable();
        titles.dedup();
        assert_eq!(titles.len(), ITEMS);
    }
}
