//! The fuzz targets on stable, for a second each: sound examples, mutated at random but always the same way.

#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "public in the crate whose file this is")]
mod targets;

use std::io::Write as _;

use foldin_core::random::Random;
use targets::{NAMES, NEXT_FILE};

/// A sound file for each of [`NAMES`], tables of users and items behind it.
const EXAMPLES: &[&str] = &[
    "userId,movieId,rating,timestamp\n1,10,4.5,964982703\n1,20,3.0,964981247\n2,10,0.5,964982224\n\x1euserId,age\n1,31\n\x1emovieId,title,genres\n10,\"Toy Story, The (1995)\",Comedy|Drama\n20,Heat (1995),Crime\n",
    "1\t10\t4\t881250949\n1\t20\t3\t891717742\n2\t10\t1\t878887116\n",
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t10\t4\t1\n2\t10\t5\t2\n2\t20\t1\t3\n\x1euser_id:token\tage:float\n1\t31\n2\t40\n\x1eitem_id:token\tgenre:token_seq\n10\ta b\n20\tc\n",
    "{\"user\": \"ann\", \"item\": \"tea\", \"rating\": 5}\n{\"user\": \"bob\", \"item\": \"tea\", \"rating\": -3.5}\n\x1e{\"user\": \"ann\", \"age\": 31}\n",
    "1::10::4::978300760\n1::20::3::978302109\n2::10::1::978301968\n",
    "196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t377\t1\t878887116\n\x1e196|24|M|technician|85711\n186|53|F|other|94043\n22|23|M|writer|32067\n\x1e242|Kolya (1996)|24-Jan-1997||http://us.imdb.com/|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n",
    "1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n\x1e1::F::1::10::48067\n2::M::56::16::70072\n\x1e661::James and the Giant Peach (1996)::Animation|Children's|Musical\n1193::One Flew Over the Cuckoo's Nest (1975)::Drama\n",
    "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n2:\n822109,1,2004-02-29\n\x1e10:\n1488844,2,2005-01-01\n\x1e1,2003,Dinosaur Planet\n2,NULL,Cats, The Last\n10,1997,Character\n",
    "1:\n1488844,3,2005-09-06\n822109,5,2005-05-13\n\x1e2:\r\n822109,1,2004-02-29\r\n\x1e1,2003,Dinosaur Planet\n2,NULL,Cats, The Last\n",
];

/// Pieces that readers trip over.
const PIECES: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"\0",
    b"\"",
    b"::",
    b"\t",
    b",",
    b"|",
    b"nan",
    b"inf",
    b"-1e39",
    b"99999999999999999999",
    b"\xff\xfe",
    b"\xe9",
    b"\xef\xbb\xbf",
    b" ",
    b"{",
    b"}",
    b"[[[[",
    b"\\u0000",
    b":token",
    b"1:\n",
    b"2005-13-41",
    b"1e-320",
    b"-0",
    b"\x1f\x8b",
    b"PK",
];

/// Changes a few places: another byte, a piece put in, a stretch cut out or doubled, the end cut off.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1)).min(bytes.len());
        let end = (at + random.below(24)).min(bytes.len());
        match random.below(6) {
            0 if at < bytes.len() => bytes[at] = random.bits() as u8,
            1 => {
                let piece = PIECES[random.below(PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let doubled = bytes[at..end].to_vec();
                bytes.splice(at..at, doubled);
            }
            4 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            _ => bytes.truncate(bytes.len() - bytes.len().min(random.below(8))),
        }
    }
}

fn smoke(examples: &[Vec<u8>], rounds: usize, target: fn(&[u8]) -> bool) {
    let mut random = Random::new(1);
    for example in examples {
        for _ in 0..rounds {
            let mut bytes = example.clone();
            mutate(&mut bytes, &mut random);
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "panicked on {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

#[test]
fn ratings_in_every_format() {
    assert_eq!(EXAMPLES.len(), NAMES.len());
    assert!(EXAMPLES[0].as_bytes().contains(&NEXT_FILE));
    let mut examples = Vec::new();
    for (at, text) in EXAMPLES.iter().enumerate() {
        // Mutations of what is refused anyway would reach little.
        let sound = [&[at as u8, 0b0010_0000], text.as_bytes()].concat();
        assert!(targets::ratings(&sound), "refused: {text}");
    }
    for (at, text) in EXAMPLES.iter().enumerate() {
        // Found by itself; every option at once; a header that is not there.
        for flags in [0b0010_0000u8, 0b0110_0101, 0b0001_1110] {
            examples.push([&[at as u8, flags], text.as_bytes()].concat());
        }
    }
    smoke(&examples, 300, targets::ratings);
}

/// A tar archive, which is text where its files are.
fn tar(files: &[(&str, &str)]) -> String {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let content = text.split('\x1e').next().unwrap_or_default().as_bytes();
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content).expect("memory takes everything");
    }
    String::from_utf8(archive.into_inner().expect("memory takes everything")).expect("only text was put in")
}

#[test]
fn archives() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(EXAMPLES[0].split('\x1e').next().unwrap_or_default().as_bytes()).unwrap();
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in [("small/u.data", EXAMPLES[5]), ("small/README", "read me")] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(text.split('\x1e').next().unwrap_or_default().as_bytes()).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    let movies = tar(&[("training_set/mv_0000001.txt", EXAMPLES[8])]);
    let tar = tar(&[("x/training_set.tar", &movies), ("x/README", "read me")]);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(tar.as_bytes()).unwrap();
    // The flags say what kind of archive it is.
    let examples: Vec<Vec<u8>> = [
        (0b0010_0000u8, gzip.finish().unwrap()),
        (0b0010_0000, zip),
        (0b1010_0000, tar.into_bytes()),
        (0b1110_0000, packed.finish().unwrap()),
    ]
    .iter()
    .map(|(flags, content)| [&[*flags], &content[..]].concat())
    .collect();
    assert!(examples.iter().all(|example| targets::archive(example)));
    smoke(&examples, 300, targets::archive);
}

#[test]
fn model_folders() {
    let files = targets::SOUND_MODELS.iter().flatten();
    let examples: Vec<Vec<u8>> =
        files.zip(0u8..).map(|(content, which)| [&[which], *content].concat()).collect();
    assert_eq!(examples.len(), foldin_models::registry().len() * targets::MODEL_FILES.len());
    assert!(examples.iter().all(|example| targets::model(example)));
    smoke(&examples, 60, targets::model);
}
