/**
 * Opens one HTTP listener: clear errors for a taken or forbidden port, the URL with the port that
 * was chosen, and a close that does not wait for ever. What is served is the caller's.
 */
import { ArqonError } from "@arqon/proto";
import { problemResponse } from "./problem.ts";

/** After the grace: what a client that reads may take to get its last answer. */
const LAST_ANSWER_MS = 500;

/** Answers one request; must not reject, or the client gets a bare 500. */
export type Handler = (
  request: Request,
  info: Deno.ServeHandlerInfo<Deno.NetAddr>,
) => Response | Promise<Response>;

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
}

/** A listener could not be opened; `message` says which and what to do. */
export class ListenError extends Error {
  override readonly name = "ListenError";
}

/** Throws ListenError when the address is taken, forbidden or not of this machine. */
export function listen(options: ListenOptions): Listener {
  const { name, host, port, handler, tls } = options;
  const serve = { hostname: host, port, onListen() {}, ...tls };
  /** What ends each request under way. */
  const under_way = new Set<(response: Response) => void>();
  const handle: Handler = (request, info) =>
    new Promise((resolve, reject) => {
      under_way.add(resolve);
      const response = Promise.try(() => handler(request, info));
      response.then(resolve, reject).finally(() => under_way.delete(resolve));
    });
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve(serve, handle);
  } catch (cause) {
    throw new ListenError(`${name} listener: ${reasonOf(cause, host, port)}`, { cause });
  }
  const shown = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host;
  const authority = shown.includes(":") ? `[${shown}]` : shown;
  return {
    url: `${tls === undefined ? "http" : "https"}://${authority}:${server.addr.port}`,
    port: server.addr.port,
    async close(grace_ms = 2_000) {
      const ended = server.shutdown();
      if (await settlesWithin(ended, grace_ms)) return;
      for (const answer of under_way) answer(problemResponse(new ArqonError("draining")));
      // Not by `signal`: aborting a server that is shutting down throws where nobody can catch it.
      server.unref();
      await settlesWithin(ended, LAST_ANSWER_MS);
    },
  };
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
  if (cause instanceof Deno.errors.AddrInUse) {
    return `port ${port} on ${host} is in use; stop the other process or choose another port (0 picks a free one)`;
  }
  if (cause instanceof Deno.errors.PermissionDenied || cause instanceof Deno.errors.NotCapable) {
    return `not allowed to listen on ${host}:${port}; ports below 1024 need root`;
  }
  if (cause instanceof Deno.errors.AddrNotAvailable) {
    return `${host} is not an address of this machine; 0.0.0.0 means all`;
  }
  return `cannot listen on ${host}:${port}: ${cause instanceof Error ? cause.message : cause}`;
}
