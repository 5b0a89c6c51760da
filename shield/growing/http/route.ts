/**
 * `POST /v1/rooms/{room}/streams`: the body of one request becomes a growing message as it arrives, by the same
 * commands as over a socket. For `curl` and for backends without an SDK; `growing.ts` has the commands.
 */
import type { IngressContext } from "../../rates/http_rates.ts";
import { ArqonError, readEnvelope, ruleOf, scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { Limits } from "../../../shared/config/schema.ts";
import { growingRoomOf } from "../../../shared/rooms/reserved.ts";
import type { Spine } from "../../../shared/spine/contract/spine.ts";
import type { Subscription } from "../../../shared/spine/contract/spine_message.ts";
import { requireRoomId, roomSubject } from "../../../shared/subjects/subject.ts";
import { httpCaller, inRequestTrace } from "../../http/route.ts";
import type { ClientCall, ClientRoute, DescribedRoute } from "../../http/route.ts";
import { inQuery, object, TEXT } from "../../openapi/openapi_parts.ts";
import { requireToken, type TokenCheck } from "../../auth/revocations.ts";
import type { Caller, Client } from "../../message/caller.ts";
import type { MessagePath } from "../../message/pipeline.ts";
import { bump } from "../../stats/stats.ts";
import { isForGood } from "../message_end.ts";
import { endingText } from "../record.ts";
import type { StartedGrowing } from "../start.ts";
import { awaitedLater } from "../../../shared/awaited_later.ts";
import { within } from "../../../shared/within.ts";

/** The most characters of one piece. */
const PIECE_UNITS = 16_384;
/** The first wait after a refusal that says no time; each further one is twice as long. */
const PAUSE_MS = 100;

/** Whether the same may be taken a moment later, on this Shield. */
function isPassing(error: unknown): error is ArqonError {
  return error instanceof ArqonError && (error.code === 429 || error.code === 503) &&
    error.reason !== "draining" && ruleOf(error.reason).client !== "never-retry";
}

/** The pieces of a body. Throws `malformed-body` for invalid UTF-8, and for a body that ends early. */
async function* bodyPieces(
  body: ReadableStream<Uint8Array> | null,
): AsyncGenerator<string, void> {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  try {
    for await (const chunk of body ?? []) yield* cut(text.decode(chunk, { stream: true }));
    yield* cut(text.decode());
  } catch (cause) {
    const detail = cause instanceof TypeError ? "not UTF-8" : "it ended early";
    throw new ArqonError("malformed-body", detail, { cause });
  }
}

/** Splits a text between characters. */
function* cut(text: string): Generator<string, void> {
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + PIECE_UNITS);
    if (end < text.length && /[\uD800-\uDBFF]/.test(text[end - 1] ?? "")) end--;
    yield text.slice(at, end);
    at = end;
  }
}

/** The dependencies of `growingRoute`. */
export interface GrowingRouteContext extends IngressContext, TokenCheck {
  readonly growing: Pick<StartedGrowing, "answer">;
  readonly path: Pick<MessagePath, "traces">;
  readonly spine: Pick<Spine, "subscribe">;
  readonly limits: Limits;
  /** Whether tokens are allowed in the URL. */
  readonly query_token: boolean;
}

const QUERY = ["id", "type"];

/** Its description. */
export const GROW: DescribedRoute = {
  method: "POST",
  template: "/v1/rooms/{room}/streams",
  about: {
    id: "grow",
    tag: "messages",
    summary: "Writes a growing message: the body as it arrives; stored whole at its end",
    query: [
      inQuery("id", "id of the message; absent: a random one", TEXT),
      inQuery("type", "type of the stored event", TEXT),
    ],
    body: { type: "text/plain", schema: TEXT, optional: true },
    answer: object({ id: TEXT, outcome: TEXT, offset: { type: "integer" } }),
    refusals: [404, 409],
  },
};

/** The route. */
export function growingRoute(context: GrowingRouteContext): ClientRoute {
  return { ...GROW, answer: (call) => answer(context, call) };
}

async function answer(context: GrowingRouteContext, call: ClientCall): Promise<Response> {
  const { request, client, url, names: { room = "" } } = call;
  requireRoomId(room);
  const query = queryOf(url, context.query_token ? ["access_token"] : []);
  const id = query.get("id") ?? crypto.randomUUID();
  const writing = new Writing(context, client, request.headers, room, id);
  bump(context.stats.ingress_ops, "http_publish");
  const content_type = request.headers.get("content-type") ?? "text/plain";
  await writing.start(query.get("type") ?? "", content_type);
  using _listening = writing.listen();
  const keeping = setInterval(() => void writing.keep(), writing.idle_ms / 3);
  const pieces = bodyPieces(request.body);
  try {
    for (;;) {
      const { done, value } = await Promise.race([pieces.next(), writing.ended]);
      if (done) break;
      await writing.add(value);
    }
    const outcome = await writing.finish();
    return Response.json(outcome, { headers: { "cache-control": "no-store" } });
  } catch (error) {
    // Nobody waits for a body that does not arrive.
    for (const end of [pieces.return(), request.body?.cancel()]) end?.catch(() => {});
    await writing.abort(error);
    throw error;
  } finally {
    clearInterval(keeping);
  }
}

/** The parameters. Throws `unknown-field` or `repeated-field`. */
function queryOf({ searchParams }: URL, others: readonly string[]): ReadonlyMap<string, string> {
  const query = new Map<string, string>();
  for (const [name, value] of searchParams) {
    if (others.includes(name)) continue;
    const shown = JSON.stringify(name.slice(0, 64));
    if (!QUERY.includes(name)) {
      throw new ArqonError("unknown-field", `${shown}; known here: ${QUERY.join(", ")}`);
    }
    if (query.has(name)) throw new ArqonError("repeated-field", shown);
    query.set(name, value);
  }
  return query;
}

