//! What a picture looks like in numbers, without a network: colours where they are, which there are, and edges.
//!
//! | part | numbers | what |
//! | --- | --- | --- |
//! | thumbnail | 192 | mean red, green, blue of 8 × 8 cells |
//! | histogram | 64 | share of pixels in 4 × 4 × 4 boxes of colour, square root |
//! | gradients | 512 | in each of 8 × 8 cells, how strong edges of 8 directions are (HOG, Dalal and Triggs 2005), each cell brought to the length of its surroundings |
//!
//! The parts are brought to the same total variance, and principal components of them all, each divided by its deviation (*whitened*), are
//! the features: 128 by default. Whitening matters more than what is whitened: cosines of raw features see little but how bright a picture is.
//!
//! Components are fitted to at most 4,096 of the pictures, evenly spaced. Cost: O(pixels) a picture, and the components once.

use foldin_core::Csr;
use foldin_core::random::child_seed;
use foldin_nn::svd::truncated_svd;
use rayon::prelude::*;

use crate::error::VisionError;
use crate::images::ImageSet;

/// Cells along a side.
const CELLS: usize = 8;
/// Directions of edges.
const DIRECTIONS: usize = 8;
/// Boxes of colour along a channel.
const BOXES: usize = 4;
/// Numbers of each part.
const PARTS: [usize; 3] = [3 * CELLS * CELLS, BOXES * BOXES * BOXES, CELLS * CELLS * DIRECTIONS];
/// Numbers before components are taken.
pub const RAW: usize = PARTS[0] + PARTS[1] + PARTS[2];
/// Pictures that components are fitted to, at most.
const FITTED_TO: usize = 4096;
/// Pictures described at once.
const CHUNK: usize = 64;

/// Numbers of a picture `[3 × px × px]`, before components are taken.
///
/// # Panics
/// If the picture is not of this size, or `px` is below 8.
#[must_use]
pub fn raw(picture: &[u8], px: usize) -> Vec<f32> {
    assert!(px >= CELLS && picture.len() == 3 * px * px, "a picture of {px} pixels a side");
    let area = px * px;
    let cell = |at: usize| at * CELLS / px;
    let cell_of = |y: usize, x: usize| cell(y) * CELLS + cell(x);
    let mut out = vec![0.0f32; RAW];
    let (thumbnail, rest) = out.split_at_mut(PARTS[0]);
    let (histogram, gradients) = rest.split_at_mut(PARTS[1]);
    let mut counts = [0.0f32; CELLS * CELLS];
    let mut grey = vec![0.0f32; area];
    for y in 0..px {
        for x in 0..px {
            let at = y * px + x;
            let [red, green, blue] = [0, 1, 2].map(|channel| picture[channel * area + at]);
            let cell = cell_of(y, x);
            counts[cell] += 1.0;
            for (channel, value) in [red, green, blue].into_iter().enumerate() {
                thumbnail[channel * CELLS * CELLS + cell] += f32::from(value) / 255.0;
            }
            let of = |value: u8| usize::from(value) * BOXES / 256;
            histogram[(of(red) * BOXES + of(green)) * BOXES + of(blue)] += 1.0 / area as f32;
            grey[at] = (0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)) / 255.0;
        }
    }
    for channel in thumbnail.chunks_exact_mut(CELLS * CELLS) {
        channel.iter_mut().zip(&counts).for_each(|(sum, count)| *sum /= count.max(1.0));
    }
    histogram.iter_mut().for_each(|share| *share = share.sqrt());
    for y in 1..px - 1 {
        for x in 1..px - 1 {
            let down = grey[(y + 1) * px + x] - grey[(y - 1) * px + x];
            let right = grey[y * px + x + 1] - grey[y * px + x - 1];
            let strength = (down * down + right * right).sqrt();
            // An edge and its opposite are the same; each counts for the two directions it lies between.
            let angle = down.atan2(right).rem_euclid(std::f32::consts::PI) / std::f32::consts::PI;
            let place = angle * DIRECTIONS as f32;
            let (first, share) = (place.floor() as usize % DIRECTIONS, place.fract());
            let own = &mut gradients[cell_of(y, x) * DIRECTIONS..][..DIRECTIONS];
            own[first] += strength * (1.0 - share);
            own[(first + 1) % DIRECTIONS] += strength * share;
        }
    }
    level(gradients);
    out
}

