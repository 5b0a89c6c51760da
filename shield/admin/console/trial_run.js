// Tries a module, without upload, on recorded decisions, in a worker of this browser: nothing runs on a
// Shield. This file reads the journal and the recorded modules; the worker (`replay_worker.js`) meters and
// repeats the calls, and has no network access. `policy_trial.js` is its card.
import { segment } from "./api.js";
import { KINDS } from "./decisions.js";
import { bytes as sizeText, count } from "./format.js";
import { readText } from "./journal_lines.js";

/** Limits of one trial; `arq policy replay` has none. */
export const BOUNDS = { lines: 200_000, bytes: 536_870_912, time_ms: 300_000 };
const THREAD = new URL("./replay_worker.js", import.meta.url);
/** Lines of one answer of the journal, payloads included. */
const PAGE_LINES = 2_000;

/** An error of a trial, for a notice. */
export const failure = (message) =>
  Object.assign(new Error(message), { title: "The module was not tried" });

/** The worker, as requests and answers. */
class TrialThread {
  #worker;
  #waiting;

  /** `moduleOf(sha256)` resolves to the bytes of a recorded module, or undefined. */
  constructor(url, moduleOf, signal) {
    this.#worker = new Worker(url, { type: "module" });
    signal.addEventListener("abort", () => this.end());
    const fail = (message) => this.#waiting?.reject(failure(message));
    this.#worker.onerror = (event) => {
      event.preventDefault();
      const why = event.message ?? "it could not be loaded; the Shield's log has the reason";
      fail(`The replay worker has ended: ${why}`);
    };
    this.#worker.onmessage = async ({ data }) => {
      if (data.kind === "failed") return fail(data.message);
      if (data.kind !== "needs") return this.#waiting?.resolve(data);
      const { sha256 } = data;
      try {
        this.#worker.postMessage({ kind: "module", sha256, bytes: await moduleOf(sha256) });
      } catch (error) {
        this.#waiting?.reject(error);
      }
    };
  }

  /** The worker's answer. Rejects with its error, and with the signal's reason when aborted. */
  ask(mail, moved = []) {
    this.#waiting = Promise.withResolvers();
    this.#worker.postMessage(mail, moved);
    return this.#waiting.promise;
  }

  /** Terminates the worker at once. */
  end() {
    this.#worker.terminate();
    this.#waiting?.reject(failure("It was stopped."));
  }
}

/** The bytes of a recorded module; undefined if the bus has deleted them. */
async function recordedModule(api, tenant, sha256, signal) {
  try {
    const path = `/v1/policies/modules/${segment(sha256)}?${new URLSearchParams({ tenant })}`;
    return await api.bytes(path, signal);
  } catch (error) {
    if (error.reason === "policy-unknown") return undefined;
    throw error;
  }
}

/** One piece of the journal: its lines as bytes, and its end. */
function pieceOf(text) {
  const cut = text.lastIndexOf("\n", text.length - 2) + 1;
  let end;
  try {
    end = JSON.parse(text.slice(cut));
  } catch {
    end = undefined;
  }
  if (typeof end?.next !== "string") {
    throw failure("The journal's answer was truncated. Try again.");
  }
  return { bytes: new TextEncoder().encode(text.slice(0, cut)), end };
}

/** A tally in the form of `arq policy replay --json`. */
export function answerOf({ tally, source, sha256, policy, why }) {
  const { candidate, recorded } = tally;
  const { to_refused, to_allowed } = candidate;
  const answer = {
    ...{ policy, recorded, module: { source, sha256 }, interrupted: why !== undefined, why },
    candidate: { ...candidate, allow_to_refuse: to_refused, refuse_to_allow: to_allowed },
  };
  const rows = KINDS.flatMap(([name, kind]) =>
    candidate.samples[name].map((sample) => ({ ...sample, kind }))
  );
  return { answer, rows };
}

/**
 * Runs a module to the end of its window or to a limit; resolves to the limit as text, or undefined at the end. It
 * calls `onTally(tally, sha256, bytes)` after each piece. It rejects with the module's problem, with the API's
 * refusals, and when the signal is aborted.
 */
export async function runTrial(trial) {
  const { api, module, pages, window, signal, onTally, bounds = BOUNDS, thread_url = THREAD } =
    trial;
  const { tenant, policy, room, from_ms, until_ms } = window;
  const query = { tenant, policy, room, since_ms: from_ms, until_ms, payload: 1 };
  const moduleOf = (sha256) => recordedModule(api, tenant, sha256, signal);
  const thread = new TrialThread(thread_url, moduleOf, signal);
  try {
    const selection = { policy, tenant };
    const start = { kind: "start", bytes: module, selection, memory_limit_pages: pages };
    const { sha256 } = await thread.ask(start, [module.buffer]);
    let first_line = 1;
    for (let after, read_bytes = 0;;) {
      const page_query = { ...query, limit: PAGE_LINES, after };
      const { bytes, end } = pieceOf(await readText(api, page_query, signal));
      const size_bytes = (read_bytes += bytes.length);
      const { tally } = await thread.ask({ kind: "chunk", chunk: { first_line, bytes } });
      first_line = tally.lines + 1;
      onTally(tally, sha256, size_bytes);
      if (end.is_end) return undefined;
      if (tally.lines >= bounds.lines) {
        return `one trial is limited to ${count(bounds.lines)} records`;
      }
      if (size_bytes >= bounds.bytes) return `one trial is limited to ${sizeText(bounds.bytes)}`;
      after = end.next;
    }
  } finally {
    thread.end();
  }
}
