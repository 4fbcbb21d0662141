// What logins cost next to the hash they are made of, how long refusals take, and what introducing a caller adds to a request.
// `make bench` runs it; see README.md in the folder above.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  bind, caller, connections, gatewayPassword, head, line, load, middle, number, pgbench, psql, register, rounds, say, scratch, seconds, share,
  startGateway, superadmin, wrk,
} from '../lib.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const rows = 10_000;
const samples = Number(process.env.BENCH_LOGINS ?? 80);
const password = 'Correct-Horse-7-Battery';
const cores = availableParallelism();

say('Setting up');
// Wrong passwords are what is measured, many from one address, many at one user.
const gateway = await startGateway({ SNACKBASE_LOGIN_RATE_LIMIT_PER_MINUTE: '0', SNACKBASE_LOGIN_LOCKOUT_THRESHOLD: '1000',
  SNACKBASE_REQUEST_TIMEOUT_MS: '300000' });
const call = caller(gateway);
const root = await superadmin(call);
const fields = [
  { name: 'title', type: 'text', required: true }, { name: 'active', type: 'boolean' }, { name: 'price', type: 'number' }, { name: 'note', type: 'text' },
];
await call('POST', '/collections', { name: 'items', fields, list_rule: '', view_rule: '' }, root);
await call('POST', '/collections', { name: 'grouped', fields, list_rule: '', view_rule: '@has_group("team")' }, root);
const [person] = await register(call, root, 1);
for (const table of ['col_items', 'col_grouped']) {
  load(table, `
    insert into snackbase.${table} (id, account_id, title, active, price, note, created_at, updated_at, created_by, updated_by)
    select md5('1-' || n)::uuid, '${person.account}', 'item ' || n, n % 2 = 0, n % 977, repeat('lorem ipsum ', 8), now(), now(), 'bench', 'bench'
      from generate_series(1, ${rows}) as n`);
}
psql(`with g as (insert into snackbase.groups (account_id, name) select '${person.account}', name from unnest(array['team', 'one', 'two']) as name returning id)
      insert into snackbase.users_groups (account_id, group_id, user_id) select '${person.account}', g.id, '${person.user}' from g`);
const { id: keyId, key } = await call('POST', '/admin/api-keys', { name: 'bench' }, person.token);
const session = psql(`select id from snackbase.sessions where user_id = '${person.user}'`);
psql(`insert into snackbase.users (account_id, email, password_hash, role_id, is_active, email_verified)
      select account_id, 'inactive@example.com', password_hash, 2, false, true from snackbase.users where id = '${person.user}'`);
bind('view', person);

const memory = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))[1]) / 1024;
const idle = memory('VmRSS');

/** Processor time of a process in milliseconds, and of its children that have ended. */
function times(pid) {
  const numbers = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ').map(Number);
  return { parent: numbers[1], own: (numbers[11] + numbers[12]) * 10, ended: (numbers[13] + numbers[14]) * 10 };
}
/** Until nobody is connected to the database but the gateway: processor time counts when a backend has ended. */
async function quiet() {
  const asked = "select count(*) from pg_stat_activity where backend_type = 'client backend' and application_name = 'pgbench'";
  while (psql(asked, 'postgres') !== '0') await new Promise((resolve) => { setTimeout(resolve, 20); });
  await new Promise((resolve) => { setTimeout(resolve, 100); });
}
const postmaster = Number(readFileSync(join(psql('show data_directory'), 'postmaster.pid'), 'utf8').split('\n')[0]);
/** Processor time of the server so far: what other programs on the machine take does not count. */
function server() {
  const { own, ended } = times(postmaster);
  const backends = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map((pid) => {
    try { return times(pid); } catch { return { parent: 0 }; }
  });
  return own + ended + backends.filter(({ parent }) => parent === postmaster).reduce((sum, { own: time }) => sum + time, 0);
}

