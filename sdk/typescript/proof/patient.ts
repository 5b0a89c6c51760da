/** Files of a log that cannot be given yet: whoever serves them says when to ask again, and is asked again then. */
import { waitOf } from "../connection/auth_check.ts";

/** The last answer. */
export interface Answered {
  readonly answer: Response;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** How long that took, to be the end of an error's text; "": the answer does not say that it may come. */
  readonly waited: string;
}

/** Asks until the answer is none that says when to come again, for at most `wait_ms`. Rejects as `ask` does. */
export async function askPatiently(
  ask: () => Promise<Response>,
  wait_ms: number,
  pause: (delay_ms: number) => Promise<void>,
): Promise<Answered> {
  const begun_ms = performance.now();
  for (;;) {
    const answer = await ask();
    const bytes = new Uint8Array(await answer.arrayBuffer());
    const is_early = answer.status === 429 || answer.status === 503;
    const again_ms = is_early ? waitOf(new TextDecoder().decode(bytes), answer.headers) : 0;
    if (again_ms === 0) return { answer, bytes, waited: "" };
    const waited_ms = performance.now() - begun_ms;
    if (waited_ms + again_ms > wait_ms) {
      return { answer, bytes, waited: `; waited ${Math.round(waited_ms / 1_000)} s for it` };
    }
    await pause(again_ms);
  }
}
