/**
 * Requests to the admin listener of a bus: which listener, with which token, and how answers are read. HTTP only; the
 * files in `commands/` give the paths their meaning.
 */
import { ArqonError } from "@arqon/proto";
import { errorFromWire } from "../../sdk/typescript/wire/wire_error.ts";
import { endedBy, textOf } from "../../shared/listeners/answer_body.ts";
import { CommandError, EXIT } from "../terminal/exit.ts";
import type { Io } from "../terminal/io.ts";
import { findTarget, givenToken, noBus, refusedToken, tokenRenewal } from "./target.ts";
import type { Target } from "./target.ts";
import type { ConnectionFlags } from "../program/flags.ts";

/** An admin listener, and a token of role admin for it. */
export interface Admin {
  /** Address of the listener, without a slash at its end. */
  readonly admin_url: string;
  readonly token: string;
  /** What to do when the token is refused; absent when there is no advice for this token. */
  readonly renewal?: string | undefined;
}

/** A listener, and a token if it requires one. */
type Listener = Pick<Admin, "admin_url"> & { readonly token: string | undefined };

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
  if (admin_url === undefined) throw noAdmin(io, flags, target);
  if (token !== undefined) return { admin_url, token, renewal };
  const is_own = target?.admin_url?.replace(/\/+$/, "") === admin_url;
  if (target !== undefined && (is_own || target.is_named)) {
    return { admin_url, token: await target.token("admin"), renewal };
  }
  throw new CommandError(
    `no token for ${admin_url}: it is not a running development bus`,
    EXIT.refused,
    "give --token or --token-file with a token of role admin, or --context; " +
      "arq auth gen --role admin makes one",
  );
}

function noAdmin(io: Io, { url }: ConnectionFlags, target: Target | undefined): CommandError {
  if (target?.context !== undefined) {
    const { name } = target.context;
    const hint = `arq context add ${name} --update --admin-url http://…, or give --admin-url`;
    return new CommandError(`context ${name} has no admin URL`, EXIT.unreachable, hint);
  }
  if (url === undefined) return noBus(io);
  const hint = "its admin listener has an address of its own: give --admin-url";
  return new CommandError(`${url} is not a running development bus`, EXIT.unreachable, hint);
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
    throw new ArqonError(
      "unreachable",
      `${admin_url}: ${cause instanceof Error ? cause.message : cause}`,
    );
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

/** The parameters that are set, as a query. */
export function queryOf(all: Readonly<Record<string, unknown>>): URLSearchParams {
  const given = Object.entries(all).filter(([, value]) => value !== undefined);
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)]));
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? { ...body } : undefined;
  } catch {
    return undefined;
  }
}

/** The error for a refusal. An answer that is not ArqonBus's becomes `unreachable`. */
function refusal({ admin_url, renewal }: Admin, status: number, text: string): unknown {
  const problem = parsed(text);
  if (problem === undefined || typeof problem["reason"] !== "string") {
    return new ArqonError(
      "unreachable",
      `${admin_url}: HTTP ${status}, but the answer is not ArqonBus's`,
    );
  }
  const { reason, detail } = problem;
  const message = typeof detail === "string" ? detail : "";
  return refusedToken(errorFromWire({ code: status, reason, message }), renewal);
}

/** The JSON object of the answer to a request. Throws the bus's refusal, or `unreachable`. */
export async function askAdmin(
  io: Io,
  admin: Admin,
  request: AdminRequest,
): Promise<Record<string, unknown>> {
  const { response, text } = await exchange(io, admin, request);
  const body = response.ok ? parsed(text) : undefined;
  if (body === undefined) throw refusal(admin, response.status, text);
  return body;
}

/** The listener's time from its `Date` header, in Unix ms; undefined without one. Rejects as `askAdmin`. */
async function dateOf(io: Io, admin: Admin): Promise<number | undefined> {
  const { response, text } = await exchange(io, admin, { method: "GET", path: "/v1/access" });
  if (!response.ok) throw refusal(admin, response.status, text);
  const date_ms = Date.parse(response.headers.get("date") ?? "");
  return Number.isNaN(date_ms) ? undefined : date_ms;
}

/** Reads a stream until `enough` resolves to true; a stream that ends earlier is a lost connection. */
export async function follow(io: Io, admin: Admin, enough: () => Promise<boolean>): Promise<void> {
  try {
    if (await enough()) return;
  } catch (error) {
    io.signal.throwIfAborted();
    if (!(error instanceof TypeError)) throw error;
  }
  io.signal.throwIfAborted();
  throw new ArqonError("connection-lost", `${admin.admin_url} ended the stream`);
}

/** The answer of the bus, or its problem with all members when it refuses with an expected reason. */
interface AnswerOrProblem {
  readonly refused: boolean;
  readonly body: Record<string, unknown>;
}

/** Sends a request as `askAdmin` does, but returns a refusal with `reason` instead of throwing it. */
export async function askAdminOr(
  io: Io,
  admin: Admin,
  request: AdminRequest,
  reason: string,
): Promise<AnswerOrProblem> {
  const { response, text } = await exchange(io, admin, request);
  const body = parsed(text);
  if (body === undefined || (!response.ok && body["reason"] !== reason)) {
    throw refusal(admin, response.status, text);
  }
  return { refused: !response.ok, body };
}

/** The answer's body as a stream, until the signal ends it. Throws as `askAdmin` does. */
export async function streamAdmin(
  io: Pick<Io, "signal">,
  admin: Admin,
  path: string,
): Promise<ReadableStream<Uint8Array>> {
  const response = await send(io, admin, { method: "GET", path }, io.signal);
  if (response.ok && response.body !== null) return endedBy(response.body, io.signal);
  throw refusal(admin, response.status, await textOf(response, io.signal));
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

/** Unix ms by the clock of the Shield that answers; by the local clock when it sends none. Rejects as `askAdmin`. */
export async function busNow(io: Io, admin: Admin): Promise<number> {
  const sent_ms = io.now();
  const date_ms = await dateOf(io, admin);
  const received_ms = io.now();
  if (date_ms === undefined) return received_ms;
  return received_ms + clockOffset_ms({ date_ms, sent_ms, received_ms });
}

/** The time this many seconds ago by `busNow`; undefined for undefined, without a request. */
export async function busAgo(io: Io, admin: Admin, seconds: number): Promise<number>;
export async function busAgo(
  io: Io,
  admin: Admin,
  seconds: number | undefined,
): Promise<number | undefined>;
export async function busAgo(
  io: Io,
  admin: Admin,
  seconds: number | undefined,
): Promise<number | undefined> {
  if (seconds === undefined) return undefined;
  return Math.max(0, Math.trunc(await busNow(io, admin) - 1_000 * seconds));
}

/** The same for data of a bus; for data of a file (no `admin`) by the local clock. */
export async function agoIn(io: Io, admin: Admin | undefined, seconds: number): Promise<number> {
  return admin === undefined ? io.now() - 1_000 * seconds : await busAgo(io, admin, seconds);
}
