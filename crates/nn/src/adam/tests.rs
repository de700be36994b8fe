//! Steps against a plain Adam in `f64`.

use super::*;
use foldin_core::random::Random;

/// Dense Adam in `f64`, one step for every row at every step.
struct Naive {
    w: Vec<f64>,
    m: Vec<f64>,
    v: Vec<f64>,
    average: Vec<f64>,
}

impl Naive {
    fn step(&mut self, adam: &Adam, learning_rate: f64, t: i32, decay: f64, g: &[f64]) {
        for at in 0..self.w.len() {
            let g = g[at] + decay * self.w[at];
            self.m[at] = adam.beta1 * self.m[at] + (1.0 - adam.beta1) * g;
            self.v[at] = adam.beta2 * self.v[at] + (1.0 - adam.beta2) * g * g;
            let m = self.m[at] / (1.0 - adam.beta1.powi(t));
            let v = self.v[at] / (1.0 - adam.beta2.powi(t));
            self.w[at] -= learning_rate * m / (v.sqrt() + adam.epsilon);
            self.average[at] = adam.average * self.average[at] + (1.0 - adam.average) * self.w[at];
        }
    }
}

/// Rows touched now and then: a row with gradient at steps `touched`, otherwise skipped in one go.
fn compare(width: usize, decay: f32, adam: Adam, scale: f64, tolerance: f64) {
    let n_steps = 700;
    let rate = |at: usize| 1e-3 * 0.998f64.powi(at as i32);
    let steps = Steps::new(adam, (0..n_steps).map(rate));
    let columns = Columns::uniform(width, decay);
    let mut random = Random::new(5);
    let start: Vec<f32> = (0..width).map(|_| random.normal() as f32 * 0.1).collect();
    let mut naive = Naive {
        w: start.iter().map(|&w| f64::from(w)).collect(),
        m: vec![0.0; width],
        v: vec![0.0; width],
        average: vec![0.0; width],
    };
    let (mut w, mut m, mut v, mut average) =
        (start, vec![0.0; width], vec![0.0; width], vec![0.0; if adam.average > 0.0 { width } else { 0 }]);
    let mut touched = vec![0, 1, 2, 7, 8, 30, 55, 60, 400];
    touched.push(n_steps);
    let mut at = 0;
    for pair in touched.windows(2) {
        let g: Vec<f64> = (0..width).map(|_| f64::from((random.normal() * scale) as f32)).collect();
        let narrow: Vec<f32> = g.iter().map(|&g| g as f32).collect();
        for now in pair[0]..pair[1] {
            let zero = vec![0.0; width];
            let g = if now == pair[0] { &g } else { &zero };
            naive.step(&adam, rate(now), now as i32 + 1, f64::from(decay), g);
        }
        let mut weights = Moving { w: &mut w, m: &mut m, v: &mut v, average: &mut average };
        step(&steps, &columns, pair[0], &narrow, &mut weights);
        let skipped = (pair[1] - pair[0] - 1) as u32;
        let skips = steps.skips_after(pair[0] + 1);
        skip_rows(&steps, &columns, pair[0] + 1, &skips, &[skipped], &mut weights);
        at = pair[1];
    }
    assert_eq!(at, n_steps);
    for column in 0..width {
        assert!(
            (f64::from(w[column]) - naive.w[column]).abs() < tolerance,
            "{} {}",
            w[column],
            naive.w[column]
        );
        if adam.average > 0.0 {
            assert!((f64::from(average[column]) - naive.average[column]).abs() < tolerance);
        }
    }
}

#[test]
fn skipping_keeps_the_meaning_of_dense_adam() {
    // Weights move by about 0.1 in all; f32 holds 1e-8 of that a step, and ε is far below the gradients.
    compare(131, 0.0, Adam::default(), 1e-3, 2e-6);
    // Gradients near ε: the place of ε matters.
    compare(131, 0.0, Adam::default(), 1e-8, 2e-6);
    compare(16, 0.0, Adam::default(), 1e-9, 2e-6);
}

#[test]
fn replaying_keeps_the_meaning_of_dense_adam_with_decay() {
    // Near zero the sign of the weight is the sign of its gradient, so rounding moves the time of a change of sign;
    // the amplitude of that is the learning rate times the rounding of the moments.
    compare(131, 1e-3, Adam::default(), 1e-3, 2e-5);
    compare(7, 1e-3, Adam::default(), 1e-4, 2e-5);
}

#[test]
fn averages_follow_skipped_steps() {
    let adam = Adam { average: 0.99, ..Adam::default() };
    compare(131, 0.0, adam, 1e-3, 5e-6);
    compare(131, 1e-3, adam, 1e-3, 2e-5);
}

#[test]
fn one_step_at_a_time_and_many_at_once_are_the_same_bits_with_decay() {
    let steps = Steps::new(Adam::default(), vec![1e-3; 50]);
    let columns = Columns::uniform(70, 1e-2);
    let run = |cuts: &[u32]| {
        let mut w: Vec<f32> = (0..70).map(|at| at as f32 * 0.01).collect();
        let (mut m, mut v) = (vec![0.0; 70], vec![0.0; 70]);
        let mut done = 0;
        for &skipped in cuts {
            let mut weights = Moving { w: &mut w, m: &mut m, v: &mut v, average: &mut [] };
            skip_rows(&steps, &columns, done, &steps.skips_after(done), &[skipped], &mut weights);
            done += skipped as usize;
        }
        w.iter().map(|w| w.to_bits()).collect::<Vec<_>>()
    };
    assert_eq!(run(&[50]), run(&[1, 4, 20, 25]));
}
