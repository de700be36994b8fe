//! Small dense and sparse kernels: the sums that everything else is made of.

use crate::kernel;
use crate::simd::Simd;

kernel! {
    /// `y += a · x`, over the shorter of the two.
    pub fn axpy(simd, a: f32, x: &[f32], y: &mut [f32]) {
        axpy_in(simd, a, x, y);
    }

    /// The inner product, over the shorter of the two.
    pub fn dot(simd, x: &[f32], y: &[f32]) -> f32 {
        dot_in(simd, x, y)
    }

    /// Adds weighted rows of a table: `out[u] += Σ_i values[i] · table[columns[i]]` for each row `u` of a sparse matrix.
    ///
    /// `offsets` holds one more element than there are rows; `table` and `out` have `width` columns, row-major.
    ///
    /// ```
    /// let history = foldin_core::Csr::from_triples(2, 3, &[(0, 0, 1.0), (0, 2, 2.0), (1, 1, 3.0)])?;
    /// let (table, mut out) = ([1.0, 10.0, 100.0], [0.0; 2]);
    /// let (offsets, columns, values) = (history.offsets(), history.columns(), history.values());
    /// foldin_nn::kernels::weighted_row_sums(offsets, columns, values, &table, 1, &mut out);
    /// assert_eq!(out, [201.0, 30.0]);
    /// # Ok::<(), foldin_core::DataError>(())
    /// ```
    ///
    /// # Panics
    /// If a column or an offset points outside `table`, `columns`, `values` or `out`.
    pub fn weighted_row_sums(
        simd, offsets: &[usize], columns: &[u32], values: &[f32], table: &[f32], width: usize, out: &mut [f32],
    ) {
        for (row, range) in offsets.windows(2).enumerate() {
            let out = &mut out[row * width..(row + 1) * width];
            let (columns, values) = (&columns[range[0]..range[1]], &values[range[0]..range[1]]);
            for (&column, &value) in columns.iter().zip(values) {
                let from = column as usize * width;
                axpy_in(simd, value, &table[from..from + width], out);
            }
        }
    }
}

/// Columns that [`quadratic_form`] takes at a time.
const FORM_COLUMNS: usize = 32;

kernel! {
    /// `x'Mx` of a square matrix of which a row takes as many numbers as `x` has: the order rounded up to whole blocks of 32, and zeros beyond
    /// it. Lines of the matrix that are zero may be left out at the end.
    ///
    /// # Panics
    /// If `x` is not whole blocks, or the matrix is not whole rows.
    pub fn quadratic_form(simd, matrix: &[f32], x: &[f32]) -> f32 {
        let stride = x.len();
        assert!(stride.is_multiple_of(FORM_COLUMNS) && matrix.len().is_multiple_of(stride.max(1)), "whole blocks");
        let mut total = [0f32; FORM_COLUMNS];
        for start in (0..stride).step_by(FORM_COLUMNS) {
            let mut sums = [0f32; FORM_COLUMNS];
            for (row, &factor) in matrix.chunks_exact(stride).zip(x) {
                let row = &row[start..start + FORM_COLUMNS];
                for at in 0..FORM_COLUMNS {
                    sums[at] = simd.fma(factor, row[at], sums[at]);
                }
            }
            let x = &x[start..start + FORM_COLUMNS];
            for at in 0..FORM_COLUMNS {
                total[at] = simd.fma(sums[at], x[at], total[at]);
            }
        }
        total.iter().sum()
    }
}

kernel! {
    /// Adds up rows of a table: `out = Σ_r table[r]` over `rows`, in their order. `table` has as many columns as `out` has numbers.
    ///
    /// Columns are taken some registers at a time, whose sums stay in these while all rows are gone through.
    ///
    /// ```
    /// let mut out = [0.0; 2];
    /// foldin_nn::kernels::row_sums(&[0, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &mut out);
    /// assert_eq!(out, [6.0, 8.0]);
    /// ```
    ///
    /// # Panics
    /// If a row is beyond the table.
    pub fn row_sums(simd, rows: &[u32], table: &[f32], out: &mut [f32]) {
        sums_of_each(simd, &[rows], out.len(), table, out);
    }

    /// [`row_sums`] of several lists of rows, `width` numbers each, one after the other into `out`; the same bits.
    ///
    /// A stretch of columns is taken for all lists before the next, so that what lists have in common is read once.
    ///
    /// # Panics
    /// If a row is beyond the table, or `out` has not `width` numbers for each list.
    pub fn row_sums_of_each(simd, lists: &[&[u32]], width: usize, table: &[f32], out: &mut [f32]) {
        sums_of_each(simd, lists, width, table, out);
    }
}

