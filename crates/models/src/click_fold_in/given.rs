//! The regressions of one side of the matrix on the other, whose sums over everybody are made once.

use foldin_core::ItemFactors;
use foldin_nn::aligned::Aligned;
use foldin_nn::conjugate::{Conjugate, Over};
use foldin_nn::linalg::NotPositiveDefinite;
use foldin_nn::ridge::{Gram, Ridge};

/// One side of the matrix, as the regressions of the other side need it: rows and targets, and their sum over everybody.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(super) k: usize,
    /// `[n × k]`.
    pub(super) rows: Aligned<f32>,
    /// `[n]`.
    pub(super) targets: Vec<f32>,
    pub(super) gram: Gram,
    /// All of the sum's elements, once somebody improves instead of solving.
    square: Vec<f32>,
}

/// Room for the regressions of one thread.
pub(crate) struct Room {
    ridge: Ridge,
    lambda: Vec<f32>,
    prior: Vec<f32>,
    conjugate: Conjugate,
}

impl Room {
    pub(crate) fn new(k: usize) -> Self {
        Self { ridge: Ridge::new(k), lambda: vec![0.0; k], prior: vec![0.0; k], conjugate: Conjugate::new(k) }
    }
}

impl Given {
    /// Targets of 1, each row counting by its weight; what is said of all cells is not weighted.
    pub(crate) fn pointwise(factors: &[f32], k: usize, weight: impl Fn(usize) -> f32) -> Self {
        let n = factors.len() / k;
        let targets: Vec<f32> = (0..n).map(|row| weight(row).sqrt()).collect();
        let mut rows = Aligned::zeros(n * k);
        for ((out, row), root) in rows.chunks_exact_mut(k).zip(factors.chunks_exact(k)).zip(&targets) {
            out.iter_mut().zip(row).for_each(|(out, x)| *out = root * x);
        }
        let gram = Gram::new(k, n, |at, row| {
            row[..k].copy_from_slice(&factors[at * k..(at + 1) * k]);
            row[k] = 0.0;
        });
        Self { k, rows, targets, gram, square: Vec::new() }
    }

    /// Scores about their mean, 2 for what was clicked and 0 for the rest.
    pub(super) fn pairwise(items: &ItemFactors) -> Self {
        let (k, n) = (items.k, items.bias.len());
        let mean = |values: &mut dyn Iterator<Item = f32>| -> f32 {
            (values.map(f64::from).sum::<f64>() / n.max(1) as f64) as f32
        };
        let centre: Vec<f32> =
            (0..k).map(|at| mean(&mut items.m.iter().skip(at).step_by(k).copied())).collect();
        let bias = mean(&mut items.bias.iter().copied());
        let mut rows = Aligned::zeros(n * k);
        for (at, out) in rows.iter_mut().enumerate() {
            *out = items.m[at] - centre[at % k];
        }
        let targets: Vec<f32> = items.bias.iter().map(|of_item| 2.0 - (of_item - bias)).collect();
        let gram = Gram::new(k, n, |at, row| {
            row[..k].copy_from_slice(&rows[at * k..(at + 1) * k]);
            row[k] = targets[at] - 2.0;
        });
        Self { k, rows, targets, gram, square: Vec::new() }
    }

    /// Ready for [`Given::improve`].
    pub(crate) fn with_square(self) -> Self {
        Self { square: self.gram.square(), ..self }
    }

    /// As [`Given::solve`], but `x` is only improved, by some steps of conjugate gradients; by how much it then explains the targets.
    pub(crate) fn improve(
        &self,
        room: &mut Room,
        columns: &[u32],
        all: f32,
        lambda: f32,
        steps: usize,
        x: &mut [f32],
    ) -> f64 {
        let over = Over { gram: &self.square, factor: all, lambda };
        let left = room.conjugate.improve(over, &self.rows, &self.targets, columns, steps, x);
        let target = |column: &u32| f64::from(self.targets[*column as usize]).powi(2);
        columns.iter().map(target).sum::<f64>() - left
    }

    /// The regression on the rows of `columns`, with `all` times the sum over everybody, shrunk by `lambda`.
    pub(crate) fn solve<'a>(
        &self,
        room: &'a mut Room,
        columns: &[u32],
        all: f32,
        lambda: f32,
    ) -> Result<(&'a [f32], f64), NotPositiveDefinite> {
        self.solve_for(room, columns, all, lambda, |from, _| self.targets[from])
    }

    /// The regression of weighted rows: `weigh` tells the root of a column's weight and the score that it is drawn towards, about the mean.
    pub(super) fn solve_weighted<'a>(
        &self,
        room: &'a mut Room,
        columns: &[u32],
        all: f32,
        lambda: f32,
        weigh: impl Fn(usize) -> (f32, f32),
    ) -> Result<&'a [f32], NotPositiveDefinite> {
        let k = self.k;
        room.lambda.fill(lambda);
        room.ridge.solve_over(&self.gram, all, columns.len(), &room.lambda, &room.prior, |t, row| {
            let from = columns[t] as usize;
            let (root, towards) = weigh(t);
            let factors = &self.rows[from * k..(from + 1) * k];
            row.iter_mut().zip(factors).for_each(|(out, m)| *out = root * m);
            // Targets are 2 less biases.
            row[k] = root * (towards + self.targets[from] - 2.0);
        })?;
        Ok(room.ridge.solution())
    }

    /// As [`Given::solve`], with another target of each column, which is told the column's row.
    pub(super) fn solve_for<'a>(
        &self,
        room: &'a mut Room,
        columns: &[u32],
        all: f32,
        lambda: f32,
        target: impl Fn(usize, &[f32]) -> f32,
    ) -> Result<(&'a [f32], f64), NotPositiveDefinite> {
        let k = self.k;
        room.lambda.fill(lambda);
        room.ridge.solve_over(&self.gram, all, columns.len(), &room.lambda, &room.prior, |t, row| {
            let from = columns[t] as usize;
            row[..k].copy_from_slice(&self.rows[from * k..(from + 1) * k]);
            row[k] = target(from, &row[..k]);
        })?;
        Ok((room.ridge.solution(), room.ridge.explained()))
    }
}
