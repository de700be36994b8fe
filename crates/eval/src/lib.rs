//! How good a model is: splits, metrics, protocols, confidence intervals and reports.
//!
//! | module | holds |
//! | --- | --- |
//! | [`split`] | parts to learn from and parts to be tested on, by seed |
//! | [`metrics`] | RMSE, MAE, coverage of predictive intervals |
//! | [`statistics`] | mean and confidence interval over folds, paired test, Holm's correction |
//! | [`options`] | [`Protocol`], [`ModelRequest`], [`EvalOptions`], [`EvalObserver`] |
//! | [`mod@evaluate`] | [`evaluate()`]: every model in every fold |
//! | [`report`] | [`EvalReport`] and its JSON form |
//! | [`kept`] | what finished fits found, so that an interrupted evaluation goes on |
//! | [`published`] | figures of others, to stand beside a report's |
//! | [`leak`] | [`leak_check`]: nothing of the test part reaches a fitted model |
//! | [`table`], [`html`] | the report on the terminal, and as a page with plots |
//! | [`tune`] | a search over settings by a validation part of the training data |
//! | [`machine`] | processor, peak memory |

mod beside;
pub mod error;
pub mod evaluate;
mod fold;
pub mod html;
pub mod kept;
pub mod leak;
pub mod machine;
pub mod markdown;
pub mod metrics;
mod newcomers;
pub mod options;
pub mod published;
mod ranking;
pub mod report;
mod run;
pub mod split;
pub mod statistics;
pub mod table;
pub mod tune;

pub use error::EvalError;
pub use evaluate::evaluate;
pub use html::render as html_page;
pub use kept::Keep;
pub use leak::{LeakError, leak_check};
pub use options::{
    Clock, EvalObserver, EvalOptions, GivenRatings, GivenSplit, Job, ModelRequest, NewUserMode, Protocol,
};
pub use published::{Claim, OtherFigures, Published, PublishedFigure};
pub use report::{EvalReport, ModelReport};
pub use split::{
    NewUser, NewUserFold, NewUserSplit, RatingFold, RatingSplit, new_user_folds, random_rating_fold,
    rating_folds,
};
pub use table::render as text_table;
