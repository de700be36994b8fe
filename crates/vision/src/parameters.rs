//! The trained numbers of a network by name, and Adam over them.

use std::collections::BTreeMap;

use burn::tensor::{Device, Gradients, Tensor, TensorData};
use foldin_core::{LoadError, Tensor as Stored};
use rayon::prelude::*;

use crate::backend;

/// One named array.
#[derive(Clone, Debug)]
struct Parameter {
    name: String,
    shape: Vec<usize>,
    /// All elements in one row; reshaping costs nothing.
    value: Tensor<1>,
    /// Whether weight decay applies.
    decays: bool,
}

/// Arrays of a network, in the order in which they were added.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    entries: Vec<Parameter>,
}

impl Parameters {
    /// Adds an array and gives its number.
    ///
    /// # Panics
    /// If the shape does not hold as many elements.
    pub fn add(
        &mut self,
        name: &str,
        shape: &[usize],
        values: Vec<f32>,
        decays: bool,
        device: &Device,
    ) -> usize {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "{name} {shape:?}");
        let value = Tensor::from_data(TensorData::new(values, [shape.iter().product::<usize>()]), device);
        self.entries.push(Parameter { name: name.to_owned(), shape: shape.to_vec(), value, decays });
        self.entries.len() - 1
    }

    /// One array in its shape.
    ///
    /// # Panics
    /// If there is no such array, or its shape has not `D` axes.
    #[must_use]
    pub fn get<const D: usize>(&self, at: usize) -> Tensor<D> {
        let entry = &self.entries[at];
        let mut shape = [0; D];
        shape.copy_from_slice(&entry.shape);
        entry.value.clone().reshape(shape)
    }

    /// One array as a row of numbers.
    ///
    /// # Panics
    /// If there is no such array.
    #[must_use]
    pub fn get_flat(&self, at: usize) -> Tensor<1> {
        self.entries[at].value.clone()
    }

    /// Name of an array.
    ///
    /// # Panics
    /// If there is no such array.
    #[must_use]
    pub fn name(&self, at: usize) -> &str {
        &self.entries[at].name
    }

    /// Replaces an array, in any shape of as many elements.
    ///
    /// # Panics
    /// If there is no such array, or it has another number of elements.
    pub fn set<const D: usize>(&mut self, at: usize, value: Tensor<D>) {
        let length = self.entries[at].shape.iter().product::<usize>();
        self.entries[at].value = value.reshape([length]);
    }

    /// Number of elements of all arrays.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.iter().map(|entry| entry.shape.iter().product::<usize>()).sum()
    }

    /// Number of arrays.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn map(&self, change: impl Fn(Tensor<1>) -> Tensor<1>) -> Self {
        let change = |entry: &Parameter| Parameter { value: change(entry.value.clone()), ..entry.clone() };
        Self { entries: self.entries.iter().map(change).collect() }
    }

    /// The same numbers, of which gradients are wanted.
    #[must_use]
    pub fn tracked(&self) -> Self {
        self.map(|value| value.autodiff().require_grad())
    }

    /// The same numbers as constants among tracked ones.
    #[must_use]
    pub fn constant(&self) -> Self {
        self.map(Tensor::autodiff)
    }

    /// The gradient by each of these [`tracked`](Self::tracked) arrays; zeros where the result does not depend on it.
    #[must_use]
    pub fn gradients(&self, gradients: &mut Gradients) -> Vec<Tensor<1>> {
        self.entries
            .iter()
            .map(|entry| {
                let found = entry.value.grad_remove(gradients);
                found.unwrap_or_else(|| entry.value.clone().inner().zeros_like())
            })
            .collect()
    }

    /// `share` of these and `1 − share` of others, array by array: an average over time where `share` is near 1.
    ///
    /// # Panics
    /// If the others are of another network.
    pub fn blend(&mut self, share: f64, others: &Self) {
        assert_eq!(self.len(), others.len(), "arrays of one network");
        for (entry, other) in self.entries.iter_mut().zip(&others.entries) {
            entry.value = taken(&mut entry.value) * share + other.value.clone() * (1.0 - share);
        }
    }

    /// Multiplies what decays by `share`, nothing else.
    pub fn shrink(&mut self, share: f64) {
        for entry in self.entries.iter_mut().filter(|entry| entry.decays) {
            entry.value = taken(&mut entry.value) * share;
        }
    }

    /// Takes the numbers of a smaller network: arrays of the same names, and of the same shapes but for the last but one axis, which may be
    /// longer here; what lies beyond keeps its numbers, and so do arrays that the smaller network does not have.
    ///
    /// # Errors
    /// [`LoadError`] if one of the smaller network is missing here, or fits in no such way. Nothing is changed then.
    pub fn take_over(&mut self, smaller: &Self) -> Result<(), LoadError> {
        let mut taken = Vec::new();
        for from in &smaller.entries {
            let at = self.entries.iter().position(|entry| entry.name == from.name);
            let at = at.ok_or_else(|| LoadError::MissingTensor { name: from.name.clone() })?;
            let to = &self.entries[at];
            if to.shape == from.shape {
                taken.push((at, from.value.clone()));
                continue;
            }
            let split = from.shape.len().saturating_sub(2);
            let fits = from.shape.len() == to.shape.len()
                && from.shape.len() >= 2
                && from.shape[..split] == to.shape[..split]
                && from.shape[split] <= to.shape[split]
                && from.shape[split + 1] == to.shape[split + 1];
            if !fits {
                return Err(LoadError::TensorShape {
                    name: from.name.clone(),
                    expected: to.shape.clone(),
                    got: from.shape.clone(),
                });
            }
            let windows = from.shape[..split].iter().product::<usize>();
            let row = from.shape[split + 1];
            let (old, new) = (from.shape[split] * row, to.shape[split] * row);
            let more = to.value.clone().reshape([windows, new]).narrow(1, old, new - old);
            let both = Tensor::cat(vec![from.value.clone().reshape([windows, old]), more], 1);
            taken.push((at, both.reshape([windows * new])));
        }
        for (at, value) in taken {
            self.entries[at].value = value;
        }
        Ok(())
    }

    /// Adds copies of the arrays to what is saved, each under `prefix` and its name.
    pub fn store(&self, prefix: &str, tensors: &mut BTreeMap<String, Stored>) {
        self.clone().put_away(prefix, tensors);
    }

    /// As [`store`](Self::store) of the arrays themselves where nothing else holds them, without a copy; until
    /// [`restore`](Self::restore) brings them back there is nothing here.
    pub fn put_away(&mut self, prefix: &str, tensors: &mut BTreeMap<String, Stored>) {
        for entry in &mut self.entries {
            let stored = Stored::new(entry.shape.clone(), backend::values(taken(&mut entry.value)));
            tensors.insert(format!("{prefix}{}", entry.name), stored);
        }
    }

    /// Takes all arrays out of what was saved by [`store`](Self::store) or [`put_away`](Self::put_away).
    ///
    /// # Errors
    /// [`LoadError`] if one is missing or of another shape.
    pub fn restore(
        &mut self,
        prefix: &str,
        tensors: &mut BTreeMap<String, Stored>,
        device: &Device,
    ) -> Result<(), LoadError> {
        for entry in &mut self.entries {
            let name = format!("{prefix}{}", entry.name);
            let stored =
                tensors.remove(&name).ok_or_else(|| LoadError::MissingTensor { name: name.clone() })?;
            if stored.shape != entry.shape {
                return Err(LoadError::TensorShape {
                    name,
                    expected: entry.shape.clone(),
                    got: stored.shape,
                });
            }
            let length = stored.data.len();
            entry.value = backend::tensor(stored.data, [length], device);
        }
        Ok(())
    }
}

