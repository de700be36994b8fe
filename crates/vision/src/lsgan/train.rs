//! Training: the discriminator's step and the generator's, in turns.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use foldin_core::fit::{Epoch, TrainState};
use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{FitContext, FitError};

use super::config::{LsganConfig, Noise};
use super::network::{Discriminator, Generator};
use super::{Lsgan, MODEL};
use crate::backend;
use crate::error::VisionError;
use crate::images::{ImageSet, Labels};
use crate::layers::blocks::{BatchMoments, MOMENTS_DECAY, Mode, Weights, pooled, update_moments};
use crate::parameters::{Adam, Parameters};
use crate::recommend::dvbpr::channels_last;

/// Fewer pictures than this teach nothing.
const LEAST_PICTURES: usize = 8;

/// Looks at a generator while it is trained.
pub trait Observer {
    /// Whether it wants to look after this epoch.
    fn wants(&self, epoch: usize) -> bool;
    /// Looks.
    ///
    /// # Errors
    /// Whatever goes wrong with what it does; it ends the training.
    fn look(&mut self, epoch: usize, model: &Lsgan) -> Result<(), VisionError>;
}

/// Nobody looks.
impl Observer for () {
    fn wants(&self, _epoch: usize) -> bool {
        false
    }

    fn look(&mut self, _epoch: usize, _model: &Lsgan) -> Result<(), VisionError> {
        Ok(())
    }
}

/// Pictures to learn from: those with a label, by class.
struct Drawer<'a> {
    pictures: &'a ImageSet,
    /// Pictures of each class that has any.
    members: Vec<(usize, Vec<u32>)>,
    /// All of them, each with its class.
    all: Vec<(usize, u32)>,
    n_classes: usize,
    balanced: bool,
}

/// A batch: pictures `[batch, px, px, 3]`, their classes one-hot, and inputs of the generator for the same classes.
struct Batch {
    pictures: Tensor<4>,
    classes: Tensor<2>,
    inputs: Tensor<2>,
    /// Classes that the pictures are not of, if the networks are to learn from them.
    others: Option<Tensor<2>>,
}

impl Drawer<'_> {
    /// A class and one of its pictures.
    fn pick(&self, random: &mut Random) -> (usize, u32) {
        if self.balanced {
            let (class, members) = &self.members[random.below(self.members.len())];
            (*class, members[random.below(members.len())])
        } else {
            self.all[random.below(self.all.len())]
        }
    }

    fn draw(&self, config: &LsganConfig, random: &mut Random, device: &Device) -> Result<Batch, VisionError> {
        let chosen: Vec<(usize, u32)> = (0..config.batch).map(|_| self.pick(random)).collect();
        let numbers: Vec<u32> = chosen.iter().map(|(_, picture)| *picture).collect();
        let classes: Vec<usize> = chosen.iter().map(|(class, _)| *class).collect();
        let bytes = self.pictures.bytes(&numbers)?;
        let side = config.px;
        let pictures = backend::tensor(
            channels_last(&bytes, side),
            [config.batch, side, side, crate::images::set::CHANNELS],
            device,
        );
        let inputs = inputs(config, &classes, self.n_classes, random, device);
        let others = (config.mismatch > 0.0 && self.members.len() > 1).then(|| {
            let others: Vec<usize> = classes.iter().map(|&class| self.another(class, random)).collect();
            one_hot(&others, self.n_classes, device)
        });
        Ok(Batch { pictures, classes: one_hot(&classes, self.n_classes, device), inputs, others })
    }

    /// A class other than this one, of those that have pictures, all as likely.
    fn another(&self, class: usize, random: &mut Random) -> usize {
        let at = random.below(self.members.len() - 1);
        let own = self.members.iter().position(|(other, _)| *other == class).unwrap_or(self.members.len());
        self.members[if at < own { at } else { at + 1 }].0
    }
}

fn one_hot(classes: &[usize], n_classes: usize, device: &Device) -> Tensor<2> {
    let mut out = vec![0.0; classes.len() * n_classes];
    for (row, &class) in out.chunks_exact_mut(n_classes).zip(classes) {
        row[class] = 1.0;
    }
    backend::tensor(out, [classes.len(), n_classes], device)
}

/// Noise, then the class one-hot, a row for each.
pub(super) fn inputs(
    config: &LsganConfig,
    classes: &[usize],
    n_classes: usize,
    random: &mut Random,
    device: &Device,
) -> Tensor<2> {
    let mut out = Vec::with_capacity(classes.len() * (config.noise + n_classes));
    for &class in classes {
        out.extend(noise(config, random));
        out.extend((0..n_classes).map(|at| if at == class { 1.0 } else { 0.0 }));
    }
    backend::tensor(out, [classes.len(), config.noise + n_classes], device)
}

