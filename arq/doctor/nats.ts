/**
 * Findings about the NATS servers of a configuration: whether they can be reached, are new enough, have
 * JetStream and accept our login. First the greeting of each server is read, which needs no login; then one
 * connection is made as a server makes it.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import type { Config } from "../../shared/config/schema.ts";
import { connectNats } from "../../shared/spine/nats/connection/nats_connect.ts";
import { parseAddresses } from "../../shared/spine/nats/connection/nats_login.ts";
import { isSupportedNats, OLDEST_NATS } from "../../shared/spine/nats/connection/nats_version.ts";
import { storageWish } from "../../shared/spine/storage_watch.ts";
import { fail, ok, warn, whyOf } from "./finding.ts";
import type { Finding } from "./finding.ts";
import { leaderlessCopies, storageFinding } from "./storage.ts";

/** A configuration that has a table `[nats]`. */
type WithNats =
  & Pick<Config, "durable" | "rooms" | "auth" | "platform">
  & { readonly nats: NonNullable<Config["nats"]> };

/** What a NATS server says about itself at the start of a connection. */
export interface Greeting {
  readonly version: string;
  readonly jetstream: boolean;
  /** Whether it is part of a cluster; another server there may have JetStream. */
  readonly clustered: boolean;
}

const CHECK = "NATS";
const GREETING_BYTES_MAX = 65_536;
const JETSTREAM_FIX =
  'add jetstream { store_dir: "…" } to the server\'s configuration, or start it with --jetstream';

/** Reads the first line of a NATS server; undefined when the line is not NATS's. */
export function parseGreeting(line: string): Greeting | undefined {
  const [, json] = /^INFO\s+(\{.*\})\s*$/s.exec(line) ?? [];
  try {
    const info: unknown = JSON.parse(json ?? "");
    if (typeof info !== "object" || info === null) return undefined;
    const { version, jetstream, cluster } = info as Record<string, unknown>;
    if (typeof version !== "string") return undefined;
    return { version, jetstream: jetstream === true, clustered: typeof cluster === "string" };
  } catch {
    return undefined;
  }
}

/** The finding about the server at `address`, from its greeting. */
export function greetingFinding(address: string, greeting: Greeting): Finding {
  const { version, jetstream, clustered } = greeting;
  if (!isSupportedNats(version)) {
    return fail(
      CHECK,
      `the server at ${address} has version ${version}; ${OLDEST_NATS} or newer is needed`,
      "install a newer nats-server: https://github.com/nats-io/nats-server/releases",
    );
  }
  if (!jetstream && !clustered) {
    return fail(CHECK, `the server at ${address} runs without JetStream`, JETSTREAM_FIX);
  }
  return ok(CHECK, `${address} has version ${version}${jetstream ? ", with JetStream" : ""}`);
}

async function firstLine(connection: Deno.Conn): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(4_096);
  let text = "";
  while (!text.includes("\n") && text.length < GREETING_BYTES_MAX) {
    const count = await connection.read(buffer);
    if (count === null) break;
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  return text.slice(0, text.indexOf("\n"));
}

/**
 * Reads the greeting of a server. When one of several servers is down, that is a warning; the login shows
 * whether another one accepts us.
 */
async function greet(address: string, timeout_ms: number, is_only: boolean): Promise<Finding> {
  const at = address.lastIndexOf(":");
  const hostname = address.slice(0, at).replace(/^\[|\]$/g, "");
  const signal = AbortSignal.timeout(timeout_ms);
  const unreachable = (why: string) => {
    const tell = is_only ? fail : warn;
    const fix = "start nats-server there, or set [nats] urls";
    return tell(CHECK, `${address} does not answer: ${why}`, fix);
  };
  let connection: Deno.Conn;
  try {
    connection = await Deno.connect({ hostname, port: Number(address.slice(at + 1)), signal });
  } catch (error) {
    return unreachable(signal.aborted ? `nothing within ${timeout_ms} ms` : whyOf(error));
  }
  // Closing the connection ends a read that waits.
  const close = () => connection.close();
  signal.addEventListener("abort", close);
  try {
    const greeting = parseGreeting(await firstLine(connection));
    if (greeting !== undefined) return greetingFinding(address, greeting);
    return fail(CHECK, `${address} is no NATS server`, "set [nats] urls to one");
  } catch (error) {
    // A server may want TLS before it says anything. The connection below shows whether it does.
    if (signal.aborted) return warn(CHECK, `${address} says nothing of itself`, "is it NATS?");
    return unreachable(whyOf(error));
  } finally {
    signal.removeEventListener("abort", close);
    if (!signal.aborted) connection.close();
  }
}

