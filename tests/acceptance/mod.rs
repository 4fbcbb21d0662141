//! The acceptance lines of `contract/identity.md` §9, one file per line. What the client
//! library has a call for is said through it, in the file of `tests/sdk/acceptance/` with the same name.

mod line10_refusals;
mod line11_api_keys;
mod line15_configuration;
mod line16_browsers;