/** One login: its status and how many milliseconds it took. */
async function login(account, email, secret) {
  const started = process.hrtime.bigint();
  const answer = await fetch(`${gateway.url}/api/v1/auth/login`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ account, email, password: secret }),
  });
  await answer.arrayBuffer();
  return { status: answer.status, time: Number(process.hrtime.bigint() - started) / 1e6 };
}
const good = () => login('bench-1', 'user1@example.com', password);

say('Measuring: logins next to bare hashes');
function hashes() {
  const before = times(process.pid).ended;
  const [rate, count] = execFileSync(process.env.BENCH_ARGON2, [String(cores), String(seconds * 2)], { encoding: 'utf8' }).split(' ').map(Number);
  return { rate, cost: (times(process.pid).ended - before) / count };
}
async function logins(clients) {
  let done = 0;
  const before = times(gateway.pid).own + server();
  const started = Date.now();
  const end = started + seconds * 2000;
  await Promise.all(Array.from({ length: clients }, async () => {
    while (Date.now() < end) {
      const { status } = await good();
      if (status !== 200) throw new Error(`a login answered ${status}`);
      done += 1;
    }
  }));
  return { rate: done / ((Date.now() - started) / 1000), cost: (times(gateway.pid).own + server() - before) / done };
}
const rates = { hash: [], login: [] };
for (let round = 0; round < rounds; round += 1) {
  rates.hash.push(hashes());
  rates.login.push(await logins(4 * cores));
}
const [hash, logged] = [middle(rates.hash), middle(rates.login)];

say('Measuring: 200 logins at a time');
writeFileSync(`/proc/${gateway.pid}/clear_refs`, '5');
const crowd = await Promise.all(Array.from({ length: 200 }, good));
const failed = crowd.filter(({ status }) => status !== 200).length;
const peak = memory('VmHWM');
const slowest = Math.max(...crowd.map(({ time }) => time));
await new Promise((resolve) => { setTimeout(resolve, 2000); });
const after = memory('VmRSS');

say('Measuring: how long refusals take');
const causes = {
  'unknown account': () => login('no-such-account', 'user1@example.com', password),
  'unknown address': () => login('bench-1', 'nobody@example.com', password),
  'wrong password': () => login('bench-1', 'user1@example.com', 'Wrong-Horse-7-Battery'),
  'inactive user, right password': () => login('bench-1', 'inactive@example.com', password),
  'inactive user, wrong password': () => login('bench-1', 'inactive@example.com', 'Wrong-Horse-7-Battery'),
};
const taken = Object.fromEntries(Object.keys(causes).map((cause) => [cause, []]));
// In turn, one at a time: what disturbs the machine disturbs all alike.
for (let sample = 0; sample < samples + 3; sample += 1) {
  for (const [cause, ask] of Object.entries(causes)) {
    const { status, time } = await ask();
    if (status !== 401) throw new Error(`${cause} answered ${status}`);
    if (sample >= 3) taken[cause].push(time);
  }
}
const statistics = Object.entries(taken).map(([cause, list]) => {
  list.sort((a, b) => a - b);
  const at = (part) => list[Math.floor(list.length * part)];
  const mean = list.reduce((sum, time) => sum + time, 0) / list.length;
  const deviation = Math.sqrt(list.reduce((sum, time) => sum + (time - mean) ** 2, 0) / (list.length - 1));
  return { cause, mean, error: deviation / Math.sqrt(list.length), deviation, p10: at(0.1), p50: at(0.5), p90: at(0.9) };
});

