//! Live recommending, without a network: what was done is kept in a store, and a model answers from it at once.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mod@engine`] | [`Engine`]: store and model together, what is written now is in the next answer |
//! | [`mod@serving`] | [`Serving`]: a model as it serves, its items laid out for scanning |
//! | [`mod@catalogue`] | [`Catalogue`]: titles, categories and attributes of items, and what may be shown |
//! | [`mod@history`] | [`History`]: what somebody did, as a model sees it |
//! | [`mod@prepared`] | [`Prepared`]: a history with what a model generated from it, made once |
//! | [`mod@recommend`] | [`Wish`] in, [`Answer`] out: the best items under filters, boosts and diversity |
//! | [`mod@crowd`] | all users at once: who is like somebody, and a map in two dimensions |
//! | [`mod@reach`] | how much of the catalogue the lists of many users show |
//! | [`mod@explain`] | which part of a history moved a score, and how far |
//! | [`mod@ask`] | the items whose rating would tell most |
//! | [`mod@similar`] | the items nearest to an item |
//! | [`mod@titles`] | finding items by what people type |
//! | [`mod@versions`] | [`Versions`]: models on disk, promoted and rolled back |
//! | [`mod@train`] | a new version from the store's events, judged against the one that serves |
//! | [`mod@store`] | [`store::Store`]: what users did, what is known of them and of items; on disk or in memory |
//!
//! Nothing here reads a clock or draws a random number: times come with events, seeds with requests.

pub mod ask;
pub mod catalogue;
pub mod crowd;
pub mod engine;
pub mod error;
pub mod explain;
pub mod history;
mod kept;
pub mod prepared;
pub mod reach;
pub mod recommend;
pub mod serving;
pub mod similar;
pub mod store;
pub mod titles;
pub mod train;
pub mod versions;

pub use catalogue::{Catalogue, Filter};
pub use engine::{Engine, EngineOptions, Live, Near, Prediction, Who};
pub use error::EngineError;
pub use history::{Action, History, KindRule, Kinds};
pub use prepared::Prepared;
pub use recommend::{Answer, Boost, Recommended, Source, Wish};
pub use serving::Serving;
pub use train::{TrainError, TrainOptions, TrainReport, train};
pub use versions::{VersionError, Versions};
