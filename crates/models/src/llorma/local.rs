//! One local model: least squares on weighted ratings, users and items in turn.
//!
//! Only those with a weight have rows, and neither ratings nor what biases leave of them are copied.

use foldin_core::random::Random;
use foldin_core::{Csr, Interactions};
use foldin_nn::linalg::NotPositiveDefinite;
use foldin_nn::ridge::Ridge;
use foldin_nn::{kernel, kernels::dot_in};
use rayon::prelude::*;

/// Rows that one task solves for.
const CHUNK: usize = 64;

/// Slot of a row that is not covered.
const NONE: u32 = u32::MAX;

/// What all local models have in common: what is left of a rating is `(value − mean − user − item) / unit`.
#[derive(Clone, Debug)]
pub(super) struct Setting<'a> {
    pub(super) ratings: &'a Interactions,
    pub(super) mean: f32,
    /// `[n_users]`.
    pub(super) user_bias: Vec<f32>,
    /// `[n_items]`.
    pub(super) item_bias: Vec<f32>,
    pub(super) unit: f32,
    /// `[k + 1]`: shrinkage of factors, and then of the bias.
    pub(super) lambda: Vec<f32>,
    pub(super) iterations: usize,
    pub(super) start_scale: f32,
}

/// The users, or the items, that a local model covers.
#[derive(Clone, Debug)]
pub(super) struct Covered {
    /// Numbers of those with a weight, ascending.
    pub(super) members: Vec<u32>,
    /// `[n]`: the place of each in `members`, or [`NONE`].
    slots: Vec<u32>,
    /// Square root of each member's weight.
    roots: Vec<f32>,
}

impl Covered {
    pub(super) fn new(weights: &[f32]) -> Self {
        let mut out = Self { members: Vec::new(), slots: vec![NONE; weights.len()], roots: Vec::new() };
        for (number, &weight) in weights.iter().enumerate() {
            if weight > 0.0 {
                out.slots[number] = out.members.len() as u32;
                out.members.push(number as u32);
                out.roots.push(weight.sqrt());
            }
        }
        out
    }

    fn weight(&self, slot: usize) -> f64 {
        f64::from(self.roots[slot]).powi(2)
    }
}

/// Writes the row of a regression for one rating: the other side's `[factors | bias]` of that rating, and what is left of it
/// over the biases, both times the root of the weight.
pub(super) fn write_row(row: &mut [f32], other: &[f32], root: f32, left: f32) {
    let k = other.len() - 1;
    for (out, &factor) in row.iter_mut().zip(&other[..k]) {
        *out = root * factor;
    }
    row[k] = root;
    row[k + 1] = root * (left - other[k]);
}

/// Half a round: each member of `own` given the rows of `other`.
struct Half<'a> {
    own: &'a Covered,
    other: &'a Covered,
    lists: &'a Csr,
    own_bias: &'a [f32],
    other_bias: &'a [f32],
    other_rows: &'a [f32],
}

impl Half<'_> {
    /// Solves for all rows. With `measured`, the weighted sum of squared errors afterwards and the sum of the weights.
    fn solve(
        &self,
        setting: &Setting<'_>,
        own_rows: &mut [f32],
        measured: bool,
    ) -> Result<(f64, f64), NotPositiveDefinite> {
        let width = setting.lambda.len();
        let prior = vec![0.0; width];
        let sums: Vec<(f64, f64)> = own_rows
            .par_chunks_mut(CHUNK * width)
            .enumerate()
            .map_init(
                || (Ridge::new(width), Vec::new()),
                |(ridge, entries), (chunk, rows)| {
                    let mut sums = (0.0, 0.0);
                    for (at, row) in rows.chunks_exact_mut(width).enumerate() {
                        let slot = chunk * CHUNK + at;
                        self.gather(setting, slot, entries);
                        let solved = ridge.solve(entries.len(), &setting.lambda, &prior, |entry, out| {
                            let (other, left) = entries[entry];
                            write_row(out, self.other_row(other, width), self.other.roots[other], left);
                        })?;
                        row.copy_from_slice(solved);
                        if measured {
                            let (squares, weights) = self.errors(row, entries);
                            sums.0 += self.own.weight(slot) * squares;
                            sums.1 += self.own.weight(slot) * weights;
                        }
                    }
                    Ok(sums)
                },
            )
            .collect::<Result<_, _>>()?;
        Ok(sums.iter().fold((0.0, 0.0), |sum, chunk| (sum.0 + chunk.0, sum.1 + chunk.1)))
    }

    fn other_row(&self, slot: usize, width: usize) -> &[f32] {
        &self.other_rows[slot * width..(slot + 1) * width]
    }

    /// The covered ratings of a row: slots of the other side, and what biases leave.
    fn gather(&self, setting: &Setting<'_>, slot: usize, entries: &mut Vec<(usize, f32)>) {
        let number = self.own.members[slot] as usize;
        let (columns, values) = self.lists.row(number);
        entries.clear();
        for (&column, &value) in columns.iter().zip(values) {
            let other = self.other.slots[column as usize];
            if other != NONE {
                let base = setting.mean + self.own_bias[number] + self.other_bias[column as usize];
                entries.push((other as usize, (value - base) / setting.unit));
            }
        }
    }

    /// Squared errors of a row's ratings, weighted by the other side, and the sum of these weights.
    fn errors(&self, row: &[f32], entries: &[(usize, f32)]) -> (f64, f64) {
        let weights = entries.iter().map(|&(other, _)| self.other.weight(other)).sum();
        (weighted_squares(row, entries, self.other_rows, &self.other.roots), weights)
    }
}

