//! Many pictures in one: sheets of samples, and rows of steps.

use std::path::Path;

use image::{Rgb, RgbImage};

use crate::error::VisionError;
use crate::images::set::CHANNELS;

/// White space around each tile.
const MARGIN: u32 = 2;
/// Tiles of fewer pixels are enlarged to about as many.
const READABLE: usize = 96;

/// Pictures of one size in rows; a row may end early and a place may be empty.
#[derive(Clone, Debug)]
pub struct Sheet {
    px: usize,
    rows: Vec<Vec<Option<Vec<u8>>>>,
}

impl Sheet {
    /// An empty sheet for pictures of `px × px`.
    #[must_use]
    pub fn new(px: usize) -> Self {
        Self { px, rows: Vec::new() }
    }

    /// Adds a row of pictures, each `[3 × px × px]` bytes; `None` is an empty place.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for a picture of another size.
    pub fn row(&mut self, tiles: Vec<Option<Vec<u8>>>) -> Result<(), VisionError> {
        let expected = CHANNELS * self.px * self.px;
        if let Some(bad) = tiles.iter().flatten().find(|tile| tile.len() != expected) {
            return Err(VisionError::shape("bytes of a tile", expected, bad.len()));
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
            self.row(row.chunks_exact(size).map(|tile| Some(tile.to_vec())).collect())?;
        }
        Ok(())
    }

    /// Draws it.
    #[must_use]
    pub fn draw(&self) -> RgbImage {
        let zoom = (READABLE / self.px.max(1)).max(1);
        let pitch = (self.px * zoom) as u32 + MARGIN;
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0).max(1) as u32;
        let height = (self.rows.len().max(1)) as u32;
        let mut image =
            RgbImage::from_pixel(columns * pitch + MARGIN, height * pitch + MARGIN, Rgb([255, 255, 255]));
        let plane = self.px * self.px;
        for (y, row) in self.rows.iter().enumerate() {
            for (x, tile) in row.iter().enumerate() {
                let Some(tile) = tile else { continue };
                let (left, top) = (x as u32 * pitch + MARGIN, y as u32 * pitch + MARGIN);
                for v in 0..self.px * zoom {
                    for u in 0..self.px * zoom {
                        let at = v / zoom * self.px + u / zoom;
                        let pixel = Rgb([tile[at], tile[plane + at], tile[2 * plane + at]]);
                        image.put_pixel(left + u as u32, top + v as u32, pixel);
                    }
                }
            }
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
        sheet.row(vec![None, Some(red)]).unwrap();
        let image = sheet.draw();
        assert_eq!(image.dimensions(), (2 * 98 + 2, 100));
        assert_eq!(image.get_pixel(50, 50), &Rgb([255, 255, 255]));
        assert_eq!(image.get_pixel(150, 50), &Rgb([200, 10, 10]));
        assert!(sheet.row(vec![Some(vec![0; 5])]).is_err());
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