#[inline(always)]
fn sums_of_each<S: Simd>(simd: S, lists: &[&[u32]], width: usize, table: &[f32], out: &mut [f32]) {
    assert!(out.len() == lists.len() * width, "a row for each list");
    let rows_of_table = table.len() / width.max(1);
    assert!(
        lists.iter().all(|rows| rows.iter().all(|&row| (row as usize) < rows_of_table)),
        "rows of the table"
    );
    if width == 0 {
        return;
    }
    let wide = width - width % (8 * S::LANES);
    let whole = width - width % S::LANES;
    for at in (0..wide).step_by(8 * S::LANES) {
        for (rows, out) in lists.iter().zip(out.chunks_exact_mut(width)) {
            columns_sum::<S, 8>(simd, rows, table, at, out);
        }
    }
    for at in (wide..whole).step_by(S::LANES) {
        for (rows, out) in lists.iter().zip(out.chunks_exact_mut(width)) {
            columns_sum::<S, 1>(simd, rows, table, at, out);
        }
    }
    for (rows, out) in lists.iter().zip(out.chunks_exact_mut(width)) {
        for at in whole..width {
            out[at] = 0.0;
            for &row in *rows {
                out[at] += table[row as usize * width + at];
            }
        }
    }
}

/// `N` registers of [`row_sums`] from column `at` on, which the caller has seen to lie within the table and `out`.
#[inline(always)]
#[expect(unsafe_code, reason = "pointer loads after one check of all rows")]
fn columns_sum<S: Simd, const N: usize>(simd: S, rows: &[u32], table: &[f32], at: usize, out: &mut [f32]) {
    let width = out.len();
    assert!(at + N * S::LANES <= width);
    let mut sums = [simd.splat(0.0); N];
    for &row in rows {
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: every row was seen to be in the table, and the registers end within the row.
            let x = unsafe { simd.load(table.as_ptr().add(row as usize * width + at + lane * S::LANES)) };
            *sum = simd.add(*sum, x);
        }
    }
    for (lane, &sum) in sums.iter().enumerate() {
        // SAFETY: as above.
        unsafe { simd.store(out.as_mut_ptr().add(at + lane * S::LANES), sum) };
    }
}

/// [`axpy`] within a kernel.
#[inline(always)]
#[expect(unsafe_code, reason = "pointer loads after one check of the lengths")]
pub fn axpy_in<S: Simd>(simd: S, a: f32, x: &[f32], y: &mut [f32]) {
    let n = x.len().min(y.len());
    let whole = n - n % S::LANES;
    let factor = simd.splat(a);
    let mut at = 0;
    while at < whole {
        // SAFETY: `at + LANES <= n`, which both slices hold.
        unsafe {
            let sum = simd.mul_add(factor, simd.load(x.as_ptr().add(at)), simd.load(y.as_ptr().add(at)));
            simd.store(y.as_mut_ptr().add(at), sum);
        }
        at += S::LANES;
    }
    for (y, &x) in y[whole..n].iter_mut().zip(&x[whole..n]) {
        *y = simd.fma(a, x, *y);
    }
}