/** One message, written by a request. */
class Writing {
  readonly #context: GrowingRouteContext;
  readonly #caller: Caller;
  readonly #room_id: string;
  readonly #id: string;
  readonly #ended = Promise.withResolvers<never>();
  #seq = 0;
  /** When it began, which tells it from an earlier message with its id. */
  #started_ms = 0;
  #is_ended = false;
  /** How long it may be idle before it is abandoned. */
  idle_ms = 0;

  constructor(
    context: GrowingRouteContext,
    client: Client,
    headers: Headers,
    room_id: string,
    id: string,
  ) {
    this.#context = context;
    this.#caller = httpCaller(client, headers);
    this.#room_id = room_id;
    this.#id = id;
    awaitedLater(this.#ended.promise);
  }

  /** Rejects when another request has ended it. */
  get ended(): Promise<never> {
    return this.#ended.promise;
  }

  async start(type: string, content_type: string): Promise<void> {
    const started = await this.ask("start", { id: this.#id, type, content_type });
    const { seq, idle_ms, started_ms } = started as Readonly<
      Record<"seq" | "idle_ms" | "started_ms", number>
    >;
    [this.idle_ms, this.#started_ms] = [idle_ms, started_ms];
    // Earlier pieces are unknown: another request cannot continue it.
    if (seq === 0) return;
    throw new ArqonError("growing-conflict", `${this.#id} grows already`);
  }

  /** Watches for an end by another request, until disposed. */
  listen(): Disposable {
    const { tenant_id } = this.#caller.identity;
    const subject = roomSubject("in", tenant_id, growingRoomOf(this.#room_id) ?? "");
    const subscription: Subscription = this.#context.spine.subscribe(subject, ({ payload }) => {
      const { event } = readEnvelope(payload);
      const ended = JSON.parse(new TextDecoder().decode(event?.data));
      // Another Shield may repeat the end of an earlier one, once this one has begun.
      if (ended.op !== "end" || ended.id !== this.#id || ended.started_ms !== this.#started_ms) {
        return;
      }
      this.#end(ended.outcome, ended.reason);
    }, { reads_only: true });
    return { [Symbol.dispose]: () => subscription.unsubscribe() };
  }

  /** Adds a piece. Rejects with the refusal, also of the token, which may have expired. */
  async add(text: string): Promise<void> {
    if (text === "") return;
    const piece = { id: this.#id, seq: ++this.#seq, text };
    await this.#patiently(() => {
      this.#requireToken();
      return this.ask("append", piece);
    });
  }

  /** Ends it, and resolves with the answer. */
  async finish(): Promise<unknown> {
    return await this.#patiently(() => {
      this.#requireToken();
      return this.ask("finish", { id: this.#id });
    });
  }

  /** A body may outlive its token. */
  #requireToken(): void {
    requireToken(this.#context, this.#caller.identity);
  }

  /** Nobody can send a part of a body again: it waits, as long as a message may be idle. */
  async #patiently(ask: () => Promise<unknown>): Promise<unknown> {
    const until_ms = performance.now() + this.idle_ms;
    for (let pause_ms = PAUSE_MS;; pause_ms *= 2) {
      try {
        return await ask();
      } catch (error) {
        if (!isPassing(error)) throw error;
        const wait_ms = Math.max(error.retry_after_ms, pause_ms);
        if (performance.now() + wait_ms > until_ms) throw error;
        // Rejects when another request has ended it.
        await within(wait_ms, this.ended, () => {});
      }
    }
  }

  /** Keeps the message alive; ends it if that is refused for good. */
  async keep(): Promise<void> {
    try {
      this.#requireToken();
      await this.ask("append", { id: this.#id });
    } catch (error) {
      if (!(error instanceof ArqonError) || isForGood(error)) this.#ended.reject(error);
    }
  }

  /** Aborts it, unless it has ended or another request writes it; never rejects. */
  async abort(why: unknown): Promise<void> {
    const reason = why instanceof ArqonError ? why.reason : "internal";
    if (this.#is_ended || reason === "growing-conflict") return;
    // If this fails, the message is abandoned, and the sweep ends it.
    await this.ask("abort", { id: this.#id, reason }).catch(() => {});
  }

  /** Runs a command like a client's, and returns its answer. Rejects with the refusal. */
  async ask(verb: string, request: object): Promise<unknown> {
    const { growing, path, limits, rates, stats, tenants } = this.#context;
    const { identity } = this.#caller;
    const data = new TextEncoder().encode(JSON.stringify(request));
    const command = { name: `growing.${verb}`, data, content_type: "application/json" };
    const bytes = writeEnvelope({ room_id: this.#room_id, command });
    stats.ingress_bytes += bytes.length;
    const tenant = tenants.of(identity.tenant_id);
    tenant.ingress_messages++;
    tenant.ingress_bytes += bytes.length;
    rates.take(identity, bytes.length);
    const envelope = inRequestTrace(path, scanEnvelope(bytes, limits), this.#caller);
    const { result } = await growing.answer(this.#caller, envelope);
    return JSON.parse(new TextDecoder().decode(result));
  }

  #end(outcome: string, reason: string): void {
    this.#is_ended = true;
    this.#ended.reject(new ArqonError("growing-ended", endingText({ outcome, reason })));
  }
}
