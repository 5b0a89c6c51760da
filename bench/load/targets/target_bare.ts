/** The bare server as a target: Deno's own WebSocket. */
import { ROOT } from "../../measure/scenario.ts";
import type { BareOptions } from "./bare_server.ts";
import { startProgram } from "../../measure/line_program.ts";
import type { Ability, RunningTarget, Target, TargetOptions } from "./target.ts";

/** The test certificate, and the authority that signed it. */
export const TLS_FILES = {
  cert: `${ROOT}/tests/tls/server.pem`,
  key: `${ROOT}/tests/tls/server_key.pem`,
  ca: `${ROOT}/tests/tls/ca.pem`,
} as const;

/** The authority for the wire; only with TLS. */
export async function caOf(tls: boolean): Promise<{ ca?: string }> {
  return tls ? { ca: await Deno.readTextFile(TLS_FILES.ca) } : {};
}

/** The capabilities of a server without tenants and BATCH. */
export const PLAIN_ABILITIES: ReadonlySet<Ability> = new Set(["echo", "rooms", "tls"]);

async function start({ tls }: TargetOptions): Promise<RunningTarget> {
  const read = (file: string) => Deno.readTextFile(file);
  const pem = tls ? { cert: await read(TLS_FILES.cert), key: await read(TLS_FILES.key) } : {};
  const options: BareOptions = pem;
  const program = startProgram("bench/load/targets/bare_server.ts", {
    flags: ["--ignore-env", "--allow-net=127.0.0.1"],
    args: [JSON.stringify(options)],
  });
  try {
    const { url } = await program.next<{ url: string }>();
    return {
      version: Deno.version.deno,
      pids: [program.pid],
      wire: { protocol: "raw", url, tokens: [""], ...await caOf(tls) },
      [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
    };
  } catch (error) {
    await program[Symbol.asyncDispose]();
    throw error;
  }
}

/** The target with Deno's own server, which is the base of the ratios. */
export const DENO: Target = { id: "deno", title: "bare Deno", abilities: PLAIN_ABILITIES, start };
