//! The dashboard: its source is sound, its built files are those that are checked in, and it works in a browser against a real server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the built files are.
const ASSETS: &str = "crates/server/assets";

/// The oldest Node that the build takes.
const NODE: (u32, u32) = (20, 19);

/// Checks, builds and compares; then drives a browser, if there is one.
pub(crate) fn run() -> Result<String, String> {
    // Whoever changes nothing under web/ needs no Node: what it builds is checked in.
    let npm = match Npm::find() {
        Ok(npm) => npm,
        Err(reason) if std::env::var_os("CI").is_none() => return Ok(format!("web: SKIPPED: {reason}")),
        Err(reason) => return Err(reason),
    };
    npm.run(&["ci", "--no-audit", "--no-fund"])?;
    npm.run(&["run", "check"])?;
    npm.run(&["run", "build"])?;
    let changed = output(Command::new("git").args(["status", "--porcelain", "--", ASSETS]))?;
    if !changed.trim().is_empty() {
        return Err(format!(
            "web: the files under {ASSETS} are not what web/ builds; `npm run build` there and commit them:\n{changed}"
        ));
    }
    let Some(chromium) = chromium() else {
        return match std::env::var_os("CI") {
            Some(_) => Err("web: no Chromium: apt-get install chromium, or name one with $CHROMIUM".to_owned()),
            None => Ok("web: built as checked in; SKIPPED in a browser, for there is no Chromium (apt-get install chromium, or $CHROMIUM)".to_owned()),
        };
    };
    let server = Server::start()?;
    npm.with("FOLDIN_URL", &server.url)
        .with("CHROMIUM", &chromium.display().to_string())
        .run(&["run", "e2e"])?;
    Ok("web: built as checked in, and it works in a browser".to_owned())
}

/// npm, run by a Node that is new enough: the machine's, or one that npm fetches.
struct Npm {
    words: Vec<String>,
    variables: Vec<(String, String)>,
}

impl Npm {
    fn find() -> Result<Self, String> {
        let version = output(Command::new("node").arg("--version"))
            .map_err(|error| format!("{error}; install Node with npm (apt-get install nodejs npm)"))?;
        let mut numbers =
            version.trim().trim_start_matches('v').split('.').map(|number| number.parse().unwrap_or(0));
        let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        let words: &[&str] =
            if found >= NODE { &["npm"] } else { &["npx", "--yes", "-p", "node@22", "--", "npm"] };
        Ok(Self { words: words.iter().map(|&word| word.to_owned()).collect(), variables: Vec::new() })
    }

    fn with(&self, name: &str, value: &str) -> Self {
        let mut variables = self.variables.clone();
        variables.push((name.to_owned(), value.to_owned()));
        Self { words: self.words.clone(), variables }
    }

    fn run(&self, arguments: &[&str]) -> Result<(), String> {
        let status = Command::new(&self.words[0])
            .args(&self.words[1..])
            .args(arguments)
            .current_dir("web")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .status()
            .map_err(|error| format!("{} did not start: {error}", self.words[0]))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("web: npm {} failed ({status})", arguments.join(" ")))
        }
    }
}

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from("/usr/bin/chromium"))).filter(|path| path.exists())
}

fn output(command: &mut Command) -> Result<String, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{program} did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!("{program} failed: {}", String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A server with a model of its own, in a folder of its own; both are gone when this is dropped.
struct Server {
    child: Child,
    folder: PathBuf,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    fn start() -> Result<Self, String> {
        let foldin = crate::docs::build()?;
        let folder = std::env::temp_dir().join(format!("foldin-web-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let at = |name: &str| folder.join(name).display().to_string();
        let data = folder.join("data");
        std::fs::create_dir_all(&data).map_err(|error| format!("{}: {error}", data.display()))?;
        write_data(&data)?;
        let train = ["train", "--data", &at("data"), "--model", "lfg-bayes", "--out", &at("model"), "-q"];
        output(Command::new(&foldin).args(train))?;
        let mut child = Command::new(&foldin)
            .args(["serve", "--listen", "127.0.0.1:0", "--log-level", "error", "--model", &at("model")])
            .args(["--store", &at("store"), "--import", &at("data")])
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
        Ok(Self { child, folder, url })
    }
}

/// Ratings of two tastes, users and items, enough for every page to have something to show. Items of the first taste are the popular ones.
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
                ratings += &format!("u{user},i{item},{rating},{}\n", 1_000_000 + 60 * user + item);
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
