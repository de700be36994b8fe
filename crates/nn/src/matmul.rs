//! Dense products of matrices, for the layers behind the sparse one.
//!
//! `C = A·B` with `A` and `B` given by strides, so that a transpose costs nothing extra. Both are packed into panels that the
//! inner kernel reads from end to end, a stretch of the inner dimension at a time, so that what it reads again stays in the cache
//! next to the core. An element of `C` is one sum in order of the inner dimension, and tasks own rows of `C`, so the result has
//! the same bits at any number of threads.

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::kernel;
use crate::simd::{Simd, level};

/// A matrix seen through strides.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
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

/// Rows of `C` that a task owns at most: the more, the less often the right-hand matrix is read.
const ROWS_AT_ONCE: usize = 64;

/// Elements of the inner dimension that are multiplied before the next: a panel of as many rows is 32 KiB with AVX-512.
const DEPTH_AT_ONCE: usize = 256;

/// A right-hand matrix laid out for the inner kernel, to be used many times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packed {
    /// Panels of [`Packed::panel`] columns, each `[rows × panel]`, padded with zeros.
    data: Aligned<f32>,
    rows: usize,
    columns: usize,
    panel: usize,
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

    /// `x · self` of one row: `out` gets [`Packed::columns`] numbers. Same bits as [`matmul`] of that row.
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

/// `C = A·B`, or `C += A·B` if `add`; `c` is `[a.rows × b.columns]`, row-major.
///
/// # Panics
/// If the shapes disagree.
pub fn matmul(a: Matrix<'_>, b: Matrix<'_>, add: bool, c: &mut [f32]) {
    matmul_packed(a, &Packed::new(b), add, c);
}

/// As [`matmul`], of a matrix that is packed already.
///
/// # Panics
/// If the shapes disagree.
pub fn matmul_packed(a: Matrix<'_>, b: &Packed, add: bool, c: &mut [f32]) {
    assert_eq!(a.columns, b.rows, "inner dimension");
    assert_eq!(c.len(), a.rows * b.columns, "size of the product");
    if c.is_empty() {
        return;
    }
    if a.columns == 0 {
        if !add {
            c.fill(0.0);
        }
        return;
    }
    // A task for each thread where there is work for all.
    let rows = ROWS_AT_ONCE.min(a.rows.div_ceil(rayon::current_num_threads().max(2)).next_multiple_of(8));
    if a.rows <= rows {
        multiply_rows(a, 0, &b.data, b.columns, add, c);
        return;
    }
    c.par_chunks_mut(rows * b.columns).enumerate().for_each(|(at, c)| {
        multiply_rows(a, at * rows, &b.data, b.columns, add, c);
    });
}

/// Rows of a square product that a task owns: enough that a strip of the right side is read often from the nearest cache.
const SQUARE_ROWS: usize = 128;

/// `C += A·B` of a square product `[n × n]` that is symmetric: elements on and below the diagonal are computed, those above it
/// come out unspecified. Half the work of [`matmul_packed`].
///
/// # Panics
/// If the shapes disagree.
pub fn add_symmetric_product(a: Matrix<'_>, b: &Packed, c: &mut [f32]) {
    let n = a.rows;
    assert_eq!((a.columns, b.columns), (b.rows, n), "a square product");
    assert_eq!(c.len(), n * n, "size of the product");
    if n == 0 || a.columns == 0 {
        return;
    }
    // The last rows are the longest: they go first, so that no thread is left with them at the end.
    c.par_chunks_mut(SQUARE_ROWS * n).enumerate().rev().with_max_len(1).for_each(|(at, c)| {
        let first = at * SQUARE_ROWS;
        let width = (first + SQUARE_ROWS).min(n);
        add_to_rows(a, first, b.panels(0..width.div_ceil(b.panel)), width, n, c);
    });
}

