//! Many pictures in one: sheets of samples, and rows of steps.

use std::path::Path;

use font8x8::legacy::BASIC_LEGACY;
use image::{Rgb, RgbImage};

use crate::error::VisionError;
use crate::images::set::CHANNELS;

/// White space around each tile.
const MARGIN: u32 = 2;
/// Tiles of fewer pixels are enlarged to at least as many.
const READABLE: usize = 96;
/// Height of a line under a tile.
const LINE: usize = 10;
/// Width of a letter.
const LETTER: usize = 8;

/// A picture `[3 × px × px]` and the lines that stand under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    picture: Vec<u8>,
    lines: Vec<String>,
}

impl Tile {
    /// A picture without words.
    #[must_use]
    pub fn new(picture: Vec<u8>) -> Self {
        Self { picture, lines: Vec::new() }
    }

    /// The same with one more line, of which as many letters are shown as the tile is wide for: twelve of a tile of 96 pixels. Other letters
    /// than ASCII's are left empty.
    #[must_use]
    pub fn says(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }
}

/// Pictures of one size in rows; a row may end early and a place may be empty.
///
/// # Examples
/// ```
/// use foldin_vision::sheet::{Sheet, Tile};
///
/// let mut sheet = Sheet::new(32);
/// sheet.row(vec![Some(Tile::new(vec![128; 3 * 32 * 32]).says("grey")), None])?;
/// // 32 pixels are shown as 96, with a margin, and a line of words below.
/// assert_eq!(sheet.draw().dimensions(), (2 * 98 + 2, 98 + 10 + 2));
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sheet {
    px: usize,
    rows: Vec<Vec<Option<Tile>>>,
}

impl Sheet {
    /// An empty sheet for pictures of `px × px`.
    #[must_use]
    pub fn new(px: usize) -> Self {
        Self { px, rows: Vec::new() }
    }

    /// Adds a row of pictures; `None` is an empty place.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for a picture of another size.
    pub fn row(&mut self, tiles: Vec<Option<Tile>>) -> Result<(), VisionError> {
        let expected = CHANNELS * self.px * self.px;
        if let Some(bad) = tiles.iter().flatten().find(|tile| tile.picture.len() != expected) {
            return Err(VisionError::shape("bytes of a tile", expected, bad.picture.len()));
        }
        self.rows.push(tiles);
        Ok(())
    }

    /// Adds pictures that lie one after the other, `columns` a row.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if they are not whole pictures of this size.
    pub fn pictures(&mut self, bytes: &[u8], columns: usize) -> Result<(), VisionError> {
        let size = CHANNELS * self.px * self.px;
        if !bytes.len().is_multiple_of(size) {
            return Err(VisionError::shape("bytes of whole tiles", size, bytes.len()));
        }
        for row in bytes.chunks(size * columns.max(1)) {
            self.row(row.chunks_exact(size).map(|tile| Some(Tile::new(tile.to_vec()))).collect())?;
        }
        Ok(())
    }

    /// Draws it.
    #[must_use]
    pub fn draw(&self) -> RgbImage {
        let zoom = READABLE.div_ceil(self.px.max(1));
        let side = self.px * zoom;
        let pitch = side as u32 + MARGIN;
        let lines = |row: &Vec<Option<Tile>>| row.iter().flatten().map(|tile| tile.lines.len()).max();
        let heights: Vec<u32> =
            self.rows.iter().map(|row| pitch + (lines(row).unwrap_or(0) * LINE) as u32).collect();
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(1) as u32;
        let height = heights.iter().sum::<u32>().max(pitch);
        let mut image = RgbImage::from_pixel(columns * pitch + MARGIN, height + MARGIN, Rgb([255, 255, 255]));
        let plane = self.px * self.px;
        let mut top = MARGIN;
        for (row, height) in self.rows.iter().zip(heights) {
            for (x, tile) in row.iter().enumerate() {
                let Some(Tile { picture, lines }) = tile else { continue };
                let left = x as u32 * pitch + MARGIN;
                for v in 0..side {
                    for u in 0..side {
                        let at = v / zoom * self.px + u / zoom;
                        let pixel = Rgb([picture[at], picture[plane + at], picture[2 * plane + at]]);
                        image.put_pixel(left + u as u32, top + v as u32, pixel);
                    }
                }
                for (number, line) in lines.iter().enumerate() {
                    write(&mut image, line, [left, top + (side + number * LINE) as u32 + 1], side / LETTER);
                }
            }
            top += height;
        }
        image
    }

    /// It as the bytes of a PNG.
    ///
    /// # Errors
    /// [`VisionError::Format`] if it is too large for one.
    pub fn png(&self) -> Result<Vec<u8>, VisionError> {
        bytes(&self.draw())
    }

