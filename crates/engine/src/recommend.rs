//! The best items for somebody, under filters, boosts and diversity.

use foldin_core::{Factors, Feedback, ItemId, Scored, all_alike, top_k};
use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Filter};
use crate::error::EngineError;
use crate::explain::{Influence, influences};
use crate::history::History;
use crate::prepared::Prepared;
use crate::serving::Serving;
use crate::similar::Neighbourhood;

/// The longest list that can be asked for, offset included.
pub const MOST: usize = 10_000;

/// Most influences that can be shown with an item.
pub const MOST_INFLUENCES: usize = 100;

/// Most boosts of a wish: each is a pass over the catalogue.
pub const MOST_BOOSTS: usize = 100;

/// Candidates looked at for each place when something comes after the scan, and at least.
const POOL: (usize, usize) = (10, 100);

/// Most candidates that are found by a part of the catalogue; those that follow are found among all: of a long list the end would be missed.
const NEARLY: usize = 100;

/// What is wished for.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wish {
    /// Length of the list, 1 to 10,000.
    pub n: usize,
    /// Places to leave out at the top, for the next page.
    pub offset: usize,
    /// Whether items that were seen are left out.
    pub exclude_seen: bool,
    /// If given, only these items, by key; unknown ones are ignored.
    pub allow: Option<Vec<String>>,
    /// Never these items, by key; unknown ones are ignored.
    pub deny: Vec<String>,
    /// Conditions on items.
    pub filter: Filter,
    /// Items by conditions whose score is raised or lowered, at most 100.
    pub boosts: Vec<Boost>,
    /// Only items with at least this probability, 0 to 1, that the person would rate them `liked_from` or more. Of models that
    /// state an uncertainty.
    pub min_confidence: Option<f32>,
    /// The rating that counts as liking an item; three quarters up the scale unless given (4 of 1 to 5).
    pub liked_from: Option<f32>,
    /// 0: by score alone; 1: as different as can be. Between: maximal marginal relevance (Carbonell and Goldstein 1998) with
    /// λ = 1 − diversity over cosines of the items' factors, or of their categories where the model has no factors.
    pub diversity: f32,
    /// Number of influences shown with each item, at most 100: which part of the history moved its score.
    pub explain: usize,
}

impl Default for Wish {
    fn default() -> Self {
        Self {
            n: 10,
            offset: 0,
            exclude_seen: true,
            allow: None,
            deny: Vec::new(),
            filter: Filter::default(),
            boosts: Vec::new(),
            min_confidence: None,
            liked_from: None,
            diversity: 0.0,
            explain: 0,
        }
    }
}

/// Raises or lowers the score of items that meet a filter.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boost {
    /// Which items.
    pub filter: Filter,
    /// Added to the score, in its units: stars to a model of ratings.
    pub add: f32,
}

/// Where an answer came from.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// From the history or features of the person.
    Generated,
    /// From what most people took, since nothing is known of this person, or nothing of what they took.
    Popular,
}

/// The `most` reasons for which an item is in a list: what raised its score comes first, each part in the order it had.
fn reasons(influences: Vec<Influence>, most: usize) -> Vec<Influence> {
    let (mut raised, lowered): (Vec<_>, Vec<_>) =
        influences.into_iter().partition(|influence| influence.effect > 0.0);
    raised.extend(lowered);
    raised.truncate(most);
    raised
}

/// A recommended item.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recommended {
    /// Key.
    pub item: String,
    /// Title.
    pub title: String,
    /// What the order is by, boosts included; the number of training interactions in a popular list.
    pub score: f32,
    /// The rating that is expected, within the scale; from models of ratings.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub predicted: Option<f32>,
    /// Standard deviation of that rating, from models that state one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deviation: Option<f32>,
    /// Probability that the rating would be `liked_from` or more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub confidence: Option<f32>,
    /// What moved the score: what raised it first, strongest first, and then what lowered it.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub because: Vec<Influence>,
}

/// A list of items, and how it came about.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Name of the model.
    pub model: String,
    /// Version of the model.
    pub version: String,
    /// Where the list came from.
    pub source: Source,
    /// Interactions that the model used.
    pub used: usize,
    /// Interactions left out because the model does not know their items.
    pub unknown: usize,
    /// Whether only the most promising part of a large catalogue was looked at; left out where all of it was.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub approximate: bool,
    /// The list, best first.
    pub items: Vec<Recommended>,
}

