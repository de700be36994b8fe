//! A picture's bytes to RGB of one size.
//!
//! Nothing that is wrong with a picture stops anything: it has a [`Defect`], is left out, counted and named. Grey, CMYK and
//! palette pictures become RGB; what is transparent becomes white, as behind most pictures of goods. Dimensions are read before
//! pixels are, and the decoder may take no more memory than [`DecodeLimits`] say, whatever a header claims.

use std::fmt;
use std::io::Cursor;

use image::imageops::{self, FilterType};
use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage};

use crate::images::set::CHANNELS;

/// What is wrong with a picture.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Defect {
    /// There is no file.
    Missing,
    /// A file that cannot be read, and why.
    Unreadable(String),
    /// No byte in it.
    Empty,
    /// Neither JPEG nor PNG nor WebP.
    UnknownFormat,
    /// It ends before its picture does.
    Truncated,
    /// More bytes or pixels than the limits allow.
    TooLarge,
    /// The decoder refuses it, for this reason.
    Corrupt(String),
}

impl Defect {
    /// The kind of defect, to count by.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable(_) => "unreadable",
            Self::Empty => "empty",
            Self::UnknownFormat => "of unknown format",
            Self::Truncated => "truncated",
            Self::TooLarge => "too large",
            Self::Corrupt(_) => "corrupt",
        }
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(reason) | Self::Corrupt(reason) => write!(f, "{}: {reason}", self.kind()),
            _ => f.write_str(self.kind()),
        }
    }
}

/// How a picture that is not square becomes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// Width and height are scaled each for itself, as DVBPR's authors do.
    #[default]
    Squash,
    /// The largest square in the middle, as in the study's generator.
    Crop,
}

/// How much one picture may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Longest file, in bytes.
    pub bytes: usize,
    /// Largest width and height.
    pub side: u32,
    /// Most memory the decoder may take, in bytes.
    pub memory: u64,
}

impl Default for DecodeLimits {
    /// 32 MiB of file, 16,384 pixels a side, 256 MiB of memory (some 64 million pixels).
    fn default() -> Self {
        Self { bytes: 32 << 20, side: 16_384, memory: 256 << 20 }
    }
}

/// Decodes a picture to `[3 × px × px]`.
///
/// # Errors
/// The picture's [`Defect`].
///
/// # Examples
/// ```
/// use foldin_vision::images::{DecodeLimits, Defect, Fit, decode};
///
/// let red = foldin_vision::sheet::png(8, &[vec![200; 64], vec![10; 128]].concat())?;
/// let limits = DecodeLimits::default();
/// assert_eq!(decode(&red, 8, Fit::Squash, &limits).unwrap()[..64], [200; 64]);
/// // What cannot be read is told apart, and is no panic.
/// assert_eq!(decode(b"", 8, Fit::Squash, &limits), Err(Defect::Empty));
/// assert!(decode(&red[..40], 8, Fit::Squash, &limits).is_err());
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
pub fn decode(bytes: &[u8], px: usize, fit: Fit, limits: &DecodeLimits) -> Result<Vec<u8>, Defect> {
    if bytes.is_empty() {
        return Err(Defect::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(Defect::TooLarge);
    }
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let mut bounds = Limits::default();
    (bounds.max_image_width, bounds.max_image_height) = (Some(limits.side), Some(limits.side));
    bounds.max_alloc = Some(limits.memory);
    reader.limits(bounds);
    let reader = reader.with_guessed_format().map_err(|error| Defect::Corrupt(error.to_string()))?;
    let format = reader.format().ok_or(Defect::UnknownFormat)?;
    if !matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP) {
        return Err(Defect::UnknownFormat);
    }
    // A JPEG cut short decodes to a picture that is grey below the cut.
    if format == ImageFormat::Jpeg && !ends_with_marker(bytes) {
        return Err(Defect::Truncated);
    }
    let picture = reader.decode().map_err(defect)?;
    if picture.width() == 0 || picture.height() == 0 {
        return Err(Defect::Empty);
    }
    // The decoder's own limit is on what it allocates while decoding; 16 bits a channel would pass it and double here.
    let pixels = u64::from(picture.width()) * u64::from(picture.height());
    if pixels * 4 > limits.memory {
        return Err(Defect::TooLarge);
    }
    Ok(planes(&resized(on_white(picture), px as u32, fit)))
}

fn defect(error: image::ImageError) -> Defect {
    match &error {
        image::ImageError::Limits(_) => Defect::TooLarge,
        image::ImageError::IoError(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => Defect::Truncated,
        _ => {
            let message = error.to_string();
            // PNG and WebP tell an early end in words alone.
            let early = ["unexpected end", "end of file", "end of data", "exhausted"];
            let lower = message.to_lowercase();
            if early.iter().any(|sign| lower.contains(sign)) {
                Defect::Truncated
            } else {
                Defect::Corrupt(message)
            }
        }
    }
}

/// Whether a JPEG's end marker is there, anywhere in its last 4 KiB: cameras and content networks append to files.
fn ends_with_marker(bytes: &[u8]) -> bool {
    bytes[bytes.len().saturating_sub(4096)..].windows(2).any(|pair| pair == [0xff, 0xd9])
}

/// RGB of any picture; transparent pixels over white.
fn on_white(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let source = picture.into_rgba8();
    let mut out = RgbImage::new(source.width(), source.height());
    for (from, to) in source.pixels().zip(out.pixels_mut()) {
        let alpha = u32::from(from[3]);
        for channel in 0..CHANNELS {
            let over = u32::from(from[channel]) * alpha + 255 * (255 - alpha);
            to[channel] = ((over + 127) / 255) as u8;
        }
    }
    out
}

fn resized(picture: RgbImage, px: u32, fit: Fit) -> RgbImage {
    let (width, height) = picture.dimensions();
    let picture = match fit {
        Fit::Crop if width != height => {
            let side = width.min(height);
            imageops::crop_imm(&picture, (width - side) / 2, (height - side) / 2, side, side).to_image()
        }
        _ => picture,
    };
    // The filter is stretched to the scale when shrinking, so it does not alias.
    if picture.dimensions() == (px, px) {
        picture
    } else {
        imageops::resize(&picture, px, px, FilterType::Triangle)
    }
}

/// From red, green, blue of each pixel to all of red, all of green, all of blue.
fn planes(picture: &RgbImage) -> Vec<u8> {
    let area = (picture.width() * picture.height()) as usize;
    let mut out = vec![0; CHANNELS * area];
    for (at, pixel) in picture.pixels().enumerate() {
        for channel in 0..CHANNELS {
            out[channel * area + at] = pixel[channel];
        }
    }
    out
}
