//! The items whose rating would tell most about somebody.
//!
//! With the posterior covariance `X` of a person's factors and bias, `f_i = [m_i; 1]` and noise `σ²`, a rating of item `i` would lower
//! the variance of the prediction of item `j` by `(f_j' X f_i)² / (f_i' X f_i + σ²)`. Summed over all items `j`, weighted by how many
//! people took each, that is `f_i' X S X f_i / (f_i' X f_i + σ²)` with `S = Σ w_j f_j f_j'`, made once for a model. It counts as far as
//! the person can be expected to know the item: times `√(people who took i / people who took the item that most took)`.
//!
//! A model without a covariance asks for popular items. Cost: `K³` for a person, and `K²` for each candidate.

use foldin_core::{Generator, ItemId};
use foldin_nn::kernels::dot;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::error::EngineError;
use crate::history::History;
use crate::prepared::Prepared;
use crate::serving::Serving;

/// Items considered, by popularity: what nobody knows is not worth asking for.
const CANDIDATES: usize = 1000;

/// `S`, made once for a model.
#[derive(Debug)]
pub struct Worth {
    /// `[K × K]`.
    spread: Vec<f32>,
}

/// A question.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Key of the item.
    pub item: String,
    /// Its title.
    pub title: String,
    /// By how much an answer would lower the variance of the predictions, as a share of that variance, 0 to 1; from models with a
    /// covariance.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tells: Option<f32>,
    /// Share of what the most known item is known, 0 to 1.
    pub known: f32,
}

impl Worth {
    fn of<'a>(serving: &'a Serving, generator: &dyn Generator) -> &'a Self {
        serving.worth.get_or_init(|| {
            let (items, counts) = (generator.items(), &serving.loaded().counts);
            let order = items.k + 1;
            let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
            let mut spread = vec![0.0f64; order * order];
            for (item, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                let f = with_one(items.row(item));
                let weight = f64::from(count) / total;
                for (i, row) in spread.chunks_exact_mut(order).enumerate() {
                    for (sum, &f_j) in row.iter_mut().zip(&f) {
                        *sum += weight * f64::from(f[i]) * f64::from(f_j);
                    }
                }
            }
            Self { spread: spread.into_iter().map(|sum| sum as f32).collect() }
        })
    }
}

fn with_one(row: &[f32]) -> Vec<f32> {
    row.iter().copied().chain([1.0]).collect()
}

/// `matrix · x` for a symmetric matrix.
fn times(matrix: &[f32], x: &[f32]) -> Vec<f32> {
    matrix.chunks_exact(x.len()).map(|row| dot(row, x)).collect()
}

/// The `n` items most worth asking somebody for, without seen and hidden ones.
///
/// # Errors
/// [`EngineError::Score`] where the model refuses.
pub fn ask_next(
    serving: &Serving,
    catalogue: &Catalogue,
    history: &History,
    n: usize,
) -> Result<Vec<Question>, EngineError> {
    ask_next_prepared(serving, catalogue, &history.clone().into(), n)
}

pub(crate) fn ask_next_prepared(
    serving: &Serving,
    catalogue: &Catalogue,
    prepared: &Prepared,
    n: usize,
) -> Result<Vec<Question>, EngineError> {
    let history = prepared.history();
    let mut unwanted = history.seen.clone();
    unwanted.extend_from_slice(&history.items);
    unwanted.sort_unstable();
    unwanted.dedup();
    let excluded = catalogue.excluded(&unwanted, &crate::catalogue::Filter::default(), None);
    let candidates: Vec<u32> = serving
        .popular()
        .iter()
        .copied()
        .filter(|item| excluded.binary_search(item).is_err())
        .take(CANDIDATES)
        .collect();
    let counts = &serving.loaded().counts;
    let most = serving.popular().first().map_or(1, |&item| counts[item as usize]).max(1);
    let known = |item: u32| counts[item as usize] as f32 / most as f32;
    let question = |item: u32, tells| Question {
        item: serving.key(item).to_owned(),
        title: catalogue.details(item).title.clone(),
        tells,
        known: known(item),
    };
    let by_popularity = || candidates.iter().take(n).map(|&item| question(item, None)).collect();
    let Some((generator, _)) = serving.generator() else { return Ok(by_popularity()) };
    let Some(factors) = prepared.factors(serving)? else { return Ok(by_popularity()) };
    let Some(covariance) = &factors.covariance else { return Ok(by_popularity()) };

    let items = generator.items();
    let spread = &Worth::of(serving, generator).spread;
    let order = items.k + 1;
    // Variance of the predictions as it is: the trace of `X S`.
    let before: f32 = dot(covariance, spread).max(f32::MIN_POSITIVE);
    let asked: Vec<ItemId> = candidates.iter().map(|&item| ItemId(item)).collect();
    let (mut mean, mut variance) = (vec![0.0; asked.len()], vec![0.0; asked.len()]);
    generator.values_with_variance(factors, 0, &asked, &mut mean, &mut variance)?;
    let mut worth: Vec<(u32, f32)> = candidates
        .iter()
        .zip(&variance)
        .map(|(&item, &variance)| {
            let f = with_one(items.row(item as usize));
            debug_assert_eq!(f.len(), order);
            let along = times(covariance, &f);
            let tells = dot(&times(spread, &along), &along) / variance.max(f32::MIN_POSITIVE);
            (item, (tells / before).clamp(0.0, 1.0))
        })
        .collect();
    let value = |&(item, tells): &(u32, f32)| tells * known(item).sqrt();
    worth.sort_by(|a, b| value(b).total_cmp(&value(a)).then(a.0.cmp(&b.0)));
    Ok(worth.into_iter().take(n).map(|(item, tells)| question(item, Some(tells))).collect())
}
