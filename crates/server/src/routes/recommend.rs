//! What somebody might like, and why.

use std::time::Instant;

use axum::Json;
use axum::extract::State;
use foldin_engine::ask::Question;
use foldin_engine::crowd::FactorMap;
use foldin_engine::explain::Influence;
use foldin_engine::reach::Reach;
use foldin_engine::{Answer, EngineError, Filter, Near, Prediction, Who, Wish};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::people::WhoIn;
use crate::error::ApiError;
use crate::extract::{Body, Key, Query};
use crate::state::App;
use crate::traces;
use crate::work::blocking;

/// Most lists asked for at once, and most places in all of them.
const BATCH: (usize, usize) = (1000, 100_000);

/// Most items of a model, and most places of a list, for an answer on the spot.
const QUICK: (usize, usize) = (100_000, 100);

/// A list and how long it took.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Recommendations {
    /// The list.
    #[serde(flatten)]
    pub answer: Answer,
    /// Microseconds in the engine: reading the history, generating factors, choosing the best items.
    pub micros: u64,
}

/// What a list shall be like.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WishQuery {
    /// Length of the list, 1 to 10,000.
    #[serde(default = "ten")]
    #[param(minimum = 1, maximum = 10000, default = 10)]
    n: usize,
    /// Places to leave out at the top, for the next page.
    #[serde(default)]
    #[param(minimum = 0, maximum = 10000, default = 0)]
    offset: usize,
    /// Whether seen items are left out.
    #[serde(default = "yes")]
    #[param(default = true)]
    exclude_seen: bool,
    /// Only items of one of these categories, separated by commas.
    category: Option<String>,
    /// No items of these categories, separated by commas.
    without_category: Option<String>,
    /// 0: by score alone; 1: as different as can be.
    #[serde(default)]
    #[param(minimum = 0, maximum = 1, default = 0)]
    diversity: f32,
    /// Least probability of being liked, 0 to 1; of models that state an uncertainty.
    #[param(minimum = 0, maximum = 1)]
    min_confidence: Option<f32>,
    /// The rating that counts as liking; three quarters up the scale unless given.
    liked_from: Option<f32>,
    /// Influences named with each item.
    #[serde(default)]
    #[param(minimum = 0, maximum = 100, default = 0)]
    explain: usize,
}

pub(crate) fn ten() -> usize {
    10
}

fn yes() -> bool {
    true
}

/// A list in one parameter: separated by commas, none of them empty.
pub(crate) fn words(text: Option<&str>) -> Vec<String> {
    let words = text.unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

impl WishQuery {
    fn wish(&self) -> Wish {
        Wish {
            n: self.n,
            offset: self.offset,
            exclude_seen: self.exclude_seen,
            filter: Filter {
                categories: words(self.category.as_deref()),
                without_categories: words(self.without_category.as_deref()),
                ..Filter::default()
            },
            diversity: self.diversity,
            min_confidence: self.min_confidence,
            liked_from: self.liked_from,
            explain: self.explain,
            ..Wish::default()
        }
    }
}

fn answer(app: &App, who: &Who<'_>, wish: &Wish) -> Result<Recommendations, ApiError> {
    let _span = tracing::info_span!(target: traces::TARGET, "recommend", n = wish.n).entered();
    let begin = Instant::now();
    let answer = app.engine.recommend(who, wish)?;
    let took = begin.elapsed();
    app.metrics.generation.observe(took.as_secs_f64());
    Ok(Recommendations { answer, micros: took.as_micros() as u64 })
}

/// Recommend to a user
///
/// The best items for a user of the store. Somebody the store does not know gets what most people took, and `source` says so.
#[utoipa::path(get, path = "/v1/users/{id}/recommendations", tag = "recommendations",
    params(("id" = String, Path, description = "Key of the user"), WishQuery),
    responses((status = 200, body = Recommendations)))]
pub(super) async fn for_user(
    State(app): State<App>,
    Key(user): Key,
    Query(query): Query<WishQuery>,
) -> Result<Json<Recommendations>, ApiError> {
    let wish = query.wish();
    if !is_quick(&app, &wish) {
        return slowly(app, WhoIn { user: Some(user), ..WhoIn::default() }, wish).await.map(Json);
    }
    // Tens of microseconds: handing it to another thread would cost as much.
    let who = Who { user: Some(&user), ..Who::default() };
    answer(&app, &who, &wish).map(Json)
}

/// Whether an answer takes tens of microseconds. What takes longer would hold up every other request of its thread.
fn is_quick(app: &App, wish: &Wish) -> bool {
    let live = app.engine.live();
    let serving = live.serving();
    serving.generator().is_some()
        && serving.n_items() <= QUICK.0
        && wish.n.saturating_add(wish.offset) <= QUICK.1
        && wish.explain == 0
        && wish.diversity == 0.0
        && wish.min_confidence.is_none()
        && wish.filter.is_empty()
}