/// The array itself, in the place of which there is none: what is held once can be changed where it lies.
fn taken(value: &mut Tensor<1>) -> Tensor<1> {
    let none = Tensor::empty([0], &value.device());
    std::mem::replace(value, none)
}

/// Adam (Kingma and Ba, 2015), with ½ λ ‖W‖² of what decays in its gradient.
#[derive(Clone, Debug)]
pub struct Adam {
    /// Step.
    pub learning_rate: f64,
    /// Decay of the first moment.
    pub beta_1: f64,
    /// Decay of the second moment.
    pub beta_2: f64,
    /// λ.
    pub weight_decay: f64,
    first: Parameters,
    second: Parameters,
    steps: i32,
}

/// Keeps the root from 0.
const EPSILON: f64 = 1e-8;

impl Adam {
    /// At rest, for the given arrays.
    #[must_use]
    pub fn new(
        parameters: &Parameters,
        learning_rate: f64,
        beta_1: f64,
        beta_2: f64,
        weight_decay: f64,
    ) -> Self {
        let zero = parameters.map(|value| value.zeros_like());
        Self { learning_rate, beta_1, beta_2, weight_decay, first: zero.clone(), second: zero, steps: 0 }
    }

    /// One step against the gradients, one for each array.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn step(&mut self, parameters: &mut Parameters, gradients: Vec<Tensor<1>>) {
        assert_eq!(parameters.len(), gradients.len(), "one gradient an array");
        self.steps = self.steps.saturating_add(1);
        let moments = self.first.entries.iter_mut().zip(&mut self.second.entries);
        for ((entry, gradient), (first, second)) in parameters.entries.iter_mut().zip(gradients).zip(moments)
        {
            let rule = Rule {
                decay: if entry.decays { self.weight_decay } else { 0.0 },
                betas: [self.beta_1, self.beta_2],
                shares: [1.0 - self.beta_1.powi(self.steps), 1.0 - self.beta_2.powi(self.steps)],
                rate: self.learning_rate,
            };
            let device = entry.value.device();
            let arrays = [&mut entry.value, &mut first.value, &mut second.value];
            if backend::is_cpu(&device) {
                rule.in_one_pass(arrays, gradient, &device);
            } else {
                rule.by_operations(arrays, gradient);
            }
        }
    }

    /// Adds copies of the moments to what is saved.
    pub fn store(
        &self,
        prefix: &str,
        tensors: &mut BTreeMap<String, Stored>,
        numbers: &mut BTreeMap<String, f64>,
    ) {
        self.clone().put_away(prefix, tensors, numbers);
    }

    /// As [`store`](Self::store) of the moments themselves, see [`Parameters::put_away`].
    pub fn put_away(
        &mut self,
        prefix: &str,
        tensors: &mut BTreeMap<String, Stored>,
        numbers: &mut BTreeMap<String, f64>,
    ) {
        self.first.put_away(&format!("{prefix}first/"), tensors);
        self.second.put_away(&format!("{prefix}second/"), tensors);
        numbers.insert(format!("{prefix}steps"), f64::from(self.steps));
    }

    /// Takes the moments out of what was saved by [`store`](Self::store) or [`put_away`](Self::put_away).
    ///
    /// # Errors
    /// [`LoadError`] if something is missing or of another shape.
    pub fn restore(
        &mut self,
        prefix: &str,
        tensors: &mut BTreeMap<String, Stored>,
        numbers: &BTreeMap<String, f64>,
        device: &Device,
    ) -> Result<(), LoadError> {
        self.first.restore(&format!("{prefix}first/"), tensors, device)?;
        self.second.restore(&format!("{prefix}second/"), tensors, device)?;
        let name = format!("{prefix}steps");
        let steps = numbers.get(&name).ok_or(LoadError::Meta { key: name })?;
        self.steps = *steps as i32;
        Ok(())
    }
}

