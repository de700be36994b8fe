use std::sync::{Arc, Mutex};

use foldin_core::random::Random;
use foldin_core::{
    Auto, CancelFlag, CheckpointStore, Csr, Epoch, Features, Feedback, FitContext, FitError, Generator,
    Interactions, ItemId, ModelFamily, Progress, RatingScale, Recommender, TrainState, TrainingData,
    UserView,
};
use foldin_nn::gaussian::{CHUNK, packed_len, set_row};
use foldin_nn::linalg::cholesky;

use super::step::{Given, Side};
use super::train::mean_squared_error;
use super::{LfgBayes, LfgBayesConfig, LfgBayesModel};

const K: usize = 3;
const ORDER: usize = K + 1;

/// Ratings drawn from the model itself: factors of variance 1, biases of variance 1/4, on a wide scale.
struct Planted {
    train: Interactions,
    test: Vec<(u32, ItemId, f32)>,
}

fn planted(n_users: usize, n_items: usize, noise: f64, seed: u64) -> Planted {
    let mut random = Random::new(seed);
    let mut draw =
        |n: usize| -> Vec<[f64; 3]> { (0..n).map(|_| [(); 3].map(|()| random.normal())).collect() };
    let (users, items) = (draw(n_users), draw(n_items));
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for (user, u) in users.iter().enumerate() {
        for (item, q) in items.iter().enumerate() {
            if random.chance(0.4) {
                let mean = 2.0 + u[0] * q[0] + u[1] * q[1] + 0.5 * (u[2] + q[2]);
                let rating = (mean + noise * random.normal()) as f32;
                if random.chance(0.8) {
                    train.push((user as u32, item as u32, rating));
                } else {
                    test.push((user as u32, ItemId(item as u32), rating));
                }
            }
        }
    }
    let csr = Csr::from_triples(n_users, n_items, &train).unwrap();
    let scale = RatingScale { min: -100.0, max: 100.0, step: None };
    Planted { train: Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap(), test }
}

fn config() -> LfgBayesConfig {
    LfgBayesConfig {
        factors: Auto::Value(K),
        iterations: 25,
        cooccurrence_features: Auto::Value(2),
        user_implicit_features: 2,
        ..LfgBayesConfig::default()
    }
}

fn fit(
    ratings: &Interactions,
    config: &LfgBayesConfig,
    ctx: &FitContext<'_>,
) -> Result<LfgBayesModel, FitError> {
    let (users, items) = (Features::none(ratings.n_users()), Features::none(ratings.n_items()));
    LfgBayes::fit(
        config,
        &TrainingData { interactions: ratings, user_features: &users, item_features: &items },
        ctx,
    )
}

fn fitted(ratings: &Interactions) -> LfgBayesModel {
    fit(ratings, &config(), &FitContext::new(1)).unwrap()
}

fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

/// Means and covariances (`[order × order]`) in `f64` of one side.
struct Naive {
    means: Vec<Vec<f64>>,
    covariances: Vec<Vec<Vec<f64>>>,
}

impl Naive {
    fn random(n: usize, random: &mut Random) -> Self {
        let mut out = Self { means: Vec::new(), covariances: Vec::new() };
        for _ in 0..n {
            let factor: Vec<Vec<f64>> =
                (0..ORDER).map(|_| (0..ORDER).map(|_| 0.3 * random.normal()).collect()).collect();
            let entry = |i: usize, j: usize| (0..ORDER).map(|l| factor[i][l] * factor[j][l]).sum::<f64>();
            out.covariances.push((0..ORDER).map(|i| (0..ORDER).map(|j| entry(i, j)).collect()).collect());
            out.means.push((0..ORDER).map(|_| random.normal()).collect());
        }
        out
    }

    /// `E[h h']` of one row, `h = [factors; 1; bias]`.
    fn moment(&self, row: usize, i: usize, j: usize) -> f64 {
        let own = |at: usize| match at {
            K => None,
            at => Some(if at > K { K } else { at }),
        };
        let mean = |at: usize| own(at).map_or(1.0, |at| self.means[row][at]);
        let covariance = match (own(i), own(j)) {
            (Some(i), Some(j)) => self.covariances[row][i][j],
            _ => 0.0,
        };
        mean(i) * mean(j) + covariance
    }

