//! Layouts of purchases, and what is left out of them.

use std::path::Path;

use foldin_vision::VisionError;
use foldin_vision::data::{LeaveOneOut, PrepareOptions, Treatment, VisualDataset, prepare, purchases};
use image::ImageFormat;

use crate::pictures::{encoded, plain};

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn picture(value: u8) -> Vec<u8> {
    encoded(&plain(10, 12, [value; 3]), ImageFormat::Png)
}

fn prepared(folder: &Path, options: &PrepareOptions) -> Result<VisualDataset, VisionError> {
    prepare(purchases::open(folder)?, options, &folder.join("cache.fpix"), &|_, _| Ok(()))
}

/// Two users of three items each, one of one; item d has no picture that can be read.
fn shop(folder: &Path) {
    let rows = "user,item\nann,a\nann,b\nann,c\nann,a\nbob,a\nbob,b\nbob,d\ncho,a\n";
    write(folder, "interactions.csv", rows.as_bytes());
    write(folder, "items.csv", b"item,kind,name\na,hat,\"One, two\"\nb,shoe,x\nc,hat,y\nzz,hat,z\n");
    write(folder, "images/a.png", &picture(10));
    write(folder, "images/a_2.png", &picture(20));
    write(folder, "images/b/1.png", &picture(30));
    write(folder, "images/c.png", &picture(40));
    write(folder, "images/d.png", b"nothing");
    write(folder, "customer-images/a/x.png", &picture(50));
}

#[test]
fn the_plain_layout_in_three_treatments() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    for (treatment, of_a) in [
        (Treatment::OneVendor, vec![10]),
        (Treatment::AllVendor, vec![10, 20]),
        (Treatment::VendorAndCustomer, vec![10, 20, 50]),
    ] {
        let options = PrepareOptions { treatment, min_user: 2, ..PrepareOptions::new(8) };
        let data = prepared(folder.path(), &options).unwrap();
        assert!(data.users.keys().eq(["ann", "bob"]));
        assert!(data.items.keys().eq(["a", "b", "c"]));
        let grey = |picture: &u32| data.images.bytes(&[*picture]).unwrap()[0];
        assert_eq!(data.pictures[0].iter().map(grey).collect::<Vec<_>>(), of_a, "{treatment:?}");
        assert_eq!(data.positives(&data.purchases)[0].len(), of_a.len() + 2);
        let report = &data.report;
        assert_eq!((report.repeated, report.items_without_picture), (1, 1));
        assert_eq!(report.users_dropped, [1, 0]);
        assert!(report.lines().iter().any(|line| line.contains("d.png")), "{:?}", report.lines());
        assert_eq!(data.labels("kind").unwrap().of(), [Some(0), Some(1), Some(0)]);
    }
}

#[test]
fn one_picture_is_the_first_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    // The main picture of a is broken; d has none that can be read, e none at all.
    write(folder.path(), "images/a.png", b"nothing");
    write(folder.path(), "interactions.csv", b"user,item\nann,a\nann,b\nann,c\nbob,a\nbob,b\nbob,d\nbob,e\n");
    let of = |treatment| {
        let options = PrepareOptions { treatment, min_user: 2, ..PrepareOptions::new(8) };
        prepared(folder.path(), &options).unwrap()
    };
    let rows = |data: &VisualDataset| -> Vec<(String, String, String)> {
        let rows = data.report.unusable.iter();
        rows.map(|one| (one.item.clone(), one.picture.clone(), one.problem.clone())).collect()
    };
    let unusable = [
        ("a", "images/a.png", "of unknown format"),
        ("d", "images/d.png", "of unknown format"),
        ("e", "", "no picture"),
    ]
    .map(|(item, picture, problem)| (item.to_owned(), picture.to_owned(), problem.to_owned()));
    let (one, all) = (of(Treatment::OneVendor), of(Treatment::AllVendor));
    assert!(one.items.keys().eq(["a", "b", "c"]) && all.items.keys().eq(one.items.keys()));
    assert_eq!(one.pictures.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(one.images.bytes(&one.pictures[0]).unwrap()[0], 20);
    assert_eq!((rows(&one), rows(&all)), (unusable.to_vec(), unusable.to_vec()));
    assert_eq!((one.report.items_without_picture, one.report.images.defects.len()), (2, 2));
    // The file of decoded pictures says the same.
    let (built, again) = (of(Treatment::OneVendor), of(Treatment::OneVendor));
    assert!(!built.report.images.reused && again.report.images.reused);
    assert_eq!((&again.pictures, rows(&again), again.images.len()), (&one.pictures, unusable.to_vec(), 3));

    // With buyers' pictures alone an item is of one treatment; where all are to have the same items, of none.
    for (from, to) in [("images/b/1.png", "customer-images/b.png"), ("images/c.png", "customer-images/c.png")]
    {
        std::fs::rename(folder.path().join(from), folder.path().join(to)).unwrap();
    }
    let options =
        PrepareOptions { treatment: Treatment::VendorAndCustomer, min_user: 1, ..PrepareOptions::new(8) };
    let data = prepared(folder.path(), &options).unwrap();
    assert!(data.items.keys().eq(["a", "b", "c"]));
    let data = prepared(folder.path(), &PrepareOptions { needs_vendor: true, ..options }).unwrap();
    assert!(data.items.keys().eq(["a"]));
    assert_eq!(data.report.items_without_vendor, 2);
}

