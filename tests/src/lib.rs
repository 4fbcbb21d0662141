//! End-to-end tests of SnackBase.
