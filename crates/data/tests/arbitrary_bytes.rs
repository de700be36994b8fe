//! Readers never panic, whatever bytes they are given. The same entry points as in `fuzz/`, with text that is nearly right.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use foldin_data::{Duplicates, OpenOptions, open_files};
use proptest::prelude::*;

fn options(bits: u8) -> OpenOptions {
    OpenOptions {
        skip_bad_lines: bits & 1 != 0,
        duplicates: if bits & 2 != 0 { Duplicates::Mean } else { Duplicates::Last },
        implicit: bits & 4 != 0,
        ..OpenOptions::default()
    }
}

/// What was read holds together, whatever it is.
fn read(files: &[(&str, &[u8])], bits: u8) {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    if let Ok((data, report)) = open_files("bytes", files, &options(bits)) {
        data.check().unwrap();
        assert!(report.lines >= data.interactions.len() as u64);
        assert_eq!(report.lines - report.duplicates, data.interactions.len() as u64);
    }
}

/// Bytes made of the pieces that readers look for.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => "[0-9]{1,4}".prop_map(String::into_bytes),
        4 => prop_oneof![Just("\n"), Just("\r\n"), Just(","), Just("\t"), Just("::"), Just("|"), Just(";"), Just(" ")]
            .prop_map(|text| text.as_bytes().to_vec()),
        2 => prop_oneof![
            Just("user"), Just("item_id:token"), Just("rating:float"), Just("userId,movieId,rating,timestamp\n"),
            Just("{\"user\":1,\"item\":2,\"rating\":3}\n"), Just("user_id:token\titem_id:token\trating:float\n"),
            Just("1::2::3::4\n"), Just("1:\n"), Just("7,3,2005-02-03\n"), Just("1,NULL,"), Just("1\t2\t3\t4\n"), Just("nan"), Just("-"), Just("\""), Just("{"), Just("["), Just("(1995)"),
        ].prop_map(|text| text.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn interactions(bytes in pieces(), bits in any::<u8>()) {
        for name in ["ratings.csv", "x.inter", "x.jsonl", "u.data", "ratings.dat", "mv_1.txt", "combined_data_1.txt"] {
            read(&[(name, &bytes)], bits);
        }
        read(&[("mv_1.txt", b"1:\n7,3,2005-02-03\n"), ("mv_2.txt", &bytes)], bits);
    }

    #[test]
    fn tables(bytes in pieces(), bits in any::<u8>()) {
        read(&[("ratings.csv", b"user,item,rating\n1,2,3\n"), ("movies.csv", &bytes)], bits);
        read(&[("ratings.csv", b"user,item,rating\n1,2,3\n2,2,4\n"), ("users.csv", &bytes)], bits);
        read(&[("ratings.jsonl", b"{\"user\":1,\"item\":2}\n"), ("items.jsonl", &bytes), ("foldin.json", &bytes)], bits);
        read(&[("x.inter", b"user_id:token\titem_id:token\n1\t2\n"), ("x.item", &bytes), ("x.user", &bytes)], bits);
        read(&[("u.data", b"1\t2\t3\t4\n"), ("u.item", &bytes), ("u.user", &bytes), ("u.genre", &bytes)], bits);
        read(&[("mv_1.txt", b"1:\n7,3,2005-02-03\n"), ("movie_titles.csv", &bytes)], bits);
        read(&[("ratings.dat", b"1::2::3::4\n"), ("movies.dat", &bytes), ("users.dat", &bytes)], bits);
    }

    #[test]
    fn noise(bytes in proptest::collection::vec(any::<u8>(), 0..200), bits in any::<u8>()) {
        for name in ["ratings.csv", "x.inter", "x.jsonl.gz", "u.data", "ratings.dat"] {
            read(&[(name, &bytes)], bits);
        }
    }
}