    fn side(&self) -> Side {
        let mut side = Side::zeros(self.means.len(), ORDER);
        let stride = side.moments.chunk_stride();
        for row in 0..self.means.len() {
            let packed: Vec<f32> = (0..ORDER + 1)
                .flat_map(|i| (0..=i).map(move |j| (i, j)))
                .map(|(i, j)| self.moment(row, i, j) as f32)
                .collect();
            let chunk = &mut side.moments.data_mut()[row / CHUNK * stride..][..stride];
            set_row(chunk, row % CHUNK, &packed);
            let mean: Vec<f32> = (0..ORDER + 1).map(|at| self.moment(row, at, K) as f32).collect();
            side.means[row * side.stride..][..ORDER + 1].copy_from_slice(&mean);
        }
        side
    }
}

/// Solves `a·x = b` by Gauss elimination with pivoting.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for column in 0..n {
        let pivot = (column..n).max_by(|&x, &y| a[x][column].abs().total_cmp(&a[y][column].abs())).unwrap();
        a.swap(column, pivot);
        b.swap(column, pivot);
        for row in column + 1..n {
            let factor = a[row][column] / a[column][column];
            for at in column..n {
                a[row][at] -= factor * a[column][at];
            }
            b[row] -= factor * b[column];
        }
    }
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|at| a[row][at] * b[at]).sum();
        b[row] = (b[row] - known) / a[row][row];
    }
    b
}

/// Updates users given items of random posteriors, and does the same by the formulas.
fn check_half_step(lists: &Csr, random: &mut Random) {
    let (n_users, n_items) = (lists.n_rows(), lists.n_cols());
    let items = Naive::random(n_items, random);
    let prior_means: Vec<f32> = (0..n_users * ORDER).map(|_| random.normal() as f32).collect();
    let precision = [2.0, 3.0, 1.5, 4.0];
    let noise = 0.7;
    let mut users = Side::zeros(n_users, ORDER);
    let side = items.side();
    let given = Given {
        other: &side,
        lists,
        prior_means: &prior_means,
        precision: &precision,
        weight: (1.0 / noise) as f32,
    };
    let summary = given.update(&mut users);
    let (means, covariances) = (users.own_means(), users.own_covariances());
    let (mut residual, mut at_means, mut rated) = (0.0, 0.0, 0);
    for user in 0..n_users {
        let ratings: Vec<(usize, f64)> = {
            let (items, values) = lists.row(user);
            items.iter().zip(values).map(|(&item, &r)| (item as usize, f64::from(r))).collect()
        };
        let mut matrix = vec![vec![0.0; ORDER]; ORDER];
        let mut right = vec![0.0; ORDER];
        for i in 0..ORDER {
            matrix[i][i] = f64::from(precision[i]);
            right[i] = f64::from(precision[i]) * f64::from(prior_means[user * ORDER + i]);
        }
        for &(item, r) in &ratings {
            for i in 0..ORDER {
                for j in 0..ORDER {
                    matrix[i][j] += items.moment(item, i, j) / noise;
                }
                right[i] += (items.moment(item, i, K) * r - items.moment(item, i, ORDER)) / noise;
            }
        }
        let mean = solve(matrix.clone(), right);
        let inverse: Vec<Vec<f64>> = (0..ORDER)
            .map(|at| solve(matrix.clone(), (0..ORDER).map(|i| f64::from(u8::from(i == at))).collect()))
            .collect();
        for i in 0..ORDER {
            assert!((f64::from(means[user * ORDER + i]) - mean[i]).abs() < 2e-5, "mean of user {user}");
            for j in 0..=i {
                let got = f64::from(covariances[user * packed_len(ORDER) + packed_len(i) + j]);
                assert!((got - inverse[i][j]).abs() < 2e-5, "covariance of user {user}");
            }
        }
        for &(item, r) in &ratings {
            // E(r − z·h)² with z = [x; 1], which meets h = [q; 1; b].
            let z = |at: usize| mean.get(at).copied().unwrap_or(1.0);
            residual += r * r;
            for i in 0..ORDER + 1 {
                residual -= 2.0 * r * z(i) * items.moment(item, i, K);
                for j in 0..ORDER + 1 {
                    let own = if i < ORDER && j < ORDER { inverse[i][j] } else { 0.0 };
                    residual += (z(i) * z(j) + own) * items.moment(item, i, j);
                }
            }
            // The moments with the constant are the means.
            at_means += (r - (0..ORDER + 1).map(|i| z(i) * items.moment(item, i, K)).sum::<f64>()).powi(2);
        }
        rated += usize::from(!ratings.is_empty());
        if ratings.is_empty() {
            // The prior, up to the rounding of scaling it to unit precision and back.
            let [mean, prior] = [&means, &prior_means].map(|all| &all[user * ORDER..(user + 1) * ORDER]);
            assert!(mean.iter().zip(prior).all(|(x, y)| (x - y).abs() < 1e-6), "{mean:?} {prior:?}");
        }
    }
    assert!((summary.residual / residual - 1.0).abs() < 1e-5, "{} {residual}", summary.residual);
    let (error, at_means) =
        (mean_squared_error(&users, &side, lists, 1), at_means / lists.n_entries() as f64);
    assert!((error / at_means - 1.0).abs() < 1e-5, "{error} {at_means}");
    // Of every third user alone, those without ratings not counted, it is the same function of other ratings.
    let rated_users = (0..n_users).filter(|&user| lists.row_len(user) > 0).enumerate();
    let some: Vec<bool> = rated_users.flat_map(|(at, user)| vec![at % 3 == 0; lists.row_len(user)]).collect();
    let of_some = mean_squared_error(&users, &side, &lists.filter_entries(&some), 1);
    assert!((mean_squared_error(&users, &side, lists, 3) / of_some - 1.0).abs() < 1e-12);
    assert_eq!(summary.rated, rated);
}

