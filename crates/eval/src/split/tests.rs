use std::collections::BTreeSet;

use foldin_core::{Csr, Dictionary, Feedback};
use proptest::prelude::*;

use super::*;

fn dataset(n_users: usize, n_items: usize, cells: &BTreeSet<(u32, u32)>) -> Dataset {
    let triples: Vec<_> = cells.iter().map(|&(user, item)| (user, item, (user * 31 + item) as f32)).collect();
    let csr = Csr::from_triples(n_users, n_items, &triples).unwrap();
    let keys = |n: usize| Dictionary::from_keys((0..n).map(|number| number.to_string())).unwrap();
    let interactions = Interactions::new(csr, None, Feedback::Implicit).unwrap();
    Dataset::new("generated", interactions, keys(n_users), keys(n_items)).unwrap()
}

fn cells() -> impl Strategy<Value = BTreeSet<(u32, u32)>> {
    proptest::collection::btree_set((0u32..12, 0u32..20), 8..120)
}

type Triple = (u32, u32, u32);

fn all(interactions: &Interactions) -> Vec<Triple> {
    interactions.by_user().triples().map(|(user, item, value)| (user, item, value.to_bits())).collect()
}

fn test_part(fold: &RatingFold) -> Vec<Triple> {
    fold.test.iter().map(|(user, item, value)| (user.0, item.0, value.to_bits())).collect()
}

fn sorted(mut triples: Vec<Triple>) -> Vec<Triple> {
    triples.sort_unstable();
    triples
}

