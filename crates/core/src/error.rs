//! What can go wrong, as data.

use std::path::PathBuf;

use crate::interactions::RatingScale;

/// Data that cannot be what it claims to be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Two arrays disagree.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// The count that fits.
        expected: usize,
        /// The count that came.
        got: usize,
    },
    /// A row number beyond the matrix.
    #[error("row {row} is out of range: there are {n_rows} rows")]
    RowOutOfRange {
        /// The row asked for.
        row: u32,
        /// Number of rows.
        n_rows: usize,
    },
    /// A column number beyond the matrix.
    #[error("column {column} of row {row} is out of range: there are {n_cols} columns")]
    ColumnOutOfRange {
        /// The row.
        row: usize,
        /// The column asked for.
        column: u32,
        /// Number of columns.
        n_cols: usize,
    },
    /// One cell twice, or columns that do not ascend.
    #[error("row {row} has column {column} twice, or not in ascending order")]
    Duplicate {
        /// The row.
        row: usize,
        /// The column.
        column: u32,
    },
    /// NaN or infinity.
    #[error("the value in row {row}, column {column} is not a finite number")]
    NotFinite {
        /// The row.
        row: usize,
        /// The column.
        column: u32,
    },
    /// A rating outside its scale.
    #[error("the rating {value} in row {row}, column {column} is outside the scale {}..{}", scale.min, scale.max)]
    OutOfScale {
        /// The row.
        row: usize,
        /// The column.
        column: u32,
        /// The rating.
        value: f32,
        /// The scale.
        scale: RatingScale,
    },
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A key the model does not have.
    #[error("{model} has no setting `{key}`{}; `foldin models show {model}` lists them all", similar(nearest.as_deref()))]
    UnknownKey {
        /// The model.
        model: String,
        /// The key given.
        key: String,
        /// A known key spelt much the same.
        nearest: Option<String>,
    },
    /// A value of the wrong type.
    #[error("{model}: `{key}` cannot be {value}: {reason}")]
    WrongType {
        /// The model.
        model: String,
        /// The key.
        key: String,
        /// The value given, as JSON.
        value: String,
        /// What was expected.
        reason: String,
    },
    /// A number outside its range.
    #[error("{model}: `{key}` is {value}, but must be {range}")]
    OutOfRange {
        /// The model.
        model: String,
        /// The key.
        key: String,
        /// The value given.
        value: String,
        /// The range in words.
        range: String,
    },
    /// Settings that do not go together.
    #[error("{model}: {reason}")]
    Conflict {
        /// The model.
        model: String,
        /// Which settings, and why not.
        reason: String,
    },
}

fn similar(nearest: Option<&str>) -> String {
    nearest.map(|key| format!(" (did you mean `{key}`?)")).unwrap_or_default()
}