#[test]
fn a_half_step_is_that_of_the_formulas() {
    let mut random = Random::new(4);
    // The second user rated nothing.
    let cells: Vec<(u32, u32, f32)> = (0..200)
        .flat_map(|item| [(0, item), (2, item)])
        .filter(|&(user, item)| user == 0 || item % 50 == 0)
        .map(|(user, item)| (user, item, random.normal() as f32))
        .collect();
    check_half_step(&Csr::from_triples(3, 200, &cells).unwrap(), &mut random);
}

/// More users than are summed at a time, and a last chunk that is not full.
const MANY: u32 = 2_150;

#[test]
fn a_half_step_of_many_users_is_that_of_the_formulas() {
    let mut random = Random::new(12);
    let cells: Vec<(u32, u32, f32)> = (0..MANY)
        .flat_map(|user| (0..30).map(move |item| (user, item)))
        .filter(|&(user, _)| user % 7 != 6)
        .filter(|_| random.chance(0.15))
        .collect::<Vec<_>>()
        .into_iter()
        .map(|(user, item)| (user, item, random.normal() as f32))
        .collect();
    check_half_step(&Csr::from_triples(MANY as usize, 30, &cells).unwrap(), &mut random);
}

/// `KL(q ‖ prior)` of all rows of a side whose prior is `N(0, precision⁻¹)`.
fn divergence(side: &Side, precision: f64) -> f64 {
    let (means, covariances) = (side.own_means(), side.own_covariances());
    let rows = means.chunks_exact(ORDER).zip(covariances.chunks_exact(packed_len(ORDER)));
    rows.map(|(mean, packed)| {
        let mut matrix = vec![0.0; ORDER * ORDER];
        for i in 0..ORDER {
            for j in 0..=i {
                matrix[i * ORDER + j] = precision * f64::from(packed[packed_len(i) + j]);
            }
        }
        let trace: f64 = (0..ORDER).map(|i| matrix[i * ORDER + i]).sum();
        cholesky(&mut matrix, ORDER).unwrap();
        let log_det: f64 = (0..ORDER).map(|i| 2.0 * matrix[i * ORDER + i].ln()).sum();
        let squares: f64 = mean.iter().map(|&x| f64::from(x).powi(2)).sum();
        0.5 * (trace + precision * squares - log_det - ORDER as f64)
    })
    .sum()
}