#[test]
fn users_who_fall_under_the_threshold_by_a_bad_picture_are_dropped_as_well() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    let options = PrepareOptions { min_user: 3, ..PrepareOptions::new(8) };
    let data = prepared(folder.path(), &options).unwrap();
    assert!(data.users.keys().eq(["ann"]));
    assert_eq!(data.report.users_dropped, [1, 1]);
    let options = PrepareOptions { min_user: 4, ..PrepareOptions::new(8) };
    assert!(prepared(folder.path(), &options).unwrap_err().to_string().contains("4 items"));
    // With a threshold on items as well, one round makes the next necessary.
    let options = PrepareOptions { min_user: 2, min_item: 2, ..PrepareOptions::new(8) };
    assert!(prepared(folder.path(), &options).unwrap().items.keys().eq(["a", "b"]));
}

#[test]
fn articles_keep_their_zeros_and_their_families() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "t_dat,customer_id,article_id,price,sales_channel_id\n2020-01-01,u,0108775015,0.01,2\n\
                2020-01-02,u,0108775044,0.01,2\n2020-01-02,u,0111565001,0.01,2\n2020-01-03,u,0111565001,0.01,1\n";
    write(folder.path(), "transactions_train_sample.csv", rows.as_bytes());
    let articles =
        "article_id,product_type_name,colour_group_name\n0108775015,Vest,Black\n0111565001,Socks,Black\n";
    write(folder.path(), "articles.csv", articles.as_bytes());
    for key in ["0108775015", "0108775044", "0111565001"] {
        write(folder.path(), &format!("images/{}/{key}.png", &key[..3]), &picture(9));
    }
    let data = prepared(folder.path(), &PrepareOptions { min_user: 3, ..PrepareOptions::new(8) }).unwrap();
    assert!(data.items.keys().eq(["0108775015", "0108775044", "0111565001"]));
    assert_eq!(data.families[0], data.families[1]);
    assert_ne!(data.families[0], data.families[2]);
    assert_eq!(data.labels("product type").unwrap().of(), [Some(1), None, Some(0)]);
    assert_eq!(data.report.repeated, 1);
}

#[test]
fn one_purchase_of_each_user_is_left_out_twice() {
    let folder = tempfile::tempdir().unwrap();
    shop(folder.path());
    let data = prepared(folder.path(), &PrepareOptions { min_user: 3, ..PrepareOptions::new(8) }).unwrap();
    let mut cuts = std::collections::BTreeSet::new();
    for seed in 0..60 {
        let split = LeaveOneOut::new(&data, seed).unwrap();
        let train = split.train.by_user().row(0).0;
        assert_eq!(train.len(), 1);
        let mut all = vec![train[0], split.validation[0], split.test[0]];
        cuts.insert((split.validation[0], split.test[0]));
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2]);
        let again = LeaveOneOut::new(&data, seed).unwrap();
        assert_eq!((again.validation, again.test), (split.validation, split.test));
    }
    assert_eq!(cuts.len(), 6);
    let few = prepared(folder.path(), &PrepareOptions { min_user: 2, ..PrepareOptions::new(8) }).unwrap();
    assert!(LeaveOneOut::new(&few, 1).unwrap_err().to_string().contains("bob"));
}

#[test]
fn a_folder_without_purchases_says_what_was_expected() {
    let folder = tempfile::tempdir().unwrap();
    let message = purchases::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("interactions.csv"), "{message}");
}

/// The real samples, where they are.
#[test]
fn real_samples_have_the_numbers_that_are_known_of_them() {
    let Some(folder) = std::env::var_os("FOLDIN_DATA_DIR") else {
        eprintln!("skipped: FOLDIN_DATA_DIR is not set");
        return;
    };
    let folder = Path::new(&folder);
    let hm = folder.join("hm-sample");
    if hm.is_dir() {
        let found = purchases::open(&hm).unwrap();
        assert_eq!((found.users.len(), found.items.len(), found.pairs.len()), (1364, 17_033, 27_443));
        assert_eq!(found.repeated, 31_662 - 27_443);
        assert!(found.pictures.iter().all(|item| item.vendor.len() == 1));
        assert_eq!(found.labels.len(), 4);
    }
    let amazon = folder.join("amazon-fashion-5core");
    if amazon.is_dir() {
        let found = purchases::open(&amazon).unwrap();
        assert_eq!((found.users.len(), found.items.len(), found.pairs.len()), (406, 31, 3042));
        assert_eq!(found.repeated, 3176 - 3042);
        assert!(found.pictures.iter().any(|item| !item.customer.is_empty()));
    }
}
