//! The SnackBase gateway binary: reads the settings, checks the database, serves until it is told to stop.
//!
//! Exit codes: 0 done, 1 the database or the request to it is at fault, 2 the settings or the command line are.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use snackbase_gateway::audit_verify;
use snackbase_gateway::auth::Caller;
use snackbase_gateway::config::{self, Config};
use snackbase_gateway::db::{self, Statement};
use snackbase_gateway::error::Error;
use snackbase_gateway::serve;
use snackbase_gateway::state::State;
use snackbase_gateway::worker;
use snackbase_gateway::{anchors, audit_key, subject_keys};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// HTTP gateway of SnackBase: authenticates, introduces the caller to Postgres and forwards.
#[derive(Parser)]
#[command(version, after_help = config::help(), arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve HTTP until SIGTERM or SIGINT.
    Serve,
    /// Create the superadmin.
    CreateSuperadmin {
        /// Address to log in with, in the account `system`.
        #[arg(long)]
        email: String,
        /// Password; without it SNACKBASE_SUPERADMIN_PASSWORD is taken, which other users of the machine cannot see.
        #[arg(long)]
        password: Option<String>,
        /// Create one even if there is a superadmin already.
        #[arg(long)]
        force: bool,
    },
    /// Check settings and database, and print what is wrong.
    Doctor,
    /// The audit trail: verify it, make its key, publish its checkpoints, import another.
    #[command(subcommand)]
    Audit(Audit),
    /// Look after the configuration of providers.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum Audit {
    /// Verify the ledger: chains of records, live rows, blocks, checkpoints. Findings go to standard output, one a line.
    /// Exit code 0: nothing is wrong, 1: findings, 2: it could not run.
    Verify(audit_verify::Options),
    /// Make the key that signs checkpoints: the private half into a new file (run this as the user of the Postgres server),
    /// the public half on standard output. Needs no settings.
    Keygen {
        /// The file to make; name it in snackbase.audit_key_file.
        file: PathBuf,
        /// What verifiers call the key; without it, it is called after itself.
        #[arg(long)]
        name: Option<String>,
    },
    /// Wrap the keys of erasable values with the master key of snackbase.subject_master_key_file that the one of
    /// snackbase.subject_master_key_file_previous wrapped, or none.
    RewrapKeys,
    /// Publish the checkpoints that are waiting, now and once, to the anchors of the settings.
    Anchor,
    /// Import the audit log of an original instance: JSON Lines, or CSV with titles. All of it or nothing.
    Import {
        /// The file; `-` is standard input.
        file: PathBuf,
        /// What the import is called; without it the name of the file.
        #[arg(long)]
        source: Option<String>,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Encrypt all secrets with SNACKBASE_ENCRYPTION_KEY that SNACKBASE_ENCRYPTION_KEY_PREVIOUS encrypted.
    Reencrypt,
}

/// Sentences for the operator, and the exit code.
struct Failure {
    sentences: Vec<String>,
    code: u8,
}

impl From<String> for Failure {
    fn from(sentence: String) -> Self {
        Self {
            sentences: vec![sentence],
            code: 1,
        }
    }
}

fn main() -> ExitCode {
    let command = CommandLine::parse().command;
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for sentence in failure.sentences {
                eprintln!("{sentence}");
            }
            ExitCode::from(failure.code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
    if let Command::Audit(Audit::Keygen { file, name }) = &command {
        println!("{}", audit_key::generate(file, name.as_deref())?);
        return Ok(());
    }
    let config = Config::from_environment().map_err(|sentences| Failure { sentences, code: 2 })?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(config.log_level)
        .with_writer(std::io::stderr)
        .init();
    // One thread needs no work stealing and wakes nobody.
    let mut runtime = match config.worker_threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime
        .worker_threads(config.worker_threads)
        .enable_all()
        .build()
        .map_err(|failure| format!("The runtime cannot be started: {failure}."))?;
    runtime.block_on(async {
        match command {
            Command::Serve => serve(config).await,
            Command::CreateSuperadmin {
                email,
                password,
                force,
            } => create_superadmin(config, email, password, force).await,
            Command::Doctor => doctor(&config).await,
            Command::Audit(Audit::Verify(options)) => verify(&config, &options).await,
            Command::Config(ConfigCommand::Reencrypt) => reencrypt(config).await,
            Command::Audit(Audit::RewrapKeys) => rewrap(config).await,
            Command::Audit(Audit::Anchor) => anchor(config).await,
            // Done above, without settings.
            Command::Audit(Audit::Keygen { .. }) => Ok(()),
            Command::Audit(Audit::Import { file, source }) => import(&config, &file, source).await,
        }
    })
}

async fn serve(config: Config) -> Result<(), Failure> {
    refuse_severe_findings(&config).await?;
    if config.secret_key.is_none() {
        tracing::warn!("SNACKBASE_SECRET_KEY is not set: tokens will end with this process");
    }
    let listen = config.listen;
    let state = State::new(config)?;
    bootstrap(&state).await?;
    ensure_single_tenant(&state).await?;
    let anchors = anchors::from_settings(&state.config)?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|failure| format!("Cannot listen on {listen}: {failure}."))?;
    let stop = stop_signal().map_err(|failure| format!("Signals cannot be received: {failure}."))?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for name in config::unknown(names) {
        tracing::warn!("{name} is set, but no setting has this name");
    }
    tracing::info!(%listen, "listening");
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let listening = tokio::spawn({
        let state = state.clone();
        async move { state.configuration.listen(&state.config).await }
    });
    // What is half-way when it ends is claimed again by whoever comes next.
    let publishing = tokio::spawn(anchors::run(state.clone(), anchors));
    let worker = tokio::spawn(worker::run(state.clone(), stopped));
    let patience = state.config.shutdown_timeout;
    let served = serve::serve(listener, state, async move {
        stop.await;
        // The worker takes nothing new while requests finish.
        stopping.send_replace(true);
    });
    let served = served.await;
    if tokio::time::timeout(patience, worker).await.is_err() {
        tracing::warn!("stopped before the mail in hand was delivered; another attempt will be made");
    }
    listening.abort();
    publishing.abort();
    served.map_err(|failure| format!("Cannot serve: {failure}.").into())
}

