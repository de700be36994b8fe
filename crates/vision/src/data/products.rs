//! Labelled pictures of products, in a folder or a zip archive: `styles.csv` and `images/ID.jpg`, or a folder of pictures for each category
//! (`tops/1.jpg`, `shoes/2.jpg`), as anybody can make of their own.
//!
//! The table's last column is the product's name and may hold commas without quotes, so a line is cut at the first nine.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use crate::data::purchases::{ItemLabels, label_called};
use crate::error::VisionError;
use crate::images::{BuildOptions, BuildReport, Defect, Fit, ImageSet, Labels, PictureStore, build};

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
    /// Classes of [`CATEGORY`], in their order.
    categories: Vec<String>,
}

/// Reads the table of a folder or archive; where there is none, the folders that pictures lie in are their categories.
///
/// # Errors
/// [`VisionError::Format`] if there is neither `styles.csv` nor two folders of pictures, or no picture of what is in the table.
pub fn read(path: &Path) -> Result<Products, VisionError> {
    let bad = |problem: String| VisionError::Format { path: path.to_owned(), problem };
    let mut store = PictureStore::open(path)?;
    let pictures: Vec<String> = store.list()?.into_iter().map(|(name, _)| name).collect();
    let (prefix, table) = match read_table(&mut store, &pictures) {
        Ok(found) => found,
        Err(Defect::Missing) => return of_folders(path, pictures),
        Err(defect) => return Err(bad(format!("styles.csv: {defect}"))),
    };
    // Pictures of the table's own folder, where an archive has several copies of the set.
    let by_id: HashMap<&str, &String> = pictures
        .iter()
        .filter(|name| name.starts_with(&prefix))
        .filter_map(|name| Some((Path::new(name).file_stem()?.to_str()?, name)))
        .collect();
    let text = String::from_utf8_lossy(&table);
    // Spreadsheets begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
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
        categories: CATEGORIES.map(|(_, _, name)| name.to_owned()).to_vec(),
    };
    for line in lines {
        let fields: Vec<&str> = line.splitn(COLUMNS, ',').collect();
        let Some(name) = fields.get(id).and_then(|id| by_id.get(*id)) else { continue };
        out.names.push((*name).clone());
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

/// The folder of `styles.csv` within the store, ending in `/` unless empty, and its bytes: the first there is of the top and the folders
/// that have a folder `images`, in the order of their names.
fn read_table(store: &mut PictureStore, pictures: &[String]) -> Result<(String, Vec<u8>), Defect> {
    let mut folders: Vec<&str> = std::iter::once("")
        .chain(pictures.iter().filter_map(|name| {
            let (before, _) = name.rsplit_once("images/")?;
            (before.is_empty() || before.ends_with('/')).then_some(before)
        }))
        .collect();
    folders.sort_unstable();
    folders.dedup();
    let mut found = Err(Defect::Missing);
    for folder in folders {
        found =
            store.read(&format!("{folder}styles.csv"), MOST_BYTES).map(|table| (folder.to_owned(), table));
        if !matches!(found, Err(Defect::Missing)) {
            break;
        }
    }
    found
}

/// Pictures whose folder is their category. Pictures in no folder have none, and are left out.
fn of_folders(path: &Path, pictures: Vec<String>) -> Result<Products, VisionError> {
    let category = |name: &str| Some(Path::new(name).parent()?.file_name()?.to_str()?.to_owned());
    let (names, of): (Vec<String>, Vec<Option<String>>) = pictures
        .into_iter()
        .filter_map(|name| category(&name).map(|category| (name, Some(category))))
        .unzip();
    let categories: BTreeSet<String> = of.iter().flatten().cloned().collect();
    if categories.len() < 2 {
        return Err(VisionError::Format {
            path: path.to_owned(),
            problem: "neither styles.csv with a folder images, nor a folder of pictures for each of two categories or more".to_owned(),
        });
    }
    Ok(Products {
        store: path.to_owned(),
        names,
        labels: vec![ItemLabels { name: CATEGORY.to_owned(), of }],
        categories: categories.into_iter().collect(),
    })
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
        let labels = label_called(&self.labels, label)?;
        let kept: Vec<usize> = (0..self.len()).filter(|&at| labels.of[at].is_some()).collect();
        let of = |labels: &ItemLabels| ItemLabels {
            name: labels.name.clone(),
            of: kept.iter().map(|&at| labels.of[at].clone()).collect(),
        };
        Ok(Self {
            store: self.store.clone(),
            names: kept.iter().map(|&at| self.names[at].clone()).collect(),
            labels: self.labels.iter().map(of).collect(),
            categories: self.categories.clone(),
        })
    }

    /// Decodes the pictures (or finds them in the folder `cache`), with all labels; [`CATEGORY`] of a table has the papers' six classes in
    /// their order, whichever occur.
    ///
    /// # Errors
    /// As [`build`]; [`VisionError::NothingLeft`] if no picture can be read.
    pub fn images(
        &self,
        options: &BuildOptions,
        cache: &Path,
        progress: &dyn Fn(usize, usize) -> Result<(), VisionError>,
    ) -> Result<(ImageSet, BuildReport), VisionError> {
        let mut store = PictureStore::open(&self.store)?;
        let name = self.store.file_stem().unwrap_or_default().to_string_lossy();
        let cut = if options.fit == Fit::Crop { "-cropped" } else { "" };
        let cache = cache.join(format!("{name}-{}{cut}.pixels", options.px));
        let (mut set, report) = build(&mut store, &self.names, options, &cache, progress)?;
        if set.is_empty() {
            return Err(VisionError::NothingLeft {
                path: self.store.display().to_string(),
                problem: format!("none of its pictures can be read: {}", report.lines().join("; ")),
            });
        }
        let row: HashMap<&String, usize> =
            self.names.iter().enumerate().map(|(at, name)| (name, at)).collect();
        let rows: Vec<usize> = set.names().iter().filter_map(|name| row.get(name).copied()).collect();
        for labels in &self.labels {
            let of: Vec<Option<&str>> = rows.iter().map(|&row| labels.of[row].as_deref()).collect();
            let labels = if labels.name == CATEGORY {
                let number = |name: &str| self.categories.iter().position(|category| category == name);
                let of = of.iter().map(|name| name.and_then(number).map(|class| class as u32)).collect();
                Labels::new(CATEGORY, self.categories.clone(), of)?
            } else {
                Labels::from_names(&labels.name, &of)
            };
            set = set.with_labels(labels)?;
        }
        Ok((set, report))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_found_with_its_mark_and_its_folder() {
        let place = tempfile::tempdir().unwrap();
        for folder in ["images", "set/images", "a/other"] {
            std::fs::create_dir_all(place.path().join(folder)).unwrap();
        }
        let table = "\u{feff}id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,productDisplayName\n\
                     1,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,A shirt, with a comma\n\
                     2,Women,Footwear,Shoes,Heels,,Fall,2011,Casual,Heels\n\
                     3,Men,Apparel,Topwear,Shirts,Red,Fall,2011,Casual,No picture\n";
        std::fs::write(place.path().join("set/styles.csv"), table).unwrap();
        for picture in ["set/images/1.jpg", "set/images/2.jpg", "images/2.jpg", "a/other/3.jpg"] {
            std::fs::write(place.path().join(picture), b"not looked at").unwrap();
        }
        let found = read(place.path()).unwrap();
        assert_eq!(found.names, ["set/images/1.jpg", "set/images/2.jpg"]);
        let category = found.labels.iter().find(|labels| labels.name == CATEGORY).unwrap();
        assert_eq!(category.of, [Some("men-tops".to_owned()), Some("women-shoes".to_owned())]);
        assert_eq!(found.labels[4].of, [Some("Blue".to_owned()), None]);
        assert_eq!(found.labelled("colour").unwrap().len(), 1);

        // Without the table folders are categories: one is none.
        std::fs::remove_file(place.path().join("set/styles.csv")).unwrap();
        let folders = read(place.path()).unwrap();
        assert_eq!(folders.categories, ["images", "other"]);
        assert_eq!(folders.labelled(CATEGORY).unwrap().len(), 4);
        std::fs::remove_dir_all(place.path().join("a")).unwrap();
        assert!(read(place.path()).unwrap_err().to_string().contains("styles.csv"));
    }
}
