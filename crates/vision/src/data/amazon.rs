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

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::data::fetch::file_name;
use crate::data::literal;
use crate::data::plain::unpacked;
use crate::data::prepare::{core_filter, used};
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
    /// Looks for them in a folder, or beside a file of reviews that is named: metadata are called `meta*`, reviews are the other JSON file,
    /// pictures lie in `images`.
    ///
    /// # Errors
    /// [`VisionError::Io`], and [`VisionError::Format`] if there are several files of reviews and none is named, or several of metadata of which
    /// none or several have the name of the reviews.
    pub fn find(path: &Path) -> Result<Option<Self>, VisionError> {
        let named = path.is_file();
        let folder = if named { path.parent().unwrap_or(path) } else { path };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let (mut reviews, mut metadata) = (Vec::new(), Vec::new());
        for entry in std::fs::read_dir(folder).map_err(VisionError::io(folder))? {
            let path = entry.map_err(VisionError::io(folder))?.path();
            let Some(name) = json_name(&path).filter(|_| path.is_file()) else { continue };
            if name.starts_with("meta") { metadata.push(path) } else { reviews.push(path) }
        }
        if named {
            if json_name(path).is_none_or(|name| name.starts_with("meta")) {
                return Ok(None);
            }
            reviews = vec![path.to_owned()];
        }
        let several = |what: &str, files: &mut Vec<PathBuf>, remedy: &str| {
            files.sort();
            let names: Vec<String> = files.iter().filter_map(|path| json_name(path)).collect();
            VisionError::Format {
                path: folder.to_owned(),
                problem: format!(
                    "there are {} files of {what} ({}): {remedy}",
                    files.len(),
                    names.join(", ")
                ),
            }
        };
        if reviews.len() > 1 {
            let remedy = "name the one to read in the place of the folder";
            return Err(several("reviews", &mut reviews, remedy));
        }
        let Some(reviews) = reviews.pop() else { return Ok(None) };
        if metadata.len() > 1 {
            let of_reviews = |path: &PathBuf| {
                let name = short_name(path);
                name.strip_prefix("meta-").is_some_and(|part| short_name(&reviews).starts_with(part))
            };
            let mut own: Vec<PathBuf> = metadata.iter().filter(|path| of_reviews(path)).cloned().collect();
            if own.len() != 1 {
                return Err(several("metadata", &mut metadata, "keep the one of these reviews"));
            }
            metadata.clear();
            metadata.append(&mut own);
        }
        Ok(Some(Self { reviews, metadata: metadata.pop(), images: folder.join("images") }))
    }
}

/// The name of a file of JSON lines, in small letters; `None` for any other file.
fn json_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let plain = name.strip_suffix(".gz").unwrap_or(&name);
    (plain.ends_with(".json") || plain.ends_with(".jsonl")).then_some(name)
}

/// Reads reviews and metadata; pictures are named whether they have been downloaded or not.
///
/// # Errors
/// [`VisionError::Io`], and [`VisionError::Line`] for a line that is no review or no metadata.
pub fn read(files: &Files) -> Result<Purchases, VisionError> {
    let (mut out, _) = read_by_address(files)?;
    for item in &mut out.pictures {
        for picture in item.vendor.iter_mut().chain(&mut item.customer) {
            let file = file_name(picture);
            let address = std::mem::replace(picture, file.clone());
            out.addresses.insert(file, address);
        }
    }
    Ok(out)
}

/// What is to be downloaded, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// What can be asked for.
    pub pictures: Vec<String>,
    /// What cannot: anything but `http` and `https`.
    pub other: Vec<String>,
}