/// Divides each cell by the length of itself and its neighbours together.
fn level(gradients: &mut [f32]) {
    let energy: Vec<f32> =
        gradients.chunks_exact(DIRECTIONS).map(|cell| cell.iter().map(|x| x * x).sum()).collect();
    for (at, cell) in gradients.chunks_exact_mut(DIRECTIONS).enumerate() {
        let (y, x) = (at / CELLS, at % CELLS);
        let near = |at: usize| at.saturating_sub(1)..(at + 2).min(CELLS);
        let around: f32 =
            near(y).flat_map(|y| near(x).map(move |x| y * CELLS + x)).map(|at| energy[at]).sum();
        // The constant keeps what is flat from being blown up to noise.
        let length = (around + 0.01).sqrt();
        cell.iter_mut().for_each(|x| *x /= length);
    }
}

/// Principal components, whitened.
#[derive(Clone, Debug, PartialEq)]
pub struct Components {
    width: usize,
    mean: Vec<f32>,
    /// `[k × width]`: a row gives a feature.
    rows: Vec<f32>,
}

impl Components {
    /// The `k` components of most variance of rows of `width` numbers, in which `parts` of the columns count the same in all.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if lengths disagree, or there are fewer than two rows; a matrix that cannot be made.
    pub fn fit(table: &[f32], parts: &[usize], k: usize, seed: u64) -> Result<Self, VisionError> {
        let width: usize = parts.iter().sum();
        if width == 0 || !table.len().is_multiple_of(width) || table.len() < 2 * width {
            return Err(VisionError::shape(
                "numbers to find components of",
                format!("rows of {width}"),
                table.len(),
            ));
        }
        let all = table.len() / width;
        let step = all.div_ceil(FITTED_TO);
        let rows: Vec<&[f32]> = table.chunks_exact(width).step_by(step).collect();
        let n = rows.len();
        let mut mean = vec![0.0f64; width];
        rows.iter().for_each(|row| mean.iter_mut().zip(*row).for_each(|(sum, x)| *sum += f64::from(*x)));
        mean.iter_mut().for_each(|sum| *sum /= n as f64);
        let mut variance = vec![0.0f64; width];
        for row in &rows {
            for ((sum, x), mean) in variance.iter_mut().zip(*row).zip(&mean) {
                *sum += (f64::from(*x) - mean).powi(2) / n as f64;
            }
        }
        let mut scale = Vec::with_capacity(width);
        let mut start = 0;
        for part in parts {
            let total: f64 = variance[start..start + part].iter().sum();
            scale.extend(std::iter::repeat_n(if total > 0.0 { 1.0 / total.sqrt() } else { 0.0 }, *part));
            start += part;
        }
        let mean: Vec<f32> = mean.into_iter().map(|x| x as f32).collect();
        let triples: Vec<(u32, u32, f32)> = rows
            .iter()
            .enumerate()
            .flat_map(|(at, row)| {
                let (mean, scale) = (&mean, &scale);
                (0..width).map(move |column| {
                    (at as u32, column as u32, (row[column] - mean[column]) * scale[column] as f32)
                })
            })
            .collect();
        let matrix = Csr::from_triples(n, width, &triples)?;
        let k = k.min(width).min(n);
        let svd = truncated_svd(&matrix, 0.0, k, child_seed(seed, "components"));
        let first = svd.s.first().copied().unwrap_or(0.0);
        let mut rows = vec![0.0; k * width];
        for (component, row) in rows.chunks_exact_mut(width).enumerate() {
            // What does not vary is no feature, and must not be divided by.
            if svd.s[component] > 1e-5 * first {
                let whiten = (n as f32).sqrt() / svd.s[component];
                for (column, x) in row.iter_mut().enumerate() {
                    *x = svd.v[column * k + component] * whiten * scale[column] as f32;
                }
            }
        }
        Ok(Self { width, mean, rows })
    }

    /// Number of features.
    #[must_use]
    pub fn k(&self) -> usize {
        self.rows.len() / self.width
    }

    /// The features of rows, `[n × k]`.
    ///
    /// # Panics
    /// If the rows are not as wide as those it was fitted to.
    #[must_use]
    pub fn apply(&self, table: &[f32]) -> Vec<f32> {
        assert!(table.len().is_multiple_of(self.width), "rows of {}", self.width);
        let k = self.k();
        let mut out = vec![0.0; table.len() / self.width * k];
        out.par_chunks_mut(k.max(1)).zip(table.par_chunks(self.width)).for_each(|(out, row)| {
            let centred: Vec<f32> = row.iter().zip(&self.mean).map(|(x, mean)| x - mean).collect();
            for (feature, component) in out.iter_mut().zip(self.rows.chunks_exact(self.width)) {
                *feature = foldin_nn::kernels::dot(component, &centred);
            }
        });
        out
    }
}