/// A model that was not fitted.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FitError {
    /// The configuration is unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data are unusable.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Too little to learn from.
    #[error("{model} needs {need}, but the training data have {have}")]
    TooLittleData {
        /// The model.
        model: &'static str,
        /// What is needed.
        need: &'static str,
        /// What there is.
        have: String,
    },
    /// More than the model can hold.
    #[error("{model} can hold {most}, but the training data have {have}")]
    TooMuchData {
        /// The model.
        model: &'static str,
        /// What it can hold.
        most: &'static str,
        /// What there is.
        have: String,
    },
    /// Explicit ratings asked of implicit data, or the other way round.
    #[error(
        "{model} learns from {expected} feedback, but the data are {got}; `foldin models` lists what learns from which"
    )]
    WrongFeedback {
        /// The model.
        model: &'static str,
        /// What the model takes.
        expected: &'static str,
        /// What the data are.
        got: &'static str,
    },
    /// A rating scale that the model cannot take.
    #[error(
        "{model} needs ratings on a scale of at most {most_levels} evenly spaced levels, but {problem}; round the ratings to such \
         a scale and state its step, or choose a model that takes any scale, such as `bias-svd`"
    )]
    Scale {
        /// The model.
        model: &'static str,
        /// Levels that it takes at most.
        most_levels: usize,
        /// What is wrong with the scale, or with a rating.
        problem: ScaleProblem,
    },
    /// A model that is not fitted but brought along.
    #[error("{model} is not trained from histories; {by} makes it")]
    MadeElsewhere {
        /// The model.
        model: &'static str,
        /// What makes it.
        by: &'static str,
    },
    /// The loss left the finite numbers.
    #[error("{model} diverged in epoch {epoch}: {what}; try a lower learning rate")]
    Diverged {
        /// The model.
        model: &'static str,
        /// The epoch, from 1.
        epoch: usize,
        /// What was not finite.
        what: &'static str,
    },
    /// A checkpoint of another model, configuration or data set.
    #[error("the checkpoint cannot be resumed: {reason}")]
    Checkpoint {
        /// What does not fit.
        reason: String,
    },
    /// The caller cancelled; nothing half-made is returned.
    #[error("cancelled after {epochs} epochs")]
    Cancelled {
        /// Whole epochs done.
        epochs: usize,
    },
}

/// Why a model of rating levels cannot take some ratings.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleProblem {
    /// No step is known.
    #[error("the scale {}..{} has no step", scale.min, scale.max)]
    Continuous {
        /// The scale.
        scale: RatingScale,
    },
    /// The ends are not a whole number of steps apart.
    #[error("{}..{} is not a whole number of steps of {}", scale.min, scale.max, scale.step.unwrap_or(f32::NAN))]
    Uneven {
        /// The scale.
        scale: RatingScale,
    },
    /// There are too many levels.
    #[error("the scale {}..{} has {levels} levels", scale.min, scale.max)]
    TooManyLevels {
        /// The scale.
        scale: RatingScale,
        /// Its levels.
        levels: usize,
    },
    /// A rating lies between two levels.
    #[error("the rating {value} of user number {user} for item number {item} is between two of its levels")]
    BetweenLevels {
        /// The user.
        user: u32,
        /// The item.
        item: u32,
        /// The rating.
        value: f32,
    },
}

/// A user that was not scored.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// An item the model does not know.
    #[error("item number {item} is unknown: the model has {n_items} items")]
    UnknownItem {
        /// The item.
        item: u32,
        /// Number of items of the model.
        n_items: usize,
    },
    /// An array of the wrong length.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// What was counted.
        what: &'static str,
        /// The count that fits.
        expected: usize,
        /// The count that came.
        got: usize,
    },
    /// NaN or infinity came in, or would have gone out.
    #[error("{what} is not a finite number")]
    NotFinite {
        /// What.
        what: &'static str,
    },
    /// A user who was not in training, for a model that learned each user by heart.
    #[error(
        "{model} cannot serve a user who was not in its training data; choose a model whose row in `foldin models` says so"
    )]
    NewUser {
        /// The model.
        model: &'static str,
    },
    /// Something this model does not offer.
    #[error("{model} does not offer {what}")]
    Unsupported {
        /// The model.
        model: &'static str,
        /// What was asked for.
        what: &'static str,
    },
}

/// A model folder that was not loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file could not be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {reason}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor is missing.
    #[error("the weights lack the tensor `{name}`")]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor has another shape.
    #[error("tensor `{name}`: expected shape {expected:?}, got {got:?}")]
    TensorShape {
        /// Its name.
        name: String,
        /// The shape that fits.
        expected: Vec<usize>,
        /// The shape in the file.
        got: Vec<usize>,
    },
    /// A value in the model's own description is missing or wrong.
    #[error("the model's description lacks a usable `{key}`")]
    Meta {
        /// The key.
        key: String,
    },
    /// The configuration saved with the model is unusable.
    #[error(transparent)]
    Config(#[from] ConfigError),
}
