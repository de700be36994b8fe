//! The fit: once on a part of the clicks, to choose the shares, and once on all of them.

use foldin_core::parallel::chunked;
use foldin_core::random::{Random, numbered_seed};
use foldin_core::ranking::Ranked;
use foldin_core::{
    Auto, Epoch, FitContext, FitError, Interactions, ModelFamily, ScoreError, TrainState, TrainingData,
    UserId, UserView, top_k,
};

use crate::ease::item_weights;
use crate::holdout::Holdout;
use crate::implicit_als::{ImplicitAlsConfig, Problem, Sides, views_of};
use crate::ranking::{PLACES, implicit_interactions, standardise};
use crate::resume;

use super::foretold::{Foretold, damping};
use super::knots::{KNOTS, SHORT, at_count};
use super::model::{ByLength, LfgRankModel, Member, PartScores, Shares};
use super::pairs::similarity;
use super::side::{Designs, UserPrior, WEIGHTS};
use super::{LfgRank, LfgRankConfig, ShortHistories};

/// Shares are chosen among multiples of one part of this.
const STEPS: usize = 10;

/// Users whose shares are tried at once.
const BATCH: usize = 64;

/// Users on whom the weights of a prior are chosen, at most.
const WATCHED: usize = 1000;

/// Weights of the factors that a history foretells, to choose from.
const OF_FORETOLD: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Parts of the shares of closed-form pairs and of the similarity that may be left out, to choose from.
const LESS: [(f32, f32); 6] = [(0.0, 0.0), (0.5, 0.5), (0.75, 0.5), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0)];

/// By so many standard errors of the difference a choice out of so many, or fewer, must better nDCG@20, or it is chance: of choices that change
/// nothing the best does so one time in 20.
const SURE: [(usize, f64); 2] = [(9, 2.5), (usize::MAX, 3.0)];

pub(super) fn fit(
    config: &LfgRankConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<LfgRankModel, FitError> {
    let clicks = implicit_interactions(LfgRank::NAME, data)?;
    let choices = choices(config, clicks.n_items());
    let designs = Designs::of(config, data);
    let open = choices.len() > 1 || designs.users.is_some() || config.short_histories == ShortHistories::Auto;
    let holdout = open.then(|| Holdout::cut(clicks, config.choosing_fraction, ctx.seed));
    let of_phase = config.members * config.iterations;
    let phases = 1 + usize::from(holdout.is_some());
    // As many factors for a part of the clicks as for all.
    let mut factors = config.factors();
    factors.factors = Auto::Value(factors.factors_for(clicks.len()));
    let mut run = Run {
        config,
        factors,
        ctx,
        data,
        clicks,
        designs,
        of: phases * of_phase,
        done: 0,
        sides: Vec::new(),
        chosen: None,
    };
    if let Some(saved) = ctx.resume()? {
        run.resume(saved)?;
    }
    let mut first = 0;
    if let Some(holdout) = &holdout {
        if run.chosen.is_none() {
            let fitted = run.members(&holdout.train, first)?;
            run.chosen = Some(run.choose(holdout, fitted, &choices)?);
        }
        first += of_phase;
    }
    let chosen =
        run.chosen.unwrap_or(Chosen { shares: choices[0], by_length: ByLength::default(), prior: NOTHING });
    run.chosen = Some(chosen);
    let Members { placed, prior, members } = run.members(clicks, first)?;
    let model = run.model(clicks, members, chosen.shares, chosen.by_length)?;
    let prior = prior.map(|prior| UserPrior { by_count: chosen.prior, ..prior });
    Ok(model.with_side(prior, placed))
}

/// The shares to choose among: all that the settings leave open.
fn choices(config: &LfgRankConfig, n_items: usize) -> Vec<Shares> {
    let open = |share: Auto<f32>| -> Vec<f32> {
        match share {
            Auto::Value(share) => vec![share],
            Auto::Auto if n_items > config.max_items => vec![0.0],
            Auto::Auto => (0..STEPS).map(|step| step as f32 / STEPS as f32).collect(),
        }
    };
    let similarities = open(config.similarity_share);
    let all = open(config.ease_share).into_iter().flat_map(|ease| {
        similarities.iter().map(move |&similarity| Shares { ease, similarity }).collect::<Vec<_>>()
    });
    // 0.9 + 0.1 is a little more than 1 in binary.
    all.filter(|shares| shares.ease + shares.similarity < 1.0 + 1e-6).collect()
}

/// Weights at the knots of what counts for nothing.
const NOTHING: [f32; KNOTS.len()] = [0.0; KNOTS.len()];

/// What is chosen on clicks held out.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    shares: Shares,
    by_length: ByLength,
    /// Weights of the prior of users, at the knots.
    prior: [f32; KNOTS.len()],
}

