use foldin_core::random::Random;
use foldin_nn::adam::{Adam, Columns, Moving, Steps};
use foldin_nn::dropout::Dropout;
use foldin_nn::plan::RowLists;
use foldin_nn::sparse_layer::{
    BLOCK, BatchStatistics, BlockParameters, Entry, NORM_EPSILON, TABLE_BLOCK, activate, activate_backward,
    sum_rows, update_rows,
};
use proptest::prelude::*;

use super::{Sum, cells, close, grouped, numbers, wide};

/// Users with their inputs by row of the table, in both forms.
fn batch(
    n_users: usize,
    n_rows: usize,
    share: f64,
    random: &mut Random,
) -> (Vec<(u32, Entry)>, RowLists<Entry>) {
    let entries: Vec<(u32, Entry)> = cells(n_users, n_rows, share, random)
        .into_iter()
        .map(|(user, row)| {
            let inputs = numbers(2, random);
            // Side information has no indicator.
            let b = if random.chance(0.2) { 0.0 } else { inputs[1] };
            (row, Entry { user, a: inputs[0], b })
        })
        .collect();
    let lists = grouped(n_rows, &entries);
    (entries, lists)
}

/// Weight of a row for a unit: of the value, or of the indicator.
fn place(row: u32, unit: usize, indicator: bool) -> usize {
    row as usize * TABLE_BLOCK + usize::from(indicator) * BLOCK + unit
}

struct Parameters {
    bias: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    normalises: bool,
    slope: f32,
    dropout: Dropout,
    blocks: usize,
}

impl Parameters {
    fn random(normalises: bool, drops: bool, slope: f32, blocks: usize, random: &mut Random) -> Self {
        let gamma = numbers(BLOCK, random).into_iter().map(|x| 1.0 + 0.5 * x).collect();
        let dropout = Dropout::new(if drops { 0.5 } else { 0.0 }, random.bits());
        let (bias, beta) = (numbers(BLOCK, random), numbers(BLOCK, random));
        Self { bias, gamma, beta, normalises, slope, dropout, blocks }
    }

    /// Those of the last block.
    fn of_block(&self) -> BlockParameters<'_> {
        BlockParameters {
            bias: &self.bias,
            norm: self.normalises.then_some((&self.gamma, &self.beta)),
            slope: self.slope,
            dropout: self.dropout,
            width: self.blocks * BLOCK,
            first: (self.blocks - 1) * BLOCK,
        }
    }

    fn leaky(&self, sum: f64) -> f64 {
        if sum > 0.0 { sum } else { wide(self.slope) * sum }
    }

    fn kept(&self, user: usize, unit: usize) -> f64 {
        wide(self.dropout.factor((user * self.blocks * BLOCK + (self.blocks - 1) * BLOCK + unit) as u32))
    }
}

