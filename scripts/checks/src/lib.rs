//! Checks of the workspace itself: its layers, its lock file, its habits.
//!
//! The checks are the tests beside this file; here is what they share.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use std::path::{Path, PathBuf};

/// The workspace's root folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).map(Path::to_path_buf).unwrap_or_default()
}

/// A file of the workspace, `path` counted from its root.
///
/// # Errors
/// Names the path with what went wrong.
pub fn read(path: impl AsRef<Path>) -> Result<String, String> {
    let path = root().join(path);
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// A crate of the workspace.
#[derive(Clone, Debug)]
pub struct Crate {
    /// Its name.
    pub name: String,
    /// Its folder, counted from the root.
    pub folder: PathBuf,
    /// The crates of the workspace that it imports (in its code; build scripts and tests may import more).
    pub imports: Vec<String>,
}

/// Every crate of the workspace, as cargo sees it.
///
/// # Errors
/// What cargo says.
pub fn crates() -> Result<Vec<Crate>, String> {
    let manifest = root().join("Cargo.toml");
    let metadata =
        MetadataCommand::new().manifest_path(manifest).no_deps().exec().map_err(|error| error.to_string())?;
    Ok(metadata.packages.iter().map(|package| Crate::new(package, metadata.workspace_root.as_std_path())).collect())
}

impl Crate {
    fn new(package: &Package, root: &Path) -> Self {
        let manifest = package.manifest_path.as_std_path();
        let folder = manifest.parent().and_then(|folder| folder.strip_prefix(root).ok()).unwrap_or(manifest);
        let mut imports: Vec<_> = package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind == DependencyKind::Normal && dependency.path.is_some())
            .map(|dependency| dependency.name.clone())
            .collect();
        imports.sort();
        imports.dedup();
        Self { name: package.name.to_string(), folder: folder.to_owned(), imports }
    }
}
