use foldin_core::random::Random;
use foldin_nn::half_table::{HalfTable, RowSteps, sum_half_rows, update_half_rows};
use foldin_nn::plan::RowLists;
use foldin_nn::simd::{f32_to_half, half_to_f32};
use foldin_nn::sparse_layer::{BLOCK, Entry, TABLE_BLOCK};
use proptest::prelude::*;

use super::{Sum, cells, grouped, numbers, wide};

/// Distance of the numbers of half precision near `x`.
fn spacing(x: f64) -> f64 {
    2f64.powi((x.abs().max(2f64.powi(-14)).log2().floor() as i32) - 10)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn steps_of_rows(
        n_users in 1usize..9, n_rows in 1usize..9, share in 0.0f64..1.0, decays: bool, n_steps in 1usize..5, units in 1usize..=BLOCK, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let mut table = HalfTable::new(n_rows, 1, |row| {
            // What pads the block is zero, as its gradients are.
            [0, BLOCK].into_iter().for_each(|from| row[from..from + units].copy_from_slice(&numbers(units, &mut random)));
        });
        let steps = RowSteps { forget: 0.75, decay: if decays { 0.1 } else { 0.0 }, units, seed: random.bits() as u32 };
        let rate = 1e-2f32;
        // By row and input: the second moment.
        let mut moments = vec![0.0f64; 2 * n_rows];
        for at in 0..n_steps {
            let entries: Vec<(u32, Entry)> = cells(n_users, n_rows, share, &mut random)
                .into_iter()
                .map(|(user, row)| {
                    let inputs = numbers(2, &mut random);
                    (row, Entry { user, a: inputs[0], b: if random.chance(0.2) { 0.0 } else { inputs[1] } })
                })
                .collect();
            let lists = grouped(n_rows, &entries);
            let before: Vec<f64> = table.block(0).iter().map(|&half| wide(half_to_f32(half))).collect();
            let weight = |row: u32, input: usize, unit: usize| before[row as usize * TABLE_BLOCK + input * BLOCK + unit];

            let mut z = vec![9.0; n_users * BLOCK];
            sum_half_rows(&lists, table.block(0), &mut z);
            for (user, z) in z.chunks_exact(BLOCK).enumerate() {
                for (unit, &got) in z.iter().enumerate() {
                    let own = entries.iter().filter(|(_, entry)| entry.user as usize == user);
                    Sum::of(own.flat_map(|&(row, Entry { a, b, .. })| {
                        [wide(a) * weight(row, 0, unit), wide(b) * weight(row, 1, unit)]
                    }))
                    .check(got, "sum")?;
                }
            }

            let mut dz = numbers(n_users * BLOCK, &mut random);
            dz.chunks_exact_mut(BLOCK).for_each(|dz| dz[units..].fill(0.0));
            let (_, weights, scales) = table.blocks().remove(0);
            update_half_rows(&lists, &dz, &steps, at, rate, 0, weights, scales);
            for row in 0..n_rows as u32 {
                for input in 0..2 {
                    let own: Vec<&(u32, Entry)> = entries.iter().filter(|entry| entry.0 == row).collect();
                    let gradient: Vec<f64> = (0..BLOCK)
                        .map(|unit| {
                            let of_loss: f64 = own
                                .iter()
                                .map(|(_, entry)| {
                                    let by = if input == 0 { entry.a } else { entry.b };
                                    wide(by) * wide(dz[entry.user as usize * BLOCK + unit])
                                })
                                .sum();
                            of_loss + wide(steps.decay) * weight(row, input, unit)
                        })
                        .collect();
                    let square = gradient.iter().map(|g| g * g).sum::<f64>() / units as f64;
                    let moment = &mut moments[2 * row as usize + input];
                    let touched = !own.is_empty() && square > 0.0;
                    if touched {
                        *moment = if *moment > 0.0 { 0.75 * *moment + 0.25 * square } else { square };
                    }
                    prop_assert!((wide(scales[2 * row as usize + input]) - *moment).abs() <= 1e-4 * *moment);
                    for (unit, gradient) in gradient.iter().enumerate() {
                        let was = weight(row, input, unit);
                        let got = wide(half_to_f32(weights[row as usize * TABLE_BLOCK + input * BLOCK + unit]));
                        let expected = if touched { was - wide(rate) * gradient / moment.sqrt() } else { was };
                        // One of the two nearest, or what `f32` makes of the step.
                        let tolerance = if touched { spacing(got).max(spacing(expected)) + 1e-5 } else { 0.0 };
                        prop_assert!((got - expected).abs() <= tolerance, "{got} instead of {expected}");
                    }
                }
            }
        }
    }
}

/// Steps far below the distance of neighbouring numbers arrive in the mean, and not in step with each other.
#[test]
fn rounding_is_right_in_the_mean() {
    let (n_rows, start) = (64, 0.3f32);
    let mut table = HalfTable::new(n_rows, 1, |row| row.fill(start));
    let steps = RowSteps { forget: 0.9, decay: 0.0, units: BLOCK, seed: 7 };
    let lists = RowLists::group(&mut vec![0; n_rows], |add| {
        (0..n_rows as u32).for_each(|row| add(row, Entry { user: 0, a: 1.0, b: 1.0 }));
    });
    // The same gradient everywhere: each step is the rate itself, a hundredth of the distance of 2⁻¹² near 0.3.
    let (rate, dz, n_steps) = (2f32.powi(-12) / 100.0, [1.0; BLOCK], 200);
    for at in 0..n_steps {
        let (_, weights, scales) = table.blocks().remove(0);
        update_half_rows(&lists, &dz, &steps, at, rate, 0, weights, scales);
    }
    let values: Vec<f64> = table.parts().0.iter().map(|&half| wide(half_to_f32(half))).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let expected = wide(half_to_f32(f32_to_half(start))) - n_steps as f64 * wide(rate);
    // 8,192 weights, each off by about 1.4 distances: a standard error of a sixtieth of one.
    assert!((mean - expected).abs() < 2f64.powi(-12) / 12.0, "{mean} instead of {expected}");
    let spread = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
    assert!((0.7..3.0).contains(&(spread.sqrt() * 4096.0)), "spread {}", spread.sqrt() * 4096.0);
}