/// The addresses of all pictures of the items that are left by thresholds as of [`PrepareOptions`](crate::data::PrepareOptions): users with
/// `min_user` items, items with `min_item` buyers.
///
/// # Errors
/// As [`read`].
pub fn addresses(files: &Files, min_user: usize, min_item: usize) -> Result<Addresses, VisionError> {
    let (mut purchases, mut other) = read_by_address(files)?;
    let n_items = purchases.items.len();
    core_filter(&mut purchases.pairs, [purchases.users.len(), n_items], [min_user, min_item]);
    let wanted = used(&purchases.pairs, n_items);
    let mut out = Addresses::default();
    let mut seen = HashSet::new();
    for (item, ItemPictures { vendor, customer }) in purchases.pictures.iter().enumerate() {
        if !wanted[item] {
            continue;
        }
        let new = vendor.iter().chain(customer).filter(|address| seen.insert((*address).clone()));
        out.pictures.extend(new.cloned());
        let other = other.remove(&(item as u32)).unwrap_or_default();
        out.other.extend(other.into_iter().filter(|address| seen.insert(address.clone())));
    }
    Ok(out)
}

/// Purchases whose pictures are called by their addresses, and by item the addresses that nothing can be asked for by.
fn read_by_address(files: &Files) -> Result<(Purchases, HashMap<u32, Vec<String>>), VisionError> {
    let mut out =
        Purchases { name: short_name(&files.reviews), store: files.images.clone(), ..Purchases::default() };
    let mut pairs = Vec::new();
    let mut customer: HashMap<u32, Vec<String>> = HashMap::new();
    let mut other: HashMap<u32, Vec<String>> = HashMap::new();
    each_line(&files.reviews, |value| {
        let user = text(value, &["reviewerID", "user_id"]).ok_or("no reviewerID or user_id")?;
        let item = text(value, &["parent_asin", "asin"]).ok_or("no asin or parent_asin")?;
        let pair = (out.users.intern(user), out.items.intern(item));
        pairs.push(pair);
        for field in ["image", "images"] {
            let found = addresses_in(value.get(field));
            add_new(&mut customer, pair.1, found.pictures);
            add_new(&mut other, pair.1, found.other);
        }
        Ok(())
    })?;
    out.collect_pairs(pairs.into_iter());
    out.pictures = vec![ItemPictures::default(); out.items.len()];
    for (item, addresses) in customer {
        out.pictures[item as usize].customer = addresses;
    }
    if let Some(path) = &files.metadata {
        let mut labels = vec![None; out.items.len()];
        let mut vendor: HashMap<u32, Vec<String>> = HashMap::new();
        each_line(path, |value| {
            let key = text(value, &["parent_asin", "asin"]).ok_or("no asin or parent_asin")?;
            let Some(item) = out.items.get(key) else { return Ok(()) };
            for field in ["imageURLHighRes", "imageURL", "images", "imUrl"] {
                let found = addresses_in(value.get(field));
                add_new(&mut other, item, found.other);
                if !found.pictures.is_empty() {
                    add_new(&mut vendor, item, found.pictures);
                    break;
                }
            }
            labels[item as usize] = category(value);
            Ok(())
        })?;
        for (item, addresses) in vendor {
            out.pictures[item as usize].vendor = addresses;
        }
        if labels.iter().any(Option::is_some) {
            out.labels.push(ItemLabels { name: CATEGORY.to_owned(), of: labels });
        }
    }
    Ok((out, other))
}

/// A file's name without its endings, in small letters.
fn short_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    name.split('.').next().unwrap_or_default().replace('_', "-")
}

