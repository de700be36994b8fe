//! The descent: blocks of users and items that do not meet, dealt anew each epoch.

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Csr, Epoch, FitContext, FitError, Interactions, ItemFactors, ModelFamily, TrainState};
use foldin_nn::descent::Rates;
use foldin_nn::pairwise::{Pair, descend_pairs};
use rayon::prelude::*;

use crate::click_fold_in::{ClickFoldIn, ClickRule, mean_of_rows};
use crate::holdout::{EarlyStopping, Holdout};
use crate::linear::{UserFactors, score_items};
use crate::ranking::validation_ndcg;
use crate::resume;

use super::{Bpr, BprConfig};

/// Groups of users, and of items. Fixed, because results depend on it.
const GROUPS: usize = 8;

/// Draws for one click after which it goes without a partner: the user clicked nearly all of the group.
const TRIES: usize = 32;

pub(super) fn fit(
    config: &BprConfig,
    clicks: &Interactions,
    holdout: Option<&Holdout>,
    ctx: &FitContext<'_>,
) -> Result<(ItemFactors, ClickFoldIn, UserFactors), FitError> {
    let train = holdout.map_or(clicks, |holdout| &holdout.train);
    let mut descent = Descent::new(config, train, ctx.seed);
    let mut stopping = EarlyStopping::new(config.patience);
    let mut best: Option<Tables> = None;
    let mut done = 0;
    if let Some(mut saved) = ctx.resume()? {
        done = saved.epochs;
        resume::check(&saved, clicks, &mut stopping)?;
        if stopping.best_epoch > 0 {
            best = Some(descent.tables.taken(&mut saved, "best_", descent.width)?);
        }
        descent.tables = descent.tables.taken(&mut saved, "", descent.width)?;
    }
    while done < config.epochs && !stopping.is_over(done) {
        let loss = descent.run_epoch(train.by_user(), done, ctx.seed);
        done += 1;
        if !loss.is_finite() {
            let (model, what) = (Bpr::NAME, "the training loss");
            return Err(FitError::Diverged { model, epoch: done, what });
        }
        let validation_ndcg = holdout.and_then(|holdout| descent.ndcg(holdout));
        if validation_ndcg.is_some_and(|ndcg| stopping.improved(done, -ndcg)) {
            best = Some(descent.tables.clone());
        }
        let epoch = Epoch {
            number: done,
            of: config.epochs,
            train_loss: Some(loss / train.len() as f64),
            validation_ndcg,
            ..Epoch::default()
        };
        ctx.epoch_done(epoch, || {
            let mut state = resume::state(done, clicks, &stopping);
            descent.tables.keep(&mut state, "", descent.width);
            if let Some(best) = &best {
                best.keep(&mut state, "best_", descent.width);
            }
            state
        })?;
    }
    if let Some(best) = best {
        descent.tables = best;
    }
    let items = descent.items();
    let u = descent.user_factors();
    let active: Vec<f32> = u
        .chunks_exact(config.factors)
        .enumerate()
        .filter(|&(user, _)| train.by_user().row_len(user) > 0)
        .flat_map(|(_, row)| row.iter().copied())
        .collect();
    let rule = ClickRule::Logistic { regularization: config.regularization };
    let fold_in = ClickFoldIn::new(rule, &items, mean_of_rows(&active, config.factors));
    let bias = vec![0.0; train.n_users()];
    Ok((items, fold_in, UserFactors { u, bias }))
}

/// Rows of users, `[u | 1 | 0 …]`, and of items, `[m | b | 0 …]`: one inner product is the score.
#[derive(Clone)]
struct Tables {
    users: Vec<f32>,
    items: Vec<f32>,
}

impl Tables {
    fn keep(&self, state: &mut TrainState, prefix: &str, width: usize) {
        for (name, data) in [("users", &self.users), ("items", &self.items)] {
            resume::keep(state, format!("{prefix}{name}"), [data.len() / width, width], data);
        }
    }

    fn taken(&self, state: &mut TrainState, prefix: &str, width: usize) -> Result<Self, FitError> {
        let mut take = |name: &str, like: &[f32]| {
            resume::take(state, &format!("{prefix}{name}"), [like.len() / width, width])
        };
        Ok(Self { users: take("users", &self.users)?, items: take("items", &self.items)? })
    }
}

struct Descent<'a> {
    config: &'a BprConfig,
    width: usize,
    /// Users in the order of their groups.
    users: Vec<u32>,
    user_starts: Vec<usize>,
    /// Users by their place in that order, items by their number.
    tables: Tables,
}

/// The items of an epoch: an order in which groups stand one after the other.
struct Deal {
    order: Vec<u32>,
    position: Vec<u32>,
    starts: Vec<usize>,
}

