//! Dense layers behind the sparse one: products by [`crate::matmul`], then bias and LeakyReLU with dropout, or bias and an output
//! activation.

use rayon::prelude::*;

use crate::dropout::Dropout;
use crate::kernel;

/// Rows that one task activates.
const ROWS_AT_ONCE: usize = 32;

/// Adds the bias to `z` `[n × width]`, applies LeakyReLU and dropout in place. Positions of dropout are `row · width + column`.
pub fn activate(z: &mut [f32], bias: &[f32], slope: f32, dropout: Dropout) {
    let width = bias.len();
    z.par_chunks_mut((ROWS_AT_ONCE * width).max(1)).enumerate().for_each(|(at, z)| {
        activate_rows(z, bias, slope, dropout, at * ROWS_AT_ONCE * width);
    });
}

/// Backward through [`activate`], in place: from the gradient of its output `x` to that of its input. Gradients of zeros that
/// dropout made are zero.
pub fn activate_backward(gradient: &mut [f32], x: &[f32], width: usize, slope: f32, dropout: Dropout) {
    let chunk = (ROWS_AT_ONCE * width).max(1);
    gradient.par_chunks_mut(chunk).zip(x.par_chunks(chunk)).enumerate().for_each(|(at, (gradient, x))| {
        activate_backward_rows(gradient, x, slope, dropout, at * chunk);
    });
}

kernel! {
    fn activate_rows(simd, z: &mut [f32], bias: &[f32], slope: f32, dropout: Dropout, first: usize) {
        let _ = simd;
        for (row, z) in z.chunks_exact_mut(bias.len()).enumerate() {
            let position = (first + row * bias.len()) as u32;
            for (column, (z, &bias)) in z.iter_mut().zip(bias).enumerate() {
                let sum = *z + bias;
                let active = if sum > 0.0 { sum } else { slope * sum };
                *z = active * dropout.factor(position.wrapping_add(column as u32));
            }
        }
    }

    fn activate_backward_rows(simd, gradient: &mut [f32], x: &[f32], slope: f32, dropout: Dropout, first: usize) {
        let _ = simd;
        for (at, (gradient, &x)) in gradient.iter_mut().zip(x).enumerate() {
            let kept = dropout.factor((first as u32).wrapping_add(at as u32));
            *gradient *= kept * if x > 0.0 { 1.0 } else { slope };
        }
    }
}

/// Sums of the columns of `x` `[n × sums.len()]`, row after row.
pub fn column_sums(x: &[f32], sums: &mut [f32]) {
    sums.fill(0.0);
    for row in x.chunks_exact(sums.len().max(1)) {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += x;
        }
    }
}
