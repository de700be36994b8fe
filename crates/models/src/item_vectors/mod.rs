//! `item-vectors`: vectors of items that were made elsewhere, such as of their pictures, served like any other model.
//!
//! # Scores
//! A [`Member`] has a vector `φ_i` for every item, and a [`Way`] to score items for somebody who bought the items B:
//!
//! ```text
//! fold-in   θ·φ_i, with θ of B by [`fold_in`]
//! mean      mean_{j in B} φ_j·φ_i
//! largest   max_{j in B} φ_j·φ_i
//! ```
//!
//! Of several members, scores over all items are brought to mean 0 and deviation 1, so that none counts more only because its numbers are
//! larger, and added with their weights: `x_i = Σ_m w_m (x^m_i − mean x^m) / sd x^m`. Somebody who bought nothing has the same score for
//! every item.
//!
//! # Fitting
//! Nothing is fitted here: vectors come from what looks at items themselves (`vbpr`, `dvbpr` and `visual-sum` of `foldin vision train`). So the
//! model is no entry of the [registry](mod@crate::registry) that can be trained, but its folders load as others do.
//!
//! # Cost
//! O(items · numbers) for a user and member, of `largest` times |B|; memory twice the vectors.

mod fold_in;

use foldin_core::{
    Capabilities, ConfigError, Feedback, FitContext, FitError, LoadError, ModelConfig, ModelFamily,
    ModelParts, ScoreError, Tensor, TrainingData, UserView,
};
use foldin_nn::matmul::{Matrix, Packed, matmul_packed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::item_weights::ascending;
use crate::per_user::{PerUser, recommender};
use crate::ranking::{CLICKS, standardise};

pub use fold_in::{check_lambda, fold_in};

/// Purchases compared with all items at once; more than this and the products leave the cache.
const AT_ONCE: usize = 8;

/// What makes the vectors.
pub(crate) const MAKER: &str = "`foldin vision train`, from pictures of items,";

/// How a member scores items for somebody who bought some.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `θ·φ_i` with θ folded in from the purchases ([`fold_in`]).
    FoldIn {
        /// λ of the fold-in.
        lambda: f64,
    },
    /// The mean of `φ_j·φ_i` over the purchases j.
    Mean,
    /// The largest of them.
    Largest,
}

/// Vectors of all items, and how they score.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it is called, such as `dvbpr`.
    pub name: String,
    /// How it scores.
    pub way: Way,
    /// How much it counts beside others.
    pub weight: f32,
    k: usize,
    /// `[n_items × k]`.
    items: Vec<f32>,
    /// The same, laid out as the right side of a product.
    packed: Packed,
}

impl Member {
    /// Of vectors `[n_items × k]`, with a weight of 1.
    ///
    /// # Errors
    /// [`ConfigError`] for a λ that cannot be used, and for numbers that are no vectors of `k` or not finite.
    pub fn new(name: &str, way: Way, k: usize, items: Vec<f32>) -> Result<Self, ConfigError> {
        if let Way::FoldIn { lambda } = way {
            check_lambda(lambda)?;
        }
        let refuse = |reason: String| Err(ConfigError::Conflict { model: name.to_owned(), reason });
        if k == 0 || items.is_empty() || !items.len().is_multiple_of(k) {
            return refuse(format!("{} numbers are no vectors of {k}", items.len()));
        }
        if !items.iter().all(|x| x.is_finite()) {
            return refuse("a number of a vector is not finite".to_owned());
        }
        let packed = Packed::new(Matrix::new(&items, items.len() / k, k).transposed());
        Ok(Self { name: name.to_owned(), way, weight: 1.0, k, items, packed })
    }

    /// Length of a vector.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of items.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.items.len() / self.k
    }

    /// All vectors, `[n_items × k]`.
    #[must_use]
    pub fn items(&self) -> &[f32] {
        &self.items
    }

    fn item(&self, item: u32) -> &[f32] {
        &self.items[item as usize * self.k..][..self.k]
    }

    /// The score of every item for somebody who bought these.
    ///
    /// # Panics
    /// If an item does not exist, or `out` has not a place for each.
    pub fn scores_of(&self, bought: &[u32], out: &mut [f32]) {
        let theta = match self.way {
            Way::FoldIn { lambda } => fold_in(&self.items, self.k, bought, lambda),
            Way::Mean => self.mean_of(bought),
            Way::Largest => return self.largest_of(bought, out),
        };
        self.packed.row_times(&theta, out);
    }

    fn mean_of(&self, bought: &[u32]) -> Vec<f32> {
        let share = 1.0 / bought.len() as f32;
        let mut mean = vec![0.0; self.k];
        for &item in bought {
            mean.iter_mut().zip(self.item(item)).for_each(|(sum, x)| *sum += share * x);
        }
        mean
    }

    fn largest_of(&self, bought: &[u32], out: &mut [f32]) {
        out.fill(if bought.is_empty() { 0.0 } else { f32::NEG_INFINITY });
        let mut products = Vec::new();
        for items in bought.chunks(AT_ONCE) {
            let rows: Vec<f32> = items.iter().flat_map(|&item| self.item(item)).copied().collect();
            products.resize(items.len() * out.len(), 0.0);
            matmul_packed(Matrix::new(&rows, items.len(), self.k), &self.packed, false, &mut products);
            for own in products.chunks_exact(out.len()) {
                out.iter_mut().zip(own).for_each(|(most, x)| *most = most.max(*x));
            }
        }
    }
}

