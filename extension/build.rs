//! Link flags of the extension.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // pgrx keeps the descriptions it generates the install SQL from in a linker section that nothing refers
    // to. `cargo pgrx` would pass this flag through RUSTFLAGS, which compiles every dependency a second time
    // beside the artefacts of `cargo check`, `clippy` and `test`; as a link argument of this one library it
    // costs nothing.
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os != "macos") {
        println!("cargo::rustc-link-arg-cdylib=-Wl,--no-gc-sections");
    }
}
