use foldin_core::random::Random;
use foldin_nn::adam::{Adam, Columns, Steps};
use foldin_nn::plan::{RowLists, plan_skips};
use foldin_nn::table::Table;
use proptest::prelude::*;

use super::{close, grouped, numbers, wide};

const LEARNING_RATE: f64 = 1e-2;

/// Adam in `f64` that visits every row at every step.
struct Naive {
    adam: Adam,
    rate: Vec<f32>,
    decay: Vec<f32>,
    w: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
    average: Vec<f64>,
    done: i32,
}

impl Naive {
    fn new(adam: Adam, rate: &[f32], decay: &[f32], w: &[f32]) -> Self {
        let zeros = vec![0.0; w.len()];
        let w = w.iter().map(|&w| wide(w)).collect();
        let (rate, decay) = (rate.to_vec(), decay.to_vec());
        Self { adam, rate, decay, w, m: zeros.clone(), v: zeros.clone(), average: zeros, done: 0 }
    }

    fn step(&mut self, gradient: &[f64]) {
        self.done += 1;
        let Adam { beta1, beta2, epsilon, average } = self.adam;
        for (at, &gradient) in gradient.iter().enumerate() {
            let column = at % self.rate.len();
            let gradient = gradient + wide(self.decay[column]) * self.w[at];
            self.m[at] = beta1 * self.m[at] + (1.0 - beta1) * gradient;
            self.v[at] = beta2 * self.v[at] + (1.0 - beta2) * gradient * gradient;
            let (m, v) =
                (self.m[at] / (1.0 - beta1.powi(self.done)), self.v[at] / (1.0 - beta2.powi(self.done)));
            self.w[at] -= LEARNING_RATE * wide(self.rate[column]) * m / (v.sqrt() + epsilon);
            self.average[at] = average * self.average[at] + (1.0 - average) * self.w[at];
        }
    }
}

/// Gradients that no decay turns round: near zero the sign of a step would hang on rounding.
fn gradients(n: usize, random: &mut Random) -> Vec<f32> {
    numbers(n, random).into_iter().map(|x| x + 0.5f32.copysign(x)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Listed rows with their gradients, all others skipped and caught up with: the same as every row at every step.
    #[test]
    fn rows_that_are_listed_now_and_then(
        // More rows than one task takes, too.
        n_rows in prop_oneof![1usize..9, 250usize..600], width in 1usize..40, n_steps in 1usize..9, decays: bool,
        averages: bool, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let start = numbers(n_rows * width, &mut random);
        let adam = Adam { average: if averages { 0.9 } else { 0.0 }, ..Adam::default() };
        // A column that is held, and one that learns faster than the others.
        let rate: Vec<f32> = (0..width).map(|column| [1.0, 3.0, 0.0][column % 3]).collect();
        let decay: Vec<f32> = rate.iter().map(|rate| if decays { 0.1 * rate } else { 0.0 }).collect();
        let mut naive = Naive::new(adam, &rate, &decay, &start);
        let mut table = Table::new(n_rows, width, start, averages);
        prop_assert_eq!((table.n_rows(), table.block()), (n_rows, width));
        let columns = Columns::new(rate.clone(), decay);
        let steps = Steps::new(adam, vec![LEARNING_RATE; n_steps]);
        let mut lists: Vec<RowLists<()>> = (0..n_steps)
            .map(|_| {
                let rows = (0..n_rows as u32).filter(|_| random.chance(0.3));
                grouped(n_rows, &rows.map(|row| (row, ())).collect::<Vec<_>>())
            })
            .collect();
        let wait = plan_skips(n_rows, lists.iter_mut());
        table.skip(&steps, &columns, 0, &steps.skips_after(0), &wait);
        for (at, lists) in lists.iter().enumerate() {
            let gradients = gradients(lists.rows.len() * width, &mut random);
            table.update(&steps, &columns, at, &steps.skips_after(at + 1), lists, &gradients);
            let mut all = vec![0.0; n_rows * width];
            for (&row, gradient) in lists.rows.iter().zip(gradients.chunks_exact(width)) {
                for (all, &gradient) in all[row as usize * width..].iter_mut().zip(gradient) {
                    *all = wide(gradient);
                }
            }
            naive.step(&all);
        }
        let correction = steps.average_correction(n_steps);
        let averaged = table.averaged(correction);
        for at in 0..n_rows * width {
            // A step moves by some learning rates; a weight whose only gradient is its decay by the rounding of that.
            close(table.w[at], naive.w[at], 1e-5, "weight")?;
            close(table.m[at], naive.m[at], 1e-5, "mean of gradients")?;
            close(table.v[at], naive.v[at], 1e-5, "mean of squares")?;
            let expected = if averages { naive.average[at] * wide(correction) } else { naive.w[at] };
            close(averaged[at], expected, 1e-5, "average")?;
        }
    }

    #[test]
    fn all_rows_at_once(n_rows in prop_oneof![0usize..9, 250usize..600], width in 1usize..20, blocks in 1usize..4, seed: u64) {
        let mut random = Random::new(seed);
        let n = blocks * n_rows * width;
        let start = numbers(n, &mut random);
        let (rate, decay) = (vec![1.0; width], vec![0.1; width]);
        let mut naive = Naive::new(Adam::default(), &rate, &decay, &start);
        let mut table = Table::new(n_rows, width, start, false);
        let (columns, steps) = (Columns::new(rate, decay), Steps::new(Adam::default(), [LEARNING_RATE]));
        let gradients = gradients(n, &mut random);
        // Gradients go with the pieces only where a block is a whole number of them, as in a table of one block.
        if blocks == 1 {
            table.update_all(&steps, &columns, 0, &gradients);
            naive.step(&gradients.iter().map(|&g| wide(g)).collect::<Vec<_>>());
            for (&got, &expected) in table.w.iter().zip(&naive.w) {
                close(got, expected, 1e-5, "weight")?;
            }
        }
        // Pieces are the whole table, block after block.
        let whole = table.w.clone();
        let mut seen = Vec::new();
        for (block, first, piece) in table.pieces(7) {
            prop_assert_eq!(seen.len(), (block * n_rows + first) * width);
            prop_assert!(piece.w.len() <= 7 * width && piece.m.len() == piece.w.len() && piece.average.is_empty());
            seen.extend_from_slice(piece.w);
        }
        prop_assert_eq!(seen, whole);
    }
}
