/**
 * When a watched bucket counts as complete, on a bucket and a connection that the test controls. Real engines are in
 * the tests of its two users: `shield/auth/bans_test.ts` and `shield/auth/revocations_test.ts`.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import fc from "fast-check";
import { keptLog } from "../testing/logs.ts";
import { turn } from "../testing/pace.ts";
import type {
  KeyValue,
  KvChange,
  KvEntry,
  KvKey,
  KvWatch,
  Spine,
  SpineEvent,
  SpineState,
} from "./contract/spine.ts";
import { type EntryReader, type EntryTable, WatchedBucket } from "./watched_bucket.ts";

interface Scripted {
  readonly onChange: (change: KvChange) => void;
  readonly ready: PromiseWithResolvers<void>;
  /** Undelivered changes; undefined: the end of the listing. */
  readonly waiting: (KvChange | undefined)[];
}

/**
 * The store, the connection to it, and the watches of it, all controlled by the test: it decides when watches deliver,
 * and a disconnect loses undelivered changes.
 */
class ScriptedBucket {
  readonly #stored = new Map<string, KvEntry>();
  readonly #listeners = new Set<(event: SpineEvent) => void>();
  readonly #watches = new Set<Scripted>();
  #revision = 0;
  #state: SpineState = "connected";
  /** Watches begun so far, including failed ones. */
  begun = 0;

  /** The bucket for its reader. */
  get bucket(): KeyValue {
    const watch: KeyValue["watch"] = (_prefix, onChange) => this.#watch(onChange);
    return { watch } as KeyValue;
  }

  /** The Spine for its reader. */
  get spine(): Pick<Spine, "status" | "onEvent"> {
    const status = () => this.#status();
    return {
      get status() {
        return status();
      },
      onEvent: (listener) => {
        this.#listeners.add(listener);
        return () => void this.#listeners.delete(listener);
      },
    };
  }