/// Encrypts every secret with the current key.
async fn reencrypt(config: Config) -> Result<(), Failure> {
    let state = State::new(config)?;
    let (changed, unreadable) = state
        .configuration
        .reencrypt()
        .await
        .map_err(|failure| format!("The secrets were not encrypted again: {failure}."))?;
    println!("{changed} configurations encrypted again.");
    match unreadable {
        0 => Ok(()),
        _ => Err(format!("{unreadable} configurations hold secrets that no key here opens.").into()),
    }
}

/// Wraps every key of a subject with the current master key.
async fn rewrap(config: Config) -> Result<(), Failure> {
    let state = State::new(config)?;
    let (rewrapped, unreadable) = subject_keys::rewrap(&state.database)
        .await
        .map_err(|failure| format!("The keys were not all wrapped again: {failure}."))?;
    println!("{rewrapped} keys wrapped again.");
    match unreadable {
        0 => Ok(()),
        _ => Err(format!("{unreadable} keys are wrapped by another master key than those here.").into()),
    }
}

/// Resolves at the first SIGTERM or SIGINT.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Asks the database what is wrong with it; warnings are logged, severe findings end the start.
async fn refuse_severe_findings(config: &Config) -> Result<(), Failure> {
    let mut severe = Vec::new();
    for finding in db::doctor(config).await? {
        if finding.severe {
            severe.push(sentence(&finding));
        } else {
            tracing::warn!(code = finding.code, hint = finding.hint, "{}", finding.message);
        }
    }
    if severe.is_empty() {
        Ok(())
    } else {
        Err(Failure {
            sentences: severe,
            code: 1,
        })
    }
}

fn sentence(finding: &db::Finding) -> String {
    match &finding.hint {
        Some(hint) => format!("{}: {} {hint}", finding.code, finding.message),
        None => format!("{}: {}", finding.code, finding.message),
    }
}

/// Creates the superadmin of the settings when there is none. A refused password or address is logged, and the gateway
/// starts all the same. Source: identity contract §3.5.
async fn bootstrap(state: &State) -> Result<(), Failure> {
    let exists = state
        .database
        .flag(&Caller::gateway(), Statement::SuperadminExists, &[])
        .await;
    if exists.map_err(|failure| format!("The database does not answer: {failure}."))? {
        return Ok(());
    }
    let Some((email, password)) = &state.config.superadmin else {
        tracing::warn!(
            "there is no superadmin: set SNACKBASE_SUPERADMIN_EMAIL and SNACKBASE_SUPERADMIN_PASSWORD, or run create-superadmin"
        );
        return Ok(());
    };
    match superadmin(state, email, password.clone(), false).await {
        Ok(()) => tracing::info!("superadmin created"),
        // Another process was faster, or the settings are not good enough.
        Err(sentences) => tracing::error!(cause = sentences.join(" "), "superadmin not created"),
    }
    Ok(())
}

