//! A data set: interactions, the keys behind the numbers, titles and side information.

use crate::dictionary::Dictionary;
use crate::error::DataError;
use crate::features::Features;
use crate::fit::TrainingData;
use crate::interactions::Interactions;

/// Everything that was read under one name.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// A short name, such as `ml-100k`.
    pub name: String,
    /// Who rated what.
    pub interactions: Interactions,
    /// Keys of users, by number.
    pub users: Dictionary,
    /// Keys of items, by number.
    pub items: Dictionary,
    /// A title for each item; the key where none is known.
    pub titles: Vec<String>,
    /// Side information of users; of width 0 if there is none.
    pub user_features: Features,
    /// Side information of items; of width 0 if there is none.
    pub item_features: Features,
}

impl Dataset {
    /// A data set without titles or side information.
    ///
    /// # Errors
    /// [`DataError::Shape`] if a dictionary has not one key a row or column.
    pub fn new(
        name: impl Into<String>,
        interactions: Interactions,
        users: Dictionary,
        items: Dictionary,
    ) -> Result<Self, DataError> {
        let (n_users, n_items) = (interactions.n_users(), interactions.n_items());
        let out = Self {
            name: name.into(),
            titles: items.keys().map(str::to_owned).collect(),
            interactions,
            users,
            items,
            user_features: Features::none(n_users),
            item_features: Features::none(n_items),
        };
        out.check()?;
        Ok(out)
    }

    /// Checks that every part has the same number of users and items.
    ///
    /// # Errors
    /// [`DataError::Shape`] naming the part that disagrees.
    pub fn check(&self) -> Result<(), DataError> {
        let (n_users, n_items) = (self.interactions.n_users(), self.interactions.n_items());
        for (what, expected, got) in [
            ("user keys", n_users, self.users.len()),
            ("item keys", n_items, self.items.len()),
            ("titles", n_items, self.titles.len()),
            ("rows of user side information", n_users, self.user_features.n_rows()),
            ("rows of item side information", n_items, self.item_features.n_rows()),
        ] {
            if expected != got {
                return Err(DataError::Shape { what, expected, got });
            }
        }
        Ok(())
    }

    /// All of it as training data.
    #[must_use]
    pub fn training_data(&self) -> TrainingData<'_> {
        TrainingData {
            interactions: &self.interactions,
            user_features: &self.user_features,
            item_features: &self.item_features,
        }
    }
}