/// All members, and what side information says of their users.
struct Members {
    members: Vec<Member>,
    /// Items without clicks that were placed by their side information.
    placed: usize,
    /// Its weights are not chosen yet.
    prior: Option<UserPrior>,
}

/// How far a fit is.
struct Run<'a> {
    config: &'a LfgRankConfig,
    factors: ImplicitAlsConfig,
    ctx: &'a FitContext<'a>,
    data: &'a TrainingData<'a>,
    clicks: &'a Interactions,
    designs: Designs,
    /// Iterations in all.
    of: usize,
    done: usize,
    /// Factors of each member of this phase so far.
    sides: Vec<Sides>,
    /// As soon as it is.
    chosen: Option<Chosen>,
}

impl Run<'_> {
    /// Fits all members; the phase begins after `first` iterations.
    fn members(&mut self, clicks: &Interactions, first: usize) -> Result<Members, FitError> {
        let problem = Problem::new(LfgRank::NAME, &self.factors, clicks);
        for member in 0..self.config.members {
            let start = first + member * self.config.iterations;
            if self.done < start + self.config.iterations && self.sides.len() <= member {
                let seed = numbered_seed(self.ctx.seed, "member", member as u64);
                self.sides.push(problem.start(seed));
            }
            while self.done < start + self.config.iterations {
                self.done += 1;
                let objective = problem.iterate(&mut self.sides[member], self.done)?;
                let epoch = Epoch {
                    number: self.done,
                    of: self.of,
                    train_loss: Some(objective / clicks.len() as f64),
                    ..Epoch::default()
                };
                self.ctx.epoch_done(epoch, || self.state(&problem))?;
            }
        }
        let mut out = Members { members: Vec::new(), placed: 0, prior: None };
        let mut of_users = Vec::new();
        for mut sides in std::mem::take(&mut self.sides) {
            problem.settle(&mut sides, self.done)?;
            let k = problem.k();
            of_users.push(self.designs.of_users(&sides.users, k, clicks.by_user())?);
            out.placed = out.placed.max(self.designs.place_items(&mut sides.items, k, clicks.by_item())?);
            let foretold = if self.config.short_histories == ShortHistories::Auto {
                let damping = damping(clicks, self.config.similarity_history_exponent);
                Some(Foretold::learn(clicks, &sides.users, &sides.items, k, damping)?)
            } else {
                None
            };
            let (items, fold_in) = problem.model_of(sides);
            out.members.push(Member::new(items, fold_in, foretold));
        }
        if self.designs.users.is_some() {
            let width = self.data.user_features.width();
            // Of users who cannot be foretold nothing is expected.
            let nothing = || vec![0.0; (width + 1) * problem.k()];
            let weights = of_users.into_iter().map(|weights| weights.unwrap_or_else(nothing)).collect();
            out.prior = Some(UserPrior { weights, width, by_count: NOTHING });
        }
        Ok(out)
    }

    fn model(
        &self,
        clicks: &Interactions,
        members: Vec<Member>,
        shares: Shares,
        by_length: ByLength,
    ) -> Result<LfgRankModel, FitError> {
        let ease = if shares.ease > 0.0 {
            item_weights(LfgRank::NAME, clicks, &self.config.ease(), self.ctx)?
        } else {
            Vec::new()
        };
        let similarity = if shares.similarity > 0.0 { similarity(self.config, clicks)? } else { Vec::new() };
        let model = LfgRankModel::new(clicks.n_items(), members, ease, similarity, shares);
        Ok(model.with_lengths(by_length))
    }

    /// The shares of the best nDCG@20 on what is held out, of equal ones the first; then those of short histories, and then the weights of
    /// the prior.
    fn choose(&self, holdout: &Holdout, fitted: Members, choices: &[Shares]) -> Result<Chosen, FitError> {
        // Whatever any choice needs.
        let most = choices.iter().fold(Shares::default(), |most, shares| Shares {
            ease: most.ease.max(shares.ease),
            similarity: most.similarity.max(shares.similarity),
        });
        let model = self.model(&holdout.train, fitted.members, most, ByLength::default())?;
        let diverged =
            |_| FitError::Diverged { model: LfgRank::NAME, epoch: self.done, what: "the scores of a user" };
        let mut best = 0;
        if choices.len() > 1 {
            let ndcg = ndcg_of(&model, holdout, choices).map_err(diverged)?;
            for (at, &of_choice) in ndcg.iter().enumerate() {
                if of_choice > ndcg[best] {
                    best = at;
                }
            }
        }
        let shares = choices[best];
        let watched = Watched { holdout, data: self.data, seed: self.ctx.seed };
        let mut by_length = ByLength::default();
        if self.config.short_histories == ShortHistories::Auto {
            // What takes nothing from a share of nought is the choice before once more.
            let mut less = LESS.to_vec();
            less.dedup_by_key(|(ease, similarity)| {
                (((1.0 - *ease) * shares.ease).to_bits(), ((1.0 - *similarity) * shares.similarity).to_bits())
            });
            let tried = |choice: usize| (OF_FORETOLD[choice / less.len()], less[choice % less.len()]);
            let best = watched.best(
                // Without clicks nothing is foretold, and pairs have no scores.
                |given| (1..=SHORT).contains(&given),
                OF_FORETOLD.len() * less.len(),
                |view| {
                    let mut parts = PartScores::default();
                    model.add_pair_scores(view, &mut parts);
                    Ok((parts, model.factor_scores(view, None, 0.0)?, model.factor_scores(view, None, 1.0)?))
                },
                |(parts, posterior, foretold), _, choice, out| {
                    let (weight, (ease, similarity)) = tried(choice);
                    if choice % less.len() == 0 {
                        between(posterior, foretold, weight, &mut parts.factors);
                    }
                    let shares = Shares {
                        ease: (1.0 - ease) * shares.ease,
                        similarity: (1.0 - similarity) * shares.similarity,
                    };
                    parts.blend(shares, out);
                },
            );
            for (at, choice) in best.map_err(diverged)?.into_iter().enumerate() {
                (by_length.foretold[at], (by_length.less_ease[at], by_length.less_similarity[at])) =
                    tried(choice);
            }
        }
        let prior = match &fitted.prior {
            Some(prior) => watched
                .best(
                    |_| true,
                    WEIGHTS.len(),
                    |view| {
                        let mut parts = PartScores::default();
                        model.add_pair_scores(view, &mut parts);
                        // Factors, and so their scores, are linear in the weight.
                        let foretold = at_count(&by_length.foretold, view.items.len());
                        let without = model.factor_scores(view, None, foretold)?;
                        Ok((parts, without, model.factor_scores(view, Some((prior, 1.0)), foretold)?))
                    },
                    |(parts, without, with), n, choice, out| {
                        between(without, with, WEIGHTS[choice], &mut parts.factors);
                        parts.blend(by_length.shares(n, shares), out);
                    },
                )
                .map_err(diverged)?
                .map(|choice| WEIGHTS[choice]),
            None => NOTHING,
        };
        Ok(Chosen { shares, by_length, prior })
    }

    fn state(&self, problem: &Problem<'_>) -> TrainState {
        let mut state = resume::state_of(self.done, self.clicks);
        for (member, sides) in self.sides.iter().enumerate() {
            problem.keep(&mut state, &format!("member_{member}_"), sides);
        }
        if let Some(Chosen { shares, by_length, prior }) = self.chosen {
            state.numbers.insert("ease_share".to_owned(), f64::from(shares.ease));
            state.numbers.insert("similarity_share".to_owned(), f64::from(shares.similarity));
            for (what, weights) in [
                ("prior_weight", prior),
                ("foretold", by_length.foretold),
                ("less_ease", by_length.less_ease),
                ("less_similarity", by_length.less_similarity),
            ] {
                for (n, weight) in KNOTS.iter().zip(weights) {
                    state.numbers.insert(format!("{what}_{n}"), f64::from(weight));
                }
            }
        }
        state
    }

    fn resume(&mut self, mut saved: TrainState) -> Result<(), FitError> {
        resume::check_ratings(&saved, self.clicks)?;
        self.done = saved.epochs;
        let share = |name: &str| saved.numbers.get(name).map(|&share| share as f32);
        if let (Some(ease), Some(similarity)) = (share("ease_share"), share("similarity_share")) {
            let at_knots = |what: &str| KNOTS.map(|n| share(&format!("{what}_{n}")).unwrap_or(0.0));
            self.chosen = Some(Chosen {
                shares: Shares { ease, similarity },
                by_length: ByLength {
                    foretold: at_knots("foretold"),
                    less_ease: at_knots("less_ease"),
                    less_similarity: at_knots("less_similarity"),
                },
                prior: at_knots("prior_weight"),
            });
        }
        let problem = Problem::new(LfgRank::NAME, &self.factors, self.clicks);
        let kept = saved.tensors.keys().filter(|name| name.ends_with("items")).count();
        for member in 0..kept {
            self.sides.push(problem.taken(&mut saved, &format!("member_{member}_"))?);
        }
        Ok(())
    }
}

