//! Scripts of `rivals/`, which train the same model with another library on the same ratings.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use foldin_core::Interactions;
use serde_json::{Value, json};

/// What a rival took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rival {
    /// CPU seconds of one epoch.
    pub seconds: f64,
    /// Wall-clock seconds of one epoch, if the script tells.
    pub wall: Option<f64>,
    /// Memory above an interpreter that has its library imported, in bytes.
    pub bytes: f64,
}

/// Runs a script of `rivals/` on these ratings. `$FOLDIN_PYTHON` names the interpreter, which needs
/// `pip install -r benches/rivals/requirements.txt`.
///
/// # Errors
/// The reason why nothing was measured, to be shown.
pub fn run_rival(script: &str, ratings: &Interactions, arguments: &[String]) -> Result<Rival, String> {
    let folder = std::env::temp_dir().join(format!("foldin-rival-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    write(&folder, ratings).map_err(|error| error.to_string())?;
    let arguments = [&[folder.display().to_string()], arguments].concat();
    let answer = run_script(script, &arguments);
    fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    let answer = answer?;
    let number = |key: &str| answer[key].as_f64().ok_or_else(|| format!("no {key} in its answer"));
    Ok(Rival {
        seconds: number("cpu_seconds_per_epoch")?,
        wall: answer["wall_seconds_per_epoch"].as_f64(),
        bytes: number("memory_bytes")?,
    })
}

/// Runs a script of `rivals/` and gives the JSON that it prints.
///
/// # Errors
/// The reason why nothing was measured, to be shown.
pub fn run_script(script: &str, arguments: &[String]) -> Result<Value, String> {
    let python = std::env::var("FOLDIN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rivals").join(script);
    let output = Command::new(python).arg(script).args(arguments).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.lines().last().unwrap_or("it failed without a word").to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}

fn write(folder: &Path, ratings: &Interactions) -> std::io::Result<()> {
    let csr = ratings.by_user();
    let bytes = |values: Vec<[u8; 4]>| values.concat();
    fs::write(folder.join("shape.json"), json!({"users": csr.n_rows(), "items": csr.n_cols()}).to_string())?;
    let offsets: Vec<u8> = csr.offsets().iter().flat_map(|&offset| (offset as u64).to_le_bytes()).collect();
    fs::write(folder.join("offsets.u64"), offsets)?;
    fs::write(
        folder.join("columns.u32"),
        bytes(csr.columns().iter().map(|column| column.to_le_bytes()).collect()),
    )?;
    fs::write(
        folder.join("values.f32"),
        bytes(csr.values().iter().map(|value| value.to_le_bytes()).collect()),
    )
}
