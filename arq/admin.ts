/**
 * The admin listener of a bus as the commands see it: which one, with which token, and its answers.
 * HTTP only; what the paths mean is in `commands/`.
 */
import { ArqonError, errorFromWire } from "@arqon/sdk";
import { CommandError, EXIT } from "./exit.ts";
import type { Io } from "./io.ts";
import { devBus, devToken, givenToken, noBus } from "./target.ts";
import type { ConnectionFlags } from "./target.ts";

/** An admin listener and a token of role admin for it. */
export interface Admin {
  /** Without a slash at its end. */
  readonly admin_url: string;
  readonly token: string;
}

/** One question to it. */
export interface AdminRequest {
  readonly method: "GET" | "PUT" | "POST" | "DELETE";
  /** With its query: "/v1/policies?tenant=acme". */
  readonly path: string;
  readonly body?: Uint8Array | string;
  /** Of the body; absent: JSON. */
  readonly content_type?: string;
}

/** Longer than the bus takes to check a module and to enforce a change. */
const REQUEST_MS = 30_000;

/** From the options, else the running development bus. Throws when there is neither. */
export async function findAdmin(io: Io, flags: ConnectionFlags): Promise<Admin> {
  const token = await givenToken(io, flags);
  const needs_bus = flags.adminUrl === undefined || token === undefined;
  const bus = needs_bus ? await devBus(io, flags) : undefined;
  const admin_url = (flags.adminUrl ?? bus?.admin_url)?.replace(/\/+$/, "");
  if (admin_url === undefined && flags.url === undefined) throw noBus(io);
  if (admin_url === undefined) {
    const hint = "its admin listener has an address of its own: give --admin-url";
    throw new CommandError(`${flags.url} is not a running development bus`, EXIT.unreachable, hint);
  }
  const own = bus !== undefined && bus.admin_url.replace(/\/+$/, "") === admin_url;
  if (token !== undefined) return { admin_url, token };
  if (own) return { admin_url, token: await devToken(io, bus, "admin") };
  throw new CommandError(
    `no token for ${admin_url}: it is not a running development bus`,
    EXIT.refused,
    "give --token or --token-file with a token of role admin; arq auth gen --role admin makes one",
  );
}

async function send(
  io: Io,
  { admin_url, token }: Admin,
  request: AdminRequest,
  signal: AbortSignal,
): Promise<Response> {
  const { method, path, body, content_type = "application/json" } = request;
  try {
    return await fetch(`${admin_url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
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

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? { ...body } : undefined;
  } catch {
    return undefined;
  }
}

/** What a refusal says, as an error; something that is no ArqonBus is `unreachable`. */
function refusal({ admin_url }: Admin, status: number, text: string): ArqonError {
  const problem = parsed(text);
  if (problem === undefined || typeof problem["reason"] !== "string") {
    return new ArqonError(
      "unreachable",
      `${admin_url}: it answers HTTP ${status}, but not as an ArqonBus does`,
    );
  }
  const { reason, detail } = problem;
  const message = typeof detail === "string" ? detail : "";
  return errorFromWire({ code: status, reason, message });
}

/** The answer's JSON object. Throws what the bus refuses with, or `unreachable`. */
export async function askAdmin(
  io: Io,
  admin: Admin,
  request: AdminRequest,
): Promise<Record<string, unknown>> {
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(REQUEST_MS)]);
  const response = await send(io, admin, request, signal);
  const text = await response.text();
  const body = response.ok ? parsed(text) : undefined;
  if (body === undefined) throw refusal(admin, response.status, text);
  return body;
}

/**
 * Reads a stream of `streamAdmin` until `enough` resolves with true. A stream that ends before that is a
 * connection that was lost; one that the signal ends throws its reason.
 */
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

/** An answer, or the problem with all its members when the bus refuses with the reason asked for. */
export interface AnswerOrProblem {
  readonly refused: boolean;
  readonly body: Record<string, unknown>;
}

/** As `askAdmin`, but a refusal with `reason` is an answer too. */
export async function askAdminOr(
  io: Io,
  admin: Admin,
  request: AdminRequest,
  reason: string,
): Promise<AnswerOrProblem> {
  const signal = AbortSignal.any([io.signal, AbortSignal.timeout(REQUEST_MS)]);
  const response = await send(io, admin, request, signal);
  const text = await response.text();
  const body = parsed(text);
  if (body === undefined || (!response.ok && body["reason"] !== reason)) {
    throw refusal(admin, response.status, text);
  }
  return { refused: !response.ok, body };
}

/** The answer's body as it comes, until the signal ends it. Throws as `askAdmin` does. */
export async function streamAdmin(
  io: Io,
  admin: Admin,
  path: string,
): Promise<ReadableStream<Uint8Array>> {
  const response = await send(io, admin, { method: "GET", path }, io.signal);
  if (response.ok && response.body !== null) return response.body;
  throw refusal(admin, response.status, await response.text());
}
