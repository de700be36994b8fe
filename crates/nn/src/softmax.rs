//! The multinomial likelihood over a row of scores, and its gradient.
//!
//! With `p = softmax(z)` and a set of `n` chosen places, the loss is `−Σ_{j chosen} ln p_j` and its gradient `n·p − [j chosen]`.
//!
//! ```
//! let mut z = [0.0, 0.0];
//! let loss = foldin_nn::softmax::multinomial(&mut z, &[1], 1.0);
//! assert!((loss - 2f64.ln()).abs() < 1e-6);
//! assert_eq!(z, [0.5, -0.5]);
//! ```

use crate::activation::exp;
use crate::kernel;

/// Sums that are kept going at once.
const SUMS: usize = 32;

kernel! {
    /// The loss of a row; `z` becomes `factor` times its gradient. Scores more than 30 below the greatest count as 30 below.
    ///
    /// # Panics
    /// If a chosen place is out of range.
    pub fn multinomial(simd, z: &mut [f32], chosen: &[u32], factor: f32) -> f64 {
        let _ = simd;
        let mut greatest = [f32::NEG_INFINITY; SUMS];
        let (many, rest) = z.as_chunks_mut::<SUMS>();
        for z in &*many {
            for lane in 0..SUMS {
                greatest[lane] = if z[lane] > greatest[lane] { z[lane] } else { greatest[lane] };
            }
        }
        let most = greatest.iter().chain(&*rest).fold(f32::NEG_INFINITY, |most, &z| most.max(z));
        let mut of_chosen = 0.0f64;
        for &place in chosen {
            let place = place as usize;
            let z = if place < many.len() * SUMS { many[place / SUMS][place % SUMS] } else { rest[place - many.len() * SUMS] };
            of_chosen += f64::from(z - most);
        }
        let mut sums = [0.0f32; SUMS];
        for z in many.iter_mut() {
            for lane in 0..SUMS {
                z[lane] = exp(z[lane] - most);
                sums[lane] += z[lane];
            }
        }
        let mut sum = sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        for z in rest.iter_mut() {
            *z = exp(*z - most);
            sum += f64::from(*z);
        }
        let n = chosen.len();
        let scale = (f64::from(factor) * n as f64 / sum) as f32;
        z.iter_mut().for_each(|z| *z *= scale);
        for &place in chosen {
            z[place as usize] -= factor;
        }
        n as f64 * sum.ln() - of_chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_and_gradient_equal_their_twins() {
        for n in [1usize, 5, 32, 33, 100] {
            let z: Vec<f32> = (0..n).map(|at| ((at * 7) % 11) as f32 - 40.0).collect();
            let chosen: Vec<u32> = (0..n as u32).step_by(3).collect();
            let sum: f64 = z.iter().map(|&z| f64::from(z).exp()).sum();
            let loss: f64 = chosen.iter().map(|&at| sum.ln() - f64::from(z[at as usize])).sum();
            let mut gradient = z.clone();
            let got = multinomial(&mut gradient, &chosen, 0.5);
            assert!((got - loss).abs() < 1e-5 * (1.0 + loss), "{n}: {got} {loss}");
            for (at, &got) in gradient.iter().enumerate() {
                let share = f64::from(z[at]).exp() / sum * chosen.len() as f64;
                let exact = 0.5 * (share - f64::from(u8::from(chosen.contains(&(at as u32)))));
                assert!((f64::from(got) - exact).abs() < 1e-5, "{n} at {at}: {got} {exact}");
            }
        }
    }
}
