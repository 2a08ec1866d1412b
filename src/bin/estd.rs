//! The server and its operator's commands.

use mimalloc::MiMalloc;
use std::process::ExitCode;

/// A request is decoded on one thread, recorded on another and answered on a third. With the
/// system's allocator these threads wait for each other (docs/performance.md).
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    estd::cli::estd()
}
