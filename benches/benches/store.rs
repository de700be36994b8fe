//! The store: writes that are on disk when they return, bulk import, reading a history, and what an event costs.
//!
//! Floors: no write can be on disk before one sync of the disk is done, so the time of an append and sync of a page to a plain file,
//! measured here, is the floor of one write; writers that wait together share it. An import has to write the bytes of its rows once, at the
//! disk's rate (taken as 1 GB/s). The events have the shape of MovieLens 1M: 6,040 users, 3,706 items, a million ratings, half of the users with at most
//! 96. `--path FOLDER` sets where the files lie: a disk and not memory, or syncs cost nothing.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use foldin_benches::{Bench, MemoryWatch, Percentiles, time_each};
use foldin_core::random::Random;
use foldin_engine::store::{Event, RedbStore, Store, StoreOptions};

const EVENTS: usize = 1_000_000;
const USERS: usize = 6040;
const ITEMS: usize = 3706;
const WRITERS: usize = 32;
/// Bytes of an event: 5 + 4 of key, 18 of row, 4 of the tree.
const ROW_BYTES: f64 = 31.0;
const DISK_BYTES_A_SECOND: f64 = 1e9;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut bench = Bench::new("store");
    let folder = Folder::new()?;
    let events = if bench.is_measuring() { EVENTS } else { 5000 };

    let sync = sync_seconds(&folder.0.join("plain"), bench.rounds(200))?;
    bench.line("append and sync of a page to a plain file, p50").microseconds(sync.p50);
    bench.line("the same, p90").microseconds(sync.p90);

    let path = folder.0.join("store");
    let store = RedbStore::open(&path, StoreOptions::default())?;
    let watch = MemoryWatch::start();
    let start = Instant::now();
    let imported = store.import(&mut generated(events))?;
    let seconds = start.elapsed().as_secs_f64();
    let peak = watch.and_then(|watch| watch.peak());
    bench
        .line(format!("bulk import of {} events", imported.events))
        .measured(imported.events as f64 / seconds / 1e3, "k/s")
        .floor(DISK_BYTES_A_SECOND / ROW_BYTES / 1e3)
        .goal_at_least(200.0);
    let kept = store.counts()?.events;
    bench
        .line("bytes on disk an event, open")
        .measured(allocated(&path)? as f64 / kept as f64, "B")
        .floor(ROW_BYTES)
        .goal(90.0);
    if let Some(peak) = peak {
        bench.line("resident memory at most while importing").bytes(peak.absolute).goal(150.0);
    }
    let start = Instant::now();
    store.close()?;
    bench.line("close").seconds(start.elapsed().as_secs_f64());
    bench
        .line("bytes on disk an event, closed")
        .measured(allocated(&path)? as f64 / kept as f64, "B")
        .floor(ROW_BYTES)
        .goal(90.0);

    let start = Instant::now();
    drop(RedbStore::open(&path, StoreOptions { verify: false, ..StoreOptions::default() })?);
    bench.line("open without verifying").seconds(start.elapsed().as_secs_f64());
    let start = Instant::now();
    let store = RedbStore::open(&path, StoreOptions::default())?;
    bench.line("open, every page verified").seconds(start.elapsed().as_secs_f64()).goal(0.5);

    histories(&mut bench, &store)?;

    let start = Instant::now();
    let mut scanned = 0;
    store.scan(None, &mut |_| {
        scanned += 1;
        std::ops::ControlFlow::Continue(())
    })?;
    assert_eq!(scanned, kept);
    bench.line("scan of all events").measured(kept as f64 / start.elapsed().as_secs_f64() / 1e6, "M/s");

    let start = Instant::now();
    store.backup(&folder.0.join("backup"))?;
    bench.line("backup").seconds(start.elapsed().as_secs_f64());
    bench
        .line("bytes on disk an event, backup")
        .measured(allocated(&folder.0.join("backup"))? as f64 / kept as f64, "B")
        .floor(ROW_BYTES);

    let counts = time_each(bench.rounds(2000), || store.counts());
    bench.line("counts, p50").microseconds(counts.p50);

    for (writers, goal) in [(1, None), (WRITERS, Some(2000.0))] {
        let rounds = bench.rounds(if writers == 1 { 500 } else { 200 });
        let (rate, times) = durable(&store, writers, rounds)?;
        let line = bench
            .line(format!("durable single appends, {writers} threads"))
            .measured(rate, "/s")
            .floor(writers as f64 / sync.p50);
        if let Some(goal) = goal {
            line.goal_at_least(goal);
        }
        bench
            .line(format!("the same, one append, p50, {writers} threads"))
            .microseconds(times.p50)
            .floor(sync.p50 * 1e6);
        bench.line(format!("the same, one append, p99, {writers} threads")).microseconds(times.p99);
    }
    if let Some(peak) = MemoryWatch::start().and_then(|watch| watch.peak()) {
        bench.line("resident memory with the store open").bytes(peak.absolute).goal(100.0);
    }
    bench.finish();
    Ok(())
}

