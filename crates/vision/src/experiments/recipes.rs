//! Experiments by name, with settings that fit a small computer, a quick look at each, and the published size for a GPU.

use std::path::{Path, PathBuf};

use super::customers::CustomersExperiment;
use super::design::DesignExperiment;
use super::lsgan::{LsganExperiment, Pictures};
use crate::lsgan::{LsganConfig, Smoothing};
use crate::recommend::dvbpr::DvbprConfig;

/// What a recipe trains and measures.
#[derive(Clone, Debug)]
pub enum Work {
    /// A generator.
    Lsgan(Box<LsganExperiment>),
    /// Designs with a generator that a part of the first kind made.
    Design(Box<DesignExperiment>),
    /// The same for customers of a shop.
    Customers(Box<CustomersExperiment>),
}

/// A part of a recipe: work with a folder of its own.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is called.
    pub name: &'static str,
    /// Its folder.
    pub folder: PathBuf,
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

/// How large an experiment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Size {
    /// A look, within ten minutes on two cores.
    Quick,
    /// What two hours on two cores are enough for.
    #[default]
    Small,
    /// The layers, pixels and epochs that were published: for a GPU.
    Published,
}

impl Size {
    /// What is put behind the name of a recipe, so that one size does not take the place of another.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Quick => "-quick",
            Self::Small => "",
            Self::Published => "-published",
        }
    }
}

/// All recipes.
pub const RECIPES: [Recipe; 3] = [
    Recipe {
        name: "lsgan-fashion",
        title: "A generator of six categories of fashion at 32 and 64 pixels",
        data: "fashion-products",
        purchases: None,
        about: "Tops, bottoms and shoes of men and women, four fifths of the pictures for training. The authors' loss, and layers of \
                half the width with the departures that `foldin models show lsgan` names; the generator of 64 pixels is grown on that of 32. Label agreement saturates at what the classifier reaches on real pictures while pictures \
                are still poor: the Fréchet distance beside its floor, the neighbours and the sheet tell more.",
    },
    Recipe {
        name: "lsgan-fashion-mnist",
        title: "A generator of the ten classes of Fashion-MNIST",
        data: "fashion-mnist",
        purchases: None,
        about: "Grey pictures of 28 pixels with a border of two, in the given parts. The classification accuracy score is that \
                of a classifier trained on generated pictures alone.",
    },
    Recipe {
        name: "design-fashion",
        title: "Designs for people who like a colour and for customers, judged by a scorer trained apart",
        data: "fashion-products",
        purchases: Some("hm-sample"),
        about: "The generator of lsgan-fashion at 32 pixels, out of the same folder; designs climb the first of two scorers. For people who like a colour, tastes are \
                planted and scorers see disjoint halves of the pictures. For customers of H&M, scorers are dvbpr of disjoint groups of \
                customers, and those designed for are new to both.",
    },
];

/// Training pictures of Fashion-MNIST that are used, all of them or few.
const MNIST_PICTURES: [usize; 2] = [60_000, 4_000];

