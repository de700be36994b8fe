//! The fit: once on a part of the clicks, to choose the shares, and once on all of them.

use foldin_core::parallel::chunked;
use foldin_core::random::numbered_seed;
use foldin_core::ranking::Ranked;
use foldin_core::{
    Auto, Epoch, FitContext, FitError, Interactions, ModelFamily, ScoreError, TrainState, TrainingData,
    UserId, top_k,
};

use crate::ease::item_weights;
use crate::holdout::{EarlyStopping, Holdout};
use crate::implicit_als::{ImplicitAlsConfig, Problem, Sides, views_of};
use crate::ranking::{PLACES, implicit_interactions};
use crate::resume;

use super::model::{LfgRankModel, Member, Shares};
use super::pairs::similarity;
use super::{LfgRank, LfgRankConfig};

/// Shares are chosen among multiples of one part of this.
const STEPS: usize = 10;

/// Users whose shares are tried at once.
const BATCH: usize = 64;

pub(super) fn fit(
    config: &LfgRankConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<LfgRankModel, FitError> {
    let clicks = implicit_interactions(LfgRank::NAME, data)?;
    let choices = choices(config, clicks.n_items());
    let holdout = (choices.len() > 1).then(|| Holdout::cut(clicks, config.choosing_fraction, ctx.seed));
    let of_phase = config.members * config.iterations;
    let phases = 1 + usize::from(holdout.is_some());
    // As many factors for a part of the clicks as for all.
    let mut factors = config.factors();
    factors.factors = Auto::Value(factors.factors_for(clicks.len()));
    let mut run =
        Run { config, factors, ctx, clicks, of: phases * of_phase, done: 0, sides: Vec::new(), shares: None };
    if let Some(saved) = ctx.resume()? {
        run.resume(saved)?;
    }
    let mut first = 0;
    if let Some(holdout) = &holdout {
        if run.shares.is_none() {
            let members = run.members(&holdout.train, first)?;
            run.shares = Some(run.choose(holdout, members, &choices)?);
        }
        first += of_phase;
    }
    let shares = run.shares.unwrap_or(choices[0]);
    run.shares = Some(shares);
    let members = run.members(clicks, first)?;
    run.model(clicks, members, shares)
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

/// How far a fit is.
struct Run<'a> {
    config: &'a LfgRankConfig,
    factors: ImplicitAlsConfig,
    ctx: &'a FitContext<'a>,
    clicks: &'a Interactions,
    /// Iterations in all.
    of: usize,
    done: usize,
    /// Factors of each member of this phase so far.
    sides: Vec<Sides>,
    /// As soon as they are chosen.
    shares: Option<Shares>,
}

impl Run<'_> {
    /// Fits all members; the phase begins after `first` iterations.
    fn members(&mut self, clicks: &Interactions, first: usize) -> Result<Vec<Member>, FitError> {
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
        std::mem::take(&mut self.sides)
            .into_iter()
            .map(|sides| {
                let (items, fold_in) = problem.finish(sides, self.done)?;
                Ok(Member { items, fold_in })
            })
            .collect()
    }

    fn model(
        &self,
        clicks: &Interactions,
        members: Vec<Member>,
        shares: Shares,
    ) -> Result<LfgRankModel, FitError> {
        let ease = if shares.ease > 0.0 {
            item_weights(LfgRank::NAME, clicks, &self.config.ease(), self.ctx)?
        } else {
            Vec::new()
        };
        let similarity = if shares.similarity > 0.0 { similarity(self.config, clicks)? } else { Vec::new() };
        Ok(LfgRankModel::new(clicks.n_items(), members, ease, similarity, shares))
    }

    /// The shares of the best nDCG@20 on what is held out; of equal ones the first.
    fn choose(
        &self,
        holdout: &Holdout,
        members: Vec<Member>,
        choices: &[Shares],
    ) -> Result<Shares, FitError> {
        // Whatever any choice needs.
        let most = choices.iter().fold(Shares::default(), |most, shares| Shares {
            ease: most.ease.max(shares.ease),
            similarity: most.similarity.max(shares.similarity),
        });
        let model = self.model(&holdout.train, members, most)?;
        let ndcg = ndcg_of(&model, holdout, choices).map_err(|_| FitError::Diverged {
            model: LfgRank::NAME,
            epoch: self.done,
            what: "the scores of a user",
        })?;
        let mut best = 0;
        for (at, &of_choice) in ndcg.iter().enumerate() {
            if of_choice > ndcg[best] {
                best = at;
            }
        }
        Ok(choices[best])
    }

    fn state(&self, problem: &Problem<'_>) -> TrainState {
        let mut state = resume::state(self.done, self.clicks, &EarlyStopping::new(1));
        for (member, sides) in self.sides.iter().enumerate() {
            problem.keep(&mut state, &format!("member_{member}_"), sides);
        }
        if let Some(Shares { ease, similarity }) = self.shares {
            state.numbers.insert("ease_share".to_owned(), f64::from(ease));
            state.numbers.insert("similarity_share".to_owned(), f64::from(similarity));
        }
        state
    }

    fn resume(&mut self, mut saved: TrainState) -> Result<(), FitError> {
        resume::check(&saved, self.clicks, &mut EarlyStopping::new(1))?;
        self.done = saved.epochs;
        let share = |name: &str| saved.numbers.get(name).map(|&share| share as f32);
        if let (Some(ease), Some(similarity)) = (share("ease_share"), share("similarity_share")) {
            self.shares = Some(Shares { ease, similarity });
        }
        let problem = Problem::new(LfgRank::NAME, &self.factors, self.clicks);
        let kept = saved.tensors.keys().filter(|name| name.ends_with("items")).count();
        for member in 0..kept {
            self.sides.push(problem.taken(&mut saved, &format!("member_{member}_"))?);
        }
        Ok(())
    }
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
