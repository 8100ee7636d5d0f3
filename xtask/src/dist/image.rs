//! What a container image is built from, with its recipe: `packaging/Containerfile`. There is no image in a release.

use std::path::PathBuf;

use super::documents::Documents;
use super::{Release, place_file};

/// Lays the folder out.
pub fn make(release: &Release, documents: &Documents) -> anyhow::Result<PathBuf> {
    let folder = release.place.join("image");
    place_file(&release.binary, &folder.join("build-mem"), "755")?;
    place_file(
        &documents.third_party,
        &folder.join("THIRD-PARTY.md"),
        "644",
    )?;
    for name in ["LICENSE-APACHE", "LICENSE-MIT"] {
        place_file(&release.root.join(name), &folder.join(name), "644")?;
    }
    let recipe = release.root.join("packaging/Containerfile");
    place_file(&recipe, &folder.join("Containerfile"), "644")?;
    Ok(folder)
}
