//! The fitted model: generated factors of users against the factors of items.

use foldin_core::{
    Capabilities, Factors, Feedback, Generator, ItemFactors, ItemId, LoadError, ModelFamily, ModelParts,
    Recommender, ScoreError, Tensor, UserView,
};
use foldin_nn::kernels::dot;
use foldin_nn::retrieval::PackedItems;
use rayon::prelude::*;

use crate::checks::{check_len, check_pairs};

use super::frozen::Frozen;
use super::{Lfg, LfgPlus};

/// A fitted `lfg` or `lfg-plus`.
#[derive(Clone, Debug)]
pub struct LfgModel {
    name: &'static str,
    generator: Frozen,
    items: ItemFactors,
    packed: PackedItems,
    feedback: Feedback,
    notes: Vec<String>,
    /// What the generated numbers are multiplied by to be in units of the ratings.
    unit: f32,
}

impl LfgModel {
    /// `items` in units of the ratings.
    pub(super) fn new(
        name: &'static str,
        generator: Frozen,
        items: ItemFactors,
        unit: f32,
        feedback: Feedback,
        notes: Vec<String>,
    ) -> Self {
        let packed = PackedItems::new(&items);
        Self { name, generator, items, packed, feedback, notes, unit }
    }

    pub(super) fn load(name: &'static str, mut parts: ModelParts) -> Result<Self, LoadError> {
        let generator = Frozen::load(&mut parts)?;
        let bias = parts.take("item_bias", &[None])?.data;
        let n_items = bias.len();
        let m = parts.take("item_factors", &[Some(n_items), Some(generator.k())])?.data;
        if generator.n_items() != n_items {
            return Err(LoadError::TensorShape {
                name: "input_items".to_owned(),
                expected: vec![n_items, 2, 0],
                got: vec![generator.n_items(), 2, 0],
            });
        }
        let items = ItemFactors { k: generator.k(), m, bias, mean: parts.get("mean")? };
        let unit = parts.get("unit")?;
        Ok(Self::new(name, generator, items, unit, parts.get("feedback")?, parts.get("notes")?))
    }

    fn check(&self, users: &[UserView<'_>]) -> Result<(), ScoreError> {
        let n_side = self.generator.n_side();
        for user in users {
            user.check(self.n_items())?;
            let features = &user.features;
            if features.columns.len() != features.values.len() {
                return Err(ScoreError::Shape {
                    what: "values of side information",
                    expected: features.columns.len(),
                    got: features.values.len(),
                });
            }
            if n_side > 0
                && let Some(&column) = features.columns.iter().find(|&&column| column as usize >= n_side)
            {
                return Err(ScoreError::Shape {
                    what: "columns of side information",
                    expected: n_side,
                    got: column as usize + 1,
                });
            }
            if features.values.iter().any(|value| !value.is_finite()) {
                return Err(ScoreError::NotFinite { what: "a value of the side information" });
            }
        }
        Ok(())
    }

    /// Factors and bias in units of the ratings: the items' factors carry the unit, the users' bias gets it here.
    fn generate_checked(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.check(users)?;
        let k = self.items.k;
        let mut factors = Factors {
            k,
            u: Vec::with_capacity(users.len() * k),
            bias: Vec::with_capacity(users.len()),
            covariance: None,
        };
        for row in self.generator.generate(users).chunks_exact(k + 1) {
            factors.u.extend_from_slice(&row[..k]);
            factors.bias.push(row[k] * self.unit);
        }
        if factors.u.iter().chain(&factors.bias).any(|x| !x.is_finite()) {
            return Err(ScoreError::NotFinite { what: "a generated factor" });
        }
        Ok(factors)
    }
}

impl Recommender for LfgModel {
    fn name(&self) -> &'static str {
        self.name
    }

    fn n_items(&self) -> usize {
        self.items.bias.len()
    }

    fn capabilities(&self) -> Capabilities {
        if self.name == LfgPlus::NAME { LfgPlus::capabilities() } else { Lfg::capabilities() }
    }

    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        let n_items = self.n_items();
        check_len("scores", users.len() * n_items, out.len())?;
        let factors = self.generate_checked(users)?;
        out.par_chunks_mut(n_items.max(1)).enumerate().for_each(|(user, row)| {
            self.packed.score(factors.row(user), factors.bias[user], row);
        });
        Ok(())
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        check_len("predictions", pairs.len(), out.len())?;
        check_pairs(users.len(), self.n_items(), pairs)?;
        let factors = self.generate_checked(users)?;
        out.par_iter_mut().with_min_len(1024).zip(pairs).for_each(|(out, &(user, item))| {
            let (user, item) = (user as usize, item.index());
            let score = dot(factors.row(user), self.items.row(item));
            *out = self.feedback.clip(score + factors.bias[user] + self.items.bias[item] + self.items.mean);
        });
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        Some(self)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        self.generator.save(&mut parts);
        let (n, k) = (self.n_items(), self.items.k);
        parts.tensors.insert("item_bias".to_owned(), Tensor::new([n], self.items.bias.clone()));
        parts.tensors.insert("item_factors".to_owned(), Tensor::new([n, k], self.items.m.clone()));
        parts.set("feedback", self.feedback);
        parts.set("notes", &self.notes);
        parts
    }
}

impl Generator for LfgModel {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.generate_checked(users)
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}
