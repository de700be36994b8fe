//! How well a recommender ranks what somebody bought: the area under the curve, over all items.
//!
//! ```text
//! AUC_u = mean over items j of  1[x_ui > x_uj] + ½ 1[x_ui = x_uj]      AUC = mean over users
//! ```
//!
//! with i the one purchase held out and j every item that the user did not buy in any part (training, validation, test). The papers'
//! code compares i with 100 of these drawn at random, which expects the same and adds noise, and counts a tie as lost, which
//! punishes whoever scores many items alike; both are here as [`UserAuc::sampled`] and [`UserAuc::strict`]. Ours draws the 100 with
//! return and never the user's validation item; the authors' code draws without return and leaves that item among them at test time.
//!
//! Intervals are over users, 1.96 standard errors: they say how far the figure might move with other users, not with another cut.

use foldin_core::random::{Random, child_seed, numbered_seed};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::data::{LeaveOneOut, VisualDataset};
use crate::error::VisionError;
use crate::images::Labels;
use crate::recommend::Scorer;

/// Items drawn for the sampled AUC, as in the authors' code.
const SAMPLE: usize = 100;

/// Items with fewer purchases in the training part are cold.
pub const COLD: u32 = 5;

/// One user's figures.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UserAuc {
    /// Against all items, ties half.
    pub full: f64,
    /// Against all items, ties lost.
    pub strict: f64,
    /// Against 100 items drawn at random, ties lost: nearly the authors' code, see the head of this file.
    pub sampled: f64,
    /// Against the items of the same category, where it is known and has others.
    pub within: Option<f64>,
}

/// Which held-out items are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Those to choose by.
    Validation,
    /// Those to tell.
    Test,
}

/// The figures of every user, in order.
///
/// # Errors
/// Those of the model, and [`VisionError::Diverged`] if a score is not a number.
///
/// # Examples
/// ```
/// use foldin_vision::data::LeaveOneOut;
/// use foldin_vision::evaluate::{Figure, Part, evaluate, paired};
/// use foldin_vision::features::hand_made;
/// use foldin_vision::planted::{PlantedOptions, planted};
/// use foldin_vision::recommend::baselines::RandomScores;
/// use foldin_vision::recommend::pairwise::Features;
/// use foldin_vision::recommend::vis_rank::vis_rank_mean;
///
/// let set = planted(&PlantedOptions { users: 60, items: 240, ..PlantedOptions::default() }, 1)?;
/// let split = LeaveOneOut::new(&set.data, 1)?;
/// let features = hand_made(&set.data.images, 32, 1)?;
///
/// let similar = vis_rank_mean(Features { values: &features, width: 32 }, &split)?;
/// let similar = evaluate(&similar, &split, Part::Test, None)?;
/// let random = evaluate(&RandomScores::new(&split, 1), &split, Part::Test, None)?;
///
/// let gain: Figure = paired(&similar, &random).expect("users");
/// assert!(gain.mean > gain.ci95.unwrap(), "pictures tell what these users like: {gain:?}");
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
pub fn evaluate(
    model: &dyn Scorer,
    split: &LeaveOneOut,
    part: Part,
    category: Option<&Labels>,
) -> Result<Vec<UserAuc>, VisionError> {
    let held_out = match part {
        Part::Validation => &split.validation,
        Part::Test => &split.test,
    };
    let n_items = split.train.n_items();
    (0..held_out.len())
        .into_par_iter()
        .map_init(
            || (vec![0.0f32; n_items], vec![false; n_items]),
            |(scores, bought), user| {
                model.scores(user as u32, scores)?;
                let mut own = split.train.by_user().row(user).0.to_vec();
                own.extend([split.validation[user], split.test[user]]);
                own.iter().for_each(|&item| bought[item as usize] = true);
                let found = of_user(scores, bought, held_out[user], category, user, split.seed);
                own.iter().for_each(|&item| bought[item as usize] = false);
                found.ok_or(VisionError::Diverged { model: "a recommender", epoch: 0 })
            },
        )
        .collect()
}

/// Wins, ties and items compared with.
#[derive(Default)]
struct Tally {
    won: usize,
    tied: usize,
    of: usize,
}

