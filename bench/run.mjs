// Requests per second of the gateway next to pgbench on the equivalent statement, and whether other accounts' rows cost
// anything. `make bench` runs it; see README.md in this folder.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const env = process.env;
const here = dirname(fileURLToPath(import.meta.url));
const seconds = Number(env.BENCH_SECONDS ?? 4);
const rounds = 3;
const accounts = 20;
const rows = Number(env.BENCH_ROWS ?? 10_000);
const connections = 16;
const password = 'Correct-Horse-7-Battery';
const database = 'bench';
const scratch = mkdtempSync(join(tmpdir(), 'snackbase-bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const number = (value) => Math.round(value).toLocaleString('en-US');
const say = (text) => process.stderr.write(`${text}\n`);

const psql = (sql, name = database) => execFileSync(
  'psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', name], { input: sql, encoding: 'utf8' },
).trim();

async function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function startGateway() {
  const port = await freePort();
  const child = spawn(env.SNACKBASE_TEST_GATEWAY, ['serve'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      SNACKBASE_HOST: '127.0.0.1',
      SNACKBASE_PORT: String(port),
      SNACKBASE_DATABASE_URL:
        `postgres://snackbase_gateway:${env.SNACKBASE_TEST_GATEWAY_PASSWORD}@127.0.0.1:${env.PGPORT}/${database}`,
      SNACKBASE_SECRET_KEY: 'bench-secret-bench-secret-bench-secret-bench-secret',
      SNACKBASE_LOG_LEVEL: 'error',
      SNACKBASE_SUPERADMIN_EMAIL: 'root@example.com',
      SNACKBASE_SUPERADMIN_PASSWORD: password,
    },
  });
  process.on('exit', () => child.kill());
  const url = `http://127.0.0.1:${port}`;
  for (let tries = 0; tries < 300; tries += 1) {
    if (child.exitCode !== null) throw new Error('the gateway did not start');
    if (await fetch(`${url}/ready`).then((answer) => answer.ok, () => false)) return { url, pid: child.pid };
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error('the gateway is not ready after 15 seconds');
}

async function call(method, path, body, token) {
  const answer = await fetch(`${gateway.url}/api/v1${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const login = (account, email) => call('POST', '/auth/login', { account, email, password });

/** Rows for the accounts numbered `from` to `to`, straight into the table: what is measured is not the loading. */
function fill(from, to) {
  psql(`begin;
    alter event trigger snackbase_guard_ddl disable;
    alter table snackbase.col_items disable trigger all;
    insert into snackbase.col_items (id, account_id, title, active, price, note, created_at, updated_at, created_by, updated_by)
    select md5(a.number || '-' || n)::uuid, a.id, 'item ' || n, n % 2 = 0, n % 977, repeat('lorem ipsum ', 8),
           timestamptz '2026-01-01' + n * interval '1 minute', now(), 'bench', 'bench'
      from (select id, row_number() over (order by account_code) as number from snackbase.accounts where slug like 'bench-%') as a,
           generate_series(1, ${rows}) as n
     where a.number between ${from} and ${to}
     order by a.number, n;
    alter table snackbase.col_items enable trigger all;
    alter event trigger snackbase_guard_ddl enable always;
    commit;`);
  psql('vacuum (analyze) snackbase.col_items');
}

/** wrk against the gateway: requests per second, p50 and p99 in milliseconds, answers that were no success. */
function wrk(question, callers) {
  const output = execFileSync('wrk', ['-t2', `-c${connections}`, `-d${seconds}s`, '--latency', '-s',
    join(here, 'requests', `${question}.lua`), gateway.url], {
    encoding: 'utf8',
    env: { ...env, BENCH_CALLERS: join(scratch, callers), BENCH_REQUESTS: join(here, 'requests') },
  });
  const milliseconds = (share) => {
    const [, value, unit] = new RegExp(`${share}%\\s+([0-9.]+)(us|ms|s)`).exec(output);
    return Number(value) * { us: 0.001, ms: 1, s: 1000 }[unit];
  };
  return {
    rate: Number(/Requests\/sec:\s+([0-9.]+)/.exec(output)[1]),
    p50: milliseconds(50),
    p99: milliseconds(99),
    failed: Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0),
  };
}

/** pgbench with one of our statements, over TCP, prepared: transactions per second, p50 and p99 in milliseconds. */
function pgbench(file, role, secret, variables = []) {
  const log = join(scratch, 'pgbench');
  execFileSync('pgbench', ['-n', '-M', 'prepared', `-c${connections}`, '-j2', `-T${seconds}`, '-l', `--log-prefix=${log}`,
    ...variables, '-f', join(here, 'requests', file), '-h', '127.0.0.1', '-U', role, database],
  { encoding: 'utf8', env: { ...env, PGPASSWORD: secret }, stdio: ['ignore', 'pipe', 'pipe'] });
  // One line per transaction: client, number, microseconds, …
  const times = readdirSync(scratch).filter((name) => name.startsWith('pgbench.'))
    .flatMap((name) => {
      const lines = readFileSync(join(scratch, name), 'utf8').trim().split('\n');
      rmSync(join(scratch, name));
      return lines.map((line) => Number(line.split(' ')[2]));
    })
    .sort((a, b) => a - b);
  const at = (share) => times[Math.floor(times.length * share)] / 1000;
  return { rate: times.length / seconds, p50: at(0.5), p99: at(0.99) };
}

const roles = { get: 'view', list: 'list', create: 'create', patch: 'update' };

/** The equivalent statement in plain SQL, under the same policies: the operation role with the account set. */
const bare = (question) => pgbench(`${question}.sql`, `bench_${roles[question]}`, 'bench');

/** The statement that the gateway sends, as the gateway's role. */
const same = (question) => pgbench(`${question}.enter.sql`, 'snackbase_gateway', env.SNACKBASE_TEST_GATEWAY_PASSWORD,
  ['-D', `caller=${caller}`]);

/** The round in the middle: another program on the machine disturbs single rounds. */
const middle = (measured) => measured.sort((a, b) => a.rate - b.rate)[Math.floor(measured.length / 2)];

const memory = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync(`/proc/${gateway.pid}/status`, 'utf8'))[1]) / 1024;

say('Setting up 20 accounts');
psql(`create database ${database} template ${env.SNACKBASE_TEST_TEMPLATE}`, 'postgres');
const gateway = await startGateway();
const root = (await login('system', 'root@example.com')).token;
await call('POST', '/collections', {
  name: 'items',
  fields: [
    { name: 'title', type: 'text', required: true }, { name: 'active', type: 'boolean' },
    { name: 'price', type: 'number' }, { name: 'note', type: 'text' },
  ],
  list_rule: '', view_rule: '', create_rule: '', update_rule: '',
}, root);
const tokens = [];
let caller;
for (let index = 1; index <= accounts; index += 1) {
  const email = `user${index}@example.com`;
  const made = await call('POST', '/auth/register', { email, password, account_name: `Bench ${index}` });
  await call('POST', `/users/${made.user.id}/verify`, {}, root);
  const session = await login(made.account.slug, email);
  tokens.push(session.token);
  caller ??= JSON.stringify({ kind: 'user', user_id: session.user.id, account_id: session.account.id, ip_address: '127.0.0.1' });
}
say(`Loading ${number(accounts * rows)} rows`);
fill(1, accounts);
const ids = (index) => psql(`select string_agg(md5('${index}-' || n)::uuid::text, ' ') from generate_series(1, ${rows}, 50) as n`);
const callers = tokens.map((token, index) => `${token} ${ids(index + 1)}\n`);
writeFileSync(join(scratch, 'all'), callers.join(''));
writeFileSync(join(scratch, 'first'), callers[0]);
// The roles of pgbench: an operation role, bound to the first account as a BI login is bound to its own.
for (const role of ['view', 'list', 'create', 'update']) {
  psql(`create role bench_${role} login password 'bench' in role snackbase_${role};
    alter role bench_${role} set role = 'snackbase_${role}';
    alter role bench_${role} set snackbase.auth_method = 'direct_sql';
    select format('alter role bench_${role} set snackbase.account_id = %L', id) from snackbase.accounts where slug = 'bench-1' \\gexec`);
}

const names = {
  get: 'get one record', list: `list 20 of ${number(rows / 2)} with total`, create: 'create with audit', patch: 'patch with audit',
};
// Forget the peak of the set-up: hashing a password takes 64 MiB for a moment.
writeFileSync(`/proc/${gateway.pid}/clear_refs`, '5');
const table = [];
for (const question of ['get', 'list', 'create', 'patch']) {
  say(`Measuring: ${names[question]}`);
  const measured = { bare: [], same: [], ours: [] };
  for (let round = 0; round < rounds; round += 1) {
    measured.bare.push(bare(question));
    measured.same.push(same(question));
    measured.ours.push(wrk(question, 'first'));
  }
  const failed = measured.ours.reduce((sum, { failed }) => sum + failed, 0);
  if (failed > 0) throw new Error(`${failed} requests of "${question}" failed`);
  table.push({ name: names[question], ...middle(measured.ours), same: middle(measured.same), bare: middle(measured.bare) });
}
const resident = memory('VmRSS');
const peak = memory('VmHWM');

say('Measuring: ten times as many foreign rows');
psql(`delete from snackbase.col_items where created_by <> 'bench'`);
psql('vacuum (analyze) snackbase.col_items');
const both = () => {
  const measured = { get: [], list: [] };
  for (let round = 0; round < rounds; round += 1) {
    for (const question of ['get', 'list']) measured[question].push(wrk(question, 'all'));
  }
  return { get: middle(measured.get), list: middle(measured.list) };
};
const before = both();
const more = accounts * 9;
// Accounts nobody logs in to.
psql(`insert into snackbase.accounts (account_code, slug, name)
      select 'ZZ' || to_char(n, 'FM0000'), 'bench-more-' || n, 'More' from generate_series(1, ${more}) as n`);
fill(accounts + 1, accounts + more);
const after = both();

const git = (...words) => execFileSync('git', words, { encoding: 'utf8', cwd: here }).trim();
const commit = git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') ? ' with changes' : '');
const share = (ratio) => `${Math.round(ratio * 100)} %`;
const line = (cells) => `| ${cells.join(' | ')} |`;
const report = `# Results

${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, PostgreSQL ${psql('show server_version').split(' ')[0]}; \
wrk, gateway, pgbench and Postgres on the same machine. Commit ${commit}, ${new Date().toISOString().slice(0, 10)}.
Written by \`make bench\`; [README.md](README.md) says how it is measured.

${accounts} accounts × ${number(rows)} rows, ${connections} connections; the middle one of ${rounds} rounds of ${seconds} s, gateway and pgbench in turn.

${line(['', 'gateway req/s', 'p50 ms', 'p99 ms', 'same statement tx/s', 'plain SQL tx/s', 'gateway / same', 'gateway / plain'])}
${line(['---', '--:', '--:', '--:', '--:', '--:', '--:', '--:'])}
${table.map((row) => line([row.name, number(row.rate), row.p50.toFixed(2), row.p99.toFixed(2), number(row.same.rate),
    number(row.bare.rate), share(row.rate / row.same.rate), share(row.rate / row.bare.rate)])).join('\n')}

Gateway memory under this load: ${resident.toFixed(0)} MB resident, ${peak.toFixed(0)} MB at its peak.

Ten times as many rows of other accounts (${number(accounts * rows)} → ${number(accounts * rows * 10)} in the table, ${number(rows)} of the caller's own):

${line(['', 'req/s before', 'req/s after', 'before / after'])}
${line(['---', '--:', '--:', '--:'])}
${['get', 'list'].map((question) => line([names[question], number(before[question].rate), number(after[question].rate),
    (before[question].rate / after[question].rate).toFixed(2)])).join('\n')}
`;
writeFileSync(join(here, 'RESULTS.md'), report);
console.log(report);
process.exit(0);
