//! How well a model says what users did next.

use foldin_core::ranking::Ranked;
use foldin_core::{Dataset, FeatureRow, Interactions, ItemId, Recommender, ScoreError, UserView, top_k};
use serde::{Deserialize, Serialize};

/// Users scored at a time.
pub(super) const AT_ONCE: usize = 64;

/// Length of the lists that judge models of clicks.
const LIST: usize = 20;

/// Where groups of users by the length of their histories begin.
const GROUPS: [usize; 4] = [1, 5, 20, 100];

/// Central intervals of a normal distribution: share, and half the width in standard deviations.
const LEVELS: [(f64, f64); 3] = [(0.5, 0.674_49), (0.8, 1.281_55), (0.95, 1.959_96)];

/// Half the width of a 95 % interval, in standard errors.
const Z95: f64 = 1.959_96;

/// A figure with its uncertainty.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// RMSE or mean nDCG@20.
    pub value: f64,
    /// Lower end of its 95 % interval. Users are taken as drawn at random, what one of them did as belonging together. None for one user.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// Users it is of.
    pub users: usize,
    /// Held-out interactions it is of.
    pub interactions: usize,
}

/// A figure of users whose histories have a length within bounds.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ByGiven {
    /// Fewest interactions that the users had before.
    pub from: usize,
    /// Most, if there is a next group.
    pub to: Option<usize>,
    /// The figure.
    pub figure: Figure,
}

/// How often the truth lies where a model expects it.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// Share of ratings that should lie within the model's central interval.
    pub expected: f64,
    /// Share that did.
    pub found: f64,
}

/// Everything that judging says of a model.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// Over all users.
    pub overall: Figure,
    /// By how much the model was given; groups without users are left out.
    pub by_given: Vec<ByGiven>,
    /// Of models that state an uncertainty.
    pub calibration: Vec<Coverage>,
}

/// What one user adds: how much was given, the sum of what is averaged, and over how many.
struct Share {
    given: usize,
    sum: f64,
    count: usize,
    interactions: usize,
}

/// The 97.5 % quantile of Student's t, by the first terms of its expansion around the normal one (Abramowitz and Stegun 26.7.5), which are
/// within 2 % from four degrees of freedom on; below, exact.
fn student95(freedom: f64) -> f64 {
    match freedom as usize {
        0 | 1 => 12.706_2,
        2 => 4.302_65,
        3 => 3.182_45,
        _ => {
            let (z, n) = (Z95, freedom);
            let first = (z.powi(3) + z) / 4.0;
            let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
            let third = (3.0 * z.powi(7) + 19.0 * z.powi(5) + 17.0 * z.powi(3) - 15.0 * z) / 384.0;
            z + first / n + second / n.powi(2) + third / n.powi(3)
        }
    }
}

/// A mean of ratios with the variance of a ratio estimator over users, and its square root for an error.
fn figure(shares: &[&Share], is_error: bool) -> Figure {
    let users = shares.len();
    let (sum, count) =
        shares.iter().fold((0.0, 0), |(sum, count), share| (sum + share.sum, count + share.count));
    let mean = sum / count.max(1) as f64;
    let spread: f64 = shares.iter().map(|share| (share.sum - mean * share.count as f64).powi(2)).sum();
    let half = (users > 1).then(|| {
        let freedom = (users - 1) as f64;
        student95(freedom) * (spread * users as f64 / freedom).sqrt() / count.max(1) as f64
    });
    let end = |value: f64| if is_error { value.max(0.0).sqrt() } else { value.clamp(0.0, 1.0) };
    Figure {
        value: end(mean),
        low: half.map(|half| end(mean - half)),
        high: half.map(|half| end(mean + half)),
        users,
        interactions: shares.iter().map(|share| share.interactions).sum(),
    }
}

