//! A fitted network that reads a user's history and writes a score for each item: what `u-cfgan` and its kin serve with.

use std::fmt::Debug;
use std::marker::PhantomData;

use foldin_core::{
    Factors, Feedback, ItemFactors, LoadError, ModelFamily, ModelParts, ScoreError, Tensor, UserView,
};
use foldin_nn::activation::Activation;
use foldin_nn::kernel;
use foldin_nn::kernels::{axpy, dot, dot_in};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::per_user::PerUser;
use crate::perceptron::Layer;

/// The model of a family `F`. What a history holds counts, not how often.
#[derive(Clone, Debug)]
pub struct UserNetwork<F> {
    /// The first layer's weights are `[items × width]`.
    layers: Vec<Layer>,
    input: Input,
    /// Weights and biases of the output.
    items: ItemFactors,
    output_activation: Activation,
    /// Scores for somebody of whom nothing is known.
    popularity: Vec<f32>,
    feedback: Feedback,
    notes: Vec<String>,
    family: PhantomData<fn() -> F>,
}

/// How a history is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Input {
    /// As ones.
    Ones,
    /// As ones over the root of their number: a vector of length 1.
    Unit,
}

impl<F> UserNetwork<F> {
    pub(crate) fn new(
        layers: Vec<Layer>,
        (output, output_bias, output_activation): (Vec<f32>, Vec<f32>, Activation),
        popularity: Vec<f32>,
        feedback: Feedback,
    ) -> Self {
        let (input, notes, family) = (Input::Ones, Vec::new(), PhantomData);
        let k = layers.last().map_or(0, |layer| layer.bias.len());
        let items = ItemFactors { k, m: output, bias: output_bias, mean: 0.0 };
        Self { layers, input, items, output_activation, popularity, feedback, notes, family }
    }

    /// The same, reading histories in another way.
    pub(crate) fn reading(self, input: Input) -> Self {
        Self { input, ..self }
    }

    pub(crate) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let parts = &mut parts;
        let activations: Vec<Activation> = parts.get("activations")?;
        let popularity = parts.take("popularity", &[None])?.data;
        let n_items = popularity.len();
        let mut layers: Vec<Layer> = Vec::new();
        for (at, &activation) in activations.iter().enumerate() {
            let from = layers.last().map_or(n_items, |layer| layer.bias.len());
            let weights = parts.take(&format!("hidden_{at}"), &[Some(from), None])?;
            let width = weights.shape[1];
            let bias = parts.take(&format!("hidden_{at}_bias"), &[Some(width)])?.data;
            let parameters = if activation.parameters().is_empty() {
                Vec::new()
            } else {
                parts.take(&format!("hidden_{at}_activation"), &[None])?.data
            };
            let n = activation.parameters().len();
            if width == 0 || !(parameters.len() == n || parameters.len() == n * width) {
                return Err(LoadError::Meta { key: "activations".to_owned() });
            }
            layers.push(Layer { weights: weights.data, bias, activation, parameters });
        }
        let last = layers.last().map(|layer| layer.bias.len());
        let last = last.ok_or_else(|| LoadError::Meta { key: "activations".to_owned() })?;
        let output = parts.take("output", &[Some(n_items), Some(last)])?.data;
        let output_bias = parts.take("output_bias", &[Some(n_items)])?.data;
        let output_activation: Activation = parts.get("output_activation")?;
        if !output_activation.parameters().is_empty() {
            return Err(LoadError::Meta { key: "output_activation".to_owned() });
        }
        let mut model =
            Self::new(layers, (output, output_bias, output_activation), popularity, parts.get("feedback")?);
        model.input = parts.get("input")?;
        model.notes = parts.get("notes")?;
        Ok(model)
    }

    fn encode(&self, user: &UserView<'_>) -> Vec<f32> {
        let mut x: Vec<f32> = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let width = layer.bias.len();
            let mut z = layer.bias.clone();
            if at == 0 {
                let one = match self.input {
                    Input::Ones => 1.0,
                    Input::Unit => 1.0 / (user.items.len().max(1) as f32).sqrt(),
                };
                for &item in user.items {
                    axpy(one, &layer.weights[item as usize * width..][..width], &mut z);
                }
            } else {
                for (&x, row) in x.iter().zip(layer.weights.chunks_exact(width)) {
                    axpy(x, row, &mut z);
                }
            }
            x = vec![0.0; width];
            layer.activation.forward(&layer.parameters, width, &z, &mut x);
        }
        x
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

