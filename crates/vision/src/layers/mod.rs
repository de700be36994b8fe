//! Layers of networks over pictures, fast on a CPU in both directions, and as Burn has them elsewhere.
//!
//! Pictures lie as `[batch, height, width, channels]` here: a window's row is then one stretch of memory, and all that is done by
//! channel is done along rows.
//!
//! | file | holds |
//! | --- | --- |
//! | [`geometry`] | where a window's taps lie: strides and padding |
//! | [`convolution`] | convolution, its transpose and the gradient by weights, as products of matrices |
//! | [`normalisation`] | batch normalisation with the leaky ReLU after it |
//! | [`pooling`] | the largest of 2 × 2 pixels |
//! | `operations` | all of them as operations of Burn on a CPU, with gradients |
//! | `plain` | all of them out of Burn's own operations, for devices without these kernels |
//! | `blocks` | layers with named numbers, of which networks are made |

pub(crate) mod blocks;
pub mod convolution;
pub mod geometry;
pub mod normalisation;
mod operations;
mod plain;
pub mod pooling;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

pub use geometry::Geometry;
use operations::PictureOperations;

use crate::backend::is_cpu;

/// A convolution of `wide` `[batch, height, width, channels]` with weights `[size, size, wide channels, narrow channels]`.
///
/// # Panics
/// If the shapes are not those of `geometry`.
#[must_use]
pub fn convolve(wide: Tensor<4>, weights: Tensor<4>, geometry: Geometry) -> Tensor<4> {
    if !is_cpu(&wide.device()) {
        return plain::convolve(wide, weights, geometry);
    }
    Tensor::from_dispatch(<Dispatch as PictureOperations>::convolve_pictures(
        wide.into_dispatch(),
        weights.into_dispatch(),
        geometry,
    ))
}

/// The transposed convolution of the same geometry and weights: from the narrow side to the wide one.
///
/// # Panics
/// If the shapes are not those of `geometry`.
#[must_use]
pub fn spread(narrow: Tensor<4>, weights: Tensor<4>, geometry: Geometry) -> Tensor<4> {
    if !is_cpu(&narrow.device()) {
        return plain::spread(narrow, weights, geometry);
    }
    Tensor::from_dispatch(<Dispatch as PictureOperations>::spread_pictures(
        narrow.into_dispatch(),
        weights.into_dispatch(),
        geometry,
    ))
}

/// What a normalisation gives.
#[derive(Clone, Debug)]
pub struct Normalised<const D: usize> {
    /// The pictures, normalised and through the leaky ReLU.
    pub output: Tensor<D>,
    /// Mean of each channel in the batch, without gradient.
    pub mean: Tensor<1>,
    /// Population variance of each channel in the batch, without gradient.
    pub variance: Tensor<1>,
}

/// Batch normalisation over all but the last axis, `γ (x − m) / √(v + ε) + β`, and the leaky ReLU of `slope` (1 for none).
///
/// # Panics
/// If `gamma` or `beta` have not one number for each channel.
#[must_use]
pub fn normalise<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
    slope: f32,
) -> Normalised<D> {
    if !is_cpu(&x.device()) {
        return plain::normalise(x, gamma, beta, epsilon, slope);
    }
    let (output, mean, variance) = <Dispatch as PictureOperations>::normalise_pictures(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
        slope,
    );
    Normalised {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// The largest of each 2 × 2 pixels of pictures `[batch, height, width, channels]`; an odd last row or column is left out.
#[must_use]
pub fn max_pool(x: Tensor<4>) -> Tensor<4> {
    if is_cpu(&x.device()) { pooling::max_pool(x) } else { plain::max_pool(x) }
}
