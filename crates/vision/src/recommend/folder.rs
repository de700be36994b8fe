//! A recommender on disk, for people it never saw: one model or the sum of several, and the network that made them if there is one.
//!
//! ```text
//! model/manifest.json, weights.safetensors   keys of items, and the members with their vectors of items ([`crate::saved`])
//! model/network/                             the network of `dvbpr`
//! ```
//!
//! Nothing of a user is in it: each member makes its scores of what somebody bought ([`Way`]). Of several members, the scores of each over all
//! items are brought to mean 0 and deviation 1 and added with their weights, as in [`crate::recommend::ensemble`].

use std::path::Path;

use burn::tensor::Device;
use foldin_core::{Csr, Dictionary, ItemId, Tensor, top_k};
use serde::{Deserialize, Serialize};

use crate::error::VisionError;
use crate::recommend::dvbpr::Dvbpr;
use crate::recommend::ensemble::standardise;
use crate::recommend::linear::{LinearModel, check_lambda};
use crate::recommend::vis_rank::Largest;
use crate::recommend::{Scorer, check};
use crate::saved;

const KIND: &str = "visual-recommender";
const NETWORK: &str = "network";

/// How a member scores items for somebody who bought some.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// `θ·φ_i` with θ folded in from the purchases ([`LinearModel::fold_in`]).
    FoldIn {
        /// λ of the fold-in.
        lambda: f64,
    },
    /// The mean of `φ_j·φ_i` over the purchases j: `vis-rank` by the mean, where vectors have length 1.
    Mean,
    /// The largest of them: `vis-rank` by the largest.
    Largest,
}

/// A model of a recommender.
#[derive(Clone, Debug)]
pub struct Member {
    /// What it is called, such as `dvbpr`.
    pub name: String,
    /// How it scores.
    pub way: Way,
    /// How much it counts beside others.
    pub weight: f32,
    /// Vectors of items; of no users.
    pub model: LinearModel,
    /// The same laid out for [`Way::Largest`].
    largest: Option<Largest>,
}

impl Member {
    /// Of a fitted model; its users are left behind.
    ///
    /// # Errors
    /// [`VisionError::Config`] for a λ that cannot be used.
    pub fn new(name: &str, way: Way, model: &LinearModel) -> Result<Self, VisionError> {
        if let Way::FoldIn { lambda } = way {
            check_lambda(lambda)?;
        }
        let model = LinearModel::new(name, model.k(), Vec::new(), model.items().to_vec())?;
        let largest = (way == Way::Largest).then(|| Largest::new(model.items().to_vec(), model.k()));
        Ok(Self { name: name.to_owned(), way, weight: 1.0, model, largest })
    }

    fn scores_of(&self, bought: &[u32], out: &mut [f32]) -> Result<(), VisionError> {
        let model = &self.model;
        match self.way {
            Way::FoldIn { lambda } => model.scores_of(&model.fold_in(bought, lambda)?, out),
            Way::Mean => {
                let mut mean = vec![0.0; model.k()];
                for &item in bought {
                    let share = 1.0 / bought.len() as f32;
                    mean.iter_mut().zip(model.item(item)).for_each(|(sum, x)| *sum += share * x);
                }
                model.scores_of(&mean, out)
            }
            Way::Largest => {
                if let Some(largest) = &self.largest {
                    largest.scores_of(bought, out);
                }
                Ok(())
            }
        }
    }
}

/// A recommender that is used.
#[derive(Clone, Debug)]
pub struct Recommender {
    /// What it is called, such as `dvbpr` or `visual-sum`.
    pub name: String,
    /// Keys of items.
    pub items: Dictionary,
    /// One model, or several whose scores are added.
    pub members: Vec<Member>,
    /// The network, which scores pictures that are not in the catalogue.
    pub network: Option<Dvbpr>,
}

#[derive(Serialize, Deserialize)]
struct MemberDescription {
    name: String,
    way: Way,
    weight: f32,
    k: usize,
}

#[derive(Serialize, Deserialize)]
struct Description {
    name: String,
    members: Vec<MemberDescription>,
    keys: Vec<String>,
    dictionary: String,
    network: bool,
}