/// Makes the account of an installation with one account when it is missing. Source: identity contract §5.8.
async fn ensure_single_tenant(state: &State) -> Result<(), Failure> {
    let Some(only) = &state.config.single_tenant else {
        return Ok(());
    };
    let arguments: [db::Argument<'_>; 3] = [&only.account, &only.name, &only.admin_email];
    let ensured = state
        .database
        .json(&Caller::gateway(), Statement::SingleTenantEnsure, &arguments)
        .await;
    let sentence = match ensured {
        Ok(_) => return Ok(()),
        Err(Error::Refused(refusal)) => refusal.sentence(),
        Err(failure) => format!("{failure}."),
    };
    let sentence = format!("SNACKBASE_SINGLE_TENANT_ACCOUNT {:?}: {sentence}", only.account);
    Err(Failure {
        sentences: vec![sentence],
        code: 2,
    })
}

async fn superadmin(state: &State, email: &str, password: String, force: bool) -> Result<(), Vec<String>> {
    let faults = state.passwords.faults(&password);
    if !faults.is_empty() {
        return Err(faults.into_iter().map(|fault| fault.message + ".").collect());
    }
    let created = async {
        let hash = state.passwords.hash(password).await?;
        state
            .database
            .json(
                &Caller::gateway(),
                Statement::SuperadminCreate,
                &[&email, &hash, &force],
            )
            .await
    };
    match created.await {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => Err(vec![refusal.sentence()]),
        Err(failure) => Err(vec![format!("The superadmin was not created: {failure}.")]),
    }
}

async fn create_superadmin(
    config: Config,
    email: String,
    password: Option<String>,
    force: bool,
) -> Result<(), Failure> {
    let configured = config.superadmin.as_ref().map(|(_, password)| password.clone());
    let password = password
        .or(configured)
        .or_else(|| std::env::var("SNACKBASE_SUPERADMIN_PASSWORD").ok());
    let Some(password) = password else {
        let sentence = "Give --password or set SNACKBASE_SUPERADMIN_PASSWORD.".to_owned();
        return Err(Failure {
            sentences: vec![sentence],
            code: 2,
        });
    };
    let state = State::new(config)?;
    superadmin(&state, email.trim(), password, force)
        .await
        .map_err(|sentences| Failure { sentences, code: 1 })?;
    println!(
        "Superadmin {} created. Log in with the account \"system\".",
        email.trim()
    );
    Ok(())
}

/// Publishes what is waiting, and says so.
async fn anchor(config: Config) -> Result<(), Failure> {
    let anchors = anchors::from_settings(&config)?;
    if anchors.is_empty() {
        return Err(
            "Set SNACKBASE_AUDIT_ANCHOR_FILE or SNACKBASE_AUDIT_ANCHOR_S3_URL."
                .to_owned()
                .into(),
        );
    }
    let state = State::new(config)?;
    let mut failures = Vec::new();
    for anchor in &anchors {
        match anchors::publish_all(&state, anchor.as_ref()).await {
            Ok(published) => println!("{}: {} checkpoints published.", anchor.name(), published.len()),
            Err(sentence) => failures.push(sentence),
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure {
        sentences: failures,
        code: 1,
    })
}

async fn doctor(config: &Config) -> Result<(), Failure> {
    let findings = db::doctor(config).await?;
    let severe = findings.iter().filter(|finding| finding.severe).count();
    for finding in &findings {
        println!(
            "{} {}",
            if finding.severe { "severe " } else { "warning" },
            sentence(finding)
        );
    }
    if findings.is_empty() {
        println!("Nothing is wrong.");
    }
    if severe == 0 {
        return Ok(());
    }
    Err(format!("{severe} severe findings: the gateway would not start.").into())
}

async fn verify(config: &Config, options: &audit_verify::Options) -> Result<(), Failure> {
    let outcome = audit_verify::run(config, options)
        .await
        .map_err(|sentence| Failure {
            sentences: vec![sentence],
            code: 2,
        })?;
    for finding in &outcome.findings {
        println!("{finding}");
    }
    match outcome.findings.is_empty() {
        true => {
            println!("{}", outcome.summary);
            Ok(())
        }
        false => Err(outcome.summary.into()),
    }
}

/// Imports a log, and prints what became of it.
async fn import(config: &Config, file: &Path, source: Option<String>) -> Result<(), Failure> {
    let source = source.unwrap_or_else(|| file.display().to_string());
    let input: Box<dyn Read> = match file == Path::new("-") {
        true => Box::new(std::io::stdin()),
        false => Box::new(
            std::fs::File::open(file)
                .map_err(|failure| format!("{} cannot be read: {failure}.", file.display()))?,
        ),
    };
    let watched = std::io::stderr().is_terminal();
    let told = |read: u64| {
        if watched {
            eprint!("\r{read} entries");
        }
    };
    let report = db::import(config, &source, input, told).await;
    if watched {
        eprintln!();
    }
    let report = report.map_err(|sentence| format!("Nothing was imported: {sentence}"))?;
    println!(
        "Import {}: {} entries of {} accounts, {} breaks. Sealed in block {}.",
        report["import_id"], report["entries"], report["accounts"], report["breaks"], report["block"]
    );
    for found in report["first_breaks"].as_array().into_iter().flatten() {
        println!(
            "{} entry {}: expected {}, actual {}",
            found["kind"].as_str().unwrap_or("break"),
            found["id"],
            found["expected"],
            found["actual"]
        );
    }
    Ok(())
}
