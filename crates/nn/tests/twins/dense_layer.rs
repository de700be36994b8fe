use foldin_core::random::Random;
use foldin_nn::dense_layer::{activate, activate_backward, column_sums};
use foldin_nn::dropout::Dropout;
use proptest::prelude::*;

use super::{Sum, close, numbers, wide};

/// Three roundings of numbers of at most 2, times the 2 that dropout may scale by.
const TOLERANCE: f64 = 1e-6;

proptest! {
    #[test]
    fn forward_and_backward(
        // More rows than one task takes, too.
        n in 0usize..80, width in 1usize..40, slope in 0.0f32..1.0, drops: bool, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let dropout = Dropout::new(if drops { 0.5 } else { 0.0 }, seed);
        let kept = |at: usize| wide(dropout.factor(at as u32));
        let (z, bias) = (numbers(n * width, &mut random), numbers(width, &mut random));
        let mut x = z.clone();
        activate(&mut x, &bias, slope, dropout);
        let derivative = |sum: f32| if sum > 0.0 { 1.0 } else { wide(slope) };
        for (at, (&z, &got)) in z.iter().zip(&x).enumerate() {
            let sum = wide(z) + wide(bias[at % width]);
            close(got, sum * derivative(sum as f32) * kept(at), TOLERANCE, "forward")?;
        }

        let above = numbers(n * width, &mut random);
        let mut gradient = above.clone();
        activate_backward(&mut gradient, &x, width, slope, dropout);
        for (at, (&above, &got)) in above.iter().zip(&gradient).enumerate() {
            // The derivative follows from the output's sign, but where dropout made a zero it does not matter.
            let expected = wide(above) * derivative(z[at] + bias[at % width]) * kept(at);
            close(got, expected, TOLERANCE, "backward")?;
        }
    }

    #[test]
    fn sums_of_columns(n in 0usize..80, width in 0usize..40, seed: u64) {
        let x = numbers(n * width, &mut Random::new(seed));
        let mut sums = vec![9.0; width];
        column_sums(&x, &mut sums);
        for (column, &got) in sums.iter().enumerate() {
            Sum::of((0..n).map(|row| wide(x[row * width + column]))).check(got, "sum")?;
        }
    }
}
