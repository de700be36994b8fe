//! The fitted model: scores of the parts, standardised and summed.

use foldin_core::{Feedback, ItemFactors, LoadError, ModelParts, ScoreError, Tensor, UserView};
use foldin_nn::kernels::row_sums;

use crate::click_fold_in::ClickFoldIn;
use crate::item_weights::ascending;
use crate::linear::score_items;
use crate::per_user::{PerUser, recommender};
use crate::ranking::standardise;

use super::LfgRank;
use super::side::{KNOTS, UserPrior};

/// Shares of the parts that weigh pairs of items; the factors have the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) ease: f32,
    pub(super) similarity: f32,
}

/// Factors of the items from one random start, and how users get theirs.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) items: ItemFactors,
    pub(super) fold_in: ClickFoldIn,
}

/// A fitted `lfg-rank`.
#[derive(Clone, Debug)]
pub struct LfgRankModel {
    n_items: usize,
    members: Vec<Member>,
    /// `[n_items × n_items]` each, or empty where their share is 0.
    ease: Vec<f32>,
    similarity: Vec<f32>,
    shares: Shares,
    /// What side information says of users, where there is any.
    prior: Option<UserPrior>,
    /// Items without clicks that were placed by their side information.
    placed: usize,
    notes: Vec<String>,
}

/// The standardised scores of each part, for one user.
#[derive(Clone, Debug, Default)]
pub(super) struct PartScores {
    pub(super) factors: Vec<f32>,
    pub(super) ease: Vec<f32>,
    pub(super) similarity: Vec<f32>,
}

impl PartScores {
    /// Adds the parts by their shares; a part that was not scored has none.
    pub(super) fn blend(&self, shares: Shares, out: &mut [f32]) {
        let rest = 1.0 - shares.ease - shares.similarity;
        let parts = [(&self.factors, rest), (&self.ease, shares.ease), (&self.similarity, shares.similarity)];
        out.fill(0.0);
        for (scores, share) in parts {
            if share != 0.0 {
                out.iter_mut().zip(scores).for_each(|(out, x)| *out += share * x);
            }
        }
    }
}

impl LfgRankModel {
    pub(super) fn new(
        n_items: usize,
        members: Vec<Member>,
        ease: Vec<f32>,
        similarity: Vec<f32>,
        shares: Shares,
    ) -> Self {
        let notes = vec![format!(
            "shares of the parts: factors {:.2}, closed-form pairs {:.2}, similarity {:.2}",
            1.0 - shares.ease - shares.similarity,
            shares.ease,
            shares.similarity
        )];
        Self { n_items, members, ease, similarity, shares, prior: None, placed: 0, notes }
    }

    /// The same with a prior of users, and so many items that were placed by their side information.
    pub(super) fn with_side(mut self, prior: Option<UserPrior>, placed: usize) -> Self {
        self.notes.extend(prior.as_ref().filter(|prior| prior.counts()).map(UserPrior::note));
        if placed > 0 {
            self.notes.push(format!("{placed} items without clicks are placed by their side information"));
        }
        (self.prior, self.placed) = (prior, placed);
        self
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let unusable = |key: &str| LoadError::Meta { key: key.to_owned() };
        let n_items: usize = parts.get("n_items")?;
        let n_members: usize = parts.get("members")?;
        if n_items == 0 || n_members == 0 || n_members > 64 {
            return Err(unusable("members"));
        }
        let mut members = Vec::new();
        for number in 0..n_members {
            let m = parts.take(&format!("item_factors_{number}"), &[Some(n_items), None])?;
            let items = ItemFactors { k: m.shape[1], m: m.data, bias: vec![0.0; n_items], mean: 0.0 };
            let nobody = parts.take(&format!("fold_in_nobody_{number}"), &[Some(items.k)])?;
            parts.tensors.insert("fold_in_nobody".to_owned(), nobody);
            let fold_in = ClickFoldIn::from_parts(&mut parts, &items)?;
            members.push(Member { items, fold_in: fold_in.ok_or_else(|| unusable("click_fold_in"))? });
        }
        let (ease, similarity): (f32, f32) = (parts.get("ease_share")?, parts.get("similarity_share")?);
        if !((0.0..=1.0).contains(&ease) && (0.0..=1.0).contains(&similarity)) {
            return Err(unusable("ease_share"));
        }
        let mut pairs = |name: &str, share: f32| -> Result<Vec<f32>, LoadError> {
            if share == 0.0 {
                return Ok(Vec::new());
            }
            Ok(parts.take(name, &[Some(n_items), Some(n_items)])?.data)
        };
        let (of_ease, of_similarity) = (pairs("ease", ease)?, pairs("similarity", similarity)?);
        let model = Self::new(n_items, members, of_ease, of_similarity, Shares { ease, similarity });
        let prior = load_prior(&mut parts, &model.members)?;
        // Folders of before there were any do not say.
        let placed = parts.get("placed_items").unwrap_or(0);
        Ok(model.with_side(prior, placed))
    }

