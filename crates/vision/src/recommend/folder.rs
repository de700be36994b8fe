//! A recommender that is used, for people it never saw: one model or the sum of several, and the network that made them if there is one.
//!
//! On disk it is a model folder as any other ([`foldin_models::folder`], of the model [`item-vectors`](foldin_models::item_vectors)), with the
//! network of `dvbpr` beside in `network/`: whatever serves models serves it, without this crate and without pictures. Nothing of a user is in it.

use std::path::Path;

use burn::tensor::Device;
use foldin_core::{
    Csr, Dictionary, FeatureSchema, Features, Field, FieldKind, ItemId, LoadError, Recommender as _, top_k,
};
use foldin_models::folder::{DataDescription, SaveOptions, SavedContext, load, save};
use foldin_models::item_vectors::{ItemVectors, ItemVectorsModel, Member, Way};
use serde_json::Value;

use crate::data::VisualDataset;
use crate::error::VisionError;
use crate::recommend::dvbpr::Dvbpr;
use crate::recommend::linear::LinearModel;
use crate::recommend::{Scorer, check};
use crate::saved;

const NETWORK: &str = "network";

/// Under which a configuration says where the data are: a folder, or a name among data sets.
pub const PLACE: &str = "data";

/// A member of a fitted model; its users are left behind.
///
/// # Errors
/// [`VisionError::Config`] for a λ that cannot be used.
pub fn member(name: &str, way: Way, model: &LinearModel) -> Result<Member, VisionError> {
    Ok(Member::new(name, way, model.k(), model.items().to_vec())?)
}

/// A recommender that is used.
#[derive(Clone, Debug)]
pub struct Recommender {
    /// Vectors of items, and how they score.
    pub model: ItemVectorsModel,
    /// Keys of items.
    pub items: Dictionary,
    /// The network, which scores pictures that are not in the catalogue.
    pub network: Option<Dvbpr>,
    /// The data that it learned from: their place, where its configuration says so under [`PLACE`], and their name otherwise; empty until it is
    /// loaded from a folder.
    pub data: String,
}

impl Recommender {
    /// Of members.
    ///
    /// # Errors
    /// [`VisionError::Config`] without members or if they do not go together, [`VisionError::Shape`] if there is not a vector for each key.
    pub fn new(
        name: &str,
        items: Dictionary,
        members: Vec<Member>,
        network: Option<Dvbpr>,
    ) -> Result<Self, VisionError> {
        let model = ItemVectorsModel::new(name, members)?;
        if model.n_items() != items.len() {
            return Err(VisionError::shape("keys of items", model.n_items(), items.len()));
        }
        Ok(Self { model, items, network, data: String::new() })
    }

    /// What it is called, such as `dvbpr` or `visual-sum`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.model.label()
    }

    /// The member of a name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.model.members().iter().find(|member| member.name == name)
    }

    /// Names of its members, with a plus between them.
    #[must_use]
    pub fn member_names(&self) -> String {
        let names: Vec<&str> = self.model.members().iter().map(|member| member.name.as_str()).collect();
        names.join(" + ")
    }

    /// The score of every item for somebody who bought these.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for an item that does not exist, or if `out` has not a place for each.
    pub fn scores_of(&self, bought: &[u32], out: &mut [f32]) -> Result<(), VisionError> {
        if let Some(bad) = bought.iter().find(|&&item| item as usize >= self.items.len()) {
            return Err(VisionError::shape("item number", format!("below {}", self.items.len()), bad));
        }
        check(0, 1, out, self.items.len())?;
        self.model.scores_of(&distinct(bought), out);
        Ok(())
    }

    /// The `n` best items for somebody who bought these, without them: numbers and scores.
    ///
    /// # Errors
    /// As [`scores_of`](Self::scores_of).
    pub fn recommend(&self, bought: &[u32], n: usize) -> Result<Vec<(ItemId, f32)>, VisionError> {
        let mut scores = vec![0.0; self.items.len()];
        self.scores_of(bought, &mut scores)?;
        let best = top_k(&scores, n, &distinct(bought));
        Ok(best.into_iter().map(|scored| (scored.item, scored.score)).collect())
    }

    /// The recommender as it serves users with these purchases, to be measured.
    #[must_use]
    pub fn serving<'a>(&'a self, purchases: &'a Csr) -> Serving<'a> {
        Serving { recommender: self, purchases }
    }

    /// Writes the folder, in the place of a model that is there already. `config` is what it was made with, `metrics` what it reached; labels of
    /// items go with it as side information.
    ///
    /// # Errors
    /// [`VisionError::Save`]; those of saving the network; [`VisionError::Shape`] if the data have other items.
    pub fn save(
        &self,
        folder: &Path,
        data: &VisualDataset,
        config: Value,
        metrics: Value,
    ) -> Result<(), VisionError> {
        if !data.items.keys().eq(self.items.keys()) {
            return Err(VisionError::shape("items of the data", self.items.len(), data.items.len()));
        }
        let purchases = &data.purchases;
        let by_item = purchases.by_item();
        let titles: Vec<String> = self.items.keys().map(str::to_owned).collect();
        let context = SavedContext {
            config,
            metrics,
            data: DataDescription {
                name: data.name.clone(),
                fingerprint: purchases.fingerprint(),
                users: purchases.n_users(),
                items: purchases.n_items(),
                interactions: purchases.len(),
                feedback: purchases.feedback(),
            },
            items: &self.items,
            titles: &titles,
            counts: (0..self.items.len()).map(|item| by_item.row_len(item) as u32).collect(),
            item_features: &labels(data)?,
            user_schema: &FeatureSchema::default(),
        };
        save(folder, &self.model, &context, SaveOptions { overwrite: true })?;
        self.network.as_ref().map_or(Ok(()), |network| network.save(&folder.join(NETWORK)))
    }

    /// Reads the folder.
    ///
    /// # Errors
    /// [`VisionError::Load`] or [`VisionError::Format`], which name the file and what is wrong with it.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, VisionError> {
        let loaded = load(folder)?;
        let name = <ItemVectors as foldin_core::ModelFamily>::NAME;
        if loaded.model.name() != name {
            let reason = format!("is a folder of `{}`, not of a model of pictures", loaded.model.name());
            return Err(LoadError::Format { path: folder.to_owned(), reason }.into());
        }
        let model = ItemVectorsModel::from_parts(loaded.model.to_parts())?;
        let network = folder.join(NETWORK);
        let network = if saved::is_readable(&network) { Some(Dvbpr::load(&network, device)?) } else { None };
        let manifest = loaded.manifest;
        let data = manifest.config[PLACE].as_str().map_or(manifest.data.name, str::to_owned);
        Ok(Self { model, items: loaded.items, network, data })
    }
}