/// Lays `width` rows of `from`, from `first` on, column after column into `out`, padded to `panel` with whatever stood there.
///
/// `first` must be a multiple of `panel`, so that a panel lies within one block of a blocked axis.
fn pack(from: Matrix<'_>, first: usize, width: usize, panel: usize, out: &mut [f32]) {
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

kernel! {
    /// Rows `first..` of the product, as many as `c` holds.
    fn multiply_rows(
        simd, a: Matrix<'_>, first: usize, packed: &[f32], n: usize, add: bool, c: &mut [f32],
    ) {
        match S::LANES {
            16 => tiles::<S, 8>(simd, a, first, packed, n, n, add, c),
            _ => tiles::<S, 4>(simd, a, first, packed, n, n, add, c),
        }
    }

    /// Adds the first `n` columns of the product to rows of `stride` numbers.
    fn add_to_rows(simd, a: Matrix<'_>, first: usize, packed: &[f32], n: usize, stride: usize, c: &mut [f32]) {
        match S::LANES {
            16 => tiles::<S, 8>(simd, a, first, packed, n, stride, true, c),
            _ => tiles::<S, 4>(simd, a, first, packed, n, stride, true, c),
        }
    }
}

kernel! {
    fn row_times_panels(simd, x: &[f32], panels: &[f32], out: &mut [f32]) {
        let panel = 2 * S::LANES;
        let size = panel * x.len();
        // Four panels at a time keep eight sums going; what is left goes one by one.
        let four = out.len() / (4 * panel) * 4 * panel;
        let (many, rest) = out.split_at_mut(four);
        for (at, out) in many.chunks_exact_mut(4 * panel).enumerate() {
            row_times::<S, 4>(simd, x, &panels[at * 4 * size..(at + 1) * 4 * size], out);
        }
        for (at, out) in rest.chunks_exact_mut(panel).enumerate() {
            let from = (four / panel + at) * size;
            row_times::<S, 1>(simd, x, &panels[from..from + size], out);
        }
    }
}

/// One row times `P` panels of two registers.
#[inline(always)]
fn row_times<S: Simd, const P: usize>(simd: S, x: &[f32], panels: &[f32], out: &mut [f32]) {
    store_panels(simd, &panel_sums::<S, P>(simd, x, panels), out);
}

/// The sums of one row times `P` panels, two registers a panel.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of retrieval")]
pub(crate) fn panel_sums<S: Simd, const P: usize>(simd: S, x: &[f32], panels: &[f32]) -> [[S::V; 2]; P] {
    let panel = 2 * S::LANES;
    let size = panel * x.len();
    assert!(panels.len() == P * size);
    let mut sums = [[simd.splat(0.0); 2]; P];
    for (row, &x) in x.iter().enumerate() {
        let x = simd.splat(x);
        for (at, sums) in sums.iter_mut().enumerate() {
            // SAFETY: a panel holds two registers for each of `x`, and there are P of them.
            unsafe {
                let from = panels.as_ptr().add(at * size + row * panel);
                sums[0] = simd.mul_add(x, simd.load(from), sums[0]);
                sums[1] = simd.mul_add(x, simd.load(from.add(S::LANES)), sums[1]);
            }
        }
    }
    sums
}

/// Writes what [`panel_sums`] gave.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of retrieval")]
pub(crate) fn store_panels<S: Simd, const P: usize>(simd: S, sums: &[[S::V; 2]; P], out: &mut [f32]) {
    let panel = 2 * S::LANES;
    assert!(out.len() == P * panel);
    for (at, sums) in sums.iter().enumerate() {
        // SAFETY: `out` holds P panels of two registers.
        unsafe {
            let to = out.as_mut_ptr().add(at * panel);
            simd.store(to, sums[0]);
            simd.store(to.add(S::LANES), sums[1]);
        }
    }
}

#[inline(always)]
fn tiles<S: Simd, const R: usize>(
    simd: S,
    a: Matrix<'_>,
    first: usize,
    packed: &[f32],
    n: usize,
    stride: usize,
    add: bool,
    c: &mut [f32],
) {
    let panel = 2 * S::LANES;
    let depth = a.columns;
    let n_rows = c.len() / stride;
    let n_tiles = n_rows.div_ceil(R);
    assert_eq!(packed.len(), n.div_ceil(panel) * panel * depth);
    // Taken out and put back: within a closure the loops would be compiled for the baseline CPU.
    let mut room = LEFT.take();
    // What padding rows hold is multiplied, and then left out.
    room.resize(room.len().max(n_tiles * R * depth), 0.0);
    let left = &mut room[..n_tiles * R * depth];
    for (tile, out) in left.chunks_exact_mut(R * depth).enumerate() {
        pack(a, first + tile * R, R.min(n_rows - tile * R), R, out);
    }
    if !add || depth <= DEPTH_AT_ONCE {
        stretches::<S, R>(simd, left, packed, depth, n, stride, add, c);
    } else {
        // Whole sums first: they are added once, however many stretches they have.
        let mut sums = vec![0.0; c.len()];
        stretches::<S, R>(simd, left, packed, depth, n, stride, false, &mut sums);
        for (c, sum) in c.iter_mut().zip(&sums) {
            *c += sum;
        }
    }
    LEFT.set(room);
}

thread_local! {
    /// Room for the packed rows of a task.
    static LEFT: std::cell::RefCell<Vec<f32>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The product of packed matrices, a stretch of the inner dimension after the other; each goes on with the sums of the one before.
#[inline(always)]
fn stretches<S: Simd, const R: usize>(
    simd: S,
    left: &[f32],
    packed: &[f32],
    depth: usize,
    n: usize,
    stride: usize,
    add: bool,
    c: &mut [f32],
) {
    let panel = 2 * S::LANES;
    let n_rows = c.len() / stride;
    let mut from = 0;
    while from < depth {
        let to = depth.min(from + DEPTH_AT_ONCE);
        for (at, right) in packed.chunks_exact(panel * depth).enumerate() {
            let right = &right[from * panel..to * panel];
            let width = panel.min(n - at * panel);
            for (tile, left) in left.chunks_exact(R * depth).enumerate() {
                let left = &left[from * R..to * R];
                let place = Place {
                    first: tile * R * stride + at * panel,
                    stride,
                    rows: R.min(n_rows - tile * R),
                    width,
                };
                multiply_tile::<S, R>(simd, left, right, place, from > 0, add, c);
            }
        }
        from = to;
    }
}

/// Where a tile of `C` lies.
#[derive(Clone, Copy)]
struct Place {
    first: usize,
    stride: usize,
    rows: usize,
    width: usize,
}

/// One tile: its sums start from what is there (`go_on`) or from zero, and at the end replace it or are added to it (`add`).
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of dense layers")]
fn multiply_tile<S: Simd, const R: usize>(
    simd: S,
    left: &[f32],
    right: &[f32],
    place: Place,
    go_on: bool,
    add: bool,
    c: &mut [f32],
) {
    let panel = 2 * S::LANES;
    let mut line = [0.0f32; 64];
    let mut sums = [[simd.splat(0.0); 2]; R];
    if go_on {
        for (row, sums) in sums.iter_mut().enumerate().take(place.rows) {
            let c = &c[place.first + row * place.stride..][..place.width];
            // SAFETY: `line` holds at least two registers of any level, and `c` holds two where it is that wide.
            unsafe {
                let at = if place.width == panel {
                    c.as_ptr()
                } else {
                    line[..place.width].copy_from_slice(c);
                    line.as_ptr()
                };
                *sums = [simd.load(at), simd.load(at.add(S::LANES))];
            }
        }
    }
    let sums = tile_sums(simd, left, right, sums);
    for (row, sums) in sums.iter().enumerate().take(place.rows) {
        let c = &mut c[place.first + row * place.stride..][..place.width];
        // SAFETY: as above.
        unsafe {
            if place.width == panel {
                let low = c.as_mut_ptr();
                let high = low.add(S::LANES);
                if add {
                    simd.store(low, simd.add(sums[0], simd.load(low)));
                    simd.store(high, simd.add(sums[1], simd.load(high)));
                } else {
                    simd.store(low, sums[0]);
                    simd.store(high, sums[1]);
                }
                continue;
            }
            simd.store(line.as_mut_ptr(), sums[0]);
            simd.store(line.as_mut_ptr().add(S::LANES), sums[1]);
        }
        for (c, &x) in c.iter_mut().zip(&line) {
            *c = if add { *c + x } else { x };
        }
    }
}

/// Goes on with the sums of a tile. Taken and given by value, and never indexed by anything but a constant, they stay in registers;
/// behind a reference they would be written out at every step.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of dense layers")]
fn tile_sums<S: Simd, const R: usize>(
    simd: S,
    left: &[f32],
    right: &[f32],
    mut sums: [[S::V; 2]; R],
) -> [[S::V; 2]; R] {
    let panel = 2 * S::LANES;
    let depth = left.len() / R;
    assert!(right.len() == depth * panel);
    let (mut x, mut y) = (left.as_ptr(), right.as_ptr());
    for _ in 0..depth {
        // SAFETY: `left` holds `depth` groups of R numbers and `right` as many groups of two registers.
        unsafe {
            let (low, high) = (simd.load(y), simd.load(y.add(S::LANES)));
            for row in 0..R {
                let x = simd.splat(*x.add(row));
                sums[row] = [simd.mul_add(x, low, sums[row][0]), simd.mul_add(x, high, sums[row][1])];
            }
            x = x.add(R);
            y = y.add(panel);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|at| ((at * 7 + seed * 13) % 23) as f32 / 8.0 - 1.25).collect()
    }

    proptest! {
        #[test]
        fn products_equal_their_naive_twin(
            m in 0usize..70, k in prop_oneof![0usize..40, 250usize..600], n in 0usize..70, left: bool, right: bool, add: bool,
        ) {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let at = |i: usize, j: usize| if left { a[j * m + i] } else { a[i * k + j] };
            let bt = |i: usize, j: usize| if right { b[j * k + i] } else { b[i * n + j] };
            let a = if left { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
            let b = if right { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
            let mut c = numbers(m * n, 3);
            let before = c.clone();
            matmul(a, b, add, &mut c);
            if let (false, false, Some(first)) = (left, add, c.get(..n)) {
                let mut row = vec![0.0; n];
                Packed::new(b).row_times(&numbers(m * k, 1)[..k], &mut row);
                prop_assert_eq!(&row[..], first);
            }
            for i in 0..m {
                for j in 0..n {
                    // Eighths: every product and sum here is exact in `f32`.
                    let sum: f32 = (0..k).map(|l| at(i, l) * bt(l, j)).sum();
                    let expected = if add { before[i * n + j] + sum } else { sum };
                    prop_assert!((c[i * n + j] - expected).abs() < 1e-6, "{} {} {}", i, j, expected);
                }
            }
        }

        #[test]
        fn symmetric_products_equal_plain_ones(n in 0usize..300, depth in prop_oneof![0usize..9, Just(300usize)]) {
            let left = numbers(n * depth, 1);
            let a = Matrix::new(&left, n, depth);
            let mut expected = numbers(n * n, 3);
            let mut got = expected.clone();
            matmul(a, a.transposed(), true, &mut expected);
            add_symmetric_product(a, &Packed::new(a.transposed()), &mut got);
            for row in 0..n {
                prop_assert_eq!(&got[row * n..row * n + row + 1], &expected[row * n..row * n + row + 1]);
            }
        }

        #[test]
        fn blocked_matrices_multiply_as_plain_ones(n in 1usize..20, width in 1usize..140) {
            let plain = numbers(n * width, 4);
            let blocks = width.div_ceil(64);
            let mut blocked = vec![0.0; blocks * n * 64];
            for row in 0..n {
                for column in 0..width {
                    blocked[column / 64 * n * 64 + row * 64 + column % 64] = plain[row * width + column];
                }
            }
            let (from_plain, from_blocked) = (Matrix::new(&plain, n, width), Matrix::blocked(&blocked, n, width, 64));
            let weights = numbers(width * 9, 5);
            let right = Matrix::new(&weights, width, 9);
            let (mut expected, mut got) = (vec![0.0; n * 9], vec![0.0; n * 9]);
            matmul(from_plain, right, false, &mut expected);
            matmul(from_blocked, right, false, &mut got);
            prop_assert_eq!(&expected, &got);
            let gradient = numbers(n * 9, 6);
            let gradient = Matrix::new(&gradient, n, 9);
            let (mut expected, mut got) = (vec![0.0; width * 9], vec![0.0; width * 9]);
            matmul(from_plain.transposed(), gradient, false, &mut expected);
            matmul(from_blocked.transposed(), gradient, false, &mut got);
            prop_assert_eq!(expected, got);
        }
    }
}
