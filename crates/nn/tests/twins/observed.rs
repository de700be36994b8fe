use foldin_core::random::Random;
use foldin_nn::observed::{Rater, Target, item_gradients, user_residuals};
use proptest::prelude::*;

use super::{Sum, cells, grouped, numbers, wide};

proptest! {
    #[test]
    fn residuals_and_gradients_of_users(
        width in 1usize..70, n_items in 1usize..6, n_ratings in 0usize..9, scale in 0.01f32..2.0, seed: u64,
    ) {
        let mut random = Random::new(seed);
        let (user, items) = (numbers(width, &mut random), numbers(n_items * width, &mut random));
        let targets: Vec<Target> = numbers(n_ratings, &mut random)
            .into_iter()
            .map(|value| Target { item: random.below(n_items) as u32, value })
            .collect();
        let (mut residuals, mut gradient) = (vec![9.0; n_ratings], vec![9.0; width]);
        let squares = user_residuals(&user, &items, &targets, scale, &mut residuals, &mut gradient);

        let item = |target: &Target| &items[target.item as usize * width..][..width];
        let mut expected_squares = 0.0;
        for (target, &residual) in targets.iter().zip(&residuals) {
            let products = user.iter().zip(item(target)).map(|(&u, &m)| wide(u) * wide(m));
            let error = Sum::of(products.chain([-wide(target.value)]));
            Sum { value: error.value * wide(scale), size: error.size * wide(scale), terms: error.terms + 1 }
                .check(residual, "residual")?;
            expected_squares += error.value * error.value;
        }
        // An error is at most 71 and is off by at most some 70 · 71 roundings of it.
        prop_assert!((squares - expected_squares).abs() <= 1e-4 * (1.0 + expected_squares), "{squares} {expected_squares}");
        for (column, &got) in gradient.iter().enumerate() {
            // Of the residuals as they came out: their own rounding was looked at above.
            Sum::of(targets.iter().zip(&residuals).map(|(target, &residual)| wide(residual) * wide(item(target)[column])))
                .check(got, "gradient")?;
        }
    }

    #[test]
    fn gradients_of_items(
        n_users in 1usize..9, n_items in 1usize..12, width in 1usize..70, share in 0.0f64..1.0,
        cut in (0.0f64..=1.0, 0.0f64..=1.0), seed: u64,
    ) {
        let mut random = Random::new(seed);
        let raters: Vec<(u32, Rater)> = cells(n_users, n_items, share, &mut random)
            .iter()
            .enumerate()
            .map(|(rating, &(user, item))| (item, Rater { user, rating: rating as u32 }))
            .collect();
        let lists = grouped(n_items, &raters);
        let (users, residuals) = (numbers(n_users * width, &mut random), numbers(raters.len(), &mut random));
        let place = |share: f64| (share * lists.rows.len() as f64) as usize;
        let positions = place(cut.0.min(cut.1))..place(cut.0.max(cut.1));
        let mut gradients = vec![9.0; positions.len() * width];
        item_gradients(&lists, positions.clone(), &users, width, &residuals, &mut gradients);
        for (gradient, item) in gradients.chunks_exact(width).zip(&lists.rows[positions]) {
            for (column, &got) in gradient.iter().enumerate() {
                let own = raters.iter().filter(|(rated, _)| rated == item);
                Sum::of(own.map(|(_, rater)| {
                    wide(residuals[rater.rating as usize]) * wide(users[rater.user as usize * width + column])
                }))
                .check(got, "gradient")?;
            }
        }
    }
}