    /// Writes it as PNG.
    ///
    /// # Errors
    /// [`VisionError::Format`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), VisionError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(VisionError::io(folder))?;
        }
        self.draw()
            .save_with_format(path, image::ImageFormat::Png)
            .map_err(|error| VisionError::Format { path: path.to_owned(), problem: error.to_string() })
    }
}

/// One picture, `[3 × px × px]` bytes, as a PNG of its own size.
///
/// # Errors
/// [`VisionError::Shape`] for a picture of another size.
pub fn png(px: usize, picture: &[u8]) -> Result<Vec<u8>, VisionError> {
    let plane = px * px;
    if picture.len() != CHANNELS * plane {
        return Err(VisionError::shape("bytes of a picture", CHANNELS * plane, picture.len()));
    }
    bytes(&RgbImage::from_fn(px as u32, px as u32, |x, y| {
        let at = y as usize * px + x as usize;
        Rgb([picture[at], picture[plane + at], picture[2 * plane + at]])
    }))
}

/// The first letters of a line in black, from a place on.
fn write(image: &mut RgbImage, line: &str, [left, top]: [u32; 2], most: usize) {
    for (number, letter) in line.chars().take(most).enumerate() {
        let Some(rows) = BASIC_LEGACY.get(letter as usize) else { continue };
        for (y, row) in rows.iter().enumerate() {
            for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
                image.put_pixel(left + (number * LETTER + x) as u32, top + y as u32, Rgb([0, 0, 0]));
            }
        }
    }
}

fn bytes(image: &RgbImage) -> Result<Vec<u8>, VisionError> {
    let mut out = std::io::Cursor::new(Vec::new());
    image
        .write_to(&mut out, image::ImageFormat::Png)
        .map_err(|error| VisionError::Format { path: "a picture".into(), problem: error.to_string() })?;
    Ok(out.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_lie_where_they_should() {
        let mut sheet = Sheet::new(96);
        let plane = 96 * 96;
        let red: Vec<u8> = (0..3 * plane).map(|at| if at < plane { 200 } else { 10 }).collect();
        sheet.row(vec![None, Some(Tile::new(red))]).unwrap();
        let image = sheet.draw();
        assert_eq!(image.dimensions(), (2 * 98 + 2, 100));
        assert_eq!(image.get_pixel(50, 50), &Rgb([255, 255, 255]));
        assert_eq!(image.get_pixel(150, 50), &Rgb([200, 10, 10]));
        assert!(sheet.row(vec![Some(Tile::new(vec![0; 5]))]).is_err());
    }

    #[test]
    fn words_stand_under_their_tile_and_end_with_it() {
        let tile = || Tile::new(vec![0; 3 * 96 * 96]);
        let mut sheet = Sheet::new(96);
        sheet.row(vec![Some(tile().says("I".repeat(40)).says("é")), Some(tile())]).unwrap();
        sheet.row(vec![Some(tile())]).unwrap();
        let image = sheet.draw();
        assert_eq!(image.dimensions(), (2 * 98 + 2, 2 * 98 + 2 + 2 * LINE as u32));
        let dark = |x: std::ops::Range<u32>, y: std::ops::Range<u32>| {
            x.flat_map(|x| y.clone().map(move |y| (x, y)))
                .filter(|&(x, y)| image.get_pixel(x, y) == &Rgb([0, 0, 0]))
                .count()
        };
        let letter: u32 = BASIC_LEGACY[usize::from(b'I')].iter().map(|row| row.count_ones()).sum();
        assert_eq!(dark(2..98, 98..108), 12 * letter as usize, "twelve letters fit");
        assert_eq!(dark(98..198, 98..108), 0, "none stands under the next");
        assert_eq!(dark(0..198, 108..118), 0, "other alphabets are left empty");
        assert_eq!(dark(2..98, 120..216), 96 * 96, "the next row begins below the words");
    }

    #[test]
    fn one_picture_keeps_its_pixels() {
        let picture: Vec<u8> = (0..3 * 16).collect();
        let read = image::load_from_memory(&png(4, &picture).unwrap()).unwrap().to_rgb8();
        assert_eq!((read.dimensions(), read.get_pixel(1, 2)), ((4, 4), &Rgb([9, 25, 41])));
        assert!(png(5, &picture).is_err());
    }

    #[test]
    fn small_tiles_are_enlarged_and_written() {
        let mut sheet = Sheet::new(16);
        sheet.pictures(&[7; 3 * 3 * 256], 2).unwrap();
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("new/sheet.png");
        sheet.save(&path).unwrap();
        let read = image::open(&path).unwrap().to_rgb8();
        assert_eq!(read.dimensions(), (2 * 98 + 2, 2 * 98 + 2));
        assert_eq!(std::fs::read(&path).unwrap(), sheet.png().unwrap());
        assert!(sheet.pictures(&[0; 5], 2).is_err());
    }
}
