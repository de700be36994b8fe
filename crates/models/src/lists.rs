//! Lists of numbers with a value each, in the tensors of a model folder.

use foldin_core::{LoadError, ModelParts, Tensor};

/// Whole numbers up to this are exact in `f32`.
pub(crate) const MOST: usize = 1 << 24;

/// One list a row: where each begins and the end, the numbers of all, and their values.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lists {
    pub(crate) offsets: Vec<usize>,
    pub(crate) numbers: Vec<u32>,
    pub(crate) values: Vec<f32>,
}

/// Adds lists whose lengths and numbers are at most [`MOST`].
pub(crate) fn to_parts(
    name: &str,
    offsets: &[usize],
    numbers: &[u32],
    values: &[f32],
    parts: &mut ModelParts,
) {
    let lengths: Vec<f32> = offsets.windows(2).map(|pair| (pair[1] - pair[0]) as f32).collect();
    let numbers: Vec<f32> = numbers.iter().map(|&number| number as f32).collect();
    for (part, data) in [("lengths", lengths), ("numbers", numbers), ("values", values.to_vec())] {
        parts.tensors.insert(format!("{name}_{part}"), Tensor::new([data.len()], data));
    }
}

/// Takes lists back. Whether numbers and values are usable is for the caller to see.
pub(crate) fn from_parts(
    name: &str,
    rows: Option<usize>,
    parts: &mut ModelParts,
) -> Result<Lists, LoadError> {
    let whole = |part: &str, values: &[f32]| -> Result<Vec<u32>, LoadError> {
        let usable = values.iter().all(|&x| x >= 0.0 && x <= MOST as f32 && x.fract() == 0.0);
        if usable {
            Ok(values.iter().map(|&x| x as u32).collect())
        } else {
            Err(LoadError::Meta { key: format!("{name}_{part}") })
        }
    };
    let lengths = whole("lengths", &parts.take(&format!("{name}_lengths"), &[rows])?.data)?;
    let mut offsets = Vec::with_capacity(lengths.len() + 1);
    offsets.push(0usize);
    for &length in &lengths {
        offsets.push(offsets[offsets.len() - 1] + length as usize);
    }
    let entries = offsets[lengths.len()];
    let numbers = whole("numbers", &parts.take(&format!("{name}_numbers"), &[Some(entries)])?.data)?;
    let values = parts.take(&format!("{name}_values"), &[Some(entries)])?.data;
    Ok(Lists { offsets, numbers, values })
}
