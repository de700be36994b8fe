//! Matrices seen through strides, and their panels as the inner kernel reads them.

use rayon::prelude::*;

use super::kernels::row_times_panels;
use crate::aligned::Aligned;
use crate::simd::level;

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
                pack(b.transposed(), first, panel.min(b.columns - first), panel, out);
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
    pub(crate) fn panels(&self, panels: std::ops::Range<usize>) -> &[f32] {
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

/// Lays `width` rows of `from`, from `first` on, column after column into `out`, padded to `panel` with whatever stood there.
///
/// `first` must be a multiple of `panel`, so that a panel lies within one block of a blocked axis.
pub(super) fn pack(from: Matrix<'_>, first: usize, width: usize, panel: usize, out: &mut [f32]) {
    // Of known size, a copy is a few instructions and no call.
    match panel {
        4 => pack_as::<4>(from, first, width, out),
        8 => pack_as::<8>(from, first, width, out),
        16 => pack_as::<16>(from, first, width, out),
        _ => pack_as::<32>(from, first, width, out),
    }
}

fn pack_as<const P: usize>(from: Matrix<'_>, first: usize, width: usize, out: &mut [f32]) {
    /// Columns whose part of the panel stays in the cache while rows are laid into it one after the other.
    const COLUMNS: usize = 16;
    let out = &mut out.as_chunks_mut::<P>().0[..from.columns];
    if from.rows_at.stride == 1 {
        let first = from.rows_at.at(first);
        for (column, out) in out.iter_mut().enumerate() {
            let line = &from.data[first + from.columns_at.at(column)..];
            match line.first_chunk::<P>() {
                Some(line) if width == P => *out = *line,
                _ => out[..width].copy_from_slice(&line[..width]),
            }
        }
        return;
    }
    let fold = from.columns_at.fold.min(from.columns);
    let mut starts = [0; P];
    for (row, start) in starts[..width].iter_mut().enumerate() {
        *start = from.rows_at.at(first + row);
    }
    for (group, out) in out.chunks_mut(fold).enumerate() {
        let stride = from.columns_at.stride;
        for (at, out) in out.chunks_mut(COLUMNS).enumerate() {
            let at = group * from.columns_at.fold_stride + at * COLUMNS * stride;
            for (row, start) in starts[..width].iter().enumerate() {
                let line = &from.data[start + at..];
                if stride == 1 {
                    for (out, &x) in out.iter_mut().zip(line) {
                        out[row] = x;
                    }
                } else {
                    for (out, &x) in out.iter_mut().zip(line.iter().step_by(stride)) {
                        out[row] = x;
                    }
                }
            }
        }
    }
}

/// Columns of `C` that the inner kernel computes at once: two registers.
fn panel_width() -> usize {
    2 * level().lanes()
}
