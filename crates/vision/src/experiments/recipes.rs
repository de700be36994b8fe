//! Experiments by name, with settings that fit a small computer, and a quick look at each.

use std::path::Path;

use super::customers::CustomersExperiment;
use super::design::DesignExperiment;
use super::lsgan::{LsganExperiment, Pictures};
use crate::lsgan::{LsganConfig, Upsampling};

/// What a recipe trains and measures.
#[derive(Clone, Debug)]
pub enum Work {
    /// A generator.
    Lsgan(Box<LsganExperiment>),
    /// Designs with a generator that a recipe of the first kind made in the same folder.
    Design(Box<DesignExperiment>),
    /// The same for customers of a shop.
    Customers(Box<CustomersExperiment>),
}

/// A part of a recipe: work with a folder of its own.
#[derive(Clone, Debug)]
pub struct Part {
    /// Name of its folder.
    pub name: &'static str,
    /// The work.
    pub work: Work,
}

/// An experiment by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Name on the command line.
    pub name: &'static str,
    /// What it is.
    pub title: &'static str,
    /// Name of the data set.
    pub data: &'static str,
    /// Name of the purchases, where it takes some.
    pub purchases: Option<&'static str>,
    /// What is read into what was left open, and what to expect.
    pub about: &'static str,
}

/// All recipes.
pub const RECIPES: [Recipe; 3] = [
    Recipe {
        name: "lsgan-fashion",
        title: "A generator of six categories of fashion at 32 and 64 pixels",
        data: "fashion-products",
        purchases: None,
        about: "Tops, bottoms and shoes of men and women, four fifths of the pictures for training. The authors' loss and layers at \
                half and quarter width. Label agreement saturates at what the classifier reaches on real pictures while pictures \
                are still poor: the Fréchet distance beside its floor, the neighbours and the sheet tell more.",
    },
    Recipe {
        name: "lsgan-fashion-mnist",
        title: "A generator of the ten classes of Fashion-MNIST",
        data: "fashion-mnist",
        purchases: None,
        about: "Grey pictures of 28 pixels with a border of two, the given test part, a third of the training part. The classification \
                accuracy score is that of a classifier trained on generated pictures alone.",
    },
    Recipe {
        name: "design-fashion",
        title: "Designs for people who like a colour and for customers, judged by a scorer trained apart",
        data: "fashion-products",
        purchases: Some("hm-sample"),
        about: "The generator of lsgan-fashion at 32 pixels; designs climb the first of two scorers. For people who like a colour, tastes are \
                planted and scorers see disjoint halves of the pictures. For customers of H&M, scorers are dvbpr of disjoint groups of \
                customers, and those designed for are new to both.",
    },
];

/// Training pictures of Fashion-MNIST that are used, of 60,000.
const MNIST_PICTURES: usize = 20_000;

impl Recipe {
    /// The recipe of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        RECIPES.into_iter().find(|recipe| recipe.name == name)
    }

    /// What it does with the data in `data`, and the purchases in `purchases` if it takes some; decoded pictures are kept in `cache`, and
    /// parts of `quick` end within ten minutes on two cores.
    #[must_use]
    pub fn parts(&self, data: &Path, purchases: Option<&Path>, cache: &Path, quick: bool) -> Vec<Part> {
        let lsgan = |name, pictures: Pictures, config: LsganConfig, score: bool| {
            let mut experiment = LsganExperiment { pictures, config, ..LsganExperiment::default() };
            experiment.report.classification_accuracy_score = score;
            if quick {
                experiment.classifier.epochs = 4;
            }
            Part { name, work: Work::Lsgan(Box::new(experiment)) }
        };
        let products = || Pictures::Products { path: data.to_owned(), cache: cache.to_owned() };
        let epochs = |full: usize, few: usize| if quick { few } else { full };
        let small =
            LsganConfig { upsampling: Upsampling::EvenDeconvolution, cooling: 0.5, ..LsganConfig::default() };
        let part_32 = || {
            let config = LsganConfig { epochs: epochs(120, 5), ..small.clone() };
            lsgan("lsgan-32", products(), config, false)
        };
        match self.name {
            "lsgan-fashion" => {
                let tiny = LsganConfig {
                    px: 64,
                    generator_channels: 64,
                    discriminator_channels: 16,
                    epochs: epochs(100, 1),
                    ..small.clone()
                };
                let mut parts = vec![part_32()];
                if !quick {
                    parts.push(lsgan("lsgan-64", products(), tiny, false));
                }
                parts
            }
            "lsgan-fashion-mnist" => {
                let most = if quick { MNIST_PICTURES / 5 } else { MNIST_PICTURES };
                let pictures = Pictures::Idx { path: data.to_owned(), most };
                let config = LsganConfig { epochs: epochs(30, 6), batch: 64, ..small.clone() };
                vec![lsgan("lsgan-32", pictures, config, !quick)]
            }
            _ => {
                // In the folder of the recipe, where the part before it puts them.
                let mut design = DesignExperiment {
                    products: data.to_owned(),
                    cache: cache.to_owned(),
                    lsgan: cache.join("lsgan-32").join("lsgan"),
                    classifier: Some(cache.join("lsgan-32").join("classifier")),
                    ..DesignExperiment::default()
                };
                let mut customers = CustomersExperiment {
                    purchases: purchases.unwrap_or(data).to_owned(),
                    products: data.to_owned(),
                    cache: cache.to_owned(),
                    lsgan: design.lsgan.clone(),
                    classifier: design.classifier.clone(),
                    ..CustomersExperiment::default()
                };
                if quick {
                    (design.most, design.scorer.epochs) = (6, 4);
                    (customers.most, customers.pretraining.epochs, customers.dvbpr.epochs) = (6, 2, 2);
                }
                vec![
                    part_32(),
                    Part { name: "design", work: Work::Design(Box::new(design)) },
                    Part { name: "customers", work: Work::Customers(Box::new(customers)) },
                ]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::ModelConfig;

    #[test]
    fn every_recipe_has_sound_parts() {
        for recipe in RECIPES {
            assert_eq!(Recipe::find(recipe.name), Some(recipe));
            for quick in [false, true] {
                let parts = recipe.parts(Path::new("data"), Some(Path::new("shop")), Path::new("out"), quick);
                assert!(!parts.is_empty());
                for part in parts {
                    match part.work {
                        Work::Lsgan(experiment) => experiment.config.check().unwrap(),
                        Work::Design(experiment) => experiment.config.check().unwrap(),
                        Work::Customers(experiment) => {
                            assert_eq!(experiment.purchases, Path::new("shop"));
                            experiment.dvbpr.check().unwrap();
                            experiment.pretraining.check().unwrap();
                        }
                    }
                }
            }
        }
        assert_eq!(Recipe::find("lsgan-hats"), None);
    }
}
