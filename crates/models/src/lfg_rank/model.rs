//! The fitted model: scores of the parts, standardised and summed.

use foldin_core::{Feedback, ItemFactors, LoadError, ModelParts, ScoreError, Tensor, UserView};
use foldin_nn::kernels::row_sums_of_each;
use foldin_nn::matmul::{Matrix, Packed, matmul_packed};
use rayon::prelude::*;

use crate::checks::check_len;
use crate::click_fold_in::ClickFoldIn;
use crate::item_weights::ascending;
use crate::per_user::{PerUser, finite, recommender};
use crate::ranking::standardise;

use super::LfgRank;
use super::foretold::{Foretold, LEARNED};
use super::knots::{KNOTS, at_count, in_words};
use super::side::UserPrior;

/// Users that one task scores: the more, the less often weights of pairs are read, and the more memory scores take.
const USERS_AT_ONCE: usize = 128;

/// Shares of the parts; the factors have what is left.
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
    /// How users of a few clicks get theirs, if that has any weight; all members have it or none.
    pub(super) foretold: Option<Foretold>,
    /// The items' factors as the right side of a product.
    packed: Packed,
}

impl Member {
    pub(super) fn new(items: ItemFactors, fold_in: ClickFoldIn, foretold: Option<Foretold>) -> Self {
        let packed = Packed::new(Matrix::new(&items.m, items.bias.len(), items.k).transposed());
        Self { items, fold_in, foretold, packed }
    }

    /// Factors of a user: the posterior mean, and by the weight `of_foretold` what the history foretells. `prior` says what is expected of
    /// them (with this member's number), and how much that counts.
    fn factors(
        &self,
        number: usize,
        user: &UserView<'_>,
        prior: Option<(&UserPrior, f32)>,
        of_foretold: f32,
    ) -> Result<Vec<f32>, ScoreError> {
        let Self { items, fold_in, .. } = self;
        let expected = prior
            .and_then(|(prior, weight)| Some((prior.expected(number, user)?, weight)))
            .filter(|(_, weight)| *weight > 0.0);
        // What is expected beside what is expected of anybody.
        let about = |around: &[f32], expected: &[f32], weight: f32| -> Vec<f32> {
            let pairs = around.iter().zip(expected).zip(fold_in.nobody());
            pairs.map(|((around, expected), nobody)| around + weight * (expected - nobody)).collect()
        };
        let posterior = || match &expected {
            Some((expected, weight)) if user.items.is_empty() => {
                fold_in.generate_about(items, user, &about(fold_in.nobody(), expected, *weight))
            }
            Some((expected, weight)) => {
                let expected: Vec<f32> = expected.iter().map(|x| weight * x).collect();
                fold_in.generate_about(items, user, &expected)
            }
            None => Ok(fold_in.generate(items, &[*user])?.u),
        };
        let Some(foretold) = self.foretold.as_ref().filter(|_| of_foretold > 0.0 && !user.items.is_empty())
        else {
            return posterior();
        };
        let mut out = foretold.factors(user.items, &items.m, items.k);
        if let Some((expected, weight)) = &expected {
            out = about(&out, expected, *weight);
        }
        if of_foretold < 1.0 {
            let pairs = out.iter_mut().zip(posterior()?);
            pairs.for_each(|(out, x)| *out = of_foretold * *out + (1.0 - of_foretold) * x);
        }
        Ok(out)
    }
}

/// How short histories are served, at the [`KNOTS`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ByLength {
    /// Weight of the factors that are foretold beside the posterior's.
    pub(super) foretold: [f32; KNOTS.len()],
    /// Parts of the pairs' shares that are left out.
    pub(super) less_ease: [f32; KNOTS.len()],
    pub(super) less_similarity: [f32; KNOTS.len()],
}

impl ByLength {
    /// The shares of all parts for a user of `n` clicks.
    pub(super) fn shares(&self, n: usize, all: Shares) -> Shares {
        let rest = |less: &[f32; KNOTS.len()]| 1.0 - at_count(less, n);
        Shares {
            ease: rest(&self.less_ease) * all.ease,
            similarity: rest(&self.less_similarity) * all.similarity,
        }
    }

