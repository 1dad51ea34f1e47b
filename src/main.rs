//! The only binary; everything is in the library.

/// Asks for huge pages: with many routes a request otherwise waits for page tables as long as for
/// the routes themselves.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Of mimalloc, which is linked for the allocator above.
    fn mi_collect(force: bool);
}

fn give_back() {
    // SAFETY: it may be called at any time, from any thread.
    unsafe { mi_collect(true) }
}

fn main() -> std::process::ExitCode {
    langur::memory::set_give_back(give_back);
    langur::cli::main(langur::plugins::BUNDLED)
}