kernel! {
    /// `Σ root² (left − p·q − β_u − β_i)²` over the ratings of one row.
    fn weighted_squares(simd, row: &[f32], entries: &[(usize, f32)], others: &[f32], roots: &[f32]) -> f64 {
        let k = row.len() - 1;
        let mut squares = 0.0;
        for &(other, left) in entries {
            let from = other * (k + 1);
            let factors = dot_in(simd, &row[..k], &others[from..from + k]);
            let error = f64::from(roots[other] * (left - factors - row[k] - others[from + k]));
            squares += error * error;
        }
        squares
    }
}

/// A local model after training.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// Numbers of the covered items.
    pub(super) items: Vec<u32>,
    /// `[covered items × (k + 1)]`: factors and bias of each.
    pub(super) rows: Vec<f32>,
    /// Weighted sum of squared errors on the training ratings, in units.
    pub(super) squares: f64,
    /// Sum of the weights.
    pub(super) weights: f64,
}

/// The state of a local model in training, in the order of [`Covered::members`].
#[derive(Clone, Debug)]
pub(super) struct Trainer<'a> {
    setting: &'a Setting<'a>,
    pub(super) users: Covered,
    pub(super) items: Covered,
    /// `[covered users × (k + 1)]`.
    pub(super) user_rows: Vec<f32>,
    /// `[covered items × (k + 1)]`.
    pub(super) item_rows: Vec<f32>,
}

impl<'a> Trainer<'a> {
    /// Random factors of the items, drawn from the anchor's own stream; everything else is nought.
    pub(super) fn start(setting: &'a Setting<'a>, users: Covered, items: Covered, seed: u64) -> Self {
        let width = setting.lambda.len();
        let mut random = Random::new(seed);
        let mut item_rows = vec![0.0; items.members.len() * width];
        for row in item_rows.chunks_exact_mut(width) {
            row[..width - 1].iter_mut().for_each(|x| *x = random.normal() as f32 * setting.start_scale);
        }
        Self { setting, user_rows: vec![0.0; users.members.len() * width], item_rows, users, items }
    }

    /// Solves for all users given the items.
    pub(super) fn solve_users(&mut self) -> Result<(), NotPositiveDefinite> {
        let half = Half {
            own: &self.users,
            other: &self.items,
            lists: self.setting.ratings.by_user(),
            own_bias: &self.setting.user_bias,
            other_bias: &self.setting.item_bias,
            other_rows: &self.item_rows,
        };
        half.solve(self.setting, &mut self.user_rows, false).map(drop)
    }

    /// Solves for all items given the users, and perhaps measures the weighted error.
    pub(super) fn solve_items(&mut self, measured: bool) -> Result<(f64, f64), NotPositiveDefinite> {
        let half = Half {
            own: &self.items,
            other: &self.users,
            lists: self.setting.ratings.by_item(),
            own_bias: &self.setting.item_bias,
            other_bias: &self.setting.user_bias,
            other_rows: &self.user_rows,
        };
        half.solve(self.setting, &mut self.item_rows, measured)
    }

    /// All rounds.
    pub(super) fn run(mut self) -> Result<Local, NotPositiveDefinite> {
        let (mut squares, mut weights) = (0.0, 0.0);
        for iteration in 1..=self.setting.iterations {
            self.solve_users()?;
            (squares, weights) = self.solve_items(iteration == self.setting.iterations)?;
        }
        Ok(Local { items: self.items.members, rows: self.item_rows, squares, weights })
    }
}
