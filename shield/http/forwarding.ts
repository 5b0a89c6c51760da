/**
 * Forwards requests of clients without a socket to the Shield with their stream. Such a client receives by its stream
 * and sends by requests, each of which a load balancer may send to any Shield.
 */
import { ArqonError, ERRORS, type Reason } from "@arqon/proto";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage, Subscription } from "../../shared/spine/contract/spine_message.ts";
import { processSubject } from "../../shared/subjects/subject.ts";

/** How long another Shield may take, in ms: longer than a client rests. */
const FORWARD_MS = 10_000;
const NOTHING = new Uint8Array(0);

/** Handles a request from another Shield. Rejects with the refusal. */
type TakeForwarded = (
  headers: Readonly<Record<string, string>>,
  body: Uint8Array<ArrayBuffer>,
) => Promise<Uint8Array | void>;

/** Forwards requests between this Shield and all others. */
export class Forwarding {
  readonly #spine: Pick<Spine, "request" | "subscribe" | "flush">;
  readonly #node_id: string;
  readonly #takers = new Map<string, TakeForwarded>();
  #incoming: Subscription | undefined;
  #is_subscribed = false;

  constructor(spine: Pick<Spine, "request" | "subscribe" | "flush">, node_id: string) {
    this.#spine = spine;
    this.#node_id = node_id;
  }

  /** Receives forwarded requests of clients of this kind from now on. Rejects with `spine-unavailable`. */
  async listen(kind: string, take: TakeForwarded): Promise<void> {
    this.#takers.set(kind, take);
    if (this.#is_subscribed) return;
    const subject = processSubject("frames", this.#node_id);
    this.#incoming ??= this.#spine.subscribe(subject, (message) => void this.#onForwarded(message));
    await this.#spine.flush();
    this.#is_subscribed = true;
  }

  /**
   * Forwards a request to Shield `node`, and returns its answer. Rejects with its refusal, and with `not-found` if
   * there is no such Shield.
   */
  async forward(
    kind: string,
    node: string,
    headers: Readonly<Record<string, string>>,
    body: Uint8Array,
  ): Promise<Uint8Array> {
    const unknown = () =>
      new ArqonError("not-found", `there is no Shield ${JSON.stringify(node.slice(0, 64))}`);
    let subject;
    try {
      subject = processSubject("frames", node);
    } catch {
      throw unknown();
    }
    let reply: SpineMessage;
    try {
      const options = { timeout_ms: FORWARD_MS, headers: { ...headers, kind } };
      reply = await this.#spine.request(subject, body, options);
    } catch (error) {
      // There is no subscriber: the Shield has ended, and with it the stream.
      const reason = error instanceof ArqonError ? error.reason : undefined;
      if (reason === "brain-unavailable") throw unknown();
      if (reason !== "command-timeout") throw error;
      throw new ArqonError("spine-unavailable", `Shield ${node} did not answer`);
    }
    const { reason, message = "" } = reply.headers;
    if (reason === undefined || !(reason in ERRORS)) return reply.payload;
    throw Object.assign(new ArqonError(reason as Reason, ""), {
      message: decodeURIComponent(message),
    });
  }

  async #onForwarded(message: SpineMessage): Promise<void> {
    const { kind = "frames" } = message.headers;
    try {
      const take = this.#takers.get(kind);
      if (take === undefined) throw new ArqonError("not-found", "no such stream");
      const answer = await take(message.headers, new Uint8Array(message.payload));
      message.respond(answer ?? NOTHING, {});
    } catch (error) {
      const { reason, message: text } = error instanceof ArqonError
        ? error
        : { reason: "internal", message: "" };
      message.respond(NOTHING, { reason, message: encodeURIComponent(text.slice(0, 200)) });
    }
  }
}