impl Wish {
    /// Checks every number.
    ///
    /// # Errors
    /// [`EngineError::OutOfRange`] naming the field.
    pub fn check(&self, serving: &Serving) -> Result<(), EngineError> {
        let refuse = |field, got: String, expected| Err(EngineError::OutOfRange { field, got, expected });
        if self.n == 0 || self.n.saturating_add(self.offset) > MOST {
            let got = format!("{} after {}", self.n, self.offset);
            return refuse("n", got, "a list has 1 to 10,000 places, offset included");
        }
        if self.explain > MOST_INFLUENCES {
            return refuse(
                "explain",
                self.explain.to_string(),
                "at most 100 influences are shown with an item",
            );
        }
        if self.boosts.len() > MOST_BOOSTS {
            return refuse("boosts", self.boosts.len().to_string(), "a wish has at most 100 boosts");
        }
        if !(0.0..=1.0).contains(&self.diversity) {
            return refuse("diversity", self.diversity.to_string(), "it is 0 to 1");
        }
        if let Some(least) = self.min_confidence
            && !(0.0..=1.0).contains(&least)
        {
            return refuse("min_confidence", least.to_string(), "it is a probability, 0 to 1");
        }
        if let Some(boost) = self.boosts.iter().find(|boost| !boost.add.is_finite()) {
            return refuse("boosts.add", boost.add.to_string(), "it is a finite number");
        }
        if let Some(liked) = self.liked_from
            && !serving.feedback().scale().is_none_or(|scale| scale.contains(liked))
        {
            return refuse("liked_from", liked.to_string(), "it lies on the model's scale");
        }
        if self.min_confidence.is_some() && !serving.model().capabilities().uncertainty {
            return Err(EngineError::Unsupported {
                model: serving.model().name().to_owned(),
                what: "an uncertainty, and so no `min_confidence`",
            });
        }
        Ok(())
    }

    fn after_the_scan(&self) -> bool {
        self.diversity > 0.0 || self.min_confidence.is_some()
    }
}

/// Recommends items to somebody. Of the same scores the item with the lowest number comes first.
///
/// # Errors
/// [`EngineError`] for a number out of range, or where the model refuses.
pub fn recommend(
    serving: &Serving,
    catalogue: &Catalogue,
    history: &History,
    wish: &Wish,
) -> Result<Answer, EngineError> {
    recommend_prepared(serving, catalogue, &history.clone().into(), wish, 1.0)
}

pub(crate) fn recommend_prepared(
    serving: &Serving,
    catalogue: &Catalogue,
    prepared: &Prepared,
    wish: &Wish,
    share: f32,
) -> Result<Answer, EngineError> {
    wish.check(serving)?;
    let history = prepared.history();
    let excluded = excluded(serving, catalogue, history, wish);
    let blank = history.view().is_blank_to(serving.model().capabilities());
    let made = if blank { None } else { generated(serving, catalogue, prepared, wish, &excluded, share)? };
    let source = if made.is_some() { Source::Generated } else { Source::Popular };
    let (list, approximate) = made.unwrap_or_else(|| (popular(serving, catalogue, wish, &excluded), false));
    let shown: Vec<Candidate> = list.into_iter().skip(wish.offset).take(wish.n).collect();
    let mut because = if wish.explain > 0 && source == Source::Generated {
        let items: Vec<ItemId> = shown.iter().map(|candidate| candidate.scored.item).collect();
        let all = influences(serving, catalogue, history, &items, usize::MAX)?;
        all.into_iter().map(|list| reasons(list, wish.explain)).collect()
    } else {
        Vec::new()
    };
    let rates = serving.feedback().scale().is_some() && source == Source::Generated;
    let items = shown.iter().enumerate().map(|(at, candidate)| {
        let item = candidate.scored.item;
        Recommended {
            item: serving.key(item.0).to_owned(),
            title: catalogue.details(item.0).title.clone(),
            score: candidate.scored.score,
            predicted: rates.then(|| serving.feedback().clip(candidate.unboosted)),
            deviation: candidate.certainty.map(|certainty| certainty.deviation),
            confidence: candidate.certainty.map(|certainty| certainty.confidence),
            because: because.get_mut(at).map(std::mem::take).unwrap_or_default(),
        }
    });
    Ok(Answer {
        model: serving.model().name().to_owned(),
        version: serving.version().to_owned(),
        source,
        used: history.items.len(),
        unknown: history.unknown,
        approximate,
        items: items.collect(),
    })
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    scored: Scored,
    /// The score that the model gave.
    unboosted: f32,
    certainty: Option<Certainty>,
}

#[derive(Clone, Copy, Debug)]
struct Certainty {
    deviation: f32,
    confidence: f32,
}

