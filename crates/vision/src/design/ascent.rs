//! Moving noise uphill.

use burn::tensor::{Device, Int, Tensor, TensorData};
use foldin_core::CancelFlag;
use foldin_core::random::{Random, child_seed};

use super::config::{Bound, DesignConfig};
use super::preference::{Features, Taste, resized};
use crate::backend;
use crate::classifier::Classifier;
use crate::error::VisionError;
use crate::images::{set::CHANNELS, to_byte, to_unit};
use crate::lsgan::Lsgan;
use crate::parameters::{Adam, Parameters};

/// All starts after some step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which one; 0 is the start.
    pub number: usize,
    /// Pictures `[starts × 3 × px × px]`.
    pub pictures: Vec<u8>,
    /// θᵀΦ of each.
    pub preference: Vec<f64>,
    /// The mean of θᵀΦ over the picture's views; the same where there is but one.
    pub steady: Vec<f64>,
    /// D of each: 1 is real to the discriminator.
    pub realism: Vec<f64>,
    /// Probability of the category by the classifier; empty without one.
    pub category: Vec<f64>,
}

impl Step {
    /// θᵀΦ − η (D − 1)² + γ ln p of a start, with the factors of realism and of the category.
    ///
    /// # Panics
    /// If there is no such start.
    #[must_use]
    pub fn objective(&self, start: usize, config: &DesignConfig) -> f64 {
        let doubt = (self.realism[start] - 1.0).powi(2);
        let category = self.category.get(start).map_or(0.0, |p| p.max(f64::MIN_POSITIVE).ln());
        self.steady[start] - config.realism * doubt + config.category * category
    }

    /// The picture of a start.
    ///
    /// # Panics
    /// If there is no such start.
    #[must_use]
    pub fn picture(&self, start: usize) -> &[u8] {
        let size = self.pictures.len() / self.preference.len();
        &self.pictures[start * size..(start + 1) * size]
    }
}

/// Noise under a bound: what the generator is given, and what Adam moves.
struct Moving<'a> {
    model: &'a Lsgan,
    bound: Bound,
    /// One array `[starts, noise]`; before the hyperbolic tangent where that is the bound.
    noise: Parameters,
    adam: Adam,
}

impl<'a> Moving<'a> {
    fn new(model: &'a Lsgan, config: &DesignConfig, noise: Vec<f32>) -> Self {
        let width = model.config().noise;
        let mut parameters = Parameters::default();
        let noise = match config.bound {
            // What the hyperbolic tangent makes the wanted start of.
            Bound::Tanh => noise.into_iter().map(|z| z.clamp(-0.999, 0.999).atanh()).collect(),
            _ => noise,
        };
        parameters.add("noise", &[noise.len() / width, width], noise, false, model.device());
        let adam = Adam::new(&parameters, config.learning_rate, 0.9, 0.999, 0.0);
        Self { model, bound: config.bound, noise: parameters, adam }
    }

    fn bounded(&self, noise: Tensor<2>) -> Tensor<2> {
        if self.bound == Bound::Tanh { noise.tanh() } else { noise }
    }

    /// The noise as the generator is given it.
    fn given(&self) -> Vec<f32> {
        backend::values(self.bounded(self.noise.get(0)))
    }

    /// One step down a loss of the pictures, given by start.
    fn step(&mut self, class: usize, loss: impl FnOnce(Tensor<4>) -> Tensor<1>) {
        let tracked = self.noise.tracked();
        let pictures = self.model.pictures(self.bounded(tracked.get(0)), class);
        // A sum: starts do not share a step.
        let mut gradients = loss(pictures).sum().backward();
        let gradients = tracked.gradients(&mut gradients);
        self.adam.step(&mut self.noise, gradients);
        if self.bound == Bound::Norm {
            let noise: Tensor<2> = self.noise.get(0);
            let most = (noise.dims()[1] as f64 * self.model.config().noise_from.variance()).sqrt();
            let norm = noise.clone().square().sum_dim(1).sqrt();
            let shrink = (norm.clamp_min(1e-12).recip() * most).clamp_max(1.0);
            self.noise.set(0, noise * shrink);
        }
    }
}

