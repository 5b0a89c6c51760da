/** Retries requests for a log's files that are not available yet, when the server says so. */
import { waitOf } from "../connection/refusal.ts";

/** Timeout of a whole response, in ms. */
const REQUEST_MS = 30_000;
/** The largest file: a bundle of the largest entries. */
const FILE_BYTES_MAX = 256 * (2 + 65_535);

/** The last answer. */
export interface Answered {
  readonly answer: Response;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The waited time, as the end of an error's text; "": the response has no retry time. */
  readonly waited: string;
}

/** The `retry_after_ms` of a problem body; undefined for any other body. */
function askedWait(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes)).retry_after_ms;
  } catch {
    // This is not a problem body: the header counts.
    return undefined;
  }
}

/** The whole body of a response. Rejects if it is larger than any file of a log, and with the signal. */
async function bodyOf({ body }: Response, signal: AbortSignal) {
  let left = FILE_BYTES_MAX;
  const bounded = body?.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array<ArrayBuffer>>({
      transform(chunk, to) {
        left -= chunk.length;
        if (left < 0) throw new Error(`the answer has more than ${FILE_BYTES_MAX} bytes`);
        to.enqueue(chunk as Uint8Array<ArrayBuffer>);
      },
    }),
    { signal },
  );
  return new Uint8Array(await new Response(bounded).arrayBuffer());
}

/**
 * Retries while the response has a retry time, for at most `wait_ms`. Rejects as `ask` does, with `stop`, and if a
 * response is too large or too late.
 */
export async function askPatiently(
  ask: (signal: AbortSignal) => Promise<Response>,
  wait_ms: number,
  pause: (delay_ms: number) => Promise<void>,
  stop?: AbortSignal,
): Promise<Answered> {
  const begun_ms = performance.now();
  for (;;) {
    const late = AbortSignal.timeout(REQUEST_MS);
    const signal = stop === undefined ? late : AbortSignal.any([stop, late]);
    const answer = await ask(signal);
    const bytes = await bodyOf(answer, signal);
    const is_early = answer.status === 429 || answer.status === 503;
    const again_ms = is_early ? waitOf(askedWait(bytes), answer.headers) : 0;
    if (again_ms === 0) return { answer, bytes, waited: "" };
    const waited_ms = performance.now() - begun_ms;
    if (waited_ms + again_ms > wait_ms) {
      return { answer, bytes, waited: `; waited ${Math.round(waited_ms / 1_000)} s for it` };
    }
    await pause(again_ms);
  }
}