/// Whitened features of all pictures of a set, `[n × k]`, `k` of them at most.
///
/// # Errors
/// [`VisionError::Shape`] for pictures below 8 pixels, or fewer than two; those of reading pictures.
///
/// # Examples
/// ```
/// use foldin_vision::features::hand_made;
/// use foldin_vision::planted::{PlantedOptions, planted};
///
/// let options = PlantedOptions { users: 10, items: 48, purchases: 5, ..PlantedOptions::default() };
/// let set = planted(&options, 1)?;
/// let features = hand_made(&set.data.images, 16, 1)?;
/// assert_eq!(features.len(), 48 * 16);
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
pub fn hand_made(images: &ImageSet, k: usize, seed: u64) -> Result<Vec<f32>, VisionError> {
    let px = images.px();
    if px < CELLS {
        return Err(VisionError::shape("pixels of pictures", format!("{CELLS} at least"), px));
    }
    let all: Vec<u32> = (0..images.len() as u32).collect();
    let parts: Vec<Vec<f32>> = all
        .par_chunks(CHUNK)
        .map(|pictures| {
            let bytes = images.bytes(pictures)?;
            Ok(bytes.chunks_exact(images.stride()).flat_map(|picture| raw(picture, px)).collect())
        })
        .collect::<Result<_, VisionError>>()?;
    let table = parts.concat();
    Ok(Components::fit(&table, &PARTS, k, seed)?.apply(&table))
}

/// Whitened components of features made elsewhere, such as by a network: `[n × k]` of `[n × width]`.
///
/// # Errors
/// As [`Components::fit`].
pub fn whitened(table: &[f32], width: usize, k: usize, seed: u64) -> Result<Vec<f32>, VisionError> {
    Ok(Components::fit(table, &[width], k, seed)?.apply(table))
}

/// Two tables of the same rows side by side.
///
/// # Panics
/// If their rows are not as many.
#[must_use]
pub fn beside(one: &[f32], one_width: usize, other: &[f32], other_width: usize) -> Vec<f32> {
    assert_eq!(one.len() * other_width, other.len() * one_width, "tables of the same rows");
    let rows = one.chunks_exact(one_width.max(1)).zip(other.chunks_exact(other_width.max(1)));
    rows.flat_map(|(one, other)| one.iter().chain(other).copied()).collect()
}

#[cfg(test)]
mod tests {
    use foldin_core::random::Random;

    use super::*;

    #[test]
    fn a_picture_of_one_colour_has_no_edges() {
        let px = 16;
        let picture: Vec<u8> = [255u8, 0, 128].iter().flat_map(|&value| vec![value; px * px]).collect();
        let out = raw(&picture, px);
        assert_eq!(out.len(), RAW);
        assert!(out[..64].iter().all(|&red| (red - 1.0).abs() < 1e-6));
        assert!(out[64..128].iter().all(|&green| green.abs() < 1e-6));
        assert!((out[192..256].iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-5);
        assert!(out[256..].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn upright_edges_are_told_from_level_ones() {
        let px = 16;
        let stripes = |level: bool| -> Vec<u8> {
            let plane = |at: usize| if (if level { at / px } else { at % px }) % 4 < 2 { 255 } else { 0 };
            (0..3 * px * px).map(|at| plane(at % (px * px))).collect()
        };
        let sums = |picture: Vec<u8>| {
            let out = raw(&picture, px);
            let mut sums = [0.0f32; DIRECTIONS];
            out[256..].chunks_exact(DIRECTIONS).for_each(|cell| {
                sums.iter_mut().zip(cell).for_each(|(sum, x)| *sum += x);
            });
            sums
        };
        let (upright, level) = (sums(stripes(false)), sums(stripes(true)));
        assert!(upright[0] > 10.0 * upright[4].max(0.1) && level[4] > 10.0 * level[0].max(0.1));
    }

    #[test]
    fn components_are_uncorrelated_and_of_variance_one() {
        let mut random = Random::new(1);
        let n = 500;
        let table: Vec<f32> = (0..n)
            .flat_map(|_| {
                let (a, b) = (random.normal() as f32, random.normal() as f32);
                [3.0 * a + 1.0, a + 0.1 * b, 50.0 * b, 7.0]
            })
            .collect();
        let components = Components::fit(&table, &[2, 2], 3, 1).unwrap();
        let features = components.apply(&table);
        let k = components.k();
        let product = |i: usize, j: usize| {
            features.chunks_exact(k).map(|row| f64::from(row[i] * row[j])).sum::<f64>() / f64::from(n)
        };
        // Two components there are; the third has nothing to vary by.
        for i in 0..2 {
            for j in 0..2 {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((product(i, j) - expected).abs() < 0.01, "{i} {j}: {}", product(i, j));
            }
        }
        assert!(product(2, 2) < 1e-6);
    }

    #[test]
    fn tables_lie_side_by_side() {
        assert_eq!(beside(&[1.0, 2.0], 1, &[3.0, 4.0, 5.0, 6.0], 2), [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    }
}