/// RMSE of the held-out ratings of items below `known`, or nDCG@20 of held-out clicks, from what the same users did before.
pub(super) fn judge(
    model: &dyn Recommender,
    before: &Dataset,
    test: &Interactions,
    known: usize,
) -> Result<Judgement, ScoreError> {
    let rates = test.feedback().scale().is_some();
    let n_items = model.n_items();
    let uncertain = rates && model.capabilities().uncertainty;
    let people: Vec<usize> = (0..test.n_users())
        .filter(|&user| test.by_user().row_len(user) > 0 && before.interactions.by_user().row_len(user) > 0)
        .collect();
    let mut shares: Vec<Share> = Vec::with_capacity(people.len());
    let (mut within, mut predictions) = ([0usize; LEVELS.len()], 0usize);
    for some in people.chunks(AT_ONCE) {
        let given: Vec<Given> = some.iter().map(|&user| Given::of(before, user, n_items)).collect();
        let views: Vec<UserView<'_>> = given.iter().map(Given::view).collect();
        let length = |user: usize| before.interactions.by_user().row_len(user);
        if rates {
            let (mut pairs, mut wanted) = (Vec::new(), Vec::new());
            for (at, &user) in some.iter().enumerate() {
                let (items, values) = test.by_user().row(user);
                for (&item, &value) in items.iter().zip(values).filter(|(item, _)| (**item as usize) < known)
                {
                    pairs.push((at as u32, ItemId(item)));
                    wanted.push(value);
                }
            }
            let (mut predicted, mut variance) = (vec![0.0; pairs.len()], vec![0.0; pairs.len()]);
            if uncertain {
                model.predict_with_variance(&views, &pairs, &mut predicted, &mut variance)?;
                for ((&got, &variance), &wanted) in predicted.iter().zip(&variance).zip(&wanted) {
                    let off = f64::from(wanted - got).abs() / f64::from(variance.max(0.0)).sqrt();
                    for (within, (_, half)) in within.iter_mut().zip(LEVELS) {
                        *within += usize::from(off <= half);
                    }
                }
                predictions += pairs.len();
                predicted.iter_mut().for_each(|value| *value = test.feedback().clip(*value));
            } else {
                model.predict(&views, &pairs, &mut predicted)?;
            }
            let mut next = 0;
            for of_one in pairs.chunk_by(|a, b| a.0 == b.0) {
                let own = next..next + of_one.len();
                next = own.end;
                let errors = predicted[own.clone()].iter().zip(&wanted[own]);
                shares.push(Share {
                    given: length(some[of_one[0].0 as usize]),
                    sum: errors.map(|(&got, &wanted)| (f64::from(got) - f64::from(wanted)).powi(2)).sum(),
                    count: of_one.len(),
                    interactions: of_one.len(),
                });
            }
        } else {
            let mut scores = vec![0.0; views.len() * n_items];
            model.score(&views, &mut scores)?;
            for ((scores, given), &user) in scores.chunks_exact(n_items.max(1)).zip(&given).zip(some) {
                let list: Vec<u32> =
                    top_k(scores, LIST, &given.items).iter().map(|scored| scored.item.0).collect();
                let wanted = test.by_user().row(user).0;
                let sum = Ranked::new(&list, wanted).ndcg(LIST);
                shares.push(Share { given: length(user), sum, count: 1, interactions: wanted.len() });
            }
        }
    }
    let of = |from: usize, to: Option<usize>| -> Vec<&Share> {
        shares.iter().filter(|share| share.given >= from && to.is_none_or(|to| share.given <= to)).collect()
    };
    let groups = GROUPS.iter().enumerate().filter_map(|(at, &from)| {
        let to = GROUPS.get(at + 1).map(|next| next - 1);
        let group = of(from, to);
        (!group.is_empty()).then(|| ByGiven { from, to, figure: figure(&group, rates) })
    });
    let coverage = LEVELS.iter().zip(within).map(|(&(expected, _), within)| Coverage {
        expected,
        found: within as f64 / predictions.max(1) as f64,
    });
    Ok(Judgement {
        overall: figure(&of(0, None), rates),
        by_given: groups.collect(),
        calibration: if predictions > 0 { coverage.collect() } else { Vec::new() },
    })
}

/// What somebody had done before, as far as a model knows the items.
pub(super) struct Given {
    items: Vec<u32>,
    values: Vec<f32>,
    feature_columns: Vec<u32>,
    feature_values: Vec<f32>,
}

impl Given {
    pub(super) fn of(dataset: &Dataset, user: usize, n_items: usize) -> Self {
        let (items, values) = dataset.interactions.by_user().row(user);
        let known = items.iter().zip(values).filter(|(item, _)| (**item as usize) < n_items);
        let (items, values) = known.map(|(&item, &value)| (item, value)).unzip();
        let features = dataset.user_features.row(user);
        Self {
            items,
            values,
            feature_columns: features.columns.to_vec(),
            feature_values: features.values.to_vec(),
        }
    }

    pub(super) fn view(&self) -> UserView<'_> {
        UserView {
            items: &self.items,
            values: &self.values,
            features: FeatureRow { columns: &self.feature_columns, values: &self.feature_values },
            trained_as: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_hand() {
        // Squared errors 1 and 3 of one user, 2 of another: mean 2, and each user is exactly at it.
        let share = |given, sum, count| Share { given, sum, count, interactions: count };
        let (one, other) = (share(3, 4.0, 2), share(9, 2.0, 1));
        let even = figure(&[&one, &other], true);
        let root = Some(2f64.sqrt());
        assert_eq!((Some(even.value), even.low, even.high), (root, root, root));
        assert_eq!((even.users, even.interactions), (2, 3));
        // nDCG 0.2 and 0.6: the standard error of a mean of two is half their distance.
        let uneven = figure(&[&share(1, 0.2, 1), &share(1, 0.6, 1)], false);
        assert!((uneven.value - 0.4).abs() < 1e-12);
        // 12.7 times that is more than all there is.
        assert_eq!((uneven.low, uneven.high), (Some(0.0), Some(1.0)));
        let many: Vec<Share> = (0..40).map(|at| share(1, if at % 2 == 0 { 0.2 } else { 0.6 }, 1)).collect();
        let of_many = figure(&many.iter().collect::<Vec<_>>(), false);
        let half = 2.022_69 * 0.2 / 39f64.sqrt();
        assert!((of_many.high.unwrap() - 0.4 - half).abs() < 1e-4, "{of_many:?}");
        assert_eq!(figure(&[&share(1, 0.2, 1)], false).low, None);
        assert_eq!(figure(&[], true), Figure::default());
        for (freedom, t) in [(1.0, 12.7062), (4.0, 2.77645), (9.0, 2.26216), (1e9, Z95)] {
            assert!((student95(freedom) / t - 1.0).abs() < 0.02, "{freedom}");
        }
    }
}
