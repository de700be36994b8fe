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
use crate::item_vectors::{ItemVectors, MAKER};
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

/// Models whose folders load and serve, and that nothing here can train.
fn made_elsewhere() -> &'static [ModelEntry] {
    static ENTRIES: LazyLock<Vec<ModelEntry>> = LazyLock::new(|| vec![ModelEntry::of::<ItemVectors>()]);
    &ENTRIES
}

/// A name that no model has that can be trained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.message())]
pub struct UnknownModel {
    /// The name asked for.
    pub name: String,
    /// A model with much the same name.
    pub nearest: Option<String>,
    /// What makes models of this name, if they come from elsewhere.
    pub made_by: Option<&'static str>,
}

impl UnknownModel {
    fn message(&self) -> String {
        let Self { name, nearest, made_by } = self;
        if let Some(by) = made_by {
            return format!("`{name}` is not trained from histories; {by} makes it");
        }
        let suggestion =
            nearest.as_ref().map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
        format!("there is no model `{name}`{suggestion}; `foldin models` lists them all")
    }
}

/// The model of a name, to be trained.
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
        // Of a pair over users and over items, the one that serves new users.
        let over_users = names.iter().find(|known| **known == format!("u-{name}")).cloned();
        let elsewhere = made_elsewhere().iter().any(|entry| entry.name == name);
        UnknownModel {
            name: name.to_owned(),
            nearest: over_users.or_else(|| nearest(name, &names)).filter(|_| !elsewhere),
            made_by: elsewhere.then_some(MAKER),
        }
    })
}

/// The model of a name, to be loaded: any that can be trained, and those that come from elsewhere.
///
/// # Errors
/// As [`find`].
pub fn find_saved(name: &str) -> Result<&'static ModelEntry, UnknownModel> {
    match made_elsewhere().iter().find(|entry| entry.name == name) {
        Some(entry) => Ok(entry),
        None => find(name),
    }
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
        assert_eq!(find("cfgan").unwrap_err().nearest.as_deref(), Some("u-cfgan"));
        assert_eq!(find("something else altogether").unwrap_err().nearest, None);
    }

    #[test]
    fn what_is_made_elsewhere_is_loaded_and_not_trained() {
        assert_eq!(find_saved("item-vectors").unwrap().name, "item-vectors");
        assert_eq!(find_saved("bias").unwrap().name, "bias");
        let error = find("item-vectors").unwrap_err();
        assert!(error.to_string().contains("`foldin vision train`"), "{error}");
        assert!(find_saved("item-vektors").is_err());
    }
}
