//! Where tensors live, and where their random numbers come from.
//!
//! A network runs on a Burn [`Device`]: `cpu` is Flex, Burn's backend in plain Rust; `wgpu` (Vulkan, Metal, DirectX) and `cuda` are GPUs,
//! behind the features of these names. A tensor knows its device, so no code of ours names a backend but [`crate::layers`], which has kernels for
//! the CPU and leaves other devices to Burn's own operations.
//!
//! # The same seed gives the same bits
//! Nothing here draws from a device's own generator, which is global, differs between backends and is not pinned. Initial weights,
//! dropout masks and noise are drawn on the host from named streams ([`foldin_core::random`]) and sent to the device: [`uniform`],
//! [`normal`], [`dropout_mask`]. On `cpu` a run then gives the same bits at any number of threads; on a GPU, whose sums have no
//! fixed order, the same random numbers.

pub use burn::tensor::Device;
use burn::tensor::{Tensor, TensorData};
use foldin_core::random::Random;

use crate::error::VisionError;

/// The device of a name: `cpu`; where the features are built in, `wgpu` and `cuda` for the first GPU, and `wgpu:1` or `cuda:1` for the second.
/// Without gradients; [`training`] makes one with.
///
/// # Errors
/// [`VisionError::Device`] for a name this build does not know, or a device that the machine does not have.
pub fn device(name: &str) -> Result<Device, VisionError> {
    if name == "cpu" {
        return Ok(Device::flex());
    }
    let problem = |problem: String| VisionError::Device { name: name.to_owned(), problem };
    let (kind, number) = name.split_once(':').unwrap_or((name, "0"));
    let number: usize = number
        .parse()
        .map_err(|_| problem("what follows the colon is the number of a device, from 0".to_owned()))?;
    let Some(mut found) = devices(kind) else {
        let feature = ["wgpu", "cuda"].contains(&kind);
        let rest = if feature {
            ", and has to be built with the feature vision-".to_owned() + kind
        } else {
            String::new()
        };
        return Err(problem(format!("this build runs networks on {}{rest}", known().join(", "))));
    };
    if number < found.len() {
        return Ok(found.swap_remove(number));
    }
    Err(problem(match found.len() {
        0 => format!("there is no device for {kind} on this machine, or no driver for it"),
        n => format!("there are {n} devices for {kind} on this machine, counted from 0"),
    }))
}

/// Kinds of devices that this build has.
fn known() -> Vec<&'static str> {
    ["cpu", "wgpu", "cuda"].into_iter().filter(|kind| *kind == "cpu" || devices(kind).is_some()).collect()
}

/// GPUs of a kind; none if the build does not have the kind.
fn devices(kind: &str) -> Option<Vec<Device>> {
    match kind {
        #[cfg(feature = "wgpu")]
        "wgpu" => Some(Device::enumerate(burn::tensor::DeviceType::Wgpu).into_iter().collect()),
        #[cfg(feature = "cuda")]
        "cuda" => Some(Device::enumerate(burn::tensor::DeviceType::Cuda).into_iter().collect()),
        _ => None,
    }
}

/// Whether a device is the CPU, for which there are kernels of ours.
pub(crate) fn is_cpu(device: &Device) -> bool {
    *device == Device::flex()
}

/// The same device, recording what is needed for gradients.
#[must_use]
pub fn training(device: &Device) -> Device {
    device.clone().autodiff()
}

/// A tensor of the given elements, row-major.
///
/// # Panics
/// If the shape does not hold as many elements.
#[must_use]
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The elements of a tensor, row-major.
///
/// # Panics
/// If the device fails.
#[must_use]
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().expect("floats are f32 on all of our devices")
}

/// Uniform numbers in `[low, high)`.
#[must_use]
pub fn uniform<const D: usize>(
    shape: [usize; D],
    (low, high): (f32, f32),
    random: &mut Random,
    device: &Device,
) -> Tensor<D> {
    let count = shape.iter().product();
    let width = f64::from(high) - f64::from(low);
    tensor((0..count).map(|_| (f64::from(low) + width * random.uniform()) as f32).collect(), shape, device)
}

/// Normal numbers around 0.
#[must_use]
pub fn normal<const D: usize>(
    shape: [usize; D],
    deviation: f32,
    random: &mut Random,
    device: &Device,
) -> Tensor<D> {
    let count = shape.iter().product();
    tensor((0..count).map(|_| (f64::from(deviation) * random.normal()) as f32).collect(), shape, device)
}

/// 1/`keep` with probability `keep`, else 0: a layer's output times this is the layer under dropout, unchanged on average.
///
/// A number of 16 bits decides, so `keep` is met to 1/65,536.
#[must_use]
pub fn dropout_mask<const D: usize>(
    shape: [usize; D],
    keep: f32,
    random: &mut Random,
    device: &Device,
) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let threshold = (f64::from(keep) * 65_536.0).round() as u64;
    let kept = 1.0 / keep;
    let mut mask = Vec::with_capacity(count);
    while mask.len() < count {
        let mut bits = random.bits();
        for _ in 0..(count - mask.len()).min(4) {
            mask.push(if bits & 0xffff < threshold { kept } else { 0.0 });
            bits >>= 16;
        }
    }
    tensor(mask, shape, device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_device_is_named() {
        assert!(device("cpu").is_ok());
        let message = device("abacus").unwrap_err().to_string();
        assert!(message.contains("abacus") && message.contains("cpu"), "{message}");
    }

    #[test]
    fn a_dropout_mask_keeps_its_share_and_the_mean() {
        let device = Device::flex();
        let mask = values(dropout_mask([100, 1001], 0.75, &mut Random::new(1), &device));
        let kept = mask.iter().filter(|&&x| x > 0.0).count() as f64 / mask.len() as f64;
        // Four standard errors of 100,100 draws.
        assert!((kept - 0.75).abs() < 4.0 * (0.75f64 * 0.25 / 100_100.0).sqrt(), "{kept}");
        assert!(mask.iter().all(|&x| x == 0.0 || (x - 1.0 / 0.75).abs() < 1e-6));
    }

    #[test]
    fn the_same_stream_gives_the_same_tensor() {
        let device = Device::flex();
        let draw = || values(normal([3, 4], 0.1, &mut Random::new(5), &device));
        assert_eq!(draw(), draw());
        let flat = values(uniform([1000], (-1.0, 1.0), &mut Random::new(5), &device));
        assert!(flat.iter().all(|x| (-1.0..1.0).contains(x)));
    }
}
