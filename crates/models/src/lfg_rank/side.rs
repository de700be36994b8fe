//! What is known of users and items before any click: prior means of their factors, regressed on side information.
//!
//! * An item without clicks gets the factors `C'ψ_i` that its features `ψ_i` (and a constant) foretell, `C` being the ridge regression of the
//!   learned factors of items with clicks. Without features that foretell anything it keeps the factors 0.
//! * A user's factors are drawn towards `ρ_n B'φ_u`, with `B` the regression of the training users' factors on their features, as
//!   [`ClickFoldIn::generate_about`](crate::click_fold_in::ClickFoldIn::generate_about) says; without clicks they are
//!   `(1 − ρ₀) nobody + ρ₀ B'φ_u` between the mean of all users and that of users like this one. The weights `ρ_n` of `n` clicks are chosen for
//!   each `n` of [`KNOTS`] on clicks held out, users being given `n` of theirs; in between they are interpolated in the logarithm of `n`, and beyond they go
//!   to 0. A weight that is not surely better than 0 is 0, so that nothing changes where side information does not help.

use foldin_core::{Csr, FitError, ModelFamily, ScoreError, TrainingData, UserView};

use super::knots::{KNOTS, at_count, in_words};
use super::{LfgRank, LfgRankConfig, SideInformation};
use crate::item_design::Design;
use crate::regression::cross_validated;

/// The weights to choose from.
pub(super) const WEIGHTS: [f32; 9] = [0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0];

/// Features with a constant behind them, of the sides that have any.
pub(super) struct Designs {
    pub(super) users: Option<Design>,
    items: Option<Design>,
}

impl Designs {
    pub(super) fn of(config: &LfgRankConfig, data: &TrainingData<'_>) -> Self {
        let used = |rows: &Csr| {
            let wanted = config.side_information == SideInformation::Auto && rows.n_entries() > 0;
            wanted.then(|| Design::new(rows.clone(), vec![1.0; rows.n_rows()], 1))
        };
        Self { users: used(data.user_features.rows()), items: used(data.item_features.rows()) }
    }

    /// The regression of the factors of users with clicks; `None` without features that foretell anything.
    pub(super) fn of_users(
        &self,
        factors: &[f32],
        k: usize,
        clicks: &Csr,
    ) -> Result<Option<Vec<f32>>, FitError> {
        let Some(design) = &self.users else { return Ok(None) };
        let constant = design.sparse_width();
        cross_validated(LfgRank::NAME, design, factors, k, constant, |user| clicks.row_len(user) > 0)
    }

    /// Gives items without clicks the factors that their features foretell; how many.
    pub(super) fn place_items(&self, factors: &mut [f32], k: usize, clicks: &Csr) -> Result<usize, FitError> {
        let Some(design) = &self.items else { return Ok(0) };
        let known = |item: usize| design.entries(item).count() > 1;
        let cold: Vec<usize> =
            (0..clicks.n_rows()).filter(|&item| clicks.row_len(item) == 0 && known(item)).collect();
        if cold.is_empty() {
            return Ok(0);
        }
        let constant = design.sparse_width();
        let counted = |item: usize| clicks.row_len(item) > 0;
        let Some(weights) = cross_validated(LfgRank::NAME, design, factors, k, constant, counted)? else {
            return Ok(0);
        };
        for &item in &cold {
            let row = &mut factors[item * k..(item + 1) * k];
            row.fill(0.0);
            design.add_product(item, &weights, row);
        }
        Ok(cold.len())
    }
}

/// What side information says of users.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct UserPrior {
    /// `[(features + 1) × k]` for each member, the constant last; 0 if its users are not foretold.
    pub(super) weights: Vec<Vec<f32>>,
    /// Number of features.
    pub(super) width: usize,
    /// ρ at the [`KNOTS`].
    pub(super) by_count: [f32; KNOTS.len()],
}

impl UserPrior {
    /// ρ of a user with `n` clicks.
    pub(super) fn weight(&self, n: usize) -> f32 {
        at_count(&self.by_count, n)
    }

    /// Whether it is ever asked.
    pub(super) fn counts(&self) -> bool {
        self.by_count.iter().any(|&weight| weight > 0.0)
    }

    /// The factors that features foretell for a member; `None` of somebody of whom nothing is known.
    pub(super) fn expected(&self, member: usize, user: &UserView<'_>) -> Option<Vec<f32>> {
        let weights = self.weights.get(member).filter(|weights| !weights.is_empty())?;
        let (columns, values) = (user.features.columns, user.features.values);
        if columns.is_empty() {
            return None;
        }
        let k = weights.len() / (self.width + 1);
        let mut out = weights[self.width * k..].to_vec();
        for (&column, &value) in columns.iter().zip(values) {
            let row = &weights[column as usize * k..(column as usize + 1) * k];
            out.iter_mut().zip(row).for_each(|(out, x)| *out += value * x);
        }
        Some(out)
    }

    /// Whether features can be read.
    ///
    /// # Errors
    /// [`ScoreError`] for columns that are not in the schema, or values that are no numbers.
    pub(super) fn check(&self, user: &UserView<'_>) -> Result<(), ScoreError> {
        if let Some(&beyond) = user.features.columns.iter().find(|&&column| column as usize >= self.width) {
            let got = beyond as usize + 1;
            return Err(ScoreError::Shape { what: "columns of user features", expected: self.width, got });
        }
        if user.features.values.iter().any(|x| !x.is_finite()) {
            return Err(ScoreError::NotFinite { what: "a feature of the user" });
        }
        Ok(())
    }

    /// The weights in words.
    pub(super) fn note(&self) -> String {
        format!("weight of what side information says of a user, by clicks: {}", in_words(&self.by_count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::FeatureRow;

    fn prior() -> UserPrior {
        UserPrior {
            weights: vec![vec![1.0, 0.0, 0.0, 2.0, 10.0, 20.0], Vec::new()],
            width: 2,
            by_count: [1.0, 0.8, 0.4, 0.4, 0.2, 0.0, 0.0, 0.1],
        }
    }

    #[test]
    fn weights_are_interpolated() {
        let prior = prior();
        let near = |n: usize, expected: f32| assert!((prior.weight(n) - expected).abs() < 1e-6, "{n}");
        near(0, 1.0);
        near(1, 0.8);
        near(2, 0.4);
        near(3, 0.4);
        near(8, 0.2);
        near(64, 0.1);
        near(128, 0.0);
        near(100_000, 0.0);
        assert!(prior.weight(90) > 0.0 && prior.weight(90) < 0.1);
    }

    #[test]
    fn expected_factors_are_those_of_the_features() {
        let columns = [0, 1];
        let user = UserView {
            features: FeatureRow { columns: &columns, values: &[3.0, 0.5] },
            ..UserView::default()
        };
        assert_eq!(prior().expected(0, &user), Some(vec![13.0, 21.0]));
        assert_eq!(prior().expected(1, &user), None);
        assert_eq!(prior().expected(0, &UserView::default()), None);
        assert!(prior().check(&user).is_ok());
        let beyond = UserView { features: FeatureRow { columns: &[2], values: &[1.0] }, ..user };
        assert!(prior().check(&beyond).is_err());
        let nan = UserView { features: FeatureRow { columns: &[1], values: &[f32::NAN] }, ..user };
        assert!(prior().check(&nan).is_err());
    }
}