/// One draw of noise.
pub(super) fn noise(config: &LsganConfig, random: &mut Random) -> Vec<f32> {
    (0..config.noise)
        .map(|_| match config.noise_from {
            Noise::Normal => random.normal() as f32,
            Noise::Uniform => (2.0 * random.uniform() - 1.0) as f32,
        })
        .collect()
}

/// Both networks between two steps.
struct Trainer {
    config: LsganConfig,
    generator: Generator,
    discriminator: Discriminator,
    generator_weights: Weights,
    discriminator_weights: Weights,
    average: Parameters,
    generator_adam: Adam,
    discriminator_adam: Adam,
    steps: usize,
    /// Losses of the epoch's steps so far, the discriminator's and the generator's.
    losses: [f64; 2],
}

impl Trainer {
    fn new(config: &LsganConfig, n_classes: usize, seed: u64, device: &Device) -> Self {
        let (generator, generator_weights) =
            Generator::new(config, n_classes, child_seed(seed, "lsgan-generator"), device);
        let (discriminator, discriminator_weights) =
            Discriminator::new(config, n_classes, child_seed(seed, "lsgan-discriminator"), device);
        let adam = |weights: &Weights| {
            Adam::new(
                &weights.parameters,
                config.learning_rate,
                config.beta_1,
                config.beta_2,
                config.weight_decay,
            )
        };
        Self {
            average: generator_weights.parameters.clone(),
            generator_adam: adam(&generator_weights),
            discriminator_adam: adam(&discriminator_weights),
            config: config.clone(),
            generator,
            discriminator,
            generator_weights,
            discriminator_weights,
            steps: 0,
            losses: [0.0; 2],
        }
    }

    /// Begins with the networks of a trained generator.
    fn take_over(&mut self, start: &Lsgan) -> Result<(), VisionError> {
        for (own, theirs) in [
            (&mut self.generator_weights, &start.generator_weights),
            (&mut self.discriminator_weights, &start.discriminator_weights),
        ] {
            own.parameters.take_over(&theirs.parameters)?;
            own.moments.take_over(&theirs.moments)?;
        }
        self.average = self.generator_weights.parameters.clone();
        Ok(())
    }