#[test]
fn each_half_step_lowers_the_free_energy() {
    let ratings = planted(60, 40, 0.5, 2).train;
    let (by_user, by_item) = (ratings.by_user(), ratings.by_item());
    let (precision, weight) = ([1.5; ORDER], 2.0);
    let mut random = Random::new(3);
    let first: Vec<f32> = (0..40 * ORDER).map(|_| 0.3 * random.normal() as f32).collect();
    let (mut users, mut items) = (Side::zeros(60, ORDER), Side::zeros(40, ORDER));
    items.set_certain(&first);
    let prior_means = vec![0.0; 60 * ORDER];
    let mut last = f64::INFINITY;
    for half_step in 0..20 {
        let (own, other, lists) =
            if half_step % 2 == 0 { (&mut users, &items, by_user) } else { (&mut items, &users, by_item) };
        let prior_means = &prior_means[..lists.n_rows() * ORDER];
        let given = Given { other, lists, prior_means, precision: &precision, weight };
        let residual = given.update(own).residual;
        // Certain items have no divergence: it would be infinite.
        if half_step == 0 {
            continue;
        }
        let energy = 0.5 * f64::from(weight) * residual
            + divergence(&users, f64::from(precision[0]))
            + divergence(&items, f64::from(precision[0]));
        assert!(energy < last + 1e-6 * energy.abs(), "half step {half_step}: {last} to {energy}");
        last = energy;
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let all = planted(300, 150, 0.5, 5).train;
    let many = planted(MANY as usize, 20, 0.5, 5).train;
    for (ratings, iterations) in [(&all, 25), (&many, 4)] {
        let config = LfgBayesConfig { iterations, ..config() };
        let parts =
            |threads| on_threads(threads, || fit(ratings, &config, &FitContext::new(1)).unwrap().to_parts());
        let one = parts(1);
        assert_eq!(one, parts(2));
        assert_eq!(one, parts(3));
    }
}

#[test]
fn the_train_rmse_is_that_of_the_means() {
    let ratings = planted(80, 40, 0.5, 7).train;
    let seen = Arc::default();
    let progress = StopAfter(usize::MAX, CancelFlag::default(), Arc::clone(&seen));
    let model = fit(&ratings, &config(), &FitContext { progress: &progress, ..FitContext::new(1) }).unwrap();
    let curve = seen.lock().unwrap();
    let last = curve[curve.len() - 1];
    // Users are served with one more step, and with priors by number of ratings: much the same predictions.
    let users: Vec<UserView<'_>> = (0..80)
        .map(|user| ratings.by_user().row(user))
        .map(|(items, values)| UserView::new(items, values))
        .collect();
    let pairs: Vec<(u32, ItemId)> =
        ratings.by_user().triples().map(|(user, item, _)| (user, ItemId(item))).collect();
    let mut out = vec![0.0; pairs.len()];
    model.predict(&users, &pairs, &mut out).unwrap();
    let squares: f64 =
        out.iter().zip(ratings.by_user().values()).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    let rmse = (squares / pairs.len() as f64).sqrt();
    assert!((last / rmse - 1.0).abs() < 0.02, "{last} {rmse}");
    // The noise counts what is not known of the factors too.
    assert!(last < 0.95 * f64::from(model.noise).sqrt(), "{last} {}", model.noise);
}

#[test]
fn a_loaded_model_and_a_batch_predict_the_same_bits() {
    let ratings = planted(80, 40, 0.5, 6).train;
    let model = fitted(&ratings);
    let loaded = LfgBayes::load(model.to_parts()).unwrap();
    assert_eq!(loaded.to_parts(), model.to_parts());
    let users: Vec<UserView<'_>> = (0..80)
        .map(|user| {
            let (items, values) = ratings.by_user().row(user);
            let take = items.len().min(user);
            UserView::new(&items[..take], &values[..take])
        })
        .collect();
    let all = model.generate_with_covariance(&users).unwrap();
    assert_eq!(loaded.generate_with_covariance(&users).unwrap(), all);
    let covariance = all.covariance.as_ref().unwrap();
    for (at, user) in users.iter().enumerate() {
        let one = model.generate(std::slice::from_ref(user)).unwrap();
        assert_eq!((&one.u[..], one.bias[0], one.covariance), (all.row(at), all.bias[at], None));
        let own = &covariance[at * ORDER * ORDER..(at + 1) * ORDER * ORDER];
        assert!((0..ORDER).all(|i| own[i * ORDER + i] > 0.0));
    }
}

/// Keeps the last state; says when to stop.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<TrainState>>);

impl CheckpointStore for Kept {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        Ok(self.0.lock().unwrap().take())
    }
    fn due(&self, _: usize) -> bool {
        false
    }
    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        *self.0.lock().unwrap() = Some(state.clone());
        Ok(())
    }
}

