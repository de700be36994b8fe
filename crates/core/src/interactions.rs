//! Who did what with which item, and on which scale it was said.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use crate::csr::Csr;
use crate::error::DataError;
use crate::model::Capabilities;

/// The range of explicit ratings. Nothing in Foldin assumes 1–5.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RatingScale {
    /// Lowest rating that can be given.
    pub min: f32,
    /// Highest rating that can be given.
    pub max: f32,
    /// Distance between neighbouring ratings; `None` if the scale is continuous or not known to be regular.
    pub step: Option<f32>,
}

impl RatingScale {
    /// `value` moved to the nearer end if it lies outside.
    #[must_use]
    pub fn clip(&self, value: f32) -> f32 {
        value.clamp(self.min, self.max)
    }

    /// Whether `value` lies within the scale (ends included).
    #[must_use]
    pub fn contains(&self, value: f32) -> bool {
        value >= self.min && value <= self.max
    }

    /// Number of different ratings that can be given: 1 more than the steps from end to end; `None` for a continuous scale, or
    /// one whose ends are not a whole number of steps apart.
    ///
    /// ```
    /// use foldin_core::RatingScale;
    /// let stars = RatingScale { min: 0.5, max: 5.0, step: Some(0.5) };
    /// assert_eq!(stars.levels(), Some(10));
    /// assert_eq!((stars.level(3.6), stars.at_level(6), stars.round(3.6)), (6, 3.5, 3.5));
    /// assert_eq!(RatingScale { step: None, ..stars }.levels(), None);
    /// ```
    #[must_use]
    pub fn levels(&self) -> Option<usize> {
        let step = self.step.filter(|&step| step > 0.0)?;
        let steps = (f64::from(self.max) - f64::from(self.min)) / f64::from(step);
        // Ends and step were rounded to `f32`, so that the quotient is a whole number only nearly.
        let whole = steps.is_finite() && steps >= 0.0 && (steps - steps.round()).abs() <= 1e-3;
        whole.then(|| steps.round() as usize + 1)
    }

    /// Number, from 0, of the level nearest to `value`; 0 on a continuous scale.
    #[must_use]
    pub fn level(&self, value: f32) -> usize {
        let (Some(levels), Some(step)) = (self.levels(), self.step) else { return 0 };
        ((self.clip(value) - self.min) / step).round().clamp(0.0, (levels - 1) as f32) as usize
    }

    /// The rating of the scale nearest to `value`; on a continuous scale that is [`RatingScale::clip`].
    #[must_use]
    pub fn round(&self, value: f32) -> f32 {
        if self.levels().is_some() { self.at_level(self.level(value)) } else { self.clip(value) }
    }

    /// The rating of a level, `min + level · step`; the lowest on a continuous scale.
    #[must_use]
    pub fn at_level(&self, level: usize) -> f32 {
        self.clip(self.min + level as f32 * self.step.unwrap_or(0.0))
    }
}

/// What the values of interactions mean.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feedback {
    /// Ratings on a scale.
    Explicit(RatingScale),
    /// Clicks, purchases, plays: a positive weight, and nothing is known of what is absent.
    Implicit,
}

impl Feedback {
    /// The scale of explicit ratings.
    #[must_use]
    pub fn scale(&self) -> Option<RatingScale> {
        match self {
            Self::Explicit(scale) => Some(*scale),
            Self::Implicit => None,
        }
    }

    /// Clips a prediction to the scale; implicit scores pass unchanged.
    #[must_use]
    pub fn clip(&self, value: f32) -> f32 {
        self.scale().map_or(value, |scale| scale.clip(value))
    }
}

/// The interactions of `n_users` users with `n_items` items, by user, at most one a pair.
#[derive(Clone, Debug)]
pub struct Interactions {
    by_user: Arc<Csr>,
    times: Option<Arc<Vec<i64>>>,
    feedback: Feedback,
    by_item: OnceLock<Arc<Csr>>,
}