fn add_new(to: &mut HashMap<u32, Vec<String>>, item: u32, addresses: Vec<String>) {
    if addresses.is_empty() {
        return;
    }
    let own = to.entry(item).or_default();
    for address in addresses {
        if !own.contains(&address) {
            own.push(address);
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
fn addresses_in(field: Option<&Value>) -> Addresses {
    let mut out = Addresses::default();
    let mut add = |sizes: &mut dyn Iterator<Item = &str>| {
        let mut other = Vec::new();
        for address in sizes.map(str::trim).filter(|address| !address.is_empty()) {
            if address.starts_with("http://") || address.starts_with("https://") {
                return out.pictures.push(address.to_owned());
            }
            other.push(address.to_owned());
        }
        out.other.append(&mut other);
    };
    match field {
        Some(Value::Array(list)) => {
            for one in list {
                match one {
                    Value::Object(_) => add(&mut SIZES.iter().filter_map(|size| one.get(size)?.as_str())),
                    _ => add(&mut one.as_str().into_iter()),
                }
            }
        }
        Some(Value::Object(sizes)) => {
            let lists: Vec<&Vec<Value>> =
                SIZES.iter().filter_map(|size| sizes.get(*size)?.as_array()).collect();
            for number in 0..lists.iter().map(|list| list.len()).max().unwrap_or(0) {
                add(&mut lists.iter().filter_map(|list| list.get(number)?.as_str()));
            }
        }
        Some(value) => add(&mut value.as_str().into_iter()),
        None => {}
    }
    out
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
        Ok(read_by_address(&Files::find(folder.path())?.expect("reviews are there"))?.0)
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
        assert_eq!(addresses_in(Some(&lists)).pictures, ["https://x/l1.jpg", "https://x/h2.jpg"]);
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
        assert_eq!(addresses(&files, 2, 1).unwrap().pictures, ["https://x/1.jpg", "https://x/2.jpg"]);
        assert!(addresses(&files, 1, 2).unwrap().pictures.is_empty());
        let found = read(&files).unwrap();
        let names: Vec<&String> = found.pictures.iter().flat_map(|item| &item.vendor).collect();
        assert!(names.iter().all(|name| name.ends_with(".jpg") && !name.contains('/')), "{names:?}");
        assert_eq!(found.addresses[names[0]], "https://x/1.jpg");
    }

    #[test]
    fn addresses_that_nothing_can_be_asked_for_by_are_counted() {
        let folder = folder(
            "{\"reviewerID\":\"u1\",\"asin\":\"i1\",\"image\":[\"ftp://x/c.jpg\",\"https://x/c.jpg\",\"\"]}\n\
             {\"reviewerID\":\"u1\",\"asin\":\"i2\"}\n",
            "{\"asin\":\"i1\",\"imageURL\":[\"//x/1.jpg\"],\"imUrl\":\"https://x/1.jpg\"}\n\
             {\"asin\":\"i2\",\"images\":[{\"hi_res\":\"data:image\",\"large\":\"https://x/2.jpg\"}]}\n",
        );
        let files = Files::find(folder.path()).unwrap().unwrap();
        let found = addresses(&files, 2, 1).unwrap();
        assert_eq!(found.pictures, ["https://x/1.jpg", "https://x/c.jpg", "https://x/2.jpg"]);
        // A picture that has another size is not missed.
        assert_eq!(found.other, ["ftp://x/c.jpg", "//x/1.jpg"]);
        assert_eq!(addresses(&files, 3, 1).unwrap(), Addresses::default());
    }

    #[test]
    fn one_of_several_files_of_reviews_is_named() {
        let folder = folder("{\"reviewerID\":\"u1\",\"asin\":\"i1\"}\n", "");
        let other = folder.path().join("Books.json");
        std::fs::write(&other, "{\"reviewerID\":\"u2\",\"asin\":\"b1\"}\n").unwrap();
        let message = Files::find(folder.path()).unwrap_err().to_string();
        assert!(
            message.contains("books.json, fashion_5.json.gz") && message.contains("name the one"),
            "{message}"
        );
        let found = Files::find(&other).unwrap().unwrap();
        assert_eq!((&found.reviews, &found.images), (&other, &folder.path().join("images")));
        assert!(read(&found).unwrap().items.keys().eq(["b1"]));
        // Of several files of metadata, that of the reviews.
        let metadata = folder.path().join("meta_Books.json.gz");
        std::fs::write(&metadata, "").unwrap();
        assert_eq!(Files::find(&other).unwrap().unwrap().metadata, Some(metadata.clone()));
        std::fs::write(folder.path().join("Shoes.json"), "").unwrap();
        let message = Files::find(&folder.path().join("Shoes.json")).unwrap_err().to_string();
        assert!(message.contains("2 files of metadata"), "{message}");
        assert_eq!(Files::find(&metadata).unwrap(), None);
    }
}