/// There are no settings: nothing is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemVectorsConfig {}

impl ModelConfig for ItemVectorsConfig {}

/// The family of `item-vectors`.
#[derive(Clone, Copy, Debug)]
pub struct ItemVectors;

/// What is kept of a member beside its vectors.
#[derive(Serialize, Deserialize)]
struct Description {
    name: String,
    way: Way,
    weight: f32,
}

/// One member, or several whose scores are added.
#[derive(Clone, Debug)]
pub struct ItemVectorsModel {
    label: String,
    members: Vec<Member>,
}

impl ItemVectorsModel {
    /// Of members, under the name of what made them, such as `visual-sum`.
    ///
    /// # Errors
    /// [`ConfigError::Conflict`] without members, or if they are not of as many items.
    pub fn new(label: &str, members: Vec<Member>) -> Result<Self, ConfigError> {
        let refuse = |reason: String| Err(ConfigError::Conflict { model: label.to_owned(), reason });
        let Some(first) = members.first() else { return refuse("there is no member".to_owned()) };
        let n = first.n_items();
        if let Some(other) = members.iter().find(|member| member.n_items() != n) {
            return refuse(format!(
                "{} has vectors of {n} items, {} of {}",
                first.name,
                other.name,
                other.n_items()
            ));
        }
        if let Some(bad) = members.iter().find(|member| !member.weight.is_finite()) {
            return refuse(format!("the weight of {} is not finite", bad.name));
        }
        Ok(Self { label: label.to_owned(), members })
    }

    /// Rebuilds a model from its parts.
    ///
    /// # Errors
    /// [`LoadError`] for missing, misshapen or unusable parts.
    pub fn from_parts(mut parts: ModelParts) -> Result<Self, LoadError> {
        let label: String = parts.get("label")?;
        let descriptions: Vec<Description> = parts.get("members")?;
        let members = descriptions.into_iter().enumerate().map(|(at, Description { name, way, weight })| {
            let Tensor { shape, data } = parts.take(&tensor_name(at), &[None, None])?;
            Ok(Member { weight, ..Member::new(&name, way, shape[1], data)? })
        });
        let members = members.collect::<Result<Vec<_>, LoadError>>()?;
        Ok(Self::new(&label, members)?)
    }

    /// What made the vectors, such as `visual-sum`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The score of every item for somebody who bought these.
    ///
    /// # Panics
    /// If an item does not exist, or `out` has not a place for each.
    pub fn scores_of(&self, bought: &[u32], out: &mut [f32]) {
        if let [only] = &self.members[..] {
            return only.scores_of(bought, out);
        }
        let mut own = vec![0.0; out.len()];
        out.fill(0.0);
        for member in &self.members {
            member.scores_of(bought, &mut own);
            standardise(&mut own);
            out.iter_mut().zip(&own).for_each(|(sum, x)| *sum += member.weight * x);
        }
    }
}

fn tensor_name(member: usize) -> String {
    format!("items.{member}")
}

impl ModelFamily for ItemVectors {
    const NAME: &'static str = "item-vectors";
    const SUMMARY: &'static str = "vectors of items made elsewhere, such as of their pictures";
    type Config = ItemVectorsConfig;
    type Model = ItemVectorsModel;

    fn capabilities() -> Capabilities {
        CLICKS
    }

    fn fit(
        _: &ItemVectorsConfig,
        _: &TrainingData<'_>,
        _: &FitContext<'_>,
    ) -> Result<ItemVectorsModel, FitError> {
        Err(FitError::MadeElsewhere { model: Self::NAME, by: MAKER })
    }

    fn load(parts: ModelParts) -> Result<ItemVectorsModel, LoadError> {
        ItemVectorsModel::from_parts(parts)
    }
}

recommender!(ItemVectorsModel);

impl PerUser for ItemVectorsModel {
    type Family = ItemVectors;
    /// All scores: those of one item depend on those of all.
    type State = Vec<f32>;

    fn catalogue(&self) -> usize {
        self.members[0].n_items()
    }

    fn feedback(&self) -> &Feedback {
        &Feedback::Implicit
    }

    fn state(&self, user: &UserView<'_>) -> Result<Vec<f32>, ScoreError> {
        let mut scores = vec![0.0; self.catalogue()];
        self.scores_of(&ascending(user), &mut scores);
        Ok(scores)
    }

    fn value(&self, scores: &Vec<f32>, item: usize) -> f32 {
        scores[item]
    }

    fn values(&self, scores: &Vec<f32>, out: &mut [f32]) {
        out.copy_from_slice(scores);
    }

