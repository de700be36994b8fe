//! Every picture that can be bad, and the cache.

use std::io::Cursor;
use std::path::Path;

use foldin_vision::VisionError;
use foldin_vision::images::{BuildOptions, DecodeLimits, Defect, Fit, PictureStore, build, decode};
use image::{DynamicImage, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

const RED: [u8; 3] = [220, 30, 30];

pub(crate) fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    picture.write_to(&mut out, format).unwrap();
    out.into_inner()
}

pub(crate) fn plain(width: u32, height: u32, colour: [u8; 3]) -> DynamicImage {
    DynamicImage::ImageRgb8(RgbImage::from_pixel(width, height, Rgb(colour)))
}

fn decoded(bytes: &[u8]) -> Result<Vec<u8>, Defect> {
    decode(bytes, 8, Fit::Squash, &DecodeLimits::default())
}

fn is_near(picture: &[u8], colour: [u8; 3], most: u8) -> bool {
    picture.chunks_exact(64).zip(colour).all(|(plane, value)| plane.iter().all(|x| x.abs_diff(value) <= most))
}

/// A baseline JPEG of 8 × 8 pixels with four channels of one value each: nothing but first coefficients, quantised by 1.
fn cmyk(values: [u8; 4]) -> Vec<u8> {
    let mut out = vec![0xff, 0xd8];
    let mut segment = |marker: u8, body: &[u8]| {
        out.extend([0xff, marker]);
        out.extend((body.len() as u16 + 2).to_be_bytes());
        out.extend_from_slice(body);
    };
    segment(0xee, b"Adobe\0\x64\0\0\0\0\0");
    segment(0xdb, &[&[0][..], &[1; 64]].concat());
    let components: Vec<u8> = (1..=4).flat_map(|id| [id, 0x11, 0]).collect();
    segment(0xc0, &[&[8, 0, 8, 0, 8, 4][..], &components].concat());
    // Differences: twelve sizes, four bits each. The rest of a block: one code of one bit for its end.
    let sizes: Vec<u8> = (0..12).collect();
    segment(0xc4, &[&[0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &sizes].concat());
    segment(0xc4, &[0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let scan: Vec<u8> = (1..=4).flat_map(|id| [id, 0x00]).collect();
    segment(0xda, &[&[4][..], &scan, &[0, 63, 0]].concat());
    let mut bits = String::new();
    for value in values {
        let coefficient = 8 * (i32::from(value) - 128);
        let size = 32 - coefficient.unsigned_abs().leading_zeros();
        bits += &format!("{size:04b}");
        if size > 0 {
            let low = if coefficient > 0 { coefficient } else { coefficient + (1 << size) - 1 };
            bits += &format!("{low:0width$b}", width = size as usize);
        }
        bits.push('0');
    }
    while !bits.len().is_multiple_of(8) {
        bits.push('1');
    }
    for byte in bits.as_bytes().chunks(8) {
        let byte = byte.iter().fold(0u8, |byte, bit| byte << 1 | (bit - b'0'));
        out.push(byte);
        if byte == 0xff {
            out.push(0);
        }
    }
    out.extend([0xff, 0xd9]);
    out
}

#[test]
fn every_kind_of_picture_becomes_rgb() {
    let red = plain(24, 16, RED);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        // JPEG rounds in another space of colours.
        assert!(is_near(&decoded(&encoded(&red, format)).unwrap(), RED, 3), "{format:?}");
    }
    let grey = DynamicImage::ImageLuma8(red.to_luma8());
    let value = grey.to_luma8().get_pixel(0, 0)[0];
    for format in [ImageFormat::Jpeg, ImageFormat::Png] {
        assert!(is_near(&decoded(&encoded(&grey, format)).unwrap(), [value; 3], 1), "{format:?}");
    }
    let deep = DynamicImage::ImageRgb16(red.to_rgb16());
    assert!(is_near(&decoded(&encoded(&deep, ImageFormat::Png)).unwrap(), RED, 0));
    // Adobe writes CMYK the other way round: 255 is no ink.
    let found = decoded(&cmyk([255, 20, 20, 240])).unwrap();
    assert!(found[0] > 180 && found[64] < 60 && found[128] < 60, "{:?}", [found[0], found[64], found[128]]);
}

#[test]
fn what_is_transparent_is_white() {
    let clear = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 0]));
    let half = RgbaImage::from_pixel(8, 8, Rgba([0, 0, 0, 128]));
    let of = |picture| decoded(&encoded(&DynamicImage::ImageRgba8(picture), ImageFormat::Png)).unwrap();
    assert!(is_near(&of(clear), [255; 3], 0));
    assert!(is_near(&of(half), [127; 3], 0));
}

