//! What there is.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foldin_core::RawFeatures;
use foldin_engine::catalogue::Details;
use foldin_engine::store::{ItemRecord, JsonMap};
use foldin_engine::{EngineError, Filter, Live, Near};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::recommend::{ten, words};
use crate::error::ApiError;
use crate::extract::{Body, Key, Query};
use crate::state::App;
use crate::work::blocking;

/// An item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ItemOut {
    /// Key.
    pub id: String,
    /// Title.
    pub title: String,
    /// What it belongs to.
    pub categories: Vec<String>,
    /// Anything else, by name.
    #[schema(value_type = Object)]
    pub attributes: RawFeatures,
    /// Whether it is never recommended.
    pub hidden: bool,
    /// Whether the model knows it; others can be recommended after the next training.
    pub known: bool,
    /// Interactions that the model learned it from.
    pub count: u32,
}

fn item_out(live: &Live, id: &str, details: &Details) -> ItemOut {
    let loaded = live.serving().loaded();
    let number = loaded.items.get(id);
    ItemOut {
        id: id.to_owned(),
        title: details.title.clone(),
        categories: details.categories.clone(),
        attributes: details.attributes.clone(),
        hidden: details.hidden,
        known: number.is_some(),
        count: number.map_or(0, |number| loaded.counts[number as usize]),
    }
}

/// What is known of an item.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ItemIn {
    /// Title; the model's own unless given.
    title: Option<String>,
    /// What it belongs to; the model's own unless given.
    categories: Vec<String>,
    /// Anything else: numbers, words and lists of words. Laid over the model's own.
    #[schema(value_type = Object)]
    attributes: JsonMap,
    /// Never recommend it.
    hidden: bool,
    /// When it appeared, in milliseconds since 1970.
    time: Option<i64>,
}

impl ItemIn {
    fn record(self, id: &str) -> ItemRecord {
        ItemRecord {
            key: id.into(),
            title: self.title,
            attributes: self.attributes,
            hidden: self.hidden,
            categories: self.categories,
            time: self.time,
        }
    }
}

/// An item with its key.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub(crate) struct ItemWithId {
    /// Key.
    #[schema(min_length = 1, max_length = 512)]
    id: String,
    /// The rest.
    #[serde(flatten)]
    item: ItemIn,
}

/// Which items.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ItemQuery {
    /// Words of the title, or beginnings of words, or a key; everything unless given.
    #[serde(default)]
    search: String,
    /// How many, at most 1,000.
    #[serde(default = "ten")]
    #[param(default = 10, maximum = 1000)]
    limit: usize,
    /// Places to leave out.
    #[serde(default)]
    #[param(default = 0)]
    offset: usize,
}

/// A page of items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct ItemPage {
    /// The items.
    pub items: Vec<ItemOut>,
    /// How many there are in all.
    pub total: usize,
}

/// Search items
///
/// Of the model's items, the best fitting first, then the most popular.
#[utoipa::path(get, path = "/v1/items", tag = "items", params(ItemQuery),
    responses((status = 200, body = ItemPage)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(query): Query<ItemQuery>,
) -> Result<Json<ItemPage>, ApiError> {
    let page = blocking::<_, EngineError>(move || {
        let live = app.engine.live();
        let catalogue = live.catalogue();
        let limit = query.limit.min(1000);
        let (found, total) = catalogue.search(live.serving(), &query.search, limit, query.offset);
        let item = |item: u32| item_out(&live, live.serving().key(item), catalogue.details(item));
        Ok(ItemPage { items: found.into_iter().map(item).collect(), total })
    });
    page.await.map(Json)
}

/// Set several items
///
/// All are written, or none.
#[utoipa::path(put, path = "/v1/items", tag = "items", request_body = Vec<ItemWithId>,
    responses((status = 204, description = "They are written")))]
pub(super) async fn put_many(
    State(app): State<App>,
    Body(items): Body<Vec<ItemWithId>>,
) -> Result<StatusCode, ApiError> {
    let records: Vec<ItemRecord> = items.into_iter().map(|item| item.item.record(&item.id)).collect();
    let engine = app.engine.clone();
    blocking::<_, EngineError>(move || engine.put_items(&records)).await?;
    app.forget_beside();
    Ok(StatusCode::NO_CONTENT)
}

/// Show an item
#[utoipa::path(get, path = "/v1/items/{id}", tag = "items",
    params(("id" = String, Path, description = "Key of the item")),
    responses((status = 200, body = ItemOut)))]
pub(super) async fn get(State(app): State<App>, Key(id): Key) -> Result<Json<ItemOut>, ApiError> {
    let unknown = || ApiError::new("unknown_item", format!("there is no item `{id}`"));
    let details = app.engine.item(&id).ok_or_else(unknown)?;
    Ok(Json(item_out(&app.engine.live(), &id, &details)))
}

/// Set an item
///
/// Title, categories and attributes are in the next answer. An item that the model does not know is kept, and can be recommended after
/// the next training.
#[utoipa::path(put, path = "/v1/items/{id}", tag = "items", request_body = ItemIn,
    params(("id" = String, Path, description = "Key of the item")),
    responses((status = 204, description = "It is written")))]
pub(super) async fn put(
    State(app): State<App>,
    Key(id): Key,
    Body(item): Body<ItemIn>,
) -> Result<StatusCode, ApiError> {
    let engine = app.engine.clone();
    blocking::<_, EngineError>(move || engine.put_items(&[item.record(&id)])).await?;
    app.forget_beside();
    Ok(StatusCode::NO_CONTENT)
}

/// Take an item's record away
///
/// An item that the model knows is as the model has it again.
#[utoipa::path(delete, path = "/v1/items/{id}", tag = "items",
    params(("id" = String, Path, description = "Key of the item")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(State(app): State<App>, Key(id): Key) -> Result<StatusCode, ApiError> {
    let key = id.clone();
    let engine = app.engine.clone();
    let was_there = blocking::<_, EngineError>(move || engine.delete_item(&key)).await?;
    app.forget_beside();
    if was_there {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::new("unknown_item", format!("nothing was set for the item `{id}`")))
    }
}

/// How many, of which categories.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SimilarQuery {
    /// How many.
    #[serde(default = "ten")]
    #[param(default = 10, maximum = 1000)]
    n: usize,
    /// Only items of one of these categories, separated by commas.
    category: Option<String>,
}

/// Items like an item
#[utoipa::path(get, path = "/v1/items/{id}/similar", tag = "items",
    params(("id" = String, Path, description = "Key of the item"), SimilarQuery),
    responses((status = 200, body = Vec<Near>)))]
pub(super) async fn similar(
    State(app): State<App>,
    Key(id): Key,
    Query(query): Query<SimilarQuery>,
) -> Result<Json<Vec<Near>>, ApiError> {
    let filter = Filter { categories: words(query.category.as_deref()), ..Filter::default() };
    blocking::<_, EngineError>(move || app.engine.similar_items(&id, query.n.min(1000), &filter))
        .await
        .map(Json)
}

/// List categories
///
/// With the number of items of each.
#[utoipa::path(get, path = "/v1/categories", tag = "items",
    responses((status = 200, body = BTreeMap<String, usize>)))]
pub(super) async fn categories(State(app): State<App>) -> Json<BTreeMap<String, usize>> {
    let live = app.engine.live();
    let catalogue = live.catalogue();
    Json(catalogue.categories().into_iter().map(|(name, n)| (name.to_owned(), n)).collect())
}
