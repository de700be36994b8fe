//! Items near an item.

use foldin_core::{ItemId, Scored, UserView, top_k};
use foldin_nn::kernels::dot;

use crate::catalogue::Catalogue;
use crate::error::EngineError;
use crate::serving::Serving;

/// Popular items whose takers say what taking an item does to all scores, whichever it is.
const TAKEN: usize = 64;

/// Takers of an item by which what is said of it counts half.
const FEW: f32 = 50.0;

/// Lengths of the items' factors, made once for a model.
#[derive(Debug)]
pub struct Neighbourhood {
    /// 1 over the length of each item's factors; 0 where they are all zero.
    inverse_lengths: Vec<f32>,
}

impl Neighbourhood {
    fn of(serving: &Serving) -> Option<&Self> {
        let (generator, _) = serving.generator()?;
        Some(serving.neighbourhood.get_or_init(|| {
            let items = generator.items();
            let inverse = |item: usize| {
                let length = dot(items.row(item), items.row(item)).sqrt();
                if length > 0.0 { 1.0 / length } else { 0.0 }
            };
            Self { inverse_lengths: (0..serving.n_items()).map(inverse).collect() }
        }))
    }

    /// How alike two items are, −1 to 1: the cosine of their factors, or that of their categories where the model has no factors.
    ///
    /// # Panics
    /// If an item is out of range.
    #[must_use]
    pub fn similarity(serving: &Serving, catalogue: &Catalogue, a: u32, b: u32) -> f32 {
        if let (Some(near), Some((generator, _))) = (Self::of(serving), serving.generator()) {
            let (items, a, b) = (generator.items(), a as usize, b as usize);
            return dot(items.row(a), items.row(b)) * near.inverse_lengths[a] * near.inverse_lengths[b];
        }
        let (a, b) = (&catalogue.details(a).categories, &catalogue.details(b).categories);
        let both = a.iter().filter(|category| b.contains(category)).count() as f32;
        if both > 0.0 { both / ((a.len() * b.len()) as f32).sqrt() } else { 0.0 }
    }
}

/// The `n` items most like an item, most alike first, without those of `excluded` (ascending).
///
/// Where the model generates factors: by the cosine of the items' factors. Elsewhere: by how much higher somebody's scores are to whom this item
/// is all that they took (or rated highest) than they are in the mean to somebody with one popular item instead. To compare with nothing taken would
/// show what any history does to a network's scores, the same for every item. Items that few took count less.
///
/// # Errors
/// [`EngineError::Score`] where the model refuses.
pub fn similar(
    serving: &Serving,
    item: ItemId,
    n: usize,
    excluded: &[u32],
) -> Result<Vec<Scored>, EngineError> {
    let n_items = serving.n_items();
    let mut scores = vec![0.0; n_items];
    if let (Some(near), Some((generator, _))) = (Neighbourhood::of(serving), serving.generator()) {
        let items = generator.items();
        let (own, own_length) = (items.row(item.index()), near.inverse_lengths[item.index()]);
        for (other, score) in scores.iter_mut().enumerate() {
            *score = dot(own, items.row(other)) * own_length * near.inverse_lengths[other];
        }
    } else {
        scores_with(serving, item.0, &mut scores)?;
        if serving.usual.get().is_none() {
            // Whoever is first writes it; all would write the same.
            let _ = serving.usual.set(usual(serving)?);
        }
        let usual = serving.usual.get().map_or(&[][..], Vec::as_slice);
        let counts = &serving.loaded().counts;
        for ((score, usual), &count) in scores.iter_mut().zip(usual).zip(counts) {
            // What a network says of an item that few took is mostly chance.
            *score = (*score - usual) * count as f32 / (count as f32 + FEW);
        }
    }
    scores[item.index()] = f32::NAN;
    Ok(top_k(&scores, n.min(n_items), excluded))
}

/// Scores for somebody with one item.
fn scores_with(serving: &Serving, item: u32, out: &mut [f32]) -> Result<(), EngineError> {
    let value = [serving.feedback().scale().map_or(1.0, |scale| scale.max)];
    Ok(serving.model().score(&[UserView::new(&[item], &value)], out)?)
}

/// The mean of the scores of those who have one popular item each.
fn usual(serving: &Serving) -> Result<Vec<f32>, EngineError> {
    let (mut sums, mut scores) = (vec![0.0; serving.n_items()], vec![0.0; serving.n_items()]);
    let popular = serving.popular();
    let taken = &popular[..TAKEN.min(popular.len())];
    for &item in taken {
        scores_with(serving, item, &mut scores)?;
        sums.iter_mut().zip(&scores).for_each(|(sum, score)| *sum += score);
    }
    let each = 1.0 / taken.len().max(1) as f32;
    sums.iter_mut().for_each(|sum| *sum *= each);
    Ok(sums)
}
