//! The part of `cargo metadata` that the checks read.

use std::collections::HashSet;
use std::process::Command;

use serde::Deserialize;

/// What CI builds for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The cargo that runs this task, so that a `+toolchain` is kept.
pub(crate) fn cargo() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// The workspace, or everything it is built from.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    /// Where builds go.
    pub(crate) target_directory: std::path::PathBuf,
}

/// One package.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX expression.
    pub(crate) license: Option<String>,
    /// Name of the native library it links, if it says so.
    pub(crate) links: Option<String>,
    /// Declared dependencies, those of other platforms included.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One declared dependency.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one, otherwise `dev` or `build`.
    pub(crate) kind: Option<String>,
}

impl Metadata {
    /// The members of the workspace.
    pub(crate) fn members() -> Result<Self, String> {
        Self::read(&["--no-deps"])
    }

    /// The members and everything they name as a dependency on Linux with x86-64, which is what CI builds.
    fn all() -> Result<Self, String> {
        Self::read(&["--locked", "--filter-platform", TARGET])
    }

    /// Of [`all`](Self::all), what is really compiled for some member with the features that the members ask for. `cargo metadata` also
    /// lists optional dependencies that a feature names but does not switch on (`burn-tch?/std`).
    pub(crate) fn built() -> Result<Self, String> {
        let output = Command::new(cargo())
            .args(["tree", "--workspace", "--locked", "--edges", "normal,build,dev", "--prefix", "none"])
            .args(["--target", TARGET, "--format", "{p}"])
            .output()
            .map_err(|error| format!("cargo tree did not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo tree failed:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let built: HashSet<(&str, &str)> = text.lines().filter_map(name_and_version).collect();
        let mut all = Self::all()?;
        all.packages.retain(|package| built.contains(&(package.name.as_str(), package.version.as_str())));
        Ok(all)
    }

    fn read(options: &[&str]) -> Result<Self, String> {
        let output = Command::new(cargo())
            .args(["metadata", "--format-version", "1"])
            .args(options)
            .output()
            .map_err(|error| format!("cargo metadata did not start: {error}"))?;
        if !output.status.success() {
            return Err(format!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr)));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("cargo metadata is not readable: {error}"))
    }
}

/// The package of a line such as `rayon v1.12.0` or `foldin v0.1.0 (/src/foldin) (*)`.
fn name_and_version(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split(' ');
    Some((words.next()?, words.next()?.strip_prefix('v')?))
}

#[cfg(test)]
mod tests {
    use super::name_and_version;

    #[test]
    fn packages_of_a_tree() {
        assert_eq!(name_and_version("rayon v1.12.0"), Some(("rayon", "1.12.0")));
        assert_eq!(name_and_version("foldin v0.1.0 (/src/foldin) (*)"), Some(("foldin", "0.1.0")));
        assert_eq!(name_and_version(""), None);
    }
}
