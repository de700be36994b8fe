//! What every model asks of a call before it answers.

use foldin_core::{ItemId, ScoreError, UserView};

/// Wants `got` to be `expected`.
///
/// # Errors
/// [`ScoreError::Shape`], naming `what`.
pub fn check_len(what: &'static str, expected: usize, got: usize) -> Result<(), ScoreError> {
    if expected == got { Ok(()) } else { Err(ScoreError::Shape { what, expected, got }) }
}

/// Wants every pair to name one of `users` users and one of `n_items` items.
///
/// # Errors
/// [`ScoreError::Shape`] or [`ScoreError::UnknownItem`].
pub fn check_pairs(users: usize, n_items: usize, pairs: &[(u32, ItemId)]) -> Result<(), ScoreError> {
    for &(user, item) in pairs {
        if user as usize >= users {
            return Err(ScoreError::Shape {
                what: "position of a user",
                expected: users,
                got: user as usize,
            });
        }
        if item.index() >= n_items {
            return Err(ScoreError::UnknownItem { item: item.0, n_items });
        }
    }
    Ok(())
}

/// The number of a user among the `n_users` training users, for models that know nobody else. A model that was loaded knows
/// nobody: `n_users` is then 0.
///
/// # Errors
/// [`ScoreError::NewUser`].
pub fn training_number(
    model: &'static str,
    user: &UserView<'_>,
    n_users: usize,
) -> Result<usize, ScoreError> {
    let number = user.trained_as.map(foldin_core::UserId::index);
    number.filter(|&number| number < n_users).ok_or(ScoreError::NewUser { model })
}