fn excluded(serving: &Serving, catalogue: &Catalogue, history: &History, wish: &Wish) -> Vec<u32> {
    let known = |keys: &[String]| -> Vec<u32> {
        keys.iter().filter_map(|key| serving.loaded().items.get(key)).collect()
    };
    let mut unwanted = known(&wish.deny);
    if wish.exclude_seen {
        unwanted.extend_from_slice(&history.seen);
    }
    unwanted.sort_unstable();
    unwanted.dedup();
    catalogue.excluded(&unwanted, &wish.filter, wish.allow.as_deref().map(known).as_deref())
}

/// What most people took. Boosts are in the units of scores, of which there are none here.
fn popular(serving: &Serving, catalogue: &Catalogue, wish: &Wish, excluded: &[u32]) -> Vec<Candidate> {
    let counts = &serving.loaded().counts;
    let list = serving.popular().iter().filter(|&item| excluded.binary_search(item).is_err());
    let need = wish.n + wish.offset;
    let pool = if wish.diversity > 0.0 { (POOL.0 * need).max(POOL.1) } else { need };
    let list = list.take(pool).map(|&item| {
        let score = counts[item as usize] as f32;
        Candidate { scored: Scored { item: ItemId(item), score }, unboosted: score, certainty: None }
    });
    diversify(serving, catalogue, list.collect(), wish.diversity, need)
}

fn generated(
    serving: &Serving,
    catalogue: &Catalogue,
    prepared: &Prepared,
    wish: &Wish,
    excluded: &[u32],
    share: f32,
) -> Result<Option<(Vec<Candidate>, bool)>, EngineError> {
    let need = wish.n + wish.offset;
    let mut pool = if wish.after_the_scan() { (POOL.0 * need).max(POOL.1) } else { need };
    let scores = Scores::of(serving, catalogue, prepared, &wish.boosts)?;
    if scores.say_nothing(serving) {
        return Ok(None);
    }
    // Where a filter leaves little, all of that little is looked at.
    let share = if wish.filter.is_empty() && wish.allow.is_none() { share } else { 1.0 };
    loop {
        let (best, approximate) = scores.best(serving, pool, excluded, share);
        let exhausted = best.len() < pool;
        let mut list: Vec<Candidate> = best
            .into_iter()
            .map(|scored| Candidate { scored, unboosted: scores.unboosted(scored), certainty: None })
            .collect();
        if serving.model().capabilities().uncertainty {
            // Without a least confidence only what is shown needs one.
            let looked_at = if wish.after_the_scan() { list.len() } else { need.min(list.len()) };
            certainties(serving, prepared, wish, &mut list[..looked_at])?;
        }
        if let Some(least) = wish.min_confidence {
            list.retain(|candidate| candidate.certainty.is_some_and(|known| known.confidence >= least));
        }
        if list.len() >= need || exhausted {
            return Ok(Some((diversify(serving, catalogue, list, wish.diversity, need), approximate)));
        }
        pool = pool.saturating_mul(4).min(serving.n_items() + 1);
    }
}

/// Scores of one person: generated factors where a scan is enough, all scores otherwise.
enum Scores<'a> {
    Factors(&'a Factors),
    All { scores: Vec<f32>, unboosted: Option<Vec<f32>> },
}

impl<'a> Scores<'a> {
    fn of(
        serving: &Serving,
        catalogue: &Catalogue,
        prepared: &'a Prepared,
        boosts: &[Boost],
    ) -> Result<Self, EngineError> {
        let view = prepared.history().view();
        let mut scores = match (serving.generator(), prepared.factors(serving)?) {
            (Some(_), Some(made)) if boosts.is_empty() => return Ok(Self::Factors(made)),
            (Some((_, packed)), Some(made)) => {
                let mut scores = vec![0.0; serving.n_items()];
                packed.score(&made.u, made.bias[0], &mut scores);
                scores
            }
            _ => {
                let mut scores = vec![0.0; serving.n_items()];
                serving.model().score(&[view], &mut scores)?;
                scores
            }
        };
        let unboosted = (!boosts.is_empty()).then(|| scores.clone());
        for boost in boosts {
            for (item, score) in scores.iter_mut().enumerate() {
                if catalogue.meets(item as u32, &boost.filter) {
                    *score = (*score + boost.add).clamp(f32::MIN, f32::MAX);
                }
            }
        }
        Ok(Self::All { scores, unboosted })
    }

    /// Whether a model of clicks scores all items alike, as it does where a history has items alone that nobody else had.
    fn say_nothing(&self, serving: &Serving) -> bool {
        serving.feedback() == Feedback::Implicit
            && match self {
                Self::Factors(made) => {
                    made.u.iter().all(|&x| x == 0.0)
                        && serving.generator().is_none_or(|(generator, _)| all_alike(&generator.items().bias))
                }
                Self::All { scores, unboosted } => all_alike(unboosted.as_ref().unwrap_or(scores)),
            }
    }

