/**
 * The configured listener for clients: its limits, its counters, its trusted proxies, and the watch that checks that it
 * answers. `shield/socket/` serves the sockets; `listen.ts` opens listeners.
 */
import { scraped } from "../metrics/metrics.ts";
import { ArqonError } from "@arqon/proto";
import type { Registry } from "prom-client";
import type { Env } from "../env.ts";
import type { Config } from "../config/schema.ts";
import { networksOf } from "../config/schema_server.ts";
import { probe } from "./door_probe.ts";
import { DoorWatch, Inconclusive } from "./door_watch.ts";
import { clientBehind, UnseenClients } from "./forwarded.ts";
import { descriptorsBy, FileReserve } from "../http1/file_reserve.ts";
import { placeholder } from "../process/asked_files.ts";
import type { DoorLimits } from "../http1/listener.ts";
import type { Handler } from "../http1/exchange.ts";
import { type ClientListenOptions, listenClient, type Listener } from "./listen.ts";
import type { Logger } from "../logs/log.ts";
import { problemResponse } from "../problem.ts";
import type { HealthCheck } from "./ops.ts";
import type { TlsPair } from "../http1/door.ts";

interface ClientListenerOptions extends Pick<Env, "registry" | "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "server" | "limits">;
  readonly handler: Handler;
  /** Answers a client without a place among unauthenticated ones. */
  readonly turnAway: Handler;
  readonly tls?: TlsPair | undefined;
  readonly reuse_port?: boolean;
  /** The reserve of file descriptors of the process. */
  readonly reserve: FileReserve;
  /** An unguessable text, for the listener's own probes. */
  readonly nonce: string;
  /** Called when accepting has ended for good: the process cannot continue. */
  readonly onGone: (detail: string) => void;
}

/** A listener, and whether it answers. */
export interface ClientListener extends Listener {
  check(): HealthCheck;
}

/** The path of the listener's own probes; each process has one of its own. */
const PROBE_PATH = "/.probe/";
/** The refusal of a client for which only reserved descriptors are left. */
const FULL = new ArqonError("at-capacity", "the process may open no more files", {
  retry_after_ms: 1_000,
});

/** Finds out how many descriptors a process can reserve for others than clients. */
export function openReserve({ descriptors_reserved }: Config["limits"], log: Logger): FileReserve {
  const path = placeholder();
  const descriptors = path === undefined ? undefined : descriptorsBy(path);
  const reserve = new FileReserve(descriptors_reserved, descriptors);
  const files = reserve.files;
  if (files < descriptors_reserved) {
    log.warn("fewer files are left to others than limits.descriptors_reserved says", { files });
  }
  return reserve;
}

/** The limits of connections and their times. */
function doorLimits(limits: Config["limits"]): DoorLimits {
  return {
    strangers: limits.strangers,
    strangers_per_address: limits.strangers_per_address,
    head_ms: limits.request_head_ms,
    body_ms: limits.request_body_ms,
    idle_ms: limits.keep_alive_ms,
    answer_ms: limits.answer_ms,
    descriptors: limits.connections_per_process + limits.strangers,
    reserved: limits.descriptors_reserved,
    gone_ms: limits.listener_gone_ms,
  };
}

/** As `doorLimits`, for a port of operators: a part of the descriptors that clients leave. */
export function operatorLimits(limits: Config["limits"]): DoorLimits {
  const { reserved: _, ...others } = doorLimits(limits);
  const share = Math.max(8, Math.floor(limits.descriptors_reserved / 4));
  return { ...others, strangers: share, strangers_per_address: share, descriptors: share };
}

/** The proxies trusted for a client's address; others that claim clients are recorded. */
function proxiesOf(
  { server }: Pick<Config, "server">,
  unseen: UnseenClients,
): Pick<ClientListenOptions, "proxies" | "clientOf"> {
  const { trusted_proxies, proxy_protocol, forwarded_header } = server;
  const clientOf = unseen.behind((peer) => peer);
  if (trusted_proxies.length === 0) return { clientOf };
  const isProxy = networksOf(trusted_proxies);
  const proxies = { isProxy, speaksFirst: proxy_protocol };
  return proxy_protocol
    ? { proxies, clientOf }
    : { proxies, clientOf: unseen.behind(clientBehind(isProxy, forwarded_header)) };
}

