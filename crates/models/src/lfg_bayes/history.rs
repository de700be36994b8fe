//! What a user rated, whatever the ratings, as features of the prior: `z_u = Σ_{i rated} V_i / √(n_u + 1)` and `ln(n_u + 1) / 3`.
//!
//! `V` are the co-occurrence vectors of the items, scaled so that each feature has mean square 1 over the training users.

use foldin_core::random::{Random, numbered_seed};
use foldin_core::{Csr, Interactions, TrainingData};
use rayon::prelude::*;

use crate::item_design::{Design, cooccurrence, popularity};

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

    /// Writes the features of a history.
    pub(super) fn write(&self, items: &[u32], out: &mut [f32]) {
        if self.width == 0 {
            return;
        }
        let (z, count) = out.split_at_mut(self.width);
        z.fill(0.0);
        for &item in items {
            let from = item as usize * self.width;
            z.iter_mut().zip(&self.vectors[from..from + self.width]).for_each(|(z, v)| *z += v);
        }
        let damp = 1.0 / ((items.len() + 1) as f32).sqrt();
        z.iter_mut().for_each(|z| *z *= damp);
        count[0] = popularity(items.len());
    }
}

/// Features of all training users: side information, a constant, features of the history.
pub(super) struct UserDesign {
    /// With whole histories.
    pub(super) whole: Design,
    /// Row sums over the whole history and the random parts: what meets the users' means in the regression.
    pub(super) summed: Design,
    /// `[width × width]`: Gram matrix over whole histories and random parts.
    pub(super) gram: Vec<f64>,
}

impl UserDesign {
    pub(super) fn build(
        data: &TrainingData<'_>,
        side: bool,
        history: &HistoryFeatures,
        parts: usize,
        seed: u64,
    ) -> Self {
        let by_user = data.interactions.by_user();
        let n = by_user.n_rows();
        let parts = if history.width == 0 { 0 } else { parts };
        let copies = parts + 1;
        let width = 1 + history.len();
        // Whole history first, then the parts, user by user.
        let mut all = vec![0.0; n * copies * width];
        all.par_chunks_mut(copies * width).enumerate().for_each(|(user, rows)| {
            let mut items = by_user.row(user).0.to_vec();
            for (copy, row) in rows.chunks_exact_mut(width).enumerate() {
                let mut take = items.len();
                if copy > 0 {
                    let mut random =
                        Random::new(numbered_seed(seed, "part of a history", (user * parts + copy) as u64));
                    take = (random.uniform() * (items.len() + 1) as f64) as usize;
                    for at in 0..take {
                        let other = at + random.below(items.len() - at);
                        items.swap(at, other);
                    }
                }
                row[0] = 1.0;
                history.write(&items[..take], &mut row[1..]);
            }
        });
        let sparse = if side { data.user_features.rows().clone() } else { Csr::empty(n, 0) };
        let mut whole = Vec::with_capacity(n * width);
        let mut summed = vec![0.0; n * width];
        for (rows, summed) in all.chunks_exact(copies * width).zip(summed.chunks_exact_mut(width)) {
            whole.extend_from_slice(&rows[..width]);
            for row in rows.chunks_exact(width) {
                summed.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            }
        }
        let repeated: Vec<u32> = (0..n as u32).flat_map(|user| std::iter::repeat_n(user, copies)).collect();
        let gram = Design::new(sparse.select_rows(&repeated), all, width)
            .gram(|row| by_user.row_len(row / copies) > 0);
        let values = sparse.values().iter().map(|x| x * copies as f32).collect();
        let scaled =
            Csr::from_parts(sparse.n_cols(), sparse.offsets().to_vec(), sparse.columns().to_vec(), values)
                .expect("a copy of a valid matrix with other values");
        Self { whole: Design::new(sparse, whole, width), summed: Design::new(scaled, summed, width), gram }
    }
}
