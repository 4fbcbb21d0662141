//! The acceptance lines of `contract/identity.md` §9, one file per line. What the client
//! library has a call for is said through it, in the file of `tests/sdk/acceptance/` with the same name.

mod line01_registration;
mod line02_superadmin;
mod line03_same_address;
mod line04_host;
mod line05_current_user;
mod line06_refresh;
mod line07_logout;
mod line08_next_request;
mod line09_account_codes;
mod line10_refusals;
mod line11_api_keys;
mod line12_invitations;
mod line15_configuration;
mod line16_browsers;
mod line17_forgotten_passwords;
mod line18_probing;
