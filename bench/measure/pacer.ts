/**
 * A thread that raises a counter in shared memory at a constant rate and wakes the threads that wait for it.
 * `setTimeout` has steps of a millisecond, in which ten of 10,000 messages per second would come at once; a
 * blocking wait is precise to some ten microseconds. It knows nothing of messages.
 */

/** The plan for the thread, which takes one at a time. */
export interface PacerPlan {
  /** Two words: how many messages are due, and whether to stop (not 0). */
  readonly control: SharedArrayBuffer;
  readonly rate: number;
  readonly total: number;
  /** Time of the first message in Unix ms, with its fraction. */
  readonly start_ms: number;
}

/** Index of the counter of due messages. */
export const DUE = 0;

const unixMs = () => performance.timeOrigin + performance.now();

function pace({ control, rate, total, start_ms }: PacerPlan): void {
  const words = new Int32Array(control);
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (let raised = 0; raised < total;) {
    const elapsed_ms = unixMs() - start_ms;
    const due = Math.min(total, Math.floor(elapsed_ms * rate / 1_000) + 1);
    if (due > raised) {
      raised = due;
      Atomics.store(words, DUE, due);
      Atomics.notify(words, DUE);
    }
    const wait_ms = start_ms + raised * 1_000 / rate - unixMs();
    if (wait_ms > 0) Atomics.wait(sleeper, 0, 0, wait_ms);
  }
}

const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<PacerPlan>) => void) | null;
};
scope.onmessage = ({ data }) => pace(data);
