//! Non-negative elastic net by coordinate descent on a Gram matrix.
//!
//! For one column `t` of a matrix with the Gram matrix `G`: the `w ≥ 0` with `w_t = 0` that minimises
//! `½ w'Gw − G_t·w + ½ l2 |w|² + l1 Σ w`, which is half the squared error of explaining the column by the others, and the penalties. A step
//! takes the best value of one weight, `w_j = max(0, (G_tj − Σ_{k≠j} G_jk w_k − l1) / (G_jj + l2))`; what is left of the correlations
//! `G_t − G·w` is kept up to date, so that only weights that change cost a row of `G`, and the others one comparison (Friedman, Hastie,
//! Tibshirani 2010, section 2.2, "covariance updates").
//!
//! `G` must not have negative elements. Then a column with `G_tj ≤ l1` can never get a weight, because weights of others only lower
//! what is left for it, and it is never looked at.

use crate::kernel;
use crate::kernels::axpy_in;

/// What is minimised, and how closely.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ElasticNet {
    /// Weight of the sum of weights, at least 0.
    pub l1: f32,
    /// Weight of the sum of squares, at least 0.
    pub l2: f32,
    /// Times that all columns are gone through, at most.
    pub passes: usize,
    /// A pass in which no weight changes by more than this share of the largest ends it.
    pub tolerance: f32,
}

/// Room for one column.
#[derive(Clone, Debug)]
pub struct Workspace {
    left: Vec<f32>,
    weights: Vec<f32>,
}

impl Workspace {
    /// Room for a Gram matrix of `n` columns.
    #[must_use]
    pub fn new(n: usize) -> Self {
        Self { left: vec![0.0; n], weights: vec![0.0; n] }
    }
}

/// The weights of the other columns that explain `column`: the positive ones, by number. `gram` is `[n × n]`, symmetric, without
/// negative elements; `n` is what `work` was made for. O(passes · (columns with `G_tj > l1` + changes · n)).
///
/// ```
/// use foldin_nn::elastic_net::{ElasticNet, Workspace, explain};
/// let gram = [4.0, 2.0, 0.5, 2.0, 3.0, 0.0, 0.5, 0.0, 9.0];
/// let net = ElasticNet { l1: 1.0, l2: 1.0, passes: 10, tolerance: 1e-4 };
/// // (2 − 1) / (3 + 1); the correlation with column 2 is no more than the penalty.
/// assert_eq!(explain(&gram, 0, &net, &mut Workspace::new(3)), [(1, 0.25)]);
/// ```
///
/// # Panics
/// If the shapes disagree, or there is no such column.
#[must_use]
pub fn explain(gram: &[f32], column: usize, net: &ElasticNet, work: &mut Workspace) -> Vec<(u32, f32)> {
    let n = work.weights.len();
    assert_eq!(gram.len(), n * n, "a square matrix");
    let correlations = &gram[column * n..(column + 1) * n];
    work.left.copy_from_slice(correlations);
    let candidates: Vec<u32> = (0..n as u32)
        .filter(|&other| other as usize != column && correlations[other as usize] > net.l1)
        .collect();
    descend(gram, &candidates, net, &mut work.left, &mut work.weights);
    let found = candidates.iter().map(|&other| (other, std::mem::take(&mut work.weights[other as usize])));
    found.filter(|&(_, weight)| weight > 0.0).collect()
}

kernel! {
    fn descend(simd, gram: &[f32], candidates: &[u32], net: &ElasticNet, left: &mut [f32], weights: &mut [f32]) {
        let n = left.len();
        for _ in 0..net.passes {
            let (mut largest, mut change) = (0.0f32, 0.0f32);
            for &column in candidates {
                let column = column as usize;
                let old = weights[column];
                let row = &gram[column * n..(column + 1) * n];
                let new = ((left[column] + row[column] * old - net.l1) / (row[column] + net.l2)).max(0.0);
                let step = old - new;
                if step.abs() > 0.0 {
                    axpy_in(simd, step, row, left);
                    weights[column] = new;
                    change = change.max(step.abs());
                }
                largest = largest.max(new);
            }
            if change <= net.tolerance * largest {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    /// Gram matrix of a random binary matrix.
    fn gram(n: usize, rows: usize, seed: u64) -> Vec<f32> {
        let mut random = Random::new(seed);
        let mut out = vec![0.0; n * n];
        for _ in 0..rows {
            let taken: Vec<bool> =
                (0..n).map(|column| random.chance(0.1 + 0.4 * (column % 3) as f64)).collect();
            for i in (0..n).filter(|&i| taken[i]) {
                for j in (0..n).filter(|&j| taken[j]) {
                    out[i * n + j] += 1.0;
                }
            }
        }
        out
    }

    #[test]
    fn solutions_satisfy_the_conditions_of_optimality() {
        let (n, net) = (24, ElasticNet { l1: 2.0, l2: 3.0, passes: 1000, tolerance: 1e-7 });
        let gram = gram(n, 60, 1);
        let mut work = Workspace::new(n);
        for column in 0..n {
            let mut weights = vec![0.0f64; n];
            for (other, weight) in explain(&gram, column, &net, &mut work) {
                weights[other as usize] = f64::from(weight);
            }
            assert!(weights.iter().any(|&weight| weight > 0.0) && weights[column] == 0.0);
            for other in (0..n).filter(|&other| other != column) {
                let explained: f64 = (0..n).map(|k| f64::from(gram[other * n + k]) * weights[k]).sum();
                let slope = explained - f64::from(gram[column * n + other]) + 3.0 * weights[other] + 2.0;
                if weights[other] > 0.0 {
                    assert!(slope.abs() < 1e-4, "{column}, {other}: {slope}");
                } else {
                    assert!(slope > -1e-4, "{column}, {other}: {slope}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_left_in_the_workspace() {
        let net = ElasticNet { l1: 1.0, l2: 1.0, passes: 3, tolerance: 0.0 };
        let gram = gram(20, 40, 2);
        let mut work = Workspace::new(20);
        let first = explain(&gram, 3, &net, &mut work);
        drop(explain(&gram, 7, &net, &mut work));
        assert_eq!(explain(&gram, 3, &net, &mut work), first);
        let strict = ElasticNet { l1: 1e9, ..net };
        assert!(explain(&gram, 3, &strict, &mut work).is_empty());
    }
}