impl Deal {
    fn new(n: usize, seed: u64, epoch: usize) -> Self {
        let mut order: Vec<u32> = (0..n as u32).collect();
        Random::new(numbered_seed(seed, "bpr items", epoch as u64)).shuffle(&mut order);
        let mut position = vec![0; n];
        for (at, &item) in order.iter().enumerate() {
            position[item as usize] = at as u32;
        }
        // Two items a group at least, so that every item has a partner.
        let groups = GROUPS.min(n / 2).max(1);
        let starts = (0..=GROUPS).map(|group| group.min(groups) * n / groups).collect();
        Self { order, position, starts }
    }
}

impl<'a> Descent<'a> {
    fn new(config: &'a BprConfig, clicks: &Interactions, seed: u64) -> Self {
        let (k, width) = (config.factors, (config.factors + 1).next_multiple_of(16));
        let mut random = Random::new(child_seed(seed, "start"));
        let mut rows = |n: usize, last: f32| -> Vec<f32> {
            let mut rows = vec![0.0; n * width];
            for row in rows.chunks_exact_mut(width) {
                row[..k].iter_mut().for_each(|x| *x = random.normal() as f32 * config.start_scale);
                row[k] = last;
            }
            rows
        };
        let tables = Tables { users: rows(clicks.n_users(), 1.0), items: rows(clicks.n_items(), 0.0) };
        // Busy users first and dealt in turn, so that groups come out even.
        let mut busy: Vec<u32> = (0..clicks.n_users() as u32).collect();
        busy.sort_by_key(|&user| (std::cmp::Reverse(clicks.by_user().row_len(user as usize)), user));
        let mut users = Vec::with_capacity(busy.len());
        let mut user_starts = vec![0];
        for group in 0..GROUPS {
            users.extend(busy.iter().skip(group).step_by(GROUPS));
            user_starts.push(users.len());
        }
        Self { config, width, users, user_starts, tables }
    }

    /// One pass over all clicks; the sum of the losses met on the way.
    fn run_epoch(&mut self, clicks: &Csr, epoch: usize, seed: u64) -> f64 {
        let (width, k) = (self.width, self.config.factors);
        let rate = self.config.learning_rate * self.config.learning_rate_decay.powi(epoch as i32);
        let rates = |of_last: f32, shrinkage_of_last: f32| {
            let mut rates = Rates { rate: vec![0.0; width], keep: vec![1.0; width] };
            rates.rate[..k].fill(rate);
            rates.keep[..k].fill(1.0 - rate * self.config.regularization);
            rates.rate[k] = of_last;
            rates.keep[k] = 1.0 - of_last * shrinkage_of_last;
            rates
        };
        let (user_rates, item_rates) = (rates(0.0, 0.0), rates(rate, self.config.bias_regularization));
        let deal = Deal::new(clicks.n_cols(), seed, epoch);
        let mut items = vec![0.0; self.tables.items.len()];
        for (row, &item) in items.chunks_exact_mut(width).zip(&deal.order) {
            row.copy_from_slice(&self.tables.items[item as usize * width..(item as usize + 1) * width]);
        }
        let mut diagonals: Vec<usize> = (0..GROUPS).collect();
        Random::new(numbered_seed(seed, "bpr diagonals", epoch as u64)).shuffle(&mut diagonals);
        let (users, user_starts) = (&self.users, &self.user_starts);
        let mut loss = 0.0;
        for diagonal in diagonals {
            let of_users = cut(&mut self.tables.users, user_starts, width);
            let mut of_items = cut(&mut items, &deal.starts, width);
            of_items.rotate_left(diagonal);
            let losses: Vec<f64> = of_users
                .into_par_iter()
                .zip(of_items)
                .enumerate()
                .with_max_len(1)
                .map(|(group, (of_users, of_items))| {
                    let item_group = (group + diagonal) % GROUPS;
                    let number = ((epoch * GROUPS + group) * GROUPS + item_group) as u64;
                    let mut random = Random::new(numbered_seed(seed, "bpr block", number));
                    let members = &users[user_starts[group]..user_starts[group + 1]];
                    let pairs = pairs(clicks, members, &deal, item_group, &mut random);
                    descend_pairs(&pairs, of_users, of_items, width, &user_rates, &item_rates)
                })
                .collect();
            loss += losses.iter().sum::<f64>();
        }
        for (row, &item) in items.chunks_exact(width).zip(&deal.order) {
            self.tables.items[item as usize * width..(item as usize + 1) * width].copy_from_slice(row);
        }
        loss
    }

    fn items(&self) -> ItemFactors {
        let k = self.config.factors;
        let rows = || self.tables.items.chunks_exact(self.width);
        ItemFactors {
            k,
            m: rows().flat_map(|row| row[..k].iter().copied()).collect(),
            bias: rows().map(|row| row[k]).collect(),
            mean: 0.0,
        }
    }

    /// `[n_users × k]`, by number.
    fn user_factors(&self) -> Vec<f32> {
        let k = self.config.factors;
        let mut out = vec![0.0; self.users.len() * k];
        for (row, &user) in self.tables.users.chunks_exact(self.width).zip(&self.users) {
            out[user as usize * k..(user as usize + 1) * k].copy_from_slice(&row[..k]);
        }
        out
    }

