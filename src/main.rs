//! The only binary; everything is in the library.

/// Asks for huge pages: with many routes a request otherwise waits for page tables as long as for
/// the routes themselves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    langur::cli::main(langur::plugins::BUNDLED)
}