    /// The best items, and whether only a part of the catalogue was looked at.
    fn best(&self, serving: &Serving, n: usize, excluded: &[u32], share: f32) -> (Vec<Scored>, bool) {
        match (self, serving.generator(), serving.clustered()) {
            (Self::Factors(made), Some((generator, packed)), Some(clustered)) if share < 1.0 => {
                let of_user = (&made.u[..], made.bias[0]);
                let mut best = clustered.top_k(generator.items(), of_user, n.min(NEARLY), excluded, share);
                if n > NEARLY {
                    // What follows is found among the others, so that no page repeats what an earlier one showed.
                    let mut others = excluded.to_vec();
                    others.extend(best.iter().map(|scored| scored.item.0));
                    others.sort_unstable();
                    best.extend(packed.top_k(&made.u, made.bias[0], n - best.len(), &others));
                }
                (best, true)
            }
            (Self::Factors(made), Some((_, packed)), _) => {
                (packed.top_k(&made.u, made.bias[0], n, excluded), false)
            }
            (Self::All { scores, .. }, ..) => (top_k(scores, n.min(scores.len()), excluded), false),
            // Factors come from a generator alone.
            (Self::Factors(_), None, _) => (Vec::new(), false),
        }
    }

    fn unboosted(&self, scored: Scored) -> f32 {
        match self {
            Self::All { unboosted: Some(scores), .. } => scores[scored.item.index()],
            _ => scored.score,
        }
    }
}

fn certainties(
    serving: &Serving,
    prepared: &Prepared,
    wish: &Wish,
    list: &mut [Candidate],
) -> Result<(), EngineError> {
    let items: Vec<ItemId> = list.iter().map(|candidate| candidate.scored.item).collect();
    let (mut mean, mut variance) = (vec![0.0; items.len()], vec![0.0; items.len()]);
    match (serving.generator(), prepared.factors(serving)?) {
        (Some((generator, _)), Some(factors)) => {
            generator.values_with_variance(factors, 0, &items, &mut mean, &mut variance)?;
        }
        _ => {
            let pairs: Vec<(u32, ItemId)> = items.iter().map(|&item| (0, item)).collect();
            serving.model().predict_with_variance(
                &[prepared.history().view()],
                &pairs,
                &mut mean,
                &mut variance,
            )?;
        }
    }
    let liked = wish.liked_from.unwrap_or_else(|| match serving.feedback().scale() {
        Some(scale) => scale.min + 0.75 * (scale.max - scale.min),
        None => 0.5,
    });
    for ((candidate, mean), variance) in list.iter_mut().zip(mean).zip(variance) {
        let deviation = variance.max(0.0).sqrt();
        let confidence = 0.5 * libm::erfcf((liked - mean) / (deviation.max(1e-6) * std::f32::consts::SQRT_2));
        candidate.certainty = Some(Certainty { deviation, confidence });
    }
    Ok(())
}

/// Picks `n` of the candidates one by one, each the one with the most of
/// `(1 − diversity) · relevance − diversity · (greatest similarity to those picked)`; relevance is the score, moved to 0…1 over the
/// candidates. Cost: `n · candidates · k`.
fn diversify(
    serving: &Serving,
    catalogue: &Catalogue,
    mut list: Vec<Candidate>,
    diversity: f32,
    n: usize,
) -> Vec<Candidate> {
    if diversity <= 0.0 || list.len() < 2 {
        list.truncate(n);
        return list;
    }
    let (most, least) = (list[0].scored.score, list[list.len() - 1].scored.score);
    let range = (most - least).max(f32::MIN_POSITIVE);
    let mut nearest = vec![0.0f32; list.len()];
    let mut picked = Vec::with_capacity(n.min(list.len()));
    let mut left: Vec<usize> = (0..list.len()).collect();
    while picked.len() < n && !left.is_empty() {
        let worth =
            |at: usize| (1.0 - diversity) * (list[at].scored.score - least) / range - diversity * nearest[at];
        // The first of equals, which is the one with the better score.
        let mut best = 0;
        for place in 1..left.len() {
            if worth(left[place]) > worth(left[best]) {
                best = place;
            }
        }
        let chosen = left.remove(best);
        let item = list[chosen].scored.item.0;
        for &at in &left {
            let similarity = Neighbourhood::similarity(serving, catalogue, item, list[at].scored.item.0);
            nearest[at] = nearest[at].max(similarity);
        }
        picked.push(list[chosen]);
    }
    picked
}
