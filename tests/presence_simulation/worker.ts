/** Runs its share of the seeds on its own thread. */
import { simulate, type Tally } from "./simulate.ts";

/** The worker's order. */
export interface Share {
  readonly first: number;
  readonly count: number;
  readonly step: number;
}

interface Thread {
  onmessage: ((event: MessageEvent<Share>) => void) | null;
  postMessage(tally: Tally): void;
}

const thread = globalThis as unknown as Thread;
thread.onmessage = ({ data: { first, count, step } }) => {
  thread.postMessage(simulate(first, count, step));
};
