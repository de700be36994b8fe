//! Amazon reviews and metadata, as published in 2014, 2018 and 2023: JSON lines, gzipped or not.
//!
//! | | 2014 | 2018 | 2023 |
//! | --- | --- | --- | --- |
//! | user, item of a review | `reviewerID`, `asin` | the same | `user_id`, `parent_asin` |
//! | pictures of a review | – | `image[]` | `images[].large_image_url` … |
//! | pictures in the metadata | `imUrl` | `imageURLHighRes[]`, else `imageURL[]` | `images[].hi_res`, else `large`, `thumb` |
//! | category | `categories[0]` | `category` | `categories` |
//!
//! Metadata of 2014 are Python literals ([`crate::data::literal`]). Any review is a purchase, whatever its stars, as in the papers. A
//! picture is an address, and its file in the folder `images` is named after it ([`crate::data::fetch::file_name`]).

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::fetch::file_name;
use crate::data::literal;
use crate::data::plain::unpacked;
use crate::data::purchases::{ItemLabels, ItemPictures, Purchases};
use crate::error::VisionError;

/// The label that metadata give.
pub const CATEGORY: &str = "category";

/// The longest line that is read: reviews and descriptions stay far below it.
const LONGEST_LINE: usize = 16 << 20;

/// The files of one part of Amazon.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// Reviews.
    pub reviews: PathBuf,
    /// Metadata of items; without them an item has only pictures of buyers.
    pub metadata: Option<PathBuf>,
    /// The folder that pictures are downloaded into.
    pub images: PathBuf,
}

impl Files {
    /// Looks for them in a folder: metadata are called `meta*`, reviews are the other JSON file, pictures lie in `images`.
    ///
    /// # Errors
    /// [`VisionError::Io`], and [`VisionError::Format`] if there are several files of reviews.
    pub fn find(folder: &Path) -> Result<Option<Self>, VisionError> {
        let mut reviews = Vec::new();
        let mut metadata = None;
        for entry in std::fs::read_dir(folder).map_err(VisionError::io(folder))? {
            let path = entry.map_err(VisionError::io(folder))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
            let plain = name.strip_suffix(".gz").unwrap_or(&name);
            if !path.is_file() || !(plain.ends_with(".json") || plain.ends_with(".jsonl")) {
                continue;
            }
            if plain.starts_with("meta") {
                metadata = Some(path);
            } else {
                reviews.push(path);
            }
        }
        match reviews.len() {
            0 => Ok(None),
            1 => Ok(Some(Self { reviews: reviews.remove(0), metadata, images: folder.join("images") })),
            several => Err(VisionError::Format {
                path: folder.to_owned(),
                problem: format!("there are {several} files of reviews; keep one, or name it"),
            }),
        }
    }
}

/// Reads reviews and metadata; pictures are named whether they have been downloaded or not.
///
/// # Errors
/// [`VisionError::Io`], and [`VisionError::Line`] for a line that is no review or no metadata.
pub fn read(files: &Files) -> Result<Purchases, VisionError> {
    read_with(files, file_name)
}

/// The addresses of all pictures of items that a user with at least `min_user` reviewed items reviewed, each once: what is to be downloaded.
///
/// # Errors
/// As [`read`].
pub fn addresses(files: &Files, min_user: usize) -> Result<Vec<String>, VisionError> {
    let purchases = read_with(files, str::to_owned)?;
    let mut of_user = vec![0usize; purchases.users.len()];
    purchases.pairs.iter().for_each(|&(user, _)| of_user[user as usize] += 1);
    let mut wanted = vec![false; purchases.items.len()];
    for &(user, item) in &purchases.pairs {
        wanted[item as usize] |= of_user[user as usize] >= min_user;
    }
    let mut out = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (item, _) in wanted.iter().enumerate().filter(|(_, wanted)| **wanted) {
        let ItemPictures { vendor, customer } = &purchases.pictures[item];
        out.extend(vendor.iter().chain(customer).filter(|address| seen.insert(address.as_str())).cloned());
    }
    Ok(out)
}