impl Interactions {
    /// Wraps a matrix of `[n_users × n_items]` values; `times` are Unix seconds, one an entry in the same order.
    ///
    /// # Errors
    /// [`DataError::Shape`] if `times` has another length, [`DataError::NotFinite`] for a NaN or infinite value,
    /// [`DataError::OutOfScale`] for a rating outside an explicit scale.
    pub fn new(by_user: Csr, times: Option<Vec<i64>>, feedback: Feedback) -> Result<Self, DataError> {
        if let Some(times) = &times
            && times.len() != by_user.n_entries()
        {
            return Err(DataError::Shape {
                what: "number of times",
                expected: by_user.n_entries(),
                got: times.len(),
            });
        }
        let bad = by_user.values().iter().position(|value| {
            !value.is_finite() || feedback.scale().is_some_and(|scale| !scale.contains(*value))
        });
        if let Some(at) = bad {
            let row = by_user.offsets().partition_point(|&offset| offset <= at) - 1;
            let (column, value) = (by_user.columns()[at], by_user.values()[at]);
            return Err(match feedback.scale() {
                Some(scale) if value.is_finite() => DataError::OutOfScale { row, column, value, scale },
                _ => DataError::NotFinite { row, column },
            });
        }
        Ok(Self {
            by_user: Arc::new(by_user),
            times: times.map(Arc::new),
            feedback,
            by_item: OnceLock::new(),
        })
    }