/// A picture moved by whole pixels, the edge repeated, and mirrored or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct View {
    down: i64,
    right: i64,
    mirrored: bool,
}

impl View {
    /// The picture as it is, then others at random, moved by up to a sixteenth of their side.
    fn some(px: usize, n: usize, random: &mut Random) -> Vec<Self> {
        let most = px / 16;
        let mut moved = || random.below(2 * most + 1) as i64 - most as i64;
        let mut views = vec![Self::default()];
        while views.len() < n {
            let (down, right) = (moved(), moved());
            views.push(Self { down, right, mirrored: views.len() % 2 == 1 });
        }
        views
    }

    fn of(self, pictures: Tensor<4>) -> Tensor<4> {
        if self == Self::default() {
            return pictures;
        }
        let (device, [.., px]) = (pictures.device(), pictures.dims());
        let last = px as i64 - 1;
        let index = |by: i64, mirrored: bool| {
            let from = |at: i64| (if mirrored { last - at } else { at } - by).clamp(0, last);
            Tensor::<1, Int>::from_data(
                TensorData::new((0..=last).map(from).collect::<Vec<_>>(), [px]),
                &device,
            )
        };
        pictures.select(2, index(self.down, false)).select(3, index(self.right, self.mirrored))
    }
}

/// What is climbed: θᵀΦ(G(z, c)) − η (D(G(z, c), c) − 1)² + γ ln p(c | G(z, c)).
#[derive(Clone, Copy)]
pub(super) struct Hill<'a> {
    pub model: &'a Lsgan,
    pub features: &'a dyn Features,
    pub taste: &'a Taste,
    pub class: usize,
    /// Knows the generator's categories, if there is one; without it γ does nothing.
    pub classifier: Option<&'a Classifier>,
}

impl Hill<'_> {
    fn preference(&self, pictures: Tensor<4>) -> Tensor<1> {
        self.taste.preference(self.features.features(resized(pictures, self.features.px())))
    }

    /// ln p of the category, if there is a classifier.
    fn log_category(&self, pictures: Tensor<4>) -> Option<Tensor<1>> {
        let classifier = self.classifier?;
        let all = classifier.log_probabilities(resized(pictures, classifier.px()));
        let [n, _] = all.dims();
        Some(all.narrow(1, self.class, 1).reshape([n]))
    }

    /// The mean of preferences over views.
    fn steady(&self, pictures: &Tensor<4>, views: &[View]) -> Tensor<1> {
        let mut sum: Option<Tensor<1>> = None;
        for view in views {
            let found = self.preference(view.of(pictures.clone()));
            sum = Some(match sum {
                Some(sum) => sum + found,
                None => found,
            });
        }
        sum.unwrap_or_else(|| self.preference(pictures.clone())) / views.len().max(1) as f64
    }

    /// What is to become small, by start.
    fn loss(&self, pictures: Tensor<4>, views: &[View], config: &DesignConfig) -> Tensor<1> {
        let mut loss = self.steady(&pictures, views).neg();
        if config.realism > 0.0 {
            let doubt = (self.model.realism(pictures.clone(), self.class) - 1.0).square();
            loss = loss + doubt * config.realism;
        }
        if config.category > 0.0
            && let Some(category) = self.log_category(pictures)
        {
            loss = loss - category * config.category;
        }
        loss
    }

    fn taken(&self, moving: &Moving<'_>, views: &[View], number: usize) -> Step {
        let pictures = self.model.pictures(moving.bounded(moving.noise.get(0)), self.class);
        let wide = |values: Tensor<1>| backend::values(values).into_iter().map(f64::from).collect();
        Step {
            number,
            preference: wide(self.preference(pictures.clone())),
            steady: wide(self.steady(&pictures, views)),
            realism: wide(self.model.realism(pictures.clone(), self.class)),
            category: self.log_category(pictures.clone()).map_or_else(Vec::new, |found| wide(found.exp())),
            pictures: backend::values(pictures).into_iter().map(to_byte).collect(),
        }
    }
}

/// Where designs start.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start<'a> {
    /// Random noise.
    Random,
    /// The noise whose pictures are nearest to this one, `[3 × px × px]` bytes of the generator's size.
    Item(&'a [u8]),
}

