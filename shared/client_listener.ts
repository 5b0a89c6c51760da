/**
 * The listener of clients as a configuration asks for it, with what its door is to bound and count.
 * Which sockets it serves is `shield/socket/`; opening any listener is `listen.ts`.
 */
import type { Registry } from "prom-client";
import type { Config } from "./config/schema.ts";
import { networksOf } from "./config/schema_server.ts";
import type { BareListenStats } from "./http1/listener.ts";
import { listenClient } from "./listen.ts";
import type { Handler } from "./http_handler.ts";
import type { Listener } from "./listen.ts";
import { scrapedGauge } from "./metrics.ts";
import { scrapedCounter, scrapedFamily } from "./metrics_plain.ts";
import type { TlsPair } from "./tls_reload.ts";

/** What the listener of a process is told. */
export interface ClientListenerOptions {
  readonly config: Pick<Config, "server" | "limits">;
  readonly handler: Handler;
  readonly registry: Registry;
  readonly tls?: TlsPair | undefined;
  readonly reuse_port?: boolean;
  /** Files that the system lets the process open; absent: nobody knows. */
  readonly files_max?: number | undefined;
  /** Nothing is accepted any more, and will not be: the process cannot go on. */
  readonly onGone: (detail: string) => void;
}

/** How many files the process may open; undefined where the system or its permissions do not tell. */
export function openFilesMax(readTextFile: (path: string) => string): number | undefined {
  let text: string;
  try {
    text = readTextFile("/proc/self/limits");
  } catch {
    return undefined;
  }
  const soft = /^Max open files\s+(\d+)/m.exec(text)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

/** Opens it. Rejects with ListenError when the address is taken, forbidden or not of this machine. */
export async function openClientListener(options: ClientListenerOptions): Promise<Listener> {
  const { config: { server, limits }, registry, onGone } = options;
  const { handler, tls, reuse_port = false } = options;
  const shared = { name: "client", host: server.host, port: server.port, handler, tls, reuse_port };
  const { websocket } = server;
  if (websocket !== "own") {
    registerDoor(registry, () => UNKNOWN);
    return await listenClient({ ...shared, websocket });
  }
  const wanted = limits.connections_per_process + limits.strangers;
  const allowed = (options.files_max ?? Infinity) - limits.descriptors_reserved;
  const listener = await listenClient({
    ...shared,
    websocket,
    limits: {
      strangers: limits.strangers,
      strangers_per_address: limits.strangers_per_address,
      head_ms: limits.request_head_ms,
      body_ms: limits.request_body_ms,
      idle_ms: limits.keep_alive_ms,
      answer_ms: limits.answer_ms,
      descriptors: Math.max(1, Math.min(wanted, allowed)),
    },
    ...(server.proxy_protocol ? { proxies: { isProxy: networksOf(server.trusted_proxies) } } : {}),
    onGone: (error) => onGone(`the client listener has died: ${error.message}`),
  });
  if (listener.stats !== undefined) registerDoor(registry, listener.stats);
  return listener;
}

/** The runtime's listeners do not tell. */
const UNKNOWN: BareListenStats = {
  open: 0,
  strangers: 0,
  evicted: { address: 0, total: 0 },
  timeouts: { proxy: 0, tls: 0, head: 0, body: 0, handler: 0, answer: 0, idle: 0, closing: 0 },
  accept_failures: 0,
  refused: 0,
};

function registerDoor(registry: Registry, stats: () => BareListenStats): void {
  scrapedGauge(
    registry,
    "shield_strangers",
    "Connections without a token so far.",
    () => stats().strangers,
  );
  scrapedFamily(
    registry,
    "shield_strangers_ended_total",
    "Connections without a token that were ended to make room, by the bound that was reached.",
    "bound",
    () => stats().evicted,
  );
  scrapedFamily(
    registry,
    "shield_request_timeouts_total",
    "Connections that were ended because they took too long, by what they did.",
    "phase",
    () => stats().timeouts,
  );
  scrapedCounter(
    registry,
    "shield_accept_failures_total",
    "Times that no connection could be accepted, for lack of descriptors or memory.",
    () => stats().accept_failures,
  );
  scrapedCounter(
    registry,
    "shield_accepts_refused_total",
    "Connections ended at once: no descriptor but the reserve was left.",
    () => stats().refused,
  );
}
