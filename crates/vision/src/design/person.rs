//! A person's θ from what they bought.

use super::preference::Taste;
use crate::data::VisualDataset;
use crate::error::VisionError;
use crate::recommend::dvbpr::{Dvbpr, mean_over_pictures};
use crate::recommend::linear::LinearModel;

/// The taste of a user of a data set under a fitted `dvbpr`: folded in from their purchases, without training.
///
/// # Errors
/// [`VisionError::Unknown`] for a user that the data set does not have; [`VisionError::Shape`] if its pictures are of another size than
/// the network's.
pub fn taste_of(dvbpr: &Dvbpr, data: &VisualDataset, user: &str, lambda: f64) -> Result<Taste, VisionError> {
    let number = data.users.get(user).ok_or_else(|| {
        let some: Vec<&str> = data.users.keys().take(3).collect();
        VisionError::Unknown {
            what: "user",
            name: user.to_owned(),
            known: format!("{}, such as {}", data.users.len(), some.join(", ")),
        }
    })?;
    let k = dvbpr.network.k();
    let items = mean_over_pictures(&dvbpr.phi_of(&data.images)?, k, &data.pictures);
    let model = LinearModel::new("dvbpr", k, Vec::new(), items)?;
    let (bought, _) = data.purchases.by_user().row(number as usize);
    Ok(Taste { theta: model.fold_in(bought, lambda)? })
}
