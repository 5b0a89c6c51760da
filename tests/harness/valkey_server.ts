/**
 * Starts a real Valkey or Redis server of the system's package for a test: nothing on disk, a free port, killed and
 * frozen on demand, removed with `await using`.
 */

import { seen } from "../../shared/testing/until.ts";
import { run } from "../../tasks/checkout/programs.ts";
import { freePort } from "./free_ports.ts";

/** A running server, and its faults for tests. */
export interface ValkeyServer extends AsyncDisposable {
  /** `redis://127.0.0.1:PORT`, with TLS `rediss://…` on its own port. */
  readonly url: string;
  readonly port: number;
  /** Ends it at once, as a crash would (SIGKILL). */
  kill(): Promise<void>;
  /** Restarts it, empty, on the same port. */
  start(): Promise<void>;
  /** Freezes it (SIGSTOP): connections stay open and nothing answers, until `resume`. */
  freeze(): void;
  resume(): void;
  /** One command, for example `command("PING")`; resolves with the first line of the answer. */
  command(...words: string[]): Promise<string>;
  /** Several commands on one connection, for example after `AUTH`; returns the last answer. */
  commands(...all: string[][]): Promise<string>;
}

/** Additional options, for example `["--requirepass", "secret"]`. */
export interface ValkeyOptions {
  readonly args?: readonly string[];
  /** TLS beside plain text, with the certificate of `tests/tls`; "mutual": it requires a client certificate. */
  readonly tls?: boolean | "mutual";
}

const PROGRAMS = ["valkey-server", "redis-server"];
const MISSING = `a Valkey or Redis server is needed: neither ${PROGRAMS.join(" nor ")} is on the \
PATH. Debian and Ubuntu: apt-get install --no-install-recommends redis-server`;

/** The program of the system's package. Throws an Error that says what to install. */
async function findProgram(): Promise<string> {
  for (const program of PROGRAMS) {
    if ((await run(program, ["--version"]))?.ok) return program;
  }
  throw new Error(MISSING);
}

function tlsArguments(port: number, is_mutual: boolean): string[] {
  const file = (name: string) => new URL(`../tls/${name}.pem`, import.meta.url).pathname;
  const files = ["--tls-cert-file", file("server"), "--tls-key-file", file("server_key")];
  const trust = ["--tls-ca-cert-file", file("ca"), "--tls-auth-clients", is_mutual ? "yes" : "no"];
  return ["--tls-port", `${port}`, ...files, ...trust];
}

async function commandOn(port: number, ...commands: (readonly string[])[]): Promise<string> {
  using connection = await Deno.connect({ hostname: "127.0.0.1", port });
  const encoder = new TextEncoder();
  let line = "";
  for (const words of commands) {
    const parts = words.map((word) => `$${encoder.encode(word).length}\r\n${word}\r\n`);
    await connection.write(encoder.encode(`*${words.length}\r\n${parts.join("")}`));
    const answer = new Uint8Array(4_096);
    const length = await connection.read(answer) ?? 0;
    line = new TextDecoder().decode(answer.subarray(0, length)).split("\r\n")[0] ?? "";
  }
  return line;
}

async function launch(
  program: string,
  port: number,
  args: readonly string[],
): Promise<Deno.ChildProcess> {
  const child = new Deno.Command(program, {
    args: ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", ...args],
    cwd: "/tmp",
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  // With a password it answers -NOAUTH, which is an answer too.
  const ping = () => commandOn(port, ["PING"]).catch(() => "");
  await seen(`${program} answers`, ping, (answer) => answer !== "").catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  return child;
}

/** Starts a server and waits until it answers. */
export async function startValkey(options: ValkeyOptions = {}): Promise<ValkeyServer> {
  const program = await findProgram();
  const port = freePort();
  const tls_port = options.tls ? freePort() : undefined;
  const more = tls_port === undefined ? [] : tlsArguments(tls_port, options.tls === "mutual");
  const args = [...options.args ?? [], ...more];
  let child: Deno.ChildProcess | undefined = await launch(program, port, args);
  const kill = async () => {
    const ending = child;
    child = undefined;
    if (ending === undefined) return;
    ending.kill("SIGKILL");
    await ending.status;
  };
  return {
    url: tls_port === undefined ? `redis://127.0.0.1:${port}` : `rediss://127.0.0.1:${tls_port}`,
    port,
    kill,
    async start() {
      child ??= await launch(program, port, args);
    },
    freeze: () => child?.kill("SIGSTOP"),
    resume: () => child?.kill("SIGCONT"),
    command: (...words) => commandOn(port, words),
    commands: (...all) => commandOn(port, ...all),
    [Symbol.asyncDispose]: kill,
  };
}
