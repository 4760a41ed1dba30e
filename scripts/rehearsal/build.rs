//! Compiles the runtime to Wasm a second time, with its feature `rehearsal`, when `SKEP_REHEARSAL` is set; `scripts/upgrade`
//! sets it. The blob is a file of its own beside the one that nodes carry, and made of the same compiled dependencies; so the
//! two are never built at the same time.

use std::path::Path;
use substrate_wasm_builder::WasmBuilder;

const ASKED: &str = "SKEP_REHEARSAL";

fn main() -> Result<(), &'static str> {
    println!("cargo::rerun-if-env-changed={ASKED}");
    if std::env::var_os(ASKED).is_some() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).ok_or("not in the workspace")?;
        WasmBuilder::new()
            .with_project(workspace.join("runtime/Cargo.toml"))?
            .enable_feature("rehearsal")
            .set_file_name("skep_runtime_rehearsal")
            .build();
    }
    Ok(())
}
