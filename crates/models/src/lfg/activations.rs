//! The activation of the hidden layers, with its parameters while they are trained.
//!
//! LeakyReLU, the default, is fused into the kernels ([`foldin_nn::sparse_layer`], [`foldin_nn::dense_layer`]). Every other one is
//! applied beside them: the kernels then get what came out of it, no bias and a slope of 1, at which LeakyReLU is the identity, and
//! normalisation and dropout are theirs all the same.

use foldin_core::{FitError, TrainState};
use foldin_nn::activation::Activation;
use foldin_nn::blocks::{self, Blocks, View};
use foldin_nn::dense_layer::column_sums;
use foldin_nn::optimiser::{Optimiser, Trained};
use foldin_nn::sparse_layer;

use super::config::LfgConfig;
use crate::perceptron::{activate, through_activation};
use crate::resume::{keep_trained, take_trained};

// Outputs of the sparse layer are read as such blocks.
const _: () = assert!(blocks::BLOCK == sparse_layer::BLOCK);

/// The activation of all hidden layers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Activations {
    activation: Activation,
    /// Widths of the layers.
    widths: Vec<usize>,
    /// Parameters of each layer; empty where the activation has none.
    pub(super) parameters: Vec<Trained>,
}

impl Activations {
    pub(super) fn new(config: &LfgConfig, learning: &Optimiser) -> Self {
        let (activation, sharing) = (config.hidden_activation, config.activation_sharing);
        let own = |&width: &usize| Trained::of_activation(activation, sharing, width, learning);
        let parameters = config.widths.iter().map(own).collect();
        Self { activation, widths: config.widths.clone(), parameters }
    }

    /// Whether the kernels do all of it.
    pub(super) fn fused(&self) -> bool {
        self.activation == Activation::LeakyRelu
    }

    /// Passes the sums of a layer with their bias through the activation, in place; returns these sums, which the way back needs.
    pub(super) fn forward(&self, layer: usize, bias: &[f32], x: &mut [f32]) -> Vec<f32> {
        let mut z = x.to_vec();
        activate(self.activation, &self.parameters[layer].w, bias, &mut z, x);
        z
    }

    /// The same for the first layer, which lies in blocks of columns; its sums come back row-major.
    pub(super) fn forward_first(&self, bias: &[f32], h: &mut [f32]) -> Vec<f32> {
        let (n, width) = self.size_of_first(h);
        let mut x = View::new(n, width, h).to_rows();
        let z = self.forward(0, bias, &mut x);
        h.copy_from_slice(Blocks::from_rows(n, width, &x).data());
        z
    }

    /// Turns the gradient of a layer's outputs into that of its sums `z`, and gives that of the activation's parameters.
    pub(super) fn backward(&self, layer: usize, z: &[f32], gradient: &mut [f32]) -> Vec<f32> {
        through_activation(self.activation, &self.parameters[layer].w, self.widths[layer], z, gradient)
    }

    /// The same for the first layer, the gradient in blocks of columns; `of_bias` gets that of its bias.
    pub(super) fn backward_first(&self, z: &[f32], gradient: &mut [f32], of_bias: &mut [f32]) -> Vec<f32> {
        let (n, width) = self.size_of_first(gradient);
        let mut rows = View::new(n, width, gradient).to_rows();
        let of_parameters = self.backward(0, z, &mut rows);
        column_sums(&rows, of_bias);
        gradient.copy_from_slice(Blocks::from_rows(n, width, &rows).data());
        of_parameters
    }

    /// Rows and columns of the first layer in blocks.
    fn size_of_first(&self, blocked: &[f32]) -> (usize, usize) {
        let width = self.widths[0];
        (blocked.len() / width.next_multiple_of(blocks::BLOCK), width)
    }

    /// A step at `at` for the parameters of each layer, which have no decay.
    pub(super) fn update(&mut self, learning: &Optimiser, at: usize, gradients: &[Vec<f32>]) {
        for (own, gradient) in self.parameters.iter_mut().zip(gradients) {
            own.update(learning, at, 0.0, gradient);
            self.activation.constrain(&mut own.w);
        }
    }

    /// The parameters of each layer as they serve, averaged if weights are. An average has seen where a step led before it was put
    /// back into the range.
    pub(super) fn averaged(&self, correction: f32) -> Vec<Vec<f32>> {
        (self.parameters.iter())
            .map(|own| {
                let mut averaged = own.averaged(correction);
                self.activation.constrain(&mut averaged);
                averaged
            })
            .collect()
    }

    /// Everything under its name, for a checkpoint.
    pub(super) fn save(&self, state: &mut TrainState) {
        for (layer, own) in self.parameters.iter().enumerate().filter(|(_, own)| !own.w.is_empty()) {
            keep_trained(state, &name_of(layer), own);
        }
    }

    /// Puts a checkpoint in the place of the start.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`] if it is of another shape.
    pub(super) fn restore(&mut self, state: &mut TrainState) -> Result<(), FitError> {
        let mut trained = self.parameters.iter_mut().enumerate().filter(|(_, own)| !own.w.is_empty());
        trained.try_for_each(|(layer, own)| take_trained(state, &name_of(layer), own))
    }
}

/// What a checkpoint calls the parameters of a layer.
fn name_of(layer: usize) -> String {
    format!("activation_{layer}")
}
