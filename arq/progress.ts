/**
 * A progress bar on stderr for work that takes a while: only on a terminal, only after a moment.
 */
import process from "node:process";
import { SingleBar } from "cli-progress";

/** Work shorter than this needs no bar, in ms. */
const PATIENCE_MS = 500;
const FORMAT = "{bar} {percentage}% | {value}/{total} messages | {rate}/s | {eta_formatted} left";
const ENDLESS = "{value} messages | {rate}/s";

/** Shows how far a run is. */
export interface Progress {
  /** `done` pieces are finished. */
  update(done: number): void;
  /** Removes the bar. */
  stop(): void;
}

/** Shows nothing unless `is_tty`. `total` is undefined when nobody knows it. */
export function createProgress(
  options: { is_tty: boolean; total: number | undefined; now: () => number },
): Progress {
  const { is_tty, total, now } = options;
  if (!is_tty) return { update() {}, stop() {} };
  const started_ms = now();
  let bar: SingleBar | undefined;
  let stopped = false;
  return {
    update(done) {
      if (stopped) return;
      const elapsed_ms = now() - started_ms;
      if (bar === undefined) {
        if (elapsed_ms < PATIENCE_MS) return;
        bar = new SingleBar({
          format: total === undefined ? ENDLESS : FORMAT,
          stream: process.stderr,
          hideCursor: true,
          clearOnComplete: true,
          // Ctrl-C is ours: a bar that handles signals would end the process under us.
          gracefulExit: false,
          barsize: 30,
        });
        bar.start(total ?? 0, done, { rate: 0 });
      }
      bar.update(done, { rate: Math.round(done * 1_000 / elapsed_ms) });
    },
    stop() {
      if (!stopped) bar?.stop();
      stopped = true;
    },
  };
}
