/**
 * Opens one HTTP listener: clear errors for a taken or forbidden port, the URL with the port that
 * was chosen, and a close that does not wait for ever. What is served is the caller's.
 */
import { ArqonError } from "@arqon/proto";
import { listenBare } from "./http1/listener.ts";
import type { BareListener, BareListenOptions, BareListenStats } from "./http1/listener.ts";
import type { Handler } from "./http_handler.ts";
import { listenNode } from "./node_listen.ts";
import { problemResponse } from "./problem.ts";
import type { TlsPair } from "./tls_reload.ts";

/** Unless `close` is told otherwise. */
const GRACE_MS = 2_000;
/** After the grace: what a client that reads may take to get its last answer. */
const LAST_ANSWER_MS = 500;
/** A port that was let go is free at the next turn or two; longer means that somebody else took it. */
const REBIND_MS = 10_000;

/** Where to listen and what to serve there. */
export interface ListenOptions {
  /** For messages: "client", "ops", "admin". */
  readonly name: string;
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly handler: Handler;
  /** PEM texts; with them the listener speaks TLS. */
  readonly tls?: { cert: string; key: string } | undefined;
  /** Other processes serve the same port; the system deals connections out. Needs --unstable-net. */
  readonly reuse_port?: boolean;
}

/** An open listener; whoever opened it closes it. */
export interface Listener {
  /** `http(s)://host:port`; a wildcard host is shown as 127.0.0.1. */
  readonly url: string;
  readonly port: number;
  /**
   * Stops accepting; idle connections end at once. After `grace_ms` requests under way are answered
   * 503 `draining`. A client that then still stalls keeps its connection until the process ends.
   */
  close(grace_ms?: number): Promise<void>;
  /** Whether `renew` leaves open connections alone. */
  readonly renews_in_place: boolean;
  /**
   * Serves TLS with another pair from now on. Deno's own server takes it only by listening anew:
   * WebSockets that are open then end with 1001. Rejects with ListenError when the port is lost.
   */
  renew(pair: TlsPair): Promise<void>;
  /** What happens at its door; absent where the runtime does not tell. */
  readonly stats?: () => BareListenStats;
}

/** A listener could not be opened; `message` says which and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** Throws ListenError when the address is taken, forbidden or not of this machine. */
export function listen(options: ListenOptions): Listener {
  const { name, host, port, handler, tls, reuse_port } = options;
  const shared = reuse_port === true ? { reusePort: true } : {};
  const serve = { hostname: host, port, onListen() {}, ...shared, ...tls };
  const { handle, answerAll } = interruptible(handler);
  let server: Deno.HttpServer<Deno.NetAddr>;
  let closing = false;
  try {
    server = Deno.serve(serve, handle);
  } catch (cause) {
    throw new ListenError(`${name} listener: ${reasonOf(cause, host, port)}`, { cause });
  }
  return {
    url: urlOf(options, server.addr.port),
    port: server.addr.port,
    renews_in_place: false,
    async renew(pair) {
      const { port } = server.addr;
      const old = server.shutdown();
      // Whoever is slow to leave must not keep the process.
      old.catch(() => {});
      server.unref();
      server = await rebind(name, () => Deno.serve({ ...serve, ...pair, port }, handle));
      if (closing) await server.shutdown();
    },
    async close(grace_ms = GRACE_MS) {
      closing = true;
      const ended = server.shutdown();
      if (await settlesWithin(ended, grace_ms)) return;
      answerAll();
      // Not by `signal`: aborting a server that is shutting down throws where nobody can catch it.
      server.unref();
      await settlesWithin(ended, LAST_ANSWER_MS);
    },
  };
}

/** What serves clients, by what speaks WebSocket there. */
export type ClientListenOptions =
  & ListenOptions
  & (
    | { readonly websocket: "native" | "ws" }
    | ({ readonly websocket: "own" } & Pick<BareListenOptions, "limits" | "proxies" | "onGone">)
  );

/**
 * The listener of clients: with "ws" on `node:http(s)`, whose upgrades that package can take, with
 * "own" on the runtime's TCP. Rejects as `listen` throws.
 */
export async function listenClient(options: ClientListenOptions): Promise<Listener> {
  if (options.websocket === "native") return listen(options);
  const { name, host, port } = options;
  const { handle, answerAll } = interruptible(options.handler);
  const opening = options.websocket === "own"
    ? listenBare({ ...options, handler: handle })
    : listenNode({ ...options, handler: handle });
  const server = await opening.catch((cause) => {
    throw new ListenError(`${name} listener: ${reasonOf(cause, host, port)}`, { cause });
  });
  const door = "stats" in server ? server as BareListener : undefined;
  return {
    url: urlOf(options, server.port),
    port: server.port,
    renews_in_place: true,
    ...(door === undefined ? {} : { stats: () => door.stats }),
    renew: (pair) => Promise.resolve(server.renew(pair)),
    async close(grace_ms = GRACE_MS) {
      const ended = server.shutdown();
      if (await settlesWithin(ended, grace_ms)) return;
      answerAll();
      if (await settlesWithin(ended, LAST_ANSWER_MS)) return;
      server.abandon();
    },
  };
}

/** Listens on a port that this process has just let go. */
async function rebind<T>(name: string, open: () => T): Promise<T> {
  const until_ms = performance.now() + REBIND_MS;
  for (;;) {
    try {
      return open();
    } catch (cause) {
      const taken = cause instanceof Deno.errors.AddrInUse;
      if (!taken || performance.now() >= until_ms) {
        const text = cause instanceof Error ? cause.message : String(cause);
        throw new ListenError(`${name} listener: cannot listen again: ${text}`, { cause });
      }
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

/** The handler, and what answers 503 `draining` to every request that it has not answered. */
function interruptible(handler: Handler): { handle: Handler; answerAll: () => void } {
  const under_way = new Set<(response: Response) => void>();
  const handle: Handler = (request, info) =>
    new Promise((resolve, reject) => {
      under_way.add(resolve);
      const response = Promise.try(() => handler(request, info));
      response.then(resolve, reject).finally(() => under_way.delete(resolve));
    });
  const answerAll = () => {
    for (const answer of under_way) answer(problemResponse(new ArqonError("draining")));
  };
  return { handle, answerAll };
}

function urlOf({ host, tls }: ListenOptions, port: number): string {
  const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  const authority = shown.includes(":") ? `[${shown}]` : shown;
  return `${tls === undefined ? "http" : "https"}://${authority}:${port}`;
}

async function settlesWithin(promise: Promise<void>, wait_ms: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), wait_ms);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

function reasonOf(cause: unknown, host: string, port: number): string {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
  if (cause instanceof Deno.errors.AddrInUse || code === "EADDRINUSE") {
    return `port ${port} on ${host} is in use; stop the other process or choose another port (0 picks a free one)`;
  }
  const denied = cause instanceof Deno.errors.PermissionDenied ||
    cause instanceof Deno.errors.NotCapable;
  if (denied || code === "EACCES") {
    return `not allowed to listen on ${host}:${port}; ports below 1024 need root`;
  }
  if (cause instanceof Deno.errors.AddrNotAvailable || isForeign(code)) {
    return `${host} is not an address of this machine; 0.0.0.0 means all`;
  }
  return `cannot listen on ${host}:${port}: ${cause instanceof Error ? cause.message : cause}`;
}

/** What `node:net` says of an address of another machine; under Deno it is the second. */
function isForeign(code: unknown): boolean {
  return code === "EADDRNOTAVAIL" || code === "EINVAL";
}