/// One unit over the batch.
fn unit_of(x: &[f32], unit: usize) -> impl Iterator<Item = f64> + Clone + '_ {
    x.iter().skip(unit).step_by(BLOCK).map(|&x| wide(x))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn sums_of_rows(n_users in 1usize..9, n_rows in 1usize..12, share in 0.0f64..1.0, seed: u64) {
        let mut random = Random::new(seed);
        let (entries, lists) = batch(n_users, n_rows, share, &mut random);
        let table = numbers(n_rows * TABLE_BLOCK, &mut random);
        let mut z = vec![9.0; n_users * BLOCK];
        sum_rows(&lists, &table, &mut z);
        for (user, z) in z.chunks_exact(BLOCK).enumerate() {
            for (unit, &got) in z.iter().enumerate() {
                let own = entries.iter().filter(|(_, entry)| entry.user as usize == user);
                Sum::of(own.flat_map(|&(row, Entry { a, b, .. })| {
                    [(a, false), (b, true)].map(|(input, which)| wide(input) * wide(table[place(row, unit, which)]))
                }))
                .check(got, "sum")?;
            }
        }
    }

    #[test]
    fn activation(
        n in 1usize..9, normalises: bool, drops: bool, slope in 0.0f32..1.0, blocks in 1usize..4, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let own = Parameters::random(normalises, drops, slope, blocks, &mut random);
        let sums = numbers(n * BLOCK, &mut random);
        let (mut h, mut x) = (sums.clone(), vec![9.0; n * BLOCK]);
        let statistics = activate(&own.of_block(), &mut h, &mut x);
        prop_assert_eq!(statistics.is_some(), normalises);
        // Sums of n numbers of at most 2, at 2⁻²⁴ each.
        let rounding = 4e-7 * n as f64;
        for unit in 0..BLOCK {
            let exact: Vec<f64> = unit_of(&sums, unit).map(|z| own.leaky(z + wide(own.bias[unit]))).collect();
            let (mut scale, mut shift) = (1.0, 0.0);
            if let Some(BatchStatistics { mean, variance }) = &statistics {
                let exact_mean = exact.iter().sum::<f64>() / n as f64;
                let exact_variance = exact.iter().map(|h| (h - exact_mean).powi(2)).sum::<f64>() / n as f64;
                close(mean[unit], exact_mean, rounding, "mean")?;
                close(variance[unit], exact_variance, 2.0 * rounding, "variance")?;
                // Of the statistics as they came out: of one user the variance is 0, and dividing by ε would show nothing else.
                scale = wide(own.gamma[unit]) / (wide(variance[unit]) + wide(NORM_EPSILON)).sqrt();
                shift = wide(own.beta[unit]) - wide(mean[unit]) * scale;
            }
            for (user, &exact) in exact.iter().enumerate() {
                close(h[user * BLOCK + unit], exact, 4e-7, "h")?;
                let expected = (exact * scale + shift) * own.kept(user, unit);
                close(x[user * BLOCK + unit], expected, 2e-6 * (1.0 + scale), "x")?;
            }
        }
    }

    /// Against the textbook's formulas: `dh = (γ dx − mean(γ dx) − standard · mean(γ dx · standard)) / deviation`.
    #[test]
    fn activation_backwards(
        n in 1usize..9, normalises: bool, drops: bool, slope in 0.0f32..1.0, blocks in 1usize..4, narrower in 0usize..70,
        seed: u64,
    ) {
        let mut random = Random::new(seed);
        let own = Parameters::random(normalises, drops, slope, blocks, &mut random);
        let mut h = numbers(n * BLOCK, &mut random);
        let statistics = activate(&own.of_block(), &mut h, &mut vec![0.0; n * BLOCK]);
        // The gradient has the layer's own width, which need not fill the last block, nor reach it.
        let stride = (blocks * BLOCK).saturating_sub(narrower);
        let dx = numbers(n * stride, &mut random);
        let (mut dz, mut gradients) = (vec![9.0; n * BLOCK], [[9.0; BLOCK]; 3]);
        activate_backward(&own.of_block(), statistics.as_ref(), &h, &dx, stride, &mut dz, &mut gradients);
        let each = 1.0 / n as f64;
        for unit in 0..BLOCK {
            let column = (blocks - 1) * BLOCK + unit;
            let dy: Vec<f64> = (0..n)
                .map(|user| {
                    if column < stride { wide(dx[user * stride + column]) * own.kept(user, unit) } else { 0.0 }
                })
                .collect();
            let h: Vec<f64> = unit_of(&h, unit).collect();
            let mut dh = dy.clone();
            let mut inverse = 1.0;
            if let Some(statistics) = &statistics {
                let (mean, gamma) = (wide(statistics.mean[unit]), wide(own.gamma[unit]));
                inverse = 1.0 / (wide(statistics.variance[unit]) + wide(NORM_EPSILON)).sqrt();
                let standard: Vec<f64> = h.iter().map(|h| (h - mean) * inverse).collect();
                let of_gamma = Sum::of(dy.iter().zip(&standard).map(|(dy, standard)| dy * standard));
                let of_beta = Sum::of(dy.iter().copied());
                close(gradients[1][unit], of_gamma.value, 2e-6 * (1.0 + of_gamma.size) * (1.0 + inverse), "γ")?;
                close(gradients[2][unit], of_beta.value, 1e-6 * (1.0 + of_beta.size), "β")?;
                for ((dh, dy), standard) in dh.iter_mut().zip(&dy).zip(&standard) {
                    let centred = dy - each * of_beta.value - standard * each * of_gamma.value;
                    *dh = gamma * inverse * centred;
                }
            } else {
                prop_assert_eq!((gradients[1][unit], gradients[2][unit]), (0.0, 0.0));
            }
            // Standardised values carry the rounding of `h` divided by the deviation, and the result is divided by it again.
            let tolerance = 1e-6 * (1.0 + inverse).powi(2);
            let mut of_bias = 0.0;
            for (user, (dh, h)) in dh.iter().zip(&h).enumerate() {
                let expected = dh * if *h > 0.0 { 1.0 } else { wide(slope) };
                close(dz[user * BLOCK + unit], expected, tolerance, "dz")?;
                of_bias += expected;
            }
            close(gradients[0][unit], of_bias, tolerance * n as f64, "bias")?;
        }
    }

    /// The gradient of a row is never stored: it is seen in Adam's mean of gradients after the first step.
    #[test]
    fn gradients_of_rows(n_users in 1usize..9, n_rows in 1usize..12, share in 0.0f64..1.0, seed: u64) {
        let mut random = Random::new(seed);
        let (entries, lists) = batch(n_users, n_rows, share, &mut random);
        let dz = numbers(n_users * BLOCK, &mut random);
        let start = numbers(n_rows * TABLE_BLOCK, &mut random);
        let (mut w, mut m, mut v) = (start.clone(), vec![0.0; start.len()], vec![0.0; start.len()]);
        // β₁ = 0: the mean of gradients is the gradient.
        let steps = Steps::new(Adam { beta1: 0.0, ..Adam::default() }, [1e-3]);
        let mut table = Moving { w: &mut w, m: &mut m, v: &mut v, average: &mut [] };
        let columns = Columns::uniform(TABLE_BLOCK, 0.0);
        update_rows(&lists, &dz, &steps, &columns, 0, &steps.skips_after(1), &mut table);
        for row in 0..n_rows as u32 {
            for (unit, indicator) in (0..BLOCK).flat_map(|unit| [(unit, false), (unit, true)]) {
                let at = place(row, unit, indicator);
                let own = entries.iter().filter(|(other, _)| *other == row);
                let gradient = Sum::of(own.map(|(_, entry)| {
                    wide(if indicator { entry.b } else { entry.a }) * wide(dz[entry.user as usize * BLOCK + unit])
                }));
                gradient.check(m[at], "gradient")?;
                if gradient.terms == 0 {
                    prop_assert_eq!(w[at].to_bits(), start[at].to_bits(), "nobody has the row");
                } else {
                    // The first step is the learning rate in the direction of the gradient.
                    let step = wide(m[at]) / (wide(m[at]).abs() + 1e-8) * 1e-3;
                    close(w[at], wide(start[at]) - step, 2e-7, "weight")?;
                }
            }
        }
    }
}
