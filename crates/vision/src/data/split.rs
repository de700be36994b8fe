//! Leave one out: of each user one purchase to choose by, one to test on, the rest to learn from.

use foldin_core::random::{Random, numbered_seed};
use foldin_core::{Csr, Feedback, Interactions};

use crate::data::VisualDataset;
use crate::error::VisionError;

/// Purchases of each user dealt three ways, at random by seed; the order in which they were made plays no part, as in the papers.
///
/// # Examples
/// ```
/// use foldin_vision::data::LeaveOneOut;
/// use foldin_vision::planted::{PlantedOptions, planted};
///
/// let set = planted(&PlantedOptions { users: 20, items: 240, ..PlantedOptions::default() }, 1)?;
/// let split = LeaveOneOut::new(&set.data, 7)?;
/// let (learned_from, _) = split.train.by_user().row(0);
/// assert!(!learned_from.contains(&split.test[0]) && !learned_from.contains(&split.validation[0]));
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct LeaveOneOut {
    /// What models learn from.
    pub train: Interactions,
    /// The item of each user that settings and epochs are chosen by.
    pub validation: Vec<u32>,
    /// The item of each user that figures are told of.
    pub test: Vec<u32>,
    /// The seed of the cut.
    pub seed: u64,
}

impl LeaveOneOut {
    /// Cuts a data set whose users have at least three purchases each.
    ///
    /// # Errors
    /// [`VisionError::NothingLeft`] if a user has fewer.
    pub fn new(data: &VisualDataset, seed: u64) -> Result<Self, VisionError> {
        let all = data.purchases.by_user();
        let mut triples = Vec::with_capacity(all.n_entries());
        let (mut validation, mut test) = (Vec::new(), Vec::new());
        for user in 0..all.n_rows() {
            let items = all.row(user).0;
            if items.len() < 3 {
                return Err(VisionError::NothingLeft {
                    path: data.name.clone(),
                    problem: format!(
                        "user {} has {} purchases; to leave out two of them takes three at least",
                        data.users.key(user as u32).unwrap_or_default(),
                        items.len()
                    ),
                });
            }
            // A stream of the user's own: the cut of one does not depend on how many others there are.
            let mut random = Random::new(numbered_seed(seed, "leave one out", user as u64));
            let first = random.below(items.len());
            let second = (first + 1 + random.below(items.len() - 1)) % items.len();
            validation.push(items[first]);
            test.push(items[second]);
            for (at, &item) in items.iter().enumerate() {
                if at != first && at != second {
                    triples.push((user as u32, item, 1.0));
                }
            }
        }
        let matrix = Csr::from_triples(all.n_rows(), all.n_cols(), &triples)?;
        Ok(Self { train: Interactions::new(matrix, None, Feedback::Implicit)?, validation, test, seed })
    }

    /// How often each item was bought in the training part.
    #[must_use]
    pub fn item_counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.train.n_items()];
        self.train.by_user().columns().iter().for_each(|&item| counts[item as usize] += 1);
        counts
    }
}
