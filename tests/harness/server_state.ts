/**
 * What a run asks a server process that goes on: its metrics as numbers, and what it logged that nobody
 * should see. Judges nothing; a page of metrics as Prometheus takes it is `tests/peers/metrics_page.ts`.
 */

const LINE = /^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^}]*\})?) ([0-9.e+-]+)$/gm;
const ERROR = /^.*level=error .*$/gm;

/** The samples of one exposition, by name with labels. */
export function readSamples(text: string): Map<string, number> {
  return new Map(
    [...text.matchAll(LINE)].map(([, name = "", value]) => [name, Number(value)]),
  );
}

/** Those that a process shows now at its ops listener. */
export async function samplesOf(ops_url: string | undefined): Promise<Map<string, number>> {
  return readSamples(await (await fetch(`${ops_url}/metrics`)).text());
}

/** The lines of a log, in logfmt, that are errors. */
export function errorsIn(log: string): readonly string[] {
  return log.match(ERROR) ?? [];
}
