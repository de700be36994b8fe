//! Convolutions and normalisation of pictures `[batch, height, width, channels]` as operations of Burn, with their gradients.
//!
//! Burn's CPU backend has the forward maps; their gradients there go through general fall-backs that are many times slower than the
//! products of matrices they could be. So these operations bring both ways themselves.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::TensorData;

use super::geometry::Geometry;
use super::{convolution, normalisation};

/// The maps and their gradients, on a backend without differentiation.
pub(super) trait PictureKernels: Backend {
    /// A convolution of `wide`.
    fn convolve(wide: FloatTensor<Self>, weights: FloatTensor<Self>, geometry: Geometry)
    -> FloatTensor<Self>;
    /// A transposed convolution of `narrow`.
    fn spread(narrow: FloatTensor<Self>, weights: FloatTensor<Self>, geometry: Geometry)
    -> FloatTensor<Self>;
    /// The gradient of either by its weights.
    fn weight_gradient(
        wide: FloatTensor<Self>,
        narrow: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
    /// Batch normalisation over all but the last axis and a leaky ReLU: the result, means and population variances.
    fn normalise(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        slope: f32,
    ) -> [FloatTensor<Self>; 3];
    /// The gradient of `normalise` by its three inputs, given its moments and the gradient by its result.
    fn normalise_backward(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        moments: [FloatTensor<Self>; 2],
        epsilon: f32,
        slope: f32,
        gradient: FloatTensor<Self>,
    ) -> [FloatTensor<Self>; 3];
}

/// Calls `read` with the numbers of a tensor, row-major.
pub(super) fn numbers<T>(tensor: &FlexTensor, read: impl FnOnce(&[f32]) -> T) -> T {
    let contiguous = tensor.to_contiguous();
    match contiguous.as_slice::<f32>() {
        Some(slice) => read(slice),
        // A view into a larger buffer.
        None => {
            let data = contiguous.into_data();
            read(data.as_slice::<f32>().unwrap_or(&[]))
        }
    }
}

pub(super) fn tensor(values: Vec<f32>, shape: impl Into<Vec<usize>>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape.into()))
}

impl PictureKernels for Flex {
    fn convolve(wide: FlexTensor, weights: FlexTensor, g: Geometry) -> FlexTensor {
        let batch = wide.shape()[0];
        let mut out = vec![0.0; batch * g.narrow_len()];
        numbers(&wide, |wide| {
            numbers(&weights, |weights| convolution::convolve(&g, wide, weights, &mut out));
        });
        tensor(out, [batch, g.narrow[0], g.narrow[1], g.narrow_channels])
    }

    fn spread(narrow: FlexTensor, weights: FlexTensor, g: Geometry) -> FlexTensor {
        let batch = narrow.shape()[0];
        let mut out = vec![0.0; batch * g.wide_len()];
        numbers(&narrow, |narrow| {
            numbers(&weights, |weights| convolution::spread(&g, narrow, weights, &mut out));
        });
        tensor(out, [batch, g.wide[0], g.wide[1], g.wide_channels])
    }

    fn weight_gradient(wide: FlexTensor, narrow: FlexTensor, g: Geometry) -> FlexTensor {
        let mut out = vec![0.0; g.window_len() * g.narrow_channels];
        numbers(&wide, |wide| {
            numbers(&narrow, |narrow| convolution::weight_gradient(&g, wide, narrow, &mut out));
        });
        tensor(out, [g.size, g.size, g.wide_channels, g.narrow_channels])
    }

    fn normalise(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
        slope: f32,
    ) -> [FlexTensor; 3] {
        let channels = gamma.shape()[0];
        let (out, mean, variance) = numbers(&x, |x| {
            let (mean, variance) = normalisation::moments(x, channels);
            let out = numbers(&gamma, |gamma| {
                numbers(&beta, |beta| {
                    normalisation::normalise(x, gamma, beta, &mean, &variance, epsilon, slope)
                })
            });
            (out, mean, variance)
        });
        [tensor(out, x.shape().to_vec()), tensor(mean, [channels]), tensor(variance, [channels])]
    }