    /// Scores by the factors of all members, summed; `prior` says what is expected of the user and how much that counts.
    pub(super) fn factor_scores(
        &self,
        user: &UserView<'_>,
        prior: Option<(&UserPrior, f32)>,
    ) -> Result<Vec<f32>, ScoreError> {
        let mut of_member = vec![0.0; self.n_items];
        let mut sum = vec![0.0; self.n_items];
        for (member, Member { items, fold_in }) in self.members.iter().enumerate() {
            let expected = prior.and_then(|(prior, weight)| Some((prior.expected(member, user)?, weight)));
            let factors = match expected {
                Some((expected, weight)) if weight > 0.0 => {
                    // Without history there is no more to it than the mean of all users on the other side.
                    let rest = if user.items.is_empty() { 1.0 - weight } else { 0.0 };
                    let pairs = expected.iter().zip(fold_in.nobody());
                    let expected: Vec<f32> = pairs.map(|(e, nobody)| weight * e + rest * nobody).collect();
                    fold_in.generate_about(items, user, &expected)?
                }
                _ => fold_in.generate(items, &[*user])?.u,
            };
            score_items(&factors, 0.0, items, &mut of_member);
            sum.iter_mut().zip(&of_member).for_each(|(sum, x)| *sum += x);
        }
        Ok(sum)
    }

    /// Standardised scores of all parts that the model has.
    pub(super) fn part_scores(&self, user: &UserView<'_>) -> Result<PartScores, ScoreError> {
        let mut out = PartScores::default();
        if let Some(prior) = &self.prior {
            prior.check(user)?;
        }
        let prior = self.prior.as_ref().map(|prior| (prior, prior.weight(user.items.len())));
        out.factors = self.factor_scores(user, prior)?;
        standardise(&mut out.factors);
        self.add_pair_scores(user, &mut out);
        Ok(out)
    }

    /// Standardised scores of the parts that weigh pairs.
    pub(super) fn add_pair_scores(&self, user: &UserView<'_>, out: &mut PartScores) {
        let history = ascending(user);
        for (weights, scores) in [(&self.ease, &mut out.ease), (&self.similarity, &mut out.similarity)] {
            if !weights.is_empty() {
                *scores = vec![0.0; self.n_items];
                row_sums(&history, weights, scores);
                standardise(scores);
            }
        }
    }
}

/// The prior of users, if the folder has one; folders of before there was any have none.
fn load_prior(parts: &mut ModelParts, members: &[Member]) -> Result<Option<UserPrior>, LoadError> {
    if !parts.meta.contains_key("user_prior_by_count") {
        return Ok(None);
    }
    let width: usize = parts.get("user_prior_width")?;
    let by_count: [f32; KNOTS.len()] = parts.get("user_prior_by_count")?;
    let unusable = || LoadError::Meta { key: "user_prior_by_count".to_owned() };
    if by_count.iter().any(|weight| !(0.0..=1.0).contains(weight)) || width == usize::MAX {
        return Err(unusable());
    }
    let mut weights = Vec::with_capacity(members.len());
    for (number, member) in members.iter().enumerate() {
        let name = format!("user_prior_{number}");
        weights.push(parts.take(&name, &[Some(width + 1), Some(member.items.k)])?.data);
    }
    Ok(Some(UserPrior { weights, width, by_count }))
}

impl PerUser for LfgRankModel {
    type Family = LfgRank;
    /// The scores of all items: standardising asks for all of them anyway.
    type State = Vec<f32>;

    fn catalogue(&self) -> usize {
        self.n_items
    }

    fn feedback(&self) -> &Feedback {
        &Feedback::Implicit
    }

    fn state(&self, user: &UserView<'_>) -> Result<Vec<f32>, ScoreError> {
        let mut out = vec![0.0; self.n_items];
        self.part_scores(user)?.blend(self.shares, &mut out);
        Ok(out)
    }

    fn value(&self, scores: &Vec<f32>, item: usize) -> f32 {
        scores[item]
    }

    fn values(&self, scores: &Vec<f32>, out: &mut [f32]) {
        out.copy_from_slice(scores);
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let n = self.n_items;
        for (number, Member { items, fold_in }) in self.members.iter().enumerate() {
            fold_in.to_parts(&mut parts);
            if let Some(nobody) = parts.tensors.remove("fold_in_nobody") {
                parts.tensors.insert(format!("fold_in_nobody_{number}"), nobody);
            }
            let m = Tensor::new([n, items.k], items.m.clone());
            parts.tensors.insert(format!("item_factors_{number}"), m);
        }
        for (name, weights) in [("ease", &self.ease), ("similarity", &self.similarity)] {
            if !weights.is_empty() {
                parts.tensors.insert(name.to_owned(), Tensor::new([n, n], weights.clone()));
            }
        }
        if let Some(prior) = &self.prior {
            for (number, weights) in prior.weights.iter().enumerate() {
                let shape = [prior.width + 1, weights.len() / (prior.width + 1)];
                parts.tensors.insert(format!("user_prior_{number}"), Tensor::new(shape, weights.clone()));
            }
            parts.set("user_prior_width", prior.width);
            parts.set("user_prior_by_count", prior.by_count);
        }
        if self.placed > 0 {
            parts.set("placed_items", self.placed);
        }
        parts.set("n_items", n);
        parts.set("members", self.members.len());
        parts.set("ease_share", self.shares.ease);
        parts.set("similarity_share", self.shares.similarity);
        parts
    }
}

recommender!(LfgRankModel);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        let parts = PartScores { factors: vec![1.0, 0.0], ease: vec![0.0, 2.0], similarity: Vec::new() };
        let mut out = [0.0; 2];
        parts.blend(Shares { ease: 0.25, similarity: 0.0 }, &mut out);
        assert_eq!(out, [0.75, 0.5]);
    }
}