say('Measuring: what introducing a caller adds');
const introduction = (more) => JSON.stringify({ user_id: person.user, account_id: person.account, ...more });
const callers = {
  session: introduction({ kind: 'user', session_id: session }),
  'API key': JSON.stringify({ kind: 'api_key', key_id: keyId, key_hash: createHash('sha256').update(key).digest('hex') }),
};
const grouped = join(scratch, 'grouped.sql');
const groupedEnter = join(scratch, 'grouped.enter.sql');
for (const [from, to] of [['get.sql', grouped], ['get.enter.sql', groupedEnter]]) {
  writeFileSync(to, readFileSync(join(here, from), 'utf8').replace("'items'", "'grouped'"));
}
const entered = (file, who) => pgbench(file, 'snackbase_gateway', gatewayPassword, ['-D', `caller=${callers[who]}`]);
const ids = psql(`select string_agg(md5('1-' || n)::uuid::text, ' ') from generate_series(1, ${rows}, 50) as n`);
writeFileSync(join(scratch, 'session'), `authorization ${person.token} ${ids}\n`);
writeFileSync(join(scratch, 'key'), `x-api-key ${key} ${ids}\n`);
// The same gateway in front of a copy of the database in which nobody is introduced: every connection is a view of the person's
// account as the login of `bind` is, and `enter` has become the cheapest function that answers yes.
const copy = 'bench_without';
psql(`select pg_terminate_backend(pid) from pg_stat_activity where datname = 'bench' and pid <> pg_backend_pid()`, 'postgres');
const without = await startGateway({}, copy, 'bench');
psql(`alter event trigger snackbase_guard_ddl disable;
  create or replace function snackbase.enter(caller json, operation text) returns boolean language internal as 'textne';
  grant execute on function snackbase.enter(json, text) to snackbase_view;
  alter role snackbase_gateway in database ${copy} set role = 'snackbase_view';
  alter role snackbase_gateway in database ${copy} set snackbase.auth_method = 'jwt';
  alter role snackbase_gateway in database ${copy} set snackbase.account_id = '${person.account}';
  alter role snackbase_gateway in database ${copy} set snackbase.user_id = '${person.user}';
  select pg_terminate_backend(pid) from pg_stat_activity where datname = '${copy}' and pid <> pg_backend_pid()`, copy);
const questions = {
  bare: () => pgbench(join(here, 'get.sql'), 'bench_view', 'bench'),
  session: () => entered(join(here, 'get.enter.sql'), 'session'),
  key: () => entered(join(here, 'get.enter.sql'), 'API key'),
  bareGroups: () => pgbench(grouped, 'bench_view', 'bench'),
  sessionGroups: () => entered(groupedEnter, 'session'),
  keyGroups: () => entered(groupedEnter, 'API key'),
};
/** Measures once: what `ask` tells, and the processor time of Postgres and of a gateway for each request, in µs. */
async function once(ask, asked) {
  await quiet();
  const spent = () => server() + (asked ? times(asked.pid).own : 0);
  const before = spent();
  const result = ask();
  await quiet();
  if (result.failed) throw new Error(`${result.failed} requests failed`);
  return { ...result, cost: ((spent() - before) * 1000) / (result.rate * seconds) };
}
const measured = Object.fromEntries(Object.keys(questions).map((name) => [name, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, ask] of Object.entries(questions)) measured[name].push(await once(ask));
}
const got = Object.fromEntries(Object.entries(measured).map(([name, list]) => [name, middle(list)]));
// With and without in turn, and the middle of the differences: from one minute to the next the machine is not equally fast.
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
async function compare(credential, clients) {
  const pairs = [];
  for (let round = 0; round < 2 * rounds + 1; round += 1) {
    const [bare, full] = [
      await once(() => wrk(without, join(here, 'get.lua'), credential, clients), without),
      await once(() => wrk(gateway, join(here, 'get.lua'), credential, clients), gateway),
    ];
    pairs.push({ bare, full });
  }
  const change = (value) => median(pairs.map(({ bare, full }) => value(full) / value(bare) - 1));
  const both = (value, digits) => ['bare', 'full'].map((which) => median(pairs.map((pair) => value(pair[which]))).toFixed(digits)).join(' → ');
  return [
    both(({ rate }) => rate, 0), share(-change(({ rate }) => rate)), both(({ p50 }) => p50, 3), share(change(({ p50 }) => p50)),
    both(({ cost: each }) => each, 0), share(change(({ cost: each }) => each)),
  ];
}
const compared = [];
for (const [title, credential] of [['a session', 'session'], ['an API key', 'key']]) {
  for (const clients of [1, connections]) compared.push(line([title, clients, ...await compare(credential, clients)]));
}
const more = (row, than) => `${((row.cost / than.cost - 1) * 100).toFixed(0)} %`;
const cost = (title, row, than) => line([title, number(row.rate), row.p50.toFixed(2), row.p99.toFixed(2), row.cost.toFixed(0), than ? more(row, than) : '']);

