/**
 * The scripted server of `sdk/conformance/server` as a separate process, and the requests of a driver. Not part of the
 * package.
 */
import assert from "node:assert/strict";

const PROGRAM = new URL("../../conformance/server/main.ts", import.meta.url).pathname;

/** The server's report of one run. */
export interface RunReport {
  readonly fulfilled: boolean;
  readonly failures: readonly string[];
  readonly connections: readonly { readonly token: string }[];
}

/** One running scenario. */
export interface Run {
  /** Where the client connects. */
  readonly url: string;
  signal(name: string): Promise<void>;
  /** Resolves when the server's scripts have ended, or one has failed. */
  over(): Promise<RunReport>;
  /** The present report. */
  report(): Promise<RunReport>;
}

/** A running server; it ends with the test's scope. */
export interface ScenarioServer extends AsyncDisposable {
  begin(scenario: string): Promise<Run>;
}

/** Starts it on a free port. */
export async function startScenarioServer(): Promise<ScenarioServer> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-net=127.0.0.1", "--allow-read", PROGRAM],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const { value } = await lines.read();
  assert.ok(value !== undefined, "the scripted server did not start");
  const { url } = JSON.parse(value) as { url: string };
  const ask = async (method: string, path: string): Promise<unknown> => {
    const response = await fetch(url + path, { method });
    const body = await response.json();
    assert.ok(response.ok, `${method} ${path}: ${JSON.stringify(body)}`);
    return body;
  };
  return {
    async begin(scenario) {
      const begun = await ask("POST", `/scenarios/${encodeURIComponent(scenario)}`);
      const { id, url } = begun as { id: string; url: string };
      return {
        url,
        signal: async (name) => void await ask("POST", `/runs/${id}/signals/${name}`),
        over: () => ask("GET", `/runs/${id}?until=over`) as Promise<RunReport>,
        report: () => ask("DELETE", `/runs/${id}`) as Promise<RunReport>,
      };
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.status;
      await lines.cancel();
    },
  };
}
