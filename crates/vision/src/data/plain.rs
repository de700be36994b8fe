//! The plain layout: a table of interactions beside a folder (or zip archive) of pictures.
//!
//! ```text
//! shop/interactions.csv     user,item   (any header, separator and compression that ratings may have)
//! shop/images/KEY.jpg       the picture of item KEY
//! shop/images/KEY/2.jpg     further views of it, also as images/KEY_2.jpg
//! shop/customer-images/     the same of pictures taken by buyers; optional
//! shop/items.csv            item, and a column for each label; optional
//! ```

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use foldin_data::Columns;

use crate::data::hm::pictures;
use crate::data::purchases::{ItemLabels, Purchases, read_table};
use crate::data::table::each_row;
use crate::error::VisionError;
use crate::images::PictureStore;

/// Files that are taken for the table, the first that is there.
const TABLES: [&str; 4] =
    ["interactions.csv", "interactions.csv.gz", "interactions.tsv", "interactions.tsv.gz"];

/// Labels with more different values than this are texts.
const MOST_CLASSES: usize = 500;

/// Whether a folder is laid out like this.
pub(crate) fn is_here(folder: &Path) -> bool {
    table(folder).is_some()
}

fn table(folder: &Path) -> Option<PathBuf> {
    TABLES.iter().map(|name| folder.join(name)).find(|path| path.is_file())
}

/// What a folder is called.
pub(crate) fn folder_name(folder: &Path) -> Option<String> {
    Some(folder.canonicalize().ok()?.file_name()?.to_string_lossy().into_owned())
}

/// Reads a folder in the plain layout.
///
/// # Errors
/// [`VisionError::Format`] for files that cannot be read or are missing.
pub fn read(folder: &Path) -> Result<Purchases, VisionError> {
    let missing =
        |what: &str| VisionError::Format { path: folder.to_owned(), problem: format!("{what} is missing") };
    let path = table(folder).ok_or_else(|| missing("interactions.csv"))?;
    let (dataset, report) = read_table(&path, Columns::default())?;
    let mut out = Purchases::of_table(dataset, &report);
    if let Some(name) = folder_name(folder) {
        out.name = name;
    }
    let images =
        pictures(folder).ok_or_else(|| missing("a folder `images`, or a zip archive of pictures,"))?;
    let names = |store: &Path| -> Result<Vec<String>, VisionError> {
        Ok(PictureStore::open(store)?.list()?.into_iter().map(|(name, _)| name).collect())
    };
    let customer = folder.join("customer-images");
    if customer.is_dir() && !images.is_dir() {
        return Err(VisionError::Format {
            path: customer,
            problem: format!(
                "stands beside the archive {}, and only pictures of one folder can be read together: unpack it into the folder `images`",
                images.display()
            ),
        });
    }
    if images.is_dir() && customer.is_dir() {
        // Both in one store: names begin with the folder's then.
        out.store = folder.to_owned();
        let inside = |prefix: &'static str, names: Vec<String>| {
            names.into_iter().map(move |name| format!("{prefix}/{name}"))
        };
        out.match_pictures(inside("customer-images", names(&customer)?));
        for pictures in &mut out.pictures {
            pictures.customer = std::mem::take(&mut pictures.vendor);
        }
        out.match_pictures(inside("images", names(&images)?));
    } else {
        let found = names(&images)?;
        out.store = images;
        out.match_pictures(found.into_iter());
    }
    let items = folder.join("items.csv");
    if items.is_file() {
        out.labels = read_labels(&items, &out)?;
    }
    Ok(out)
}

/// A file's content, gzip undone.
pub(crate) fn unpacked(path: &Path) -> Result<Box<dyn Read>, VisionError> {
    let file = BufReader::with_capacity(1 << 16, File::open(path).map_err(VisionError::io(path))?);
    let gzip = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gz"));
    Ok(if gzip { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

/// Columns of a table of items as labels: those with few enough different values.
fn read_labels(path: &Path, purchases: &Purchases) -> Result<Vec<ItemLabels>, VisionError> {
    let mut out: Vec<ItemLabels> = Vec::new();
    let mut key = None;
    each_row(path, unpacked(path)?, |row| {
        let Some(key) = key else {
            let of = vec![None; purchases.items.len()];
            out = row.iter().map(|name| ItemLabels { name: name.clone(), of: of.clone() }).collect();
            key = Some(
                row.iter().position(|name| matches!(name.as_str(), "item" | "item_id" | "id")).unwrap_or(0),
            );
            return Ok(());
        };
        let Some(item) = row.get(key).and_then(|key| purchases.items.get(key)) else { return Ok(()) };
        for (column, labels) in out.iter_mut().enumerate() {
            labels.of[item as usize] = row.get(column).filter(|value| !value.is_empty()).cloned();
        }
        Ok(())
    })?;
    let Some(key) = key else { return Ok(out) };
    out.swap_remove(key);
    out.retain(|labels| {
        let values: std::collections::HashSet<&String> = labels.of.iter().flatten().collect();
        (2..=MOST_CLASSES).contains(&values.len())
    });
    out.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(out)
}