const report = `${head('Identity')}
Load of the machine at the end: ${loadavg()[0].toFixed(1)}; above ${cores}, rates and times are those of a machine that others use as well, and processor times are what counts.

## Logins

${line(['', 'per second', 'processor time each, ms'])}
${line(['---', '--:', '--:'])}
${line([`bare Argon2id (64 MiB, t = 3, p = 4), ${cores} threads`, hash.rate.toFixed(1), hash.cost.toFixed(1)])}
${line([`logins over HTTP, ${4 * cores} clients: gateway and Postgres`, logged.rate.toFixed(1), logged.cost.toFixed(1)])}
${line(['logins / hashes', share(logged.rate / hash.rate), share(hash.cost / logged.cost)])}

The middle one of ${rounds} rounds of ${seconds * 2} s, in turn. 200 logins at a time: ${failed} refused, the slowest after ${(slowest / 1000).toFixed(1)} s; the gateway had
${idle.toFixed(0)} MB resident before, ${peak.toFixed(0)} MB at its peak, ${after.toFixed(0)} MB two seconds after.

## How long a refused login takes

${samples} of each, in turn, one at a time; milliseconds.

${line(['', 'mean', '± standard error', 'deviation', 'p10', 'median', 'p90'])}
${line(['---', '--:', '--:', '--:', '--:', '--:', '--:'])}
${statistics.map((row) => line([row.cause, row.mean.toFixed(1), row.error.toFixed(1), row.deviation.toFixed(1), row.p10.toFixed(1), row.p50.toFixed(1),
    row.p90.toFixed(1)])).join('\n')}

## What introducing the caller adds to getting one record

\`pgbench\`, prepared, over TCP, 16 connections, \`records_view\` of ${number(rows)} rows; the middle one of ${rounds} rounds of ${seconds} s, in turn. Without \`enter\`: a login that is the
operation role, bound to the account. With groups: the view rule asks for one, of three that the user has.

${line(['', 'tx/s', 'p50 ms', 'p99 ms', 'processor time of Postgres, µs', 'more'])}
${line(['---', '--:', '--:', '--:', '--:', '--:'])}
${cost('without `enter`', got.bare)}
${cost('a session', got.session, got.bare)}
${cost('an API key', got.key, got.bare)}
${cost('with groups, without `enter`', got.bareGroups)}
${cost('with groups, a session', got.sessionGroups, got.bareGroups)}
${cost('with groups, an API key', got.keyGroups, got.bareGroups)}

The same through the gateway, by \`wrk\`, without \`enter\` → with it. Without: the gateway is the same, and so is its statement, but every connection is bound
as above and \`enter\` is replaced by a function that does nothing. ${2 * rounds + 1} rounds of ${seconds} s each, in turn; differences are the middle ones of the rounds'.

${line(['', 'connections', 'req/s', 'fewer', 'p50 ms', 'more', 'processor time, µs', 'more'])}
${line(['---', '--:', '--:', '--:', '--:', '--:', '--:', '--:'])}
${compared.join('\n')}
`;
writeFileSync(join(here, 'RESULTS.md'), report);
console.log(report);
process.exit(0);
