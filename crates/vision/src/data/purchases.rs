//! What was read of purchases, before anything is left out.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use foldin_core::{Dataset, Dictionary};
use foldin_data::{Columns, Duplicates, OpenOptions, ReadReport, open_with_report};

use crate::data::{amazon, hm, plain};
use crate::error::VisionError;

/// The pictures of an item, by name in the store of pictures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemPictures {
    /// Of who sells it; the first is the main one.
    pub vendor: Vec<String>,
    /// Of who bought it.
    pub customer: Vec<String>,
}

/// What kind each item is of.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemLabels {
    /// What the label tells.
    pub name: String,
    /// By item; `None` where it is not known.
    pub of: Vec<Option<String>>,
}

/// The label of that name.
///
/// # Errors
/// [`VisionError::Unknown`], which lists those there are.
pub(crate) fn label_called<'a>(labels: &'a [ItemLabels], name: &str) -> Result<&'a ItemLabels, VisionError> {
    labels.iter().find(|labels| labels.name == name).ok_or_else(|| {
        let known: Vec<&str> = labels.iter().map(|labels| labels.name.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        VisionError::Unknown { what: "label", name: name.to_owned(), known }
    })
}

/// Who bought what, and where the pictures are.
#[derive(Clone, Debug, Default)]
pub struct Purchases {
    /// A short name of the data set.
    pub name: String,
    /// Keys of users.
    pub users: Dictionary,
    /// Keys of items.
    pub items: Dictionary,
    /// User and item, each pair once.
    pub pairs: Vec<(u32, u32)>,
    /// Purchases of something that the user had bought already, which are left out.
    pub repeated: usize,
    /// Pictures of each item.
    pub pictures: Vec<ItemPictures>,
    /// The folder or archive that pictures are in.
    pub store: PathBuf,
    /// The addresses that pictures are downloaded from, by name; empty where they come from nowhere else.
    pub addresses: HashMap<String, String>,
    /// What is known of items besides.
    pub labels: Vec<ItemLabels>,
    /// What the colours of one article have in common, by item; `None` where every item stands for itself.
    pub families: Option<Vec<String>>,
}

/// Opens a folder, whatever its layout: H&M (`transactions_train*.csv`), plain (`interactions.csv` and `images`), or Amazon
/// (reviews and `meta_*` as JSON lines, and `images`). A file of Amazon's reviews stands for its folder, where there are several.
///
/// # Errors
/// [`VisionError::Format`] if it is none of them; that of its reader otherwise.
pub fn open(path: &Path) -> Result<Purchases, VisionError> {
    if hm::is_here(path) {
        hm::read(path)
    } else if plain::is_here(path) {
        plain::read(path)
    } else if let Some(files) = amazon::Files::find(path)? {
        amazon::read(&files)
    } else if path.is_file() {
        Err(VisionError::Format {
            path: path.to_owned(),
            problem: "not a file of Amazon's reviews (.json or .jsonl, gzipped or not); of any other layout the folder is named".to_owned(),
        })
    } else {
        Err(VisionError::Format {
            path: path.to_owned(),
            problem: "no purchases with pictures here: expected transactions_train*.csv and a zip or folder of pictures (H&M), \
                      interactions.csv and images, or reviews and meta_* as JSON lines and images (Amazon)"
                .to_owned(),
        })
    }
}

/// Whether a folder has a table of purchases, so that its folders of pictures are no categories.
#[must_use]
pub fn has_table(folder: &Path) -> bool {
    hm::is_here(folder) || plain::is_here(folder)
}

/// Reads a table of purchases with the readers of ratings: pairs, and how many lines were repetitions.
pub(crate) fn read_table(path: &Path, columns: Columns) -> Result<(Dataset, ReadReport), VisionError> {
    let options =
        OpenOptions { duplicates: Duplicates::Last, implicit: true, columns, ..OpenOptions::default() };
    open_with_report(&path.display().to_string(), &options)
        .map_err(|error| VisionError::Format { path: path.to_owned(), problem: error.to_string() })
}

impl Purchases {
    /// Keys of what somebody bought.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] for a user that is not there.
    pub fn bought_by(&self, user: &str) -> Result<Vec<&str>, VisionError> {
        let number = self.users.get(user).ok_or_else(|| {
            let some: Vec<&str> = self.users.keys().take(3).collect();
            VisionError::Unknown {
                what: "user",
                name: user.to_owned(),
                known: format!("{}, such as {}", self.users.len(), some.join(", ")),
            }
        })?;
        let own = self.pairs.iter().filter(|(user, _)| *user == number);
        Ok(own.filter_map(|(_, item)| self.items.key(*item)).collect())
    }

    /// A label of items.
    ///
    /// # Errors
    /// [`VisionError::Unknown`], which lists those there are.
    pub fn label(&self, name: &str) -> Result<&ItemLabels, VisionError> {
        label_called(&self.labels, name)
    }

    /// From a table that was read; pictures are to be added.
    pub(crate) fn of_table(dataset: Dataset, report: &ReadReport) -> Self {
        let matrix = dataset.interactions.by_user();
        let pairs: Vec<(u32, u32)> = (0..matrix.n_rows())
            .flat_map(|user| matrix.row(user).0.iter().map(move |&item| (user as u32, item)))
            .collect();
        Self {
            name: dataset.name,
            pictures: vec![ItemPictures::default(); dataset.items.len()],
            users: dataset.users,
            items: dataset.items,
            pairs,
            repeated: report.duplicates as usize,
            ..Self::default()
        }
    }

    /// Gives items the pictures named after them: `KEY.jpg`, any picture in a folder `KEY/`, or `KEY_2.jpg`, `KEY-2.jpg` for further views.
    /// A picture of the item's very name comes first, the others by name.
    pub(crate) fn match_pictures(&mut self, names: impl Iterator<Item = String>) {
        let mut found: Vec<(u32, bool, String)> = names
            .filter_map(|name| {
                let path = Path::new(&name);
                let stem = path.file_stem()?.to_str()?;
                let number = |key: &str| self.items.get(key);
                let folder = || path.parent()?.file_name()?.to_str();
                let view = || {
                    let (key, view) = stem.rsplit_once(['_', '-'])?;
                    view.bytes().all(|byte| byte.is_ascii_digit()).then_some(key)
                };
                let (item, extra) = match number(stem) {
                    Some(item) => (item, false),
                    None => (folder().and_then(number).or_else(|| view().and_then(number))?, true),
                };
                Some((item, extra, name))
            })
            .collect();
        found.sort();
        for (item, _, name) in found {
            self.pictures[item as usize].vendor.push(name);
        }
    }

    /// Collects pairs from lines, counting what comes again.
    pub(crate) fn collect_pairs(&mut self, pairs: impl Iterator<Item = (u32, u32)>) {
        let mut seen = HashSet::new();
        for pair in pairs {
            if seen.insert(pair) {
                self.pairs.push(pair);
            } else {
                self.repeated += 1;
            }
        }
    }
}