proptest! {
    #[test]
    fn ratings_are_partitioned(cells in cells(), folds in 2usize..7, seed: u64) {
        let data = dataset(12, 20, &cells);
        let made = rating_folds(&data, folds, seed);
        prop_assert_eq!(made.len(), folds);
        let mut tested = Vec::new();
        for fold in &made {
            let test = test_part(fold);
            prop_assert_eq!(sorted([all(&fold.train), test.clone()].concat()), all(&data.interactions));
            prop_assert_eq!(fold.train.n_users(), 12);
            tested.extend(test);
        }
        prop_assert_eq!(sorted(tested), all(&data.interactions));
        for user in 0..12u32 {
            let sizes: Vec<usize> = made
                .iter()
                .map(|fold| fold.test.iter().filter(|(tested, _, _)| tested.0 == user).count())
                .collect();
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", sizes);
        }
    }

    #[test]
    fn a_random_share_is_a_partition(cells in cells(), seed: u64, repeat in 0usize..3) {
        let data = dataset(12, 20, &cells);
        let fold = random_rating_fold(&data.interactions, 0.1, seed, repeat).unwrap();
        prop_assert_eq!(fold.test.len(), (cells.len() as f64 * 0.1).round() as usize);
        prop_assert_eq!(sorted([all(&fold.train), test_part(&fold)].concat()), all(&data.interactions));
    }

    #[test]
    fn new_users_are_nowhere_in_training(cells in cells(), folds in 2usize..4, seed: u64) {
        let data = dataset(12, 20, &cells);
        let rated: BTreeSet<u32> = cells.iter().map(|&(user, _)| user).collect();
        prop_assume!(rated.len() >= folds);
        let made = new_user_folds(&data, folds, seed);
        prop_assert_eq!(made.len(), folds);
        let mut seen = Vec::new();
        for fold in &made {
            let new: BTreeSet<u32> = fold.new_users.iter().map(|new| new.user.0).collect();
            let train: BTreeSet<u32> = fold.train_users.iter().copied().collect();
            prop_assert!(new.is_disjoint(&train));
            prop_assert_eq!(new.union(&train).copied().collect::<BTreeSet<_>>(), rated.clone());
            prop_assert_eq!(fold.train.n_users(), train.len());
            prop_assert_eq!(fold.train_user_features.n_rows(), train.len());
            for (row, &user) in fold.train_users.iter().enumerate() {
                prop_assert_eq!(fold.train.by_user().row(row), data.interactions.by_user().row(user as usize));
            }
            for new in &fold.new_users {
                let n = data.interactions.by_user().row_len(new.user.index());
                prop_assert_eq!(new.given.len(), n * 4 / 5);
                prop_assert!(!new.targets.is_empty());
                let mut items: Vec<u32> = new.given.iter().map(|&(item, _)| item).collect();
                items.extend(new.targets.iter().map(|&(item, _)| item.0));
                items.sort_unstable();
                prop_assert_eq!(&items[..], data.interactions.by_user().row(new.user.index()).0);
            }
            seen.extend(new);
        }
        let sizes: Vec<usize> = made.iter().map(|fold| fold.new_users.len()).collect();
        prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        seen.sort_unstable();
        prop_assert_eq!(seen, rated.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn values_and_other_users_move_nothing(cells in cells(), seed: u64, victim in 0u32..12) {
        // All of one user's ratings go: everybody else's stay where they were.
        let fewer: BTreeSet<(u32, u32)> = cells.iter().copied().filter(|&(user, _)| user != victim).collect();
        prop_assume!(fewer.len() >= 2);
        let (before, after) = (dataset(12, 20, &cells), dataset(12, 20, &fewer));
        for (before, after) in rating_folds(&before, 2, seed).iter().zip(&rating_folds(&after, 2, seed)) {
            let mut expected = test_part(before);
            expected.retain(|&(user, _, _)| user != victim);
            prop_assert_eq!(test_part(after), expected);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_split(cells in cells(), seed: u64) {
        let data = dataset(12, 20, &cells);
        for (one, two) in rating_folds(&data, 3, seed).iter().zip(&rating_folds(&data, 3, seed)) {
            prop_assert_eq!(test_part(one), test_part(two));
        }
        for (one, two) in new_user_folds(&data, 3, seed).iter().zip(&new_user_folds(&data, 3, seed)) {
            prop_assert_eq!(&one.new_users, &two.new_users);
        }
    }
}

#[test]
fn folds_of_many_users_have_nearly_the_same_size() {
    let cells: BTreeSet<(u32, u32)> =
        (0..1000u32).flat_map(|user| (0..20 + user % 13).map(move |item| (user, item))).collect();
    let data = dataset(1000, 40, &cells);
    let share = cells.len() as f64 / 5.0;
    for fold in rating_folds(&data, 5, 1) {
        // What varies is each user's remainder: less than half a rating's standard deviation a user.
        let spread = 4.0 * 0.5 * 1000f64.sqrt();
        assert!((fold.test.len() as f64 - share).abs() < spread, "{} of {share}", fold.test.len());
    }
}

/// These must never change: published results depend on them.
#[test]
fn golden_split() {
    let cells: BTreeSet<(u32, u32)> = (0..6).flat_map(|user| (0..4).map(move |item| (user, item))).collect();
    let data = dataset(6, 4, &cells);
    let split = RatingSplit::deal(&data.interactions, 3, 1).unwrap();
    assert_eq!(split.fold_of(), GOLDEN_RATINGS);
    let split = NewUserSplit::deal(&data.interactions, 3, 1).unwrap();
    assert_eq!(split.fold_of().iter().map(|of| of.unwrap()).collect::<Vec<_>>(), GOLDEN_USERS);
    let fold = split.fold(&data.interactions, &data.user_features, 0);
    let given: Vec<u32> = fold.new_users[0].given.iter().map(|&(item, _)| item).collect();
    assert_eq!(given, GOLDEN_GIVEN);
    let fold = random_rating_fold(&data.interactions, 0.1, 1, 0).unwrap();
    assert_eq!(fold.test.iter().map(|(user, item, _)| (user.0, item.0)).collect::<Vec<_>>(), GOLDEN_RANDOM);
}

const GOLDEN_RATINGS: [u32; 24] = [0, 1, 2, 0, 0, 2, 0, 1, 0, 1, 2, 0, 0, 0, 2, 1, 2, 1, 0, 1, 0, 2, 1, 2];
const GOLDEN_USERS: [u32; 6] = [1, 0, 0, 2, 1, 2];
const GOLDEN_GIVEN: [u32; 3] = [1, 3, 0];
const GOLDEN_RANDOM: [(u32, u32); 2] = [(3, 0), (5, 1)];

#[test]
fn what_cannot_be_dealt_is_refused() {
    let data = dataset(2, 3, &[(0, 0), (0, 1), (1, 2)].into());
    let refused = |folds| RatingSplit::deal(&data.interactions, folds, 1).unwrap_err();
    assert_eq!(refused(1), EvalError::TooFewFolds { folds: 1 });
    assert_eq!(refused(4), EvalError::TooFew { what: "ratings", folds: 4, have: 3 });
    assert_eq!(
        NewUserSplit::deal(&data.interactions, 3, 1).unwrap_err(),
        EvalError::TooFew { what: "users with ratings", folds: 3, have: 2 }
    );
    assert!(rating_folds(&data, 0, 1).is_empty());
    for share in [0.0, 1.0, f64::NAN, 0.01] {
        assert!(matches!(
            random_rating_fold(&data.interactions, share, 1, 0),
            Err(EvalError::TestShare { .. })
        ));
    }
}

#[test]
fn a_user_with_one_rating_gives_nothing() {
    let data = dataset(3, 3, &[(0, 0), (2, 1), (2, 2)].into());
    let folds = new_user_folds(&data, 2, 1);
    let users: Vec<&NewUser> = folds.iter().flat_map(|fold| &fold.new_users).collect();
    assert_eq!(users.len(), 2, "a user without ratings is left out");
    let single = users.iter().find(|new| new.user.0 == 0).unwrap();
    assert_eq!((single.given.len(), single.targets.len()), (0, 1));
}