impl Recommender {
    /// Of fitted models.
    ///
    /// # Errors
    /// [`VisionError::Shape`] without members, or if one has not a vector for each key.
    pub fn new(
        name: &str,
        items: Dictionary,
        members: Vec<Member>,
        network: Option<Dvbpr>,
    ) -> Result<Self, VisionError> {
        if members.is_empty() {
            return Err(VisionError::shape("models of a recommender", "one at least", 0));
        }
        if let Some(other) = members.iter().find(|member| member.model.n_items() != items.len()) {
            return Err(VisionError::shape("keys of items", other.model.n_items(), items.len()));
        }
        Ok(Self { name: name.to_owned(), items, members, network })
    }

    /// The member of a name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
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
        if let [only] = &self.members[..] {
            return only.scores_of(bought, out);
        }
        let mut own = vec![0.0; out.len()];
        out.fill(0.0);
        for member in &self.members {
            member.scores_of(bought, &mut own)?;
            standardise(&mut own);
            out.iter_mut().zip(&own).for_each(|(sum, x)| *sum += member.weight * x);
        }
        Ok(())
    }

    /// The `n` best items for somebody who bought these, without them: numbers and scores.
    ///
    /// # Errors
    /// As [`scores_of`](Self::scores_of).
    pub fn recommend(&self, bought: &[u32], n: usize) -> Result<Vec<(ItemId, f32)>, VisionError> {
        let mut scores = vec![0.0; self.items.len()];
        self.scores_of(bought, &mut scores)?;
        let mut seen = bought.to_vec();
        seen.sort_unstable();
        seen.dedup();
        let best = top_k(&scores, n, &seen);
        Ok(best.into_iter().map(|scored| (scored.item, scored.score)).collect())
    }

    /// The recommender as it serves users with these purchases, to be measured.
    #[must_use]
    pub fn serving<'a>(&'a self, purchases: &'a Csr) -> Serving<'a> {
        Serving { recommender: self, purchases }
    }

    /// Writes the folder.
    ///
    /// # Errors
    /// As [`saved::write`].
    pub fn save(&self, folder: &Path) -> Result<(), VisionError> {
        let members = self.members.iter().map(|member| MemberDescription {
            name: member.name.clone(),
            way: member.way,
            weight: member.weight,
            k: member.model.k(),
        });
        let description = Description {
            name: self.name.clone(),
            members: members.collect(),
            keys: self.items.keys().map(str::to_owned).collect(),
            dictionary: self.items.checksum(),
            network: self.network.is_some(),
        };
        let description = serde_json::to_value(description)
            .map_err(|error| VisionError::Format { path: folder.to_owned(), problem: error.to_string() })?;
        let tensors = self.members.iter().enumerate().map(|(at, member)| {
            let shape = [self.items.len(), member.model.k()];
            (tensor_name(at), Tensor::new(shape, member.model.items().to_vec()))
        });
        saved::write(folder, KIND, &description, &tensors.collect())?;
        self.network.as_ref().map_or(Ok(()), |network| network.save(&folder.join(NETWORK)))
    }

    /// Reads the folder.
    ///
    /// # Errors
    /// [`VisionError::Load`] or [`VisionError::Format`], which name the file and what is wrong with it.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, VisionError> {
        let (description, mut tensors) = saved::read(folder, KIND)?;
        let bad = |problem: String| VisionError::Format { path: folder.to_owned(), problem };
        let Description { name, members, keys, dictionary, network } =
            serde_json::from_value(description).map_err(|error| bad(error.to_string()))?;
        let items =
            Dictionary::from_keys(keys).map_err(|key| bad(format!("the item {key} is there twice")))?;
        if items.checksum() != dictionary {
            return Err(bad("the keys of items are not those it was saved with".to_owned()));
        }
        let members =
            members.into_iter().enumerate().map(|(at, MemberDescription { name, way, weight, k })| {
                let vectors =
                    tensors.remove(&tensor_name(at)).filter(|tensor| tensor.shape == [items.len(), k]);
                let vectors = vectors.ok_or_else(|| {
                    bad(format!("{name} has not a vector of {k} numbers for each of {} items", items.len()))
                })?;
                if vectors.data.iter().any(|x| !x.is_finite()) || !weight.is_finite() {
                    return Err(bad(format!("{name} has a number that is not finite")));
                }
                let member = Member::new(&name, way, &LinearModel::new(&name, k, Vec::new(), vectors.data)?)?;
                Ok(Member { weight, ..member })
            });
        let members = members.collect::<Result<Vec<_>, VisionError>>()?;
        let network = if network { Some(Dvbpr::load(&folder.join(NETWORK), device)?) } else { None };
        Self::new(&name, items, members, network)
    }
}

