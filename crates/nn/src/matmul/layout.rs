//! Matrices seen through strides, and their panels as the inner kernel reads them.

use std::ops::Range;

use rayon::prelude::*;

use super::kernels::row_times_panels;
use crate::aligned::Aligned;
use crate::kernel;
use crate::simd::{Simd, level};

/// A matrix seen through strides.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: usize,
    rows_at: Axis,
    columns_at: Axis,
}

/// Where the elements of an axis lie: `stride` apart, and `fold_stride` from one group of `fold` of them to the next.
#[derive(Clone, Copy, Debug)]
struct Axis {
    stride: usize,
    fold: usize,
    fold_stride: usize,
}

impl Axis {
    fn plain(stride: usize) -> Self {
        Self { stride, fold: usize::MAX, fold_stride: 0 }
    }

    #[inline(always)]
    fn at(self, index: usize) -> usize {
        index / self.fold * self.fold_stride + index % self.fold * self.stride
    }
}

impl<'a> Matrix<'a> {
    /// A `[rows × columns]` matrix, row-major.
    ///
    /// # Panics
    /// If `data` holds fewer elements.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert!(data.len() >= rows * columns, "{rows} × {columns}");
        Self { data, rows, columns, rows_at: Axis::plain(columns), columns_at: Axis::plain(1) }
    }

    /// A matrix stored in blocks of `block` columns, each `[rows × block]` row-major, as the sparse layer leaves it. `block`
    /// must be a multiple of 32.
    ///
    /// # Panics
    /// If `data` holds fewer elements, or `block` does not fit the inner kernel.
    #[must_use]
    pub fn blocked(data: &'a [f32], rows: usize, columns: usize, block: usize) -> Self {
        assert!(block > 0 && block.is_multiple_of(32), "blocks of {block}");
        assert!(data.len() >= rows * columns.next_multiple_of(block), "{rows} × {columns}");
        let columns_at = Axis { stride: 1, fold: block, fold_stride: rows * block };
        Self { data, rows, columns, rows_at: Axis::plain(block), columns_at }
    }

    /// The first `columns` columns.
    ///
    /// # Panics
    /// If there are fewer.
    #[must_use]
    pub fn first_columns(self, columns: usize) -> Self {
        assert!(columns <= self.columns, "{columns} of {}", self.columns);
        Self { columns, ..self }
    }

    /// The same matrix with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            rows_at: self.columns_at,
            columns_at: self.rows_at,
            ..self
        }
    }
}

/// A right-hand matrix laid out for the inner kernel, to be used many times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// Panels of [`Packed::panel`] columns, each `[rows × panel]`, padded with zeros.
    pub(super) data: Aligned<f32>,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) panel: usize,
}

impl Packed {
    /// Packs a matrix.
    #[must_use]
    pub fn new(b: Matrix<'_>) -> Self {
        let mut packed = Self::default();
        packed.fill(b);
        packed
    }

    /// Packs a matrix in the place of the one before, whose memory is used again if it was as large.
    pub fn fill(&mut self, b: Matrix<'_>) {
        let panel = panel_width();
        let size = b.columns.div_ceil(panel) * panel * b.rows;
        // What pads the last panel was zero before and is never written.
        if self.data.len() != size || (self.rows, self.columns, self.panel) != (b.rows, b.columns, panel) {
            self.data = Aligned::zeros(size);
            (self.rows, self.columns, self.panel) = (b.rows, b.columns, panel);
        }
        if size > 0 {
            self.data.par_chunks_mut(panel * b.rows).enumerate().for_each(|(at, out)| {
                let first = at * panel;
                pack_panel(b.transposed(), first, panel.min(b.columns - first), out, panel);
            });
        }
    }

    /// Number of rows: the inner dimension of a product.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Columns of a panel, which depends on the CPU.
    #[must_use]
    pub fn panel(&self) -> usize {
        self.panel
    }

    /// Some panels, each `[rows × panel]`.
    pub(crate) fn panels(&self, panels: Range<usize>) -> &[f32] {
        let size = self.panel * self.rows;
        &self.data[panels.start * size..panels.end * size]
    }

    /// `x · self` of one row: `out` gets [`Packed::columns`] numbers. Same bits as [`matmul`](super::matmul) of that row.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn row_times(&self, x: &[f32], out: &mut [f32]) {
        assert_eq!(out.len(), self.columns, "size of the product");
        let whole = self.columns / self.panel;
        let (most, last) = out.split_at_mut(whole * self.panel);
        assert_eq!(x.len(), self.rows, "inner dimension");
        row_times_panels(x, self.panels(0..whole), most);
        if !last.is_empty() {
            let mut line = [0.0; 64];
            row_times_panels(x, self.panels(whole..whole + 1), &mut line[..self.panel]);
            last.copy_from_slice(&line[..last.len()]);
        }
    }
}

