/** Shared by the tests of the NATS logs: an engine with its own limits, and an outside view of streams. Tests only. */
import { connect } from "@nats-io/transport-deno";
import { type JetStreamManager, jetstreamManager } from "@nats-io/jetstream";
import { ArqonError } from "@arqon/proto";
import { keptLog } from "../../../testing/logs.ts";
import { pace } from "../../../testing/pace.ts";
import { bytes, text } from "../../testing/conformance.ts";
import { LOG_LIMITS } from "../../contract/durable_log.ts";
import type {
  Appended,
  DurableLog,
  LogLimits,
  LogMessage,
  Retention,
} from "../../contract/durable_log.ts";
import { natsConfig, type Watched, watching } from "./nats_harness.ts";
import { openNats } from "../nats.ts";
import type { SpineEvent } from "../../contract/spine.ts";

/** More than the tests append. */
export const RETENTION: Retention = {
  history_size: 100_000,
  history_ttl_seconds: 3_600,
  replicas: undefined,
};
/** A whole room of a test. */
export const ALL = { after: 0, limit: 100_000, max_bytes: 1e9 };

/** An engine whose tenants' logs are watched. */
export interface LogEngine extends Watched {
  /** Resolves after `count` events that this tenant's log may not have delivered messages. */
  reported(tenant_id: string, count: number): Promise<void>;
}

/** Opens the NATS engine; `limits` replaces some of the default ones. */
export async function logEngine(
  urls: readonly string[],
  limits: Partial<LogLimits> = {},
  nats: Record<string, unknown> = {},
): Promise<LogEngine> {
  const { log, lines } = keptLog({ level: "info" });
  const spine = await openNats({
    config: natsConfig({ urls: [...urls], ...nats }),
    log,
    now: Date.now,
    log_limits: { ...LOG_LIMITS, ...limits },
  });
  const one = watching(spine, lines);
  return {
    ...one,
    reported: async (tenant_id, count) => {
      const concerns = (event: SpineEvent) => event.type === "log" && event.tenant_id === tenant_id;
      const enough = (items: readonly SpineEvent[]) => items.filter(concerns).length >= count;
      await one.events.until(enough, `${count} events of the log`);
    },
  };
}

/** JetStream as an operator sees it, by a separate connection. */
export async function operator(
  url: string,
): Promise<AsyncDisposable & { readonly streams: JetStreamManager["streams"] }> {
  const connection = await connect({ servers: url.replace("nats://", "") });
  const { streams } = await jetstreamManager(connection, { checkAPI: false });
  return { streams, [Symbol.asyncDispose]: () => connection.close() };
}

/** The longest pause between two appends during an outage, in ms. */
const REFUSED_PAUSE_MAX_MS = 50;

/** Appends the numbers from `from` on, each with a key of its own, until `until` resolves. */
export async function appendUntil(
  log: DurableLog,
  room_id: string,
  until: Promise<unknown>,
  window = 64,
): Promise<{ acknowledged: Map<number, Appended>; refused: Map<number, ArqonError> }> {
  const acknowledged = new Map<number, Appended>();
  const refused = new Map<number, ArqonError>();
  let stopped = false;
  void until.finally(() => stopped = true);
  const underWay = new Set<Promise<void>>();
  let refused_in_a_row = 0;
  for (let number = 0; !stopped; number++) {
    const one = log.append(room_id, bytes(String(number)), { key: String(number) }).then(
      (appended) => {
        acknowledged.set(number, appended);
        refused_in_a_row = 0;
      },
      (error: unknown) => {
        if (!(error instanceof ArqonError)) throw error;
        refused.set(number, error);
        refused_in_a_row++;
      },
    ).finally(() => underWay.delete(one));
    underWay.add(one);
    // A client backs off during an outage. Without that, a long one has thousands of refusals to append again.
    if (refused_in_a_row > 0) await pace(Math.min(refused_in_a_row, REFUSED_PAUSE_MAX_MS));
    if (underWay.size >= window) await Promise.race(underWay);
  }
  await Promise.all(underWay);
  return { acknowledged, refused };
}

/** Every message of a room, in pages. */
export async function readAll(log: DurableLog, room_id: string): Promise<LogMessage[]> {
  const messages: LogMessage[] = [];
  for (let more = true; more;) {
    const after = messages.at(-1)?.offset ?? 0;
    const page = await log.read(room_id, { ...ALL, after, limit: 1_000 });
    messages.push(...page.messages);
    more = page.more;
  }
  return messages;
}

/** The numbers that `appendUntil` stored. */
export const numbers = (messages: readonly LogMessage[]): number[] =>
  messages.map(({ payload }) => Number(text(payload)));

/** The offset of each message by the number that it is. */
export const offsetsOf = (messages: readonly LogMessage[]): Map<number, number> =>
  new Map(messages.map(({ payload, offset }) => [Number(text(payload)), offset]));
