//! The SnackBase gateway.
