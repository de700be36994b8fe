//! Labelled pictures of fashion products: `styles.csv` and `images/ID.jpg`, in a folder or a zip archive.
//!
//! The table's last column is the product's name and may hold commas without quotes, so a line is cut at the first nine.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::data::purchases::ItemLabels;
use crate::error::VisionError;
use crate::images::{BuildOptions, BuildReport, ImageSet, Labels, PictureStore, build};

/// Columns taken as labels, and what they are called here.
const LABELS: [(&str, &str); 5] = [
    ("gender", "gender"),
    ("masterCategory", "master category"),
    ("subCategory", "sub-category"),
    ("articleType", "article type"),
    ("baseColour", "colour"),
];

/// The label of the six categories that the papers generate.
pub const CATEGORY: &str = "category";

/// Gender, sub-category, and the category they make, in the order of the papers' one-hot codes.
const CATEGORIES: [(&str, &str, &str); 6] = [
    ("Men", "Topwear", "men-tops"),
    ("Women", "Topwear", "women-tops"),
    ("Men", "Bottomwear", "men-bottoms"),
    ("Women", "Bottomwear", "women-bottoms"),
    ("Men", "Shoes", "men-shoes"),
    ("Women", "Shoes", "women-shoes"),
];

/// Columns before the product's name.
const COLUMNS: usize = 10;

/// The largest table that is read.
const MOST_BYTES: usize = 64 << 20;

/// A table of products and where their pictures are.
#[derive(Clone, Debug)]
pub struct Products {
    store: PathBuf,
    /// Names of pictures, in the order of the table.
    names: Vec<String>,
    labels: Vec<ItemLabels>,
}

/// Reads the table of a folder or archive.
///
/// # Errors
/// [`VisionError::Format`] if there is no `styles.csv`, or no picture of what is in it.
pub fn read(path: &Path) -> Result<Products, VisionError> {
    let bad = |problem: String| VisionError::Format { path: path.to_owned(), problem };
    let mut store = PictureStore::open(path)?;
    let by_id: HashMap<String, String> = store
        .list()?
        .into_iter()
        .filter_map(|(name, _)| Some((Path::new(&name).file_stem()?.to_str()?.to_owned(), name)))
        .collect();
    let prefix = by_id.values().next().and_then(|name| name.rsplit_once("images/")).map_or("", |cut| cut.0);
    let table = store
        .read(&format!("{prefix}styles.csv"), MOST_BYTES)
        .map_err(|defect| bad(format!("styles.csv: {defect}")))?;
    let text = String::from_utf8_lossy(&table);
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().splitn(COLUMNS, ',').collect();
    let column = |name: &str| {
        let found = header.iter().position(|column| *column == name);
        found.ok_or_else(|| bad(format!("styles.csv has no column {name}")))
    };
    let id = column("id")?;
    let columns = LABELS.iter().map(|(name, _)| column(name)).collect::<Result<Vec<usize>, _>>()?;
    let mut out = Products {
        store: path.to_owned(),
        names: Vec::new(),
        labels: LABELS
            .iter()
            .map(|(_, name)| ItemLabels { name: (*name).to_owned(), of: Vec::new() })
            .collect(),
    };
    for line in lines {
        let fields: Vec<&str> = line.splitn(COLUMNS, ',').collect();
        let Some(name) = fields.get(id).and_then(|id| by_id.get(*id)) else { continue };
        out.names.push(name.clone());
        for (labels, &column) in out.labels.iter_mut().zip(&columns) {
            let value = fields.get(column).filter(|value| !value.is_empty());
            labels.of.push(value.map(|value| (*value).to_owned()));
        }
    }
    if out.names.is_empty() {
        return Err(bad("no picture of what is in styles.csv".to_owned()));
    }
    let (genders, kinds) = (&out.labels[0].of, &out.labels[2].of);
    let category = |gender: &Option<String>, kind: &Option<String>| {
        let of = CATEGORIES
            .iter()
            .find(|(g, k, _)| gender.as_deref() == Some(*g) && kind.as_deref() == Some(*k))?;
        Some(of.2.to_owned())
    };
    let of = genders.iter().zip(kinds).map(|(gender, kind)| category(gender, kind)).collect();
    out.labels.push(ItemLabels { name: CATEGORY.to_owned(), of });
    Ok(out)
}

impl Products {
    /// Number of products in the table that have a picture.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Only products that have this label.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] for a label that the table does not have.
    pub fn labelled(&self, label: &str) -> Result<Self, VisionError> {
        let labels = self.labels.iter().find(|labels| labels.name == label);
        let labels = labels.ok_or_else(|| VisionError::Unknown {
            what: "label",
            name: label.to_owned(),
            known: self.labels.iter().map(|labels| labels.name.as_str()).collect::<Vec<_>>().join(", "),
        })?;
        let kept: Vec<usize> = (0..self.len()).filter(|&at| labels.of[at].is_some()).collect();
        let of = |labels: &ItemLabels| ItemLabels {
            name: labels.name.clone(),
            of: kept.iter().map(|&at| labels.of[at].clone()).collect(),
        };
        Ok(Self {
            store: self.store.clone(),
            names: kept.iter().map(|&at| self.names[at].clone()).collect(),
            labels: self.labels.iter().map(of).collect(),
        })
    }

    /// Decodes the pictures (or finds them in `cache`), with all labels; [`CATEGORY`] has the papers' six classes in their order, whichever
    /// occur.
    ///
    /// # Errors
    /// As [`build`].
    pub fn images(
        &self,
        options: &BuildOptions,
        cache: &Path,
        progress: &dyn Fn(usize, usize) -> Result<(), VisionError>,
    ) -> Result<(ImageSet, BuildReport), VisionError> {
        let mut store = PictureStore::open(&self.store)?;
        let (mut set, report) = build(&mut store, &self.names, options, cache, progress)?;
        let row: HashMap<&String, usize> =
            self.names.iter().enumerate().map(|(at, name)| (name, at)).collect();
        let rows: Vec<usize> = set.names().iter().filter_map(|name| row.get(name).copied()).collect();
        for labels in &self.labels {
            let of: Vec<Option<&str>> = rows.iter().map(|&row| labels.of[row].as_deref()).collect();
            let labels = if labels.name == CATEGORY {
                let classes = CATEGORIES.map(|(_, _, name)| name.to_owned()).to_vec();
                let number = |name: &str| CATEGORIES.iter().position(|category| category.2 == name);
                let of = of.iter().map(|name| name.and_then(number).map(|class| class as u32)).collect();
                Labels::new(CATEGORY, classes, of)?
            } else {
                Labels::from_names(&labels.name, &of)
            };
            set = set.with_labels(labels)?;
        }
        Ok((set, report))
    }
}
