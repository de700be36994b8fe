//! Many pictures of one size.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};

use crate::backend;
use crate::error::VisionError;
use crate::images::Labels;

/// Channels of every picture: red, green, blue.
pub const CHANNELS: usize = 3;

/// Pictures of `px × px` pixels as bytes `[n × 3 × px × px]` (all of red, then green, then blue), in memory or in a cache file.
///
/// A file is read by position, not mapped: as fast from the page cache, without `unsafe`, and a file that shrinks under a running
/// program is an error instead of a crash. Clones and selections share the pixels.
///
/// # Examples
/// ```
/// use foldin_vision::images::{ImageSet, Labels};
///
/// // Two pictures of 8 pixels: a black one and a white one.
/// let bytes = [vec![0; 3 * 8 * 8], vec![255; 3 * 8 * 8]].concat();
/// let names = vec!["coal".to_owned(), "snow".to_owned()];
/// let set = ImageSet::in_memory(8, names, bytes)?;
///
/// let light = set.select(&[1])?;
/// assert_eq!(light.names(), ["snow"]);
/// assert_eq!(light.bytes(&[0])?, vec![255; 192]);
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageSet {
    px: usize,
    names: Arc<Vec<String>>,
    pixels: Pixels,
    /// Which of the pixels' pictures these are, where they are not all of them.
    chosen: Option<Arc<Vec<u32>>>,
    labels: Vec<Labels>,
}

#[derive(Clone, Debug)]
enum Pixels {
    Memory(Arc<Vec<u8>>),
    File { file: Arc<File>, path: Arc<PathBuf>, start: u64 },
}

impl ImageSet {
    /// Pictures in memory, one name each.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if there are not `3 × px × px` bytes for each name.
    pub fn in_memory(px: usize, names: Vec<String>, pixels: Vec<u8>) -> Result<Self, VisionError> {
        let expected = names.len() * CHANNELS * px * px;
        if pixels.len() != expected {
            return Err(VisionError::shape("bytes of pixels", expected, pixels.len()));
        }
        let pixels = Pixels::Memory(Arc::new(pixels));
        Ok(Self { px, names: Arc::new(names), pixels, chosen: None, labels: Vec::new() })
    }

    /// Pictures in a file, whose length the caller has checked.
    pub(crate) fn in_file(px: usize, names: Vec<String>, file: File, path: PathBuf, start: u64) -> Self {
        let pixels = Pixels::File { file: Arc::new(file), path: Arc::new(path), start };
        Self { px, names: Arc::new(names), pixels, chosen: None, labels: Vec::new() }
    }

    /// Adds labels, in place of earlier ones of that name.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if there is not one for each picture.
    pub fn with_labels(mut self, labels: Labels) -> Result<Self, VisionError> {
        if labels.of().len() != self.len() {
            return Err(VisionError::shape("labelled pictures", self.len(), labels.of().len()));
        }
        self.labels.retain(|other| other.name() != labels.name());
        self.labels.push(labels);
        Ok(self)
    }

    /// Number of pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Width and height of each.
    #[must_use]
    pub fn px(&self) -> usize {
        self.px
    }

    /// Bytes of a picture: `3 × px × px`.
    #[must_use]
    pub fn stride(&self) -> usize {
        CHANNELS * self.px * self.px
    }

    /// What each picture is called: its path in the folder or archive it came from.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The labels of that name.
    #[must_use]
    pub fn labels(&self, name: &str) -> Option<&Labels> {
        self.labels.iter().find(|labels| labels.name() == name)
    }

    /// All labels.
    #[must_use]
    pub fn all_labels(&self) -> &[Labels] {
        &self.labels
    }

    /// Copies a picture's bytes into `out`.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if there is no such picture or `out` is not [`stride`](Self::stride) long; [`VisionError::Io`].
    pub fn read(&self, picture: u32, out: &mut [u8]) -> Result<(), VisionError> {
        let (at, stride) = (picture as usize, self.stride());
        if at >= self.len() {
            return Err(VisionError::shape("picture number", format!("below {}", self.len()), at));
        }
        if out.len() != stride {
            return Err(VisionError::shape("bytes of a picture", stride, out.len()));
        }
        let at = self.stored(at);
        match &self.pixels {
            Pixels::Memory(pixels) => out.copy_from_slice(&pixels[at * stride..][..stride]),
            Pixels::File { file, path, start } => {
                read_at(file, start + (at * stride) as u64, out).map_err(VisionError::io(path.as_path()))?;
            }
        }
        Ok(())
    }