/// What a step of Adam does to one array.
#[derive(Clone, Copy, Debug)]
struct Rule {
    /// λ; 0 where nothing decays.
    decay: f64,
    betas: [f64; 2],
    /// How much of the moments there is by now, `1 − βᵗ`.
    shares: [f64; 2],
    rate: f64,
}

/// Numbers that one thread changes at a time.
const PIECE: usize = 1 << 14;

impl Rule {
    /// On the CPU: all that happens to a number at once, so that each array is read and written once, where it lies.
    fn in_one_pass(self, arrays: [&mut Tensor<1>; 3], gradient: Tensor<1>, device: &Device) {
        let [weights, first, second] = arrays;
        let [mut w, mut m, mut v] =
            [&mut *weights, &mut *first, &mut *second].map(|array| backend::values(taken(array)));
        let g = backend::values(gradient);
        let pieces = w.par_chunks_mut(PIECE).zip(m.par_chunks_mut(PIECE)).zip(v.par_chunks_mut(PIECE));
        pieces.zip(g.par_chunks(PIECE)).for_each(|(((w, m), v), g)| self.numbers(w, m, v, g));
        for (array, values) in [weights, first, second].into_iter().zip([w, m, v]) {
            let length = values.len();
            *array = backend::tensor(values, [length], device);
        }
    }

