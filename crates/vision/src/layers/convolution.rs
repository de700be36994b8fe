//! A convolution's three linear maps on the CPU: windows laid out as rows of a matrix, and products of matrices.
//!
//! With `C` the matrix of windows `[narrow pixels × window]` and `W` the weights `[window × narrow channels]`:
//! narrow = `C W`; wide = the windows of `narrow Wᵀ` added up where they overlap; weights' gradient = `Cᵀ narrow`. The first is a
//! convolution, the second its gradient by the input and a transposed convolution, the third the gradient of either by its
//! weights. `C` is made for a few pictures at a time, so that it stays in the cache.
//!
//! Same bits at any number of threads: pictures are written by one task each, and products of matrices sum in a fixed order.

use foldin_nn::matmul::{Matrix, Packed, matmul, matmul_packed};
use rayon::prelude::*;

use super::geometry::Geometry;

/// Rows of the matrix of windows that a task lays out at least, where there are as many.
const ROWS: usize = 256;

fn pictures_at_once(g: &Geometry) -> usize {
    ROWS.div_ceil(g.narrow_pixels().max(1)).max(1)
}

/// Lays the windows of whole pictures out as rows.
fn lay_out(g: &Geometry, wide: &[f32], windows: &mut Vec<f32>) {
    let (pixels, length) = (g.narrow_pixels(), g.window_len());
    let pictures = wide.len() / g.wide_len();
    windows.clear();
    windows.resize(pictures * pixels * length, 0.0);
    windows.par_chunks_mut(g.narrow[1] * length).enumerate().for_each(|(at, row_of_windows)| {
        let (picture, y) = (at / g.narrow[0], at % g.narrow[0]);
        let picture = &wide[picture * g.wide_len()..(picture + 1) * g.wide_len()];
        for (x, window) in row_of_windows.chunks_exact_mut(length).enumerate() {
            g.stretches(y, x, |to, from, length| {
                window[to..to + length].copy_from_slice(&picture[from..from + length]);
            });
        }
    });
}

fn check(g: &Geometry, wide: usize, weights: usize, narrow: usize) -> usize {
    assert_eq!(weights, g.window_len() * g.narrow_channels, "weights of {g:?}");
    let batch = if g.wide_len() == 0 { 0 } else { wide / g.wide_len() };
    assert_eq!((wide, narrow), (batch * g.wide_len(), batch * g.narrow_len()), "pictures of {g:?}");
    batch
}

/// A convolution: `narrow` gets, for each of its pixels, the window around it times the weights.
///
/// # Panics
/// If the lengths disagree.
pub fn convolve(g: &Geometry, wide: &[f32], weights: &[f32], narrow: &mut [f32]) {
    if check(g, wide.len(), weights.len(), narrow.len()) == 0 {
        return;
    }
    let packed = Packed::new(Matrix::new(weights, g.window_len(), g.narrow_channels));
    let pictures = pictures_at_once(g);
    narrow
        .par_chunks_mut(pictures * g.narrow_len())
        .zip(wide.par_chunks(pictures * g.wide_len()))
        .for_each_init(Vec::new, |windows, (narrow, wide)| {
            lay_out(g, wide, windows);
            let rows = narrow.len() / g.narrow_channels;
            matmul_packed(Matrix::new(windows, rows, g.window_len()), &packed, false, narrow);
        });
}

/// The transposed map of [`convolve`]: `wide` gets the sum of all windows, each its narrow pixel times the weights.
///
/// # Panics
/// If the lengths disagree.
pub fn spread(g: &Geometry, narrow: &[f32], weights: &[f32], wide: &mut [f32]) {
    if check(g, wide.len(), weights.len(), narrow.len()) == 0 {
        return;
    }
    let packed = Packed::new(Matrix::new(weights, g.window_len(), g.narrow_channels).transposed());
    let pictures = pictures_at_once(g);
    let (pixels, length) = (g.narrow_pixels(), g.window_len());
    wide.par_chunks_mut(pictures * g.wide_len())
        .zip(narrow.par_chunks(pictures * g.narrow_len()))
        .for_each_init(Vec::new, |windows: &mut Vec<f32>, (wide, narrow)| {
            let rows = narrow.len() / g.narrow_channels;
            windows.resize(rows * length, 0.0);
            matmul_packed(Matrix::new(narrow, rows, g.narrow_channels), &packed, false, windows);
            for (picture, windows) in
                wide.chunks_exact_mut(g.wide_len()).zip(windows.chunks_exact(pixels * length))
            {
                picture.fill(0.0);
                for (at, window) in windows.chunks_exact(length).enumerate() {
                    g.stretches(at / g.narrow[1], at % g.narrow[1], |from, to, length| {
                        for (sum, x) in picture[to..to + length].iter_mut().zip(&window[from..from + length])
                        {
                            *sum += x;
                        }
                    });
                }
            }
        });
}

