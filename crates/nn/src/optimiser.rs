//! Dense arrays of weights and how they learn: by [`crate::adam`] or [`crate::rprop`].
//!
//! ```
//! use foldin_nn::optimiser::{Optimiser, Trained};
//! use foldin_nn::rprop::Rprop;
//! let optimiser = Optimiser::Rprop(Rprop::default());
//! let mut weights = Trained::new(&[0.0; 2], &optimiser);
//! for step in 0..100 {
//!     let gradient: Vec<f32> = weights.w.iter().zip([1.0, -2.0]).map(|(w, goal)| w - goal).collect();
//!     weights.update(&optimiser, step, 0.0, &gradient);
//! }
//! assert!((weights.w[0] - 1.0).abs() < 1e-3 && (weights.w[1] + 2.0).abs() < 1e-3);
//! ```

use rayon::prelude::*;

use crate::activation::{Activation, Sharing};
use crate::adam::{self, Columns, Moving, Steps};
use crate::aligned::Aligned;
use crate::rprop::{self, Rprop, Stepping};

/// Weights that one task updates; a multiple of [`WIDTH`].
const AT_ONCE: usize = 16_384;

/// Weights that the optimiser sees as one row.
const WIDTH: usize = 64;

/// The share of the way to what a batch says that running moments move in a step, as is usual for batch normalisation.
const FOLLOWED: f32 = 0.1;

/// How weights learn.
#[derive(Clone, Debug)]
pub enum Optimiser {
    /// By the signs of full gradients.
    Rprop(Rprop),
    /// By Adam, with the learning rate of every step.
    Adam(Steps),
}

/// Weights with what the optimiser remembers of each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trained {
    /// Weights.
    pub w: Aligned<f32>,
    /// Means of gradients (Adam), or the gradients before (RProp).
    pub first: Aligned<f32>,
    /// Means of squared gradients (Adam), or step sizes (RProp).
    pub second: Aligned<f32>,
    /// Running means of the weights, from 0; empty unless Adam averages.
    pub average: Aligned<f32>,
    /// How many weights, the last, are running moments of an activation, which no optimiser moves.
    moments: usize,
}

impl Trained {
    /// Weights as they start.
    #[must_use]
    pub fn new(start: &[f32], optimiser: &Optimiser) -> Self {
        let [first, mut second] = [(); 2].map(|()| Aligned::zeros(start.len()));
        if let Optimiser::Rprop(rule) = optimiser {
            second.fill(rule.first);
        }
        let averages = matches!(optimiser, Optimiser::Adam(steps) if steps.averages());
        let average = Aligned::zeros(if averages { start.len() } else { 0 });
        Self { w: Aligned::from(start), first, second, average, moments: 0 }
    }

    /// The parameters of an activation as they start, for a layer of `units` units.
    #[must_use]
    pub fn of_activation(
        activation: Activation,
        sharing: Sharing,
        units: usize,
        optimiser: &Optimiser,
    ) -> Self {
        let moments = activation.moments() * sharing.sets(units);
        Self { moments, ..Self::new(&activation.initial(sharing, units), optimiser) }
    }

    /// The same weights with an optimiser that remembers nothing.
    #[must_use]
    pub fn restarted(&self, optimiser: &Optimiser) -> Self {
        Self { moments: self.moments, ..Self::new(&self.w, optimiser) }
    }

    /// The running means, times `correction` for their start from 0, or the weights where there are none.
    #[must_use]
    pub fn averaged(&self, correction: f32) -> Vec<f32> {
        if self.average.is_empty() {
            return self.w.to_vec();
        }
        self.average.iter().map(|average| average * correction).collect()
    }

