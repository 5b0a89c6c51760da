/**
 * A test's own PostgreSQL: Debian's package, in its own folder, on a free port. `ARQON_POSTGRES` names the folder of
 * another `postgres` and `initdb`, to try its version; psql is still Debian's. Only `deno test -A` passes it on: the
 * tests' own task knows no such variable.
 */
import { until } from "../../shared/testing/until.ts";
import { run as runProgram } from "../../tasks/checkout/programs.ts";
import { freePort } from "../harness/free_ports.ts";

/** The database and role for SQL. */
interface SqlSession {
  readonly database?: string;
  readonly user?: string;
}

/** A running server. */
export interface PostgresServer extends AsyncDisposable {
  /** For its superuser: `postgres://…`. */
  readonly url: string;
  /** The folder of its files. */
  readonly data: string;
  /** Runs SQL by psql, by default as the superuser; rejects with its output when a statement fails. */
  sql(text: string, as?: SqlSession): Promise<string>;
  /** Kills all its processes at once, like a power cut. */
  kill(): Promise<void>;
  /** Ends it as `pg_ctl stop -m fast` does; resolves when it has ended. */
  stop(): Promise<void>;
  start(): Promise<void>;
  /** A standby that follows it; `select pg_promote()` makes it a primary on its own timeline. */
  standby(): Promise<PostgresServer>;
}

const DEBIAN = "/usr/lib/postgresql";
const CONFIG = (port: number, dir: string) => `
port = ${port}
listen_addresses = '127.0.0.1'
unix_socket_directories = '${dir}'
wal_level = logical
max_connections = 50
shared_buffers = 32MB
`;

async function binaries(): Promise<string> {
  const versions: number[] = [];
  try {
    for await (const { name } of Deno.readDir(DEBIAN)) versions.push(Number(name));
  } catch {
    // Reported below.
  }
  const newest = versions.filter(Number.isFinite).toSorted((a, b) => a - b).at(-1);
  if (newest !== undefined) return `${DEBIAN}/${newest}/bin`;
  throw new Error("there is no PostgreSQL: apt-get install postgresql");
}

/** The server refuses to run as root: then it runs as the package's user. */
function asServer(words: readonly string[]): [string, string[]] {
  return Deno.uid() === 0
    ? ["runuser", ["-u", "postgres", "--", ...words]]
    : [words[0]!, words.slice(1)];
}

async function run(words: readonly string[], stdin = ""): Promise<string> {
  const [program, args] = asServer(words);
  const ran = await runProgram(program, args, { cwd: "/", stdin });
  if (ran?.ok !== true) throw new Error(`${words[0]}: ${ran?.text ?? "not found"}`);
  return ran.stdout.trim();
}

/**
 * Starts one; undefined, with a printed line, when PostgreSQL is not installed. In CI, which installs it, that is an
 * Error.
 */
export async function somePostgres(): Promise<PostgresServer | undefined> {
  try {
    await binaries();
  } catch (error) {
    if (Deno.env.get("CI") !== undefined) throw error;
    console.log(`      skipped: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
  return await startPostgres();
}

/**
 * Copies the slots of a server, and the log that they keep, to another one that is stopped: Patroni copies slots, too.
 */
export async function copySlots(from: PostgresServer, to: PostgresServer): Promise<void> {
  await run(["cp", "-r", `${from.data}/pg_replslot`, to.data]);
  await run(["sh", "-c", `cp -n ${from.data}/pg_wal/0* ${to.data}/pg_wal`]);
}

/** Starts one; it ends, and its folder is removed, with the scope. */
async function startPostgres(): Promise<PostgresServer> {
  const debian = await binaries();
  const bin = Deno.env.get("ARQON_POSTGRES") ?? debian;
  return await serverWith(
    { debian, bin },
    (data) => run([`${bin}/initdb`, "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]),
  );
}

/** A server whose files `make` creates in a folder that does not exist yet. */
async function serverWith(
  programs: { readonly debian: string; readonly bin: string },
  make: (data: string) => Promise<unknown>,
): Promise<PostgresServer> {
  const { debian, bin } = programs;
  const dir = await Deno.makeTempDir({ prefix: "arqon-postgres-" });
  await Deno.chmod(dir, 0o777);
  const data = `${dir}/data`;
  const port = freePort();
  await make(data);
  await run(["sh", "-c", `cat >> ${data}/postgresql.conf`], CONFIG(port, dir));
  const psql = [`${debian}/psql`, "-h", "127.0.0.1", "-p", String(port)];
  let child: Deno.ChildProcess | undefined;
  let is_running = false;
  const spawn = () => {
    const [program, args] = asServer([`${bin}/postgres`, "-D", data]);
    child = new Deno.Command(program, { args, stdout: "null", stderr: "null" }).spawn();
    is_running = true;
    void child.status.then(() => is_running = false);
  };
  const words = ["-qAt", "-v", "ON_ERROR_STOP=1", "-f", "-"];
  const sql: PostgresServer["sql"] = (text, { database = "postgres", user = "postgres" } = {}) =>
    run([...psql, "-U", user, "-d", database, ...words], text);
  const start = async () => {
    await until("PostgreSQL answers", () => {
      // It ends when a process of the previous server still runs.
      if (!is_running) spawn();
      return sql("select 1").then(() => true, () => false);
    });
  };
  const stop = async (signal: string) => {
    const pid = (await Deno.readTextFile(`${data}/postmaster.pid`).catch(() => "")).split("\n")[0];
    if (pid !== undefined && pid !== "") {
      const children = await run(["sh", "-c", `pgrep -P ${pid} || true`]);
      const all = [pid, ...(signal === "KILL" ? children.split("\n") : [])].filter((one) =>
        one !== ""
      );
      await run(["sh", "-c", `kill -${signal} ${all.join(" ")} 2>/dev/null || true`]);
    }
    await child?.status;
  };
  await start();
  return {
    url: `postgres://postgres@127.0.0.1:${port}/postgres`,
    data,
    sql,
    kill: () => stop("KILL"),
    stop: () => stop("INT"),
    start,
    standby: () =>
      serverWith(programs, (to) =>
        run([
          ...[`${debian}/pg_basebackup`, "-h", "127.0.0.1", "-p", String(port), "-U", "postgres"],
          ...["-D", to, "-R", "--checkpoint=fast", "--no-sync"],
        ])),
    async [Symbol.asyncDispose]() {
      await stop("INT");
      await Deno.remove(dir, { recursive: true });
    },
  };
}
