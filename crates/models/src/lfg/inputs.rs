//! The table of the sparse first layer while it is trained, in either of its two forms.

use foldin_core::{FitError, TrainState};
use foldin_nn::adam::{Columns, Skips, Steps};
use foldin_nn::aligned::Aligned;
use foldin_nn::half_table::{HalfTable, RowSteps, sum_half_rows, update_half_rows};
use foldin_nn::plan::RowLists;
use foldin_nn::simd::{f32_to_half, half_to_f32};
use foldin_nn::sparse_layer::{BLOCK, Entry, TABLE_BLOCK, sum_rows, update_rows};
use foldin_nn::table::Table;
use rayon::prelude::*;

use super::network::Shape;
use crate::resume;

/// `[n_blocks][n_inputs][2·BLOCK]` weights.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Inputs {
    /// By Adam.
    Adam(Table),
    /// By row, in half precision.
    RowWise(HalfTable),
}

impl Default for Inputs {
    fn default() -> Self {
        Self::Adam(Table::default())
    }
}

/// How the table learns.
#[derive(Debug)]
pub(super) struct InputRules {
    pub(super) columns: Columns,
    pub(super) rows: RowSteps,
    /// The learning rate of every row-wise step.
    pub(super) row_rates: Vec<f32>,
}

impl Inputs {
    /// The table that learns by Adam.
    #[cfg(test)]
    pub(super) fn table(&self) -> &Table {
        match self {
            Self::Adam(table) => table,
            Self::RowWise(_) => unreachable!("the tests ask for Adam"),
        }
    }

    /// A copy without what the optimiser remembers.
    pub(super) fn without_moments(&self) -> Self {
        match self {
            Self::Adam(table) => Self::Adam(table.without_moments()),
            Self::RowWise(table) => Self::RowWise(table.without_moments()),
        }
    }

    /// Frees what the optimiser remembers.
    pub(super) fn forget_moments(&mut self) {
        match self {
            Self::Adam(table) => table.forget_moments(),
            Self::RowWise(table) => table.forget_moments(),
        }
    }

    /// Takes rows forward that are not needed at once. Row-wise steps never touch them.
    pub(super) fn skip(
        &mut self,
        steps: &Steps,
        rules: &InputRules,
        done: usize,
        skips: &Skips,
        wait: &[u32],
    ) {
        if let Self::Adam(table) = self {
            table.skip(steps, &rules.columns, done, skips, wait);
        }
    }

    /// Weighted sums of the rows of a batch, for one block of units.
    pub(super) fn sum(&self, lists: &RowLists<Entry>, n_inputs: usize, block: usize, z: &mut [f32]) {
        match self {
            Self::Adam(table) => {
                let n = n_inputs * TABLE_BLOCK;
                sum_rows(lists, &table.w[block * n..(block + 1) * n], z);
            }
            Self::RowWise(table) => sum_half_rows(lists, table.block(block), z),
        }
    }

    /// A step at `at` for the touched rows of all blocks, from the gradients `dz`, `chunk` of them a block.
    pub(super) fn update(
        &mut self,
        lists: &RowLists<Entry>,
        n_inputs: usize,
        dz: &[f32],
        chunk: usize,
        steps: &Steps,
        rules: &InputRules,
        at: usize,
        skips: &Skips,
    ) {
        match self {
            Self::Adam(table) => {
                table.pieces(n_inputs).into_par_iter().zip(dz.par_chunks(chunk)).for_each(
                    |((_, _, mut table), dz)| {
                        update_rows(lists, dz, steps, &rules.columns, at, skips, &mut table);
                    },
                );
            }
            Self::RowWise(table) => {
                let rate = rules.row_rates[at];
                table.blocks().into_par_iter().zip(dz.par_chunks(chunk)).for_each(
                    |((block, table, moments), dz)| {
                        update_half_rows(lists, dz, &rules.rows, at, rate, block, table, moments);
                    },
                );
            }
        }
    }

