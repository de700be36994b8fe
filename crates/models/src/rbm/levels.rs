//! Ratings as numbers of levels, and cases of them: one user's ratings (`u-rbm`) or one item's (`i-rbm`).

use foldin_core::{Csr, FitError, Interactions, RatingScale, ScaleProblem};

/// Levels that a scale may have at most: each has a row of weights for every visible unit.
pub(super) const MOST_LEVELS: usize = 128;

/// How far from a level, in steps, a rating may lie and still be on it: more than `f32` rounds, less than anybody means.
const TOLERANCE: f32 = 0.01;

/// The levels of a discrete scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Levels {
    scale: RatingScale,
    /// The rating of each level, ascending.
    pub(super) values: Vec<f32>,
}

impl Levels {
    /// The levels of a scale.
    pub(super) fn new(scale: RatingScale) -> Result<Self, ScaleProblem> {
        if scale.step.is_none() {
            return Err(ScaleProblem::Continuous { scale });
        }
        let levels = scale.levels().ok_or(ScaleProblem::Uneven { scale })?;
        if levels > MOST_LEVELS {
            return Err(ScaleProblem::TooManyLevels { scale, levels });
        }
        Ok(Self { scale, values: (0..levels).map(|level| scale.at_level(level)).collect() })
    }

    /// The levels of explicit ratings, every one of which must be on one.
    pub(super) fn of(
        model: &'static str,
        ratings: &Interactions,
        scale: RatingScale,
    ) -> Result<Self, FitError> {
        let refused = |problem| FitError::Scale { model, most_levels: MOST_LEVELS, problem };
        let levels = Self::new(scale).map_err(refused)?;
        let between = |value: f32| {
            let gap = value - levels.values[levels.level(value) as usize];
            gap.abs() > TOLERANCE * scale.step.unwrap_or(0.0)
        };
        match ratings.by_user().triples().find(|&(_, _, value)| between(value)) {
            Some((user, item, value)) => Err(refused(ScaleProblem::BetweenLevels { user, item, value })),
            None => Ok(levels),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The level nearest to a rating.
    pub(super) fn level(&self, value: f32) -> u8 {
        // At most `MOST_LEVELS`.
        self.scale.level(value) as u8
    }

    /// The mean rating of a distribution over levels.
    pub(super) fn mean(&self, probabilities: &[f32]) -> f32 {
        self.values.iter().zip(probabilities).map(|(value, probability)| value * probability).sum()
    }
}

/// The training ratings as cases: rows of visible units and their levels.
#[derive(Clone, Debug)]
pub(super) struct Cases<'a> {
    ratings: &'a Csr,
    levels: Vec<u8>,
}

impl<'a> Cases<'a> {
    /// A case for each row.
    pub(super) fn new(ratings: &'a Csr, levels: &Levels) -> Self {
        Self { ratings, levels: ratings.values().iter().map(|&value| levels.level(value)).collect() }
    }

    /// Number of cases.
    pub(super) fn len(&self) -> usize {
        self.ratings.n_rows()
    }

    /// Number of visible units.
    pub(super) fn n_units(&self) -> usize {
        self.ratings.n_cols()
    }

    /// Rated units of a case, and the level of each.
    pub(super) fn of(&self, case: usize) -> (&[u32], &[u8]) {
        (self.ratings.row(case).0, &self.levels[self.ratings.range(case)])
    }
}
