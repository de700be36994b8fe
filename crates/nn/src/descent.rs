//! The inner loop of stochastic gradient descent on ratings.

use crate::kernel;
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
