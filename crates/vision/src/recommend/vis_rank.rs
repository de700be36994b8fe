//! `vis-rank`: what looks like the purchases; nothing is learned of people.
//!
//! With cosines of whitened features f (`s_ij = f_i·f_j / ‖f_i‖‖f_j‖`), an item is scored by the mean, or the largest, of its similarities
//! to what the user bought: `x_ui = mean_{j bought} s_ij` or `max_{j bought} s_ij`. The mean is linear in the item: a user is the mean of
//! their items' directions ([`vis_rank_mean`] is a [`LinearModel`]). Cost: O(features) for the mean and O(purchases · features) for the
//! largest, an item. A new user is no different from any other.
//!
//! The ranking by visual nearest neighbours that Kang et al. (2017) compare with; they do not say which features or which sum.

use foldin_core::Csr;
use foldin_models::item_vectors::{Member, Way};

use crate::data::LeaveOneOut;
use crate::error::VisionError;
use crate::recommend::linear::LinearModel;
use crate::recommend::pairwise::Features;
use crate::recommend::{Scorer, check};

/// Rows brought to length 1; zero rows stay. Products of these are cosines.
#[must_use]
pub fn directions(features: Features<'_>) -> Vec<f32> {
    let mut out = features.values.to_vec();
    for row in out.chunks_exact_mut(features.width.max(1)) {
        let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
        }
    }
    out
}

fn check_features(features: Features<'_>, n_items: usize) -> Result<(), VisionError> {
    if features.width == 0 || features.values.len() != n_items * features.width {
        let expected = format!("one row for each of {n_items} items");
        return Err(VisionError::shape("features", expected, features.values.len()));
    }
    Ok(())
}

/// By the mean similarity.
///
/// # Errors
/// [`VisionError::Shape`] if there is not one row of features an item.
pub fn vis_rank_mean(features: Features<'_>, split: &LeaveOneOut) -> Result<LinearModel, VisionError> {
    let train = split.train.by_user();
    check_features(features, train.n_cols())?;
    let (k, items) = (features.width, directions(features));
    let mut users = vec![0.0; train.n_rows() * k];
    for (user, theta) in users.chunks_exact_mut(k).enumerate() {
        let bought = train.row(user).0;
        for &item in bought {
            let own = &items[item as usize * k..][..k];
            theta.iter_mut().zip(own).for_each(|(sum, x)| *sum += x / bought.len() as f32);
        }
    }
    LinearModel::new("vis-rank-mean", k, users, items)
}

/// What [`VisRankMax`] is called.
const NAME: &str = "vis-rank-max";

/// By the largest similarity.
#[derive(Clone, Debug)]
pub struct VisRankMax {
    train: Csr,
    items: Member,
}

impl VisRankMax {
    /// For the purchases of a split.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if there is not one row of features an item.
    pub fn new(features: Features<'_>, split: &LeaveOneOut) -> Result<Self, VisionError> {
        let train = split.train.by_user().clone();
        check_features(features, train.n_cols())?;
        let items = Member::new(NAME, Way::Largest, features.width, directions(features))?;
        Ok(Self { train, items })
    }
}

impl Scorer for VisRankMax {
    fn name(&self) -> &'static str {
        NAME
    }

    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError> {
        check(user, self.train.n_rows(), out, self.train.n_cols())?;
        self.items.scores_of(self.train.row(user as usize).0, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use foldin_core::{Feedback, Interactions};

    use super::*;

    #[test]
    fn similarities_by_hand() {
        let train = Csr::from_triples(2, 4, &[(0, 0, 1.0), (0, 1, 1.0)]).unwrap();
        let train = Interactions::new(train, None, Feedback::Implicit).unwrap();
        let split = LeaveOneOut { train, validation: vec![2; 2], test: vec![3; 2], seed: 1 };
        // Directions: right, up, diagonal, nowhere.
        let values = [2.0, 0.0, 0.0, 5.0, 1.0, 1.0, 0.0, 0.0];
        let features = Features { width: 2, values: &values };
        let (mut mean, mut most) = ([0.0; 4], [0.0; 4]);
        vis_rank_mean(features, &split).unwrap().scores(0, &mut mean).unwrap();
        let max = VisRankMax::new(features, &split).unwrap();
        max.scores(0, &mut most).unwrap();
        let diagonal = 0.5f32.sqrt();
        for (got, expected) in mean.iter().zip([0.5, 0.5, diagonal, 0.0]) {
            assert!((got - expected).abs() < 1e-6, "{mean:?}");
        }
        for (got, expected) in most.iter().zip([1.0, 1.0, diagonal, 0.0]) {
            assert!((got - expected).abs() < 1e-6, "{most:?}");
        }
        max.scores(1, &mut most).unwrap();
        assert_eq!(most, [0.0; 4]);
        assert!(vis_rank_mean(Features { width: 3, values: &values }, &split).is_err());
    }
}
