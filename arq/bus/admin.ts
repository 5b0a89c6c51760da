/**
 * Requests to the admin listener of a bus: which listener, with which token, and how answers are read. HTTP only; the
 * files in `commands/` give the paths their meaning.
 */
import { ArqonError } from "@arqon/proto";
import type { z } from "zod";
import { errorFromWire } from "../../sdk/typescript/wire/wire_error.ts";
import { endedBy, textOf } from "../../shared/listeners/answer_body.ts";
import { CommandError, EXIT, whyOf } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";
import { findTarget, givenToken, noListener, refusedToken, tokenRenewal } from "./target.ts";
import type { ConnectionFlags } from "../program/flags.ts";

/** A listener, and a token if it requires one. */
interface Listener {
  /** Address of the listener, without a slash at its end. */
  readonly admin_url: string;
  readonly token: string | undefined;
}

/** One request to an admin listener. */
export interface AdminRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** The path with its query: "/v1/policies?tenant=acme". */
  readonly path: string;
  readonly body?: Uint8Array | string;
  /** Content type of the body; absent: JSON. */
  readonly content_type?: string;
}

/** Longer than the bus needs to check a module and to enforce a change. */
const REQUEST_MS = 30_000;

/** The admin listener and token of the options, else of the bus that `findTarget` finds. */
export async function findAdmin(io: Io, flags: ConnectionFlags): Promise<Admin> {
  const token = await givenToken(io, flags);
  const needs_bus = flags.adminUrl === undefined || token === undefined;
  const target = needs_bus ? await findTarget(io, flags) : undefined;
  const admin_url = (flags.adminUrl ?? target?.admin_url)?.replace(/\/+$/, "");
  const renewal = tokenRenewal(io, flags, target, "admin");
  if (admin_url === undefined) throw noListener(io, flags, target, "admin");
  if (token !== undefined) return new Admin(io, admin_url, token, renewal);
  const is_own = target?.admin_url?.replace(/\/+$/, "") === admin_url;
  if (target !== undefined && (is_own || target.is_named)) {
    return new Admin(io, admin_url, await target.token("admin"), renewal);
  }
  throw new CommandError(
    `no token for ${admin_url}: it is not a running development bus`,
    EXIT.refused,
    "give --token or --token-file with a token of role admin, or --context; " +
      "arq auth gen --role admin makes one",
  );
}

async function send(
  io: Pick<Io, "signal">,
  { admin_url, token }: Listener,
  request: AdminRequest,
  signal: AbortSignal,
): Promise<Response> {
  const { method, path, body, content_type = "application/json" } = request;
  try {
    return await fetch(`${admin_url}${path}`, {
      method,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { "content-type": content_type }),
      },
      ...(body === undefined ? {} : { body: body as string | Uint8Array<ArrayBuffer> }),
      redirect: "manual",
      signal,
    });
  } catch (error) {
    io.signal.throwIfAborted();
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    throw new ArqonError("unreachable", `${admin_url}: ${whyOf(cause)}`);
  }
}

/** Sends a request and reads its answer. Throws `unreachable`. */
export async function exchange(
  io: Pick<Io, "signal">,
  listener: Listener,
  request: AdminRequest,
  timeout_ms: number = REQUEST_MS,
  max_bytes?: number,
): Promise<{ readonly response: Response; readonly text: string }> {
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(timeout_ms)]);
  const response = await send(io, listener, request, signal);
  return { response, text: await textOf(response, signal, max_bytes) };
}

/** The parameters of a request. */
type Query = Readonly<Record<string, unknown>>;

/** The path with the parameters that are set. */
export function withQuery(path: string, all: Query): string {
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
  return query.size === 0 ? path : `${path}?${query}`;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? { ...body } : undefined;
  } catch {
    return undefined;
  }
}

/** The answer of the bus, or its problem with all members when it refuses with an expected reason. */
interface AnswerOrProblem {
  readonly refused: boolean;
  readonly body: Record<string, unknown>;
}

/** An admin listener that commands ask, with a token of role admin for it. */
export class Admin implements Listener {
  readonly io: Io;
  readonly admin_url: string;
  readonly token: string;
  /** What to do when the token is refused; undefined when there is no advice for this token. */
  readonly #renewal: string | undefined;

  constructor(io: Io, admin_url: string, token: string, renewal?: string) {
    this.io = io;
    this.admin_url = admin_url;
    this.token = token;
    this.#renewal = renewal;
  }