/// The standardised scores between two, of which the second counts by a weight.
fn between(one: &[f32], other: &[f32], weight: f32, out: &mut Vec<f32>) {
    out.clear();
    out.extend(one.iter().zip(other).map(|(one, other)| one + weight * (other - one)));
    standardise(out);
}

/// The sum of nDCG@20 over the users with something held out, for each choice.
fn ndcg_of(model: &LfgRankModel, holdout: &Holdout, choices: &[Shares]) -> Result<Vec<f64>, ScoreError> {
    let watched: Vec<&[(u32, u32, f32)]> = holdout.validation.chunk_by(|one, next| one.0 == next.0).collect();
    let sums = chunked(watched.len(), BATCH, |range| {
        let mut sums = vec![0.0; choices.len()];
        let mut scores = vec![0.0; holdout.train.n_items()];
        for of_user in &watched[range] {
            let user = UserId(of_user[0].0);
            let view = views_of(&holdout.train, &[user])[0];
            let parts = model.part_scores(&view)?;
            let relevant: Vec<u32> = of_user.iter().map(|&(_, item, _)| item).collect();
            for (sum, &shares) in sums.iter_mut().zip(choices) {
                parts.blend(shares, &mut scores);
                let list: Vec<u32> =
                    top_k(&scores, PLACES, view.items).into_iter().map(|scored| scored.item.0).collect();
                *sum += Ranked::new(&list, &relevant).ndcg(PLACES);
            }
        }
        Ok(sums)
    });
    let mut total = vec![0.0; choices.len()];
    for sums in sums {
        total.iter_mut().zip(sums?).for_each(|(total, sum)| *total += sum);
    }
    Ok(total)
}

