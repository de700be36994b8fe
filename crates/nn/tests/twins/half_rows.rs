use foldin_core::random::Random;
use foldin_nn::half_rows::{BLOCK, add_weighted_rows, sum_valued_rows};
use foldin_nn::simd::{f32_to_half, half_to_f32};
use proptest::prelude::*;

use super::{Sum, numbers, wide};

proptest! {
    #[test]
    fn weighted_sums_of_any_list_of_rows(
        blocks in 1usize..9, n_rows in 1usize..7, n_rated in 0usize..40, seed: u64,
    ) {
        let (width, mut random) = (BLOCK * blocks, Random::new(seed));
        let table: Vec<u16> =
            numbers(n_rows * 2 * width, &mut random).into_iter().map(f32_to_half).collect();
        // In any order, and more than once.
        let rows: Vec<u32> = (0..n_rated).map(|_| random.below(n_rows) as u32).collect();
        let values = numbers(n_rated, &mut random);
        let weight = |row: u32, columns: usize, column: usize| wide(half_to_f32(table[row as usize * columns + column]));

        // The same numbers, one block of columns after the other.
        let starts = (0..blocks).flat_map(|block| (0..2 * n_rows).map(move |row| row * width + block * BLOCK));
        let blocked: Vec<u16> = starts.flat_map(|from| table[from..from + BLOCK].to_vec()).collect();
        let mut sums = vec![9.0; width];
        sum_valued_rows(&rows, &values, &blocked, width, 0, &mut sums);
        let before = numbers(2 * width, &mut random);
        let mut single = before.clone();
        add_weighted_rows(&rows, &values, &table, &mut single);
        for column in 0..2 * width {
            let terms = rows.iter().zip(&values);
            if column < width {
                Sum::of(terms.clone().flat_map(|(&row, &value)| {
                    [wide(value) * weight(row, 2 * width, column), weight(row, 2 * width, width + column)]
                }))
                .check(sums[column], "two weights a row")?;
            }
            let products = terms.map(|(&row, &value)| wide(value) * weight(row, 2 * width, column));
            Sum::of(products.chain([wide(before[column])])).check(single[column], "one weight a row")?;
        }
    }
}