struct StopAfter(usize, CancelFlag, Arc<Mutex<Vec<f64>>>);

impl Progress for StopAfter {
    fn epoch(&self, epoch: Epoch) {
        self.2.lock().unwrap().push(epoch.train_rmse.unwrap());
        if epoch.number == self.0 {
            self.1.cancel();
        }
    }
}

#[test]
fn an_interrupted_fit_goes_on_as_if_it_had_never_stopped() {
    let ratings = planted(80, 40, 0.5, 7).train;
    let whole = fitted(&ratings).to_parts();
    let store = Kept::default();
    for stop in [1, 2, 9] {
        let cancel = CancelFlag::default();
        let progress = StopAfter(stop, cancel.clone(), Arc::default());
        let ctx = FitContext { progress: &progress, cancel, checkpoints: Some(&store), ..FitContext::new(1) };
        assert_eq!(fit(&ratings, &config(), &ctx).unwrap_err(), FitError::Cancelled { epochs: stop });
    }
    let ctx = FitContext { checkpoints: Some(&store), ..FitContext::new(1) };
    assert_eq!(fit(&ratings, &config(), &ctx).unwrap().to_parts(), whole);
    // A checkpoint of another size is refused.
    *store.0.lock().unwrap() = Some(TrainState { epochs: 1, ..TrainState::default() });
    assert!(matches!(fit(&ratings, &config(), &ctx), Err(FitError::Checkpoint { .. })));
}

#[test]
fn planted_factors_are_found_and_intervals_hold_what_they_say() {
    let Planted { train, test } = planted(400, 120, 0.5, 8);
    let model = fitted(&train);
    let users: Vec<UserView<'_>> = (0..400)
        .map(|user| train.by_user().row(user))
        .map(|(items, values)| UserView::new(items, values))
        .collect();
    let pairs: Vec<(u32, ItemId)> = test.iter().map(|&(user, item, _)| (user, item)).collect();
    let (mut mean, mut variance) = (vec![0.0; pairs.len()], vec![0.0; pairs.len()]);
    model.predict_with_variance(&users, &pairs, &mut mean, &mut variance).unwrap();
    let errors: Vec<f64> =
        test.iter().zip(&mean).map(|(&(_, _, r), &mean)| f64::from(r) - f64::from(mean)).collect();
    let n = errors.len() as f64;
    let rmse = (errors.iter().map(|e| e * e).sum::<f64>() / n).sqrt();
    // The noise is 0.5 and the spread of the ratings 1.7.
    assert!(rmse < 0.58, "{rmse}");
    for (z, share) in [(0.674, 0.5), (1.282, 0.8), (1.96, 0.95)] {
        let within =
            errors.iter().zip(&variance).filter(|(e, v)| e.abs() < z * f64::from(**v).sqrt()).count();
        let within = within as f64 / n;
        // Some 3,800 test ratings: a standard error of at most 0.008.
        assert!((within - share).abs() < 0.03, "{share}: {within}");
    }
}

