//! The part of `cargo metadata` that the checks read.

use std::process::Command;

use serde::Deserialize;

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

    /// The members and everything they need on Linux with x86-64, which is what CI builds.
    pub(crate) fn all() -> Result<Self, String> {
        Self::read(&["--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
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
