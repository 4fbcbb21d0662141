//! The traps of `contract/identity.md` §7, one file per trap: what the obvious implementation would do, and does not happen here.

mod t06_keys_and_sessions;
mod t07_sessions_end;
mod t08_mail_logs;
mod t09_others_addresses;
mod t15_system_secrets;
mod t16_no_downgrade;
mod t19_mail_bombs;
mod t20_guessing;
mod t21_limits;
mod t22_networks;
mod t23_api_keys;
mod t24_invitations;
mod t26_demonstration;
mod t27_no_echo;
mod t28_configuration;
mod t29_switched_off;
mod t32_traces;
mod t36_mail_headers;
mod t37_logs;
mod t39_long_passwords;
mod tokens;
