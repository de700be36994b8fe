//! What is predicted where the network has learned nothing: for items and users without ratings.

use foldin_core::{Interactions, LoadError, ModelParts, Tensor, UserView};

use super::config::Unseen;
use crate::bias::{Baseline, BiasConfig};

/// Predictions without the network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fallback {
    baseline: Baseline,
    /// `[n_items]`: 1 for items with training ratings, else 0.
    seen: Vec<f32>,
}

impl Fallback {
    pub(super) fn new(kind: Unseen, ratings: &Interactions) -> Self {
        let by_item = ratings.by_item();
        let seen = (0..by_item.n_rows()).map(|item| f32::from(u8::from(by_item.row_len(item) > 0))).collect();
        let baseline = match kind {
            Unseen::Bias => Baseline::fit(&BiasConfig::default(), ratings).0,
            Unseen::Middle => {
                let one_to_five =
                    ratings.feedback().scale().filter(|scale| (scale.min, scale.max) == (1.0, 5.0));
                let level = one_to_five.map_or(ratings.mean() as f32, |_| 3.0);
                Baseline::level(level, by_item.n_rows())
            }
        };
        Self { baseline, seen }
    }

    /// Number of items.
    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether an item has training ratings.
    pub(super) fn knows(&self, item: usize) -> bool {
        self.seen[item] > 0.0
    }

    /// What to add to [`Fallback::of_item`] for a user.
    pub(super) fn of_user(&self, user: &UserView<'_>) -> f32 {
        self.baseline.of_user(user.items, user.values)
    }

    /// What to add to [`Fallback::of_user`] for an item.
    pub(super) fn of_item(&self, item: usize) -> f32 {
        self.baseline.items[item]
    }

    pub(super) fn to_parts(&self, parts: &mut ModelParts) {
        self.baseline.to_parts(parts);
        parts.tensors.insert("item_seen".to_owned(), Tensor::new([self.seen.len()], self.seen.clone()));
    }

    pub(super) fn load(parts: &mut ModelParts) -> Result<Self, LoadError> {
        let baseline = Baseline::from_parts(parts)?;
        let seen = parts.take("item_seen", &[Some(baseline.items.len())])?.data;
        Ok(Self { baseline, seen })
    }
}