#[test]
fn every_defect_has_its_name() {
    let jpeg = encoded(&plain(64, 64, RED), ImageFormat::Jpeg);
    let png = encoded(&plain(64, 64, RED), ImageFormat::Png);
    assert_eq!(decoded(&[]), Err(Defect::Empty));
    assert_eq!(decoded(b"<html>not found</html>"), Err(Defect::UnknownFormat));
    assert_eq!(decoded(&jpeg[..jpeg.len() / 2]), Err(Defect::Truncated));
    assert_eq!(decoded(&png[..png.len() / 2]).map_err(|defect| defect.kind()), Err("truncated"));
    let mut broken = png.clone();
    broken[20] ^= 0xff;
    assert!(decoded(&broken).is_err());
    let limits = DecodeLimits { side: 32, ..DecodeLimits::default() };
    assert_eq!(decode(&jpeg, 8, Fit::Squash, &limits), Err(Defect::TooLarge));
    let limits = DecodeLimits { bytes: 100, ..DecodeLimits::default() };
    assert_eq!(decode(&jpeg, 8, Fit::Squash, &limits), Err(Defect::TooLarge));
    let limits = DecodeLimits { memory: 1000, ..DecodeLimits::default() };
    for bytes in [&jpeg, &png] {
        assert_eq!(decode(bytes, 8, Fit::Squash, &limits), Err(Defect::TooLarge));
    }
    // A header that claims what its file cannot hold.
    let mut liar = png;
    liar[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    assert!(decoded(&liar).is_err());
}

#[test]
fn any_damage_is_a_defect_and_never_a_panic() {
    let mut random = foldin_core::random::Random::new(5);
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
        let whole = encoded(&plain(20, 20, RED), format);
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                bytes[at] = random.bits() as u8;
            }
            bytes.truncate(1 + random.below(bytes.len()));
            if let Ok(picture) = decoded(&bytes) {
                assert_eq!(picture.len(), 3 * 64);
            }
        }
    }
}

#[test]
fn a_crop_takes_the_middle_and_a_squash_everything() {
    let mut picture = RgbImage::from_pixel(24, 8, Rgb([0, 0, 255]));
    for x in 8..16 {
        for y in 0..8 {
            picture.put_pixel(x, y, Rgb(RED));
        }
    }
    let bytes = encoded(&DynamicImage::ImageRgb8(picture), ImageFormat::Png);
    let cropped = decode(&bytes, 8, Fit::Crop, &DecodeLimits::default()).unwrap();
    assert!(is_near(&cropped, RED, 0));
    let squashed = decoded(&bytes).unwrap();
    assert!(squashed[0] < 20 && squashed[4] > 200 && squashed[7] < 20);
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_cache_leaves_out_the_bad_and_is_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    let jpeg = encoded(&plain(24, 16, RED), ImageFormat::Jpeg);
    write(&images, "a.jpg", &jpeg);
    write(&images, "b.jpg", &jpeg[..60]);
    write(&images, "sub/c.png", &encoded(&plain(9, 9, [0, 0, 0]), ImageFormat::Png));
    write(&images, "notes.txt", b"no picture");
    let mut store = PictureStore::open(&images).unwrap();
    let listed: Vec<String> = store.list().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(listed, ["a.jpg", "b.jpg", "sub/c.png"]);
    let mut wanted = listed;
    wanted.push("gone.jpg".to_owned());
    let cache = folder.path().join("cache/pictures.fpix");
    let quiet = |_, _| Ok(());
    let mut run = |wanted: &[String], px: usize| {
        build(&mut store, wanted, &BuildOptions::new(px), &cache, &quiet).unwrap()
    };
    let (set, report) = run(&wanted, 8);
    assert_eq!(set.names(), ["a.jpg", "sub/c.png"]);
    assert_eq!((report.decoded, report.reused), (2, false));
    assert_eq!(report.counts, [("missing".to_owned(), 1), ("truncated".to_owned(), 1)].into());
    assert_eq!(report.defects[0].0, "b.jpg");
    assert!(is_near(&set.bytes(&[0]).unwrap(), RED, 3) && is_near(&set.bytes(&[1]).unwrap(), [0; 3], 0));
    let (again, second) = run(&wanted, 8);
    assert!(second.reused && second.defects == report.defects);
    assert_eq!(again.bytes(&[0, 1]).unwrap(), set.bytes(&[0, 1]).unwrap());
    // Another size, another list, a picture that changed, a file cut short: built anew, each time whole.
    assert!(!run(&wanted, 9).1.reused);
    assert!(!run(&wanted[..1], 9).1.reused);
    write(&images, "a.jpg", &encoded(&plain(30, 16, RED), ImageFormat::Jpeg));
    assert!(!run(&wanted[..1], 9).1.reused);
    let whole = std::fs::read(&cache).unwrap();
    std::fs::write(&cache, &whole[..whole.len() - 5]).unwrap();
    assert!(!run(&wanted[..1], 9).1.reused);
    assert_eq!(std::fs::read(&cache).unwrap(), whole);
    assert_eq!(std::fs::read_dir(cache.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "images/a.jpg", &encoded(&plain(8, 8, RED), ImageFormat::Jpeg));
    let mut store = PictureStore::open(&folder.path().join("images")).unwrap();
    let cache = folder.path().join("cache/x.fpix");
    let stop = |_, _| Err(VisionError::NothingLeft { path: "x".into(), problem: "stopped".into() });
    assert!(build(&mut store, &["a.jpg".to_owned()], &BuildOptions::new(8), &cache, &stop).is_err());
    assert_eq!(std::fs::read_dir(cache.parent().unwrap()).unwrap().count(), 0);
}
