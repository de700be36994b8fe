//! The API does as it says: requests generated from its description find no answer that is not described, and no error of the server.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::metadata::Metadata;
use crate::server::{Server, output};

/// The generator of requests, from PyPI.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// What every answer is held against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

/// Seconds for requests.
const SECONDS: &str = "60";

/// Starts a server and asks it whatever its description allows, and some of what it does not.
pub(crate) fn run() -> Result<String, String> {
    let program = match schemathesis() {
        Ok(program) => program,
        Err(reason) if std::env::var_os("CI").is_none() => return Ok(format!("api: SKIPPED: {reason}")),
        Err(reason) => return Err(reason),
    };
    let server = Server::start()?;
    let document = format!("{}openapi.json", with_slash(&server.url));
    // A training run for each of many requests would take all there is of the machine; the server's own tests ask for it.
    let status = Command::new(&program)
        .args(["run", &document, "--checks", CHECKS, "--max-time", SECONDS, "--continue-on-failure"])
        .args(["--exclude-path-regex", "train", "--seed", "1", "--warnings", "off", "--no-color"])
        .status()
        .map_err(|error| format!("{} did not start: {error}", program.display()))?;
    if status.success() {
        Ok("api: it answers as it is described".to_owned())
    } else {
        Err(format!("api: {document} does not describe what the server does ({status})"))
    }
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

/// Where the program is, installed into the target folder if it is not there.
fn schemathesis() -> Result<PathBuf, String> {
    let folder = Metadata::members()?.target_directory.join("python");
    let program = folder.join("bin/schemathesis");
    let installed = folder.join(SCHEMATHESIS);
    if installed.exists() {
        return Ok(program);
    }
    let remedy = "install Python with venv (apt-get install python3 python3-venv)";
    let of_path = |path: &Path| path.display().to_string();
    output(Command::new("python3").args(["-m", "venv", &of_path(&folder)]))
        .map_err(|error| format!("{error}; {remedy}"))?;
    output(Command::new(folder.join("bin/pip")).args(["install", "--quiet", SCHEMATHESIS]))?;
    std::fs::write(&installed, "").map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(program)
}