/** The problem with JetStream; undefined when it works. */
async function jetStreamProblem(
  connection: NatsConnection,
  timeout_ms: number,
): Promise<string | undefined> {
  try {
    const answer = await connection.request("$JS.API.STREAM.NAMES", "", { timeout: timeout_ms });
    const { error } = answer.json<{ error?: { description?: string } }>();
    return error === undefined ? undefined : error.description ?? "it refuses";
  } catch (error) {
    return whyOf(error);
  }
}

/** The finding about a JetStream that does not work. `silent`: servers that have said nothing of themselves. */
async function jetStreamFinding(
  connection: NatsConnection,
  problem: string,
  silent: readonly string[],
  timeout_ms: number,
): Promise<Finding> {
  const { cluster } = connection.info as { cluster?: string } | undefined ?? {};
  if (cluster === undefined) {
    const fix = `${JETSTREAM_FIX}; and look at the account's rights`;
    return fail("NATS login", `JetStream does not answer: ${problem}`, fix);
  }
  const streams = await leaderlessCopies(connection, timeout_ms);
  const without = streams === "" ? "" : `; nobody leads ${streams}`;
  const away = silent.length === 0 ? "" : `; ${silent.join(", ")} ${verbOf(silent)} not answer`;
  return fail(
    "NATS quorum",
    `the cluster ${cluster} has no leader for JetStream (${problem})${away}${without}`,
    "start the servers that are away: more than half of them must run and reach each other (docs/outages.md)",
  );
}

const verbOf = ({ length }: readonly string[]) => length === 1 ? "does" : "do";

async function loginFindings(
  { nats: config, ...whole }: WithNats,
  files: ReadonlyMap<string, string>,
  silent: readonly string[],
): Promise<Finding[]> {
  const read = (path: string) => {
    const text = files.get(path);
    if (text === undefined) throw new TypeError(`cannot read ${path}`);
    return text;
  };
  const check = "NATS login";
  let connection: NatsConnection;
  try {
    connection = await connectNats({ config, files: { read }, reconnectDelay: () => 1_000 });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const fix =
      "look at the login of [nats] (in urls, or in user, password_file, token_file, nkey_file or credentials_file) and its tls_… files";
    return [fail(check, why, fix)];
  }
  try {
    const problem = await jetStreamProblem(connection, config.request_timeout_ms);
    if (problem !== undefined) {
      return [await jetStreamFinding(connection, problem, silent, config.request_timeout_ms)];
    }
    const { kv_bucket } = whole.platform.registry;
    const wish = { ...storageWish({ ...whole, nats: config }), kv_bucket };
    return [
      ok(check, `${connection.getServer()} and JetStream answer`),
      await storageFinding(connection, config, wish),
    ];
  } finally {
    await connection.close();
  }
}

/**
 * The findings about all NATS servers. `files` holds the texts of credentials and certificates by file name.
 */
export async function natsFindings(
  config: WithNats,
  files: ReadonlyMap<string, string>,
): Promise<Finding[]> {
  const { urls, connect_timeout_ms } = config.nats;
  const { servers } = parseAddresses(urls);
  const greetings = await Promise.all(
    servers.map((address) => greet(address, connect_timeout_ms, servers.length === 1)),
  );
  // The login would only fail for the same reason.
  if (greetings.every(({ status }) => status === "fail")) return greetings;
  const silent = servers.filter((_, at) => greetings[at]?.status !== "ok");
  return [...greetings, ...await loginFindings(config, files, silent)];
}