/// A million ratings of users whose numbers of ratings are as uneven as those of MovieLens, user by user as its file has them.
fn generated(events: usize) -> impl Iterator<Item = Event> {
    let mut random = Random::new(1);
    let (mut user, mut left, mut item, mut key): (usize, usize, usize, std::sync::Arc<str>) =
        (0, 0, 0, "0".into());
    let kind: std::sync::Arc<str> = "rating".into();
    let items: Vec<std::sync::Arc<str>> = (0..ITEMS).map(|item| format!("{}", 1 + item).into()).collect();
    (0..events).map(move |number| {
        if left == 0 {
            user += 1;
            key = format!("{}", 1 + user % USERS).into();
            // Half of them up to about 96, the mean about 165.
            left = (20.0 + 76.0 * (random.normal() * 1.1).exp()).min(2300.0) as usize;
            item = random.below(ITEMS);
        }
        left -= 1;
        // A stride without a common factor with the number of items: no item comes twice to a user.
        item = (item + 1009) % ITEMS;
        Event {
            user: key.clone(),
            item: items[item].clone(),
            kind: kind.clone(),
            value: Some((1 + random.below(5)) as f32),
            time: 978_300_000_000 + 37_000 * number as i64,
        }
    })
}

/// The time of reading histories: of a median user, of the longest, and of all users by turns.
fn histories(bench: &mut Bench, store: &dyn Store) -> Result<(), Box<dyn std::error::Error>> {
    let mut users = store.users(None, usize::MAX)?;
    users.sort_by_key(|user| user.events);
    let median = &users[users.len() / 2];
    let longest = &users[users.len() - 1];
    for (name, user) in [("a median user", median), ("the longest", longest)] {
        let times = time_each(bench.rounds(5000), || store.history(&user.key, usize::MAX));
        let line =
            bench.line(format!("history of {name}, {} events, p50", user.events)).microseconds(times.p50);
        if user.key == median.key {
            line.goal(40.0);
        }
        bench.line("the same, fastest").microseconds(times.min);
    }
    let mut random = Random::new(2);
    let times =
        time_each(bench.rounds(5000), || store.history(&users[random.below(users.len())].key, usize::MAX));
    bench.line("history of a random user, p50").microseconds(times.p50);
    bench.line("the same, p99").microseconds(times.p99);
    Ok(())
}

/// Appends of one event each from so many threads: how many a second, and how long one took.
fn durable(
    store: &RedbStore,
    writers: usize,
    rounds: usize,
) -> Result<(f64, Percentiles), Box<dyn std::error::Error>> {
    let start = Instant::now();
    let times: Vec<Result<Vec<f64>, foldin_engine::store::StoreError>> = std::thread::scope(|scope| {
        let writer = |writer: usize| {
            move || {
                let mut random = Random::new(writer as u64);
                (0..rounds)
                    .map(|round| {
                        let (user, item) = (1 + random.below(USERS), 1 + random.below(ITEMS));
                        let event = Event::new(&user.to_string(), &item.to_string(), "click", round as i64);
                        let start = Instant::now();
                        store.append(&[event])?;
                        Ok(start.elapsed().as_secs_f64())
                    })
                    .collect()
            }
        };
        let handles: Vec<_> = (0..writers).map(|number| scope.spawn(writer(number))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap_or_else(|_| Ok(Vec::new()))).collect()
    });
    let seconds = start.elapsed().as_secs_f64();
    let times = times.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    Ok((times.len() as f64 / seconds, Percentiles::of(times)))
}

/// The time of an append and a sync of one page to a plain file.
fn sync_seconds(path: &Path, rounds: usize) -> Result<Percentiles, std::io::Error> {
    let mut file = File::create(path)?;
    let page = [7; 4096];
    let mut failed = Ok(());
    let times = time_each(rounds, || {
        if let Err(error) = file.write_all(&page).and_then(|()| file.sync_data()) {
            failed = Err(error);
        }
    });
    failed.map(|()| times)
}

/// Bytes that a file takes on disk; its length may be more, where nothing was written yet.
fn allocated(path: &Path) -> Result<u64, std::io::Error> {
    let file = std::fs::metadata(path)?;
    #[cfg(unix)]
    return Ok(512 * std::os::unix::fs::MetadataExt::blocks(&file));
    #[cfg(not(unix))]
    Ok(file.len())
}

/// A folder that goes when the bench ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let asked = std::env::args().skip_while(|argument| argument != "--path").nth(1);
        let parent = asked.map_or_else(std::env::temp_dir, PathBuf::from);
        let path = parent.join(format!("foldin-bench-store-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear: there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
