//! Turns the `.proto` files into Rust types, in pure Rust (no protoc needed).

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["proto/message.proto", "proto/peer.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    prost_build::Config::new().bytes(["."]).compile_fds(descriptors)?;
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    Ok(())
}
