//! `u-autorec`: users are cases.

use foldin_core::{
    Capabilities, Feedback, FitContext, FitError, LoadError, ModelFamily, ModelParts, ScoreError, Tensor,
    TrainingData, UserView,
};
use foldin_nn::activation::Activation;
use foldin_nn::kernel;
use foldin_nn::kernels::{axpy, dot, dot_in};

use super::config::AutoRecConfig;
use super::train::{Cases, Fitted, Scaling, fit};
use super::unseen::Fallback;
use crate::linear::BASELINE;
use crate::per_user::{PerUser, recommender};

/// The family of `u-autorec`.
#[derive(Clone, Copy, Debug)]
pub struct UAutoRec;

impl ModelFamily for UAutoRec {
    const NAME: &'static str = "u-autorec";
    const SUMMARY: &'static str = "autoencoder of a user's ratings";
    type Config = AutoRecConfig;
    type Model = UAutoRecModel;

    fn capabilities() -> Capabilities {
        BASELINE
    }

    fn default_config() -> AutoRecConfig {
        AutoRecConfig { centred: true, ..AutoRecConfig::default() }
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<UAutoRecModel, FitError> {
        let Fitted { network, ratings, scaling, .. } = fit(Self::NAME, Cases::Users, config, data, ctx)?;
        let (n, widths) = (network.places, network.widths.clone());
        let mut layers = vec![Layer {
            weights: foldin_nn::blocks::View::new(n, widths[0], &network.encoder.w).to_rows(),
            bias: network.encoder_bias.w.to_vec(),
            parameters: network.hidden[0].w.to_vec(),
        }];
        for (dense, hidden) in network.dense.iter().zip(&network.hidden[1..]) {
            layers.push(Layer {
                weights: dense.weights.w.to_vec(),
                bias: dense.bias.w.to_vec(),
                parameters: hidden.w.to_vec(),
            });
        }
        let last = network.last_width();
        Ok(UAutoRecModel {
            layers,
            output: Layer {
                weights: foldin_nn::blocks::View::new(n, last, &network.decoder.w).to_rows(),
                bias: network.decoder_bias.w.to_vec(),
                parameters: network.output.w.to_vec(),
            },
            activation: config.hidden_activation,
            output_activation: config.output_activation,
            binary: config.binary_hidden,
            centre: network.centre,
            stretch: network.stretch,
            scaling,
            fallback: Fallback::new(config.unseen, &ratings),
            feedback: ratings.feedback(),
        })
    }

    fn load(mut parts: ModelParts) -> Result<UAutoRecModel, LoadError> {
        let parts = &mut parts;
        let count: usize = parts.get("layers")?;
        let fallback = Fallback::load(parts)?;
        let mut layers: Vec<Layer> = Vec::new();
        for at in 0..count {
            let from = layers.last().map(|layer| layer.bias.len());
            layers.push(Layer::take(parts, &format!("hidden_{at}"), from, None)?);
        }
        let last = layers.last().map(|layer| layer.bias.len());
        let last = last.ok_or_else(|| LoadError::Meta { key: "layers".to_owned() })?;
        let output = Layer::take(parts, "output", None, Some(last))?;
        let (n, wide) = (output.bias.len(), layers[0].weights.len());
        if fallback.len() != n || wide != n * layers[0].bias.len() {
            return Err(LoadError::TensorShape {
                name: "hidden_0".to_owned(),
                expected: vec![n, layers[0].bias.len()],
                got: vec![wide / layers[0].bias.len().max(1), layers[0].bias.len()],
            });
        }
        let model = UAutoRecModel {
            activation: parts.get("activation")?,
            output_activation: parts.get("output_activation")?,
            binary: parts.get("binary")?,
            centre: parts.get("centre")?,
            stretch: parts.get("stretch")?,
            scaling: Scaling { unit: parts.get("unit")?, zero: parts.get("zero")? },
            feedback: parts.get("feedback")?,
            layers,
            output,
            fallback,
        };
        model.check_parameters()?;
        Ok(model)
    }
}

/// A layer as it serves.
#[derive(Clone, Debug, PartialEq)]
struct Layer {
    /// `[from × to]`, row-major; of the output layer `[items × from]`.
    weights: Vec<f32>,
    bias: Vec<f32>,
    /// Of its activation.
    parameters: Vec<f32>,
}

impl Layer {
    fn to_parts(&self, name: &str, shape: [usize; 2], parts: &mut ModelParts) {
        let mut put = |part: &str, shape: &[usize], data: &[f32]| {
            parts.tensors.insert(format!("{name}{part}"), Tensor::new(shape, data.to_vec()));
        };
        put("", &shape, &self.weights);
        put("_bias", &[self.bias.len()], &self.bias);
        if !self.parameters.is_empty() {
            put("_activation", &[self.parameters.len()], &self.parameters);
        }
    }