/// Each once, ascending: a purchase that is named twice counts once.
pub(crate) fn distinct(items: &[u32]) -> Vec<u32> {
    let mut out = items.to_vec();
    out.sort_unstable();
    out.dedup();
    out
}

/// Labels of items as side information.
fn labels(data: &VisualDataset) -> Result<Features, VisionError> {
    let field = |labels: &crate::images::Labels| Field {
        name: labels.name().to_owned(),
        kind: FieldKind::Category { values: labels.classes().to_vec() },
    };
    let schema = FeatureSchema::new(data.labels.iter().map(field).collect());
    let (mut cells, mut first) = (Vec::new(), 0);
    for labels in &data.labels {
        let known = labels.of().iter().enumerate();
        cells.extend(known.filter_map(|(item, class)| class.map(|class| (item as u32, first + class, 1.0))));
        first += labels.classes().len() as u32;
    }
    let rows = Csr::from_triples(data.items.len(), schema.width(), &cells)?;
    Ok(Features::new(schema.into(), rows)?)
}

/// A recommender beside the purchases of some users.
#[derive(Clone, Copy, Debug)]
pub struct Serving<'a> {
    recommender: &'a Recommender,
    purchases: &'a Csr,
}

impl Scorer for Serving<'_> {
    fn name(&self) -> &str {
        self.recommender.name()
    }

    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError> {
        check(user, self.purchases.n_rows(), out, self.recommender.items.len())?;
        self.recommender.scores_of(self.purchases.row(user as usize).0, out)
    }
}

#[cfg(test)]
mod tests {
    use foldin_core::UserView;

    use super::*;
    use crate::planted::{PlantedOptions, planted};

    #[test]
    fn what_is_saved_recommends_the_same_to_whoever_loads_it() {
        let set = planted(&PlantedOptions::default(), 1).unwrap();
        let items = set.data.items.clone();
        let vectors: Vec<f32> = (0..items.len() * 2).map(|at| ((at * 7) % 13) as f32 - 6.0).collect();
        let model = LinearModel::new("test", 2, Vec::new(), vectors).unwrap();
        let mut half = member("mean", Way::Mean, &model).unwrap();
        half.weight = 0.5;
        let members = vec![
            member("vbpr", Way::FoldIn { lambda: 0.1 }, &model).unwrap(),
            half,
            member("max", Way::Largest, &model).unwrap(),
        ];
        let recommender = Recommender::new("test", items.clone(), members, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        let save = |recommender: &Recommender| recommender.save(&path, &set.data, Value::Null, Value::Null);
        save(&recommender).unwrap();
        // Again in the place of the first.
        save(&recommender).unwrap();
        let loaded = Recommender::load(&path, &Device::flex()).unwrap();
        assert_eq!((loaded.name(), loaded.member_names().as_str()), ("test", "vbpr + mean + max"));
        let best = loaded.recommend(&[0], 2).unwrap();
        assert_eq!(best, recommender.recommend(&[0], 2).unwrap());
        assert_eq!(best, recommender.recommend(&[0, 0], 2).unwrap());
        assert_eq!(loaded.recommend(&[0], items.len()).unwrap().len(), items.len() - 1);
        assert!(loaded.recommend(&[items.len() as u32], 1).is_err());
        assert!(loaded.recommend(&[], 2).unwrap().iter().all(|(_, score)| score.is_finite()));

        // As any model folder, with what is known of items.
        let plain = load(&path).unwrap();
        let mut scores = vec![0.0; items.len()];
        plain.model.score(&[UserView::new(&[0], &[1.0])], &mut scores).unwrap();
        assert_eq!(scores[best[0].0.index()], best[0].1);
        assert_eq!(plain.features[0].len(), set.data.labels.len());

        // Those of other items, and folders of something else.
        let few = Dictionary::from_keys(["a"]).unwrap();
        assert!(Recommender::new("few", few, recommender.model.members().to_vec(), None).is_err());
        assert!(Recommender::new("none", items, Vec::new(), None).is_err());
        assert!(Recommender::load(folder.path(), &Device::flex()).is_err());
    }
}