    /// Step number `at` (from 0) with the gradient of the loss, to which `decay · w` is added. Running moments move a tenth of the way
    /// that their part of the gradient says, see [`Activation::average_moments`].
    ///
    /// # Panics
    /// If there is not one gradient a weight.
    pub fn update(&mut self, optimiser: &Optimiser, at: usize, decay: f32, gradient: &[f32]) {
        assert_eq!(gradient.len(), self.w.len(), "a gradient a weight");
        let descending = self.w.len() - self.moments;
        let (weights, moments) = self.w.split_at_mut(descending);
        let (gradient, off) = gradient.split_at(descending);
        moments.iter_mut().zip(off).for_each(|(moment, off)| *moment -= FOLLOWED * off);
        // Without averages each task gets an empty part of them.
        let averaged = descending.min(self.average.len());
        let (average, of_moments) = self.average.split_at_mut(averaged);
        let mut averages: Vec<&mut [f32]> = average.chunks_mut(AT_ONCE).collect();
        averages.resize_with(descending.div_ceil(AT_ONCE), || &mut []);
        if let Optimiser::Adam(steps) = optimiser {
            steps.follow(moments, of_moments);
        }
        let weights = weights.par_chunks_mut(AT_ONCE);
        let memory = (self.first[..descending].par_chunks_mut(AT_ONCE))
            .zip(self.second[..descending].par_chunks_mut(AT_ONCE));
        let tasks = weights.zip(memory).zip(averages).zip(gradient.par_chunks(AT_ONCE));
        tasks.for_each(|(((w, (first, second)), average), gradient)| match optimiser {
            Optimiser::Rprop(rule) => {
                rprop::step(rule, at, decay, gradient, &mut Stepping { w, previous: first, size: second });
            }
            Optimiser::Adam(steps) => {
                let mut all = Moving { w, m: first, v: second, average };
                let whole = gradient.len() - gradient.len() % WIDTH;
                for (range, width) in [(0..whole, WIDTH), (whole..gradient.len(), gradient.len() - whole)] {
                    if !range.is_empty() {
                        let columns = Columns::uniform(width, decay);
                        adam::step(steps, &columns, at, &gradient[range.clone()], &mut all.slice(range));
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adam::Adam;

    #[test]
    fn moments_follow_whatever_the_optimiser() {
        let dice = Activation::Dice;
        let z = [1.0, -5.0, 3.0, -1.0];
        for optimiser in
            [Optimiser::Rprop(Rprop::default()), Optimiser::Adam(Steps::new(Adam::default(), vec![0.0; 200]))]
        {
            let mut own = Trained::of_activation(dice, Sharing::Unit, 2, &optimiser);
            for step in 0..200 {
                let mut off = vec![0.0; own.w.len()];
                dice.backward(&own.w, 2, &z, &mut [0.0; 4], &mut off);
                dice.average_moments(z.len(), &mut off);
                own.update(&optimiser, step, 0.5, &off);
            }
            for (got, want) in own.w.iter().zip([0.0, 0.0, 2.0, -3.0, 1.0, 4.0]) {
                assert!((got - want).abs() < 1e-4, "{got} {want}");
            }
            assert_eq!(own.restarted(&optimiser).moments, 4);
        }
    }

    /// As [`crate::table::Table`] has it: the mean of what the weights were after each step, late ones counting more.
    #[test]
    fn averages_follow_weights_and_moments() {
        let adam = Adam { average: 0.9, ..Adam::default() };
        let optimiser = Optimiser::Adam(Steps::new(adam, vec![0.05; 30]));
        let mut own = Trained::of_activation(Activation::Dice, Sharing::Unit, 2, &optimiser);
        let mut mean = vec![0.0f64; own.w.len()];
        for step in 0..30 {
            own.update(&optimiser, step, 0.0, &[1.0, -2.0, 0.3, 0.1, -0.4, 0.2]);
            mean.iter_mut().zip(&*own.w).for_each(|(mean, &w)| *mean = 0.9 * *mean + 0.1 * f64::from(w));
        }
        let correction = 1.0 / (1.0 - 0.9f64.powi(30));
        let Optimiser::Adam(steps) = &optimiser else { unreachable!("it was made above") };
        for (got, mean) in own.averaged(steps.average_correction(30)).iter().zip(mean) {
            assert!((f64::from(*got) - mean * correction).abs() < 1e-4, "{got} {}", mean * correction);
        }
        let plain = Optimiser::Adam(Steps::new(Adam::default(), vec![0.05]));
        let own = Trained::new(&[1.0, 2.0], &plain);
        assert_eq!(own.averaged(7.0), [1.0, 2.0]);
    }

    #[test]
    fn every_weight_learns_whatever_the_length() {
        for n in [1, 63, 64, 65, AT_ONCE + 70] {
            for optimiser in [
                Optimiser::Rprop(Rprop::default()),
                Optimiser::Adam(Steps::new(Adam::default(), vec![0.05; 400])),
            ] {
                let goal: Vec<f32> = (0..n).map(|at| (at % 7) as f32 / 3.0 - 1.0).collect();
                let mut weights = Trained::new(&vec![0.0; n], &optimiser);
                for step in 0..400 {
                    // The minimum of (w − goal)² + w² is at half the goal.
                    let gradient: Vec<f32> =
                        weights.w.iter().zip(&goal).map(|(w, goal)| 2.0 * (w - goal)).collect();
                    weights.update(&optimiser, step, 2.0, &gradient);
                }
                let worst =
                    weights.w.iter().zip(&goal).map(|(w, goal)| (w - goal / 2.0).abs()).fold(0.0, f32::max);
                assert!(worst < 5e-3, "{n} weights by {optimiser:?}: {worst}");
            }
        }
    }
}
