/**
 * What a run asks a server process that goes on: its metrics as numbers, and what it logged that nobody
 * should see or somebody must. Judges nothing; a page of metrics as Prometheus takes it is `tests/peers/metrics_page.ts`.
 */

import { until } from "../../shared/testing/until.ts";

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

/**
 * Resolves when the log has the line, which comes by a pipe, some time after the answer to whoever made it happen;
 * rejects with the log when it has not within the limit of `until`.
 */
export const logged = (server: { log(): string }, line: RegExp): Promise<void> =>
  until(() => `${line} in the log:\n${server.log()}`, () => line.test(server.log()));