    fn normalise_backward(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        [mean, variance]: [FlexTensor; 2],
        epsilon: f32,
        slope: f32,
        gradient: FlexTensor,
    ) -> [FlexTensor; 3] {
        let all = |read: &mut dyn FnMut([&[f32]; 6])| {
            numbers(&x, |x| {
                numbers(&gamma, |gamma| {
                    numbers(&beta, |beta| {
                        numbers(&mean, |mean| {
                            numbers(&variance, |variance| {
                                numbers(&gradient, |gradient| {
                                    read([x, gamma, beta, mean, variance, gradient]);
                                });
                            });
                        });
                    });
                });
            });
        };
        let channels = gamma.shape()[0];
        let mut out = None;
        all(&mut |[x, gamma, beta, mean, variance, gradient]| {
            let found =
                normalisation::normalise_backward(x, gamma, beta, mean, variance, epsilon, slope, gradient);
            out = Some(found);
        });
        let normalisation::NormalisationGradient { x: by_x, gamma: by_gamma, beta: by_beta } =
            out.unwrap_or_default();
        [tensor(by_x, x.shape().to_vec()), tensor(by_gamma, [channels]), tensor(by_beta, [channels])]
    }
}

/// The same as operations of any device, differentiated where the device differentiates.
#[backend_extension(Flex, Autodiff)]
pub(super) trait PictureOperations: Backend {
    /// See [`PictureKernels::convolve`].
    fn convolve_pictures(
        wide: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
    /// See [`PictureKernels::spread`].
    fn spread_pictures(
        narrow: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self>;
    /// See [`PictureKernels::normalise`].
    fn normalise_pictures(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        slope: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

impl PictureOperations for Flex {
    fn convolve_pictures(wide: FlexTensor, weights: FlexTensor, geometry: Geometry) -> FlexTensor {
        Self::convolve(wide, weights, geometry)
    }

    fn spread_pictures(narrow: FlexTensor, weights: FlexTensor, geometry: Geometry) -> FlexTensor {
        Self::spread(narrow, weights, geometry)
    }

    fn normalise_pictures(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f32,
        slope: f32,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [out, mean, variance] = Self::normalise(x, gamma, beta, epsilon, slope);
        (out, mean, variance)
    }
}

#[derive(Debug)]
struct Convolve;

impl<B: PictureKernels> Backward<B, 2> for Convolve {
    type State = (B::FloatTensorPrimitive, B::FloatTensorPrimitive, Geometry);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [wide_node, weights_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (wide, weights, geometry) = ops.state;
        if let Some(node) = weights_node {
            grads.register::<B>(node.id, B::weight_gradient(wide, gradient.clone(), geometry));
        }
        if let Some(node) = wide_node {
            grads.register::<B>(node.id, B::spread(gradient, weights, geometry));
        }
    }
}

#[derive(Debug)]
struct Spread;

impl<B: PictureKernels> Backward<B, 2> for Spread {
    type State = (B::FloatTensorPrimitive, B::FloatTensorPrimitive, Geometry);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [narrow_node, weights_node] = ops.parents;
        let gradient = grads.consume::<B>(&ops.node);
        let (narrow, weights, geometry) = ops.state;
        if let Some(node) = weights_node {
            grads.register::<B>(node.id, B::weight_gradient(gradient.clone(), narrow, geometry));
        }
        if let Some(node) = narrow_node {
            grads.register::<B>(node.id, B::convolve(gradient, weights, geometry));
        }
    }
}

#[derive(Debug)]
struct Normalise;

/// What the gradient of a normalisation reads.
#[derive(Clone, Debug)]
struct Normalised<B: Backend> {
    x: B::FloatTensorPrimitive,
    gamma: B::FloatTensorPrimitive,
    beta: B::FloatTensorPrimitive,
    moments: [B::FloatTensorPrimitive; 2],
    epsilon: f32,
    slope: f32,
}

impl<B: PictureKernels> Backward<B, 3> for Normalise {
    type State = Normalised<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<B>(&ops.node);
        let Normalised { x, gamma, beta, moments, epsilon, slope } = ops.state;
        let found = B::normalise_backward(x, gamma, beta, moments, epsilon, slope, gradient);
        for (node, gradient) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: PictureKernels, C: CheckpointStrategy> PictureOperations for Autodiff<B, C> {
    fn convolve_pictures(
        wide: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let ((wide, wide_node), (weights, weights_node)) = (wide.into_parts(), weights.into_parts());
        match Backward::<B, 2>::prepare::<C>(Convolve, [wide_node, weights_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let out = B::convolve(wide.clone(), weights.clone(), geometry);
                prepared.finish((wide, weights, geometry), out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::convolve(wide, weights, geometry)),
        }
    }

    fn spread_pictures(
        narrow: FloatTensor<Self>,
        weights: FloatTensor<Self>,
        geometry: Geometry,
    ) -> FloatTensor<Self> {
        let ((narrow, narrow_node), (weights, weights_node)) = (narrow.into_parts(), weights.into_parts());
        match Backward::<B, 2>::prepare::<C>(Spread, [narrow_node, weights_node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let out = B::spread(narrow.clone(), weights.clone(), geometry);
                prepared.finish((narrow, weights, geometry), out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(B::spread(narrow, weights, geometry)),
        }
    }

    fn normalise_pictures(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f32,
        slope: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let ((x, x_node), (gamma, gamma_node), (beta, beta_node)) =
            (x.into_parts(), gamma.into_parts(), beta.into_parts());
        let [out, mean, variance] = B::normalise(x.clone(), gamma.clone(), beta.clone(), epsilon, slope);
        let moments = [mean.clone(), variance.clone()];
        let prepared = Backward::<B, 3>::prepare::<C>(Normalise, [x_node, gamma_node, beta_node]);
        let out = match prepared.compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                prepared.finish(Normalised { x, gamma, beta, moments, epsilon, slope }, out)
            }
            OpsKind::UnTracked(prepared) => prepared.finish(out),
        };
        (
            out,
            <Self as burn::backend::AutodiffBackend>::from_inner(mean),
            <Self as burn::backend::AutodiffBackend>::from_inner(variance),
        )
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::module::{batch_norm_train, conv_transpose2d, conv2d};
    use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
    use burn::tensor::{Device, Tensor};
    use foldin_core::random::Random;

    use super::super::{Geometry, convolve, normalise, spread};
    use crate::backend;

    fn random<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        let device = Device::flex();
        backend::normal(shape, 1.0, &mut Random::new(seed), &device).autodiff().require_grad()
    }

    fn close<const D: usize>(ours: Tensor<D>, theirs: Tensor<D>, what: &str) {
        assert_eq!(ours.dims(), theirs.dims(), "{what}");
        let most = backend::values((ours - theirs).abs().max())[0];
        assert!(most < 2e-4, "{what} differs by {most}");
    }

    /// Output and gradients by both inputs of a map and of Burn's own, weighted at random.
    fn compare(
        inputs: [Tensor<4>; 2],
        ours: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
        theirs: impl Fn(Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) {
        let gradients = |map: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
            let out = map(inputs[0].clone(), inputs[1].clone());
            let weights = random(out.dims(), 9).detach();
            let mut gradients = (out.clone() * weights).sum().backward();
            let found = inputs.clone().map(|input| input.grad_remove(&mut gradients).expect("a gradient"));
            (out.inner(), found)
        };
        let (out, [by_x, by_w]) = gradients(&ours);
        let (expected, [expected_x, expected_w]) = gradients(&theirs);
        close(out, expected, "the output");
        close(by_x, expected_x, "the gradient by pictures");
        close(by_w, expected_w, "the gradient by weights");
    }

    #[test]
    fn a_convolution_is_that_of_burn_with_its_gradients() {
        let g = Geometry::same(5, 2, [8, 8], 3, 6);
        let theirs = |x: Tensor<4>, w: Tensor<4>| {
            let options = ConvOptions::new_with_padding([2, 2], [(1, 2), (1, 2)], [1, 1], 1);
            conv2d(x.permute([0, 3, 1, 2]), w.permute([3, 2, 0, 1]), None, options).permute([0, 2, 3, 1])
        };
        let inputs = [random([2, 8, 8, 3], 1), random([5, 5, 3, 6], 2)];
        compare(inputs, |x, w| convolve(x, w, g), theirs);
    }

    #[test]
    fn a_transposed_convolution_is_that_of_burn_with_its_gradients() {
        // From 4 × 4 to 8 × 8: Burn pads the far side of what it makes, so one row and column more are made and cut off.
        let g = Geometry::same(3, 2, [8, 8], 5, 3);
        let theirs = |x: Tensor<4>, w: Tensor<4>| {
            let options = ConvTransposeOptions::new([2, 2], [0, 0], [0, 0], [1, 1], 1);
            let out = conv_transpose2d(x.permute([0, 3, 1, 2]), w.permute([3, 2, 0, 1]), None, options);
            out.slice([0..2, 0..5, 0..8, 0..8]).permute([0, 2, 3, 1])
        };
        let inputs = [random([2, 4, 4, 3], 3), random([3, 3, 5, 3], 4)];
        compare(inputs, |x, w| spread(x, w, g), theirs);
    }

    #[test]
    fn a_normalisation_is_that_of_burn_and_its_moments_have_no_gradient() {
        let x = random([6, 2, 2, 3], 5);
        let (gamma, beta) = (random([3], 6), random([3], 7));
        let ours = normalise(x.clone(), gamma.clone(), beta.clone(), 1e-5, 0.2);
        let theirs = batch_norm_train(x.clone().permute([0, 3, 1, 2]), gamma.clone(), beta.clone(), 1e-5);
        let expected = burn::tensor::activation::leaky_relu(theirs.output.permute([0, 2, 3, 1]), 0.2);
        close(ours.mean.clone().inner(), theirs.mean.inner(), "the mean");
        close(ours.variance.clone().inner(), theirs.variance.inner(), "the variance");
        let weights = random([6, 2, 2, 3], 8).detach();
        let gradients = |out: Tensor<4>| {
            let mut gradients = (out * weights.clone()).sum().backward();
            let by_x = x.clone().grad_remove(&mut gradients).expect("by x");
            let [by_gamma, by_beta] =
                [&gamma, &beta].map(|of| of.clone().grad_remove(&mut gradients).expect("by scale and shift"));
            (by_x, by_gamma, by_beta)
        };
        close(ours.output.clone().inner(), expected.clone().inner(), "the output");
        let (ours, theirs) = (gradients(ours.output), gradients(expected));
        close(ours.0, theirs.0, "the gradient by pictures");
        close(ours.1, theirs.1, "the gradient by scales");
        close(ours.2, theirs.2, "the gradient by shifts");
    }

    #[test]
    fn views_are_read_as_they_look() {
        // A permuted tensor, and a slice of a larger one.
        let g = Geometry::same(3, 1, [3, 3], 2, 2);
        let large = random([2, 2, 3, 4], 10).inner();
        let weights = random([3, 3, 2, 2], 11).inner();
        let view = large.permute([0, 2, 3, 1]).slice([1..2, 0..3, 1..4, 0..2]);
        let copied = backend::tensor(backend::values(view.clone()), [1, 3, 3, 2], &Device::flex());
        close(convolve(view, weights.clone(), g), convolve(copied, weights, g), "a view");
    }
}