impl Recipe {
    /// The recipe of a name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        RECIPES.into_iter().find(|recipe| recipe.name == name)
    }

    /// Whether it has a size that was published: Fashion-MNIST is not of the papers.
    #[must_use]
    pub fn was_published(&self) -> bool {
        self.name != "lsgan-fashion-mnist"
    }

    /// What it does with the data in `data`, and the purchases in `purchases` if it takes some, in the folder of its own name within `out`;
    /// the folder's name has the size's suffix. Designs are made with the generator that `lsgan-fashion` leaves in `out`, trained if it is not
    /// there. What was not published has its small size.
    #[must_use]
    pub fn parts(&self, data: &Path, purchases: Option<&Path>, out: &Path, size: Size) -> Vec<Part> {
        let (quick, published) = (size == Size::Quick, size == Size::Published && self.was_published());
        let folder_of = |recipe: &str| out.join(format!("{recipe}{}", size.suffix()));
        let (own, fashion) = (folder_of(self.name), folder_of("lsgan-fashion"));
        let lsgan = |name, folder: &Path, pictures: Pictures, config: LsganConfig| {
            let mut experiment = LsganExperiment { pictures, config, ..LsganExperiment::default() };
            if quick {
                experiment.report.classification_accuracy_score = false;
                experiment.classifier.epochs = 4;
            }
            Part { name, folder: folder.join(name), work: Work::Lsgan(Box::new(experiment)) }
        };
        let products = || Pictures::Products { path: data.to_owned(), cache: fashion.clone() };
        let epochs = |full: usize, few: usize| if quick { few } else { full };
        let smallest = || {
            let (name, config) = if published {
                ("lsgan-64", LsganConfig::preset("authors").unwrap_or_default())
            } else {
                ("lsgan-32", LsganConfig { epochs: epochs(120, 5), ..LsganConfig::default() })
            };
            lsgan(name, &fashion, products(), config)
        };
        match self.name {
            "lsgan-fashion" => {
                let mut parts = vec![smallest()];
                if size == Size::Small {
                    let grown = LsganConfig::preset("grown-64").unwrap_or_default();
                    let config = LsganConfig { epochs: 36, ..grown };
                    let mut part = lsgan("lsgan-64", &fashion, products(), config);
                    if let Work::Lsgan(experiment) = &mut part.work {
                        experiment.start = Some(parts[0].folder.clone());
                        experiment.shrunk = Some(32);
                    }
                    parts.push(part);
                }
                parts
            }
            "lsgan-fashion-mnist" => {
                let most = MNIST_PICTURES[usize::from(quick)];
                let pictures = Pictures::Idx { path: data.to_owned(), most };
                // Pictures that were never shrunk have detail from one pixel to the next.
                let config = LsganConfig {
                    smoothing: Smoothing::None,
                    epochs: epochs(12, 6),
                    batch: 64,
                    mismatch: 1.0,
                    contrast: 1.0,
                    cooling: 0.5,
                    averaging: 0.999,
                    ..LsganConfig::default()
                };
                vec![lsgan("lsgan-32", &own, pictures, config)]
            }
            _ => {
                let generator = smallest();
                let mut design = DesignExperiment {
                    products: data.to_owned(),
                    cache: fashion.clone(),
                    lsgan: generator.folder.join("lsgan"),
                    ..DesignExperiment::default()
                };
                let mut customers = CustomersExperiment {
                    purchases: purchases.unwrap_or(data).to_owned(),
                    products: data.to_owned(),
                    cache: fashion.clone(),
                    lsgan: design.lsgan.clone(),
                    ..CustomersExperiment::default()
                };
                if quick {
                    (design.most, design.scorer.epochs) = (6, 4);
                    (customers.most, customers.pretraining.epochs, customers.dvbpr.epochs) = (6, 2, 2);
                    customers.classifier.epochs = design.scorer.epochs;
                }
                if published {
                    customers.dvbpr = DvbprConfig { patience: 14, ..DvbprConfig::study() };
                    customers.pretraining.form = customers.dvbpr.form;
                }
                vec![
                    generator,
                    Part { name: "design", folder: own.join("design"), work: Work::Design(Box::new(design)) },
                    Part {
                        name: "customers",
                        folder: own.join("customers"),
                        work: Work::Customers(Box::new(customers)),
                    },
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
            for size in [Size::Quick, Size::Small, Size::Published] {
                let parts = recipe.parts(Path::new("data"), Some(Path::new("shop")), Path::new("out"), size);
                assert!(!parts.is_empty());
                let suffix =
                    |part: &Part| part.folder.parent().unwrap().to_string_lossy().ends_with(size.suffix());
                assert!(parts.iter().all(suffix));
                for part in parts {
                    match part.work {
                        Work::Lsgan(experiment) => {
                            experiment.config.check().unwrap();
                            let published = size == Size::Published && recipe.was_published();
                            assert_eq!(
                                experiment.config == LsganConfig::preset("authors").unwrap(),
                                published
                            );
                            assert!(part.name.ends_with(&experiment.config.px.to_string()), "{}", part.name);
                        }
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
