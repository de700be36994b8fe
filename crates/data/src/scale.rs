//! The rating scale, found in the ratings.

use foldin_core::RatingScale;

/// More distinct values than this are taken for a continuous scale.
const MAX_DISTINCT: usize = 1001;
/// Ratings with up to this many thousandths are told apart exactly.
const RESOLUTION: f64 = 1000.0;

/// A step that is not a usual one is believed if this many values were seen,
const ENOUGH: usize = 5;
/// and this share of those between the lowest and the highest.
const SHARE: f64 = 0.5;

/// The scale that ratings span: lowest, highest, and the largest step of which all are multiples (`None` if the values
/// are too many or too fine to have one, or too few to tell: 1, 10 and 100 are no sign of steps of 9). `None` without ratings.
pub(crate) fn derive(values: &[f32]) -> Option<RatingScale> {
    let (mut min, mut max) = (f32::INFINITY, f32::NEG_INFINITY);
    let mut distinct: Vec<f32> = Vec::new();
    let mut last = f32::NAN;
    for &value in values {
        // Neighbouring lines often agree; the list is sorted, and short unless the scale is continuous.
        if value.to_bits() == last.to_bits() {
            continue;
        }
        last = value;
        min = min.min(value);
        max = max.max(value);
        if distinct.len() <= MAX_DISTINCT
            && let Err(at) = distinct.binary_search_by(|known| known.total_cmp(&value))
        {
            distinct.insert(at, value);
        }
    }
    (min <= max).then(|| RatingScale { min, max, step: step(&distinct) })
}

fn step(distinct: &[f32]) -> Option<f32> {
    if distinct.len() < 2 || distinct.len() > MAX_DISTINCT {
        return None;
    }
    let first = f64::from(distinct[0]);
    let mut divisor = 0u64;
    for &value in &distinct[1..] {
        let exact = (f64::from(value) - first) * RESOLUTION;
        let steps = exact.round();
        if (exact - steps).abs() > 0.02 || !(1.0..=1e12).contains(&steps) {
            return None;
        }
        divisor = greatest_common_divisor(divisor, steps as u64);
    }
    let step = divisor as f64 / RESOLUTION;
    let whole = (1.0 / step).round();
    // Ones, halves, quarters, tenths and so on are how scales are made.
    let usual = step <= 1.0 && (whole * step - 1.0).abs() < 1e-9;
    let span = f64::from(distinct[distinct.len() - 1]) - first;
    let seen = distinct.len() as f64 / ((span / step).round() + 1.0);
    (usual || (distinct.len() >= ENOUGH && seen >= SHARE)).then_some(step as f32)
}

fn greatest_common_divisor(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_scales_are_found() {
        for (values, min, max, step) in [
            (&[3.0f32, 1.0, 5.0, 4.0, 2.0, 4.0][..], 1.0, 5.0, Some(1.0)),
            (&[0.5, 4.5, 5.0, 1.0], 0.5, 5.0, Some(0.5)),
            (&[-10.0, 9.97, 10.0, 0.01, -3.3], -10.0, 10.0, Some(0.01)),
            (&[0.0, 0.333_333_3, 1.0], 0.0, 1.0, None),
            (&[4.0], 4.0, 4.0, None),
            (&[1.0, 10.0, 100.0], 1.0, 100.0, None),
            (&[1.0, 5.0], 1.0, 5.0, None),
            (&[0.0, 1.0], 0.0, 1.0, Some(1.0)),
            (&[0.0, 20.0, 40.0, 60.0, 100.0], 0.0, 100.0, Some(20.0)),
        ] {
            assert_eq!(derive(values), Some(RatingScale { min, max, step }), "{values:?}");
        }
        let hundred: Vec<f32> = (1..=100u8).map(f32::from).collect();
        assert_eq!(derive(&hundred).unwrap().step, Some(1.0));
        assert_eq!(derive(&[]), None);
    }
}