kernel! {
    /// Lays `width` rows of `from`, from `first` on, column after column into `out`, padded to `panel`.
    fn pack_panel(simd, from: Matrix<'_>, first: usize, width: usize, out: &mut [f32], panel: usize) {
        match panel {
            8 => pack::<S, 8>(simd, from, first..first + width, 0..from.columns, out),
            16 => pack::<S, 16>(simd, from, first..first + width, 0..from.columns, out),
            _ => pack::<S, 32>(simd, from, first..first + width, 0..from.columns, out),
        }
    }
}

/// Columns that are asked for before their turn.
const AHEAD: usize = 12;

/// Lays some rows of `from` into panels of `P` of them: each holds the rows' numbers at the first of `columns`, then at the next.
/// The last panel is padded with whatever stood there.
///
/// The first row must be a multiple of `P`, so that a panel lies within one block of a blocked axis.
#[inline(always)]
pub(super) fn pack<S: Simd, const P: usize>(
    simd: S,
    from: Matrix<'_>,
    rows: Range<usize>,
    columns: Range<usize>,
    out: &mut [f32],
) {
    let panels = out.as_chunks_mut::<P>().0;
    let depth = columns.len();
    if from.rows_at.stride == 1 {
        // Rows lie beside each other: all panels' part of a column before the next, which may be a page away and is asked for
        // ahead of its turn.
        for (at, number) in columns.enumerate() {
            let column = from.columns_at.at(number);
            let ahead = from.columns_at.at(number + AHEAD);
            for (panel, first) in rows.clone().step_by(P).enumerate() {
                let row = from.rows_at.at(first);
                simd.prefetch(from.data.as_ptr().wrapping_add(row + ahead));
                let out = &mut panels[panel * depth + at];
                let line = &from.data[row + column..];
                let width = P.min(rows.end - first);
                match line.first_chunk::<P>() {
                    Some(line) if width == P => *out = *line,
                    _ => out[..width].copy_from_slice(&line[..width]),
                }
            }
        }
        return;
    }
    for (panel, first) in panels.chunks_exact_mut(depth.max(1)).zip(rows.clone().step_by(P)) {
        let width = P.min(rows.end - first);
        let mut column = columns.start;
        // As far as columns lie at one stride.
        while column < columns.end {
            let end = columns
                .end
                .min((column / from.columns_at.fold).saturating_add(1).saturating_mul(from.columns_at.fold));
            let lines = &from.data[from.rows_at.at(first) + from.columns_at.at(column)..];
            let out = &mut panel[column - columns.start..end - columns.start];
            pack_lines(simd, lines, [from.rows_at.stride, from.columns_at.stride], width, out);
            column = end;
        }
    }
}

/// `out[column][row]` for `width` rows: numbers `stride` apart, along rows and along columns.
#[inline(always)]
#[expect(unsafe_code, reason = "squares are transposed in registers")]
fn pack_lines<S: Simd, const P: usize>(
    simd: S,
    from: &[f32],
    [row_stride, column_stride]: [usize; 2],
    width: usize,
    out: &mut [[f32; P]],
) {
    let side = S::SQUARE;
    // Whole squares first, then what is left of columns and of rows.
    let (rows, columns) = match column_stride {
        1 => (width / side * side, out.len() / side * side),
        _ => (0, 0),
    };
    for column in (0..columns).step_by(side) {
        let out = &mut out[column..column + side];
        for row in (0..rows).step_by(side) {
            let last = (row + side - 1) * row_stride + column + side;
            assert!(last <= from.len() && row + side <= P);
            // SAFETY: the last line of the square lies within `from`, and `out` holds as many lines, of P numbers each.
            unsafe {
                let to = out.as_flattened_mut().as_mut_ptr().add(row);
                simd.transpose(from.as_ptr().add(row * row_stride + column), row_stride, to, P);
            }
        }
    }
    for row in 0..width {
        let done = if row < rows { columns } else { 0 };
        let line = from[row * row_stride + done * column_stride..].iter().step_by(column_stride);
        for (out, &x) in out[done..].iter_mut().zip(line) {
            out[row] = x;
        }
    }
}

/// Columns of `C` that the inner kernel computes at once: two registers.
fn panel_width() -> usize {
    2 * level().lanes()
}
