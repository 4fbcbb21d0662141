//! What an answer to garbage has to be, and what must not have happened behind it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;
use snackbase_e2e::{Session, World, environment};

use super::wire::{self, Request, short};

/// What may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A refusal, 4xx in the one shape of errors.
    Refused,
    /// A refusal, or success: the request may be valid after all.
    RefusedOrDone,
    /// As before; a refusal may also come from below the routes, without a body or as a closed connection.
    Anything,
}

/// Watches one gateway and its database.
pub struct Court {
    address: String,
    superuser: Session,
    database: String,
    codes: BTreeSet<String>,
    contents: String,
    log_start: u64,
    slowest: (Duration, String),
    statuses: BTreeMap<u16, usize>,
    failures: Vec<String>,
}

/// Everything that is stored, as one hash: place and writer of every row of our tables, and how many objects there are.
/// Sequences are left out: they advance in statements that are rolled back, too.
const CONTENTS: &str = "
create function public.contents() returns text language plpgsql as $$
declare
    relation regclass;
    part text;
    whole text := '';
begin
    for relation in
        select c.oid from pg_class c where c.relnamespace = 'snackbase'::regnamespace and c.relkind = 'r' order by c.relname
    loop
        execute format('select coalesce(sum(hashtextextended(t.ctid::text || t.xmin::text, 0)), 0) from %s t', relation) into part;
        whole := whole || relation::text || part;
    end loop;
    select format('%s %s %s %s %s', (select count(*) from pg_class), (select count(*) from pg_attribute), (select count(*) from pg_policy),
        (select count(*) from pg_proc), (select count(*) from pg_trigger)) into part;
    return md5(whole || part);
end
$$";