  /** The JSON object of the answer to a request. Throws the bus's refusal, or `unreachable`. */
  async ask(request: AdminRequest): Promise<Record<string, unknown>> {
    const { response, text } = await exchange(this.io, this, request);
    const body = response.ok ? parsed(text) : undefined;
    if (body === undefined) throw this.#refusal(response.status, text);
    return body;
  }

  /** The answer to a GET with these parameters; undefined ones are left out. Throws as `ask` does. */
  async get(path: string, query: Query = {}): Promise<Record<string, unknown>> {
    return await this.ask({ method: "GET", path: withQuery(path, query) });
  }

  /** An answer as `schema` reads it. Throws `CommandError` for any other answer. */
  as<T extends z.ZodType>(schema: T, answer: unknown): z.output<T> {
    const read = schema.safeParse(answer);
    if (read.success) return read.data;
    throw new CommandError(`${this.admin_url} answers, but not like an ArqonBus`);
  }

  /** Sends a request as `ask` does, but returns a refusal with `reason` instead of throwing it. */
  async askOr(request: AdminRequest, reason: string): Promise<AnswerOrProblem> {
    const { response, text } = await exchange(this.io, this, request);
    const body = parsed(text);
    if (body === undefined || (!response.ok && body["reason"] !== reason)) {
      throw this.#refusal(response.status, text);
    }
    return { refused: !response.ok, body };
  }

  /** The answer's body as a stream, until the signal ends it. Throws as `ask` does. */
  async stream(
    path: string,
    query: Query = {},
    signal = this.io.signal,
  ): Promise<ReadableStream<Uint8Array>> {
    const request = { method: "GET", path: withQuery(path, query) } as const;
    const response = await send({ signal }, this, request, signal);
    if (response.ok && response.body !== null) return endedBy(response.body, signal);
    throw this.#refusal(response.status, await textOf(response, signal));
  }

  /** The bytes of the answer. Throws as `ask` does. */
  async bytes(path: string, query: Query = {}): Promise<Uint8Array<ArrayBuffer>> {
    return await new Response(await this.stream(path, query)).bytes();
  }

  /** Unix ms by the clock of the Shield that answers; by the local clock when it sends none. Throws as `ask` does. */
  async now(): Promise<number> {
    const sent_ms = this.io.now();
    const { response, text } = await exchange(this.io, this, { method: "GET", path: "/v1/access" });
    if (!response.ok) throw this.#refusal(response.status, text);
    const received_ms = this.io.now();
    const date_ms = Date.parse(response.headers.get("date") ?? "");
    if (Number.isNaN(date_ms)) return received_ms;
    return received_ms + clockOffset_ms({ date_ms, sent_ms, received_ms });
  }

  /** The time this many seconds ago by `now`; undefined for undefined, without a request. */
  ago(seconds: number): Promise<number>;
  ago(seconds: number | undefined): Promise<number | undefined>;
  async ago(seconds: number | undefined): Promise<number | undefined> {
    if (seconds === undefined) return undefined;
    return Math.max(0, Math.trunc(await this.now() - 1_000 * seconds));
  }

  /** Reads a stream until `enough` resolves to true; a stream that ends earlier is a lost connection. */
  async follow(enough: () => Promise<boolean>): Promise<void> {
    const { signal } = this.io;
    try {
      if (await enough()) return;
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof TypeError)) throw error;
    }
    signal.throwIfAborted();
    throw new ArqonError("connection-lost", `${this.admin_url} ended the stream`);
  }

  /** The error for a refusal. An answer that is not ArqonBus's becomes `unreachable`. */
  #refusal(status: number, text: string): unknown {
    const { reason, detail } = parsed(text) ?? {};
    if (typeof reason !== "string") {
      const what = `HTTP ${status}, but the answer is not ArqonBus's`;
      return new ArqonError("unreachable", `${this.admin_url}: ${what}`);
    }
    const message = typeof detail === "string" ? detail : "";
    return refusedToken(errorFromWire({ code: status, reason, message }), this.#renewal);
  }
}

/** When a server answered, by both clocks. */
export interface TimeAnswer {
  /** Time of the answer's Date header, which has whole seconds. */
  readonly date_ms: number;
  readonly sent_ms: number;
  readonly received_ms: number;
  readonly server: string;
}

/** How far our clock is behind the server's in ms; 0 when the answer does not rule out that ours is right. */
export function clockOffset_ms(
  { date_ms, sent_ms, received_ms }: Pick<TimeAnswer, "date_ms" | "sent_ms" | "received_ms">,
): number {
  const least = date_ms - received_ms;
  const most = date_ms + 1_000 - sent_ms;
  if (least > 0) return least;
  return most < 0 ? most : 0;
}