    /// The number by which the pixels know a picture.
    fn stored(&self, picture: usize) -> usize {
        self.chosen.as_ref().map_or(picture, |chosen| chosen[picture] as usize)
    }

    /// The bytes of some pictures, one after the other.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn bytes(&self, pictures: &[u32]) -> Result<Vec<u8>, VisionError> {
        let mut out = vec![0; pictures.len() * self.stride()];
        for (&picture, out) in pictures.iter().zip(out.chunks_exact_mut(self.stride())) {
            self.read(picture, out)?;
        }
        Ok(out)
    }

    /// The same pictures shrunk to `px` pixels, in memory, each pixel the mean of a square, with the same names and labels.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if `px` does not divide the pixels of a side; as [`read`](Self::read).
    pub fn shrunk(&self, px: usize) -> Result<Self, VisionError> {
        check_shrinking(self.px, px)?;
        let mut out = Vec::with_capacity(self.len() * CHANNELS * px * px);
        let mut bytes = vec![0; self.stride()];
        for picture in 0..self.len() as u32 {
            self.read(picture, &mut bytes)?;
            out.extend(shrink(&bytes, self.px, px));
        }
        Ok(Self { px, pixels: Pixels::Memory(Arc::new(out)), chosen: None, ..self.clone() })
    }

    /// Some pictures as a tensor `[n × 3 × px × px]` from −1 to 1.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn batch(&self, pictures: &[u32], device: &Device) -> Result<Tensor<4>, VisionError> {
        let values = self.bytes(pictures)?.into_iter().map(to_unit).collect();
        Ok(backend::tensor(values, [pictures.len(), CHANNELS, self.px, self.px], device))
    }

    /// Some of the pictures, in that order, with their labels. Their pixels stay where they are.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if there is no such picture.
    pub fn select(&self, pictures: &[u32]) -> Result<Self, VisionError> {
        if let Some(bad) = pictures.iter().find(|&&picture| picture as usize >= self.len()) {
            return Err(VisionError::shape("picture number", format!("below {}", self.len()), bad));
        }
        let chosen = pictures.iter().map(|&picture| self.stored(picture as usize) as u32).collect();
        let names = pictures.iter().map(|&picture| self.names[picture as usize].clone()).collect();
        Ok(Self {
            px: self.px,
            names: Arc::new(names),
            pixels: self.pixels.clone(),
            chosen: Some(Arc::new(chosen)),
            labels: self.labels.iter().map(|labels| labels.select(pictures)).collect(),
        })
    }
}

/// Whether pictures `from` pixels wide can be shrunk to `to`.
pub(crate) fn check_shrinking(from: usize, to: usize) -> Result<(), VisionError> {
    if to == 0 || !from.is_multiple_of(to) {
        return Err(VisionError::shape(
            "pixels that pictures are shrunk to",
            format!("a divisor of {from}"),
            to,
        ));
    }
    Ok(())
}

/// Planes of `from × from` bytes shrunk to `to × to`, a divisor, each pixel the rounded mean of a square.
pub(crate) fn shrink(planes: &[u8], from: usize, to: usize) -> Vec<u8> {
    let step = from / to;
    let area = (step * step) as u32;
    let mut out = Vec::with_capacity(planes.len() / (step * step));
    for plane in planes.chunks_exact(from * from) {
        for rows in plane.chunks_exact(step * from) {
            out.extend((0..to).map(|x| {
                let row =
                    |row: &[u8]| row[x * step..][..step].iter().map(|&byte| u32::from(byte)).sum::<u32>();
                ((rows.chunks_exact(from).map(row).sum::<u32>() + area / 2) / area) as u8
            }));
        }
    }
    out
}

/// A byte as a number from −1 to 1.
#[must_use]
pub fn to_unit(byte: u8) -> f32 {
    (f32::from(byte) - 127.5) / 127.5
}

