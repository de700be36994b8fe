//! What a user rated, whatever the ratings, as features of the prior: `z_u = Σ_{i rated} V_i / √(n_u + 1)` and `ln(n_u + 1) / 3`.
//!
//! `V` are the co-occurrence vectors of the items, scaled so that each feature has mean square 1 over the training users.

use foldin_core::{Csr, Interactions};
use foldin_nn::kernels::weighted_row_sums;
use rayon::prelude::*;

use crate::item_design::{Design, cooccurrence, popularity, used_columns};

/// Vectors of items from which features of a history are made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HistoryFeatures {
    /// Features but for the count; 0 if histories are not looked at.
    pub(super) width: usize,
    /// `[n_items × width]`.
    pub(super) vectors: Vec<f32>,
}

impl HistoryFeatures {
    /// Learns the vectors.
    pub(super) fn learn(ratings: &Interactions, width: usize, seed: u64) -> Self {
        let mut out = Self { width, vectors: cooccurrence(ratings, width, seed).v };
        if width == 0 {
            return out;
        }
        let n = ratings.n_users();
        let mut squares = vec![0f64; width];
        let mut row = vec![0.0; width + 1];
        for user in 0..n {
            out.write(ratings.by_user().row(user).0, &mut row);
            squares.iter_mut().zip(&row).for_each(|(sum, &z)| *sum += f64::from(z) * f64::from(z));
        }
        let scales: Vec<f32> =
            squares.iter().map(|&sum| if sum > 0.0 { (n as f64 / sum).sqrt() as f32 } else { 0.0 }).collect();
        for vector in out.vectors.chunks_exact_mut(width) {
            vector.iter_mut().zip(&scales).for_each(|(v, scale)| *v *= scale);
        }
        out
    }

    /// Number of features of a history.
    pub(super) fn len(&self) -> usize {
        if self.width == 0 { 0 } else { self.width + 1 }
    }

    /// Number of features of a history that can be other than zero: of few items there are few vectors.
    pub(super) fn used(&self) -> usize {
        used_columns(&self.vectors, self.width, 0) + (self.len() - self.width)
    }

    /// Writes the features of a history.
    pub(super) fn write(&self, items: &[u32], out: &mut [f32]) {
        if self.width == 0 {
            return;
        }
        let (z, count) = out.split_at_mut(self.width);
        z.fill(0.0);
        let damp = vec![1.0 / ((items.len() + 1) as f32).sqrt(); items.len()];
        weighted_row_sums(&[0, items.len()], items, &damp, &self.vectors, self.width, z);
        count[0] = popularity(items.len());
    }

    /// Features of all users, with their whole histories: `side`, a constant, features of the history.
    pub(super) fn design(&self, histories: &Csr, side: Csr) -> Design {
        let width = 1 + self.len();
        let mut dense = vec![1.0; histories.n_rows() * width];
        dense
            .par_chunks_mut(width)
            .with_min_len(64)
            .enumerate()
            .for_each(|(user, row)| self.write(histories.row(user).0, &mut row[1..]));
        Design::new(side, dense, width)
    }
}