    /// Number of users, those without interactions included.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.by_user.n_rows()
    }

    /// Number of items, those without interactions included.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.by_user.n_cols()
    }

    /// Number of interactions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_user.n_entries()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The matrix by user, `[n_users × n_items]`.
    #[must_use]
    pub fn by_user(&self) -> &Csr {
        &self.by_user
    }

    /// The matrix by item, `[n_items × n_users]`; built at the first call and shared.
    #[must_use]
    pub fn by_item(&self) -> &Csr {
        self.by_item.get_or_init(|| Arc::new(self.by_user.transpose()))
    }

    /// What the values mean.
    #[must_use]
    pub fn feedback(&self) -> Feedback {
        self.feedback
    }

    /// Unix seconds, one an entry of [`Interactions::by_user`], if known.
    #[must_use]
    pub fn times(&self) -> Option<&[i64]> {
        self.times.as_deref().map(Vec::as_slice)
    }

    /// Mean of all values, summed in `f64`; 0 without interactions.
    #[must_use]
    pub fn mean(&self) -> f64 {
        if self.is_empty() {
            return 0.0;
        }
        self.by_user.values().iter().map(|&value| f64::from(value)).sum::<f64>() / self.len() as f64
    }

    /// The interactions whose position (in [`Interactions::by_user`] order) is kept; users and items stay numbered.
    ///
    /// # Panics
    /// If `keep` has not one element an interaction.
    #[must_use]
    pub fn filter(&self, keep: &[bool]) -> Self {
        let times = self.times.as_deref().map(|times| {
            Arc::new(
                times.iter().zip(keep).filter(|(_, keep)| **keep).map(|(&time, _)| time).collect::<Vec<_>>(),
            )
        });
        Self {
            by_user: Arc::new(self.by_user.filter_entries(keep)),
            times,
            feedback: self.feedback,
            by_item: OnceLock::new(),
        }
    }

    /// The same interactions as things that happened: every value is 1 and says nothing more. Implicit interactions stay as they are.
    #[must_use]
    pub fn as_implicit(&self) -> Self {
        if self.feedback == Feedback::Implicit {
            return self.clone();
        }
        Self {
            by_user: Arc::new(self.by_user.map_rows(|items, _| vec![1.0; items.len()])),
            times: self.times.clone(),
            feedback: Feedback::Implicit,
            by_item: OnceLock::new(),
        }
    }

    /// As a model takes them: ratings are looked at as things that happened if it learns from clicks alone. Cheap.
    #[must_use]
    pub fn for_model(&self, capabilities: Capabilities) -> Self {
        if capabilities.explicit { self.clone() } else { self.as_implicit() }
    }

    /// Only the given users, renumbered in the given order.
    ///
    /// # Panics
    /// If a user is out of range.
    #[must_use]
    pub fn select_users(&self, users: &[u32]) -> Self {
        let times = self.times.as_deref().map(|times| {
            Arc::new(
                users
                    .iter()
                    .flat_map(|&user| times[self.by_user.range(user as usize)].iter().copied())
                    .collect::<Vec<_>>(),
            )
        });
        Self {
            by_user: Arc::new(self.by_user.select_rows(users)),
            times,
            feedback: self.feedback,
            by_item: OnceLock::new(),
        }
    }

    /// A 64-bit fingerprint of shape, scale, entries and times as 16 hexadecimal digits, so that a result can be traced to its data.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Xxh3::new();
        for number in [self.n_users(), self.n_items(), self.len()] {
            hash.update(&(number as u64).to_le_bytes());
        }
        if let Some(scale) = self.feedback.scale() {
            hash.update(&scale.min.to_le_bytes());
            hash.update(&scale.max.to_le_bytes());
        }
        for (at, (user, item, value)) in self.by_user.triples().enumerate() {
            hash.update(&user.to_le_bytes());
            hash.update(&item.to_le_bytes());
            hash.update(&value.to_le_bytes());
            if let Some(times) = &self.times {
                hash.update(&times[at].to_le_bytes());
            }
        }
        format!("{:016x}", hash.digest())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale() -> Feedback {
        Feedback::Explicit(RatingScale { min: -10.0, max: 10.0, step: None })
    }

    #[test]
    fn values_outside_the_scale_are_named() {
        let csr = Csr::from_triples(2, 2, &[(0, 1, 3.0), (1, 0, 11.0)]).unwrap();
        assert!(matches!(
            Interactions::new(csr, None, scale()),
            Err(DataError::OutOfScale { row: 1, column: 0, .. })
        ));
        let csr = Csr::from_triples(1, 2, &[(0, 1, f32::NAN)]).unwrap();
        assert_eq!(
            Interactions::new(csr, None, Feedback::Implicit).unwrap_err(),
            DataError::NotFinite { row: 0, column: 1 }
        );
    }

    #[test]
    fn levels_of_scales() {
        let scale = |min, max, step| RatingScale { min, max, step };
        for (scale, levels) in [
            (scale(1.0, 5.0, Some(1.0)), Some(5)),
            (scale(0.5, 1.5, Some(0.1)), Some(11)),
            (scale(3.0, 3.0, Some(1.0)), Some(1)),
            (scale(1.0, 5.0, None), None),
            (scale(1.0, 5.0, Some(1.5)), None),
            (scale(1.0, 5.0, Some(0.0)), None),
            (scale(1.0, 5.0, Some(-1.0)), None),
            (scale(1.0, 5.0, Some(f32::NAN)), None),
        ] {
            assert_eq!(scale.levels(), levels, "{scale:?}");
            for level in 0..levels.unwrap_or(0) {
                assert_eq!(scale.level(scale.at_level(level)), level, "{scale:?}");
            }
        }
        let stars = scale(1.0, 5.0, Some(1.0));
        for (value, scale, rounded) in [
            (-7.0, stars, 1.0f32),
            (2.4, stars, 2.0),
            (1e6, stars, 5.0),
            (2.4, scale(1.0, 5.0, None), 2.4),
            (7.0, scale(1.0, 5.0, None), 5.0),
        ] {
            assert_eq!(scale.round(value).to_bits(), rounded.to_bits(), "{value} on {scale:?}");
        }
    }

    #[test]
    fn what_happened_has_no_scale() {
        let csr = Csr::from_triples(2, 2, &[(0, 1, 3.0), (1, 0, -7.0)]).unwrap();
        let all = Interactions::new(csr, Some(vec![5, 6]), scale()).unwrap().as_implicit();
        assert_eq!((all.feedback(), all.times()), (Feedback::Implicit, Some(&[5, 6][..])));
        assert_eq!(all.by_user().values(), [1.0, 1.0]);
        let weights = Csr::from_triples(1, 1, &[(0, 0, 2.5)]).unwrap();
        let weights = Interactions::new(weights, None, Feedback::Implicit).unwrap();
        assert_eq!(weights.as_implicit().by_user().values(), [2.5]);
    }

    #[test]
    fn selecting_users_carries_their_times() {
        let csr = Csr::from_triples(3, 2, &[(0, 0, 1.0), (1, 0, 2.0), (1, 1, 3.0), (2, 1, 4.0)]).unwrap();
        let all = Interactions::new(csr, Some(vec![10, 20, 30, 40]), scale()).unwrap();
        let some = all.select_users(&[2, 1]);
        assert_eq!(some.times(), Some(&[40, 20, 30][..]));
        assert_eq!(some.by_user().row(0), (&[1][..], &[4.0][..]));
        let kept = all.filter(&[true, false, true, false]);
        assert_eq!(kept.times(), Some(&[10, 30][..]));
        assert_ne!(kept.fingerprint(), all.fingerprint());
    }
}