/// [`dot`] within a kernel. Four running sums hide the latency of the additions.
#[inline(always)]
#[expect(unsafe_code, reason = "pointer loads after one check of the lengths")]
pub fn dot_in<S: Simd>(simd: S, x: &[f32], y: &[f32]) -> f32 {
    let n = x.len().min(y.len());
    let zero = simd.splat(0.0);
    let mut sums = [zero; 4];
    let mut at = 0;
    while at + 4 * S::LANES <= n {
        for (lane, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `at + 4 LANES <= n`, which both slices hold.
            unsafe {
                let at = at + lane * S::LANES;
                *sum = simd.mul_add(simd.load(x.as_ptr().add(at)), simd.load(y.as_ptr().add(at)), *sum);
            }
        }
        at += 4 * S::LANES;
    }
    while at + S::LANES <= n {
        // SAFETY: `at + LANES <= n`, which both slices hold.
        unsafe {
            sums[0] = simd.mul_add(simd.load(x.as_ptr().add(at)), simd.load(y.as_ptr().add(at)), sums[0]);
        }
        at += S::LANES;
    }
    let mut sum = simd.sum(simd.add(simd.add(sums[0], sums[1]), simd.add(sums[2], sums[3])));
    for (&x, &y) in x[at..n].iter().zip(&y[at..n]) {
        sum = simd.fma(x, y, sum);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(n: usize) -> impl Strategy<Value = Vec<f32>> {
        proptest::collection::vec(-2.0f32..2.0, n)
    }

    proptest! {
        #[test]
        fn a_quadratic_form_equals_its_naive_twin(order in 1usize..70, seed in 0u32..1000) {
            let stride = order.next_multiple_of(FORM_COLUMNS);
            let number = |at: usize| ((at as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 20) as f32 / 2048.0 - 1.0;
            let (mut matrix, mut x) = (vec![0.0; order * stride], vec![0.0; stride]);
            let mut naive = 0.0;
            for i in 0..order {
                x[i] = number(i);
                for j in 0..order {
                    matrix[i * stride + j] = number(i * order + j + 100);
                    naive += f64::from(number(i)) * f64::from(number(j)) * f64::from(matrix[i * stride + j]);
                }
            }
            prop_assert!((f64::from(quadratic_form(&matrix, &x)) - naive).abs() < 1e-3);
        }

        #[test]
        fn dot_and_axpy_equal_their_naive_twins(
            (x, y) in (0usize..200).prop_flat_map(|n| (numbers(n), numbers(n))),
            a in -2.0f32..2.0,
        ) {
            let exact: f64 = x.iter().zip(&y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
            // 200 products of at most 4, each rounded to 24 bits.
            prop_assert!((f64::from(dot(&x, &y)) - exact).abs() < 1e-4);
            let mut out = y.clone();
            axpy(a, &x, &mut out);
            for ((&got, &x), &y) in out.iter().zip(&x).zip(&y) {
                prop_assert!((got - (a * x + y)).abs() < 1e-6);
            }
        }

        #[test]
        fn row_sums_have_the_bits_of_plain_sums(
            (width, table) in (1usize..300).prop_flat_map(|width| (Just(width), numbers(9 * width))),
            rows in proptest::collection::vec(0u32..9, 0..12),
        ) {
            let mut out = vec![1.0; width];
            row_sums(&rows, &table, &mut out);
            for (column, &got) in out.iter().enumerate() {
                let plain = rows.iter().fold(0.0, |sum, &row| sum + table[row as usize * width + column]);
                prop_assert_eq!(got.to_bits(), plain.to_bits());
            }
        }

        #[test]
        fn weighted_row_sums_equal_their_naive_twin(
            width in 1usize..40,
            rows in proptest::collection::vec(proptest::collection::vec((0u32..7, -2.0f32..2.0), 0..5), 0..6),
        ) {
            let table: Vec<f32> = (0..7 * width).map(|at| (at % 13) as f32 - 6.0).collect();
            let mut offsets = vec![0];
            for row in &rows {
                offsets.push(offsets[offsets.len() - 1] + row.len());
            }
            let (columns, values): (Vec<u32>, Vec<f32>) = rows.iter().flatten().copied().unzip();
            let mut out = vec![1.0; rows.len() * width];
            weighted_row_sums(&offsets, &columns, &values, &table, width, &mut out);
            for (row, entries) in rows.iter().enumerate() {
                for column in 0..width {
                    let naive: f32 = entries.iter().map(|&(item, value)| value * table[item as usize * width + column]).sum();
                    prop_assert!((out[row * width + column] - 1.0 - naive).abs() < 1e-4);
                }
            }
        }
    }
}