async fn slowly(app: App, who: WhoIn, wish: Wish) -> Result<Recommendations, ApiError> {
    blocking(move || answer(&app, &who.who(), &wish)).await
}

/// Whom to recommend to, and what.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RecommendIn {
    /// Key of a user.
    user: Option<String>,
    /// What was done, in the order of time.
    history: Vec<super::people::ActionIn>,
    /// What is known of them.
    #[schema(value_type = Object)]
    features: foldin_core::RawFeatures,
    /// What the list shall be like.
    wish: Wish,
    /// Name of another version of the model that is to answer; the one in service unless given. Not in an array.
    version: Option<String>,
}

impl RecommendIn {
    fn parts(self) -> (WhoIn, Wish) {
        (WhoIn { user: self.user, history: self.history, features: self.features }, self.wish)
    }
}

/// One request or many.
#[derive(Clone, Debug)]
pub(crate) enum OneOrMany {
    /// Answered by one list.
    One(Box<RecommendIn>),
    /// Answered by as many lists, in the same order.
    Many(Vec<RecommendIn>),
}

/// One request, answered by one list, or many, answered by as many in the same order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "it describes the body, which `OneOrMany` reads by its first letter so that errors name the place"
)]
pub(crate) enum RecommendBody {
    /// One.
    One(Box<RecommendIn>),
    /// Many.
    Many(Vec<RecommendIn>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    /// By the first letter, so that errors name the place.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> serde::de::Visitor<'de> for Either {
            type Value = OneOrMany;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object, or an array of objects")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<OneOrMany, A::Error> {
                let one = RecommendIn::deserialize(serde::de::value::MapAccessDeserializer::new(map))?;
                Ok(OneOrMany::One(Box::new(one)))
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, seq: A) -> Result<OneOrMany, A::Error> {
                Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(seq)).map(OneOrMany::Many)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// A list or as many as were asked for.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OneOrManyLists {
    /// Of one request.
    One(Box<Recommendations>),
    /// Of many.
    Many(Vec<Recommendations>),
}

/// Recommend to anybody
///
/// To somebody with the history in the body, to a user of the store, or to a user as if they had done more (what if?). An array of such
/// bodies, at most 1,000, is answered by an array, all from the same version.
#[utoipa::path(post, path = "/v1/recommend", tag = "recommendations", request_body = RecommendBody,
    responses((status = 200, body = OneOrManyLists)))]
pub(super) async fn recommend(
    State(app): State<App>,
    Body(body): Body<OneOrMany>,
) -> Result<Json<OneOrManyLists>, ApiError> {
    match body {
        OneOrMany::One(one) if one.version.is_some() => {
            let version = one.version.clone().unwrap_or_default();
            let (who, wish) = one.parts();
            let work = move || {
                let live = app.version(&version)?;
                let begin = Instant::now();
                let answer = app.engine.recommend_by(&live, &who.who(), &wish)?;
                Ok(Recommendations { answer, micros: begin.elapsed().as_micros() as u64 })
            };
            let list = blocking::<_, ApiError>(work).await?;
            Ok(Json(OneOrManyLists::One(Box::new(list))))
        }
        OneOrMany::Many(many) if many.iter().any(|one| one.version.is_some()) => {
            let message = "an array is answered by one version, the one in service";
            Err(ApiError::new("bad_request", message).with_field("version"))
        }
        OneOrMany::One(one) => {
            let (who, wish) = one.parts();
            let list = slowly(app, who, wish).await?;
            Ok(Json(OneOrManyLists::One(Box::new(list))))
        }
        OneOrMany::Many(many) if many.len() > BATCH.0 => Err(ApiError::new(
            "too_large",
            format!("at most {} lists at once, and {} are asked for", BATCH.0, many.len()),
        )),
        OneOrMany::Many(many) if places(&many) > BATCH.1 => Err(ApiError::new(
            "too_large",
            format!("at most {} places in all lists together, and {} are asked for", BATCH.1, places(&many)),
        )),
        OneOrMany::Many(many) => {
            let parts: Vec<(WhoIn, Wish)> = many.into_iter().map(RecommendIn::parts).collect();
            let lists = blocking::<_, EngineError>(move || {
                let begin = Instant::now();
                let batch: Vec<(Who<'_>, Wish)> =
                    parts.iter().map(|(who, wish)| (who.who(), wish.clone())).collect();
                let answers = app.engine.recommend_batch(&batch)?;
                let micros = begin.elapsed().as_micros() as u64 / batch.len().max(1) as u64;
                Ok(answers.into_iter().map(|answer| Recommendations { answer, micros }).collect())
            });
            Ok(Json(OneOrManyLists::Many(lists.await?)))
        }
    }
}

fn places(many: &[RecommendIn]) -> usize {
    many.iter().fold(0, |sum, one| sum.saturating_add(one.wish.n).saturating_add(one.wish.offset))
}

/// Somebody and some items.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PredictIn {
    /// Who.
    #[serde(default)]
    who: WhoIn,
    /// Keys of items.
    items: Vec<String>,
}

