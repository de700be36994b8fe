//! The inner loop of stochastic gradient descent on ratings.

use crate::kernel;
use crate::kernels::axpy_in;
use crate::simd::Simd;

/// One rating of a block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry {
    /// Row of the user in the block's table of users.
    pub user: u32,
    /// Row of the item in the block's table of items.
    pub item: u32,
    /// What the inner product of the two rows is to be.
    pub value: f32,
}

/// Steps and shrinkage by column, each of one row's length; 0 and 1 hold a column fast.
#[derive(Clone, Debug)]
pub struct Rates {
    /// Learning rate.
    pub rate: Vec<f32>,
    /// `1 − learning rate · regularisation`.
    pub keep: Vec<f32>,
}

kernel! {
    /// One pass over the entries of a block, in order: for each, with error `e = value − u·m`,
    /// `u ← keep ⊙ u + e · rate ⊙ m` and `m ← keep ⊙ m + e · rate ⊙ u`, both from the old `u` and `m`.
    ///
    /// `users` and `items` are tables of rows of `width` numbers, a multiple of 16. Returns the sum of the squared errors.
    ///
    /// # Panics
    /// If an entry points outside its table or a rate has not `width` columns.
    pub fn descend(
        simd, entries: &[Entry], users: &mut [f32], items: &mut [f32], width: usize,
        user_rates: &Rates, item_rates: &Rates,
    ) -> f64 {
        let mut squares = 0.0f64;
        for entry in entries {
            let (user, item) = (entry.user as usize * width, entry.item as usize * width);
            let (u, m) = (&mut users[user..user + width], &mut items[item..item + width]);
            let error = entry.value - dot_rows(simd, u, m);
            squares += f64::from(error) * f64::from(error);
            step_rows(simd, error, u, m, user_rates, item_rates);
        }
        squares
    }
}

