//! Compiles this crate to Wasm, so that the native build carries the runtime blob every network runs.

fn main() {
    #[cfg(feature = "std")]
    substrate_wasm_builder::WasmBuilder::build_using_defaults();
}
