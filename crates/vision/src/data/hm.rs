//! H&M: transactions, one picture of every article, and a table of articles.
//!
//! `transactions_train*.csv` has a line a purchase (`t_dat, customer_id, article_id, price, sales_channel_id`); `articles*.csv` may be
//! incomplete or missing. Pictures lie in a zip archive or a folder `images`, as `010/0108775015.jpg`. Numbers of articles begin with
//! a zero and are text. Their first seven digits are the product: articles that share them differ in colour.

use std::path::{Path, PathBuf};

use foldin_data::Columns;

use crate::data::plain::{folder_name, unpacked};
use crate::data::purchases::{ItemLabels, Purchases, read_table};
use crate::data::table::each_row;
use crate::error::VisionError;
use crate::images::PictureStore;

/// Digits of an article's number that are the product's.
const PRODUCT_DIGITS: usize = 7;

/// Columns of the articles' table that say what somebody sees, and what they are called here.
const LABELS: [(&str, &str); 4] = [
    ("product_type_name", "product type"),
    ("colour_group_name", "colour"),
    ("index_name", "index"),
    ("garment_group_name", "garment group"),
];

/// Whether a folder is laid out like this.
pub(crate) fn is_here(folder: &Path) -> bool {
    beginning_with(folder, "transactions_train").is_some()
}

/// Reads a folder of H&M's.
///
/// # Errors
/// [`VisionError::Format`] for files that cannot be read or are missing.
pub fn read(folder: &Path) -> Result<Purchases, VisionError> {
    let missing =
        |what: &str| VisionError::Format { path: folder.to_owned(), problem: format!("{what} is missing") };
    let table =
        beginning_with(folder, "transactions_train").ok_or_else(|| missing("transactions_train*.csv"))?;
    let columns = Columns {
        user: Some("customer_id".into()),
        item: Some("article_id".into()),
        rating: Some("-".into()),
        time: Some("-".into()),
    };
    let (dataset, report) = read_table(&table, columns)?;
    let mut out = Purchases::of_table(dataset, &report);
    out.name = folder_name(folder).unwrap_or_else(|| "hm".to_owned());
    out.store = pictures(folder).ok_or_else(|| missing("a zip archive or a folder `images` of pictures"))?;
    out.match_pictures(PictureStore::open(&out.store)?.list()?.into_iter().map(|(name, _)| name));
    let product = |key: &str| key.get(..PRODUCT_DIGITS).unwrap_or(key).to_owned();
    out.families = Some(out.items.keys().map(product).collect());
    if let Some(articles) = beginning_with(folder, "articles") {
        out.labels = read_labels(&articles, &out)?;
    }
    Ok(out)
}

/// The file whose name begins so, the first by name.
fn beginning_with(folder: &Path, start: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let first = names.filter(|name| name.starts_with(start) && name.contains(".csv")).min()?;
    Some(folder.join(first))
}

/// Where the pictures are.
pub(crate) fn pictures(folder: &Path) -> Option<PathBuf> {
    let images = folder.join("images");
    if images.is_dir() {
        return Some(images);
    }
    let entries = std::fs::read_dir(folder).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let zip = names.filter(|name| name.to_lowercase().ends_with(".zip")).min()?;
    Some(folder.join(zip))
}

/// The labels of articles; those not in the table have none.
fn read_labels(path: &Path, purchases: &Purchases) -> Result<Vec<ItemLabels>, VisionError> {
    let mut out: Vec<ItemLabels> = LABELS
        .iter()
        .map(|(_, name)| ItemLabels { name: (*name).to_owned(), of: vec![None; purchases.items.len()] })
        .collect();
    let mut columns: Option<(usize, [Option<usize>; 4])> = None;
    each_row(path, unpacked(path)?, |row| {
        let Some((article, columns)) = columns else {
            let column = |name: &str| row.iter().position(|column| column == name);
            let article = column("article_id").ok_or("there is no column article_id")?;
            columns = Some((article, LABELS.map(|(name, _)| column(name))));
            return Ok(());
        };
        let Some(item) = row.get(article).and_then(|key| purchases.items.get(key)) else { return Ok(()) };
        for (labels, column) in out.iter_mut().zip(columns) {
            let value = column.and_then(|column| row.get(column)).filter(|value| !value.is_empty());
            labels.of[item as usize] = value.cloned();
        }
        Ok(())
    })?;
    out.retain(|labels| labels.of.iter().any(Option::is_some));
    Ok(out)
}