fn read_with(files: &Files, name: fn(&str) -> String) -> Result<Purchases, VisionError> {
    let mut out =
        Purchases { name: short_name(&files.reviews), store: files.images.clone(), ..Purchases::default() };
    let mut pairs = Vec::new();
    let mut customer: HashMap<u32, Vec<String>> = HashMap::new();
    each_line(&files.reviews, |value| {
        let user = text(value, &["reviewerID", "user_id"]).ok_or("no reviewerID or user_id")?;
        let item = text(value, &["parent_asin", "asin"]).ok_or("no asin or parent_asin")?;
        let pair = (out.users.intern(user), out.items.intern(item));
        pairs.push(pair);
        let mut found = addresses_in(value.get("image"));
        found.extend(addresses_in(value.get("images")));
        if !found.is_empty() {
            add_new(customer.entry(pair.1).or_default(), found.iter().map(|address| name(address)));
        }
        Ok(())
    })?;
    out.collect_pairs(pairs.into_iter());
    out.pictures = vec![ItemPictures::default(); out.items.len()];
    for (item, names) in customer {
        out.pictures[item as usize].customer = names;
    }
    if let Some(path) = &files.metadata {
        let mut labels = vec![None; out.items.len()];
        each_line(path, |value| {
            let key = text(value, &["parent_asin", "asin"]).ok_or("no asin or parent_asin")?;
            let Some(item) = out.items.get(key) else { return Ok(()) };
            let mut found = Vec::new();
            for field in ["imageURLHighRes", "imageURL", "images", "imUrl"] {
                found = addresses_in(value.get(field));
                if !found.is_empty() {
                    break;
                }
            }
            add_new(&mut out.pictures[item as usize].vendor, found.iter().map(|address| name(address)));
            labels[item as usize] = category(value);
            Ok(())
        })?;
        if labels.iter().any(Option::is_some) {
            out.labels.push(ItemLabels { name: CATEGORY.to_owned(), of: labels });
        }
    }
    Ok(out)
}

/// A file's name without its endings, in small letters.
fn short_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().replace('_', "-")
}

fn add_new(to: &mut Vec<String>, names: impl Iterator<Item = String>) {
    for name in names {
        if !to.contains(&name) {
            to.push(name);
        }
    }
}

/// Hands each line to `take`, which says what is wrong with it.
fn each_line(
    path: &Path,
    mut take: impl FnMut(&Value) -> Result<(), &'static str>,
) -> Result<(), VisionError> {
    let mut input = BufReader::with_capacity(1 << 16, unpacked(path)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let bad = |problem: String| VisionError::Line { path: path.to_owned(), line: number, problem };
        let mut most = std::io::Read::take(&mut input, LONGEST_LINE as u64);
        if most.read_until(b'\n', &mut line).map_err(VisionError::io(path))? == 0 {
            break;
        }
        if line.len() == LONGEST_LINE {
            return Err(bad(format!("longer than {LONGEST_LINE} bytes")));
        }
        let text = std::str::from_utf8(&line).map_err(|_| bad("not UTF-8".to_owned()))?.trim();
        if text.is_empty() {
            continue;
        }
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(json) => literal::parse(text)
                .map_err(|literal| bad(format!("neither JSON ({json}) nor a Python literal ({literal})")))?,
        };
        take(&value).map_err(|problem| bad(problem.to_owned()))?;
    }
    Ok(())
}

/// The first of these fields that is a text with something in it.
fn text<'a>(value: &'a Value, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| value.get(name)?.as_str().filter(|text| !text.is_empty()))
}

/// Names of one picture's sizes, the largest first.
const SIZES: [&str; 6] =
    ["hi_res", "large", "large_image_url", "medium_image_url", "thumb", "small_image_url"];