impl Tally {
    #[expect(clippy::float_cmp, reason = "a tie is two scores that are the same")]
    fn add(&mut self, own: f32, other: f32) {
        self.won += usize::from(own > other);
        self.tied += usize::from(own == other);
        self.of += 1;
    }

    fn half(&self) -> f64 {
        (self.won as f64 + 0.5 * self.tied as f64) / self.of.max(1) as f64
    }

    fn strict(&self) -> f64 {
        self.won as f64 / self.of.max(1) as f64
    }
}

fn of_user(
    scores: &[f32],
    bought: &[bool],
    item: u32,
    category: Option<&Labels>,
    user: usize,
    seed: u64,
) -> Option<UserAuc> {
    let own = scores[item as usize];
    if scores.iter().any(|score| score.is_nan()) {
        return None;
    }
    let class = |item: usize| category.and_then(|labels| labels.of()[item]);
    let own_class = class(item as usize);
    let (mut all, mut within, mut sampled) = (Tally::default(), Tally::default(), Tally::default());
    for (other, &score) in scores.iter().enumerate() {
        if bought[other] {
            continue;
        }
        all.add(own, score);
        if own_class.is_some() && class(other) == own_class {
            within.add(own, score);
        }
    }
    // Nobody bought everything; but a catalogue may be smaller than the sample.
    let mut random = Random::new(numbered_seed(child_seed(seed, "sampled AUC"), "user", user as u64));
    while sampled.of < SAMPLE.min(all.of) {
        let other = random.below(scores.len());
        if !bought[other] {
            sampled.add(own, scores[other]);
        }
    }
    Some(UserAuc {
        full: all.half(),
        strict: all.strict(),
        sampled: sampled.strict(),
        within: (within.of > 0).then(|| within.half()),
    })
}

/// Mean AUC on the validation items: what epochs and settings are chosen by.
///
/// # Errors
/// As [`evaluate`].
pub fn validation_auc(model: &dyn Scorer, split: &LeaveOneOut) -> Result<f64, VisionError> {
    let users = evaluate(model, split, Part::Validation, None)?;
    Ok(users.iter().map(|user| user.full).sum::<f64>() / users.len().max(1) as f64)
}

/// A mean over users with its interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Mean.
    pub mean: f64,
    /// Half the width of its 95 % interval over users; `None` with fewer than two.
    pub ci95: Option<f64>,
    /// Users it is a mean of.
    pub users: usize,
}

impl Figure {
    /// Of one number a user; `None` without any.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
        let ci95 = (values.len() > 1).then(|| 1.96 * (squares / (n - 1.0) / n).sqrt());
        (!values.is_empty()).then_some(Self { mean, ci95, users: values.len() })
    }
}

/// Which users a figure is of.
#[derive(Clone, Debug, Default)]
pub struct Slices {
    /// The test item has fewer than five purchases in the training part.
    pub cold: Vec<bool>,
    /// It has none.
    pub new: Vec<bool>,
    /// The user bought no other colour of it.
    pub no_variant: Vec<bool>,
}

impl Slices {
    /// The slices of a split.
    #[must_use]
    pub fn new(data: &VisualDataset, split: &LeaveOneOut) -> Self {
        let counts = split.item_counts();
        let of = |check: &dyn Fn(u32) -> bool| {
            split.test.iter().map(|&item| check(counts[item as usize])).collect()
        };
        let family = |item: u32| data.families[item as usize];
        let no_variant = split.test.iter().enumerate().map(|(user, &item)| {
            let own = split.train.by_user().row(user).0;
            own.iter().all(|&other| family(other) != family(item))
        });
        Self {
            cold: of(&|count| count < COLD),
            new: of(&|count| count == 0),
            no_variant: no_variant.collect(),
        }
    }
}

/// What is told of a model on one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AucReport {
    /// Over all users.
    pub all: Option<Figure>,
    /// Where the test item is cold, see [`COLD`].
    pub cold: Option<Figure>,
    /// Where nobody bought it in the training part.
    pub new: Option<Figure>,
    /// Where the user bought no other colour of it.
    pub no_variant: Option<Figure>,
    /// Against items of the same category.
    pub within: Option<Figure>,
    /// Ties lost.
    pub strict: Option<Figure>,
    /// Against 100 items, ties lost.
    pub sampled: Option<Figure>,
}

