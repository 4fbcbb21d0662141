//! The SnackBase gateway binary.
fn main() {}