impl Court {
    /// Takes up its place.
    pub async fn new(world: &World) -> Self {
        let superuser = world.database.superuser().await;
        superuser
            .batch_execute(CONTENTS)
            .await
            .expect("a function of the test's own");
        let contents = superuser.value("select public.contents()").await;
        Self {
            address: world.gateway.base.trim_start_matches("http://").to_owned(),
            superuser,
            database: world.database.name.clone(),
            codes: documented_codes(),
            contents,
            log_start: server_log().len() as u64,
            slowest: (Duration::ZERO, String::new()),
            statuses: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Sends a request, judges the answer, and returns its status; 0 when there was none.
    pub async fn hear(&mut self, what: &str, request: &Request, verdict: Verdict) -> u16 {
        self.judge(what, request.bytes(), false, &request.describe(), verdict)
            .await
    }

    /// The same for bytes that are no request; the connection ends with them.
    pub async fn hear_bytes(&mut self, what: &str, bytes: Vec<u8>) -> u16 {
        let shown = short(&bytes);
        self.judge(what, bytes, true, &shown, Verdict::Anything).await
    }

    async fn judge(&mut self, what: &str, bytes: Vec<u8>, ends: bool, shown: &str, verdict: Verdict) -> u16 {
        let method = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
        let (reads, head) = (matches!(method, b"GET" | b"HEAD" | b"OPTIONS"), method == b"HEAD");
        let refreshes = bytes.starts_with(b"POST /api/v1/auth/refresh");
        let fails_to_log_in = bytes.starts_with(b"POST /api/v1/auth/login");
        let started = Instant::now();
        let answer = wire::send(&self.address, bytes, ends).await;
        let took = started.elapsed();
        if took > self.slowest.0 {
            self.slowest = (took, format!("{what}: {shown}"));
        }
        let Some(answer) = answer else {
            if verdict != Verdict::Anything {
                self.fail(format!("{what}: no answer\n  {shown}"));
            }
            // Nobody was told whether it was done.
            self.look_again().await;
            return 0;
        };
        *self.statuses.entry(answer.status).or_default() += 1;
        let mut wrong = Vec::new();
        match answer.status {
            200..=299 if verdict != Verdict::Refused => {}
            400..=499 if answer.body.is_empty() && verdict == Verdict::Anything => {}
            400..=499 if head => {}
            400..=499 => wrong = self.faults_of_a_refusal(&answer),
            status => wrong.push(format!("answered {status}")),
        }
        // Refusals that write: a spent token presented again ends its session, a failed login counts.
        let may_write = refreshes || fails_to_log_in || (!reads && answer.status < 400);
        if !may_write {
            let now = self.superuser.value("select public.contents()").await;
            if now != self.contents {
                wrong.push("something was written".to_owned());
                self.contents = now;
            }
        } else {
            self.look_again().await;
        }
        if !wrong.is_empty() {
            let body = short(&answer.body);
            self.fail(format!(
                "{what}: {}\n  {shown}\n  {} {body}",
                wrong.join(", "),
                answer.status
            ));
        }
        answer.status
    }

    fn faults_of_a_refusal(&self, answer: &wire::Answer) -> Vec<String> {
        let mut wrong = Vec::new();
        if !answer.head.contains("content-type: application/json") {
            wrong.push("is not application/json".to_owned());
        }
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        for key in ["error", "message", "code"] {
            if body[key].as_str().is_none_or(str::is_empty) {
                wrong.push(format!("{key} is no text"));
            }
        }
        let code = body["code"].as_str().unwrap_or_default();
        if !self.codes.contains(code) {
            wrong.push(format!("code {code:?} is not in docs/errors.md"));
        }
        let detail = &body["detail"];
        let fits = match (answer.status, detail) {
            (422, Value::Array(faults)) => faults.iter().all(|fault| {
                fault["type"].is_string() && fault["loc"].is_array() && fault["msg"].is_string()
            }),
            (422, Value::Object(_)) => code == "field_access_denied",
            (401 | 403, detail) => detail.is_string(),
            (_, detail) => detail.is_string() || detail["details"].is_array(),
        };
        if !fits {
            wrong.push(format!("detail has the wrong form: {detail}"));
        }
        let text = String::from_utf8_lossy(&answer.body);
        for leak in ["panicked at", ".rs:", "unwrap()"] {
            if text.contains(leak) {
                wrong.push(format!("contains {leak:?}"));
            }
        }
        wrong
    }

    /// Takes what is stored now for right: the test itself has written.
    pub async fn look_again(&mut self) {
        self.contents = self.superuser.value("select public.contents()").await;
    }

    /// Notes a failure.
    pub fn fail(&mut self, failure: String) {
        self.failures.push(failure);
    }

    /// Whether so much is wrong that more would tell nothing.
    pub fn is_fed_up(&self) -> bool {
        self.failures.len() >= 40
    }

    /// Reads the server's log, says how it went, and fails if something was wrong.
    ///
    /// # Panics
    /// If something was wrong.
    pub async fn close(mut self, world: &World, what: &str) {
        let log = server_log();
        let new = &log[usize::try_from(self.log_start)
            .expect("a log fits")
            .min(log.len())..];
        let ours = format!("@{} ", self.database);
        for line in String::from_utf8_lossy(new).lines() {
            let crash = [
                "server process (PID",
                "PANIC: ",
                "was terminated by signal",
                "TRAP: ",
            ];
            let internal = line.contains(&ours) && line.contains(&format!("{ours}XX"));
            if internal || crash.iter().any(|words| line.contains(words)) {
                self.failures.push(format!("the server's log says: {line}"));
            }
        }
        let findings = world.audit_findings().await;
        if !findings.is_empty() {
            self.failures
                .push(format!("the audit trail does not verify: {findings:?}"));
        }
        let heard: usize = self.statuses.values().sum();
        println!(
            "{what}: {heard} answers {:?}, the slowest after {} ms: {}",
            self.statuses,
            self.slowest.0.as_millis(),
            self.slowest.1
        );
        assert!(
            self.failures.is_empty(),
            "{what}: {} of {heard} answers are wrong\n{}",
            self.failures.len(),
            self.failures.join("\n")
        );
        world.gateway.api().get("!/live").await.expect(200);
        world.root.get("/collections").await.expect(200);
    }
}

/// The log of the cluster all tests share.
fn server_log() -> Vec<u8> {
    let path = environment("SNACKBASE_TEST_LOG");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every word in backquotes of the tables in `docs/errors.md`: the documented codes are among them.
fn documented_codes() -> BTreeSet<String> {
    let text = include_str!("../../docs/errors.md");
    text.lines()
        .filter(|line| line.starts_with('|'))
        .flat_map(|line| line.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}