/// What somebody would give
///
/// The expected rating of each item, with its uncertainty where the model states one.
#[utoipa::path(post, path = "/v1/predict", tag = "recommendations", request_body = PredictIn,
    responses((status = 200, body = Vec<Prediction>)))]
pub(super) async fn predict(
    State(app): State<App>,
    Body(body): Body<PredictIn>,
) -> Result<Json<Vec<Prediction>>, ApiError> {
    blocking(move || app.engine.predict(&body.who.who(), &body.items)).await.map(Json)
}

/// Somebody and an item.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExplainIn {
    /// Who.
    #[serde(default)]
    who: WhoIn,
    /// Key of the item.
    item: String,
    /// Most influences that are named.
    #[serde(default = "ten")]
    most: usize,
}

/// Why an item
///
/// Which part of the history moved the item's score, and how far: the score with it less the score without it, exactly.
#[utoipa::path(post, path = "/v1/explain", tag = "recommendations", request_body = ExplainIn,
    responses((status = 200, body = Vec<Influence>)))]
pub(super) async fn explain(
    State(app): State<App>,
    Body(body): Body<ExplainIn>,
) -> Result<Json<Vec<Influence>>, ApiError> {
    blocking(move || app.engine.explain(&body.who.who(), &body.item, body.most)).await.map(Json)
}

/// Somebody and how many.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskIn {
    /// Who.
    #[serde(default)]
    who: WhoIn,
    /// How many.
    #[serde(default = "ten")]
    n: usize,
}

/// What to ask next
///
/// The items whose rating would tell most about somebody, for a first conversation with a new user.
#[utoipa::path(post, path = "/v1/ask-next", tag = "recommendations", request_body = AskIn,
    responses((status = 200, body = Vec<Question>)))]
pub(super) async fn ask_next(
    State(app): State<App>,
    Body(body): Body<AskIn>,
) -> Result<Json<Vec<Question>>, ApiError> {
    blocking(move || app.engine.ask_next(&body.who.who(), body.n)).await.map(Json)
}

/// How many of each.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct MapQuery {
    /// Items, the most popular ones.
    #[serde(default = "three_hundred")]
    #[param(default = 300, maximum = 2000)]
    items: usize,
    /// Users of the store.
    #[serde(default = "three_hundred")]
    #[param(default = 300, maximum = 2000)]
    users: usize,
}

fn three_hundred() -> usize {
    300
}

/// A map of items and users
///
/// In two dimensions: directions of their factors, along the two in which items differ most.
#[utoipa::path(get, path = "/v1/map", tag = "recommendations", params(MapQuery),
    responses((status = 200, body = FactorMap)))]
pub(super) async fn map(
    State(app): State<App>,
    Query(query): Query<MapQuery>,
) -> Result<Json<FactorMap>, ApiError> {
    blocking(move || app.engine.factor_map(query.items.min(2000), query.users.min(2000))).await.map(Json)
}

/// Users like somebody
///
/// Users of the store whose generated factors point the same way.
#[utoipa::path(post, path = "/v1/similar-users", tag = "recommendations", request_body = AskIn,
    responses((status = 200, body = Vec<Near>)))]
pub(super) async fn similar_users(
    State(app): State<App>,
    Body(body): Body<AskIn>,
) -> Result<Json<Vec<Near>>, ApiError> {
    blocking(move || app.engine.similar_users(&body.who.who(), body.n)).await.map(Json)
}

/// How many users, and how long their lists.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReachQuery {
    /// Users of the store.
    #[serde(default = "three_hundred")]
    #[param(minimum = 1, maximum = 2000, default = 300)]
    users: usize,
    /// Length of each list.
    #[serde(default = "ten")]
    #[param(minimum = 1, maximum = 100, default = 10)]
    n: usize,
}

/// How much of the catalogue is shown
///
/// The lists of some users of the store, looked at together: which share of the items any of them shows, and which items most of them do.
#[utoipa::path(get, path = "/v1/coverage", tag = "items", params(ReachQuery),
    responses((status = 200, body = Reach)))]
pub(super) async fn reach(
    State(app): State<App>,
    Query(query): Query<ReachQuery>,
) -> Result<Json<Reach>, ApiError> {
    let (users, n) = (query.users.clamp(1, 2000), query.n.clamp(1, 100));
    blocking(move || app.engine.reach(users, n)).await.map(Json)
}
