//! Networks on a GPU, by the side of the CPU: the same random numbers, and results that differ by rounding alone.
//!
//! Any Vulkan driver will do, one that computes on the CPU as well (Mesa's lavapipe). Without one the tests say that they were skipped; where
//! `FOLDIN_NEEDS_GPU` is set they fail.

#![expect(clippy::unwrap_used, reason = "tests")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use burn::tensor::{Device, Tensor};
use foldin_core::FitContext;
use foldin_core::random::Random;
use foldin_vision::backend::{self, device};
use foldin_vision::classifier::{Classifier, ClassifierConfig};
use foldin_vision::data::LeaveOneOut;
use foldin_vision::error::VisionError;
use foldin_vision::layers::{Geometry, convolve, max_pool, normalise, spread};
use foldin_vision::lsgan::{Lsgan, LsganConfig};
use foldin_vision::planted::{Planted, PlantedOptions, planted};
use foldin_vision::recommend::dvbpr::{self, DvbprConfig};

const PX: usize = 16;

/// The first GPU, if the machine has any.
fn gpu() -> Option<Device> {
    match device("wgpu") {
        Ok(found) => Some(found),
        Err(error) => {
            assert!(std::env::var_os("FOLDIN_NEEDS_GPU").is_none(), "{error}");
            eprintln!("SKIPPED: {error}");
            None
        }
    }
}

fn close(one: &[f32], other: &[f32], most: f32, what: &str) {
    assert_eq!(one.len(), other.len(), "{what}");
    let far = one.iter().zip(other).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
    assert!(far <= most, "{what} differs by {far}");
}

fn set() -> Planted {
    planted(&PlantedOptions { users: 60, items: 200, px: PX, ..PlantedOptions::default() }, 3).unwrap()
}

#[test]
fn what_is_not_there_is_an_error() {
    let message = |name: &str| match device(name) {
        Err(VisionError::Device { problem, .. }) => problem,
        other => panic!("{name}: {other:?}"),
    };
    assert!(message("tpu").contains("cpu, wgpu"), "{}", message("tpu"));
    assert!(message("wgpu:x").contains("number"), "{}", message("wgpu:x"));
    assert!(message("wgpu:99").contains("on this machine"), "{}", message("wgpu:99"));
}

#[test]
fn layers_and_their_gradients_are_those_of_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let found = [Device::flex(), gpu].map(|device| {
        let device = backend::training(&device);
        let draw = |shape: [usize; 4], seed| {
            backend::normal(shape, 1.0, &mut Random::new(seed), &device).require_grad()
        };
        let inputs = [draw([3, 9, 9, 3], 1), draw([5, 5, 3, 8], 2), draw([4, 4, 6, 8], 3)];
        let [x, down, up] = inputs.clone();
        let small = convolve(x, down, Geometry::same(5, 2, [9, 9], 3, 8));
        let ones = Tensor::ones([8], &device);
        let small = normalise(small, ones.clone(), ones * 0.1, 1e-5, 0.2).output;
        let large = spread(small, up, Geometry::same(4, 2, [10, 10], 6, 8));
        let out = max_pool(large).tanh();
        let mut gradients = out.clone().sum().backward();
        let gradients = inputs.map(|input| backend::values(input.grad_remove(&mut gradients).unwrap()));
        (backend::values(out.inner()), gradients)
    });
    let [(out, gradients), (other, others)] = found;
    close(&out, &other, 1e-4, "the output");
    for (one, other) in gradients.iter().zip(&others) {
        // Sums of hundreds of products of either sign, in another order.
        let scale = one.iter().fold(1.0f32, |most, x| most.max(x.abs()));
        close(one, other, 1e-4 * scale, "a gradient");
    }
}

/// Steps of a generator, and what is saved on one device is loaded on the other.
#[test]
fn a_generator_learns_there_what_it_learns_here() {
    let Some(gpu) = gpu() else { return };
    let set = set();
    let shapes = set.data.labels("shape").unwrap();
    let small = LsganConfig {
        px: PX,
        noise: 8,
        generator_channels: 16,
        discriminator_channels: 8,
        batch: 50,
        epochs: 1,
        ..LsganConfig::default()
    };
    let fit = |device: &Device| {
        let fit = Lsgan::fit(&small, &set.data.images, shapes, &FitContext::new(5), device, &mut ());
        fit.unwrap()
    };
    let models = [fit(&Device::flex()), fit(&gpu)];
    let [one, other] = models.each_ref().map(|model| model.generate(0, 4, 7).unwrap());
    let far = one.iter().zip(&other).map(|(x, y)| x.abs_diff(*y)).max().unwrap();
    // Steps of two networks that answer each other make more of roundings.
    assert!(far <= 4, "pictures differ by {far} of 255");
    let place = tempfile::tempdir().unwrap();
    models[1].save(&place.path().join("model")).unwrap();
    let loaded = Lsgan::load(&place.path().join("model"), &Device::flex()).unwrap();
    let again = loaded.generate(0, 4, 7).unwrap();
    assert!(again.iter().zip(&other).all(|(x, y)| x.abs_diff(*y) <= 1));
}

#[test]
fn a_classifier_and_a_recommender_learn_there() {
    let Some(gpu) = gpu() else { return };
    let set = set();
    let shapes = set.data.labels("shape").unwrap();
    let config = ClassifierConfig { channels: 8, units: 16, epochs: 6, ..ClassifierConfig::default() };
    let [here, there] = [&Device::flex(), &gpu].map(|device| {
        let fitted = Classifier::fit(&config, &set.data.images, shapes, &FitContext::new(1), device).unwrap();
        fitted.accuracy(&set.data.images, shapes).unwrap().mean_of_classes
    });
    assert!(here > 0.6 && (here - there).abs() <= 0.02, "right on {here} here and on {there} there");

    let split = LeaveOneOut::new(&set.data, 1).unwrap();
    let config = DvbprConfig { px: PX, factors: 8, epochs: 1, batch: 64, ..DvbprConfig::small() };
    let phi = [Device::flex(), gpu].map(|device| {
        let fitted = dvbpr::fit(&config, &set.data, &split, None, &device, &FitContext::new(2)).unwrap();
        fitted.dvbpr.phi_of(&set.data.images).unwrap()
    });
    // So do the steps of an epoch.
    let scale = phi[0].iter().fold(0.0f32, |most, x| most.max(x.abs()));
    close(&phi[0], &phi[1], 0.05 * scale, "Φ of the items");
}
