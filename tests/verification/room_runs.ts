/**
 * Generates runs of example reducers for `rooms_by_wasmtime.py`: a log of random commands and timers, and the result of
 * each entry in this engine. The argument is the number of commands in each log. The first line of a run has the
 * metered module in base64, each later one an entry, and the last one the end.
 */
import { Draft } from "../../brain/reducers/state/fold.ts";
import { emptyRoom, ROOM_BOUNDS, valuesDigest } from "../../brain/reducers/state/room_state.ts";
import type { LogEntry } from "../../brain/reducers/state/room_state.ts";
import { seeded } from "../../shared/testing/seeded.ts";
import { meterReducer } from "../../wasm/reducer/reducer_check.ts";
import { createApplier, runLine } from "../../arq/reducers/reducer_run.ts";

const FUEL = 10_000;
const MEMORY_PAGES = 64;
const BUILT = new URL("../../policies/build/", import.meta.url);
/** Names of each reducer's commands, and some that it does not have. */
const RUNS: Readonly<Record<string, readonly string[]>> = {
  "reducers/counter": ["add", "add", "add", "reset", "nothing"],
  "reducers/counter_rust": ["add", "add", "add", "reset", "nothing"],
  "reducers/auction": ["bid", "bid", "bid", "open", "close"],
  "reducers/quota": ["take", "take", "take", "left", "sweep"],
  "reducers/quota_rust": ["take", "take", "take", "left", "sweep"],
};

const base64 = (bytes: Uint8Array) => bytes.toBase64();

/** An entry in the form of a run's line. */
export function entryJson(entry: LogEntry) {
  const { offset, time_ms, seed, kind } = entry;
  const placed = { offset, time_ms, seed: base64(seed), kind };
  if (entry.kind === "timer") return { ...placed, key: entry.key };
  if (entry.kind === "migrate") return { ...placed, from: entry.from, deploy: entry.deploy };
  const { command, data, id, user_id, role, claims } = entry;
  return { ...placed, command, data: base64(data), id, user_id, role, claims };
}

/** A line of a synthetic log. */
function lineOf(at: number, words: readonly string[], below: (most: number) => number) {
  const texts = [String(below(1_000)), String(below(1_000) - 500), "many", "", "9".repeat(19)];
  return {
    line: at + 1,
    at_ms: 1_767_225_600_000 + at * 2_000 + below(9_000) - 4_000,
    command: words[below(words.length)]!,
    data: new TextEncoder().encode(below(10) === 0 ? "60000" : texts[Math.max(0, below(12) - 7)]!),
    user_id: `ü${below(5)}`,
    role: below(20) === 0 ? "admin" : "user",
    id: below(3) === 0 ? `i${below(40)}` : "",
    claims: below(4) === 0 ? { plan: "free", é: "1" } : {},
  };
}

if (import.meta.main) {
  const count = Number(Deno.args[0]);
  for (const [name, words] of Object.entries(RUNS)) {
    const bytes = await Deno.readFile(new URL(`${name}.wasm`, BUILT));
    const room = { room_id: "lobby", bounds: ROOM_BOUNDS };
    const metered = meterReducer(bytes, MEMORY_PAGES);
    const module = base64(metered.bytes);
    console.log(JSON.stringify({ name, module, fuel: FUEL, room: room.room_id }));
    const options = { room, fuel_limit: FUEL, memory_limit_pages: MEMORY_PAGES };
    const applier = await createApplier(bytes, options, emptyRoom());
    const numbers = seeded(1);
    const below = (most: number) => Math.floor(numbers() * most);
    for (let at = 0; at < count; at++) {
      for (const step of runLine(applier, lineOf(at, words, below), 1)) {
        const { outcome: { kind, code, reason, answer, events }, run, state } = step;
        console.log(JSON.stringify({
          entry: entryJson(step.entry),
          kind,
          code,
          reason,
          answer: base64(answer),
          events: events.map(({ type, data, to }) => [type, base64(data), to]),
          units: run?.units ?? 0,
          chain: state.chain.toHex(),
        }));
      }
    }
    // No example exposes its randomness; a draft of the last entry does.
    const drawn = new Draft(
      applier.state,
      { kind: "timer", offset: 7, seed: new Uint8Array(16) },
      0,
      { command: "", data: new Uint8Array(), id: "", user_id: "", role: "", claims: {} },
      room,
    );
    const random = [drawn.random(), drawn.random()].map(String);
    console.log(JSON.stringify({ state: valuesDigest(applier.state).toHex(), random }));
  }
}