    fn notes(&self) -> Vec<String> {
        let names: Vec<&str> = self.members.iter().map(|member| member.name.as_str()).collect();
        vec![format!("{}: vectors of items by {}", self.label, names.join(" + "))]
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let describe = |member: &Member| Description {
            name: member.name.clone(),
            way: member.way,
            weight: member.weight,
        };
        parts.set("label", &self.label);
        parts.set("members", self.members.iter().map(describe).collect::<Vec<_>>());
        for (at, member) in self.members.iter().enumerate() {
            let tensor = Tensor::new([member.n_items(), member.k], member.items.clone());
            parts.tensors.insert(tensor_name(at), tensor);
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use foldin_core::{ItemId, Recommender};

    use super::*;

    fn member(name: &str, way: Way) -> Member {
        Member::new(name, way, 2, vec![1.0, 0.0, 0.9, 0.1, -1.0, 0.2, 0.0, 1.0]).unwrap()
    }

    fn sum() -> ItemVectorsModel {
        let members = vec![
            member("one", Way::FoldIn { lambda: 0.1 }),
            Member { weight: 0.5, ..member("mean", Way::Mean) },
            member("max", Way::Largest),
        ];
        ItemVectorsModel::new("sum", members).unwrap()
    }

    #[test]
    fn ways_by_hand() {
        let score = |way| {
            let mut out = [0.0; 4];
            ItemVectorsModel::new("one", vec![member("one", way)]).unwrap().scores_of(&[0, 3], &mut out);
            out
        };
        for (got, expected) in
            [(score(Way::Mean), [0.5, 0.5, -0.4, 0.5]), (score(Way::Largest), [1.0, 0.9, 0.2, 1.0])]
        {
            assert!(got.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6), "{got:?}");
        }
        let members = vec![member("m", Way::Mean), member("l", Way::Largest)];
        let mut out = [0.0; 4];
        ItemVectorsModel::new("sum", members).unwrap().scores_of(&[0, 3], &mut out);
        let (mut mean, mut largest) = (score(Way::Mean), score(Way::Largest));
        standardise(&mut mean);
        standardise(&mut largest);
        assert!(out.iter().zip(mean.iter().zip(largest)).all(|(x, (y, z))| (x - y - z).abs() < 1e-6));
    }

    #[test]
    fn more_purchases_than_are_compared_at_once() {
        let model = ItemVectorsModel::new("max", vec![member("max", Way::Largest)]).unwrap();
        let (mut few, mut many) = ([0.0; 4], [0.0; 4]);
        model.scores_of(&[1, 3], &mut few);
        model.scores_of(&[1, 1, 1, 1, 1, 1, 1, 1, 3], &mut many);
        assert_eq!(few, many);
    }

    #[test]
    fn a_loaded_model_says_the_same_and_damaged_parts_are_refused() {
        let model = sum();
        let parts = || Recommender::to_parts(&model);
        let loaded = ItemVectors::load(parts()).unwrap();
        let users = [UserView::new(&[0, 2], &[1.0, 1.0]), UserView::new(&[], &[])];
        let (mut before, mut after) = ([0.0; 8], [0.0; 8]);
        model.score(&users, &mut before).unwrap();
        loaded.score(&users, &mut after).unwrap();
        assert_eq!(before, after);
        // Who bought nothing likes nothing more than anything else.
        assert_eq!(before[4..], [0.0; 4]);
        // The order of a history says nothing, and one item's score is that of all.
        let mut one = [0.0];
        model.predict(&[UserView::new(&[2, 0], &[1.0, 1.0])], &[(0, ItemId(1))], &mut one).unwrap();
        assert_eq!(one[0], before[1]);
        assert!(model.score(&[UserView::new(&[4], &[1.0])], &mut [0.0; 4]).is_err());
        for name in ["items.0", "items.2"] {
            let mut lacking = parts();
            lacking.tensors.remove(name);
            assert!(ItemVectors::load(lacking).is_err(), "{name}");
            let mut odd = parts();
            odd.tensors.insert(name.to_owned(), Tensor::new([5, 2], vec![0.0; 10]));
            assert!(ItemVectors::load(odd).is_err(), "{name}");
        }
        let mut flat = parts();
        flat.set("members", Vec::<u8>::new());
        assert!(ItemVectors::load(flat).is_err());
    }

    #[test]
    fn what_cannot_score_is_refused() {
        for lambda in [f64::NAN, -1.0] {
            assert!(Member::new("bad", Way::FoldIn { lambda }, 2, vec![0.0; 8]).is_err());
        }
        for (k, items) in [(0, vec![0.0; 4]), (3, vec![0.0; 4]), (2, Vec::new()), (2, vec![f32::NAN; 4])] {
            assert!(Member::new("bad", Way::Mean, k, items).is_err(), "{k}");
        }
        assert!(ItemVectorsModel::new("none", Vec::new()).is_err());
        let other = Member::new("other", Way::Mean, 1, vec![0.0; 5]).unwrap();
        let refused = ItemVectorsModel::new("sum", vec![member("one", Way::Mean), other]).unwrap_err();
        assert!(refused.to_string().contains("one has vectors of 4 items, other of 5"), "{refused}");
    }
}