    /// One step of the discriminator, then one of the generator with the same noise. Whether their losses are finite.
    fn step(&mut self, batch: Batch, warmth: f64) -> bool {
        let Batch { pictures, classes, inputs, others } = batch;
        for adam in [&mut self.generator_adam, &mut self.discriminator_adam] {
            adam.learning_rate = self.config.learning_rate * warmth;
        }
        let (pictures, classes, inputs) = (pictures.autodiff(), classes.autodiff(), inputs.autodiff());
        let others = others.map(Tensor::autodiff);
        let generator = self.generator_weights.tracked();
        let mut moments = BatchMoments::new();
        let made = self.generator.forward(&generator, inputs, Mode::Training(&mut moments));
        update_moments(&mut self.generator_weights.moments, &moments, MOMENTS_DECAY);

        let discriminator = self.discriminator_weights.tracked();
        let running = &mut self.discriminator_weights.moments;
        let mut look = |pictures: Tensor<4>, classes: Tensor<2>, others: Option<Tensor<2>>| {
            let mut moments = BatchMoments::new();
            let mode = Mode::Training(&mut moments);
            let seen = self.discriminator.seen_as(&discriminator, pictures, classes, others, mode);
            update_moments(running, &moments, MOMENTS_DECAY);
            seen
        };
        // Real and generated pictures are normalised apart, each by its own batch, as published.
        let mismatch = self.config.mismatch;
        let (real, real_as_other) = look(pictures, classes.clone(), others.clone());
        let (wrong, made_as_other) = look(made.clone().detach(), classes.clone(), others.clone());
        let mut wrong = wrong.square().mean();
        if let (Some(real), Some(made)) = (real_as_other, made_as_other) {
            let mismatched = (real.square().mean() + made.square().mean()) * 0.5;
            wrong = (wrong + mismatched * mismatch) / (1.0 + mismatch);
        }
        let loss = ((real - 1.0).square().mean() + wrong) * self.config.discriminator_weight;
        let mut gradients = loss.backward();
        let gradients = discriminator.parameters.gradients(&mut gradients);
        // Nothing else is to hold the arrays that a step changes.
        drop(discriminator);
        self.discriminator_adam.step(&mut self.discriminator_weights.parameters, gradients);

        let fixed = Weights {
            parameters: self.discriminator_weights.parameters.constant(),
            moments: self.discriminator_weights.moments.clone(),
        };
        let contrast = self.config.contrast;
        let mode = Mode::Training(&mut BatchMoments::new());
        let (own, other) = self.discriminator.seen_as(&fixed, made, classes, others, mode);
        let mut generator_loss = (own - 1.0).square().mean();
        if let Some(other) = other {
            generator_loss = generator_loss + other.square().mean() * contrast;
        }
        let mut gradients = generator_loss.backward();
        let gradients = generator.parameters.gradients(&mut gradients);
        drop(generator);
        self.generator_adam.step(&mut self.generator_weights.parameters, gradients);
        self.steps += 1;
        if self.config.averaging > 0.0 {
            // At first the average forgets its start sooner.
            let early = (1.0 + self.steps as f64) / (10.0 + self.steps as f64);
            self.average.blend(self.config.averaging.min(early), &self.generator_weights.parameters);
        }
        let losses = [loss, generator_loss].map(|loss| f64::from(backend::values(loss.inner())[0]));
        self.losses.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += loss);
        losses.iter().all(|loss| loss.is_finite())
    }

    /// The generator that is kept, its moments taken anew: those of many batches, of these very weights.
    fn model(
        &self,
        classes: &[String],
        drawer: &Drawer<'_>,
        seed: u64,
        batches: usize,
        device: &Device,
    ) -> Lsgan {
        let mut generator_weights = self.generator_weights.clone();
        if self.config.averaging > 0.0 {
            generator_weights.parameters = self.average.clone();
        }
        let mut random = Random::new(child_seed(seed, "lsgan-moments"));
        calibrate(
            &self.generator,
            &mut generator_weights,
            &self.config,
            drawer,
            batches,
            &mut random,
            device,
        );
        Lsgan {
            config: self.config.clone(),
            classes: classes.to_vec(),
            generator: self.generator.clone(),
            discriminator: self.discriminator.clone(),
            generator_weights,
            discriminator_weights: self.discriminator_weights.clone(),
            device: device.clone(),
        }
    }

    fn state(&self, epochs: usize) -> TrainState {
        let (mut tensors, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        self.generator_weights.parameters.store("generator/", &mut tensors);
        self.generator_weights.moments.store("generator/", &mut tensors);
        self.discriminator_weights.parameters.store("discriminator/", &mut tensors);
        self.discriminator_weights.moments.store("discriminator/", &mut tensors);
        self.average.store("average/", &mut tensors);
        self.generator_adam.store("generator-adam/", &mut tensors, &mut numbers);
        self.discriminator_adam.store("discriminator-adam/", &mut tensors, &mut numbers);
        numbers.insert("steps".to_owned(), self.steps as f64);
        numbers.insert("discriminator-loss".to_owned(), self.losses[0]);
        numbers.insert("generator-loss".to_owned(), self.losses[1]);
        TrainState { epochs, tensors, numbers }
    }

    fn restore(&mut self, mut state: TrainState, device: &Device) -> Result<(), VisionError> {
        let (tensors, numbers) = (&mut state.tensors, &state.numbers);
        self.generator_weights.parameters.restore("generator/", tensors, device)?;
        self.generator_weights.moments.restore("generator/", tensors, device)?;
        self.discriminator_weights.parameters.restore("discriminator/", tensors, device)?;
        self.discriminator_weights.moments.restore("discriminator/", tensors, device)?;
        self.average.restore("average/", tensors, device)?;
        self.generator_adam.restore("generator-adam/", tensors, numbers, device)?;
        self.discriminator_adam.restore("discriminator-adam/", tensors, numbers, device)?;
        let number = |name: &str| numbers.get(name).copied().unwrap_or(0.0);
        self.steps = number("steps") as usize;
        self.losses = [number("discriminator-loss"), number("generator-loss")];
        Ok(())
    }
}

/// Replaces the generator's moments by those of `batches` batches together, whose classes are drawn as in training.
fn calibrate(
    generator: &Generator,
    weights: &mut Weights,
    config: &LsganConfig,
    drawer: &Drawer<'_>,
    batches: usize,
    random: &mut Random,
    device: &Device,
) {
    let moments = pooled((0..batches).map(|_| {
        let classes: Vec<usize> = (0..config.batch).map(|_| drawer.pick(random).0).collect();
        let inputs = inputs(config, &classes, drawer.n_classes, random, device);
        let mut moments = BatchMoments::new();
        generator.forward(weights, inputs, Mode::Training(&mut moments));
        moments
    }));
    update_moments(&mut weights.moments, &moments, 0.0);
}

