//! The discriminator: whether a vector, given the purchase vector as condition, is that of a real user or item.

use foldin_core::Csr;
use foldin_core::random::Random;
use foldin_nn::blocks::{Blocks, View, sums};
use foldin_nn::matmul::{Matrix, matmul};
use foldin_nn::optimiser::{Optimiser, Trained};

use super::config::CfganConfig;
use super::generator::initial;
use crate::perceptron::{Layers, Named, Passed, column_sums};

/// Parameters of the discriminator, whose first layer reads condition and vector.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Discriminator {
    pub(super) places: usize,
    /// Blocks of `[places × first width]`: weights of the condition.
    pub(super) condition: Trained,
    /// The same of the vector.
    pub(super) vector: Trained,
    pub(super) layers: Layers,
    /// `[last width]`.
    pub(super) output: Trained,
    pub(super) output_bias: Trained,
}

/// What the upper layers' gradients are: of the layers, then of `output` and `output_bias`.
pub(super) type Upper = Vec<Vec<f32>>;

impl Discriminator {
    pub(super) fn new(places: usize, config: &CfganConfig, optimiser: &Optimiser, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let widths = &config.discriminator_hidden;
        let hidden: Vec<_> = widths.iter().map(|&width| (width, config.hidden_activation)).collect();
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        // Both halves are one matrix of `2 · places` rows.
        let rows = initial(&mut random, 2 * places, first);
        let half = |rows: &[f32]| Trained::new(Blocks::from_rows(places, first, rows).data(), optimiser);
        let (condition, vector) = (half(&rows[..places * first]), half(&rows[places * first..]));
        let layers = Layers::new(&hidden, config.activation_sharing, optimiser, |from, to| {
            initial(&mut random, from, to)
        });
        Self {
            places,
            condition,
            vector,
            layers,
            output: Trained::new(&initial(&mut random, last, 1), optimiser),
            output_bias: Trained::new(&initial(&mut random, 0, 1), optimiser),
        }
    }

    fn view<'a>(&self, table: &'a Trained) -> View<'a> {
        View::new(self.places, self.layers.first_width(), &table.w)
    }

    /// First sums of the condition for the rows of `cases`.
    pub(super) fn of_condition(&self, cases: &Csr) -> Vec<f32> {
        self.first_sums(cases, self.view(&self.condition))
    }

    /// First sums of the vector where it is the purchase vector itself.
    pub(super) fn of_purchases(&self, cases: &Csr) -> Vec<f32> {
        self.first_sums(cases, self.view(&self.vector))
    }

    fn first_sums(&self, cases: &Csr, table: View<'_>) -> Vec<f32> {
        let mut z = Blocks::zeros(cases.n_rows(), self.layers.first_width());
        sums(cases, cases.values(), table, &mut z);
        z.view().to_rows()
    }

    /// The vector's weights, `[places × first width]`.
    pub(super) fn vector(&self) -> Matrix<'_> {
        Matrix::blocked(&self.vector.w, self.places, self.layers.first_width(), foldin_nn::blocks::BLOCK)
    }

    /// From first sums to logits.
    pub(super) fn judge(&self, sums: Vec<f32>) -> (Passed, Vec<f32>) {
        let passed = self.layers.forward(sums);
        let width = self.layers.last_width();
        let rows = passed.last().len() / width;
        let mut logits = vec![0.0; rows];
        let last = Matrix::new(passed.last(), rows, width);
        matmul(last, Matrix::new(&self.output.w, width, 1), false, &mut logits);
        logits.iter_mut().for_each(|logit| *logit += self.output_bias.w[0]);
        (passed, logits)
    }

    /// Backward from the gradient of logits to that of first sums; `gradients`, if wanted, get those of the upper parameters.
    pub(super) fn blame(
        &self,
        passed: &Passed,
        of_logits: &[f32],
        mut gradients: Option<&mut Upper>,
    ) -> Vec<f32> {
        let (rows, width) = (of_logits.len(), self.layers.last_width());
        let dl = Matrix::new(of_logits, rows, 1);
        let mut of_last = vec![0.0; rows * width];
        matmul(dl, Matrix::new(&self.output.w, 1, width), false, &mut of_last);
        let of_sums = self.layers.backward(passed, of_last, gradients.as_deref_mut());
        if let Some(gradients) = gradients {
            let mut of_output = vec![0.0; width];
            matmul(Matrix::new(passed.last(), rows, width).transposed(), dl, false, &mut of_output);
            gradients.push(of_output);
            gradients.push(column_sums(of_logits, 1));
        }
        of_sums
    }

    /// All parameters in the order of gradients: of the condition, of the vector, then [`Upper`].
    pub(super) fn parameters(&mut self) -> Vec<Named<'_>> {
        let mut out = vec![
            ("condition".to_owned(), true, &mut self.condition),
            ("vector".to_owned(), true, &mut self.vector),
        ];
        out.extend(self.layers.parameters());
        out.push(("output".to_owned(), true, &mut self.output));
        out.push(("output_bias".to_owned(), true, &mut self.output_bias));
        out
    }
}