impl<F: ModelFamily> UserNetwork<F> {
    /// The last layer for each user; zeros without a history, so that the biases alone speak.
    pub(crate) fn factors(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        let k = self.items.k;
        let mut u = vec![0.0; users.len() * k];
        u.par_chunks_mut(k.max(1)).zip(users).try_for_each(|(out, user)| {
            user.check(self.catalogue())?;
            if let Some(hidden) = self.state(user)? {
                out.copy_from_slice(&hidden);
            }
            Ok(())
        })?;
        if u.iter().any(|x| !x.is_finite()) {
            return Err(ScoreError::NotFinite { what: "a generated factor" });
        }
        Ok(Factors { k, u, bias: vec![0.0; users.len()], covariance: None })
    }

    /// Weights and biases of the output, which are factors where it is linear.
    pub(crate) fn item_factors(&self) -> &ItemFactors {
        &self.items
    }
}

impl<F: ModelFamily> PerUser for UserNetwork<F> {
    type Family = F;
    /// The last hidden layer; none without a history.
    type State = Option<Vec<f32>>;

    fn catalogue(&self) -> usize {
        self.popularity.len()
    }

    fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn state(&self, user: &UserView<'_>) -> Result<Self::State, ScoreError> {
        Ok((!user.items.is_empty()).then(|| self.encode(user)))
    }

    fn value(&self, hidden: &Self::State, item: usize) -> f32 {
        let Some(hidden) = hidden else { return self.popularity[item] };
        let row = self.items.row(item);
        let (z, mut out) = ([self.items.bias[item] + dot(row, hidden)], [0.0]);
        self.output_activation.forward(&[], 1, &z, &mut out);
        out[0]
    }

    fn values(&self, hidden: &Self::State, out: &mut [f32]) {
        let Some(hidden) = hidden else {
            out.copy_from_slice(&self.popularity);
            return;
        };
        output_sums(hidden, &self.items.m, &self.items.bias, out);
        if self.output_activation != Activation::Identity {
            let z = out.to_vec();
            self.output_activation.forward(&[], 1, &z, out);
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let mut put = |name: String, shape: &[usize], data: &[f32]| {
            parts.tensors.insert(name, Tensor::new(shape, data.to_vec()));
        };
        for (at, layer) in self.layers.iter().enumerate() {
            let width = layer.bias.len();
            put(format!("hidden_{at}"), &[layer.weights.len() / width, width], &layer.weights);
            put(format!("hidden_{at}_bias"), &[width], &layer.bias);
            if !layer.parameters.is_empty() {
                put(format!("hidden_{at}_activation"), &[layer.parameters.len()], &layer.parameters);
            }
        }
        let n = self.catalogue();
        put("output".to_owned(), &[n, self.items.k], &self.items.m);
        put("output_bias".to_owned(), &[n], &self.items.bias);
        put("popularity".to_owned(), &[n], &self.popularity);
        let activations: Vec<Activation> = self.layers.iter().map(|layer| layer.activation).collect();
        parts.set("activations", activations);
        parts.set("input", self.input);
        parts.set("output_activation", self.output_activation);
        parts.set("feedback", self.feedback);
        parts.set("notes", &self.notes);
        parts
    }
}

/// How many users took each item.
pub(crate) fn popularity(clicks: &foldin_core::Interactions) -> Vec<f32> {
    (0..clicks.n_items()).map(|item| clicks.by_item().row_len(item) as f32).collect()
}
