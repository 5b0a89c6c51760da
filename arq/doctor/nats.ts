/**
 * The NATS servers of a configuration: whether they can be reached, are new enough, have JetStream, accept our login,
 * and have leaders and storage for our streams. The greeting of each is read first, which needs no login; then one
 * connection is made as a server would, and nothing is changed.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import type { Config } from "../../shared/config/schema.ts";
import { BUS_STREAMS } from "../../shared/backup/stream_order.ts";
import { plural } from "../../shared/plural.ts";
import { callApi } from "../../shared/spine/nats/log/nats_log_api.ts";
import { readUsage, totalBytes } from "../../shared/spine/nats/log/nats_storage.ts";
import { promisedBytes, storageProblem } from "../../shared/spine/contract/storage_plan.ts";
import type { StorageWish } from "../../shared/spine/contract/storage_plan.ts";
import { fail, type Finding, ok, warn, whyOf } from "./paths.ts";
import { connectNats, parseAddresses } from "../../shared/spine/nats/connection/nats_connect.ts";
import { isSupportedNats, OLDEST_NATS } from "../../shared/spine/nats/connection/nats_link.ts";
import { storageWish } from "../../shared/spine/metrics.ts";

const STORAGE = "NATS storage";
const PAGES = 1_000;
/** Longer than a cluster waits for the leaders of the streams that it lists: four seconds (2.11 to 2.15). */
const LIST_MS = 6_000;
/** Most streams that a finding names; the others are counted. */
const NAMED_MAX = 5;

interface StreamAnswer {
  readonly config: {
    readonly name: string;
    readonly subjects?: readonly string[];
    readonly max_bytes: number;
  };
  /** Absent on a server that runs alone. */
  readonly cluster?: { readonly leader?: string };
}

interface Page {
  readonly total: number;
  readonly streams?: readonly StreamAnswer[] | null;
  /** Streams whose leaders did not answer. */
  readonly missing?: readonly string[];
}

/** Whether ArqonBus created a stream. */
const isOurs = (name: string, kv_bucket: string): boolean =>
  /^(LOGS?_|KV_ARQON_|OBJ_ARQON_|ARQON_)/.test(name) || name.startsWith(`KV_${kv_bucket}`);

async function allStreams(connection: NatsConnection, timeout_ms: number) {
  const found = new Map<string, { subjects: readonly string[]; max_bytes: number }>();
  const missing = new Set<string>();
  let seen = 0;
  for (let page = 0; page < PAGES; page++) {
    const question = { offset: seen };
    const { total, streams, missing: silent = [] } = await callApi<Page>(
      connection,
      "STREAM.LIST",
      question,
      Math.max(timeout_ms, LIST_MS),
    );
    for (const name of silent) missing.add(name);
    for (const { config: { name, subjects = [], max_bytes }, cluster } of streams ?? []) {
      // A replica that knows no leader has answered for the stream.
      if (cluster !== undefined && (cluster.leader ?? "") === "") missing.add(name);
      found.set(name, { subjects, max_bytes });
    }
    const listed = (streams?.length ?? 0) + silent.length;
    seen += listed;
    if (seen >= total || listed === 0) break;
  }
  return { streams: found, missing };
}

/** The first few names, and how many more there are. */
function named(names: readonly string[]): string {
  const more = names.length > NAMED_MAX ? `, and ${names.length - NAMED_MAX} more` : "";
  return `${names.slice(0, NAMED_MAX).join(", ")}${more}`;
}

/**
 * Leaderless streams of a bus of which the connected server has a replica, in words. Without a quorum nobody can list
 * streams, but each replica answers for its own.
 */
async function leaderlessCopies(connection: NatsConnection, timeout_ms: number): Promise<string> {
  const found = await Promise.all(BUS_STREAMS.map(async (name) => {
    try {
      const verb = `STREAM.INFO.${name}`;
      const { cluster } = await callApi<StreamAnswer>(connection, verb, {}, timeout_ms);
      return (cluster?.leader ?? "") === "" ? [name] : [];
    } catch {
      // This server has no replica, or the stream has a leader elsewhere.
      return [];
    }
  }));
  return named(found.flat());
}

/** The finding about streams without a leader, which accept no writes; undefined: none. */
function leaderless(missing: ReadonlySet<string>, kv_bucket: string): Finding | undefined {
  const ours = [...missing].filter((name) => isOurs(name, kv_bucket));
  if (ours.length === 0) return undefined;
  return fail(
    STORAGE,
    `no leader answers for ${named(ours)}`,
    "check `nats stream info` and the servers' logs; docs/storage.md has details",
  );
}

