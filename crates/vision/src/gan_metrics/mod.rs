//! How good are generated pictures? Measures of a generator, none of which needs a network trained elsewhere.
//!
//! All but the two on pixels read feature vectors: those of our own classifier's last hidden layer. Values from different
//! classifiers are not comparable, so every distance is to be printed beside its floor (one half of the real pictures against
//! another) and never beside published ones, which come from other features.
//!
//! | file | measure | what it sees |
//! | --- | --- | --- |
//! | `distance` | Fréchet distance, kernel distance (KID) | one number for both quality and variety |
//! | `manifold` | precision, recall, density, coverage, nearest-neighbour test | quality and variety apart |
//! | `similarity` | multi-scale structural similarity within a class | pictures that are all alike |
//! | `memorisation` | distance to the training pictures against that of held-out real ones | copies |

mod distance;
mod manifold;
mod memorisation;
mod similarity;

pub use distance::{KernelDistance, frechet_distance, kernel_distance, kernel_distance_whole};
pub use manifold::{Manifold, manifold, nearest_neighbour_test};
pub use memorisation::{Memorisation, feature_memorisation, nearest_by_feature, nearest_by_pixel};
pub use similarity::{class_diversity, ms_ssim};

/// Vectors of one length, one after another.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    values: &'a [f32],
    width: usize,
}

impl<'a> Rows<'a> {
    /// Wraps vectors of length `width`.
    ///
    /// # Panics
    /// If `width` is 0 or does not divide the number of values.
    #[must_use]
    pub fn new(values: &'a [f32], width: usize) -> Self {
        assert!(width > 0 && values.len().is_multiple_of(width), "{} values of width {width}", values.len());
        Self { values, width }
    }

    /// Number of vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len() / self.width
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Length of a vector.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// One vector.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn row(&self, at: usize) -> &'a [f32] {
        &self.values[at * self.width..(at + 1) * self.width]
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &'a [f32] {
        self.values
    }
}

/// Squared Euclidean distance, summed in eight lanes.
fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 8];
    let (a_whole, a_rest) = a.as_chunks::<8>();
    let (b_whole, b_rest) = b.as_chunks::<8>();
    for (x, y) in a_whole.iter().zip(b_whole) {
        for lane in 0..8 {
            let difference = x[lane] - y[lane];
            lanes[lane] += difference * difference;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| (x - y) * (x - y)).sum();
    lanes.iter().sum::<f32>() + rest
}