    /// The weights for a fitted model, averaged if they are: blocks of columns in half precision, `[n_items × 2 × BLOCK]` each, and
    /// `[n_side × BLOCK]` each.
    pub(super) fn halves(&self, shape: &Shape, correction: f32) -> (Aligned<u16>, Aligned<u16>) {
        match self {
            Self::Adam(table) => split(&table.averaged(correction), shape, f32_to_half),
            Self::RowWise(table) => split(table.parts().0, shape, |half| half),
        }
    }

    /// The same of a table that is no longer needed, without a copy where the two lie as they should.
    pub(super) fn into_halves(self, shape: &Shape, correction: f32) -> (Aligned<u16>, Aligned<u16>) {
        match self {
            Self::RowWise(table) if shape.n_side == 0 => (table.into_weights(), Aligned::zeros(0)),
            table => table.halves(shape, correction),
        }
    }

    /// Everything under its name, for a checkpoint.
    pub(super) fn save(&self, state: &mut TrainState) {
        match self {
            Self::Adam(table) => save_table("inputs", table, state),
            Self::RowWise(table) => {
                let (w, v) = table.parts();
                let w: Vec<f32> = w.par_iter().map(|&half| half_to_f32(half)).collect();
                resume::keep(state, "inputs.half".to_owned(), [w.len()], &w);
                resume::keep(state, "inputs.scale".to_owned(), [v.len()], v);
            }
        }
    }

    /// Puts a checkpoint in the place of the start.
    pub(super) fn restore(&mut self, state: &mut TrainState) -> Result<(), FitError> {
        match self {
            Self::Adam(table) => restore_table("inputs", table, state),
            Self::RowWise(table) => {
                let (w, v) = table.parts_mut();
                let kept = resume::take(state, "inputs.half", [w.len()])?;
                w.iter_mut().zip(kept).for_each(|(w, kept)| *w = f32_to_half(kept));
                *v = resume::take(state, "inputs.scale", [v.len()])?;
                Ok(())
            }
        }
    }
}

/// Weights of items, and of side information, which has no indicator.
fn split<T: Copy>(table: &[T], shape: &Shape, half: impl Fn(T) -> u16) -> (Aligned<u16>, Aligned<u16>) {
    let (n_items, n_inputs) = (shape.n_items, shape.n_inputs());
    let padded = shape.n_blocks() * BLOCK;
    let mut items = Aligned::zeros(n_items * 2 * padded);
    let mut side = Aligned::zeros(shape.n_side * padded);
    for (at, row) in table.chunks_exact(TABLE_BLOCK).enumerate() {
        let (block, row_number) = (at / n_inputs, at % n_inputs);
        let (row, out) = match row_number.checked_sub(n_items) {
            None => (row, &mut items[(block * n_items + row_number) * TABLE_BLOCK..][..TABLE_BLOCK]),
            Some(column) => (&row[..BLOCK], &mut side[(block * shape.n_side + column) * BLOCK..][..BLOCK]),
        };
        out.iter_mut().zip(row).for_each(|(out, &w)| *out = half(w));
    }
    (items, side)
}

/// A table that learns by Adam under its name, for a checkpoint.
pub(super) fn save_table(name: &str, table: &Table, state: &mut TrainState) {
    for (part, data) in [("w", &table.w), ("m", &table.m), ("v", &table.v), ("average", &table.average)] {
        resume::keep(state, format!("{name}.{part}"), [data.len()], data);
    }
}

/// The reverse of [`save_table`].
pub(super) fn restore_table(name: &str, table: &mut Table, state: &mut TrainState) -> Result<(), FitError> {
    for (part, out) in
        [("w", &mut table.w), ("m", &mut table.m), ("v", &mut table.v), ("average", &mut table.average)]
    {
        *out = resume::take(state, &format!("{name}.{part}"), [out.len()])?;
    }
    Ok(())
}