async function storageFinding(
  connection: NatsConnection,
  nats: NonNullable<Config["nats"]>,
  { kv_bucket, ...wish }: StorageWish & { readonly kv_bucket: string },
): Promise<Finding> {
  const { request_timeout_ms: timeout_ms, storage_bytes } = nats;
  const source = { connection, timeout_ms, storage_bytes };
  try {
    const [usage, { streams, missing }] = await Promise.all([
      readUsage(source),
      allStreams(connection, timeout_ms),
    ]);
    const silent = leaderless(missing, kv_bucket);
    if (silent !== undefined) return silent;
    const [first] = streams.values();
    const [taken] = first?.subjects ?? [];
    const limit_bytes = taken === undefined ? storage_bytes : await totalBytes(source, taken);
    const unbounded = [...streams].filter(([name, { max_bytes }]) =>
      max_bytes <= 0 && isOurs(name, kv_bucket)
    ).map(([name]) => name);
    const report = { ...usage, limit_bytes, unbounded };
    const problem = storageProblem(report, wish);
    if (problem !== undefined) {
      return warn(STORAGE, problem, "docs/storage.md has the required amount");
    }
    const of = limit_bytes !== undefined
      ? ` of ${limit_bytes}`
      : taken === undefined
      ? "; the available amount is known once a Shield or a Brain has started"
      : "; NATS does not report the available amount ([nats] storage_bytes can)";
    const shared = usage.shared_streams;
    const logs = plural(usage.logs, "durable log") +
      (shared === 0 ? "" : `, ${plural(shared, "shared stream")}`);
    const promised = `${promisedBytes(report, wish)} bytes are promised${of}`;
    return ok(STORAGE, `${promised}, ${usage.used_bytes} are used, ${logs}`);
  } catch (error) {
    return warn(
      STORAGE,
      `it cannot be queried: ${whyOf(error)}`,
      "permit the user to publish on $JS.API.INFO, $JS.API.STREAM.NAMES and $JS.API.STREAM.LIST",
    );
  }
}

/** A configuration that has a table `[nats]`. */
type WithNats =
  & Pick<Config, "durable" | "rooms" | "auth" | "platform">
  & { readonly nats: NonNullable<Config["nats"]> };

const CHECK = "NATS";
const GREETING_BYTES_MAX = 65_536;
const JETSTREAM_FIX =
  'add jetstream { store_dir: "…" } to the server\'s configuration, or start it with --jetstream';

/** What a NATS server says about itself at the start of a connection. */
type Greeting = NonNullable<ReturnType<typeof parseGreeting>>;

/** Reads the first line of a NATS server; undefined when the line is not NATS's. */
export function parseGreeting(line: string) {
  const [, json] = /^INFO\s+(\{.*\})\s*$/s.exec(line) ?? [];
  try {
    const info: unknown = JSON.parse(json ?? "");
    if (typeof info !== "object" || info === null) return undefined;
    const { version, jetstream, cluster } = info as Record<string, unknown>;
    if (typeof version !== "string") return undefined;
    // Another server of its cluster may have JetStream.
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
 * Reads a server's greeting. If one of several is down, that is a warning: the login shows whether another accepts us.
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
    return fail(CHECK, `${address} is not a NATS server`, "set [nats] urls to one");
  } catch (error) {
    // A server may require TLS before its greeting. The connection below shows whether it does.
    if (signal.aborted) {
      return warn(CHECK, `${address} sends no information about itself`, "is it NATS?");
    }
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

/** The finding about a JetStream that does not work. `silent`: servers that sent no greeting. */
async function jetStreamFinding(
  connection: NatsConnection,
  problem: string,
  silent: readonly string[],
  timeout_ms: number,
): Promise<Finding> {
  const { cluster } = connection.info as { cluster?: string } | undefined ?? {};
  if (cluster === undefined) {
    const fix = `${JETSTREAM_FIX}; and check the account's permissions`;
    return fail("NATS login", `JetStream does not answer: ${problem}`, fix);
  }
  const streams = await leaderlessCopies(connection, timeout_ms);
  const without = streams === "" ? "" : `; no leader for ${streams}`;
  const away = silent.length === 0 ? "" : `; ${silent.join(", ")} ${verbOf(silent)} not answer`;
  return fail(
    "NATS quorum",
    `the cluster ${cluster} has no leader for JetStream (${problem})${away}${without}`,
    "start the missing servers: more than half of them must run and reach each other (docs/outages.md)",
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
      "check the login of [nats] (in urls, or in user, password_file, token_file, nkey_file or credentials_file) and its tls_… files";
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

/** The findings about all NATS servers. `files` has the texts of named files. */
export async function natsFindings(
  config: WithNats,
  files: ReadonlyMap<string, string>,
): Promise<Finding[]> {
  const { urls, connect_timeout_ms } = config.nats;
  const { servers } = parseAddresses(urls);
  const greetings = await Promise.all(
    servers.map((address) => greet(address, connect_timeout_ms, servers.length === 1)),
  );
  // The login would fail for the same reason.
  if (greetings.every(({ status }) => status === "fail")) return greetings;
  const silent = servers.filter((_, at) => greetings[at]?.status !== "ok");
  return [...greetings, ...await loginFindings(config, files, silent)];
}