impl AucReport {
    /// Sums up the users.
    #[must_use]
    pub fn of(users: &[UserAuc], slices: &Slices) -> Self {
        let full: Vec<f64> = users.iter().map(|user| user.full).collect();
        let part = |keep: &[bool]| {
            let kept: Vec<f64> = full.iter().zip(keep).filter(|(_, keep)| **keep).map(|(x, _)| *x).collect();
            Figure::of(&kept)
        };
        let each = |value: fn(&UserAuc) -> Option<f64>| {
            Figure::of(&users.iter().filter_map(value).collect::<Vec<f64>>())
        };
        Self {
            all: Figure::of(&full),
            cold: part(&slices.cold),
            new: part(&slices.new),
            no_variant: part(&slices.no_variant),
            within: each(|user| user.within),
            strict: each(|user| Some(user.strict)),
            sampled: each(|user| Some(user.sampled)),
        }
    }
}

/// The mean over users of how much better one model ranks their test item than another, with its interval.
#[must_use]
pub fn paired(this: &[UserAuc], other: &[UserAuc]) -> Option<Figure> {
    let differences: Vec<f64> = this.iter().zip(other).map(|(this, other)| this.full - other.full).collect();
    Figure::of(&differences)
}

#[cfg(test)]
mod tests {
    use foldin_core::{Csr, Feedback, Interactions};

    use super::*;

    struct Fixed(Vec<f32>);

    impl Scorer for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }
        fn scores(&self, _: u32, out: &mut [f32]) -> Result<(), VisionError> {
            out.copy_from_slice(&self.0);
            Ok(())
        }
    }

    fn split() -> LeaveOneOut {
        let matrix = Csr::from_triples(1, 6, &[(0, 0, 1.0)]).unwrap();
        let train = Interactions::new(matrix, None, Feedback::Implicit).unwrap();
        LeaveOneOut { train, validation: vec![1], test: vec![2], seed: 1 }
    }

    #[test]
    fn one_user_by_hand() {
        // Compared with items 3, 4, 5: won, tied, lost. Items 0 and 1 are the user's own.
        let model = Fixed(vec![9.0, 9.0, 5.0, 4.0, 5.0, 6.0]);
        let labels = Labels::new(
            "kind",
            vec!["a".into(), "b".into()],
            vec![None, None, Some(0), Some(0), None, Some(1)],
        )
        .unwrap();
        let users = evaluate(&model, &split(), Part::Test, Some(&labels)).unwrap();
        let user = users[0];
        assert!((user.full - 0.5).abs() < 1e-12 && (user.strict - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(user.within, Some(1.0));
        assert!((0.0..=1.0).contains(&user.sampled));
        assert!(evaluate(&Fixed(vec![f32::NAN; 6]), &split(), Part::Test, None).is_err());
        // The validation item beats all of them.
        assert!((validation_auc(&model, &split()).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_constant_model_is_at_chance() {
        let users = evaluate(&Fixed(vec![0.0; 6]), &split(), Part::Test, None).unwrap();
        assert!((users[0].full - 0.5).abs() < 1e-12 && users[0].strict.abs() < 1e-12);
    }

    #[test]
    fn figures_by_hand() {
        let figure = Figure::of(&[0.0, 1.0]).unwrap();
        // Standard error √(½ / 2) = ½.
        assert!((figure.mean - 0.5).abs() < 1e-12 && (figure.ci95.unwrap() - 0.98).abs() < 1e-12);
        assert_eq!(Figure::of(&[]), None);
        assert_eq!(Figure::of(&[0.3]).unwrap().ci95, None);
        let of = |full| UserAuc { full, ..UserAuc::default() };
        let gain = paired(&[of(0.7), of(0.9)], &[of(0.6), of(0.6)]).unwrap();
        assert!((gain.mean - 0.2).abs() < 1e-12);
    }
}