/// Moves all starts uphill and tells of each step, the start first.
///
/// # Errors
/// [`VisionError::Shape`] for an item's picture of another size, [`VisionError::Fit`] if cancelled.
pub(super) fn ascend(
    hill: Hill<'_>,
    start: Start<'_>,
    config: &DesignConfig,
    seed: u64,
    cancel: &CancelFlag,
    mut tell: impl FnMut(Step),
) -> Result<(), VisionError> {
    let stop = |steps: usize| {
        if cancel.is_cancelled() {
            return Err(VisionError::Fit(foldin_core::FitError::Cancelled { epochs: steps }));
        }
        Ok(())
    };
    let mut random = Random::new(child_seed(seed, "design-starts"));
    let mut noise = hill.model.noise(config.starts, &mut random);
    noise.iter_mut().for_each(|z| *z *= config.start_deviation as f32);
    if let Start::Item(picture) = start {
        noise = inverted(hill.model, hill.class, picture, noise, config, &stop)?;
    }
    let mut moving = Moving::new(hill.model, config, noise);
    let px = hill.model.config().px;
    let fixed = View::some(px, config.views, &mut Random::new(child_seed(seed, "design-views")));
    tell(hill.taken(&moving, &fixed, 0));
    for number in 1..=config.steps {
        stop(number - 1)?;
        let views = View::some(px, config.views, &mut random);
        moving.step(hill.class, |pictures| hill.loss(pictures, &views, config));
        tell(hill.taken(&moving, &fixed, number));
    }
    Ok(())
}

/// Noise of pictures near a given one: from all starts, down the mean absolute difference of pixels. Starts come back in order of how near
/// they came, so the first is the nearest.
fn inverted(
    model: &Lsgan,
    class: usize,
    picture: &[u8],
    starts: Vec<f32>,
    config: &DesignConfig,
    stop: &dyn Fn(usize) -> Result<(), VisionError>,
) -> Result<Vec<f32>, VisionError> {
    let (px, width) = (model.config().px, model.config().noise);
    let size = CHANNELS * px * px;
    if picture.len() != size {
        return Err(VisionError::shape("bytes of the item's picture", size, picture.len()));
    }
    let target = |device: &Device| {
        let values = picture.iter().map(|&byte| to_unit(byte)).collect();
        backend::tensor(values, [1, 3, px, px], device)
    };
    let mut moving = Moving::new(model, config, starts);
    let difference = |pictures: Tensor<4>| {
        let [n, ..] = pictures.dims();
        let device = pictures.device();
        (pictures - target(&device)).abs().reshape([n, size]).mean_dim(1).reshape([n])
    };
    for number in 0..config.inversion_steps {
        stop(number)?;
        moving.step(class, difference);
    }
    let noise = moving.given();
    let distance = difference(model.pictures(moving.bounded(moving.noise.get(0)), class));
    let distance = backend::values(distance);
    let mut order: Vec<usize> = (0..distance.len()).collect();
    order.sort_by(|&x, &y| distance[x].total_cmp(&distance[y]).then(x.cmp(&y)));
    Ok(order.into_iter().flat_map(|at| noise[at * width..(at + 1) * width].iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_move_and_mirror_with_the_edge_repeated() {
        let device = Device::flex();
        let picture = backend::tensor((0..9).map(|at| at as f32).collect(), [1, 1, 3, 3], &device);
        let seen =
            |down, right, mirrored| backend::values(View { down, right, mirrored }.of(picture.clone()));
        assert_eq!(seen(0, 0, false), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(seen(1, 0, false), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(seen(0, -1, false), [1.0, 2.0, 2.0, 4.0, 5.0, 5.0, 7.0, 8.0, 8.0]);
        assert_eq!(seen(0, 0, true), [2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 8.0, 7.0, 6.0]);

        let views = View::some(32, 8, &mut Random::new(1));
        assert_eq!((views.len(), views[0]), (8, View::default()));
        assert!(views.iter().all(|view| view.down.abs() <= 2 && view.right.abs() <= 2));
        assert_eq!(views.iter().filter(|view| view.mirrored).count(), 4);
        assert_eq!(View::some(32, 1, &mut Random::new(1)), [View::default()]);
    }
}