/// Users given some of their clicks, to see what is held out of them foretold.
struct Watched<'a> {
    holdout: &'a Holdout,
    data: &'a TrainingData<'a>,
    seed: u64,
}

impl Watched<'_> {
    /// A choice out of `n` for each knot that is `wanted`: the one of the best nDCG@20 of what is held out when users give so many of their
    /// clicks, drawn at random; the first if that is not surely better, and for other knots. `prepare` looks at a user, `score` tells of a knot and a choice, which come in
    /// order, what it makes of all items.
    fn best<P>(
        &self,
        wanted: impl Fn(usize) -> bool + Sync,
        n: usize,
        prepare: impl Fn(&UserView<'_>) -> Result<P, ScoreError> + Sync,
        score: impl Fn(&mut P, usize, usize, &mut [f32]) + Sync,
    ) -> Result<[usize; KNOTS.len()], ScoreError> {
        let Self { holdout, data, seed } = *self;
        let watched: Vec<&[(u32, u32, f32)]> =
            holdout.validation.chunk_by(|one, next| one.0 == next.0).collect();
        let watched: Vec<&[(u32, u32, f32)]> =
            watched.iter().step_by(watched.len().div_ceil(WATCHED).max(1)).copied().collect();
        // For each knot, the gain of every choice over the first: count, sum and sum of squares over users.
        type Gains = [Vec<(f64, f64, f64)>; KNOTS.len()];
        let none = || -> Gains { std::array::from_fn(|_| vec![(0.0, 0.0, 0.0); n]) };
        let parts = chunked(watched.len(), BATCH, |range| -> Result<Gains, ScoreError> {
            let mut gains = none();
            let mut scores = vec![0.0; holdout.train.n_items()];
            for of_user in &watched[range] {
                let user = UserId(of_user[0].0);
                let seen = holdout.train.by_user().row(user.index()).0;
                let relevant: Vec<u32> = of_user.iter().map(|&(_, item, _)| item).collect();
                let mut order = seen.to_vec();
                Random::new(numbered_seed(seed, "prior", u64::from(user.0))).shuffle(&mut order);
                let ones = vec![1.0; order.len()];
                for (&given, gains) in KNOTS.iter().zip(&mut gains) {
                    if given > order.len() {
                        break;
                    }
                    if !wanted(given) {
                        continue;
                    }
                    let features = data.user_features.row(user.index());
                    let view = UserView { features, ..UserView::new(&order[..given], &ones[..given]) };
                    let mut prepared = prepare(&view)?;
                    let mut first = 0.0;
                    for (choice, gain) in gains.iter_mut().enumerate() {
                        score(&mut prepared, given, choice, &mut scores);
                        let list: Vec<u32> =
                            top_k(&scores, PLACES, seen).into_iter().map(|scored| scored.item.0).collect();
                        let ndcg = Ranked::new(&list, &relevant).ndcg(PLACES);
                        if choice == 0 {
                            first = ndcg;
                        }
                        let more = ndcg - first;
                        *gain = (gain.0 + 1.0, gain.1 + more, gain.2 + more * more);
                    }
                }
            }
            Ok(gains)
        });
        let mut total = none();
        for part in parts {
            for (total, part) in total.iter_mut().flatten().zip(part?.iter().flatten()) {
                *total = (total.0 + part.0, total.1 + part.1, total.2 + part.2);
            }
        }
        let sure = SURE.iter().find(|(most, _)| n <= *most).map_or(f64::INFINITY, |(_, errors)| *errors);
        Ok(total.map(|gains| {
            let mut best = 0;
            for (at, gain) in gains.iter().enumerate() {
                if gain.1 > gains[best].1 {
                    best = at;
                }
            }
            let (n, sum, squares) = gains[best];
            let error = (squares - sum * sum / n.max(1.0)).max(0.0).sqrt();
            if sum > sure * error { best } else { 0 }
        }))
    }
}
