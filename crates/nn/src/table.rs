//! A trainable table whose rows are touched by few users of a batch: weights, moments and, if wanted, a running mean.
//!
//! Columns are cut into blocks of equal width and a block is stored row after row, so that a task can own a block, or some rows
//! of one, as plain slices; and so that a pass over a block in ascending order of rows reads memory in ascending order.

use rayon::prelude::*;

use crate::adam::{Columns, Moving, Skips, Steps, skip_rows};

/// Rows that one task takes forward at a time.
const ROWS_AT_ONCE: usize = 256;

/// A `[n_rows × (n_blocks · block)]` table, stored block after block.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    n_rows: usize,
    block: usize,
    /// `[n_blocks × n_rows × block]`: weights.
    pub w: Vec<f32>,
    /// As `w`: means of gradients.
    pub m: Vec<f32>,
    /// As `w`: means of squared gradients.
    pub v: Vec<f32>,
    /// As `w`, or empty: running means of the weights.
    pub average: Vec<f32>,
}

impl Table {
    /// A table of given weights, moments at zero.
    ///
    /// # Panics
    /// If `w` is not a whole number of blocks.
    #[must_use]
    pub fn new(n_rows: usize, block: usize, w: Vec<f32>, averages: bool) -> Self {
        assert!(w.len().is_multiple_of((n_rows * block).max(1)), "whole blocks");
        let (n, n_average) = (w.len(), if averages { w.len() } else { 0 });
        Self { n_rows, block, w, m: vec![0.0; n], v: vec![0.0; n], average: vec![0.0; n_average] }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Columns of a block.
    #[must_use]
    pub fn block(&self) -> usize {
        self.block
    }

    /// The table in pieces of `rows` rows of one block (the last piece of a block may have fewer), block after block, each
    /// with the number of its block and its first row.
    pub fn pieces(&mut self, rows: usize) -> Vec<(usize, usize, Moving<'_>)> {
        let per_block = self.n_rows * self.block;
        let mut out = Vec::new();
        if per_block == 0 {
            return out;
        }
        let (mut w, mut m, mut v) = (&mut self.w[..], &mut self.m[..], &mut self.v[..]);
        let mut average = &mut self.average[..];
        for block in 0..w.len() / per_block {
            let mut first = 0;
            while first < self.n_rows {
                let n = rows.min(self.n_rows - first) * self.block;
                let n_average = if average.is_empty() { 0 } else { n };
                let piece = Moving {
                    w: take(&mut w, n),
                    m: take(&mut m, n),
                    v: take(&mut v, n),
                    average: take(&mut average, n_average),
                };
                out.push((block, first, piece));
                first += rows;
            }
        }
        out
    }

    /// Takes each row `skipped[row]` steps forward without gradient, from `done` steps done; see [`crate::adam`].
    pub fn skip(&mut self, steps: &Steps, columns: &Columns, done: usize, skips: &Skips, skipped: &[u32]) {
        self.pieces(ROWS_AT_ONCE).into_par_iter().for_each(|(_, first, mut piece)| {
            let last = (first + ROWS_AT_ONCE).min(skipped.len());
            skip_rows(steps, columns, done, skips, &skipped[first..last], &mut piece);
        });
    }

    /// The running means corrected for their start from zero, or the weights where there are none.
    #[must_use]
    pub fn averaged(&self, correction: f32) -> Vec<f32> {
        if self.average.is_empty() {
            return self.w.clone();
        }
        self.average.iter().map(|&average| average * correction).collect()
    }
}

/// Cuts the first `n` elements off.
fn take<'a>(slice: &mut &'a mut [f32], n: usize) -> &'a mut [f32] {
    let (first, rest) = std::mem::take(slice).split_at_mut(n);
    *slice = rest;
    first
}