  get entries(): readonly KvEntry[] {
    return [...this.#stored.values()];
  }

  /** Whether every watch has delivered all. */
  get is_delivered(): boolean {
    return [...this.#watches].every(({ waiting }) => waiting.length === 0);
  }

  get open(): number {
    return this.#listeners.size + this.#watches.size;
  }

  put(key: KvKey, text: string): KvEntry {
    const entry = { key, value: new TextEncoder().encode(text), revision: ++this.#revision };
    this.#stored.set(JSON.stringify(key), entry);
    this.#queue({ type: "put", ...entry });
    return entry;
  }

  delete(key: KvKey): void {
    if (!this.#stored.delete(JSON.stringify(key))) return;
    this.#queue({ type: "delete", key, revision: ++this.#revision });
  }

  /** Replaces the bucket by a new, empty one, without a notification. */
  replace(): void {
    this.#stored.clear();
    this.#revision = 0;
  }

  /** Delivers this many changes, or all; a listing's end counts as one. */
  async deliver(count: number = Infinity): Promise<void> {
    for (let delivered = 0; delivered < count; delivered++) {
      const watch = [...this.#watches].find(({ waiting }) => waiting.length > 0);
      if (watch === undefined) return;
      const change = watch.waiting.shift();
      if (change === undefined) {
        watch.ready.resolve();
        await turn();
      } else watch.onChange(change);
    }
  }

  /** Notifies the listeners; while disconnected nothing is delivered, and undelivered changes are lost. */
  turnTo(state: SpineState): void {
    this.#state = state;
    if (state !== "connected") { for (const { waiting } of this.#watches) waiting.length = 0; }
    for (const listener of [...this.#listeners]) {
      listener({ type: "state", status: this.#status() });
    }
  }

  /** Ends the watches as a closed engine does. */
  async fail(): Promise<void> {
    for (const { ready } of this.#watches) {
      ready.reject(new ArqonError("spine-unavailable", "failed"));
    }
    await turn();
  }

  #watch(onChange: (change: KvChange) => void): KvWatch {
    this.begun++;
    if (this.#state !== "connected") throw new ArqonError("spine-unavailable", this.#state);
    const puts = this.entries.map((entry): KvChange => ({ type: "put", ...entry }));
    const ready = Promise.withResolvers<void>();
    ready.promise.catch(() => {});
    const watch: Scripted = { onChange, ready, waiting: [...puts, undefined] };
    this.#watches.add(watch);
    return { ready: ready.promise, stop: () => void this.#watches.delete(watch) };
  }

  #queue(change: KvChange): void {
    if (this.#state !== "connected") return;
    for (const { waiting } of this.#watches) waiting.push(change);
  }

  #status(): Spine["status"] {
    return {
      engine: "nats",
      since_ms: 0,
      reconnects: 0,
      pending_bytes: 0,
      slow_consumers: 0,
      state: this.#state,
    };
  }
}

/** What a key names. */
interface Place {
  readonly tenant_id: string;
  readonly id: string;
}

interface Rule {
  readonly text: string;
  readonly revision: number;
  /** Unix ms; 0: never. */
  readonly until_ms: number;
}

/** The key of a rule. */
const keyOf = ({ tenant_id, id }: Place): KvKey => [tenant_id, id];

/** The table that is watched; a test moves its clock. */
class Rules implements EntryTable<Place, Rule> {
  readonly held = new Map<string, Rule>();
  now_ms = 1_000;
  /** How often all rules were scanned. */
  looks = 0;

  get size(): number {
    return this.held.size;
  }

  get(place: Place): Rule | undefined {
    return this.held.get(keyOf(place).join("/"));
  }

  set(place: Place, rule: Rule): void {
    this.held.set(keyOf(place).join("/"), rule);
  }

  delete(place: Place): void {
    this.held.delete(keyOf(place).join("/"));
  }

  keep(wanted: (rule: Rule) => boolean): void {
    this.looks++;
    for (const [place, rule] of this.held) if (!wanted(rule)) this.held.delete(place);
  }
}

/** A value is the end of the rule, in Unix ms, and a text. */
const READER: EntryReader<Place, Rule> = {
  parseKey: ([tenant_id = "", id = "", ...more]) =>
    id === "" || more.length > 0 ? undefined : { tenant_id, id },
  read({ value, revision }: KvEntry): Rule {
    const found = /^(\d+) (\w+)$/.exec(new TextDecoder().decode(value));
    if (found === null) throw new TypeError("not a rule");
    const [, until, text = ""] = found;
    return { text, revision, until_ms: Number(until) };
  },
  unreadable: ({ revision }) => ({ text: "unreadable", revision, until_ms: 0 }),
  endOf: ({ until_ms }) => until_ms,
};

/** A bucket of at most `max` rules, its log lines, and whether it admits a tenant. */
function watching(max = 10, is_believed = true) {
  const script = new ScriptedBucket();
  const table = new Rules();
  const puts: string[] = [];
  const problems: string[] = [];
  const now = () => table.now_ms;
  const { log, lines } = keptLog({ now });
  const watched = new WatchedBucket({
    entry: "rule",
    name: "RULES",
    bucket: script.bucket,
    spine: script.spine,
    log,
    now,
    steps: { isBelieved: () => is_believed },
    max,
    reader: READER,
    table,
    onPut: ({ id }, { text }) => void puts.push(`${id} ${text}`),
    onProblem: (problem) => void problems.push(problem),
  });
  const lets = (tenant_id = "acme"): boolean => {
    try {
      watched.requireKnown();
      watched.requireComplete(tenant_id);
      return true;
    } catch (error) {
      assert.equal((error as { reason: string }).reason, "spine-unavailable");
      return false;
    }
  };
  return { script, table, lines, puts, problems, watched, lets };
}

Deno.test("nothing is known before the end of the first listing; then the stored values are", async () => {
  const { script, table, watched, lets, lines, puts } = watching();
  script.put(["acme", "a"], "0 one");
  assert.throws(() => watched.requireKnown(), {
    reason: "spine-unavailable",
    message: /the rules cannot be read/,
    retry_after_ms: 1_000,
  });
  watched.start();
  await script.deliver(1);
  assert.equal(lets(), false, "more may come");
  assert.deepEqual(watched.check(), {
    ok: false,
    since_ms: 1_000,
    detail: "the rules cannot be read",
  });
  table.now_ms = 2_000;
  await script.deliver();
  await watched.ready;
  assert.equal(lets(), true);
  assert.deepEqual(watched.check(), { ok: true, since_ms: 2_000, detail: "1 rule" });
  assert.deepEqual(puts, ["a one"]);
  assert.match(lines.join("\n"), /rules=1 msg="the rules are known"/);
});

Deno.test("a lost connection makes all unknown at once; it is known again after a listing, without removed ones", async () => {
  const { script, table, watched, lets } = watching();
  watched.start();
  for (const id of ["a", "b"]) script.put(["acme", id], "0 one");
  await script.deliver();
  script.turnTo("disconnected");
  assert.equal(lets(), false);
  assert.equal(table.size, 2, "what was held holds");
  script.delete(["acme", "a"]);
  script.put(["acme", "c"], "0 new");
  script.turnTo("connected");
  await script.deliver(2);
  assert.equal(lets(), false, "the listing has no end yet");
  assert.equal(table.size, 3);
  await script.deliver();
  assert.equal(lets(), true);
  assert.deepEqual([...table.held.keys()], ["acme/b", "acme/c"]);
});

Deno.test("a listing that was outlived by the connection does not count, whenever its end arrives", async () => {
  const { script, watched, lets } = watching();
  watched.start();
  const before = script.begun;
  // Its end is in flight when the connection is lost.
  const first = script.deliver(1);
  script.turnTo("disconnected");
  await first;
  assert.equal(lets(), false);
  script.turnTo("connected");
  const second = script.deliver(1);
  script.turnTo("disconnected");
  script.turnTo("connected");
  await second;
  assert.equal(script.begun, before + 2);
  assert.equal(lets(), false);
  await script.deliver();
  assert.equal(lets(), true);
});

Deno.test("a watch that cannot begin, or ends, is logged, and the next connect begins another", async () => {
  const { script, watched, lets, lines } = watching();
  script.turnTo("disconnected");
  watched.start();
  assert.match(lines.join("\n"), /the rules cannot be listed/);
  script.turnTo("connected");
  await script.fail();
  assert.match(lines.join("\n"), /the rules cannot be read/);
  assert.equal(lets(), false);
  script.turnTo("connected");
  await script.deliver();
  assert.equal(lets(), true);
});

Deno.test("unreadable values hold; keys that name nothing are counted only", async () => {
  const { script, table, watched, problems, puts, lines } = watching();
  watched.start();
  script.put(["acme", "a"], "damage");
  script.put(["acme"], "0 one");
  script.put(["acme", "b"], "0 one");
  await script.deliver();
  assert.deepEqual([...table.held.values()].map(({ text }) => text), ["unreadable", "one"]);
  assert.deepEqual(problems, ["malformed", "malformed"]);
  assert.deepEqual(puts, ["a unreadable", "b one"]);
  assert.match(lines.join("\n"), /bucket=RULES key=.*acme.* msg="not a rule"/);
  assert.match(lines.join("\n"), /the key of a rule is malformed/);
});

Deno.test("a tenant that exceeds the limit is excluded until it fits; nobody else is", async () => {
  const { script, table, watched, lets, problems, puts } = watching(2);
  for (const id of ["a", "b"]) script.put(["acme", id], "0 one");
  script.put(["globex", "c"], "0 one");
  watched.start();
  script.put(["acme", "a"], "0 again");
  await script.deliver();
  assert.deepEqual(puts, ["a one", "b one", "c one", "a again"]);
  assert.deepEqual([lets("acme"), lets("globex"), table.size], [true, false, 2]);
  assert.deepEqual([watched.isIncomplete("acme"), watched.isIncomplete("globex")], [false, true]);
  assert.equal(watched.isIncomplete(), true);
  assert.deepEqual(problems, ["unheld"]);
  assert.match(watched.check().detail, /^2 rules; 1 tenant has more$/);
  assert.throws(() => watched.requireComplete("globex"), {
    message: /the tenant has more rules than \[limits\] rules/,
  });
  const before = script.begun;
  script.delete(["acme", "a"]);
  await script.deliver();
  assert.equal(script.begun, before + 1, "listed anew");
  assert.deepEqual([lets("globex"), table.size], [true, 2]);
  assert.equal(watched.check().detail, "2 rules");
});

Deno.test("expired entries make space for new ones, once the clock is believed", async () => {
  const unsure = watching(1, false);
  unsure.table.now_ms = 2_000;
  unsure.watched.start();
  unsure.script.put(["acme", "a"], "1500 one");
  await unsure.script.deliver();
  assert.equal(unsure.watched.hasSpace(), false);
  const { script, table, watched, lets } = watching(2);
  watched.start();
  script.put(["acme", "a"], "1500 one");
  script.put(["acme", "b"], "0 one");
  await script.deliver();
  assert.equal(watched.hasSpace(), false);
  table.now_ms = 1_500;
  script.put(["globex", "c"], "0 one");
  await script.deliver();
  assert.equal(lets("globex"), true);
  assert.deepEqual([...table.held.keys()], ["acme/b", "globex/c"]);
});

Deno.test("all are looked at for space only when one of them can be over", async () => {
  const { script, table, watched } = watching(3);
  watched.start();
  await script.deliver();
  script.put(["acme", "a"], "3000 one");
  script.put(["acme", "b"], "0 one");
  script.put(["acme", "c"], "2000 one");
  await script.deliver();
  const before = table.looks;
  const looks = async (now_ms: number) => {
    table.now_ms = now_ms;
    for (let more = 0; more < 5; more++) script.put(["globex", `${more}`], "0 one");
    await script.deliver();
    return table.looks - before;
  };
  assert.equal(await looks(1_999), 0);
  assert.equal(await looks(2_000), 1);
  assert.deepEqual([...table.held.keys()], ["acme/a", "acme/b", "globex/0"]);
  assert.equal(await looks(2_999), 1);
  assert.equal(await looks(3_000), 2);
  assert.deepEqual([...table.held.keys()], ["acme/b", "globex/0", "globex/1"]);
  script.put(["globex", "1"], "4000 changed");
  assert.equal(await looks(3_999), 2);
  assert.equal(await looks(4_000), 3);
  assert.deepEqual([...table.held.keys()], ["acme/b", "globex/0", "globex/1"]);
});

Deno.test("more incomplete tenants than the limit of remembered ones exclude everybody", async () => {
  const { script, watched, lets } = watching(1);
  watched.start();
  script.put(["acme", "a"], "0 one");
  for (let tenant = 0; tenant < 10_000; tenant++) script.put([`t${tenant}`, "a"], "0 one");
  await script.deliver();
  assert.deepEqual([lets("t0"), lets("other")], [false, true]);
  script.put(["one_more", "a"], "0 one");
  await script.deliver();
  assert.deepEqual([lets("t0"), lets("other"), watched.isIncomplete("other")], [
    false,
    false,
    true,
  ]);
});

Deno.test("an early update is in force at once, and nothing older undoes it", async () => {
  const { script, table, watched } = watching();
  const text = () => table.get({ tenant_id: "acme", id: "a" })?.text;
  watched.start();
  await script.deliver();
  const first = script.put(["acme", "a"], "0 first");
  script.delete(["acme", "a"]);
  watched.take(script.put(["acme", "a"], "0 second"));
  assert.equal(text(), "second");
  watched.take(first);
  assert.equal(text(), "second", "its answer came late");
  await script.deliver(2);
  assert.equal(text(), "second", "the watch is not as far");
  await script.deliver();
  assert.equal(text(), "second");
  script.delete(["acme", "a"]);
  await script.deliver();
  assert.equal(text(), undefined);
});

Deno.test("what the watch has already reported is not applied again: it may have been removed since", async () => {
  const { script, table, watched } = watching();
  watched.start();
  await script.deliver();
  const entry = script.put(["acme", "a"], "0 one");
  script.delete(["acme", "a"]);
  await script.deliver();
  watched.take(entry);
  assert.equal(table.size, 0);
  const other = script.put(["acme", "a"], "0 two");
  script.put(["acme", "b"], "0 one");
  await script.deliver();
  watched.take(other);
  assert.equal(table.get({ tenant_id: "acme", id: "a" })?.text, "two");
});

Deno.test("after a listing revisions restart: an older copy may have replaced the bucket", async () => {
  const { script, table, watched } = watching();
  watched.start();
  for (const id of ["a", "b", "c"]) script.put(["acme", id], "0 old");
  await script.deliver();
  watched.take(script.put(["acme", "d"], "0 old"));
  script.turnTo("disconnected");
  script.replace();
  script.put(["acme", "d"], "0 copied");
  script.turnTo("connected");
  watched.take(script.put(["acme", "a"], "0 new"));
  assert.equal(table.get({ tenant_id: "acme", id: "a" })?.text, "new");
  await script.deliver();
  assert.deepEqual(
    Object.fromEntries(table.held),
    {
      "acme/a": { text: "new", revision: 2, until_ms: 0 },
      "acme/d": { text: "copied", revision: 1, until_ms: 0 },
    },
  );
});

Deno.test("a closed one knows nothing, receives nothing and has nothing open", async () => {
  const { script, watched, lets } = watching();
  watched.start();
  await script.deliver();
  assert.equal(lets(), true);
  watched.close();
  watched.close();
  assert.deepEqual([lets(), watched.is_closed, script.open], [false, true, 0]);
  await watched.ready;
  script.turnTo("connected");
  watched.start();
  assert.deepEqual([script.begun, script.open], [1, 0]);

  const early = watching();
  early.watched.start();
  early.watched.close();
  await assert.rejects(early.watched.ready, { reason: "spine-unavailable" });
});

const place = fc.record({
  tenant_id: fc.constantFrom("acme", "globex"),
  id: fc.constantFrom("a", "b", "c", "d"),
});
const text = fc.constantFrom("0 one", "0 one", "1010 one", "1020 one");
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ put: place, text }) },
  { weight: 1, arbitrary: fc.record({ tick_ms: fc.nat({ max: 8 }) }) },
  { weight: 2, arbitrary: fc.record({ store: place }) },
  { weight: 2, arbitrary: fc.record({ answer: fc.nat({ max: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ drop: place }) },
  { weight: 5, arbitrary: fc.record({ deliver: fc.nat({ max: 4 }) }) },
  { weight: 1, arbitrary: fc.constant("disconnected" as const) },
  { weight: 2, arbitrary: fc.constant("connected" as const) },
);

Deno.test("an admitted tenant has all its stored values, whatever arrives in between", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { script, table, watched, lets } = watching(4);
      const settled = () => {
        for (const tenant_id of ["acme", "globex"]) {
          if (!lets(tenant_id)) continue;
          for (const { key: [tenant = "", id = ""], value, revision } of script.entries) {
            const end_ms = parseInt(new TextDecoder().decode(value)) || Infinity;
            if (tenant !== tenant_id || table.now_ms >= end_ms) continue;
            assert.equal(table.get({ tenant_id, id })?.revision, revision, `${tenant}/${id}`);
          }
        }
        assert.ok(table.size <= 4);
      };
      // Stored by this process during a watch, and not acknowledged yet.
      const writes: { entry: KvEntry; begun: number }[] = [];
      watched.start();
      for (const step of steps) {
        if (step === "connected" || step === "disconnected") script.turnTo(step);
        else if ("store" in step) {
          const { begun } = script;
          writes.push({ entry: script.put(keyOf(step.store), "0 one"), begun });
        } else if ("answer" in step) {
          const [write] = writes.splice(step.answer, 1);
          if (write?.begun === script.begun) watched.take(write.entry);
        } else if ("put" in step) script.put(keyOf(step.put), step.text);
        else if ("tick_ms" in step) table.now_ms += step.tick_ms;
        else if ("drop" in step) script.delete(keyOf(step.drop));
        else {
          await script.deliver(step.deliver);
          if (script.is_delivered) settled();
        }
      }
      script.turnTo("connected");
      await script.deliver();
      settled();
      assert.equal(watched.check().ok, true);
      const stored = new Set(script.entries.map(({ key }) => key.join("/")));
      assert.ok(stored.isSupersetOf(new Set(table.held.keys())), "nothing is held that is gone");
      if (script.entries.length <= 3) {
        assert.deepEqual([lets("acme"), lets("globex")], [true, true]);
      }
      watched.close();
    }),
    { numRuns: 300 },
  );
});
