//! The largest of each 2 × 2 pixels, and its gradient.
//!
//! Pictures lie as `[batch, height, width, channels]`; an odd last row or column is left out. Where several are largest, the first in
//! reading order has the gradient. Each output row is one task's, so results do not depend on threads.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::operations::{numbers, tensor};

/// Shape of pictures, `[batch, height, width, channels]`.
pub type Shape = [usize; 4];

/// The largest of each 2 × 2, and which of the four (0 to 3 in reading order) it was.
///
/// # Panics
/// If the length is not that of the shape.
#[must_use]
pub fn pool(x: &[f32], [batch, height, width, channels]: Shape) -> (Vec<f32>, Vec<u8>) {
    assert_eq!(x.len(), batch * height * width * channels, "pictures to pool");
    let (rows, columns) = (height / 2, width / 2);
    let mut out = vec![0.0; batch * rows * columns * channels];
    let mut which = vec![0u8; out.len()];
    if out.is_empty() {
        return (out, which);
    }
    let line = columns * channels;
    out.par_chunks_mut(line).zip(which.par_chunks_mut(line)).enumerate().for_each(|(at, (out, which))| {
        let start = ((at / rows) * height + 2 * (at % rows)) * width * channels;
        let pixels = out.chunks_exact_mut(channels).zip(which.chunks_exact_mut(channels));
        for (column, (out, which)) in pixels.enumerate() {
            let first = start + 2 * column * channels;
            for (tap, offset) in taps(width, channels).into_iter().enumerate() {
                let source = &x[first + offset..][..channels];
                if tap == 0 {
                    out.copy_from_slice(source);
                    continue;
                }
                for ((best, which), &x) in out.iter_mut().zip(which.iter_mut()).zip(source) {
                    let larger = x > *best;
                    *best = if larger { x } else { *best };
                    *which = if larger { tap as u8 } else { *which };
                }
            }
        }
    });
    (out, which)
}

/// The gradient by the pictures, given that by what [`pool`] made of them.
///
/// # Panics
/// If lengths do not fit the shape.
#[must_use]
pub fn unpool(gradient: &[f32], which: &[u8], [batch, height, width, channels]: Shape) -> Vec<f32> {
    let (rows, columns) = (height / 2, width / 2);
    assert_eq!(gradient.len(), batch * rows * columns * channels, "pooled pictures");
    assert_eq!(gradient.len(), which.len(), "a place for each number");
    let mut out = vec![0.0; batch * height * width * channels];
    if gradient.is_empty() {
        return out;
    }
    let picture = rows * columns * channels;
    let parts = gradient.par_chunks(picture).zip(which.par_chunks(picture));
    out.par_chunks_mut(height * width * channels).zip(parts).for_each(|(out, (gradient, which))| {
        let pixels = gradient.chunks_exact(channels).zip(which.chunks_exact(channels));
        for (at, (gradient, which)) in pixels.enumerate() {
            let first = (2 * (at / columns) * width + 2 * (at % columns)) * channels;
            for (tap, offset) in taps(width, channels).into_iter().enumerate() {
                let target = &mut out[first + offset..][..channels];
                for ((target, &gradient), &which) in target.iter_mut().zip(gradient).zip(which) {
                    *target = if usize::from(which) == tap { gradient } else { 0.0 };
                }
            }
        }
    });
    out
}

/// Where the four pixels lie, from the first.
fn taps(width: usize, channels: usize) -> [usize; 4] {
    [0, channels, width * channels, (width + 1) * channels]
}

/// [`pool`] of a tensor on a CPU, with its gradient.
pub(super) fn max_pool(x: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as PoolingOperations>::pool_pictures(x.into_dispatch()))
}

/// Pooling on a backend without differentiation.
pub trait PoolingKernels: Backend {
    /// See [`pool`].
    fn pool_forward(x: FloatTensor<Self>) -> (FloatTensor<Self>, Vec<u8>);
    /// See [`unpool`].
    fn pool_backward(gradient: FloatTensor<Self>, which: &[u8], shape: Shape) -> FloatTensor<Self>;
}

fn shape(x: &impl TensorMetadata) -> Shape {
    let shape = x.shape();
    [shape[0], shape[1], shape[2], shape[3]]
}

impl PoolingKernels for Flex {
    fn pool_forward(x: FlexTensor) -> (FlexTensor, Vec<u8>) {
        let full = shape(&x);
        let (out, which) = numbers(&x, |x| pool(x, full));
        let [batch, height, width, channels] = full;
        (tensor(out, [batch, height / 2, width / 2, channels]), which)
    }

    fn pool_backward(gradient: FlexTensor, which: &[u8], shape: Shape) -> FlexTensor {
        tensor(numbers(&gradient, |gradient| unpool(gradient, which, shape)), shape)
    }
}

/// Pooling as an operation of any device, differentiated where the device differentiates.
#[backend_extension(Flex, Autodiff)]
pub trait PoolingOperations: Backend {
    /// See [`pool`].
    fn pool_pictures(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl PoolingOperations for Flex {
    fn pool_pictures(x: FlexTensor) -> FlexTensor {
        Self::pool_forward(x).0
    }
}

#[derive(Debug)]
struct Pool;

impl<B: PoolingKernels> Backward<B, 1> for Pool {
    type State = (Vec<u8>, Shape);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (which, shape) = ops.state;
        if let Some(node) = node {
            grads.register::<B>(node.id, B::pool_backward(gradient, &which, shape));
        }
    }
}

impl<B: PoolingKernels, C: CheckpointStrategy> PoolingOperations for Autodiff<B, C> {
    fn pool_pictures(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let full = shape(&x);
        match Backward::<B, 1>::prepare::<C>(Pool, [node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let (out, which) = B::pool_forward(x);
                prepared.finish((which, full), out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::pool_forward(x).0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;

    #[test]
    fn the_largest_of_four_by_channel() {
        // Two channels, 3 rows of 2: the last row is left out.
        let x = [1.0, 8.0, 2.0, 7.0, 4.0, 6.0, 3.0, 9.0, 50.0, 50.0, 50.0, 50.0];
        let (out, which) = pool(&x, [1, 3, 2, 2]);
        assert_eq!((out, which.clone()), (vec![4.0, 9.0], vec![2, 3]));
        let back = unpool(&[0.5, -1.0], &which, [1, 3, 2, 2]);
        assert_eq!(back, [0.0, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_gradient_goes_where_the_largest_was() {
        let device = backend::training(&burn::tensor::Device::flex());
        let values: Vec<f32> = (0..2 * 4 * 4 * 3).map(|at| ((at * 37) % 101) as f32).collect();
        let x = backend::tensor(values.clone(), [2, 4, 4, 3], &device).require_grad();
        let out = max_pool(x.clone());
        assert_eq!(out.dims(), [2, 2, 2, 3]);
        let mut gradients = out.clone().sum().backward();
        let gradient = backend::values(x.grad_remove(&mut gradients).unwrap());
        let chosen: f32 = values.iter().zip(&gradient).map(|(x, g)| x * g).sum();
        assert_eq!(chosen, backend::values(out.inner()).iter().sum::<f32>());
        assert_eq!(gradient.iter().filter(|&&g| g == 1.0).count(), 2 * 2 * 2 * 3);
    }
}
