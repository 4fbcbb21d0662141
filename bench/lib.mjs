// What the benchmarks share: a database with the extension, a gateway in front of it, wrk and pgbench, and the page that
// the results go to. tools/with-cluster.sh provides the cluster.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { cpus, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const env = process.env;
const here = dirname(fileURLToPath(import.meta.url));
export const seconds = Number(env.BENCH_SECONDS ?? 4);
export const rounds = 3;
export const connections = 16;
const password = 'Correct-Horse-7-Battery';
const database = 'bench';
export const scratch = mkdtempSync(join(tmpdir(), 'snackbase-bench-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
export const number = (value) => Math.round(value).toLocaleString('en-US');
export const say = (text) => process.stderr.write(`${text}\n`);

export const psql = (sql, name = database) => execFileSync(
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

/** A gateway in front of a new database, which is a copy of the one with only the extension in it; with further settings. */
export async function startGateway(settings = {}, name = database, template = env.SNACKBASE_TEST_TEMPLATE) {
  psql(`create database ${name} template ${template}`, 'postgres');
  const port = await freePort();
  const child = spawn(env.SNACKBASE_TEST_GATEWAY, ['serve'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      SNACKBASE_HOST: '127.0.0.1',
      SNACKBASE_PORT: String(port),
      SNACKBASE_DATABASE_URL:
        `postgres://snackbase_gateway:${env.SNACKBASE_TEST_GATEWAY_PASSWORD}@127.0.0.1:${env.PGPORT}/${name}`,
      SNACKBASE_SECRET_KEY: 'bench-secret-bench-secret-bench-secret-bench-secret',
      SNACKBASE_RATE_LIMIT_ENABLED: 'false',
      SNACKBASE_LOG_LEVEL: 'error',
      SNACKBASE_SUPERADMIN_EMAIL: 'root@example.com',
      SNACKBASE_SUPERADMIN_PASSWORD: password,
      ...settings,
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

/** A caller of one gateway. */
export const caller = (gateway) => async (method, path, body, token) => {
  const send = () => fetch(`${gateway.url}/api/v1${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
    body: body && JSON.stringify(body),
  });
  // The gateway closes connections that were idle; the client may notice when it uses one again.
  const answer = await send().catch(send);
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return answer.status === 204 ? null : answer.json();
};

/** The superadmin's token. */
export const superadmin = async (call) => (await call('POST', '/auth/login', { account: 'system', email: 'root@example.com', password })).token;

/** Registers accounts 1 to `count` with one user each: their tokens, and what pgbench tells `enter()` of the first. */
export async function register(call, root, count) {
  const people = [];
  for (let index = 1; index <= count; index += 1) {
    const email = `user${index}@example.com`;
    const made = await call('POST', '/auth/register', { email, password, account_name: `Bench ${index}` });
    await call('POST', `/users/${made.user.id}/verify`, {}, root);
    const session = await call('POST', '/auth/login', { account: made.account.slug, email, password });
    const introduction = JSON.stringify({ kind: 'user', user_id: session.user.id, account_id: session.account.id, ip_address: '127.0.0.1' });
    people.push({ token: session.token, user: session.user.id, account: session.account.id, introduction });
  }
  return people;
}

/** Runs SQL that loads a collection's table: without triggers and the guard, because what is measured is not the loading. */
export function load(table, sql) {
  psql(`begin;
    alter event trigger snackbase_guard_ddl disable;
    alter table snackbase.${table} disable trigger all;
    ${sql};
    alter table snackbase.${table} enable trigger all;
    alter event trigger snackbase_guard_ddl enable always;
    commit;`);
  psql(`vacuum (analyze) snackbase.${table}`);
}

/** A login of pgbench that is an operation role, bound to an account (and user) as a BI login is bound to its own. */
export function bind(operation, person) {
  psql(`create role bench_${operation} login password 'bench' in role snackbase_${operation};
    alter role bench_${operation} set role = 'snackbase_${operation}';
    alter role bench_${operation} set snackbase.auth_method = 'direct_sql';
    alter role bench_${operation} set snackbase.account_id = '${person.account}';
    alter role bench_${operation} set snackbase.user_id = '${person.user}'`);
}

/** wrk against the gateway: requests per second, p50 and p99 in milliseconds, answers that were no success. */
export function wrk(gateway, script, callers, clients = connections) {
  const output = execFileSync('wrk', [clients > 1 ? '-t2' : '-t1', `-c${clients}`, `-d${seconds}s`, '--latency', '-s',
    script, gateway.url], {
    encoding: 'utf8',
    env: { ...env, BENCH_CALLERS: join(scratch, callers), BENCH_REQUESTS: dirname(script) },
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
export function pgbench(file, role, secret, variables = [], clients = connections) {
  const log = join(scratch, 'pgbench');
  execFileSync('pgbench', ['-n', '-M', 'prepared', `-c${clients}`, clients > 1 ? '-j2' : '-j1', `-T${seconds}`, '-l', `--log-prefix=${log}`,
    ...variables, '-f', file, '-h', '127.0.0.1', '-U', role, database],
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

/** The password of the gateway's login role. */
export const gatewayPassword = env.SNACKBASE_TEST_GATEWAY_PASSWORD;

/** The round in the middle: another program on the machine disturbs single rounds. */
export const middle = (measured) => measured.sort((a, b) => a.rate - b.rate)[Math.floor(measured.length / 2)];

export const share = (ratio) => `${Math.round(ratio * 100)} %`;
export const line = (cells) => `| ${cells.join(' | ')} |`;

const git = (...words) => execFileSync('git', words, { encoding: 'utf8', cwd: here }).trim();

/** The head of a page of results. */
export const head = (title) => {
  const commit = git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--untracked-files=no') ? ' with changes' : '');
  return `# ${title}

${cpus().length} × ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GiB, PostgreSQL ${psql('show server_version').split(' ')[0]}; \
wrk, gateway, pgbench and Postgres on the same machine. Commit ${commit}, ${new Date().toISOString().slice(0, 10)}.
Written by \`make bench\`; [README.md](../README.md) says how it is measured.`;
};
