/**
 * Findings about the storage of NATS: which of our streams have no leader, how much storage there is and how
 * much is promised, and which of our streams have no bound. It uses the connection that `nats.ts` has made,
 * and changes nothing.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import type { Config } from "../../shared/config/schema.ts";
import { BUS_STREAMS } from "../../shared/backup/stream_order.ts";
import { plural } from "../../shared/plural.ts";
import { callApi } from "../../shared/spine/nats/log/nats_log_api.ts";
import { readUsage, totalBytes } from "../../shared/spine/nats/log/nats_storage.ts";
import { promisedBytes, storageProblem } from "../../shared/spine/contract/storage_plan.ts";
import type { StorageWish } from "../../shared/spine/contract/storage_plan.ts";
import { fail, ok, warn, whyOf } from "./finding.ts";
import type { Finding } from "./finding.ts";

const CHECK = "NATS storage";
/** Most pages of the list of streams. */
const PAGES = 1_000;
/** Longer than a cluster waits for the leaders of the streams that it lists: four seconds (2.11 to 2.15). */
const LIST_MS = 6_000;
/** Most streams that a finding names; of the rest it has the number. */
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
  /** Streams whose leaders have not answered. */
  readonly missing?: readonly string[];
}

/** Whether ArqonBus has made a stream. */
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
      // A copy that knows no leader has answered for the stream.
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
 * Streams of a bus of which the connection's server has a copy and that nobody leads, in words. Without a quorum
 * nobody lists streams, but each copy answers for its own.
 */
export async function leaderlessCopies(
  connection: NatsConnection,
  timeout_ms: number,
): Promise<string> {
  const found = await Promise.all(BUS_STREAMS.map(async (name) => {
    try {
      const verb = `STREAM.INFO.${name}`;
      const { cluster } = await callApi<StreamAnswer>(connection, verb, {}, timeout_ms);
      return (cluster?.leader ?? "") === "" ? [name] : [];
    } catch {
      // There is none here, or it is led elsewhere.
      return [];
    }
  }));
  return named(found.flat());
}

/**
 * The finding about streams without a leader, to which nothing can be written; undefined when there are none.
 */
function leaderless(missing: ReadonlySet<string>, kv_bucket: string): Finding | undefined {
  const ours = [...missing].filter((name) => isOurs(name, kv_bucket));
  if (ours.length === 0) return undefined;
  return fail(
    CHECK,
    `no leader answers for ${named(ours)}`,
    "look what `nats stream info` and the servers' logs say of it; docs/storage.md says more",
  );
}

/** The finding about the storage that a connection reaches. */
export async function storageFinding(
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
      return warn(CHECK, problem, "docs/storage.md says how much is needed");
    }
    const of = limit_bytes !== undefined
      ? ` of ${limit_bytes}`
      : taken === undefined
      ? "; how much there is, is found out once a Shield or a Brain has started"
      : "; how much there is, NATS does not say ([nats] storage_bytes can)";
    const shared = usage.shared_streams;
    const logs = plural(usage.logs, "durable log") +
      (shared === 0 ? "" : `, ${plural(shared, "shared stream")}`);
    return ok(
      CHECK,
      `${
        promisedBytes(report, wish)
      } bytes are promised${of}, ${usage.used_bytes} are used, ${logs}`,
    );
  } catch (error) {
    return warn(
      CHECK,
      `it cannot be asked: ${whyOf(error)}`,
      "let the user publish on $JS.API.INFO, $JS.API.STREAM.NAMES and $JS.API.STREAM.LIST",
    );
  }
}
