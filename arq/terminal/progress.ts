/** A progress bar on stderr, on a terminal only, for work that takes more than a moment. */
import type { SingleBar } from "cli-progress";

/** Time in ms before a bar is shown. */
const PATIENCE_MS = 500;
/** The unit of the count: `messages`, or `bytes`, which are shown in MiB. */
type Unit = "messages" | "bytes";
const UNITS: Readonly<Record<Unit, { readonly size: number; readonly name: string }>> = {
  messages: { size: 1, name: "messages" },
  bytes: { size: 1_048_576, name: "MiB" },
};
const format = (name: string) =>
  `{bar} {percentage}% | {value}/{total} ${name} | {rate}/s | {eta_formatted} left`;
const endless = (name: string) => `{value} ${name} | {rate}/s`;

/** A progress bar. */
export interface Progress {
  /** Shows that `done` pieces of work are finished. */
  update(done: number): void;
  stop(): void;
}

/** Makes a progress bar, which loads nothing unless `is_tty`. `total` undefined: unknown. */
export async function createProgress(
  options: { is_tty: boolean; total: number | undefined; now: () => number; unit?: Unit },
): Promise<Progress> {
  const { is_tty, total, now, unit = "messages" } = options;
  const { size, name } = UNITS[unit];
  if (!is_tty) return { update() {}, stop() {} };
  const { SingleBar } = await import("cli-progress");
  const { default: process } = await import("node:process");
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
          format: total === undefined ? endless(name) : format(name),
          stream: process.stderr,
          hideCursor: true,
          clearOnComplete: true,
          // Ctrl-C is ours: a bar that handles signals would end the process.
          gracefulExit: false,
          barsize: 30,
        });
        bar.start(Math.ceil((total ?? 0) / size), Math.floor(done / size), { rate: 0 });
      }
      const rate = Math.round(done / size * 1_000 / elapsed_ms);
      bar.update(Math.floor(done / size), { rate });
    },
    stop() {
      if (!stopped) bar?.stop();
      stopped = true;
    },
  };
}