kernel! {
    /// One user's pass over `ratings`, in order, where the user is `p + z` and only `p` is learned: for each, with error
    /// `e = value − (p + z)·m`, `sum ← sum + e m`, `p ← keep ⊙ p + e · rate ⊙ m` and `m ← keep ⊙ m + e · rate ⊙ (p + z)`, all from the old `p`
    /// and `m`.
    ///
    /// `items` is a table of rows of the width of `p`, a multiple of 16. Returns the sum of the squared errors.
    ///
    /// # Panics
    /// If a rating points outside `items`, or `z`, `sum` or a rate has another width than `p`.
    pub fn descend_user(
        simd, ratings: &[(u32, f32)], p: &mut [f32], z: &[f32], sum: &mut [f32], items: &mut [f32],
        user_rates: &Rates, item_rates: &Rates,
    ) -> f64 {
        let width = p.len();
        let mut squares = 0.0f64;
        for &(row, value) in ratings {
            let m = &mut items[row as usize * width..(row as usize + 1) * width];
            let error = value - dot_rows(simd, p, m) - dot_rows(simd, z, m);
            squares += f64::from(error) * f64::from(error);
            step_user(simd, error, p, z, sum, m, user_rates, item_rates);
        }
        squares
    }

    /// What a pass of [`descend_user`] changed, put into the tables of all items: adds row `t` of `changes` to row
    /// `columns[t] − first` of `items`, and turns the same row `y` of `implied` into `keep · y + pull`.
    ///
    /// # Panics
    /// If a column points outside a table.
    pub fn apply_pass(
        simd, columns: &[u32], first: u32, changes: &[f32], keep: f32, pull: &[f32], items: &mut [f32],
        implied: &mut [f32],
    ) {
        let width = pull.len();
        for (&column, change) in columns.iter().zip(changes.chunks_exact(width)) {
            let row = (column - first) as usize * width..(column - first + 1) as usize * width;
            axpy_in(simd, 1.0, change, &mut items[row.clone()]);
            let y = &mut implied[row];
            for (y, &pull) in y.iter_mut().zip(pull) {
                *y = simd.fma(keep, *y, pull);
            }
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "vector loads and stores within rows whose lengths are checked")]
#[expect(clippy::too_many_arguments, reason = "the rows of one step")]
fn step_user<S: Simd>(
    simd: S,
    error: f32,
    p: &mut [f32],
    z: &[f32],
    sum: &mut [f32],
    m: &mut [f32],
    user_rates: &Rates,
    item_rates: &Rates,
) {
    let width = p.len();
    for other in [
        m.len(),
        z.len(),
        sum.len(),
        user_rates.rate.len(),
        user_rates.keep.len(),
        item_rates.rate.len(),
        item_rates.keep.len(),
    ] {
        assert_eq!(other, width, "rows of one width");
    }
    let error = simd.splat(error);
    let mut at = 0;
    while at + S::LANES <= width {
        // SAFETY: `at + LANES <= width`, which every slice holds.
        unsafe {
            let (old_p, old_m) = (simd.load(p.as_ptr().add(at)), simd.load(m.as_ptr().add(at)));
            let user = simd.add(old_p, simd.load(z.as_ptr().add(at)));
            simd.store(sum.as_mut_ptr().add(at), simd.mul_add(error, old_m, simd.load(sum.as_ptr().add(at))));
            let step = simd.mul(error, simd.load(user_rates.rate.as_ptr().add(at)));
            let kept = simd.mul(simd.load(user_rates.keep.as_ptr().add(at)), old_p);
            simd.store(p.as_mut_ptr().add(at), simd.mul_add(step, old_m, kept));
            let step = simd.mul(error, simd.load(item_rates.rate.as_ptr().add(at)));
            let kept = simd.mul(simd.load(item_rates.keep.as_ptr().add(at)), old_m);
            simd.store(m.as_mut_ptr().add(at), simd.mul_add(step, user, kept));
        }
        at += S::LANES;
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "vector loads within rows whose lengths were checked")]
fn dot_rows<S: Simd>(simd: S, u: &[f32], m: &[f32]) -> f32 {
    let width = u.len().min(m.len());
    let (mut even, mut odd) = (simd.splat(0.0), simd.splat(0.0));
    let mut at = 0;
    while at + 2 * S::LANES <= width {
        // SAFETY: `at + 2 LANES <= width`, which both rows hold.
        unsafe {
            let next = at + S::LANES;
            even = simd.mul_add(simd.load(u.as_ptr().add(at)), simd.load(m.as_ptr().add(at)), even);
            odd = simd.mul_add(simd.load(u.as_ptr().add(next)), simd.load(m.as_ptr().add(next)), odd);
        }
        at += 2 * S::LANES;
    }
    if at + S::LANES <= width {
        // SAFETY: `at + LANES <= width`, which both rows hold.
        unsafe {
            even = simd.mul_add(simd.load(u.as_ptr().add(at)), simd.load(m.as_ptr().add(at)), even);
        }
    }
    simd.sum(simd.add(even, odd))
}

#[inline(always)]
#[expect(unsafe_code, reason = "vector loads and stores within rows whose lengths are checked")]
fn step_rows<S: Simd>(
    simd: S,
    error: f32,
    u: &mut [f32],
    m: &mut [f32],
    user_rates: &Rates,
    item_rates: &Rates,
) {
    let width = u.len();
    for other in
        [m.len(), user_rates.rate.len(), user_rates.keep.len(), item_rates.rate.len(), item_rates.keep.len()]
    {
        assert_eq!(other, width, "rows of one width");
    }
    let error = simd.splat(error);
    let mut at = 0;
    while at + S::LANES <= width {
        // SAFETY: `at + LANES <= width`, which every slice holds.
        unsafe {
            let (old_u, old_m) = (simd.load(u.as_ptr().add(at)), simd.load(m.as_ptr().add(at)));
            let step = simd.mul(error, simd.load(user_rates.rate.as_ptr().add(at)));
            let kept = simd.mul(simd.load(user_rates.keep.as_ptr().add(at)), old_u);
            simd.store(u.as_mut_ptr().add(at), simd.mul_add(step, old_m, kept));
            let step = simd.mul(error, simd.load(item_rates.rate.as_ptr().add(at)));
            let kept = simd.mul(simd.load(item_rates.keep.as_ptr().add(at)), old_m);
            simd.store(m.as_mut_ptr().add(at), simd.mul_add(step, old_u, kept));
        }
        at += S::LANES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step of one rating is the learning rate times the gradient of `½ e² + ½ λ (|u|² + |m|²)`, by finite differences.
    #[test]
    fn a_step_goes_down_the_gradient() {
        let (width, rate, regularisation) = (16, 0.01, 0.3);
        let u: Vec<f32> = (0..16).map(|at| (at as f32 * 0.7).sin()).collect();
        let m: Vec<f32> = (0..16).map(|at| (at as f32 * 0.3).cos()).collect();
        let loss = |u: &[f32], m: &[f32]| {
            let pair = || u.iter().zip(m).map(|(&u, &m)| (f64::from(u), f64::from(m)));
            let error = 1.5 - pair().map(|(u, m)| u * m).sum::<f64>();
            let norm: f64 = pair().map(|(u, m)| u * u + m * m).sum();
            0.5 * error * error + 0.5 * f64::from(regularisation) * norm
        };
        let free = Rates { rate: vec![rate; width], keep: vec![1.0 - rate * regularisation; width] };
        let (mut new_u, mut new_m) = (u.clone(), m.clone());
        let entry = Entry { user: 0, item: 0, value: 1.5 };
        descend(&[entry], &mut new_u, &mut new_m, width, &free, &free);
        let h = 1e-2;
        for at in 0..width {
            let (mut up, mut down) = (u.clone(), u.clone());
            up[at] += h;
            down[at] -= h;
            let slope = (loss(&up, &m) - loss(&down, &m)) / f64::from(up[at] - down[at]);
            // The loss is quadratic in each number, so the difference quotient is exact but for f32 rounding.
            assert!((f64::from(u[at] - new_u[at]) - f64::from(rate) * slope).abs() < 1e-6);
            let (mut up, mut down) = (m.clone(), m.clone());
            up[at] += h;
            down[at] -= h;
            let slope = (loss(&u, &up) - loss(&u, &down)) / f64::from(up[at] - down[at]);
            assert!((f64::from(m[at] - new_m[at]) - f64::from(rate) * slope).abs() < 1e-6);
        }
    }

    /// Two ratings, step by step in double precision.
    #[test]
    fn a_pass_of_a_user_equals_its_twin() {
        let width = 16;
        let row = |seed: f32| -> Vec<f32> { (0..width).map(|at| (at as f32 * seed + seed).sin()).collect() };
        let (mut p, z, mut items) = (row(0.3), row(0.7), [row(1.1), row(1.3)].concat());
        let rates = |rate: f32| Rates { rate: vec![rate; width], keep: vec![1.0 - rate * 0.2; width] };
        let (user_rates, item_rates) = (rates(0.05), rates(0.03));
        let double = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (mut want_p, want_z, mut want_items, mut want_sum) =
            (double(&p), double(&z), double(&items), vec![0.0; width]);
        let ratings = [(1, 2.5), (0, -1.5)];
        let mut want_squares = 0.0;
        for (item, value) in ratings {
            let m = &mut want_items[item as usize * width..(item as usize + 1) * width];
            let dot: f64 = (0..width).map(|at| (want_p[at] + want_z[at]) * m[at]).sum();
            let error = f64::from(value) - dot;
            want_squares += error * error;
            for at in 0..width {
                let (old_p, old_m) = (want_p[at], m[at]);
                want_sum[at] += error * old_m;
                want_p[at] = old_p * (1.0 - 0.05 * 0.2) + 0.05 * error * old_m;
                m[at] = old_m * (1.0 - 0.03 * 0.2) + 0.03 * error * (old_p + want_z[at]);
            }
        }
        let mut sum = vec![0.0; width];
        let before = items.clone();
        let squares = descend_user(&ratings, &mut p, &z, &mut sum, &mut items, &user_rates, &item_rates);
        // Some dozen operations on numbers of size 1 to 10.
        assert!((squares - want_squares).abs() < 1e-4);
        for (got, want) in [(&p, &want_p), (&sum, &want_sum), (&items, &want_items)] {
            assert!(got.iter().zip(want).all(|(&got, want)| (f64::from(got) - want).abs() < 1e-5));
        }
        // Put into tables of items 4 to 7, of which the user rated 5 and 7.
        let changes: Vec<f32> = items.iter().zip(&before).map(|(new, old)| new - old).collect();
        let (mut table, mut implied) = (vec![1.0; 4 * width], vec![2.0; 4 * width]);
        apply_pass(&[5, 7], 4, &changes, 0.5, &sum, &mut table, &mut implied);
        for at in 0..width {
            assert!((table[width + at] - 1.0 - changes[at]).abs() < 1e-6);
            assert!((table[3 * width + at] - 1.0 - changes[width + at]).abs() < 1e-6);
            assert!((implied[width + at] - 1.0 - sum[at]).abs() < 1e-5);
        }
        assert!(table[..width].iter().chain(&table[2 * width..3 * width]).all(|&x| x == 1.0));
        assert!(implied[..width].iter().chain(&implied[2 * width..3 * width]).all(|&x| x == 2.0));
    }

    #[test]
    fn columns_held_fast_do_not_move() {
        let held = Rates { rate: vec![0.0; 16], keep: vec![1.0; 16] };
        let (mut users, mut items) = (vec![1.0; 32], vec![2.0; 16]);
        let entries = [Entry { user: 1, item: 0, value: 3.0 }];
        let squares = descend(&entries, &mut users, &mut items, 16, &held, &held);
        assert!((squares - 29.0 * 29.0).abs() < 1e-9);
        assert!(users.iter().all(|&u| u == 1.0) && items.iter().all(|&m| m == 2.0));
    }
}
