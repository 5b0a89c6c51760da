/**
 * The NATS capability of a Shield: the HTTP API of rooms for backends on the same NATS. A request on
 * `api.t.{tenant}.r.{room}.{verb}` is handled like one to the client listener, with the same tokens, limits and
 * answers. Shields do not use it among themselves. An error has the headers of NATS services (ADR-32).
 */
import type { Capability } from "../capability.ts";
import { Buffer } from "node:buffer";
import { ArqonError } from "@arqon/proto";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { scrapedGauge } from "../../shared/metrics/metrics.ts";
import { problemResponse } from "../../shared/problem.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { ALL_API, parseApiSubject } from "../../shared/subjects/subject.ts";
import { FairBound } from "../../shared/turns/fair_bound.ts";
import { authenticate, handleRequest, type HttpContext } from "../http/http.ts";

/** The most requests that a Shield answers at a time; above a tenant's share they are refused. */
const UNDER_WAY_MAX = 1_024;
/** The queue group in which Shields share the requests. */
const QUEUE = "arqon-api";
/** Headers of the transport and of browsers, which are omitted. */
const LEFT_OUT = /^(nats-|origin$|host$|connection$|content-length$|accept-encoding$)/i;

/** The HTTP method of a verb; a query is sent as the members of a JSON object. */
const VERBS: Readonly<Record<string, { readonly method: string; readonly path: string }>> = {
  publish: { method: "POST", path: "messages" },
  history: { method: "GET", path: "messages" },
  command: { method: "POST", path: "commands" },
};

interface NatsApiOptions extends Pick<Env, "registry" | "log"> {
  readonly config: Pick<Config, "nats">;
  readonly spine: Pick<Spine, "subscribe">;
}

/** Starts to answer, if `[nats] api` is set. */
export function startNatsApi(
  { config, spine, registry, log }: NatsApiOptions,
  http: HttpContext,
): { close(): void } {
  if (config.nats?.api !== true) return { close: () => {} };
  const under_way = new FairBound(UNDER_WAY_MAX);
  scrapedGauge(
    registry,
    "shield_nats_requests",
    "Requests of backends by NATS that are being answered.",
    () => under_way.total,
  );
  const answer = async (message: SpineMessage) => {
    const tenant_id = parseApiSubject(message.subject)?.tenant_id ?? "";
    const is_taken = under_way.take(tenant_id);
    try {
      const detail = `${under_way.of(tenant_id)} requests of this tenant by NATS`;
      const refusal = new ArqonError("too-many-pending", detail);
      const response = is_taken ? await respondTo(http, message) : problemResponse(refusal);
      await send(message, response).catch((error) => {
        // Of an answer that the Spine does not carry, its backend gets the reason.
        if (!(error instanceof ArqonError)) throw error;
        return send(message, problemResponse(error));
      });
    } catch (error) {
      log.warn("a backend was not answered", { subject: message.subject, error });
    } finally {
      if (is_taken) under_way.add(tenant_id, -1);
    }
  };
  const subscription = spine.subscribe(ALL_API, (message) => void answer(message), {
    queue: QUEUE,
  });
  return {
    close() {
      // Delivered requests are answered: otherwise their backends would wait for a timeout.
      subscription.drain().catch((error) =>
        log.warn("requests by NATS may be unanswered after a drain", { error })
      );
    },
  };
}

async function respondTo(http: HttpContext, message: SpineMessage): Promise<Response> {
  try {
    const parsed = parseApiSubject(message.subject);
    const verb = parsed && Object.hasOwn(VERBS, parsed.verb) ? VERBS[parsed.verb] : undefined;
    if (parsed === undefined || verb === undefined) {
      const verbs = Object.keys(VERBS).join(", ");
      throw new ArqonError("not-found", `${message.subject}: expected one of ${verbs} at its end`);
    }
    const request = requestOf(message, `/v1/rooms/${parsed.room_id}/${verb.path}`, verb.method);
    const identity = await authenticate(http, request);
    if (identity.tenant_id !== parsed.tenant_id) {
      throw new ArqonError("tenant-mismatch", `the subject belongs to tenant ${parsed.tenant_id}`);
    }
    // The token's owner has been authenticated.
    const authenticator = { authenticate: () => Promise.resolve(identity) };
    return await handleRequest({ ...http, authenticator }, request, "");
  } catch (error) {
    if (error instanceof ArqonError) return problemResponse(error);
    throw error;
  }
}

/** The equivalent HTTP request. Throws 400 for headers that HTTP does not have, and for a query that is no object. */
function requestOf({ payload, headers: given }: SpineMessage, path: string, method: string) {
  const url = new URL(path, "http://nats");
  const headers = headersOf(given);
  if (method === "GET") {
    for (const [name, value] of Object.entries(queryIn(payload))) {
      url.searchParams.set(name, String(value));
    }
    return new Request(url, { headers });
  }
  if (!headers.has("content-type")) headers.set("content-type", "application/json");
  return new Request(url, { method, headers, body: payload as Uint8Array<ArrayBuffer> });
}

function headersOf(given: SpineMessage["headers"]): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(given)) {
    if (LEFT_OUT.test(name)) continue;
    try {
      // As the listener reads the bytes of a header.
      headers.append(name, Buffer.from(value).toString("latin1"));
    } catch (cause) {
      const shown = JSON.stringify(name.slice(0, 64));
      throw new ArqonError("invalid-field", `${shown} is no header of HTTP`, { cause });
    }
  }
  return headers;
}

function queryIn(payload: Uint8Array): object {
  if (payload.length === 0) return {};
  try {
    const query: unknown = JSON.parse(new TextDecoder().decode(payload));
    if (typeof query === "object" && query !== null && !Array.isArray(query)) return query;
  } catch {
    // Reported below.
  }
  throw new ArqonError("malformed-body", 'expected a JSON object such as {"after":0,"limit":100}');
}

async function send(message: SpineMessage, response: Response): Promise<void> {
  const payload = new Uint8Array(await response.arrayBuffer());
  const type = response.headers.get("content-type");
  const headers: Record<string, string> = type === null ? {} : { "content-type": type };
  if (!response.ok) {
    headers["Nats-Service-Error-Code"] = String(response.status);
    headers["Nats-Service-Error"] = reasonIn(payload);
    const retry = response.headers.get("retry-after");
    if (retry !== null) headers["retry-after"] = retry;
  }
  message.respond(payload, headers);
}

/** The reason of a problem; "" if the body is not a problem. */
function reasonIn(payload: Uint8Array): string {
  try {
    const { reason } = JSON.parse(new TextDecoder().decode(payload));
    return typeof reason === "string" ? reason : "";
  } catch {
    return "";
  }
}

/** The capability, for a Shield's list. */
export const NATS_API: Capability = {
  name: "nats_api",
  title: "the HTTP API of rooms for backends on the same NATS",
  start(env, { http }) {
    const { close } = startNatsApi(env, http!);
    return { drain: close };
  },
};
