//! What is predicted where the network has learned nothing: for items and users without ratings.

use foldin_core::{Interactions, LoadError, ModelParts, Tensor, UserView};

use super::config::Unseen;
use crate::bias::{BiasConfig, biases};

/// Predictions without the network.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fallback {
    level: f32,
    /// `[n_items]`: beside the level; zeros where only the level counts.
    item_bias: Vec<f32>,
    /// Ridge on a user's bias; none if users do not differ.
    damping: Option<f32>,
    /// `[n_items]`: 1 for items with training ratings, else 0.
    seen: Vec<f32>,
}

impl Fallback {
    pub(super) fn new(kind: Unseen, ratings: &Interactions) -> Self {
        let by_item = ratings.by_item();
        let seen = (0..by_item.n_rows()).map(|item| f32::from(u8::from(by_item.row_len(item) > 0))).collect();
        match kind {
            Unseen::Bias => {
                let config = BiasConfig::default();
                let (_, item_bias) = biases(&config, ratings);
                let level = ratings.mean() as f32;
                Self { level, item_bias, damping: Some(config.user_damping), seen }
            }
            Unseen::Middle => {
                let one_to_five =
                    ratings.feedback().scale().filter(|scale| (scale.min, scale.max) == (1.0, 5.0));
                let level = one_to_five.map_or(ratings.mean() as f32, |_| 3.0);
                Self { level, item_bias: vec![0.0; by_item.n_rows()], damping: None, seen }
            }
        }
    }

    /// Number of items.
    pub(super) fn len(&self) -> usize {
        self.item_bias.len()
    }

    /// Whether an item has training ratings.
    pub(super) fn knows(&self, item: usize) -> bool {
        self.seen[item] > 0.0
    }

    /// What to add to [`Fallback::of_item`] for a user.
    pub(super) fn of_user(&self, user: &UserView<'_>) -> f32 {
        let Some(damping) = self.damping else { return 0.0 };
        let rest =
            user.items.iter().zip(user.values).map(|(&item, &value)| value - self.of_item(item as usize));
        let sum: f64 = rest.map(f64::from).sum();
        (sum / (user.items.len() as f64 + f64::from(damping))) as f32
    }

    /// The prediction for an item, of a user of whom nothing is known.
    pub(super) fn of_item(&self, item: usize) -> f32 {
        self.level + self.item_bias[item]
    }

    pub(super) fn to_parts(&self, parts: &mut ModelParts) {
        for (name, data) in [("unseen_bias", &self.item_bias), ("unseen_items", &self.seen)] {
            parts.tensors.insert(name.to_owned(), Tensor::new([data.len()], data.clone()));
        }
        parts.set("unseen_level", self.level);
        parts.set("unseen_damping", self.damping);
    }

    pub(super) fn load(parts: &mut ModelParts) -> Result<Self, LoadError> {
        let item_bias = parts.take("unseen_bias", &[None])?.data;
        let seen = parts.take("unseen_items", &[Some(item_bias.len())])?.data;
        Ok(Self { level: parts.get("unseen_level")?, item_bias, damping: parts.get("unseen_damping")?, seen })
    }
}
