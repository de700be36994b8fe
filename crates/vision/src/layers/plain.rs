//! The layers out of Burn's own operations, for devices that have no kernels of ours: GPUs. Burn differentiates them.
//!
//! The same numbers as the kernels give, up to rounding; which is tested on the CPU, where Burn's own gradients of these are many times slower.

use burn::tensor::Tensor;
use burn::tensor::activation::leaky_relu;
use burn::tensor::module::{conv_transpose2d, conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, MaxPoolOptions, PadMode};

use super::{Geometry, Normalised};

/// Channels before height and width, as Burn's operations have them.
fn channels_first(pictures: Tensor<4>) -> Tensor<4> {
    pictures.permute([0, 3, 1, 2])
}

fn channels_last(pictures: Tensor<4>) -> Tensor<4> {
    pictures.permute([0, 2, 3, 1])
}

/// Rows or columns of the wide side that windows reach, counted from the first of the zeros before it.
fn reach(g: &Geometry, axis: usize) -> usize {
    (g.narrow[axis].saturating_sub(1)) * g.stride + g.size
}

/// See [`super::convolve`].
pub(super) fn convolve(wide: Tensor<4>, weights: Tensor<4>, g: Geometry) -> Tensor<4> {
    let mut x = channels_first(wide);
    for axis in [0, 1] {
        // What no window reaches is left out; the rest has zeros around.
        let length = g.wide[axis].min(reach(&g, axis) - g.before);
        x = x.narrow(2 + axis, 0, length);
    }
    let [after_rows, after_columns] = [0, 1].map(|axis| reach(&g, axis) - g.before - x.dims()[2 + axis]);
    let x = x.pad((g.before, after_columns, g.before, after_rows), PadMode::Constant(0.0));
    let options = ConvOptions::new([g.stride; 2], [0; 2], [1; 2], 1);
    channels_last(conv2d(x, weights.permute([3, 2, 0, 1]), None, options))
}

/// See [`super::spread`].
pub(super) fn spread(narrow: Tensor<4>, weights: Tensor<4>, g: Geometry) -> Tensor<4> {
    let options = ConvTransposeOptions::new([g.stride; 2], [0; 2], [0; 2], [1; 2], 1);
    let mut x = conv_transpose2d(channels_first(narrow), weights.permute([3, 2, 0, 1]), None, options);
    for axis in [0, 1] {
        let length = g.wide[axis].min(reach(&g, axis) - g.before);
        x = x.narrow(2 + axis, g.before, length);
    }
    let [after_rows, after_columns] = [0, 1].map(|axis| g.wide[axis] - x.dims()[2 + axis]);
    channels_last(x.pad((0, after_columns, 0, after_rows), PadMode::Constant(0.0)))
}

/// See [`super::normalise`].
pub(super) fn normalise<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f32,
    slope: f32,
) -> Normalised<D> {
    let dims = x.dims();
    let channels = dims[D - 1];
    let rows = dims.iter().product::<usize>() / channels.max(1);
    let x = x.reshape([rows, channels]);
    let mean = x.clone().mean_dim(0);
    let centred = x - mean.clone();
    let variance = centred.clone().square().mean_dim(0);
    let normal = centred / (variance.clone() + epsilon).sqrt();
    let sums = normal * gamma.reshape([1, channels]) + beta.reshape([1, channels]);
    Normalised {
        output: leaky_relu(sums, f64::from(slope)).reshape(dims),
        mean: mean.reshape([channels]).detach(),
        variance: variance.reshape([channels]).detach(),
    }
}