/// All pictures in a field, whichever form it has: an address, a list of them, a list of objects with one picture in several sizes, or an
/// object of lists, one for each size.
fn addresses_in(field: Option<&Value>) -> Vec<String> {
    let address = |value: &Value| {
        let text = value.as_str()?.trim();
        (text.starts_with("http://") || text.starts_with("https://")).then(|| text.to_owned())
    };
    let largest = |of: &dyn Fn(&str) -> Option<String>| SIZES.iter().find_map(|size| of(size));
    match field {
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(|one| {
                if one.is_object() { largest(&|size| one.get(size).and_then(address)) } else { address(one) }
            })
            .collect(),
        Some(Value::Object(sizes)) => {
            let lists: Vec<(&String, &Vec<Value>)> =
                sizes.iter().filter_map(|(size, list)| Some((size, list.as_array()?))).collect();
            let longest = lists.iter().map(|(_, list)| list.len()).max().unwrap_or(0);
            let at = |number: usize| {
                largest(&|size| {
                    let list = lists.iter().find(|(name, _)| *name == size)?.1;
                    list.get(number).and_then(address)
                })
            };
            (0..longest).filter_map(at).collect()
        }
        Some(value) => address(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The second level of an item's path of categories, or the only one.
fn category(value: &Value) -> Option<String> {
    let list = ["category", "categories"].iter().find_map(|name| value.get(name)?.as_array())?;
    // Of 2014 there may be several paths; the first is taken.
    let path = list.first().and_then(Value::as_array).unwrap_or(list);
    path.get(1).or(path.first())?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn folder(reviews: &str, metadata: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let file = std::fs::File::create(folder.path().join("Fashion_5.json.gz")).unwrap();
        let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
        file.write_all(reviews.as_bytes()).unwrap();
        file.finish().unwrap();
        std::fs::write(folder.path().join("meta_Fashion.json"), metadata).unwrap();
        folder
    }

    fn read_folder(folder: &tempfile::TempDir) -> Result<Purchases, VisionError> {
        read_with(&Files::find(folder.path())?.expect("reviews are there"), str::to_owned)
    }

    #[test]
    fn what_was_published_in_2018() {
        let folder = folder(
            "{\"reviewerID\":\"u1\",\"asin\":\"i1\",\"overall\":2.0,\"image\":[\"https://x/c1.jpg\",\"https://x/c2.jpg\"]}\n\n\
             {\"reviewerID\":\"u1\",\"asin\":\"i1\",\"image\":[\"https://x/c2.jpg\",\"https://x/c3.jpg\"]}\n\
             {\"reviewerID\":\"u2\",\"asin\":\"i2\"}",
            "{\"asin\":\"i1\",\"imageURL\":[\"https://x/small.jpg\"],\"imageURLHighRes\":[\"https://x/a.jpg\",\"https://x/b.jpg\"],\
              \"category\":[\"Clothing\",\"Women\"]}\n{\"asin\":\"i9\",\"imageURL\":[\"https://x/z.jpg\"]}\n\
             {\"asin\":\"i2\",\"imageURL\":[\"https://x/d.jpg\"]}\n",
        );
        let got = read_folder(&folder).unwrap();
        assert_eq!(got.name, "fashion-5");
        assert_eq!((got.pairs.clone(), got.repeated), (vec![(0, 0), (1, 1)], 1));
        assert_eq!(got.pictures[0].vendor, ["https://x/a.jpg", "https://x/b.jpg"]);
        assert_eq!(got.pictures[0].customer, ["https://x/c1.jpg", "https://x/c2.jpg", "https://x/c3.jpg"]);
        assert_eq!(got.pictures[1].vendor, ["https://x/d.jpg"]);
        assert_eq!(got.labels[0].of, [Some("Women".to_owned()), None]);
    }

    #[test]
    fn what_was_published_in_2014() {
        let folder = folder(
            "{\"reviewerID\":\"u1\",\"asin\":\"i1\",\"helpful\":[0,1]}\n",
            "{'asin': 'i1', 'imUrl': 'http://x/a.jpg', 'categories': [['Clothing', 'Men', 'Shoes'], ['Sale']], 'price': 3.5}\n",
        );
        let got = read_folder(&folder).unwrap();
        assert_eq!(got.pictures[0].vendor, ["http://x/a.jpg"]);
        assert_eq!(got.labels[0].of, [Some("Men".to_owned())]);
    }

    #[test]
    fn what_was_published_in_2023() {
        let folder = folder(
            "{\"user_id\":\"u1\",\"asin\":\"v\",\"parent_asin\":\"p\",\"images\":[{\"small_image_url\":\"https://x/s.jpg\",\
              \"large_image_url\":\"https://x/l.jpg\"}]}\n",
            "{\"parent_asin\":\"p\",\"categories\":[],\"images\":[{\"thumb\":\"https://x/t.jpg\",\"large\":\"https://x/m.jpg\",\"hi_res\":null,\
              \"variant\":\"MAIN\"}]}\n",
        );
        let got = read_folder(&folder).unwrap();
        assert!(got.items.keys().eq(["p"]));
        assert_eq!(
            (&got.pictures[0].vendor[0], &got.pictures[0].customer[0]),
            (&"https://x/m.jpg".into(), &"https://x/l.jpg".into())
        );
        // As the loader of Hugging Face gives them.
        let lists = serde_json::json!({"hi_res": [null, "https://x/h2.jpg"], "large": ["https://x/l1.jpg", "https://x/l2.jpg"]});
        assert_eq!(addresses_in(Some(&lists)), ["https://x/l1.jpg", "https://x/h2.jpg"]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let message = read_folder(&folder("{\"reviewerID\":\"u\",\"asin\":\"i\"}\n{oops\n", ""))
            .unwrap_err()
            .to_string();
        assert!(message.contains("line 2"), "{message}");
        let message = read_folder(&folder("{\"asin\":\"i\"}\n", "")).unwrap_err().to_string();
        assert!(message.contains("line 1") && message.contains("reviewerID"), "{message}");
    }

    #[test]
    fn only_addresses_of_items_that_count_are_wanted() {
        let folder = folder(
            "{\"reviewerID\":\"u1\",\"asin\":\"i1\"}\n{\"reviewerID\":\"u1\",\"asin\":\"i2\"}\n{\"reviewerID\":\"u2\",\"asin\":\"i3\"}\n",
            "{\"asin\":\"i1\",\"imageURL\":[\"https://x/1.jpg\"]}\n{\"asin\":\"i2\",\"imageURL\":[\"https://x/1.jpg\",\"https://x/2.jpg\"]}\n\
             {\"asin\":\"i3\",\"imageURL\":[\"https://x/3.jpg\"]}\n",
        );
        let files = Files::find(folder.path()).unwrap().unwrap();
        assert_eq!(addresses(&files, 2).unwrap(), ["https://x/1.jpg", "https://x/2.jpg"]);
        let names: Vec<String> =
            read(&files).unwrap().pictures.into_iter().flat_map(|item| item.vendor).collect();
        assert!(names.iter().all(|name| name.ends_with(".jpg") && !name.contains('/')), "{names:?}");
    }
}
