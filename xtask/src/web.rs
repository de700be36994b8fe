//! The dashboard: its source is sound, its built files are those that are checked in, and it works in a browser against a real server.

use std::path::PathBuf;
use std::process::Command;

use crate::server::{Server, output};

/// Where the built files are.
const ASSETS: &str = "crates/server/assets";

/// The oldest Node that the build takes.
const NODE: (u32, u32) = (20, 19);

/// Checks, builds and compares; then drives a browser, if there is one, against a server without keys, one that has some, and one
/// that designs.
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
    // One model in closed form, and one with epochs, which have a curve.
    let open = Server::start("lfg-bayes", &[])?;
    let keyed = Server::start("bias-svd", &["read", "admin"])?;
    // And one that draws pictures.
    let designer = Server::designer()?;
    let [read, admin] = &keyed.keys[..] else {
        return Err("web: `foldin keys create` printed no key".to_owned());
    };
    npm.with("CHROMIUM", &chromium.display().to_string())
        .with("FOLDIN_URL", &open.url)
        .with("FOLDIN_KEYED_URL", &keyed.url)
        .with("FOLDIN_READ_KEY", read)
        .with("FOLDIN_ADMIN_KEY", admin)
        .with("FOLDIN_DESIGNER_URL", &designer.url)
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