/// Batches from which the moments of the generator that is kept are taken, and of one that is only looked at.
const FINAL_BATCHES: usize = 32;
const LOOK_BATCHES: usize = 8;

/// Trains; see [`Lsgan::fit`] and [`Lsgan::fit_on`].
pub(super) fn fit(
    config: &LsganConfig,
    start: Option<&Lsgan>,
    pictures: &ImageSet,
    labels: &Labels,
    ctx: &FitContext<'_>,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Lsgan, VisionError> {
    if pictures.px() != config.px {
        return Err(VisionError::shape("pixels of the pictures' sides", config.px, pictures.px()));
    }
    if labels.of().len() != pictures.len() {
        return Err(VisionError::shape("labels", pictures.len(), labels.of().len()));
    }
    let n_classes = labels.classes().len();
    let members: Vec<(usize, Vec<u32>)> = (0..n_classes)
        .map(|class| (class, labels.members(class as u32)))
        .filter(|(_, members)| !members.is_empty())
        .collect();
    let all: Vec<(usize, u32)> = members
        .iter()
        .flat_map(|(class, members)| members.iter().map(|&picture| (*class, picture)))
        .collect();
    if all.len() < LEAST_PICTURES {
        let have = format!("{} pictures with a category", all.len());
        return Err(FitError::TooLittleData {
            model: MODEL,
            need: "at least 8 pictures with a category",
            have,
        }
        .into());
    }
    let steps = all.len().div_ceil(config.batch);
    let drawer = Drawer { pictures, members, all, n_classes, balanced: config.balanced };
    let mut trainer = Trainer::new(config, n_classes, ctx.seed, device);
    if let Some(start) = start {
        trainer.take_over(start)?;
    }
    let mut done = 0;
    if let Some(state) = ctx.resume()? {
        done = state.epochs;
        trainer.restore(state, device)?;
    }
    for epoch in done + 1..=config.epochs {
        // A state may be of the middle of an epoch.
        for number in trainer.steps..epoch * steps {
            // An epoch of large pictures takes many minutes.
            ctx.step_done(epoch - 1, |store| store.save(&trainer.state(epoch - 1)))?;
            let mut random = Random::new(numbered_seed(ctx.seed, "lsgan-step", number as u64));
            let batch = drawer.draw(config, &mut random, device)?;
            if !trainer.step(batch, config.warmth(epoch)) {
                return Err(VisionError::Diverged { model: MODEL, epoch });
            }
        }
        let sum: f64 = std::mem::take(&mut trainer.losses).iter().sum();
        let report = Epoch {
            number: epoch,
            of: config.epochs,
            train_loss: Some(sum / steps as f64),
            ..Epoch::default()
        };
        if observer.wants(epoch) {
            observer
                .look(epoch, &trainer.model(labels.classes(), &drawer, ctx.seed, LOOK_BATCHES, device))?;
        }
        ctx.epoch_done(report, || trainer.state(epoch))?;
    }
    Ok(trainer.model(labels.classes(), &drawer, ctx.seed, FINAL_BATCHES, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_drawn_evenly_or_as_often_as_they_have_pictures() {
        let pictures =
            ImageSet::in_memory(1, (0..10).map(|at| at.to_string()).collect(), vec![0; 30]).unwrap();
        // Class 1 has no picture; class 2 has nine of ten.
        let members = vec![(0, vec![0]), (2, (1..10).collect::<Vec<u32>>())];
        let all = (0..10).map(|at| (if at == 0 { 0 } else { 2 }, at)).collect::<Vec<_>>();
        let mut drawer = Drawer { pictures: &pictures, members, all, n_classes: 3, balanced: true };
        let share = |drawer: &Drawer<'_>| {
            let mut random = Random::new(1);
            let picks: Vec<usize> = (0..4000).map(|_| drawer.pick(&mut random).0).collect();
            assert!(picks.iter().all(|&class| class != 1));
            picks.iter().filter(|&&class| class == 0).count() as f64 / 4000.0
        };
        let others: Vec<usize> = (0..20).map(|_| drawer.another(0, &mut Random::new(1))).collect();
        assert!(others.iter().all(|&class| class == 2) && drawer.another(2, &mut Random::new(1)) == 0);
        // Five standard errors of 4,000 draws.
        assert!((share(&drawer) - 0.5).abs() < 0.04);
        drawer.balanced = false;
        assert!((share(&drawer) - 0.1).abs() < 0.025);
    }
}
