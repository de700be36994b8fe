//! The API does as it says: requests generated from its description find no answer that is not described, and no error of the server; and a client
//! generated from it does what a newcomer would do first.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::metadata::Metadata;
use crate::server::{Server, output};

/// The generator of requests, from PyPI.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";

/// The generator of a client.
const CLIENT: &str = "openapi-python-client==0.29.1";

/// What every answer is held against.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

/// Seconds for requests.
const SECONDS: &str = "60";

/// Starts a server and asks it whatever its description allows, and some of what it does not.
pub(crate) fn run() -> Result<String, String> {
    let python = match Python::find() {
        Ok(python) => python,
        Err(reason) if std::env::var_os("CI").is_none() => return Ok(format!("api: SKIPPED: {reason}")),
        Err(reason) => return Err(reason),
    };
    let server = Server::start("lfg-bayes", &[])?;
    let document = format!("{}openapi.json", with_slash(&server.url));
    first_steps(&python, &server.url, &document)?;
    // A training run for each of many requests would take all there is of the machine, and who watches events waits for the end of the server; the
    // server's own tests ask for both.
    let program = python.program("schemathesis");
    let status = Command::new(&program)
        .args(["run", &document, "--checks", CHECKS, "--max-time", SECONDS, "--continue-on-failure"])
        .args(["--exclude-path-regex", "train|feed", "--seed", "1", "--warnings", "off", "--no-color"])
        .status()
        .map_err(|error| format!("{} did not start: {error}", program.display()))?;
    if status.success() {
        Ok("api: it answers as it is described, and a client made of the description works".to_owned())
    } else {
        Err(format!("api: {document} does not describe what the server does ({status})"))
    }
}

/// Generates a client and uses it.
fn first_steps(python: &Python, url: &str, document: &str) -> Result<(), String> {
    let made = python.0.join("foldin_client");
    let made = made.display().to_string();
    let generate = ["generate", "--url", document, "--meta", "none", "--overwrite", "--output-path", &made];
    output(Command::new(python.program("openapi-python-client")).args(generate))?;
    let script = "crates/server/tests/client/first_steps.py";
    let status = Command::new(python.program("python"))
        .args([script, url])
        .env("PYTHONPATH", &python.0)
        .status()
        .map_err(|error| format!("python did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("api: {script} failed ({status})")) }
}

fn with_slash(url: &str) -> String {
    format!("{}/", url.trim_end_matches('/'))
}

/// A Python with the programs that are needed, in the target folder.
struct Python(PathBuf);

impl Python {
    /// The one there is, or one that is made.
    fn find() -> Result<Self, String> {
        let python = Self(Metadata::members()?.target_directory.join("python"));
        let wanted = format!("{SCHEMATHESIS}\n{CLIENT}\n");
        let installed = python.0.join("installed");
        if std::fs::read_to_string(&installed).is_ok_and(|known| known == wanted) {
            return Ok(python);
        }
        let remedy = "install Python with venv (apt-get install python3 python3-venv)";
        let of_path = |path: &Path| path.display().to_string();
        output(Command::new("python3").args(["-m", "venv", &of_path(&python.0)]))
            .map_err(|error| format!("{error}; {remedy}"))?;
        output(Command::new(python.program("pip")).args(["install", "--quiet", SCHEMATHESIS, CLIENT]))?;
        std::fs::write(&installed, wanted).map_err(|error| format!("{}: {error}", installed.display()))?;
        Ok(python)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }
}