/** Answers the listener's own probes. The probe of another process on the same port gets an answer that says so. */
function answering(handler: Handler, own: string): Handler {
  return (request, info) => {
    const { url } = request;
    const path_at = url.indexOf("/", url.indexOf("://") + 3);
    if (!url.startsWith(PROBE_PATH, path_at)) return handler(request, info);
    return new Response(null, { status: url.slice(path_at) === own ? 204 : 421 });
  };
}

/** Opens the listener. Rejects with ListenError if the address is in use, forbidden or not of this machine. */
export async function openClientListener(options: ClientListenerOptions): Promise<ClientListener> {
  const { config, config: { server, limits }, registry, onGone, log, nonce, reuse_port = false } =
    options;
  const { host, port, websocket } = server;
  const { reserve, handler } = options;
  const path = `${PROBE_PATH}${nonce}`;
  let turned_away = 0;
  const noFile: Handler = () => {
    turned_away++;
    return problemResponse(FULL);
  };
  const unfiled = answering(noFile, path);
  const unplaced = answering(options.turnAway, path);
  const unseen = new UnseenClients(log);
  const listener = await listenClient({
    name: "client",
    host,
    port,
    websocket,
    tls: options.tls,
    reuse_port,
    log,
    reserve,
    handler: answering(handler, path),
    turnAway: (request, info, why) => (why === "files" ? unfiled : unplaced)(request, info),
    limits: doorLimits(limits),
    ...proxiesOf(config, unseen),
    onGone: (error) => onGone(`the client listener has died: ${error.message}`),
  });
  const at = new URL(listener.url).hostname.replace(/^\[|\]$/g, "");
  const proxied = server.proxy_protocol && networksOf(server.trusted_proxies)(at);
  const where = { host: at, port: listener.port, tls: options.tls !== undefined, proxied, path };
  const watch = new DoorWatch({
    url: listener.url,
    async ask(timeout_ms) {
      const others = othersAt(listener);
      const status = await probe({ ...where, timeout_ms }).catch((cause) => {
        throw othersAt(listener) === others ? cause : new Inconclusive(cause.message, { cause });
      });
      if (status === 204 || reuse_port && status === 421) return;
      throw new Error(`another server answers there, with ${status}`);
    },
    reopen: () => listener.reopen(),
    onGone,
    every_ms: limits.listener_probe_ms,
    gone_ms: limits.listener_gone_ms,
    now: options.now,
    monotonic_ms: options.monotonic_ms,
    log,
  });
  const counts = { turnedAway: () => turned_away, unseen };
  registerDoor(registry, { listener, watch, ...counts });
  return {
    ...listener,
    get stats() {
      return listener.stats;
    },
    check: () => watch.check(),
    close(grace_ms) {
      watch.close();
      return listener.close(grace_ms);
    },
  };
}

/**
 * How many other clients were answered, queued or rejected. While that grows, an unanswered probe says nothing about
 * the port: it was queued behind them, or closed for them.
 */
function othersAt({ stats: { answered, evicted, refused, accept_failures } }: Listener): number {
  return answered + evicted.address + evicted.total + refused + accept_failures;
}

interface CountedDoor {
  readonly listener: Listener;
  readonly watch: DoorWatch;
  readonly turnedAway: () => number;
  readonly unseen: UnseenClients;
}

function registerDoor(registry: Registry, door: CountedDoor): void {
  const { listener, watch, turnedAway, unseen } = door;
  const stats = () => listener.stats;
  scraped(registry, {
    "shield_strangers": ["Connections without a token so far.", () => stats().strangers],
    "shield_strangers_ended_total": [
      "Connections without a token that lost their place, by the bound that was reached.",
      "bound",
      () => stats().evicted,
    ],
    "shield_request_timeouts_total": [
      "Connections that were ended because they took too long, by what they did.",
      "phase",
      () => stats().timeouts,
    ],
    "shield_accept_failures_total": [
      "Times that no connection could be accepted, for lack of descriptors or memory.",
      () => stats().accept_failures,
    ],
    "shield_accepts_refused_total": [
      "Connections turned away: no descriptor but the reserve was left.",
      () => stats().refused + turnedAway(),
    ],
    "shield_unseen_clients_total": [
      "Requests by which a peer that is not believed names another client than before.",
      () => unseen.count,
    ],
    "shield_listener_reopened_total": [
      "Times that the client port was closed and opened again, because it did not answer.",
      () => stats().reopened,
    ],
    "shield_probe_failures_total": [
      "Questions of the process to its own client port that were not answered.",
      () => watch.failures,
    ],
  });
}
