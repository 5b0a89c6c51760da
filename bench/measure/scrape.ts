/** A process's figures over HTTP, and a wait for them. */

/** A limit that is reached only if a process hangs, or is too slow for any useful figure. */
export const PATIENCE_MS = 120_000;

/** The values of a Prometheus text, by name and labels. */
export class Scrape {
  readonly #values = new Map<string, number>();

  constructor(text: string) {
    for (const line of text.split("\n")) {
      const end = line.lastIndexOf(" ");
      if (!line.startsWith("#") && end > 0) {
        this.#values.set(line.slice(0, end), Number(line.slice(end + 1)));
      }
    }
  }

  /** The sum of all series with that name whose labels contain that text, e.g. `code="0"`; 0 without any. */
  sum(name: string, label = ""): number {
    let sum = 0;
    for (const [series, value] of this.#values) {
      if (series !== name && !series.startsWith(`${name}{`)) continue;
      if (series.includes(label)) sum += value;
    }
    return sum;
  }

  /** The values of a label of the series with that name, in their order. */
  labels(name: string, label: string): string[] {
    const own = [...this.#values.keys()].filter((series) => series.startsWith(`${name}{`));
    return own.flatMap((series) => new RegExp(`${label}="([^"]*)"`).exec(series)?.[1] ?? []);
  }
}

/** Resolves when the condition holds; rejects if it never does. */
export async function until(
  holds: () => boolean | Promise<boolean>,
  what: string,
  pause_ms = 5,
): Promise<void> {
  const deadline_ms = performance.now() + PATIENCE_MS;
  while (!await holds()) {
    if (performance.now() > deadline_ms) throw new Error(`waited in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, pause_ms));
  }
}
