//! A Postgres of one test's own, which may be killed, restarted and upgraded.

use std::{
    collections::BTreeSet,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Command as Blocking, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use tokio::process::{Child, Command};
use tokio_postgres::Config;

use crate::{Session, environment};

/// How long a start may take, recovery from the log included. Recovery of these clusters takes well under a second.
const START: Duration = Duration::from_secs(60);

/// A cluster of its own beside those of `tools/with-cluster.sh`: another data directory, reached by its socket only. It is
/// stopped when this is dropped; its files go with the test run. The test fails then, or when the cluster is stopped, if one of
/// its processes crashed.
///
/// The postmaster is a child of the test program and not of `pg_ctl`: a child that was killed and waited for is certainly
/// gone, so that the next postmaster does not meet the process number of the last one.
pub struct Cluster {
    home: PathBuf,
    /// Directory of the server's programs.
    bin: PathBuf,
    /// User and group that run the clusters of the tests.
    owner: (u32, u32),
    postmaster: Option<Child>,
    /// Processes that [`Cluster::kill_process`] killed.
    killed: Mutex<BTreeSet<u32>>,
}

/// Which processes a kill reaches.
#[derive(Clone, Copy, Debug)]
pub enum Kill {
    /// The postmaster; its children find out by themselves, and may finish what they are doing.
    Postmaster,
    /// The postmaster and everything it started, as when the system runs out of memory or power.
    Everything,
}

impl Cluster {
    /// A new cluster under `name`, not started, with further lines of configuration.
    pub async fn create(name: &str, settings: &str) -> Self {
        // The directory of the server's programs is the first one of PATH (tools/with-cluster.sh).
        let path = environment("PATH");
        let bin = std::env::split_paths(&path)
            .find(|directory| directory.join("initdb").is_file())
            .expect("the server's programs are in PATH");
        Self::create_with(bin, name, settings).await
    }

    /// The same with the server's programs of another directory.
    pub async fn create_with(bin: PathBuf, name: &str, settings: &str) -> Self {
        let cluster = Self::at(name, bin);
        for directory in ["data", "socket"] {
            cluster.directory(directory);
        }
        let data = cluster.data();
        cluster
            .program("initdb")
            .args(["--username", "postgres", "--encoding", "UTF8", "--locale", "C"])
            .args(["--auth", "trust", "--data-checksums", "--no-sync", "--pgdata"])
            .arg(&data)
            .run()
            .await;
        cluster.configure(settings);
        cluster
    }

    /// A standby of a running cluster, not started: a copy that follows it.
    pub async fn standby_of(primary: &Self, name: &str, settings: &str) -> Self {
        let cluster = Self::at(name, primary.bin.clone());
        cluster.directory("socket");
        cluster
            .program("pg_basebackup")
            .args(["--username", "postgres", "--port", "5432", "--checkpoint", "fast"])
            .args(["--no-sync", "--write-recovery-conf", "--host"])
            .arg(primary.socket())
            .arg("--pgdata")
            .arg(cluster.data())
            .run()
            .await;
        cluster.configure(settings);
        cluster
    }

    /// A cluster under `name` with the programs of `bin`, whose files are not made yet.
    pub fn at(name: &str, bin: PathBuf) -> Self {
        let log =
            std::fs::metadata(environment("SNACKBASE_TEST_LOG")).expect("the cluster of the tests has a log");
        let home = Path::new(&environment("SNACKBASE_TEST_SPARE_HOST"))
            .ancestors()
            .nth(2)
            .expect("the socket lies in the directory of its cluster")
            .join(name);
        assert!(!home.exists(), "two tests want a cluster called {name}");
        std::fs::create_dir(&home).expect("a directory for the cluster");
        let owner = (log.uid(), log.gid());
        std::os::unix::fs::chown(&home, Some(owner.0), Some(owner.1))
            .expect("the owner of the cluster gets it");
        Self {
            home,
            bin,
            owner,
            postmaster: None,
            killed: Mutex::default(),
        }
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// The directory of its socket.
    pub fn socket(&self) -> PathBuf {
        self.home.join("socket")
    }

    /// The directory of the server's programs.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// A new directory in the home of the cluster, for its owner alone.
    pub fn directory(&self, name: &str) -> PathBuf {
        use std::os::unix::fs::{PermissionsExt, chown};
        let directory = self.home.join(name);
        std::fs::create_dir(&directory).expect("a new directory");
        std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o700)).expect("a mode");
        chown(&directory, Some(self.owner.0), Some(self.owner.1)).expect("the owner of the cluster gets it");
        directory
    }

    /// Append the usual configuration and `settings`.
    pub fn configure(&self, settings: &str) {
        // What is written survives the end of any process: it is in the system's cache. `fsync` protects against the end
        // of the system, which no test brings about.
        let usual = format!(
            "shared_preload_libraries = 'snackbase'\nlisten_addresses = ''\nport = 5432\nunix_socket_directories = '{}'\n\
             max_connections = 120\nfsync = off\nlog_line_prefix = '%m [%p] %q%u@%d %e '\n{settings}\n",
            self.home.join("socket").display()
        );
        self.set(&usual);
    }

    /// Append lines of configuration, for the next start.
    pub fn set(&self, settings: &str) {
        use std::io::Write;
        std::fs::OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .and_then(|mut file| writeln!(file, "{settings}"))
            .expect("the configuration can be written");
    }

    /// A program of the server, run by the owner of the cluster in its home.
    pub fn program(&self, name: &str) -> Program {
        let mut command = Command::new(self.bin.join(name));
        command
            .current_dir(&self.home)
            .uid(self.owner.0)
            .gid(self.owner.1)
            .stdin(Stdio::null());
        Program {
            name: name.to_owned(),
            command,
        }
    }

    /// A client program of the server, connected as the superuser.
    pub fn client(&self, name: &str) -> Program {
        let mut program = self.program(name);
        program
            .command
            .env("PGHOST", self.home.join("socket"))
            .env("PGPORT", "5432")
            .env("PGUSER", "postgres");
        program
    }

    /// Steps for a shell that stops at the first failure, with the programs of the server at hand, connected as the superuser.
    /// They work in `place`, which is made when it is missing and belongs to the owner of the cluster.
    pub fn script(&self, place: &Path, steps: &str) -> Program {
        std::fs::create_dir_all(place)
            .and_then(|()| std::os::unix::fs::chown(place, Some(self.owner.0), Some(self.owner.1)))
            .expect("a folder for the script");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut program = self.client("/bin/sh").args(["-euc", steps]);
        program
            .command
            .current_dir(place)
            .env("PATH", format!("{}:{path}", self.bin.display()));
        program
    }

    /// Where a file of the cluster's owner can be made.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Start, and wait until it answers.
    ///
    /// # Panics
    /// With the end of the server's log, when it does not.
    pub async fn start(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// Start, and connect to nothing: not even a relation cache file is there that a session would make.
    pub fn launch(&mut self) {
        assert!(self.postmaster.is_none(), "the cluster runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.join("log"))
            .expect("a log");
        let mut program = self.program("postgres");
        program
            .command
            .arg("-D")
            .arg(self.data())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            // A terminal's Ctrl-C is for the test program, whose end stops the cluster in order.
            .process_group(0);
        self.postmaster = Some(program.command.spawn().expect("postgres starts"));
    }

    /// Wait until the server answers: after a start, or after it recovered from the death of one of its processes.
    ///
    /// # Panics
    /// With the end of the server's log, when it does not.
    pub async fn ready(&mut self) {
        let begin = Instant::now();
        while let Err(error) = self.connect("postgres").await {
            let postmaster = self.postmaster.as_mut().expect("the cluster was started");
            let ended = postmaster.try_wait().expect("a child can be asked");
            if ended.is_some() || begin.elapsed() > START {
                panic!(
                    "the cluster does not answer: {error}, {ended:?}\n{}",
                    self.log_end()
                );
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Stop in order, disconnecting clients.
    pub async fn stop(&mut self) {
        let mut postmaster = self.postmaster.take().expect("the cluster runs");
        signal("INT", &[postmaster.id().expect("it was not waited for")]);
        let status = postmaster.wait().await.expect("a child can be waited for");
        assert!(
            status.success(),
            "the cluster did not stop in order\n{}",
            self.log_end()
        );
        self.insist_on_health();
    }

    /// Kill, and wait until no process of the cluster is left and its shared memory is free.
    pub async fn kill(&mut self, reach: Kill) {
        let mut postmaster = self.postmaster.take().expect("the cluster runs");
        let number = postmaster.id().expect("it was not waited for");
        let children = children_of(number);
        match reach {
            Kill::Postmaster => signal("KILL", &[number]),
            // The postmaster first: it must not see its children die and begin to recover.
            Kill::Everything => signal("KILL", &[&[number], &children[..]].concat()),
        }
        postmaster.wait().await.expect("a child can be waited for");
        // Who was born between the list and the kill is in the second list: an orphan keeps the program's name.
        let begin = Instant::now();
        while !self.processes().is_empty() {
            assert!(
                begin.elapsed() < START,
                "processes outlive their postmaster: {:?}\n{}",
                self.processes(),
                self.log_end()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kill one process of the server; the postmaster then ends all others and recovers by itself.
    pub fn kill_process(&self, number: u32) {
        self.killed
            .lock()
            .expect("nobody panics while holding it")
            .insert(number);
        signal("KILL", &[number]);
    }

    /// A session of the superuser.
    ///
    /// # Errors
    /// When the server is not there, or not yet.
    pub async fn connect(&self, database: &str) -> Result<Session, tokio_postgres::Error> {
        let mut config = Config::new();
        config
            .host_path(self.home.join("socket"))
            .port(5432)
            .user("postgres")
            .dbname(database)
            .connect_timeout(Duration::from_secs(5));
        Session::open(&config).await
    }

    /// A session of the superuser, on a server that is certainly there.
    pub async fn superuser(&self, database: &str) -> Session {
        self.connect(database)
            .await
            .unwrap_or_else(|error| panic!("cannot connect: {error:?}\n{}", self.log_end()))
    }

    /// A new database with the extension in it.
    pub async fn database(&self, name: &str) {
        let maintenance = self.superuser("postgres").await;
        maintenance
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("a new database");
        self.superuser(name)
            .await
            .batch_execute("create extension snackbase")
            .await
            .expect("the extension");
    }

    /// The server's log.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.home.join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The last lines of the server's log.
    pub fn log_end(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The process that the postmaster started and that calls itself `postgres: …` with `title` in it.
    pub fn child(&self, title: &str) -> Option<u32> {
        let postmaster = self.postmaster.as_ref()?.id()?;
        children_of(postmaster).into_iter().find(|number| {
            std::fs::read(format!("/proc/{number}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(title))
        })
    }

    /// What the log says about processes that a signal ended, except those that the test killed.
    pub fn crashes(&self) -> Vec<String> {
        let killed = self.killed.lock().expect("nobody panics while holding it");
        self.log()
            .lines()
            .filter(|line| line.contains(" was terminated by signal "))
            .filter(|line| {
                !(line.contains("signal 9")
                    && killed
                        .iter()
                        .any(|number| line.contains(&format!("PID {number})"))))
            })
            .map(str::to_owned)
            .collect()
    }

    fn insist_on_health(&self) {
        assert_eq!(self.crashes(), [""; 0], "processes crashed\n{}", self.log_end());
    }

    /// Every process that runs in the data directory and has not ended.
    fn processes(&self) -> BTreeSet<u32> {
        let data = self.data();
        numbers()
            .filter(|number| {
                std::fs::read_link(format!("/proc/{number}/cwd")).is_ok_and(|directory| directory == data)
                    && stat(*number).is_some_and(|(state, _)| state != 'Z')
            })
            .collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut postmaster) = self.postmaster.take() else {
            return;
        };
        if let Some(number) = postmaster.id() {
            signal("QUIT", &[number]);
        }
        let begin = Instant::now();
        while matches!(postmaster.try_wait(), Ok(None)) && begin.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
        if !std::thread::panicking() {
            self.insist_on_health();
        }
    }
}

/// A program about to run.
pub struct Program {
    name: String,
    command: Command,
}

impl Program {
    /// One more argument.
    pub fn arg(mut self, argument: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// More arguments.
    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Run it and insist on its success; returns what it printed.
    pub async fn run(self) -> String {
        self.attempt()
            .await
            .unwrap_or_else(|complaint| panic!("{complaint}"))
    }

    /// Run it; returns what it printed.
    ///
    /// # Errors
    /// When it fails: all it printed.
    pub async fn attempt(mut self) -> Result<String, String> {
        let output = self.command.output().await.expect("the program starts");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(printed);
        }
        let complaints = String::from_utf8_lossy(&output.stderr);
        Err(format!("{} failed: {printed}{complaints}", self.name))
    }
}

/// Send a signal; who is gone already does not mind.
fn signal(name: &str, processes: &[u32]) {
    let status = Blocking::new("kill")
        .arg(format!("-{name}"))
        .args(processes.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status();
    assert!(status.is_ok(), "kill(1) exists");
}

/// Numbers of all processes.
fn numbers() -> impl Iterator<Item = u32> {
    std::fs::read_dir("/proc")
        .expect("/proc is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

/// State and parent of a process.
fn stat(number: u32) -> Option<(char, u32)> {
    let text = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The second field, the program's name in parentheses, may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

fn children_of(parent: u32) -> Vec<u32> {
    numbers()
        .filter(|number| stat(*number).is_some_and(|(_, of)| of == parent))
        .collect()
}