/// See [`super::max_pool`].
pub(super) fn max_pool(x: Tensor<4>) -> Tensor<4> {
    channels_last(max_pool2d(channels_first(x), MaxPoolOptions::new([2; 2])))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use foldin_core::random::Random;

    use super::super::{convolve as convolve_by_kernel, max_pool as pool_by_kernel};
    use super::super::{normalise as normalise_by_kernel, spread as spread_by_kernel};
    use super::*;
    use crate::backend;

    fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        let device = Device::flex();
        backend::normal(shape, 1.0, &mut Random::new(seed), &device).autodiff().require_grad()
    }

    fn close(one: Tensor<1>, other: Tensor<1>, what: &str) {
        assert_eq!(one.dims(), other.dims(), "{what}");
        let most = backend::values((one - other).abs().max())[0];
        assert!(most < 5e-4, "{what} differs by {most}");
    }

    /// What a map gives, and its gradients by both inputs, of a result weighted at random.
    fn found(map: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>, inputs: &[Tensor<4>; 2]) -> [Tensor<1>; 3] {
        let out = map(inputs[0].clone(), inputs[1].clone());
        let weights = random(out.dims(), 9).detach();
        let mut gradients = (out.clone() * weights).sum().backward();
        let [x, w] = inputs.clone().map(|input| input.grad_remove(&mut gradients).expect("a gradient"));
        [out.inner(), x, w].map(|tensor| tensor.flatten(0, 3))
    }

    fn compare(
        what: &str,
        inputs: &[Tensor<4>; 2],
        kernel: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
        plain: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) {
        let names = ["output", "gradient by pictures", "gradient by weights"];
        for ((one, other), name) in found(kernel, inputs).into_iter().zip(found(plain, inputs)).zip(names) {
            close(one, other, &format!("{name} of {what}"));
        }
    }

    #[test]
    fn convolutions_are_those_of_the_kernels() {
        let shapes = [
            Geometry::same(3, 2, [8, 8], 3, 5),
            Geometry::same(4, 2, [8, 8], 3, 5),
            Geometry::same(5, 2, [7, 7], 2, 3),
            Geometry::same(3, 1, [4, 4], 2, 6),
            Geometry::same(5, 1, [2, 2], 2, 2),
            Geometry::same(11, 4, [16, 16], 3, 6),
            Geometry::valid(3, 2, [9, 6], 2, 3),
            // The last column is reached by no window.
            Geometry::valid(3, 2, [9, 8], 2, 3),
        ];
        for g in shapes {
            let weights = random([g.size, g.size, g.wide_channels, g.narrow_channels], 2);
            let wide = random([2, g.wide[0], g.wide[1], g.wide_channels], 1);
            let narrow = random([2, g.narrow[0], g.narrow[1], g.narrow_channels], 3);
            let name = format!("{g:?}");
            compare(&name, &[wide, weights.clone()], &|x, w| convolve_by_kernel(x, w, g), &|x, w| {
                convolve(x, w, g)
            });
            compare(&name, &[narrow, weights], &|x, w| spread_by_kernel(x, w, g), &|x, w| spread(x, w, g));
        }
    }

    #[test]
    fn a_normalisation_and_a_pooling_are_those_of_the_kernels() {
        let x = random([6, 3, 4, 5], 5);
        let scales = random([1, 1, 2, 5], 6);
        let parts = |scales: Tensor<4>| {
            let row = |at| scales.clone().narrow(2, at, 1).reshape([5]);
            (row(0), row(1))
        };
        let moments = [true, false].map(|by_kernel| {
            let (gamma, beta) = parts(scales.clone());
            let of = if by_kernel { normalise_by_kernel::<4> } else { normalise::<4> };
            let found = of(x.clone(), gamma, beta, 1e-5, 0.2);
            [found.mean.inner(), found.variance.inner()]
        });
        let [ours, theirs] = moments;
        ours.into_iter().zip(theirs).for_each(|(one, other)| close(one, other, "a moment"));
        let by = |of: fn(Tensor<4>, Tensor<1>, Tensor<1>, f32, f32) -> Normalised<4>| {
            move |x, scales| {
                let (gamma, beta) = parts(scales);
                of(x, gamma, beta, 1e-5, 0.2).output
            }
        };
        let inputs = [x, scales];
        compare("a normalisation", &inputs, &by(normalise_by_kernel), &by(normalise));
        compare("a pooling", &inputs, &|x, w| pool_by_kernel(x) + w.sum().reshape([1; 4]), &|x, w| {
            max_pool(x) + w.sum().reshape([1; 4])
        });
    }
}
