/**
 * Starts `shield/main.ts` and `brain/main.ts` as separate processes on one NATS, as a deployment would: config files,
 * PEM key, narrow permissions, free ports.
 */
import { exportSPKI, generateKeyPair, SignJWT } from "@panva/jose";
import { BRAIN_FLAGS, SERVER_FLAGS } from "../../shared/process/deno_command.ts";
import { freePort } from "./free_ports.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";

const ROOT = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
/** The flags that the tasks in deno.json give both. */
const FLAGS = ["--ignore-env", "--allow-net", "--allow-read"];
/** Allows a configuration to set constants, in comments. */
const PRELOAD = "shared/config/testing/set_constants.ts";
/** Additional flags of a Shield. */
const SHIELD_FLAGS = [...SERVER_FLAGS, `--allow-run=${Deno.execPath()}`];
/** Additional flags of a Brain. */
const STARTED_BRAIN_FLAGS = [
  ...BRAIN_FLAGS,
  // Deno keeps one compiled form of each module. A Shield has other V8 flags, so each start of one would write
  // megabytes for the other to overwrite.
  "--no-code-cache",
];
const READY_MS = 60_000;

/** A Shield or Brain that is ready; SIGTERM when the scope ends. */
export interface ServerProcess extends AsyncDisposable {
  /** Value of a field of its `ready` log line. */
  readonly ready: Record<string, string>;
  /** A Shield's, of its WebSocket. */
  readonly socket_url: string;
  readonly pid: number;
  log(): string;
  /** How it ended, once its log is read; never rejects. */
  readonly status: Promise<Deno.CommandStatus>;
  /** Sends a signal and does not wait, for example SIGSTOP. Throws when the process has ended. */
  signal(name: Deno.Signal): void;
  stop(signal?: Deno.Signal): Promise<Deno.CommandStatus>;
}

/** Key, audience and token maker of a test deployment; disposing removes its folder. */
export interface Issuer extends AsyncDisposable {
  readonly config: string;
  readonly dir: string;
  tokenFor(claims?: Record<string, unknown>): Promise<string>;
}

const inAnHour = () => Math.floor(Date.now() / 1_000) + 3_600;

let made: ReturnType<typeof generateKeyPair> | undefined;
/** One pair for all issuers of a test file: generating one takes a quarter of a second of a core. */
function keyPair(): ReturnType<typeof generateKeyPair> {
  return made ??= generateKeyPair("RS256", { extractable: true });
}

/**
 * An RS256 key in its own folder under the system's temporary one; the caller removes it, or disposes of the issuer.
 * All issuers of a process share the key.
 */
export async function createIssuer(): Promise<Issuer> {
  const dir = await Deno.makeTempDir({ prefix: "arqon-cluster-" });
  const { publicKey, privateKey } = await keyPair();
  await Deno.writeTextFile(`${dir}/public.pem`, await exportSPKI(publicKey));
  return {
    dir,
    config: `
[[auth.issuers]]
issuer = "test"
audience = "arqon"
pem_file = "${dir}/public.pem"
tenants = ["*"]
roles = ["user", "service", "admin"]
`,
    tokenFor: (claims = {}) =>
      new SignJWT({ exp: inAnHour(), tenant_id: "acme", role: "user", sub: "ann", ...claims })
        .setProtectedHeader({ alg: "RS256" }).setIssuer("test").setAudience("arqon")
        .sign(privateKey),
    [Symbol.asyncDispose]: () => Deno.remove(dir, { recursive: true }),
  };
}

function logfmt(line: string): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [, key = "", quoted, bare = ""] of line.matchAll(/([a-z_]+)=(?:"([^"]*)"|(\S*))/g)) {
    fields[key] = quoted ?? bare;
  }
  return fields;
}

function readyLine(log: string, part: string, args: readonly string[]): string | undefined {
  const speaker = args.includes("--processes") ? "component=supervisor" : `component=${part}`;
  return log.split("\n").find((line) => line.includes(speaker) && line.includes('msg="ready"'));
}

const flagsOf = (part: "shield" | "brain", config: string, root: string): readonly string[] => [
  ...FLAGS,
  ...(part === "shield" ? SHIELD_FLAGS : STARTED_BRAIN_FLAGS),
  ...(config.includes("#constant ") ? [`--preload=${root}/${PRELOAD}`] : []),
];

/** The tables of the listeners, `[server]` last; the tests' issuer may sign tokens for admins of any tenant. */
function listeners(port: number, admin_lines: string, ops_lines: string, lines: string): string {
  const admins = admin_lines.includes("operator_tenants") ? "" : 'operator_tenants = ["*"]\n';
  const at = (name: string, own: number) => `[${name}]\nhost = "127.0.0.1"\nport = ${own}\n`;
  const ops = ops_lines.startsWith("port = ")
    ? `[ops]\nhost = "127.0.0.1"\n${ops_lines}\n`
    : `${at("ops", 0)}${ops_lines}\n`;
  return `${ops}${at("admin", 0)}${admins}${admin_lines}\n${
    lines.startsWith("host = ") ? `[server]\nport = ${port}\n` : at("server", port)
  }${lines}`;
}

/** What few processes need. */
interface ServerOptions {
  /** The clients' port; absent: a free one. */
  readonly port?: number | undefined;
  /** More arguments, for example `--processes`, with which it is ready when its supervisor says so. */
  readonly args?: readonly string[];
  /** More lines for `[admin]` and `[ops]`, which may begin with a port. */
  readonly admin_lines?: string;
  readonly ops_lines?: string;
  /** More environment, which it cannot read itself. */
  readonly env?: Readonly<Record<string, string>>;
  /** The tree of its program, without a slash at its end; absent: this one. */
  readonly root?: string;
}

/**
 * Rejects with the log when the process ends before it is ready. `server_lines` are additional lines for its `[server]`
 * table, for example `node_id = "shield-0"`, which may begin with its host.
 */
export async function startServer(
  part: "shield" | "brain",
  config: string,
  dir: string,
  server_lines = "",
  options: ServerOptions = {},
): Promise<ServerProcess> {
  const { args = [], admin_lines = "", ops_lines = "", env = {}, root = ROOT } = options;
  // A supervisor looks for a port, and releases it until its Shields have started.
  const { port = args.includes("--processes") ? freePort() : 0 } = options;
  const file = await Deno.makeTempFile({ dir, prefix: `${part}-`, suffix: ".toml" });
  await Deno.writeTextFile(
    file,
    `${listeners(port, admin_lines, ops_lines, server_lines)}\n${config}`,
  );
  const program = [...flagsOf(part, config, root), `${root}/${part}/main.ts`];
  const server = StreamedCommand.start(
    [Deno.execPath(), "run", ...program, "--config", file, ...args],
    { cwd: root, env, stdout: "null" },
    200_000,
  );
  const isReady = () => readyLine(server.stderr, part, args) !== undefined;
  if (!await server.shows(isReady, READY_MS)) {
    const why = await server.endsWithin(0) ? "ended before it was ready" : "is not ready";
    await server.stop("SIGKILL");
    throw new Error(`${part} ${why}:\n${server.stderr}`);
  }
  const ready = logfmt(readyLine(server.stderr, part, args) ?? "");
  return {
    ready,
    socket_url: `${ready.url?.replace(/^http/, "ws")}/v1/socket`,
    pid: server.child.pid,
    log: () => server.stderr,
    status: server.ended.then(() => server.child.status),
    signal: (name) => server.child.kill(name),
    stop: (signal) => server.stop(signal),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
