//! Every model by name.

use std::sync::LazyLock;

use foldin_core::config::nearest;
use foldin_core::registry::ModelEntry;

use crate::als::Als;
use crate::autorec::{IAutoRec, UAutoRec};
use crate::bias::Bias;
use crate::bias_svd::BiasSvd;
use crate::bpr::Bpr;
use crate::cfgan::{CfganAaf, ICfgan, UCfgan};
use crate::ease::Ease;
use crate::funk_svd::FunkSvd;
use crate::global_mean::GlobalMean;
use crate::implicit_als::ImplicitAls;
use crate::item_mean::ItemMean;
use crate::knn::item::ItemKnn;
use crate::knn::user::UserKnn;
use crate::lfg::{Lfg, LfgPlus};
use crate::lfg_bayes::LfgBayes;
use crate::lfg_rank::LfgRank;
use crate::llorma::Llorma;
use crate::popularity::Popularity;
use crate::pure_svd::PureSvd;
use crate::rbm::{ItemRbm, UserRbm};
use crate::rp3beta::Rp3Beta;
use crate::slim::Slim;
use crate::softmax::{LfgSoftmax, MultVae};
use crate::svd::Svd;
use crate::svd_plus_plus::SvdPlusPlus;

/// All models, from the simplest to the most capable; the order in which `foldin models` lists them.
///
/// ```
/// let generators = foldin_models::registry().iter().filter(|entry| entry.capabilities.generator);
/// assert!(generators.map(|entry| entry.name).any(|name| name == "lfg"));
/// ```
#[must_use]
pub fn registry() -> &'static [ModelEntry] {
    static ENTRIES: LazyLock<Vec<ModelEntry>> = LazyLock::new(|| {
        vec![
            ModelEntry::of::<GlobalMean>(),
            ModelEntry::of::<ItemMean>(),
            ModelEntry::of::<Bias>(),
            ModelEntry::of::<Popularity>(),
            ModelEntry::of::<ItemKnn>(),
            ModelEntry::of::<UserKnn>(),
            ModelEntry::of::<Rp3Beta>(),
            ModelEntry::of::<PureSvd>(),
            ModelEntry::of::<Slim>(),
            ModelEntry::of::<Ease>(),
            ModelEntry::of::<Svd>(),
            ModelEntry::of::<FunkSvd>(),
            ModelEntry::of::<BiasSvd>(),
            ModelEntry::of::<SvdPlusPlus>(),
            ModelEntry::of::<Als>(),
            ModelEntry::of::<Bpr>(),
            ModelEntry::of::<ImplicitAls>(),
            ModelEntry::of::<Llorma>(),
            ModelEntry::of::<UserRbm>(),
            ModelEntry::of::<ItemRbm>(),
            ModelEntry::of::<UAutoRec>(),
            ModelEntry::of::<IAutoRec>(),
            ModelEntry::of::<UCfgan>(),
            ModelEntry::of::<ICfgan>(),
            ModelEntry::of::<CfganAaf>(),
            ModelEntry::of::<MultVae>(),
            ModelEntry::of::<Lfg>(),
            ModelEntry::of::<LfgPlus>(),
            ModelEntry::of::<LfgSoftmax>(),
            ModelEntry::of::<LfgBayes>(),
            ModelEntry::of::<LfgRank>(),
        ]
    });
    &ENTRIES
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no model `{name}`{}; `foldin models` lists them all", suggestion(nearest.as_deref()))]
pub struct UnknownModel {
    /// The name asked for.
    pub name: String,
    /// A model with much the same name.
    pub nearest: Option<String>,
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// The model of a name.
///
/// # Errors
/// [`UnknownModel`], with the nearest name there is.
///
/// ```
/// let entry = foldin_models::find("bias-svd")?;
/// assert!(entry.keys().iter().any(|setting| setting.key == "factors"));
/// assert_eq!(foldin_models::find("bias-sdv").unwrap_err().nearest.as_deref(), Some("bias-svd"));
/// # Ok::<(), foldin_models::UnknownModel>(())
/// ```
pub fn find(name: &str) -> Result<&'static ModelEntry, UnknownModel> {
    registry().iter().find(|entry| entry.name == name).ok_or_else(|| {
        let names: Vec<String> = registry().iter().map(|entry| entry.name.to_owned()).collect();
        UnknownModel { name: name.to_owned(), nearest: nearest(name, &names) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for entry in registry() {
            assert_eq!(find(entry.name).unwrap().name, entry.name);
            assert_eq!(
                registry().iter().filter(|other| other.name == entry.name).count(),
                1,
                "{}",
                entry.name
            );
        }
    }

    #[test]
    fn a_misspelt_name_is_answered_with_the_nearest() {
        let error = find("globl-mean").unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("global-mean"));
        assert!(error.to_string().contains("did you mean `global-mean`?"), "{error}");
        assert_eq!(find("something else altogether").unwrap_err().nearest, None);
    }
}
