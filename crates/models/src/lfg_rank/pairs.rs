//! The similarity of items that damps busy users and popular items by exponents of their own.

use foldin_core::{FitError, Interactions, ModelFamily};
use foldin_nn::gram::weighted_gram;
use rayon::prelude::*;

use super::foretold::damping;
use super::{LfgRank, LfgRankConfig};

/// `S_ji = Σ_v x_vj x_vi n_v^−a / (n_i^b n_j^c)`, `[n_items × n_items]`, a row for each item `j` of a history; 0 on the diagonal.
///
/// # Errors
/// [`FitError::TooMuchData`] for more items than `max_items`.
pub(super) fn similarity(config: &LfgRankConfig, clicks: &Interactions) -> Result<Vec<f32>, FitError> {
    let (by_user, by_item, n) = (clicks.by_user(), clicks.by_item(), clicks.n_items());
    if n > config.max_items {
        let (model, most) = (LfgRank::NAME, "as many items as `max_items` says");
        return Err(FitError::TooMuchData { model, most, have: format!("{n} items") });
    }
    let exponent = -f64::from(config.similarity_user_exponent);
    let users: Vec<f64> =
        (0..clicks.n_users()).map(|user| (by_user.row_len(user).max(1) as f64).powf(exponent)).collect();
    let targets = damping(clicks, config.similarity_target_exponent);
    let histories = damping(clicks, config.similarity_history_exponent);
    let mut out = weighted_gram(by_user, by_item, &users);
    out.par_chunks_mut(n.max(1)).zip(&histories).enumerate().for_each(|(item, (row, history))| {
        row.iter_mut().zip(&targets).for_each(|(x, target)| *x *= target * history);
        row[item] = 0.0;
    });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Csr, Feedback};

    #[test]
    fn pairs_count_by_their_users_and_popularity() {
        // Users took {0, 1, 2, 3}, {0, 1} and {1}; n of the items: 2, 3, 1, 1.
        let pairs = [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 1)];
        let triples: Vec<(u32, u32, f32)> = pairs.iter().map(|&(user, item)| (user, item, 1.0)).collect();
        let csr = Csr::from_triples(3, 4, &triples).unwrap();
        let clicks = Interactions::new(csr, None, Feedback::Implicit).unwrap();
        let config = LfgRankConfig {
            similarity_user_exponent: 1.0,
            similarity_target_exponent: 1.0,
            similarity_history_exponent: 0.5,
            ..LfgRankConfig::default()
        };
        let weights = similarity(&config, &clicks).unwrap();
        // From 0 to 1: (1/4 + 1/2) / (3 √2), and back: the same pairs / (2 √3).
        assert!((weights[1] - 0.75 / (3.0 * 2f32.sqrt())).abs() < 1e-6);
        assert!((weights[4] - 0.75 / (2.0 * 3f32.sqrt())).abs() < 1e-6);
        assert_eq!((weights[0], weights[5]), (0.0, 0.0));
    }
}
