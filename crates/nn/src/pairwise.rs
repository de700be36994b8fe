//! The inner loop of stochastic gradient descent on pairs of items, one of which a user should prefer.

use crate::descent::Rates;
use crate::kernel;
use crate::simd::Simd;

/// A user, an item to prefer, and another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Row of the user in the block's table of users.
    pub user: u32,
    /// Row of the preferred item in the block's table of items.
    pub better: u32,
    /// Row of the other item; another row than the preferred one's.
    pub worse: u32,
}

kernel! {
    /// One pass over pairs, in order: with `x = u·(i − j)` for the preferred item `i` and the other `j`, and `g = 1 / (1 + e^x)`, which
    /// is minus the slope of `−ln σ(x)`: `u ← keep ⊙ u + g · rate ⊙ (i − j)`, `i ← keep ⊙ i + g · rate ⊙ u` and
    /// `j ← keep ⊙ j − g · rate ⊙ u`, all from the old rows.
    ///
    /// `users` and `items` are tables of rows of `width` numbers, a multiple of 16. Returns the sum of `−ln σ(x)`.
    ///
    /// # Panics
    /// If a pair points outside a table or at one item twice, or a rate has not `width` columns.
    pub fn descend_pairs(
        simd, pairs: &[Pair], users: &mut [f32], items: &mut [f32], width: usize, user_rates: &Rates,
        item_rates: &Rates,
    ) -> f64 {
        let mut loss = 0.0f64;
        for pair in pairs {
            let row = |row: u32| row as usize * width..(row as usize + 1) * width;
            let u = &mut users[row(pair.user)];
            let (first, second) = (row(pair.better.min(pair.worse)), row(pair.better.max(pair.worse)));
            assert!(first.end <= second.start, "two items");
            let (head, tail) = items.split_at_mut(second.start);
            let (low, high) = (&mut head[first], &mut tail[..width]);
            let (i, j) = if pair.better < pair.worse { (low, high) } else { (high, low) };
            let x = difference(simd, u, i, j);
            let g = 1.0 / (1.0 + x.exp());
            // ln(1 + e^−x) without overflow.
            loss += f64::from((-x.abs()).exp().ln_1p() + (-x).max(0.0));
            step(simd, g, u, i, j, user_rates, item_rates);
        }
        loss
    }
}

/// `u·(i − j)`.
#[inline(always)]
#[expect(unsafe_code, reason = "vector loads within rows whose lengths are checked")]
fn difference<S: Simd>(simd: S, u: &[f32], i: &[f32], j: &[f32]) -> f32 {
    let width = u.len();
    assert!(i.len() == width && j.len() == width, "rows of one width");
    let mut sum = simd.splat(0.0);
    let mut at = 0;
    while at + S::LANES <= width {
        // SAFETY: `at + LANES <= width`, which every row holds.
        unsafe {
            let apart = simd.sub(simd.load(i.as_ptr().add(at)), simd.load(j.as_ptr().add(at)));
            sum = simd.mul_add(simd.load(u.as_ptr().add(at)), apart, sum);
        }
        at += S::LANES;
    }
    simd.sum(sum)
}

#[inline(always)]
#[expect(unsafe_code, reason = "vector loads and stores within rows whose lengths are checked")]
fn step<S: Simd>(
    simd: S,
    g: f32,
    u: &mut [f32],
    i: &mut [f32],
    j: &mut [f32],
    user_rates: &Rates,
    item_rates: &Rates,
) {
    let width = u.len();
    let rates = [&user_rates.rate, &user_rates.keep, &item_rates.rate, &item_rates.keep];
    assert!(i.len() == width && j.len() == width && rates.iter().all(|rate| rate.len() == width));
    let g = simd.splat(g);
    let mut at = 0;
    while at + S::LANES <= width {
        // SAFETY: `at + LANES <= width`, which every slice holds.
        unsafe {
            let old_u = simd.load(u.as_ptr().add(at));
            let (old_i, old_j) = (simd.load(i.as_ptr().add(at)), simd.load(j.as_ptr().add(at)));
            let of_user = simd.mul(g, simd.load(user_rates.rate.as_ptr().add(at)));
            let kept = simd.mul(simd.load(user_rates.keep.as_ptr().add(at)), old_u);
            simd.store(u.as_mut_ptr().add(at), simd.mul_add(of_user, simd.sub(old_i, old_j), kept));
            let change = simd.mul(simd.mul(g, simd.load(item_rates.rate.as_ptr().add(at))), old_u);
            let keep = simd.load(item_rates.keep.as_ptr().add(at));
            simd.store(i.as_mut_ptr().add(at), simd.mul_add(keep, old_i, change));
            simd.store(j.as_mut_ptr().add(at), simd.sub(simd.mul(keep, old_j), change));
        }
        at += S::LANES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step of one pair is the learning rate times the gradient of `−ln σ(x) + ½ λ (|u|² + |i|² + |j|²)`, by finite differences.
    #[test]
    fn a_step_goes_down_the_gradient() {
        let (width, rate, regularisation) = (32, 0.01, 0.3);
        let users: Vec<f32> = (0..width).map(|at| (at as f32 * 0.7).sin()).collect();
        let items: Vec<f32> = (0..3 * width).map(|at| (at as f32 * 0.3).cos() * 0.5).collect();
        let rates = Rates { rate: vec![rate; width], keep: vec![1.0 - rate * regularisation; width] };
        for (better, worse) in [(0, 2), (2, 0)] {
            let loss = |users: &[f64], items: &[f64]| {
                let row = |at: u32| &items[at as usize * width..(at as usize + 1) * width];
                let x: f64 = (0..width).map(|at| users[at] * (row(better)[at] - row(worse)[at])).sum();
                let norm: f64 = users.iter().chain(row(better)).chain(row(worse)).map(|x| x * x).sum();
                ((-x).exp().ln_1p(), (-x).exp().ln_1p() + 0.5 * f64::from(regularisation) * norm)
            };
            let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
            let (before_u, before_i) = (wide(&users), wide(&items));
            let (mut new_u, mut new_i) = (users.clone(), items.clone());
            let pair = Pair { user: 0, better, worse };
            let met = descend_pairs(&[pair], &mut new_u, &mut new_i, width, &rates, &rates);
            assert!((met - loss(&before_u, &before_i).0).abs() < 1e-5);
            let check = |moved: f32, from: f64, slope: f64| {
                assert!((from - f64::from(moved) - f64::from(rate) * slope).abs() < 1e-6);
            };
            for at in 0..width {
                let along = |step: f64| {
                    let mut users = before_u.clone();
                    users[at] += step;
                    loss(&users, &before_i).1
                };
                check(new_u[at], before_u[at], (along(1e-4) - along(-1e-4)) / 2e-4);
            }
            for at in 0..3 * width {
                let along = |step: f64| {
                    let mut items = before_i.clone();
                    items[at] += step;
                    loss(&before_u, &items).1
                };
                check(new_i[at], before_i[at], (along(1e-4) - along(-1e-4)) / 2e-4);
            }
        }
    }
}
