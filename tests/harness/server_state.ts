/**
 * Queries of a running server process: its metrics as numbers, and log lines that must or must not appear. Judges
 * nothing; `tests/peers/metrics_page.ts` has a page of metrics as Prometheus reads it.
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

/** The present samples of a process's ops listener. */
export async function samplesOf(ops_url: string | undefined): Promise<Map<string, number>> {
  return readSamples(await (await fetch(`${ops_url}/metrics`)).text());
}

/** One of those samples; 0 if there is none yet. */
export const sampleAt = async (ops_url: string | undefined, series: string): Promise<number> =>
  (await samplesOf(ops_url)).get(series) ?? 0;

/** The error lines of a log in logfmt. */
export function errorsIn(log: string): readonly string[] {
  return log.match(ERROR) ?? [];
}

/**
 * Resolves when the log has the line, which arrives by a pipe, some time after the answer to its cause; rejects with
 * the log when it does not appear within the limit of `until`.
 */
export const logged = (server: { log(): string }, line: RegExp): Promise<void> =>
  until(() => `${line} in the log:\n${server.log()}`, () => line.test(server.log()));
