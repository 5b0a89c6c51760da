/** A publisher through faults: a source that is reopened when its connection is lost, and the answers that it got. */
import type { HttpPeer } from "../peers/http_peer.ts";
import type { Sent } from "./model.ts";
import { openSource, type Outcome, type Source, type Way } from "./sources.ts";

/** A later answer no longer counts. */
const TRY_MS = 10_000;

/** Rejects if `work` takes longer. */
export async function within<T>(work: Promise<T>, limit_ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer in ${limit_ms} ms`)), limit_ms);
  work.catch(() => {});
  return await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function closed(source: Source | undefined): Promise<void> {
  try {
    await source?.[Symbol.asyncDispose]();
  } catch {
    // Its connection is already closed.
  }
}

/** The outcome of a message; undefined: no answer, or a temporary refusal. */
export type Tried = Outcome | undefined;

/** Publishes through one source at a time. */
export class Publisher implements AsyncDisposable {
  readonly #opened: Promise<Source | undefined>[] = [];
  #source: Source | undefined;
  #key = "";

  /** Tries once. Another source, or another token, gets a new connection. */
  async try(way: Way, messages: readonly Sent[]): Promise<Tried[]> {
    const key = `${way.row.source} ${way.token}`;
    if (key !== this.#key) await this.drop();
    this.#key = key;
    try {
      this.#source ??= await within(this.#open(way), TRY_MS);
      const outcomes = await within(this.#source.publish(messages), TRY_MS);
      // The SDK reports a missing answer as 408.
      return outcomes.map((one) => /^5|^408 answer-timeout/.test(one.refusal) ? undefined : one);
    } catch {
      await this.drop();
      return messages.map(() => undefined);
    }
  }

  /** A source; one that opens too late is closed at the end. */
  async #open(way: Way): Promise<Source> {
    const opening = openSource(way);
    this.#opened.push(opening.catch(() => undefined));
    return await opening;
  }

  async drop(): Promise<void> {
    await closed(this.#source);
    this.#source = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of this.#opened) await closed(await opened);
  }
}

/** A backend publishes in the room; returns whether it was accepted. */
export async function saySomething(
  { backend, room }: { readonly backend: HttpPeer; readonly room: string },
  data: object,
  message_id?: string,
): Promise<boolean> {
  const message = { type: "end", data, ...(message_id === undefined ? {} : { message_id }) };
  try {
    const answered = backend.call("POST", `rooms/${room}/messages`, message);
    return (await within(answered, TRY_MS)).status === 200;
  } catch {
    return false;
  }
}
