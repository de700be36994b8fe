//! `visual-sum`: several models as one, by the sum of their scores, each on its own scale.
//!
//! `x_ui = Σ_m w_m (x^m_ui − mean_i x^m_ui) / sd_i x^m_ui`: for each user, each model's scores over all items are brought to mean 0 and
//! deviation 1 before they are added, so that no model counts more only because its numbers are larger. Weights are 1 unless given. A
//! model that scores all items of a user the same says nothing of that user. Cost: that of the models, and O(items) each.

use crate::error::VisionError;
use crate::recommend::Scorer;

/// A weighted sum of standardised scores.
pub struct Ensemble<'a> {
    name: String,
    members: Vec<(&'a dyn Scorer, f32)>,
}

impl std::fmt::Debug for Ensemble<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<(&str, f32)> =
            self.members.iter().map(|(model, weight)| (model.name(), *weight)).collect();
        f.debug_struct("Ensemble").field("name", &self.name).field("members", &names).finish()
    }
}

impl<'a> Ensemble<'a> {
    /// All with the same weight.
    #[must_use]
    pub fn new(name: &str, members: &[&'a dyn Scorer]) -> Self {
        Self { name: name.to_owned(), members: members.iter().map(|model| (*model, 1.0)).collect() }
    }
}

/// Brings numbers to mean 0 and deviation 1; all zeros if they are all the same.
pub(crate) fn standardise(scores: &mut [f32]) {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
    let variance = scores.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / n;
    let scale = if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 };
    scores.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * scale) as f32);
}

impl Scorer for Ensemble<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError> {
        let mut own = vec![0.0; out.len()];
        out.fill(0.0);
        for (model, weight) in &self.members {
            model.scores(user, &mut own)?;
            standardise(&mut own);
            out.iter_mut().zip(&own).for_each(|(sum, x)| *sum += weight * x);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(Vec<f32>);

    impl Scorer for Fixed {
        fn name(&self) -> &'static str {
            "fixed"
        }
        fn scores(&self, _: u32, out: &mut [f32]) -> Result<(), VisionError> {
            out.copy_from_slice(&self.0);
            Ok(())
        }
    }

    #[test]
    fn scale_and_offset_of_a_model_do_not_matter() {
        let (a, b) = (Fixed(vec![1.0, 2.0, 4.0]), Fixed(vec![100.0, -300.0, 50.0]));
        let c = Fixed(vec![1.0, -3.0, 0.5]);
        let sum = |x: &Fixed, y: &Fixed| {
            let mut out = vec![0.0; 3];
            Ensemble::new("sum", &[x, y]).scores(0, &mut out).unwrap();
            out
        };
        for (one, two) in sum(&a, &b).iter().zip(sum(&a, &c)) {
            assert!((one - two).abs() < 1e-6);
        }
        let flat = Fixed(vec![7.0; 3]);
        let mut alone = a.0.clone();
        standardise(&mut alone);
        assert_eq!(sum(&a, &flat), alone);
    }
}
