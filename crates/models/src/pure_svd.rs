//! `pure-svd`: the histories projected onto the directions in which they vary most.
//!
//! With `X ≈ U·S·V'` the truncated singular value decomposition of the binary matrix of users and items, a user of history `x` is scored
//! by `x·V·V'`: the factors `u = Σ_{j in the history} v_j` meet the items' `v_i` (Cremonesi, Koren, Turrin 2010, "Performance of recommender
//! algorithms on top-n recommendation tasks", equation 12). For a training user that is `U·S·V'`; somebody new has the same right to
//! it, so the users' side is never kept. We depart in nothing.
//!
//! Cost: that of [`foldin_nn::svd`], O(clicks · k) a round; a user costs `(n_u + n) · k`. The seed starts the decomposition, whose
//! outcome it moves by rounding alone unless singular values coincide.

use foldin_core::{
    Capabilities, Factors, FitContext, FitError, Generator, ItemFactors, ItemId, LoadError, ModelConfig,
    ModelFamily, ModelParts, Recommender, ScoreError, Tensor, TrainingData, UserView,
};
use foldin_nn::kernels::{dot, row_sums};
use foldin_nn::svd::truncated_svd;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::checks::{check_len, check_pairs};
use crate::item_weights::ascending;
use crate::linear::score_items;
use crate::ranking::{CLICKS, implicit_interactions};

/// Settings of `pure-svd`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PureSvdConfig {
    /// Number of factors: directions that are kept.
    #[schemars(range(min = 1, max = 1024), extend("search" = "log-integers:8:128"))]
    pub factors: usize,
}

/// Chosen on parts of the training clicks of MovieLens 100K and 1M and Ciao, of which the larger wants more.
impl Default for PureSvdConfig {
    fn default() -> Self {
        Self { factors: 24 }
    }
}

impl ModelConfig for PureSvdConfig {}

/// The family of `pure-svd`.
#[derive(Clone, Copy, Debug)]
pub struct PureSvd;

/// A fitted `pure-svd`.
#[derive(Clone, Debug)]
pub struct PureSvdModel {
    items: ItemFactors,
}

impl PureSvdModel {
    fn new(n_items: usize, k: usize, v: Vec<f32>) -> Self {
        Self { items: ItemFactors { k, m: v, bias: vec![0.0; n_items], mean: 0.0 } }
    }
}

impl ModelFamily for PureSvd {
    const NAME: &'static str = "pure-svd";
    const SUMMARY: &'static str = "histories projected onto their leading singular vectors";
    type Config = PureSvdConfig;
    type Model = PureSvdModel;

    fn capabilities() -> Capabilities {
        Capabilities { generator: true, ..CLICKS }
    }

    fn fit(
        config: &PureSvdConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<PureSvdModel, FitError> {
        let clicks = implicit_interactions(Self::NAME, data)?;
        ctx.progress.stage("truncated SVD");
        let binary = clicks.by_user().map_rows(|items, _| vec![1.0; items.len()]);
        let svd = truncated_svd(&binary, 0.0, config.factors, ctx.seed);
        Ok(PureSvdModel::new(clicks.n_items(), svd.k, svd.v))
    }

    fn load(mut parts: ModelParts) -> Result<PureSvdModel, LoadError> {
        let Tensor { shape, data } = parts.take("item_factors", &[None, None])?;
        Ok(PureSvdModel::new(shape[0], shape[1], data))
    }
}

impl Recommender for PureSvdModel {
    fn name(&self) -> &'static str {
        PureSvd::NAME
    }

    fn n_items(&self) -> usize {
        self.items.bias.len()
    }

    fn capabilities(&self) -> Capabilities {
        PureSvd::capabilities()
    }

    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        let n_items = self.n_items();
        check_len("scores", users.len() * n_items, out.len())?;
        let factors = self.generate(users)?;
        out.par_chunks_mut(n_items.max(1)).enumerate().for_each(|(user, out)| {
            score_items(factors.row(user), 0.0, &self.items, out);
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
        let factors = self.generate(users)?;
        for (out, &(user, item)) in out.iter_mut().zip(pairs) {
            *out = dot(factors.row(user as usize), self.items.row(item.index()));
        }
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        Some(self)
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let tensor = Tensor::new([self.n_items(), self.items.k], self.items.m.clone());
        parts.tensors.insert("item_factors".to_owned(), tensor);
        parts
    }
}

impl Generator for PureSvdModel {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        let k = self.items.k;
        users.iter().try_for_each(|user| user.check(self.n_items()))?;
        let mut u = vec![0.0; users.len() * k];
        u.par_chunks_mut(k.max(1)).zip(users).for_each(|(u, user)| {
            row_sums(&ascending(user), &self.items.m, u);
        });
        Ok(Factors { k, u, bias: vec![0.0; users.len()], covariance: None })
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Csr, Features, Feedback, Interactions};

    /// Two groups of users who share nothing: one factor each, and the rest of the matrix is out of reach.
    #[test]
    fn scores_are_projections() {
        let cells =
            [(0, 0, 5.0), (0, 1, 1.0), (1, 0, 1.0), (1, 1, 1.0), (2, 0, 2.0), (2, 1, 1.0), (3, 2, 1.0)];
        let clicks =
            Interactions::new(Csr::from_triples(4, 3, &cells).unwrap(), None, Feedback::Implicit).unwrap();
        let (users, items) = (Features::none(4), Features::none(3));
        let data = TrainingData { interactions: &clicks, user_features: &users, item_features: &items };
        let scores = |factors: usize, view: UserView<'_>| {
            let model = PureSvd::fit(&PureSvdConfig { factors }, &data, &FitContext::new(1)).unwrap();
            let mut out = [0.0; 3];
            model.score(&[view], &mut out).unwrap();
            out
        };
        let close = |got: [f32; 3], want: [f32; 3]| got.iter().zip(want).all(|(x, y)| (x - y).abs() < 1e-5);
        // The first direction is (1, 1, 0) / √2, the second (0, 0, 1).
        let visitor = UserView::new(&[2, 0], &[1.0, 1.0]);
        assert!(close(scores(1, visitor), [0.5, 0.5, 0.0]));
        assert!(close(scores(2, visitor), [0.5, 0.5, 1.0]));
    }
}
