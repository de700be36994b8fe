//! Which crate may depend on which. The arrows of ARCHITECTURE.md, enforced.

use crate::metadata::{Metadata, Package};

/// What a crate of the workspace may depend on in normal builds.
enum Allowed {
    /// These and no others.
    Only(&'static [&'static str]),
    /// Any crate of the workspace but the test kit.
    Everything,
    /// Any, the test kit too: the benches are never shipped.
    EverythingAndTestkit,
}

/// The table. A crate that is not in it is refused, so that every new one is placed on purpose.
const LAYERS: &[(&str, Allowed)] = &[
    ("foldin-core", Allowed::Only(&[])),
    ("foldin-data", Allowed::Only(&["foldin-core"])),
    ("foldin-nn", Allowed::Only(&["foldin-core"])),
    ("foldin-eval", Allowed::Only(&["foldin-core"])),
    ("foldin-models", Allowed::Only(&["foldin-core", "foldin-nn"])),
    ("foldin-vision", Allowed::Only(&["foldin-core", "foldin-data", "foldin-nn", "foldin-models"])),
    ("foldin-engine", Allowed::Only(&["foldin-core", "foldin-nn", "foldin-models"])),
    ("foldin-server", Allowed::Only(&["foldin-core", "foldin-engine"])),
    ("foldin-testkit", Allowed::Only(&["foldin-core"])),
    ("foldin", Allowed::Everything),
    ("foldin-benches", Allowed::EverythingAndTestkit),
    ("xtask", Allowed::Only(&[])),
];

const TESTKIT: &str = "foldin-testkit";

/// Reads the workspace and checks it.
pub(crate) fn run() -> Result<String, String> {
    let members = Metadata::members()?.packages;
    let mut complaints = complaints(&members);
    let manifest = std::fs::read_to_string("Cargo.toml").map_err(|error| format!("Cargo.toml: {error}"))?;
    complaints.extend(unused(&manifest, &members));
    if complaints.is_empty() {
        Ok(format!("layers: {} crates, every dependency goes the right way", members.len()))
    } else {
        Err(format!("layers:\n{}", complaints.join("\n")))
    }
}

/// Every edge that the table does not allow, in words.
fn complaints(members: &[Package]) -> Vec<String> {
    let mut out = Vec::new();
    for package in members {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == package.name) else {
            out.push(format!(
                "  {} has no place yet: add it to the table in xtask/src/layers.rs",
                package.name
            ));
            continue;
        };
        for dependency in &package.dependencies {
            let inside = members.iter().any(|member| member.name == dependency.name);
            // Tests may look anywhere; a build script is as much a part of the crate as its code.
            if !inside || dependency.kind.as_deref() == Some("dev") {
                continue;
            }
            let fits = match allowed {
                Allowed::Only(names) => names.contains(&dependency.name.as_str()),
                Allowed::Everything => dependency.name != TESTKIT,
                Allowed::EverythingAndTestkit => true,
            };
            if !fits {
                out.push(format!(
                    "  {} -> {} is not allowed{}",
                    package.name,
                    dependency.name,
                    hint(&dependency.name)
                ));
            }
        }
    }
    out
}

/// Rows of the root manifest's table of versions that no member asks for.
fn unused(manifest: &str, members: &[Package]) -> Vec<String> {
    let table = manifest.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    table
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| Some(line.split_once(" = ")?.0))
        .filter(|name| !name.starts_with('#'))
        .filter(|name| !members.iter().any(|member| member.dependencies.iter().any(|one| one.name == *name)))
        .map(|name| format!("  {name} has a version in Cargo.toml, and no crate asks for it"))
        .collect()
}

fn hint(name: &str) -> &'static str {
    if name == TESTKIT { " (the test kit is a dev-dependency only)" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Package {
        Package {
            name: name.into(),
            version: "0.1.0".into(),
            license: None,
            links: None,
            dependencies: dependencies
                .iter()
                .map(|(name, kind)| Dependency { name: (*name).into(), kind: kind.map(Into::into) })
                .collect(),
        }
    }

    fn workspace(models_needs: &[(&str, Option<&str>)]) -> Vec<Package> {
        vec![
            package("foldin-core", &[("serde", None)]),
            package("foldin-nn", &[("foldin-core", None)]),
            package("foldin-data", &[("foldin-core", None)]),
            package("foldin-testkit", &[("foldin-core", None)]),
            package("foldin-models", models_needs),
            package("foldin", &[("foldin-models", None), ("foldin-data", None)]),
        ]
    }

    #[test]
    fn the_intended_edges_pass() {
        let needs = [
            ("foldin-core", None),
            ("foldin-nn", None),
            ("foldin-testkit", Some("dev")),
            ("foldin-data", Some("dev")),
        ];
        assert_eq!(complaints(&workspace(&needs)), Vec::<String>::new());
    }

    #[test]
    fn a_planted_bad_edge_is_named() {
        let found = complaints(&workspace(&[("foldin-core", None), ("foldin-data", None)]));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("foldin-models -> foldin-data"), "{found:?}");
    }

    #[test]
    fn a_build_dependency_counts() {
        assert_eq!(complaints(&workspace(&[("foldin-data", Some("build"))])).len(), 1);
    }

    #[test]
    fn the_test_kit_stays_out_of_normal_builds() {
        let found = complaints(&workspace(&[("foldin-testkit", None)]));
        assert!(found[0].contains("dev-dependency only"), "{found:?}");
        let mut members = workspace(&[]);
        members.push(package("foldin-benches", &[("foldin-testkit", None)]));
        assert!(complaints(&members).is_empty());
    }

    #[test]
    fn a_version_that_nobody_asks_for_is_named() {
        let manifest = "[workspace]\nresolver = \"3\"\n\n[workspace.dependencies]\nserde = \"1\"\n# Why.\nunused = \"2\"\n\n\
                        [profile.release]\nlto = true\n";
        let found = unused(manifest, &workspace(&[]));
        assert!(found.len() == 1 && found[0].contains("unused"), "{found:?}");
    }

    #[test]
    fn a_new_crate_must_be_placed() {
        let found = complaints(&[package("foldin-surprise", &[])]);
        assert!(found[0].contains("foldin-surprise"), "{found:?}");
    }
}
