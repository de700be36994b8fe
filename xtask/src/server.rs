//! A real server over generated data, for checks that ask one.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Servers so far, so that each has a folder of its own.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A server with a model of its own, in a folder of its own; both are gone when this is dropped.
pub(crate) struct Server {
    child: Child,
    folder: PathBuf,
    pub(crate) url: String,
    /// API keys, one for each role that was asked for.
    pub(crate) keys: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    /// Starts one that serves a model, with a key for each of the roles; without any role it asks for none.
    pub(crate) fn start(model: &str, roles: &[&str]) -> Result<Self, String> {
        let foldin = crate::docs::build()?;
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("foldin-check-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let at = |name: &str| folder.join(name).display().to_string();
        let data = folder.join("data");
        std::fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        write_data(&data)?;
        let train = ["train", "--data", &at("data"), "--model", model, "--out", &at("model"), "-q"];
        output(Command::new(&foldin).args(train))?;
        let mut keys = Vec::new();
        for role in roles {
            let create = ["keys", "create", "--store", &at("store"), "--role", role, "--label"];
            let printed = output(Command::new(&foldin).args(create).arg(format!("browser, {role}")))?;
            keys.extend(printed.lines().next().map(str::to_owned));
        }
        let serve = ["--model", &at("model"), "--store", &at("store"), "--import", &at("data")];
        Self::serve(&foldin, &serve, folder, keys)
    }

    /// One that designs, from what the tests of pictures left in the folder [`shop`]; they are run if it is not there.
    pub(crate) fn designer() -> Result<Self, String> {
        let shop = shop()?;
        let foldin = shop.join(format!("foldin{}", std::env::consts::EXE_SUFFIX));
        if !foldin.exists() {
            let kept = shop.display().to_string();
            let test = ["test", "-p", "foldin", "--features", "vision", "--locked", "--test", "pictures"];
            crate::check::cargo(&test, &[("FOLDIN_KEEP_SHOP", &kept)])?;
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("foldin-check-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let at = |name: &str| shop.join(name).display().to_string();
        let store = folder.join("store").display().to_string();
        let (model, generator, scorer, products) =
            (at("model"), at("gan/lsgan"), at("dvbpr"), at("products"));
        let serve = ["--model", &model, "--lsgan", &generator, "--design-model", &scorer, "--store", &store];
        let serve = [&serve[..], &["--design-catalogue", &products]].concat();
        Self::serve(&foldin, &serve, folder, Vec::new())
    }

    fn serve(foldin: &Path, arguments: &[&str], folder: PathBuf, keys: Vec<String>) -> Result<Self, String> {
        let mut child = Command::new(foldin)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("the server did not start: {error}"))?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            // The rest of what it says is of no interest, and a pipe that nobody reads would be closed.
            BufReader::new(stdout).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let url = line
            .split_whitespace()
            .find(|word| word.starts_with("http://"))
            .map(|word| word.trim_end_matches(','));
        let Some(url) = url.map(str::to_owned) else {
            let _ = child.kill();
            return Err(format!("the server did not say where it is: {line}"));
        };
        Ok(Self { child, folder, url, keys })
    }
}

/// Where the tests of pictures leave a shop, its recommenders, a generator and the binary that made them.
pub(crate) fn shop() -> Result<PathBuf, String> {
    Ok(crate::metadata::Metadata::members()?.target_directory.join("shop-with-pictures"))
}

/// Ratings of two tastes, users and items, enough for every page to have something to show. Items of the first taste are the popular ones.
/// Everybody is there from the beginning to the end, so that the latest events are of people who did something before.
fn write_data(folder: &Path) -> Result<(), String> {
    let mut ratings = String::from("user,item,rating,time\n");
    let mut users = String::from("user,age,occupation\n");
    let mut items = String::from("item,title,genres\n");
    for user in 0..80 {
        users += &format!("u{user},{},{}\n", 20 + user % 40, if user % 2 == 0 { "writer" } else { "miller" });
        for item in 0..60 {
            let popular = item % 2 == 0 || (user + item / 2) % 2 == 0;
            if popular && (user * 7 + item * 11) % 3 != 0 {
                let likes = (user + item) % 2 == 0;
                let rating = if likes { 4 + (user * item) % 2 } else { 1 + (user + 2 * item) % 3 };
                ratings += &format!(
                    "u{user},i{item},{rating},{}\n",
                    1_000_000 + 60 * ((user * 31 + item * 17) % 1009)
                );
            }
        }
    }
    for item in 0..60 {
        items +=
            &format!("i{item},Film {item:02} ({}),{}\n", 1950 + item, ["Drama", "Comedy|Crime"][item % 2]);
    }
    for (name, text) in [("ratings.csv", ratings), ("users.csv", users), ("items.csv", items)] {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// What a program prints.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
