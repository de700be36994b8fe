//! What a design is judged by.

use burn::tensor::{Device, Int, Tensor, TensorData};
use foldin_nn::linalg::{cholesky, cholesky_solve};

use crate::backend;
use crate::classifier::Classifier;
use crate::gan_metrics::Rows;
use crate::images::{set::CHANNELS, to_unit};
use crate::recommend::dvbpr::Dvbpr;

/// Features of pictures, differentiable by these: Φ of a visual recommender.
pub trait Features {
    /// Height and width of the pictures it takes.
    fn px(&self) -> usize;

    /// Φ `[n, K]` of pictures `[n, 3, px, px]` from −1 to 1. Gradients by the pictures are wanted where these carry gradients;
    /// nothing random, such as dropout, takes part.
    fn features(&self, pictures: Tensor<4>) -> Tensor<2>;
}

/// The last hidden layer.
impl Features for Classifier {
    fn px(&self) -> usize {
        Self::px(self)
    }

    fn features(&self, pictures: Tensor<4>) -> Tensor<2> {
        Self::features(self, pictures)
    }
}

/// Φ of `dvbpr`.
impl Features for Dvbpr {
    fn px(&self) -> usize {
        self.network.px()
    }

    fn features(&self, pictures: Tensor<4>) -> Tensor<2> {
        self.phi(pictures.permute([0, 2, 3, 1]))
    }
}

/// A person's taste: a picture's preference is `θᵀΦ`.
#[derive(Clone, Debug, PartialEq)]
pub struct Taste {
    /// θ, as long as Φ.
    pub theta: Vec<f32>,
}

impl Taste {
    /// The θ under which what somebody likes stands out most from all items, by Fisher's linear discriminant:
    /// `θ ∝ (S + λ t I)⁻¹ (m_liked − m)` with mean `m` and covariance `S` of all items, `t` the mean variance and `ridge` λ; scaled so
    /// that preferences of all items have a standard deviation of 1. None if nothing is liked, or all items look the same.
    ///
    /// # Panics
    /// If the widths differ.
    ///
    /// # Examples
    /// ```
    /// use foldin_vision::design::Taste;
    /// use foldin_vision::gan_metrics::Rows;
    ///
    /// // Features of four items; somebody likes the two whose first number is high.
    /// let all = [0.0, 1.0, 0.0, -1.0, 2.0, 1.0, 2.0, -1.0];
    /// let taste = Taste::of_liked(Rows::new(&all[4..], 2), Rows::new(&all, 2), 0.1).expect("a taste");
    /// assert!(taste.theta[0] > 0.5 && taste.theta[1].abs() < 1e-6);
    /// ```
    #[must_use]
    pub fn of_liked(liked: Rows<'_>, all: Rows<'_>, ridge: f64) -> Option<Self> {
        assert_eq!(liked.width(), all.width(), "features of one network");
        let d = all.width();
        if liked.is_empty() || all.len() < 2 {
            return None;
        }
        let mean = |rows: Rows<'_>| {
            let mut sum = vec![0.0f64; d];
            for at in 0..rows.len() {
                sum.iter_mut().zip(rows.row(at)).for_each(|(sum, &x)| *sum += f64::from(x));
            }
            sum.iter().map(|sum| sum / rows.len() as f64).collect::<Vec<f64>>()
        };
        let centre = mean(all);
        let mut theta: Vec<f64> = mean(liked).iter().zip(&centre).map(|(x, y)| x - y).collect();
        let mut covariance = vec![0.0f64; d * d];
        for at in 0..all.len() {
            let row: Vec<f64> = all.row(at).iter().zip(&centre).map(|(&x, m)| f64::from(x) - m).collect();
            for i in 0..d {
                for j in 0..d {
                    covariance[i * d + j] += row[i] * row[j] / all.len() as f64;
                }
            }
        }
        let trace: f64 = (0..d).map(|i| covariance[i * d + i]).sum();
        let mut lower = covariance.clone();
        for i in 0..d {
            lower[i * d + i] += ridge * trace / d as f64;
        }
        cholesky(&mut lower, d).ok()?;
        cholesky_solve(&lower, d, &mut theta);
        let mut variance = 0.0;
        for i in 0..d {
            for j in 0..d {
                variance += theta[i] * covariance[i * d + j] * theta[j];
            }
        }
        let scale = variance.sqrt();
        (scale > 0.0 && scale.is_finite())
            .then(|| Self { theta: theta.iter().map(|x| (x / scale) as f32).collect() })
    }

    /// θᵀΦ of features `[n, K]`.
    ///
    /// # Panics
    /// If θ is not as long as Φ.
    #[must_use]
    pub fn preference(&self, features: Tensor<2>) -> Tensor<1> {
        let [n, width] = features.dims();
        assert_eq!(width, self.theta.len(), "θ as long as Φ");
        let device = features.device();
        let theta = Tensor::<2>::from_data(TensorData::new(self.theta.clone(), [width, 1]), &device);
        features.matmul(theta).reshape([n])
    }
}

