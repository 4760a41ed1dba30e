//! The `skep-node` program.

fn main() -> sc_cli::Result<()> {
    skep_node::run()
}
