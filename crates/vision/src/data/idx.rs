//! IDX: the format of MNIST and Fashion-MNIST, grey pictures in one file and their classes in another.
//!
//! Big-endian: two zero bytes, a type (8 for bytes), the number of axes, the length of each as `u32`, then the bytes.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::plain::unpacked;
use crate::error::VisionError;
use crate::images::set::CHANNELS;
use crate::images::{ImageSet, Labels};

/// What Fashion-MNIST's ten classes are.
pub const FASHION_MNIST: [&str; 10] =
    ["t-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot"];

/// Most bytes of pictures in a file: what no file of this kind reaches, and a broken header does.
const MOST_BYTES: usize = 4 << 30;

/// Which of the two pairs of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `train-*`.
    Train,
    /// `t10k-*`.
    Test,
}

/// Reads a folder of IDX files as pictures of three equal channels with the label `class`. Pictures smaller than `px` get an even
/// border of black, as is usual to make 32 of 28.
///
/// # Errors
/// [`VisionError::Io`] for missing files, [`VisionError::Format`] for broken ones and for pictures larger than `px`.
pub fn read(folder: &Path, part: Part, px: usize) -> Result<ImageSet, VisionError> {
    let start = match part {
        Part::Train => "train",
        Part::Test => "t10k",
    };
    let path = either(folder, &format!("{start}-images-idx3-ubyte"));
    let (shape, grey) = array(&path, 3)?;
    let bad = |path: &Path, problem: String| VisionError::Format { path: path.to_owned(), problem };
    let [count, rows, columns] = shape[..] else { return Err(bad(&path, "not three axes".to_owned())) };
    if rows > px || columns > px {
        return Err(bad(&path, format!("pictures of {rows} × {columns} do not fit into {px} × {px}")));
    }
    let label_path = either(folder, &format!("{start}-labels-idx1-ubyte"));
    let (label_shape, classes) = array(&label_path, 1)?;
    if label_shape != [count] {
        return Err(bad(&label_path, format!("{label_shape:?} labels for {count} pictures")));
    }
    let (area, top, left) = (px * px, (px - rows) / 2, (px - columns) / 2);
    let mut pixels = vec![0; count * CHANNELS * area];
    for (from, to) in grey.chunks_exact((rows * columns).max(1)).zip(pixels.chunks_exact_mut(CHANNELS * area))
    {
        for plane in to.chunks_exact_mut(area) {
            for (row, line) in from.chunks_exact(columns).enumerate() {
                plane[(top + row) * px + left..][..columns].copy_from_slice(line);
            }
        }
    }
    let names = (0..count).map(|number| format!("{start}-{number:05}")).collect();
    let n_classes = classes.iter().max().map_or(0, |&class| class as usize + 1);
    let fashion = folder.file_name().is_some_and(|name| name == "fashion-mnist") && n_classes <= 10;
    let class_names: Vec<String> = if fashion {
        FASHION_MNIST.map(str::to_owned).to_vec()
    } else {
        (0..n_classes).map(|class| class.to_string()).collect()
    };
    let of = classes.iter().map(|&class| Some(u32::from(class))).collect();
    ImageSet::in_memory(px, names, pixels)?.with_labels(Labels::new("class", class_names, of)?)
}

/// The file, gzipped or not.
fn either(folder: &Path, name: &str) -> PathBuf {
    let plain = folder.join(name);
    if plain.is_file() { plain } else { folder.join(format!("{name}.gz")) }
}

/// A file's shape and bytes.
fn array(path: &Path, axes: usize) -> Result<(Vec<usize>, Vec<u8>), VisionError> {
    let bad = |problem: String| VisionError::Format { path: path.to_owned(), problem };
    let mut input = unpacked(path)?;
    let mut header = vec![0; 4 + 4 * axes];
    input.read_exact(&mut header).map_err(VisionError::io(path))?;
    if header[..3] != [0, 0, 8] || usize::from(header[3]) != axes {
        return Err(bad(format!("not an IDX file of bytes with {axes} axes")));
    }
    let shape: Vec<usize> = header[4..]
        .chunks_exact(4)
        .map(|length| u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize)
        .collect();
    let expected = shape.iter().try_fold(1usize, |all, &length| all.checked_mul(length));
    let expected = expected.filter(|&bytes| bytes <= MOST_BYTES);
    let expected = expected.ok_or_else(|| bad(format!("{shape:?} is more than can be read")))?;
    let mut bytes = Vec::new();
    input.take(expected as u64 + 1).read_to_end(&mut bytes).map_err(VisionError::io(path))?;
    if bytes.len() != expected {
        return Err(bad(format!("its header says {expected} bytes, but there are {}", bytes.len())));
    }
    Ok((shape, bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn write(path: &Path, axes: &[u32], bytes: &[u8]) {
        let mut out = vec![0, 0, 8, axes.len() as u8];
        axes.iter().for_each(|length| out.extend(length.to_be_bytes()));
        out.extend_from_slice(bytes);
        let mut file =
            flate2::write::GzEncoder::new(std::fs::File::create(path).unwrap(), flate2::Compression::fast());
        file.write_all(&out).unwrap();
        file.finish().unwrap();
    }

    #[test]
    fn pictures_get_a_border_and_three_channels() {
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("train-images-idx3-ubyte.gz"), &[2, 2, 2], &[1, 2, 3, 4, 5, 6, 7, 8]);
        write(&folder.path().join("train-labels-idx1-ubyte.gz"), &[2], &[1, 0]);
        let set = read(folder.path(), Part::Train, 4).unwrap();
        let second = set.bytes(&[1]).unwrap();
        let plane = [0, 0, 0, 0, 0, 5, 6, 0, 0, 7, 8, 0, 0, 0, 0, 0];
        assert_eq!(second, [plane, plane, plane].concat());
        assert_eq!(set.labels("class").unwrap().of(), [Some(1), Some(0)]);
        assert!(read(folder.path(), Part::Train, 1).is_err());
        assert!(read(folder.path(), Part::Test, 4).is_err());
    }

    #[test]
    fn a_broken_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let images = folder.path().join("train-images-idx3-ubyte.gz");
        write(&folder.path().join("train-labels-idx1-ubyte.gz"), &[2], &[1, 0]);
        for (axes, bytes) in [
            (vec![2, 2, 2], vec![0; 7]),
            (vec![1, 2, 2], vec![0; 4]),
            (vec![u32::MAX; 3], vec![0; 4]),
            (vec![2], vec![0; 2]),
        ] {
            write(&images, &axes, &bytes);
            assert!(read(folder.path(), Part::Train, 4).is_err(), "{axes:?}");
        }
    }
}