/// θᵀΦ of pictures `[n × 3 × px × px]` as bytes, resized to what Φ takes.
pub(super) fn preference_of(
    features: &dyn Features,
    taste: &Taste,
    bytes: &[u8],
    px: usize,
    device: &Device,
) -> Vec<f64> {
    let values: Vec<f32> = bytes.iter().map(|&byte| to_unit(byte)).collect();
    let shape = [bytes.len() / (CHANNELS * px * px), CHANNELS, px, px];
    let looked = features.features(resized(backend::tensor(values, shape, device), features.px()));
    backend::values(taste.preference(looked)).into_iter().map(f64::from).collect()
}

/// Pictures `[n, 3, from, from]` at another size: nearest neighbours (pixel `⌊at · from / to⌋`) to enlarge, as the authors' code does,
/// means of blocks to shrink by a whole factor, nearest neighbours otherwise. Differentiable.
#[must_use]
pub fn resized(pictures: Tensor<4>, to: usize) -> Tensor<4> {
    let [n, channels, from, _] = pictures.dims();
    if from == to {
        return pictures;
    }
    if from > to && from.is_multiple_of(to) {
        let block = from / to;
        return pictures
            .reshape([n, channels, to, block, to, block])
            .mean_dim(5)
            .mean_dim(3)
            .reshape([n, channels, to, to]);
    }
    let index = |device: &Device| {
        let at: Vec<i64> = (0..to).map(|at| (at * from / to) as i64).collect();
        Tensor::<1, Int>::from_data(TensorData::new(at, [to]), device)
    };
    let device = pictures.device();
    pictures.select(2, index(&device)).select(3, index(&device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_change_by_nearest_pixels_and_by_means() {
        let device = Device::flex();
        let picture = backend::tensor((0..4).map(|x| x as f32).collect(), [1, 1, 2, 2], &device);
        let large = resized(picture.clone(), 3);
        assert_eq!(backend::values(large), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 3.0]);
        assert_eq!(backend::values(resized(picture.clone(), 1)), [1.5]);
        assert_eq!(backend::values(resized(picture.clone(), 2)), backend::values(picture));
    }

    /// Of uncorrelated features the discriminant is the difference of means over variances.
    #[test]
    fn a_taste_points_at_what_is_liked() {
        let all = [2.0, 1.0, -2.0, 1.0, 2.0, -1.0, -2.0, -1.0];
        let taste = Taste::of_liked(Rows::new(&all[..2], 2), Rows::new(&all, 2), 0.0).unwrap();
        // ∝ (2/4, 1/1), and preferences ±a·2 ± b·1 have variance 4a² + b² = 1.
        let expected = [0.5 / 2f32.sqrt(), 1.0 / 2f32.sqrt()];
        assert!(taste.theta.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6), "{taste:?}");
        assert!(Taste::of_liked(Rows::new(&[], 2), Rows::new(&all, 2), 0.0).is_none());
        assert!(Taste::of_liked(Rows::new(&[1.0; 2], 2), Rows::new(&[1.0; 4], 2), 0.1).is_none());
    }

    #[test]
    fn preference_is_a_dot_product() {
        let device = Device::flex();
        let features = backend::tensor(vec![1.0, 2.0, 3.0, 4.0], [2, 2], &device);
        let taste = Taste { theta: vec![10.0, 1.0] };
        assert_eq!(backend::values(taste.preference(features)), [12.0, 34.0]);
    }
}