    fn numbers(self, weights: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let Self { decay, betas: [beta_1, beta_2], shares, rate } = self;
        let [keep_1, keep_2, new_1, new_2] = [beta_1, beta_2, 1.0 - beta_1, 1.0 - beta_2].map(|x| x as f32);
        let [decay, epsilon, share, rate] = [decay, EPSILON, shares[1], rate / shares[0]].map(|x| x as f32);
        for (((w, m), v), g) in weights.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = g + *w * decay;
            *m = *m * keep_1 + g * new_1;
            *v = *v * keep_2 + g * g * new_2;
            *w -= *m / ((*v / share).sqrt() + epsilon) * rate;
        }
    }

    /// Elsewhere: the same, as operations of the device.
    fn by_operations(self, [weights, first, second]: [&mut Tensor<1>; 3], gradient: Tensor<1>) {
        let Self { decay, betas, shares, rate } = self;
        let gradient = if decay > 0.0 { gradient + weights.clone() * decay } else { gradient };
        *first = taken(first) * betas[0] + gradient.clone() * (1.0 - betas[0]);
        *second = taken(second) * betas[1] + gradient.clone() * gradient * (1.0 - betas[1]);
        let root = (second.clone() / shares[1]).sqrt() + EPSILON;
        let step = first.clone() / root * (rate / shares[0]);
        *weights = taken(weights) - step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(device: &Device) -> Parameters {
        let mut parameters = Parameters::default();
        parameters.add("w", &[2, 1], vec![1.0, -2.0], true, device);
        parameters.add("b", &[1], vec![0.5], false, device);
        parameters
    }

    #[test]
    fn a_smaller_network_is_taken_over_or_nothing_is() {
        let device = Device::flex();
        let of = |name: &str, shape: &[usize], first: f32| {
            let mut parameters = Parameters::default();
            let values = (0..shape.iter().product::<usize>()).map(|at| first + at as f32).collect();
            parameters.add("b", &[1], vec![first], false, &device);
            parameters.add(name, shape, values, true, &device);
            parameters
        };
        let mut large = of("w", &[2, 3, 2], 100.0);
        large.add("more", &[1], vec![7.0], true, &device);
        let before = large.clone();
        large.take_over(&of("w", &[2, 1, 2], 0.0)).unwrap();
        let values = |parameters: &Parameters, at| backend::values(parameters.get_flat(at));
        assert_eq!(values(&large, 0), [0.0]);
        // The first row of each window is the smaller network's, the others stay.
        let expected = [0.0, 1.0, 102.0, 103.0, 104.0, 105.0, 2.0, 3.0, 108.0, 109.0, 110.0, 111.0];
        assert_eq!(values(&large, 1), expected);
        assert_eq!(values(&large, 2), [7.0]);
        for other in [of("v", &[2, 1, 2], 0.0), of("w", &[2, 4, 2], 0.0), of("w", &[2, 3], 0.0)] {
            let mut unchanged = before.clone();
            assert!(unchanged.take_over(&other).is_err());
            assert_eq!(values(&unchanged, 0), [100.0]);
        }
    }

    /// Two steps by hand, in `f64`.
    #[test]
    fn adam_is_as_by_definition() {
        let device = Device::flex();
        let mut parameters = pair(&device);
        let (rate, beta_1, beta_2, decay) = (0.1, 0.5, 0.9, 0.01);
        let mut adam = Adam::new(&parameters, rate, beta_1, beta_2, decay);
        let mut expected = [1.0f64, -2.0, 0.5];
        let (mut first, mut second) = ([0.0f64; 3], [0.0f64; 3]);
        for step in 1..=2 {
            let gradient = [0.3f64, -0.1, 2.0];
            adam.step(
                &mut parameters,
                vec![
                    Tensor::from_floats([gradient[0] as f32, gradient[1] as f32], &device),
                    Tensor::from_floats([gradient[2] as f32], &device),
                ],
            );
            for at in 0..3 {
                let g = gradient[at] + if at < 2 { decay * expected[at] } else { 0.0 };
                first[at] = beta_1 * first[at] + (1.0 - beta_1) * g;
                second[at] = beta_2 * second[at] + (1.0 - beta_2) * g * g;
                let (m, v) = (first[at] / (1.0 - beta_1.powi(step)), second[at] / (1.0 - beta_2.powi(step)));
                expected[at] -= rate * m / (v.sqrt() + EPSILON);
            }
        }
        let got: Vec<f32> =
            [backend::values(parameters.get::<2>(0)), backend::values(parameters.get::<1>(1))].concat();
        for (got, expected) in got.iter().zip(expected) {
            assert!((f64::from(*got) - expected).abs() < 1e-6, "{got} {expected}");
        }
    }

    /// Bit for bit, over more numbers than a thread takes at a time, and whoever else holds an array keeps it.
    #[test]
    fn a_step_in_one_pass_is_that_by_operations() {
        let device = Device::flex();
        let mut random = foldin_core::random::Random::new(3);
        let n = 2 * PIECE + 5;
        let mut draw = || backend::normal([n], 0.1, &mut random, &device);
        for decay in [0.0, 1e-3] {
            let mut one = [draw(), Tensor::zeros([n], &device), Tensor::zeros([n], &device)];
            let (mut other, start) = (one.clone(), one.clone());
            for step in 1..=3 {
                let rule = Rule {
                    decay,
                    betas: [0.5, 0.999],
                    shares: [1.0 - 0.5f64.powi(step), 1.0 - 0.999f64.powi(step)],
                    rate: 2e-4,
                };
                let gradient = draw();
                rule.in_one_pass(one.each_mut(), gradient.clone(), &device);
                rule.by_operations(other.each_mut(), gradient);
                for (one, other) in one.iter().zip(&other) {
                    assert_eq!(backend::values(one.clone()), backend::values(other.clone()));
                }
            }
            assert_ne!(backend::values(start[0].clone()), backend::values(one[0].clone()));
            assert_eq!(backend::values(start[1].clone()), vec![0.0; n]);
        }
    }

    #[test]
    fn what_is_stored_comes_back_and_what_is_missing_is_named() {
        let device = Device::flex();
        let mut parameters = pair(&device);
        let mut adam = Adam::new(&parameters, 0.1, 0.5, 0.9, 0.0);
        adam.step(&mut parameters, vec![Tensor::ones([2], &device), Tensor::ones([1], &device)]);
        let (mut tensors, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        parameters.store("net/", &mut tensors);
        adam.store("adam/", &mut tensors, &mut numbers);
        let mut other = pair(&device);
        other.restore("net/", &mut tensors, &device).unwrap();
        assert_eq!(backend::values(other.get::<2>(0)), backend::values(parameters.get::<2>(0)));
        let mut rested = Adam::new(&other, 0.1, 0.5, 0.9, 0.0);
        rested.restore("adam/", &mut tensors, &numbers, &device).unwrap();
        assert_eq!(rested.steps, 1);
        assert!(tensors.is_empty());
        // The same without a copy, there and back.
        let copy = other.clone();
        other.put_away("net/", &mut tensors);
        assert_eq!(tensors["net/w"].data, backend::values(copy.get::<2>(0)));
        other.restore("net/", &mut tensors, &device).unwrap();
        assert_eq!(backend::values(other.get::<2>(0)), backend::values(copy.get::<2>(0)));
        let problem = other.restore("nat/", &mut tensors, &device).unwrap_err().to_string();
        assert!(problem.contains("nat/w"), "{problem}");
    }

    #[test]
    fn a_blend_is_a_weighted_mean() {
        let device = Device::flex();
        let mut parameters = pair(&device);
        let zero = parameters.map(|value| value.zeros_like());
        parameters.blend(0.75, &zero);
        assert_eq!(backend::values(parameters.get::<2>(0)), [0.75, -1.5]);
    }
}
