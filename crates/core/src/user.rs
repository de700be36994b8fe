//! What a model sees of a user.

use crate::error::ScoreError;
use crate::features::FeatureRow;
use crate::ids::UserId;
use crate::model::Capabilities;

/// A user as a model sees them: a history and side information. Many of them, `&[UserView]`, are a batch; the batch calls of a
/// model are the primitive and a single user is a batch of one.
///
/// # Example: a visitor who rated two items
/// ```
/// use foldin_core::UserView;
/// let visitor = UserView::new(&[3, 17], &[5.0, 2.0]);
/// assert_eq!(visitor.items.len(), 2);
/// assert!(visitor.trained_as.is_none());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct UserView<'a> {
    /// Internal numbers of the items of the history, in any order, without repetition.
    pub items: &'a [u32],
    /// The value given to each of `items`.
    pub values: &'a [f32],
    /// Side information, encoded by the model's schema; empty if nothing is known.
    pub features: FeatureRow<'a>,
    /// The number this user had in the training data, if they were in it. Only a model that learned a vector for each
    /// training user reads it, and only while that model is in memory as it was fitted; nobody else may.
    pub trained_as: Option<UserId>,
}

impl<'a> UserView<'a> {
    /// A user known by a history alone.
    #[must_use]
    pub fn new(items: &'a [u32], values: &'a [f32]) -> Self {
        Self { items, values, ..Self::default() }
    }

    /// Whether a model of these capabilities has nothing to go by: no history, and no side information that it would use. Such a user is
    /// served what is popular.
    #[must_use]
    pub fn is_blank_to(&self, capabilities: Capabilities) -> bool {
        self.items.is_empty() && (self.features.columns.is_empty() || !capabilities.user_features)
    }

    /// Checks that a history can be scored by a model of `n_items` items: each item known, as many values as items,
    /// every value finite.
    ///
    /// # Errors
    /// [`ScoreError::Shape`], [`ScoreError::UnknownItem`] or [`ScoreError::NotFinite`].
    pub fn check(&self, n_items: usize) -> Result<(), ScoreError> {
        if self.items.len() != self.values.len() {
            return Err(ScoreError::Shape {
                what: "values of a history",
                expected: self.items.len(),
                got: self.values.len(),
            });
        }
        if let Some(&item) = self.items.iter().find(|&&item| item as usize >= n_items) {
            return Err(ScoreError::UnknownItem { item, n_items });
        }
        if self.values.iter().any(|value| !value.is_finite()) {
            return Err(ScoreError::NotFinite { what: "a value of the history" });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_histories_are_refused() {
        assert!(UserView::new(&[1, 2], &[1.0, 2.0]).check(3).is_ok());
        assert!(matches!(
            UserView::new(&[3], &[1.0]).check(3),
            Err(ScoreError::UnknownItem { item: 3, n_items: 3 })
        ));
        assert!(matches!(UserView::new(&[1], &[]).check(3), Err(ScoreError::Shape { .. })));
        assert!(matches!(UserView::new(&[1], &[f32::NAN]).check(3), Err(ScoreError::NotFinite { .. })));
    }
}
