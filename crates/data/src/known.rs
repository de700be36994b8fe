//! Data sets that are known by name.

use foldin_core::RatingScale;

/// A data set that is found by its name, and that `foldin data fetch` downloads if it is published.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownDataset {
    /// Its name, as in `--data ml-100k`.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The archive's file name, at the address of [`ARCHIVES`] if it is published there.
    pub file: &'static str,
    /// What the folder is called that unpacking gives, where that is not the data set's name.
    pub unpacked: Option<&'static str>,
    /// MD5 of the archive as its publisher gives it; `None` for one that is replaced from time to time.
    pub md5: Option<&'static str>,
    /// Where people have it from, and in which form, if nobody publishes it any more.
    pub by_hand: Option<&'static str>,
}

/// A data set of two files, a part to learn from and a part to be tested on, that is found by its name.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnownSplit {
    /// Its name, as in `--data cfgan-ml-100k`.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// The file to learn from, found like a data set by its name.
    pub train: &'static str,
    /// The file to be tested on.
    pub test: &'static str,
}

impl KnownSplit {
    /// Both files, as [`read_split`](crate::read_split) takes them.
    #[must_use]
    pub fn files(&self) -> String {
        format!("{},{}", self.train, self.test)
    }
}

/// Every split that is known. The authors of CFGAN gave theirs out (github.com/Bigdasgit/CFGAN, folder datasets), as lines of user, item
/// and rating; that of MovieLens 1M in MovieLens' own numbers.
pub const SPLITS: [KnownSplit; 3] = [
    KnownSplit {
        name: "cfgan-ml-100k",
        about: "CFGAN's split of MovieLens 100K: 80,000 and 19,963 ratings",
        train: "ML100K.train.gz",
        test: "ML100K.test.gz",
    },
    KnownSplit {
        name: "cfgan-ml-1m",
        about: "CFGAN's split of MovieLens 1M: about 800,000 and 200,000 ratings",
        train: "ML1M.train.original-ids.tsv.gz",
        test: "ML1M.test.original-ids.tsv.gz",
    },
    KnownSplit {
        name: "cfgan-ciao",
        about: "CFGAN's split of Ciao: 13,464 and 3,357 ratings",
        train: "Ciao.train.gz",
        test: "Ciao.test.gz",
    },
];

/// The split of that name.
#[must_use]
pub fn find_split(name: &str) -> Option<&'static KnownSplit> {
    SPLITS.iter().find(|split| split.name == name)
}

/// Where the archives of MovieLens are published.
pub const ARCHIVES: &str = "https://files.grouplens.org/datasets/movielens";

/// Every data set that is known.
pub const KNOWN: [KnownDataset; 8] = [
    KnownDataset {
        name: "ml-100k",
        about: "MovieLens 100K: 100,000 ratings of 1,682 films by 943 users, with side information of both",
        file: "ml-100k.zip",
        unpacked: None,
        md5: Some("0e33842e24a9c977be4e0107933c0723"),
        by_hand: None,
    },
    KnownDataset {
        name: "ml-1m",
        about: "MovieLens 1M: 1,000,209 ratings of 3,706 films by 6,040 users, with side information of both",
        file: "ml-1m.zip",
        unpacked: None,
        md5: Some("c4d9eecfca2ab87c1945afe126590906"),
        by_hand: None,
    },
    KnownDataset {
        name: "ml-10m",
        about: "MovieLens 10M: 10 million ratings of 10,000 films by 72,000 users",
        file: "ml-10m.zip",
        unpacked: Some("ml-10M100K"),
        md5: Some("ce571fd55effeba0271552578f2648bd"),
        by_hand: None,
    },
    KnownDataset {
        name: "ml-20m",
        about: "MovieLens 20M: 20 million ratings of 27,000 films by 138,000 users",
        file: "ml-20m.zip",
        unpacked: None,
        md5: Some("cd245b17a1ae2cc31bb14903e1204af3"),
        by_hand: None,
    },
    KnownDataset {
        name: "ml-25m",
        about: "MovieLens 25M: 25 million ratings of 62,000 films by 162,000 users",
        file: "ml-25m.zip",
        unpacked: None,
        md5: Some("6b51fb2759a8657d3bfcbfc42b592ada"),
        by_hand: None,
    },
    KnownDataset {
        name: "ml-32m",
        about: "MovieLens 32M: 32 million ratings of 88,000 films by 201,000 users",
        file: "ml-32m.zip",
        unpacked: None,
        md5: Some("d472be332d4daa821edc399621853b57"),
        by_hand: None,
    },
    KnownDataset {
        name: "ml-latest-small",
        about: "MovieLens latest, small: about 100,000 ratings of 9,700 films by 610 users; replaced from time to time",
        file: "ml-latest-small.zip",
        unpacked: None,
        md5: None,
        by_hand: None,
    },
    KnownDataset {
        name: "netflix",
        about: "Netflix Prize: 100 million ratings of 17,770 films by 480,189 users; no longer published, to be put there by hand",
        file: "nf_prize_dataset.tar.gz",
        unpacked: Some("download"),
        md5: None,
        by_hand: Some(
            "Netflix withdrew these data, so there is no address to download them from. They are read as Kaggle has them \
             (netflix-inc/netflix-prize-data: combined_data_1.txt to combined_data_4.txt with movie_titles.csv, in an archive \
             called netflix.zip or unpacked in a folder netflix), or as Netflix gave them out (nf_prize_dataset.tar.gz as it \
             is, or a folder netflix with movie_titles.txt and with training_set.tar, or training_set/mv_0000001.txt to \
             mv_0017770.txt unpacked from it, itself or in its folder download); give the path, or put them into any folder that --data-dir or \
             FOLDIN_DATA_DIR names",
        ),
    },
];

/// The names of those that are published.
pub(crate) fn published() -> String {
    let published = KNOWN.iter().filter(|known| known.by_hand.is_none());
    published.map(|known| known.name).collect::<Vec<_>>().join(", ")
}

/// The data set of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static KnownDataset> {
    KNOWN.iter().find(|known| known.name == name)
}

/// Whole stars, as in MovieLens 100K and 1M.
pub(crate) const STARS: RatingScale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
/// Half stars, as in MovieLens 10M and everything since.
pub(crate) const HALF_STARS: RatingScale = RatingScale { min: 0.5, max: 5.0, step: Some(0.5) };