    fn ndcg(&self, holdout: &Holdout) -> Option<f64> {
        let (items, users, k) = (self.items(), self.user_factors(), self.config.factors);
        let scored = validation_ndcg(holdout, |batch, out| {
            for (user, out) in batch.iter().zip(out.chunks_exact_mut(items.bias.len())) {
                score_items(&users[user.index() * k..(user.index() + 1) * k], 0.0, &items, out);
            }
            Ok(())
        });
        scored.ok().flatten()
    }
}

/// The clicks of a block in random order, each with an item of the same group that the user did not click.
fn pairs(clicks: &Csr, users: &[u32], deal: &Deal, group: usize, random: &mut Random) -> Vec<Pair> {
    let range = deal.starts[group]..deal.starts[group + 1];
    let mut out = Vec::new();
    for (row, &user) in users.iter().enumerate() {
        let clicked = clicks.row(user as usize).0;
        let of_group = clicked.iter().map(|&item| deal.position[item as usize] as usize);
        for position in of_group.filter(|position| range.contains(position)) {
            let draws = (0..TRIES).map(|_| random.below(range.len()));
            let mut other =
                draws.filter(|draw| clicked.binary_search(&deal.order[range.start + draw]).is_err());
            let Some(worse) = other.next() else { continue };
            out.push(Pair { user: row as u32, better: (position - range.start) as u32, worse: worse as u32 });
        }
    }
    random.shuffle(&mut out);
    out
}

/// Rows cut at group bounds, to be written by different threads.
fn cut<'a>(mut rows: &'a mut [f32], starts: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    starts
        .windows(2)
        .map(|bounds| {
            let (group, rest) = std::mem::take(&mut rows).split_at_mut((bounds[1] - bounds[0]) * width);
            rows = rest;
            group
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Feedback, TrainingData};
    use foldin_testkit::planted::blocks;

    #[test]
    fn pairs_are_of_what_was_clicked_and_what_was_not() {
        let triples: Vec<(u32, u32, f32)> = (0..30u32)
            .flat_map(|user| (0..20u32).map(move |item| (user, item, 1.0)))
            .filter(|(user, item, _)| (user * 3 + item * 7) % 5 < 2)
            .collect();
        let csr = Csr::from_triples(30, 20, &triples).unwrap();
        let deal = Deal::new(20, 1, 0);
        let users: Vec<u32> = (0..30).collect();
        let mut met = 0;
        for group in 0..GROUPS {
            let start = deal.starts[group];
            for pair in pairs(&csr, &users, &deal, group, &mut Random::new(1)) {
                let clicked = csr.row(pair.user as usize).0;
                assert!(clicked.contains(&deal.order[start + pair.better as usize]));
                assert!(!clicked.contains(&deal.order[start + pair.worse as usize]));
                met += 1;
            }
        }
        // All but those of users who clicked a whole group, which has two or three items.
        assert!(met > csr.n_entries() * 3 / 4, "{met} of {}", csr.n_entries());
        let everything: Vec<(u32, u32, f32)> = (0..4).map(|item| (0, item, 1.0)).collect();
        let all = Csr::from_triples(1, 4, &everything).unwrap();
        assert!(pairs(&all, &[0], &Deal::new(4, 1, 0), 0, &mut Random::new(1)).is_empty());
    }

    /// A fold-in ranks for a training user much as the learned factors do.
    #[test]
    fn folded_in_users_rank_like_learned_ones() {
        let data = blocks(120, 40, 4, 1).clicks();
        let interactions = &data.interactions;
        assert_eq!(interactions.feedback(), Feedback::Implicit);
        let config = BprConfig { factors: 6, epochs: 60, ..BprConfig::default() };
        let TrainingData { interactions, .. } = data.training_data();
        let (items, fold_in, learned) = fit(&config, interactions, None, &FitContext::new(1)).unwrap();
        let mut together = 0.0;
        for user in 0..120 {
            let folded = fold_in.generate(&items, &[data.training_data().user(user)]).unwrap();
            let (mut ours, mut theirs) = (vec![0.0; 40], vec![0.0; 40]);
            score_items(folded.row(0), 0.0, &items, &mut ours);
            score_items(&learned.u[user * 6..(user + 1) * 6], 0.0, &items, &mut theirs);
            together += correlation(&ours, &theirs) / 120.0;
        }
        assert!(together > 0.9, "{together}");
    }

    fn correlation(x: &[f32], y: &[f32]) -> f64 {
        let mean = |x: &[f32]| x.iter().map(|&x| f64::from(x)).sum::<f64>() / x.len() as f64;
        let (a, b) = (mean(x), mean(y));
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            x.iter().zip(y).map(|(&x, &y)| f(f64::from(x) - a, f64::from(y) - b)).sum()
        };
        sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
    }
}
