//! The inner kernels: panels of the right-hand matrix against packed rows of the left one.

use super::layout::{Matrix, pack};
use crate::kernel;
use crate::simd::Simd;

/// Elements of the inner dimension that are multiplied before the next: a panel of as many rows is 32 KiB with AVX-512.
const DEPTH_AT_ONCE: usize = 256;

kernel! {
    /// Rows `first..` of the product, as many as `c` holds.
    pub(super) fn multiply_rows(
        simd, a: Matrix<'_>, first: usize, packed: &[f32], n: usize, add: bool, c: &mut [f32],
    ) {
        match S::LANES {
            16 => tiles::<S, 8>(simd, a, first, packed, n, n, add, c),
            _ => tiles::<S, 4>(simd, a, first, packed, n, n, add, c),
        }
    }

    /// Adds the first `n` columns of the product to rows of `stride` numbers.
    pub(super) fn add_to_rows(simd, a: Matrix<'_>, first: usize, packed: &[f32], n: usize, stride: usize, c: &mut [f32]) {
        match S::LANES {
            16 => tiles::<S, 8>(simd, a, first, packed, n, stride, true, c),
            _ => tiles::<S, 4>(simd, a, first, packed, n, stride, true, c),
        }
    }
}

kernel! {
    pub(super) fn row_times_panels(simd, x: &[f32], panels: &[f32], out: &mut [f32]) {
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
    let depth = a.columns;
    // Taken out and put back: within a closure the loops would be compiled for the baseline CPU.
    let mut room = LEFT.take();
    if !add || depth <= DEPTH_AT_ONCE {
        stretches::<S, R>(simd, a, first, packed, n, stride, add, c, &mut room);
    } else {
        // Whole sums first: they are added once, however many stretches they have.
        let mut sums = vec![0.0; c.len()];
        stretches::<S, R>(simd, a, first, packed, n, stride, false, &mut sums, &mut room);
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

/// The product, a stretch of the inner dimension after the other; each goes on with the sums of the one before.
///
/// Rows are packed as their stretch comes: what all panels are multiplied by then stays in the cache next to the core.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the shape of a product")]
fn stretches<S: Simd, const R: usize>(
    simd: S,
    a: Matrix<'_>,
    first: usize,
    packed: &[f32],
    n: usize,
    stride: usize,
    add: bool,
    c: &mut [f32],
    room: &mut Vec<f32>,
) {
    let (panel, depth) = (2 * S::LANES, a.columns);
    let n_rows = c.len() / stride;
    assert_eq!(packed.len(), n.div_ceil(panel) * panel * depth);
    // All about as long: a short one at the end would move its sums for little.
    let longest = depth.div_ceil(depth.div_ceil(DEPTH_AT_ONCE).max(1)).next_multiple_of(8);
    let mut from = 0;
    while from < depth {
        let to = depth.min(from + longest);
        let tile_size = R * (to - from);
        // What padding rows hold is multiplied, and then left out.
        let size = n_rows.div_ceil(R) * tile_size;
        room.resize(room.len().max(size), 0.0);
        pack::<S, R>(simd, a, first..first + n_rows, from..to, &mut room[..size]);
        for (at, right) in packed.chunks_exact(panel * depth).enumerate() {
            let right = &right[from * panel..to * panel];
            let width = panel.min(n - at * panel);
            for (tile, left) in room[..size].chunks_exact(tile_size).enumerate() {
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