/// The byte nearest to a number from −1 to 1; what is beyond is cut off, and NaN is black.
#[must_use]
pub fn to_byte(unit: f32) -> u8 {
    // A cast from float saturates, and makes 0 of NaN.
    (unit * 127.5 + 127.5).round() as u8
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, out: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, out, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut at: u64, mut out: &mut [u8]) -> std::io::Result<()> {
    while !out.is_empty() {
        let read = std::os::windows::fs::FileExt::seek_read(file, out, at)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        (at, out) = (at + read as u64, &mut out[read..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        for byte in 0..=255 {
            assert_eq!(to_byte(to_unit(byte)), byte);
        }
        assert_eq!([to_byte(-7.0), to_byte(7.0), to_byte(f32::NAN)], [0, 255, 0]);
        assert_eq!([to_unit(0), to_unit(255)], [-1.0, 1.0]);
    }

    #[test]
    fn a_batch_has_the_pictures_asked_for() {
        let pixels = (0..2 * 12).map(|at| at as u8 * 10).collect();
        let set = ImageSet::in_memory(2, vec!["a".into(), "b".into()], pixels).unwrap();
        let batch = set.batch(&[1, 0, 1], &Device::flex()).unwrap();
        assert_eq!(batch.dims(), [3, 3, 2, 2]);
        let values = backend::values(batch);
        assert_eq!(values[0], to_unit(120));
        assert_eq!(values[12], to_unit(0));
        assert!(set.batch(&[2], &Device::flex()).unwrap_err().to_string().contains("below 2"));
        // Of a selection, and of one of it.
        let turned = set.select(&[1, 0, 1]).unwrap();
        assert_eq!(
            (turned.names(), turned.bytes(&[0, 1]).unwrap()),
            (&["b", "a", "b"].map(str::to_owned)[..], set.bytes(&[1, 0]).unwrap())
        );
        let again = turned.select(&[1]).unwrap();
        assert_eq!((again.len(), again.bytes(&[0]).unwrap()), (1, set.bytes(&[0]).unwrap()));
        assert_eq!(
            turned.shrunk(1).unwrap().bytes(&[1]).unwrap(),
            set.shrunk(1).unwrap().bytes(&[0]).unwrap()
        );
        assert!(again.read(1, &mut [0; 12]).is_err() && again.select(&[1]).is_err());
        assert!(ImageSet::in_memory(2, vec!["a".into()], vec![0; 11]).is_err());
    }

    #[test]
    fn shrinking_takes_means_of_squares() {
        // Red has 0, 10, 20, … of sixteen pixels; green is white; blue 1 in one corner, which rounds to nothing.
        let red = (0..16).map(|at| at * 10);
        let pixels = red.chain([255; 16]).chain((0..16).map(|at| u8::from(at == 0))).collect();
        let labels = Labels::from_names("kind", &[Some("x")]);
        let set = ImageSet::in_memory(4, vec!["a".into()], pixels).unwrap().with_labels(labels).unwrap();
        let half = set.shrunk(2).unwrap();
        assert_eq!((half.px(), half.len(), half.names()), (2, 1, set.names()));
        assert_eq!(half.labels("kind").unwrap().of(), set.labels("kind").unwrap().of());
        // (0 + 10 + 40 + 50) / 4 and so on.
        assert_eq!(half.bytes(&[0]).unwrap(), [25, 45, 105, 125, 255, 255, 255, 255, 0, 0, 0, 0]);
        assert_eq!(set.shrunk(1).unwrap().bytes(&[0]).unwrap(), [75, 255, 0]);
        assert_eq!(set.shrunk(4).unwrap().bytes(&[0]).unwrap(), set.bytes(&[0]).unwrap());
        for px in [0, 3, 8] {
            assert!(set.shrunk(px).unwrap_err().to_string().contains("a divisor of 4"), "{px}");
        }
    }

    #[test]
    fn labels_follow_a_selection() {
        let set = ImageSet::in_memory(1, vec!["a".into(), "b".into()], vec![1, 2, 3, 4, 5, 6]).unwrap();
        let set = set.with_labels(Labels::from_names("kind", &[Some("x"), Some("y")])).unwrap();
        let chosen = set.select(&[1]).unwrap();
        assert_eq!(chosen.names(), ["b"]);
        assert_eq!(chosen.labels("kind").unwrap().of(), [Some(1)]);
        assert!(set.with_labels(Labels::from_names("kind", &[Some("x")])).is_err());
    }
}
