//! The SnackBase extension.
::pgrx::pg_module_magic!(name, version);