    /// Its weights by their names in a model folder, and in words.
    fn named(&self) -> [(&'static str, &'static str, [f32; KNOTS.len()]); 3] {
        [
            ("foretold_by_count", "weight of the factors that a history foretells", self.foretold),
            ("less_ease_by_count", "part of the closed-form pairs' share that is left out", self.less_ease),
            (
                "less_similarity_by_count",
                "part of the similarity's share that is left out",
                self.less_similarity,
            ),
        ]
    }
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
    by_length: ByLength,
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
        blend([&self.factors, &self.ease, &self.similarity], shares, out);
    }
}

fn blend([factors, ease, similarity]: [&[f32]; 3], shares: Shares, out: &mut [f32]) {
    let parts = [
        (factors, 1.0 - shares.ease - shares.similarity),
        (ease, shares.ease),
        (similarity, shares.similarity),
    ];
    out.fill(0.0);
    for (scores, share) in parts {
        if share != 0.0 {
            out.iter_mut().zip(scores).for_each(|(out, x)| *out += share * x);
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
        let by_length = ByLength::default();
        Self { n_items, members, ease, similarity, shares, by_length, prior: None, placed: 0, notes }
    }

    /// The same with ways of its own for short histories.
    pub(super) fn with_lengths(mut self, by_length: ByLength) -> Self {
        for (_, what, weights) in by_length.named() {
            if weights.iter().any(|&weight| weight > 0.0) {
                self.notes.push(format!("{what}, by clicks: {}", in_words(&weights)));
            }
        }
        self.by_length = by_length;
        self
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
        // Folders of before there were any serve all histories alike, as do those that were told to.
        let mut by_length = ByLength::default();
        let mut damping = None;
        if parts.meta.contains_key("foretold_by_count") {
            let at_knots = |key: &str| -> Result<[f32; KNOTS.len()], LoadError> {
                let weights: [f32; KNOTS.len()] = parts.get(key)?;
                let fit = weights.iter().all(|weight| (0.0..=1.0).contains(weight));
                if fit { Ok(weights) } else { Err(unusable(key)) }
            };
            by_length = ByLength {
                foretold: at_knots("foretold_by_count")?,
                less_ease: at_knots("less_ease_by_count")?,
                less_similarity: at_knots("less_similarity_by_count")?,
            };
            damping = Some(parts.take("history_damping", &[Some(n_items)])?.data);
        }
        let mut members = Vec::new();
        for number in 0..n_members {
            let m = parts.take(&format!("item_factors_{number}"), &[Some(n_items), None])?;
            let items = ItemFactors { k: m.shape[1], m: m.data, bias: vec![0.0; n_items], mean: 0.0 };
            let nobody = parts.take(&format!("fold_in_nobody_{number}"), &[Some(items.k)])?;
            parts.tensors.insert("fold_in_nobody".to_owned(), nobody);
            let fold_in = ClickFoldIn::from_parts(&mut parts, &items)?;
            let fold_in = fold_in.ok_or_else(|| unusable("click_fold_in"))?;
            let foretold = match &damping {
                Some(damping) => {
                    let shape = [Some(LEARNED), Some(items.k + 1), Some(items.k)];
                    let maps = parts.take(&format!("foretold_{number}"), &shape)?.data;
                    let maps = maps.chunks_exact((items.k + 1) * items.k).map(<[f32]>::to_vec).collect();
                    Some(Foretold { damping: damping.clone(), maps })
                }
                None => None,
            };
            members.push(Member::new(items, fold_in, foretold));
        }
        let (ease, similarity): (f32, f32) = (parts.get("ease_share")?, parts.get("similarity_share")?);
        // 0.9 + 0.1 is a little more than 1 in binary.
        if !((0.0..=1.0).contains(&ease)
            && (0.0..=1.0).contains(&similarity)
            && ease + similarity < 1.0 + 1e-6)
        {
            return Err(unusable("ease_share"));
        }
        let mut pairs = |name: &str, share: f32| -> Result<Vec<f32>, LoadError> {
            if share == 0.0 {
                return Ok(Vec::new());
            }
            Ok(parts.take(name, &[Some(n_items), Some(n_items)])?.data)
        };
        let (of_ease, of_similarity) = (pairs("ease", ease)?, pairs("similarity", similarity)?);
        let shares = Shares { ease, similarity };
        let model = Self::new(n_items, members, of_ease, of_similarity, shares).with_lengths(by_length);
        let prior = load_prior(&mut parts, &model.members)?;
        // Folders of before there were any do not say.
        let placed = parts.get("placed_items").unwrap_or(0);
        Ok(model.with_side(prior, placed))
    }

    /// Scores by the factors of all members, summed; `prior` says what is expected of the user and how much that counts, `of_foretold` how much
    /// the factors that the history foretells do.
    pub(super) fn factor_scores(
        &self,
        user: &UserView<'_>,
        prior: Option<(&UserPrior, f32)>,
        of_foretold: f32,
    ) -> Result<Vec<f32>, ScoreError> {
        let mut of_member = vec![0.0; self.n_items];
        let mut sum = vec![0.0; self.n_items];
        for (number, member) in self.members.iter().enumerate() {
            let factors = member.factors(number, user, prior, of_foretold)?;
            member.packed.row_times(&factors, &mut of_member);
            sum.iter_mut().zip(&of_member).for_each(|(sum, x)| *sum += x);
        }
        Ok(sum)
    }

    /// What is expected of a user, and how much that counts.
    fn prior_of(&self, user: &UserView<'_>) -> Result<Option<(&UserPrior, f32)>, ScoreError> {
        if let Some(prior) = &self.prior {
            prior.check(user)?;
        }
        Ok(self.prior.as_ref().map(|prior| (prior, prior.weight(user.items.len()))))
    }

    /// Standardised scores of all parts that the model has.
    pub(super) fn part_scores(&self, user: &UserView<'_>) -> Result<PartScores, ScoreError> {
        let foretold = at_count(&self.by_length.foretold, user.items.len());
        let factors = self.factor_scores(user, self.prior_of(user)?, foretold)?;
        let mut out = PartScores { factors, ..PartScores::default() };
        standardise(&mut out.factors);
        self.add_pair_scores(user, &mut out);
        Ok(out)
    }

    /// The history without items of which nothing is known, which nobody clicked and nothing placed: they say nothing, and would make the
    /// history longer than it is. `None` if there are none of them.
    fn known_part(&self, user: &UserView<'_>) -> Option<(Vec<u32>, Vec<f32>)> {
        let Member { items, foretold, .. } = self.members.first()?;
        // Folders of before go on counting them.
        foretold.as_ref()?;
        let known = |item: u32| items.row(item as usize).iter().any(|&x| x != 0.0);
        if user.items.iter().all(|&item| known(item)) {
            return None;
        }
        Some(user.items.iter().zip(user.values).filter(|(item, _)| known(**item)).unzip())
    }

    /// Shares of the parts for a user.
    fn shares_of(&self, user: &UserView<'_>) -> Shares {
        self.by_length.shares(user.items.len(), self.shares)
    }

    /// Standardised scores of the parts that weigh pairs.
    pub(super) fn add_pair_scores(&self, user: &UserView<'_>, out: &mut PartScores) {
        let history = ascending(user);
        out.ease = self.pair_scores(&[&history], &self.ease);
        out.similarity = self.pair_scores(&[&history], &self.similarity);
    }

    /// The same of one part for some histories, a row each; none where the model has not the part.
    fn pair_scores(&self, histories: &[&[u32]], weights: &[f32]) -> Vec<f32> {
        if weights.is_empty() {
            return Vec::new();
        }
        let mut scores = vec![0.0; histories.len() * self.n_items];
        row_sums_of_each(histories, self.n_items, weights, &mut scores);
        scores.chunks_exact_mut(self.n_items).for_each(standardise);
        scores
    }

    /// Scores of some users at once: their factors times those of all items as one product, and rows of weights read for all of them.
    fn scores_of(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        users.iter().try_for_each(|user| user.check(self.n_items))?;
        let known: Vec<_> = users.iter().map(|user| self.known_part(user)).collect();
        let users: Vec<UserView<'_>> =
            users.iter().zip(&known).map(|(user, known)| with_history(user, known.as_ref())).collect();
        let mut factors = vec![0.0; out.len()];
        for (number, member) in self.members.iter().enumerate() {
            let mut of_users = Vec::with_capacity(users.len() * member.items.k);
            for user in &users {
                let foretold = at_count(&self.by_length.foretold, user.items.len());
                of_users.extend(member.factors(number, user, self.prior_of(user)?, foretold)?);
            }
            let of_users = Matrix::new(&of_users, users.len(), member.items.k);
            matmul_packed(of_users, &member.packed, number > 0, &mut factors);
        }
        factors.chunks_exact_mut(self.n_items).for_each(standardise);
        let histories: Vec<Vec<u32>> = users.iter().map(ascending).collect();
        let histories: Vec<&[u32]> = histories.iter().map(Vec::as_slice).collect();
        let pairs = [&self.ease, &self.similarity].map(|weights| self.pair_scores(&histories, weights));
        for (at, (out, user)) in out.chunks_exact_mut(self.n_items).zip(&users).enumerate() {
            // A part that the model has not has no scores.
            let row = |scores: &[f32]| {
                if scores.is_empty() { 0..0 } else { at * self.n_items..(at + 1) * self.n_items }
            };
            let [ease, similarity] = &pairs;
            blend(
                [&factors[row(&factors)], &ease[row(ease)], &similarity[row(similarity)]],
                self.shares_of(user),
                out,
            );
        }
        finite(out)
    }
}

/// A user with another history, if there is one.
fn with_history<'a>(user: &UserView<'a>, known: Option<&'a (Vec<u32>, Vec<f32>)>) -> UserView<'a> {
    known.map_or(*user, |(items, values)| UserView { items, values, ..*user })
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
        user.check(self.n_items)?;
        let known = self.known_part(user);
        let user = &with_history(user, known.as_ref());
        let mut out = vec![0.0; self.n_items];
        self.part_scores(user)?.blend(self.shares_of(user), &mut out);
        Ok(out)
    }

    fn value(&self, scores: &Vec<f32>, item: usize) -> f32 {
        scores[item]
    }

    fn values(&self, scores: &Vec<f32>, out: &mut [f32]) {
        out.copy_from_slice(scores);
    }

    fn scores(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        check_len("scores", users.len() * self.n_items, out.len())?;
        let tasks = out.par_chunks_mut(USERS_AT_ONCE * self.n_items).zip(users.par_chunks(USERS_AT_ONCE));
        tasks.try_for_each(|(out, users)| self.scores_of(users, out))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let n = self.n_items;
        for (number, Member { items, fold_in, foretold, .. }) in self.members.iter().enumerate() {
            if let Some(Foretold { damping, maps }) = foretold {
                let maps = Tensor::new([LEARNED, items.k + 1, items.k], maps.concat());
                parts.tensors.insert(format!("foretold_{number}"), maps);
                let damping = Tensor::new([n], damping.clone());
                parts.tensors.insert("history_damping".to_owned(), damping);
            }
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
        if self.members.iter().any(|member| member.foretold.is_some()) {
            for (key, _, weights) in self.by_length.named() {
                parts.set(key, weights);
            }
        }
        parts
    }
}

recommender!(LfgRankModel);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up() {
        let parts = PartScores { factors: vec![1.0, 0.0], ease: vec![0.0, 2.0], ..PartScores::default() };
        let mut out = [0.0; 2];
        let shares = Shares { ease: 0.25, similarity: 0.0 };
        parts.blend(shares, &mut out);
        assert_eq!(out, [0.75, 0.5]);

        // Half of the pairs left out with two clicks, none with four and so a quarter with three in the logarithm.
        let by_length =
            ByLength { less_ease: [1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0], ..ByLength::default() };
        assert_eq!(by_length.shares(2, shares).ease, 0.125);
        assert_eq!(by_length.shares(4, shares), shares);
        assert_eq!(by_length.shares(1000, shares), shares);
        assert!((by_length.shares(3, shares).ease - 0.25 * (1.0 - 0.5 * (2.0 - 3f32.log2()))).abs() < 1e-6);
    }
}
