/**
 * Opens one HTTP listener, with clear errors for a port in use or forbidden, the URL with the chosen port, and a close
 * with a time limit. The caller serves.
 */
import { ArqonError } from "@arqon/proto";
import { type DoorLimits, listenBare, listenPlain } from "../http1/listener.ts";
import type { BareListener, BareListenOptions } from "../http1/listener.ts";
import type { Handler } from "../http1/exchange.ts";
import { problemResponse } from "../problem.ts";
import { within } from "../within.ts";

/** The default time limit of `close`, in ms. */
const GRACE_MS = 2_000;
/** How long a client that reads may take for its last answer after that, in ms. */
const LAST_ANSWER_MS = 500;
/** The default limits of a port of operators, or of a test. */
const LIMITS: DoorLimits = {
  strangers: 64,
  strangers_per_address: 32,
  head_ms: 10_000,
  body_ms: 30_000,
  // Longer than clients' pools keep a connection (Go's and hyper's: 90 s), so that a reused one does not race its end.
  idle_ms: 95_000,
  answer_ms: 10_000,
  descriptors: 128,
  gone_ms: 30_000,
};

/** The address, and the handler. Absent limits: those for operators; absent `onGone`: a lost port stays closed. */
export interface ListenOptions
  extends
    Pick<BareListenOptions, "host" | "port" | "handler" | "tls" | "reuse_port" | "reserve" | "log">,
    Partial<Pick<BareListenOptions, "limits" | "onGone">> {
  readonly name: string;
}

/** An open listener; its opener closes it. */
export interface Listener extends Pick<BareListener, "port" | "stats" | "renew" | "reopen"> {
  /** `http(s)://host:port`; a wildcard host is shown as 127.0.0.1. */
  readonly url: string;
  /**
   * Stops accepting; idle connections end at once. After `grace_ms` running requests are answered 503 `draining`. A
   * client that still stalls then keeps its connection until the process ends.
   */
  close(grace_ms?: number): Promise<void>;
}

/** A listener could not be opened; `message` says which and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** Opens a listener. Throws ListenError if the address is in use, forbidden or not of this machine. */
export function listen(options: Omit<ListenOptions, "tls">): Listener {
  const { handle, answerAll } = interruptible(options.handler);
  try {
    return listenerOf(options, listenPlain(bareOptions(options, handle)), answerAll);
  } catch (cause) {
    throw refusalOf(options, cause);
  }
}

/** The options of the listener for clients, by WebSocket implementation. */
export type ClientListenOptions =
  & ListenOptions
  & Pick<BareListenOptions, "proxies" | "clientOf" | "turnAway">
  & { readonly websocket: "native" | "own" };

/** Opens the listener for clients: native sockets need the runtime's HTTP. Rejects as `listen` throws. */
export async function listenClient(options: ClientListenOptions): Promise<Listener> {
  const { handle, answerAll } = interruptible(options.handler);
  const http = options.websocket === "native" ? "runtime" : "own";
  try {
    const server = await listenBare({ ...bareOptions(options, handle), http });
    return listenerOf(options, server, answerAll);
  } catch (cause) {
    throw refusalOf(options, cause);
  }
}

function bareOptions(options: ListenOptions, handler: Handler): BareListenOptions {
  return { limits: LIMITS, onGone() {}, ...options, host: bareHost(options), handler };
}

/** The host without the brackets of an IPv6 address in a URL: `node:net` takes none. */
const bareHost = ({ host }: ListenOptions) => host.replace(/^\[(.*)\]$/, "$1");

function listenerOf(options: ListenOptions, server: BareListener, answerAll: () => void): Listener {
  return {
    url: urlOf(options, server.port),
    port: server.port,
    get stats() {
      return server.stats;
    },
    renew: (pair) => server.renew(pair),
    reopen: () => server.reopen(),
    async close(grace_ms = GRACE_MS) {
      const ended = server.shutdown();
      if (await settlesWithin(ended, grace_ms)) return;
      answerAll();
      if (await settlesWithin(ended, LAST_ANSWER_MS)) return;
      server.abandon();
    },
  };
}

function refusalOf({ name, host, port }: ListenOptions, cause: unknown): ListenError {
  return new ListenError(`${name} listener: ${reasonOf(cause, host, port)}`, { cause });
}

/** A handler that can be interrupted: every unanswered request is then answered 503 `draining`. */
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

function urlOf(options: ListenOptions, port: number): string {
  const { tls } = options;
  const host = bareHost(options);
  const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  const authority = shown.includes(":") ? `[${shown}]` : shown;
  return `${tls === undefined ? "http" : "https"}://${authority}:${port}`;
}

const settlesWithin = (promise: Promise<void>, wait_ms: number): Promise<boolean> =>
  within(wait_ms, promise.then(() => true), () => false);

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

/** Whether an error of `node:net` says that the address is of another machine; under Deno it is the second code. */
function isForeign(code: unknown): boolean {
  return code === "EADDRNOTAVAIL" || code === "EINVAL";
}