/// The gradient of either map by its weights: windows of `wide` times the pixels of `narrow`, summed over all.
///
/// # Panics
/// If the lengths disagree.
pub fn weight_gradient(g: &Geometry, wide: &[f32], narrow: &[f32], weights: &mut [f32]) {
    /// Rows of windows at once: each pass reads and writes all weights, so more than for the other maps.
    const DEPTH: usize = 1024;
    weights.fill(0.0);
    if check(g, wide.len(), weights.len(), narrow.len()) == 0 {
        return;
    }
    let pictures = DEPTH.div_ceil(g.narrow_pixels()).max(1);
    let mut windows = Vec::new();
    for (wide, narrow) in wide.chunks(pictures * g.wide_len()).zip(narrow.chunks(pictures * g.narrow_len())) {
        lay_out(g, wide, &mut windows);
        let rows = narrow.len() / g.narrow_channels;
        let windows = Matrix::new(&windows, rows, g.window_len()).transposed();
        matmul(windows, Matrix::new(narrow, rows, g.narrow_channels), true, weights);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    /// Calls `visit(wide index, weight index, narrow index)` for each product of the convolution, by definition.
    fn products(g: &Geometry, batch: usize, mut visit: impl FnMut(usize, usize, usize)) {
        for n in 0..batch {
            for y in 0..g.narrow[0] {
                for x in 0..g.narrow[1] {
                    for ky in 0..g.size {
                        for kx in 0..g.size {
                            let row = (y * g.stride + ky) as isize - g.before as isize;
                            let column = (x * g.stride + kx) as isize - g.before as isize;
                            let inside = (0..g.wide[0] as isize).contains(&row)
                                && (0..g.wide[1] as isize).contains(&column);
                            if !inside {
                                continue;
                            }
                            for i in 0..g.wide_channels {
                                for o in 0..g.narrow_channels {
                                    visit(
                                        ((n * g.wide[0] + row as usize) * g.wide[1] + column as usize)
                                            * g.wide_channels
                                            + i,
                                        ((ky * g.size + kx) * g.wide_channels + i) * g.narrow_channels + o,
                                        ((n * g.narrow[0] + y) * g.narrow[1] + x) * g.narrow_channels + o,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn numbers(n: usize, random: &mut Random) -> Vec<f32> {
        (0..n).map(|_| random.normal() as f32).collect()
    }

    fn close(got: &[f32], expected: &[f64], what: &str) {
        let scale = expected.iter().fold(1.0f64, |most, x| most.max(x.abs()));
        for (at, (x, y)) in got.iter().zip(expected).enumerate() {
            assert!((f64::from(*x) - y).abs() < 1e-5 * scale, "{what} {at}: {x} {y}");
        }
    }

    #[test]
    fn as_by_definition() {
        let mut random = Random::new(1);
        let shapes = [
            Geometry::same(3, 2, [8, 8], 3, 5),
            Geometry::same(5, 2, [8, 8], 9, 4),
            Geometry::same(3, 1, [4, 4], 2, 33),
            Geometry::same(5, 2, [7, 7], 1, 3),
            Geometry::same(5, 1, [2, 2], 2, 2),
            Geometry::same(11, 4, [16, 16], 3, 6),
            Geometry::valid(3, 2, [9, 7], 2, 3),
            Geometry::valid(4, 1, [4, 4], 3, 2),
        ];
        for g in shapes {
            for batch in [1, 3] {
                let wide = numbers(batch * g.wide_len(), &mut random);
                let weights = numbers(g.window_len() * g.narrow_channels, &mut random);
                let narrow = numbers(batch * g.narrow_len(), &mut random);
                let mut expected = vec![0.0f64; narrow.len()];
                products(&g, batch, |w, k, n| expected[n] += f64::from(wide[w]) * f64::from(weights[k]));
                let mut got = vec![9.0; narrow.len()];
                convolve(&g, &wide, &weights, &mut got);
                close(&got, &expected, "narrow");

                let mut expected = vec![0.0f64; wide.len()];
                products(&g, batch, |w, k, n| expected[w] += f64::from(narrow[n]) * f64::from(weights[k]));
                let mut got = vec![9.0; wide.len()];
                spread(&g, &narrow, &weights, &mut got);
                close(&got, &expected, "wide");

                let mut expected = vec![0.0f64; weights.len()];
                products(&g, batch, |w, k, n| expected[k] += f64::from(wide[w]) * f64::from(narrow[n]));
                let mut got = vec![9.0; weights.len()];
                weight_gradient(&g, &wide, &narrow, &mut got);
                close(&got, &expected, "weights");
            }
        }
    }

    /// On even lengths a stride of two takes one row before and two after for a window of five, none and one for a window of three,
    /// as TensorFlow's `SAME` does.
    #[test]
    fn padding_is_that_of_the_reference() {
        let five = Geometry::same(5, 2, [64, 64], 3, 64);
        assert_eq!((five.before, five.narrow), (1, [32, 32]));
        let three = Geometry::same(3, 2, [64, 64], 64, 128);
        assert_eq!((three.before, three.narrow), (0, [32, 32]));
        assert_eq!(Geometry::same(3, 1, [64, 64], 3, 64).before, 1);
        assert_eq!(Geometry::same(11, 4, [224, 224], 3, 64).before, 3);
    }

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let g = Geometry::same(5, 2, [16, 16], 12, 40);
        let mut random = Random::new(2);
        let wide = numbers(7 * g.wide_len(), &mut random);
        let weights = numbers(g.window_len() * g.narrow_channels, &mut random);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut narrow = vec![0.0; 7 * g.narrow_len()];
                convolve(&g, &wide, &weights, &mut narrow);
                let mut back = vec![0.0; wide.len()];
                spread(&g, &narrow, &weights, &mut back);
                let mut gradient = vec![0.0; weights.len()];
                weight_gradient(&g, &back, &narrow, &mut gradient);
                (narrow, back, gradient)
            })
        };
        assert!(run(1) == run(3));
    }
}