    /// The output layer is `[to × from]` and says so by `columns`; others are `[from × to]`.
    fn take(
        parts: &mut ModelParts,
        name: &str,
        rows: Option<usize>,
        columns: Option<usize>,
    ) -> Result<Self, LoadError> {
        let bias = parts.take(&format!("{name}_bias"), &[None])?.data;
        if bias.is_empty() && columns.is_none() {
            return Err(LoadError::TensorShape {
                name: format!("{name}_bias"),
                expected: vec![1],
                got: vec![0],
            });
        }
        let shape = if columns.is_some() { [Some(bias.len()), columns] } else { [rows, Some(bias.len())] };
        let weights = parts.take(name, &shape)?.data;
        let activation = format!("{name}_activation");
        let parameters = if parts.tensors.contains_key(&activation) {
            parts.take(&activation, &[None])?.data
        } else {
            Vec::new()
        };
        Ok(Self { weights, bias, parameters })
    }
}

/// A fitted `u-autorec`.
#[derive(Clone, Debug)]
pub struct UAutoRecModel {
    layers: Vec<Layer>,
    output: Layer,
    activation: Activation,
    output_activation: Activation,
    binary: bool,
    centre: f32,
    stretch: (f32, f32),
    scaling: Scaling,
    fallback: Fallback,
    feedback: Feedback,
}

/// What is made of a user: the last hidden layer (none without a history), and what to add to an item's own prediction where
/// the network has seen nothing.
#[derive(Debug)]
pub struct Encoded {
    hidden: Option<Vec<f32>>,
    bias: f32,
}

impl UAutoRecModel {
    fn check_parameters(&self) -> Result<(), LoadError> {
        let fits = |activation: Activation, layer: &Layer, units: usize| {
            let n = activation.parameters().len();
            layer.parameters.len() == n || layer.parameters.len() == n * units
        };
        let hidden = self.layers.iter().all(|layer| fits(self.activation, layer, layer.bias.len()));
        if hidden && fits(self.output_activation, &self.output, 1) {
            Ok(())
        } else {
            Err(LoadError::Meta { key: "activation".to_owned() })
        }
    }

    fn encode(&self, user: &UserView<'_>) -> Vec<f32> {
        let mut x: Vec<f32> = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let width = layer.bias.len();
            let mut z = layer.bias.clone();
            if at == 0 {
                for (&item, &value) in user.items.iter().zip(user.values) {
                    axpy(
                        self.scaling.read(value) - self.centre,
                        &layer.weights[item as usize * width..][..width],
                        &mut z,
                    );
                }
            } else {
                for (&x, row) in x.iter().zip(layer.weights.chunks_exact(width)) {
                    axpy(x, row, &mut z);
                }
            }
            x = vec![0.0; width];
            self.activation.forward(&layer.parameters, width, &z, &mut x);
            if self.binary {
                x.iter_mut().for_each(|x| *x = if *x > 0.5 { 1.0 } else { 0.0 });
            }
        }
        x
    }

    /// From the sums of the output layer to ratings, in place.
    fn finish(&self, z: &mut [f32]) {
        let sums = z.to_vec();
        self.output_activation.forward(&self.output.parameters, 1, &sums, z);
        z.iter_mut().for_each(|y| *y = self.scaling.write(*y * self.stretch.0 + self.stretch.1));
    }
}

kernel! {
    /// `out[i] = bias[i] + W_i·hidden`.
    fn output_sums(simd, hidden: &[f32], weights: &[f32], bias: &[f32], out: &mut [f32]) {
        let rows = weights.chunks_exact(hidden.len());
        for (out, (row, &bias)) in out.iter_mut().zip(rows.zip(bias)) {
            *out = bias + dot_in(simd, row, hidden);
        }
    }
}

impl PerUser for UAutoRecModel {
    type Family = UAutoRec;
    type State = Encoded;

    fn catalogue(&self) -> usize {
        self.output.bias.len()
    }

    fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn state(&self, user: &UserView<'_>) -> Result<Encoded, ScoreError> {
        let hidden = (!user.items.is_empty()).then(|| self.encode(user));
        Ok(Encoded { hidden, bias: self.fallback.of_user(user) })
    }

    fn value(&self, state: &Encoded, item: usize) -> f32 {
        match &state.hidden {
            Some(hidden) if self.fallback.knows(item) => {
                let row = &self.output.weights[item * hidden.len()..][..hidden.len()];
                let mut z = [self.output.bias[item] + dot(row, hidden)];
                self.finish(&mut z);
                z[0]
            }
            _ => self.fallback.of_item(item) + state.bias,
        }
    }

    fn values(&self, state: &Encoded, out: &mut [f32]) {
        if let Some(hidden) = &state.hidden {
            output_sums(hidden, &self.output.weights, &self.output.bias, out);
            self.finish(out);
        }
        for (item, out) in out.iter_mut().enumerate() {
            if state.hidden.is_none() || !self.fallback.knows(item) {
                *out = self.fallback.of_item(item) + state.bias;
            }
        }
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        for (at, layer) in self.layers.iter().enumerate() {
            let width = layer.bias.len();
            layer.to_parts(&format!("hidden_{at}"), [layer.weights.len() / width, width], &mut parts);
        }
        let n = self.output.bias.len();
        self.output.to_parts("output", [n, self.output.weights.len() / n.max(1)], &mut parts);
        self.fallback.to_parts(&mut parts);
        parts.set("layers", self.layers.len());
        parts.set("activation", self.activation);
        parts.set("output_activation", self.output_activation);
        parts.set("binary", self.binary);
        parts.set("centre", self.centre);
        parts.set("stretch", self.stretch);
        parts.set("unit", self.scaling.unit);
        parts.set("zero", self.scaling.zero);
        parts.set("feedback", self.feedback);
        parts
    }
}

recommender!(UAutoRecModel);
