/**
 * A module that is tried in a browser: the console's own code with its thread, on journals made by real modules.
 * `tests/console/scenarios_trial.ts` has the page around it, and Chromium.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { bundleReplayWorker } from "../../shield/admin/console/replay_bundle.ts";
import { runTrial } from "../../shield/admin/console/trial_run.js";
import { traps } from "./testing/guest_text.ts";
import { builtModule, builtReady, MEMORY_PAGES, Recorder } from "./testing/recorded.ts";
import type { Tally } from "./tally.ts";

const TEXTS = ["hello", "malware", "good evening", "more malware"];
const SCRIPT = new Blob([await bundleReplayWorker()], { type: "text/javascript" });
const thread_url = new URL(URL.createObjectURL(SCRIPT));
const WINDOW = { tenant: "default", policy: "words", room: "", from_ms: 0, until_ms: 2e12 };

/** The records of `SAID`, as lines. */
async function lines(): Promise<string[]> {
  const recorder = new Recorder("words", await builtReady("bad_words"));
  return TEXTS.map((text) =>
    JSON.stringify(recorder.record({ payload: JSON.stringify({ text }) }))
  );
}

/** An API that gives each of these answers once, and the prebuilt modules. */
function apiOf(answers: readonly string[], modules: readonly string[] = ["bad_words"]) {
  const requests: URL[] = [];
  const left = [...answers];
  return {
    requests,
    async stream(path: string, signal: AbortSignal): Promise<ReadableStream<string>> {
      requests.push(new URL(path, "http://bus"));
      const next = left.shift();
      if (next !== undefined) return ReadableStream.from([next]);
      if (!signal.aborted) await once(signal, "abort");
      throw signal.reason;
    },
    async bytes(): Promise<Uint8Array> {
      const [name] = modules;
      if (name === undefined) throw Object.assign(new Error("gone"), { reason: "policy-unknown" });
      return await builtModule(name);
    },
  };
}

const answer = (records: readonly string[], next: string, is_end: boolean) =>
  [...records, JSON.stringify({ next, is_end })].join("\n") + "\n";

/** The messages of a trial, and its last tally. */
async function tried(
  api: ReturnType<typeof apiOf>,
  module: Uint8Array,
  bounds = { lines: 1_000, bytes: 1e9, time_ms: 60_000 },
): Promise<{ why: string | undefined; tally: Tally | undefined }> {
  let tally: Tally | undefined;
  const why = await runTrial({
    api,
    module,
    bounds,
    thread_url,
    pages: MEMORY_PAGES,
    window: WINDOW,
    signal: new AbortController().signal,
    onTally: (found: Tally) => (tally = found),
  });
  return { why, tally };
}

Deno.test("a trial reads several answers, and reports the flips of all of them", async () => {
  const [one, two, ...more] = await lines() as [string, string, ...string[]];
  const api = apiOf([answer([one, two], "7.2", false), answer(more, "8", true)]);
  const { why, tally } = await tried(api, await builtModule("content_size"));
  assert.equal(why, undefined);
  assert.equal(tally?.recorded.same, TEXTS.length);
  assert.equal(tally?.candidate.to_allowed, 2);
  assert.equal(tally?.candidate.to_refused, 0);
  assert.match(tally?.candidate.samples.to_allowed[0]?.payload ?? "", /malware/);
  assert.deepEqual(api.requests.map(({ searchParams }) => searchParams.get("after")), [
    null,
    "7.2",
  ]);
  assert.ok(api.requests.every(({ searchParams }) => searchParams.get("payload") === "1"));
});

Deno.test("a trial ends at its limits, and reports which", async () => {
  const all = await lines();
  const api = () => apiOf([answer(all, "1", false), answer(all, "2", true)]);
  const module = () => builtModule("content_size");
  const few = await tried(api(), await module(), { lines: 4, bytes: 1e9, time_ms: 60_000 });
  assert.equal(few.why, "one trial is limited to 4 records");
  assert.equal(few.tally?.decisions, 4);
  const small = await tried(api(), await module(), { lines: 1e6, bytes: 1_024, time_ms: 60_000 });
  assert.equal(small.why, "one trial is limited to 1.0 KiB");
  assert.equal(small.tally?.decisions, 4);
});

Deno.test("faults of the module count, and a missing recorded module is reported", async () => {
  const { tally } = await tried(apiOf([answer(await lines(), "1", true)], []), await traps());
  assert.deepEqual(tally?.candidate.faults, { trap: TEXTS.length });
  assert.equal(tally?.candidate.to_refused, 2);
  assert.equal(Object.values(tally?.recorded.no_module ?? {})[0], TEXTS.length);
});

Deno.test("a broken module is refused in the words of the check on a Shield", async () => {
  const broken = new TextEncoder().encode("this is no module");
  await assert.rejects(tried(apiOf([]), broken), /magic|not a WebAssembly|binary/i);
});

Deno.test("a truncated answer of the journal is not considered its end", async () => {
  const cut = (await lines()).join("\n") + "\n";
  const trial = tried(apiOf([cut]), await builtModule("content_size"));
  await assert.rejects(trial, /was truncated/);
});

Deno.test("a trial that is stopped ends at once", async () => {
  const stop = new AbortController();
  const api = apiOf([answer(await lines(), "1", false)]);
  const trial = runTrial({
    api,
    thread_url,
    module: await builtModule("content_size"),
    pages: MEMORY_PAGES,
    window: WINDOW,
    signal: stop.signal,
    // The next answer never comes.
    onTally: () => queueMicrotask(() => stop.abort(new Error("enough"))),
  });
  await assert.rejects(trial, /enough/);
  assert.equal(api.requests.length, 2);
});