#[test]
fn the_variance_is_that_of_ratings_drawn_from_the_posterior() {
    let ratings = planted(60, 30, 0.5, 9).train;
    let model = fitted(&ratings);
    let (items, values) = ratings.by_user().row(0);
    let user = [UserView::new(&items[..4], &values[..4])];
    let factors = model.generate_with_covariance(&user).unwrap();
    let (mut mean, mut variance) = ([0.0], [0.0]);
    let item = 17;
    model.predict_with_variance(&user, &[(0, ItemId(item as u32))], &mut mean, &mut variance).unwrap();

    let root = |entry: &dyn Fn(usize, usize) -> f32| {
        let mut root: Vec<f64> =
            (0..ORDER * ORDER).map(|at| f64::from(entry(at / ORDER, at % ORDER))).collect();
        cholesky(&mut root, ORDER).unwrap();
        root
    };
    let covariance = factors.covariance.unwrap();
    let own: Vec<f32> = model.covariances.row(item).collect();
    let of_user = root(&|i, j| covariance[i * ORDER + j]);
    let of_item = root(&|i, j| own[packed_len(i.max(j)) + i.min(j)]);
    let x: Vec<f32> = factors.u.iter().copied().chain([factors.bias[0]]).collect();
    let y: Vec<f32> = model.items.row(item).iter().copied().chain([model.items.bias[item]]).collect();
    let mut random = Random::new(10);
    let mut draw = |mean: &[f32], root: &[f64]| -> Vec<f64> {
        let normal: Vec<f64> = (0..ORDER).map(|_| random.normal()).collect();
        (0..ORDER)
            .map(|i| f64::from(mean[i]) + (0..=i).map(|j| root[i * ORDER + j] * normal[j]).sum::<f64>())
            .collect()
    };
    let n = 200_000;
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..n {
        let (x, y) = (draw(&x, &of_user), draw(&y, &of_item));
        let rating = (0..K).map(|at| x[at] * y[at]).sum::<f64>() + x[K] + y[K];
        sum += rating;
        squares += rating * rating;
    }
    let drawn_mean = sum / f64::from(n);
    let drawn = squares / f64::from(n) - drawn_mean * drawn_mean + f64::from(model.noise);
    assert!((drawn_mean + f64::from(model.items.mean) - f64::from(mean[0])).abs() < 0.01);
    // The variance of so many draws has a relative standard error of 0.3 %.
    assert!((drawn / f64::from(variance[0]) - 1.0).abs() < 0.015, "{drawn} {}", variance[0]);
}

#[test]
fn without_side_information_the_notes_say_so() {
    let ratings = planted(40, 20, 0.5, 11).train;
    let model = fitted(&ratings);
    assert!(model.notes()[0].contains("of users used: none; of items: none"), "{:?}", model.notes());
    assert!(
        model.notes()[1].starts_with("2 co-occurrence features of items and 3 features"),
        "{:?}",
        model.notes()
    );
    // Nothing known at all is served too, and the same whoever asks.
    let nobody = model.generate(&[UserView::default(), UserView::default()]).unwrap();
    assert_eq!(nobody.row(0), nobody.row(1));
    assert!(nobody.bias[0].is_finite());
}

#[test]
fn odd_data_are_no_trouble() {
    let scale = Feedback::Explicit(RatingScale { min: 0.0, max: 10.0, step: None });
    let of = |cells: &[(u32, u32, f32)], users, items| {
        Interactions::new(Csr::from_triples(users, items, cells).unwrap(), None, scale).unwrap()
    };
    // One rating; all ratings the same; a user and an item without any.
    for ratings in [
        of(&[(0, 0, 7.0)], 1, 1),
        of(&[(0, 0, 3.0), (0, 1, 3.0), (1, 0, 3.0)], 3, 3),
        of(&[(0, 0, 10.0), (1, 1, 0.0)], 3, 4),
    ] {
        let model = fitted(&ratings);
        let mut out = vec![f32::NAN; model.n_items()];
        model.score(&[UserView::default()], &mut out).unwrap();
        assert!(out.iter().all(|x| (-5.0..15.0).contains(x)), "{out:?}");
    }
    // There are no more features than items, whatever is asked for.
    let wide =
        LfgBayesConfig { cooccurrence_features: Auto::Value(30), user_implicit_features: 20, ..config() };
    let two = of(&[(0, 0, 3.0), (0, 1, 5.0), (1, 0, 2.0), (2, 1, 1.0)], 3, 2);
    let notes = fit(&two, &wide, &FitContext::new(1)).unwrap().notes();
    assert!(notes[1].starts_with("2 co-occurrence features of items and 3 features"), "{notes:?}");
    let same = fitted(&of(&[(0, 0, 3.0), (0, 1, 3.0), (1, 0, 3.0)], 3, 3));
    let mut out = [0.0; 3];
    same.score(&[UserView::new(&[1], &[3.0])], &mut out).unwrap();
    assert!(out.iter().all(|x| (x - 3.0).abs() < 1e-3), "{out:?}");
}
