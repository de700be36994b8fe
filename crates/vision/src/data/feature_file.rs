//! Features of items that were made elsewhere, for `vbpr` and `vis-rank`.
//!
//! Two forms: a table with a header whose first column is the item's key and whose others are numbers (`.csv`, gzipped or not), and that of the
//! visual features of Amazon 2014: records of a key of 10 bytes and 4,096 little-endian `f32` (anything else).

use std::io::Read;
use std::path::Path;

use foldin_core::Dictionary;

use crate::data::plain::unpacked;
use crate::data::table::each_row;
use crate::error::VisionError;

/// Bytes of a key in the binary form.
const KEY: usize = 10;
/// Numbers of an item in the binary form.
const WIDTH: usize = 4096;

/// Features of a catalogue.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemTable {
    /// Numbers of an item.
    pub width: usize,
    /// `[items present × width]`.
    pub values: Vec<f32>,
    /// Whether the file has an item, by item.
    pub present: Vec<bool>,
}

/// Rows that components can be found of.
const LEAST: usize = 2;

/// Reads the features of these items; others in the file are passed over.
///
/// # Errors
/// [`VisionError::Io`], [`VisionError::Line`] or [`VisionError::Format`] for what is no number, not finite or of another width, and
/// [`VisionError::NothingLeft`] if fewer than two of the items are in the file.
pub fn read(path: &Path, items: &Dictionary) -> Result<ItemTable, VisionError> {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut rows: Vec<Option<Vec<f32>>> = vec![None; items.len()];
    let width = if name.trim_end_matches(".gz").ends_with(".csv") {
        read_csv(path, items, &mut rows)?
    } else {
        read_binary(path, items, &mut rows)?
    };
    let present: Vec<bool> = rows.iter().map(Option::is_some).collect();
    let found = present.iter().filter(|present| **present).count();
    if found < LEAST {
        let some: Vec<&str> = items.keys().take(3).collect();
        return Err(VisionError::NothingLeft {
            path: path.display().to_string(),
            problem: format!(
                "{found} of the catalogue's {} items are in it, and {LEAST} are needed; its keys are to be those of items, such as {}",
                items.len(),
                some.join(", ")
            ),
        });
    }
    Ok(ItemTable { width, values: rows.into_iter().flatten().flatten().collect(), present })
}

fn read_csv(path: &Path, items: &Dictionary, rows: &mut [Option<Vec<f32>>]) -> Result<usize, VisionError> {
    let mut width = None;
    each_row(path, unpacked(path)?, |row| {
        let Some(width) = width else {
            width = Some(row.len() - 1);
            return if row.len() > 1 { Ok(()) } else { Err("no columns after the item's key".to_owned()) };
        };
        let Some(item) = items.get(&row[0]) else { return Ok(()) };
        if row.len() - 1 != width {
            return Err(format!("{} numbers instead of {width}", row.len() - 1));
        }
        let number = |field: &String| field.trim().parse::<f32>().ok().filter(|x| x.is_finite());
        let numbers: Option<Vec<f32>> = row[1..].iter().map(number).collect();
        rows[item as usize] = Some(numbers.ok_or("a field that is no finite number")?);
        Ok(())
    })?;
    Ok(width.unwrap_or(0))
}

fn read_binary(path: &Path, items: &Dictionary, rows: &mut [Option<Vec<f32>>]) -> Result<usize, VisionError> {
    let mut input = unpacked(path)?;
    let mut record = vec![0; KEY + 4 * WIDTH];
    for number in 0u64.. {
        let mut filled = 0;
        while filled < record.len() {
            match input.read(&mut record[filled..]).map_err(VisionError::io(path))? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 {
            break;
        }
        let bad = |problem: &str| VisionError::Format {
            path: path.to_owned(),
            problem: format!("record {number} {problem}"),
        };
        if filled < record.len() {
            return Err(bad("ends early: records are a key of 10 bytes and 4,096 numbers"));
        }
        let Some(item) = std::str::from_utf8(&record[..KEY]).ok().and_then(|key| items.get(key)) else {
            continue;
        };
        let numbers: Vec<f32> = record[KEY..]
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        if numbers.iter().any(|x| !x.is_finite()) {
            return Err(bad("has a number that is not finite"));
        }
        rows[item as usize] = Some(numbers);
    }
    Ok(WIDTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Dictionary {
        Dictionary::from_keys(["B000000001", "B000000002", "B000000003"].map(str::to_owned).to_vec()).unwrap()
    }

    #[test]
    fn a_table() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features.csv");
        std::fs::write(&path, "item,a,b\nB000000002,1,-2.5\nelse,1,2\nB000000001,0,1e-3\n").unwrap();
        let found = read(&path, &items()).unwrap();
        let present = vec![true, true, false];
        let expected = ItemTable { width: 2, values: vec![0.0, 1e-3, 1.0, -2.5], present };
        assert_eq!(found, expected);
        for bad in [
            "item,a\nB000000001,x\n",
            "item,a\nB000000001,NaN\n",
            "item,a\nB000000001,1,2\n",
            "item\n",
            "i,a\nelse,1\n",
            "i,a\nB000000001,1\n",
        ] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path, &items()).is_err(), "{bad}");
        }
    }

    #[test]
    fn records_as_amazon_gave_them_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("image_features.b");
        let mut bytes = Vec::new();
        for (key, value) in [("B000000003", 3.0f32), ("X000000000", f32::NAN), ("B000000001", 1.0)] {
            bytes.extend(key.as_bytes());
            bytes.extend((0..WIDTH).flat_map(|_| value.to_le_bytes()));
        }
        std::fs::write(&path, &bytes).unwrap();
        let found = read(&path, &items()).unwrap();
        assert_eq!((found.width, found.present), (WIDTH, vec![true, false, true]));
        assert_eq!([found.values[0], found.values[WIDTH]], [1.0, 3.0]);
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(read(&path, &items()).unwrap_err().to_string().contains("record 2"));
    }
}
