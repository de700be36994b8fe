//! A trainable table whose rows are touched by few users of a batch: weights, moments and, if wanted, a running mean.
//!
//! Columns are cut into blocks of equal width and a block is stored row after row, so that a task can own a block, or some rows
//! of one, as plain slices; and so that a pass over a block in ascending order of rows reads memory in ascending order.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::adam::{Columns, Moving, Skips, Steps, skip_rows, step, update_row};
use crate::kernel;
use crate::plan::RowLists;

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

    /// A copy that will not learn any more: without moments.
    #[must_use]
    pub fn without_moments(&self) -> Self {
        let (w, average) = (self.w.clone(), self.average.clone());
        Self { n_rows: self.n_rows, block: self.block, w, m: Vec::new(), v: Vec::new(), average }
    }

    /// Frees the moments of a table that will not learn any more.
    pub fn forget_moments(&mut self) {
        (self.m, self.v) = (Vec::new(), Vec::new());
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

    /// A step at `at` for the rows of `lists` with their gradients, `[lists.rows.len() × block]`, and the steps that each skips
    /// afterwards. `skips` is that after this step. For tables of one block.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn update<E: Copy + Default + Sync>(
        &mut self,
        steps: &Steps,
        columns: &Columns,
        at: usize,
        skips: &Skips,
        lists: &RowLists<E>,
        gradients: &[f32],
    ) {
        let width = self.block;
        self.pieces(ROWS_AT_ONCE).into_par_iter().for_each(|(_, first, mut piece)| {
            let positions = lists.within(first as u32..(first + ROWS_AT_ONCE) as u32);
            let gradients = &gradients[positions.start * width..positions.end * width];
            let (rows, skipped) = (&lists.rows[positions.clone()], &lists.skipped[positions]);
            update_listed(steps, columns, at, skips, first, rows, skipped, gradients, &mut piece);
        });
    }

    /// A step at `at` for all rows, with gradients laid out as the weights are. For tables of one block.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn update_all(&mut self, steps: &Steps, columns: &Columns, at: usize, gradients: &[f32]) {
        let chunk = (ROWS_AT_ONCE * self.block).max(1);
        self.pieces(ROWS_AT_ONCE).into_par_iter().zip(gradients.par_chunks(chunk)).for_each(
            |((_, _, mut piece), gradients)| {
                step(steps, columns, at, gradients, &mut piece);
            },
        );
    }

    /// The running means corrected for their start from zero, or the weights where there are none.
    #[must_use]
    pub fn averaged(&self, correction: f32) -> Cow<'_, [f32]> {
        if self.average.is_empty() {
            return Cow::Borrowed(&self.w);
        }
        self.average.iter().map(|&average| average * correction).collect()
    }
}

kernel! {
    /// Steps for the rows `rows`, of which the first of `piece` is number `first`.
    fn update_listed(
        simd, steps: &Steps, columns: &Columns, at: usize, skips: &Skips, first: usize, rows: &[u32],
        skipped: &[u32], gradients: &[f32], piece: &mut Moving<'_>,
    ) {
        let width = columns.width();
        for ((&row, &skipped), gradient) in rows.iter().zip(skipped).zip(gradients.chunks_exact(width)) {
            let from = (row as usize - first) * width;
            let mut row = piece.slice(from..from + width);
            update_row(simd, steps, columns, at, Some(skips), skipped as usize, Some(gradient), &mut row);
        }
    }
}

/// Cuts the first `n` elements off.
fn take<'a>(slice: &mut &'a mut [f32], n: usize) -> &'a mut [f32] {
    let (first, rest) = std::mem::take(slice).split_at_mut(n);
    *slice = rest;
    first
}