fn tensor_name(member: usize) -> String {
    format!("items/{member}")
}

/// A recommender beside the purchases of some users.
#[derive(Clone, Copy, Debug)]
pub struct Serving<'a> {
    recommender: &'a Recommender,
    purchases: &'a Csr,
}

impl Scorer for Serving<'_> {
    fn name(&self) -> &str {
        &self.recommender.name
    }

    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError> {
        check(user, self.purchases.n_rows(), out, self.recommender.items.len())?;
        self.recommender.scores_of(self.purchases.row(user as usize).0, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, way: Way) -> Member {
        let vectors = vec![1.0, 0.0, 0.9, 0.1, -1.0, 0.2, 0.0, 1.0];
        Member::new(name, way, &LinearModel::new(name, 2, Vec::new(), vectors).unwrap()).unwrap()
    }

    fn items() -> Dictionary {
        Dictionary::from_keys(["a", "b", "c", "d"]).unwrap()
    }

    #[test]
    fn what_is_saved_recommends_the_same() {
        let members = [
            vec![member("vbpr", Way::FoldIn { lambda: 0.1 })],
            vec![
                member("vbpr", Way::FoldIn { lambda: 0.1 }),
                Member { weight: 0.5, ..member("mean", Way::Mean) },
                member("max", Way::Largest),
            ],
        ];
        for members in members {
            let recommender = Recommender::new("test", items(), members, None).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("model");
            recommender.save(&path).unwrap();
            let loaded = Recommender::load(&path, &Device::flex()).unwrap();
            let best = loaded.recommend(&[0], 2).unwrap();
            assert_eq!(best, recommender.recommend(&[0], 2).unwrap());
            // What points the way of the purchase comes first, and the purchase does not come.
            assert_eq!(best[0].0, ItemId(1));
            assert_eq!(loaded.recommend(&[0], 9).unwrap().len(), 3);
            assert!(loaded.recommend(&[7], 1).is_err());
            assert!(loaded.recommend(&[], 2).unwrap().iter().all(|(_, score)| score.is_finite()));
            let manifest = path.join("manifest.json");
            let text = std::fs::read_to_string(&manifest).unwrap();
            std::fs::write(&manifest, text.replace("\"b\"", "\"x\"")).unwrap();
            assert!(Recommender::load(&path, &Device::flex()).is_err());
            assert!(Recommender::load(folder.path(), &Device::flex()).is_err());
        }
        let bad = LinearModel::new("bad", 2, Vec::new(), vec![0.0; 8]).unwrap();
        for lambda in [f64::NAN, -1.0] {
            assert!(Member::new("bad", Way::FoldIn { lambda }, &bad).is_err());
        }
        assert!(Recommender::new("none", items(), Vec::new(), None).is_err());
    }

    #[test]
    fn ways_by_hand() {
        let score = |way| {
            let mut out = [0.0; 4];
            let recommender = Recommender::new("one", items(), vec![member("one", way)], None).unwrap();
            recommender.scores_of(&[0, 3], &mut out).unwrap();
            out
        };
        for (got, expected) in
            [(score(Way::Mean), [0.5, 0.5, -0.4, 0.5]), (score(Way::Largest), [1.0, 0.9, 0.2, 1.0])]
        {
            assert!(got.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-6), "{got:?}");
        }
        // The sum is that of standardised scores.
        let sum =
            Recommender::new("sum", items(), vec![member("m", Way::Mean), member("l", Way::Largest)], None)
                .unwrap();
        let mut out = [0.0; 4];
        sum.serving(&Csr::from_triples(1, 4, &[(0, 0, 1.0), (0, 3, 1.0)]).unwrap())
            .scores(0, &mut out)
            .unwrap();
        let (mut mean, mut largest) = (score(Way::Mean), score(Way::Largest));
        standardise(&mut mean);
        standardise(&mut largest);
        assert!(out.iter().zip(mean.iter().zip(largest)).all(|(x, (y, z))| (x - y - z).abs() < 1e-6));
    }
}
