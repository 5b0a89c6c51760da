/** Runs of scenarios on targets, with bare servers and given figures, and the text of their tables. */
import assert from "node:assert/strict";
import { optionsWith } from "./load_command.ts";
import { measureLoad as measure } from "./load_rounds.ts";
import { type LoadCase, type LoadScenario, warmSeconds } from "./load_scenario.ts";
import { failureOf, renderTable } from "./load_table.ts";
import { LOAD_SCENARIOS } from "./scenarios.ts";
import { type Ability, type Target, type TargetId, TargetUnavailable } from "./targets/target.ts";
import type { TargetOptions } from "./targets/target.ts";
import { DENO } from "./targets/target_bare.ts";
import { usagesOf } from "../measure/usage.ts";
import { RAW_WIRE } from "./wires/wire_raw.ts";

const CASES: readonly Omit<LoadCase, "measure">[] = [
  { name: "plain", needs: ["echo"] },
  { name: "batched", needs: ["batch"], beside: "plain" },
];

const measureLoad = (
  scenario: LoadScenario,
  targets: readonly Target[],
  { rounds, warm = 0 }: { rounds: number; warm?: number },
) => measure(scenario, targets, scenario.cases({}), { rounds, warm });

/** A log of the events, and the target id of each server. */
class Stage {
  readonly turns: string[] = [];
  readonly #names = new Map<number, TargetId>();

  /** A bare server with another name. */
  target(id: TargetId, abilities: readonly Ability[]): Target {
    const start = async (options: TargetOptions) => {
      const running = await DENO.start(options);
      this.turns.push(`${id} started`);
      this.#names.set(running.pids[0]!, id);
      return running;
    };
    return { id, title: id, abilities: new Set(abilities), start };
  }

  /** A case with given figures and real connections. */
  scenario(figures: Partial<Record<TargetId, number>>, fresh?: true): LoadScenario {
    return {
      ...{ name: "test", about: "", options: {}, quick: {}, ...(fresh ? { fresh } : {}) },
      columns: [["per_cpu_s", "a CPU second", 0]],
      headline: "per_cpu_s",
      cases: () => CASES.map((one) => ({ ...one, measure: this.#measured(one.name, figures) })),
    };
  }

  #measured(name: string, figures: Partial<Record<TargetId, number>>): LoadCase["measure"] {
    return async ({ pids, wire }, seconds) => {
      const id = this.#names.get(pids[0]!)!;
      const missing = id === "nats-ws" ? 3 : 0;
      const options = { tenant: 0, batch: false, onMessage: () => {}, onProblem: () => {} };
      (await RAW_WIRE.open(wire, options)).close();
      const how_long = seconds === undefined ? "" : ` for ${seconds} s`;
      this.turns.push(`${name} on ${id}${how_long}`);
      return { figures: { per_cpu_s: figures[id] ?? 1 }, missing, problems: [] };
    };
  }

  /** Rejects if one of its servers still runs. */
  async assertEnded(): Promise<void> {
    for (const pid of this.#names.keys()) await assert.rejects(usagesOf([[pid]]));
  }
}

Deno.test("targets alternate, in reverse order in every other round", async () => {
  const stage = new Stage();
  const targets = [stage.target("arqon", ["echo", "batch"]), stage.target("bun", ["echo"])];
  const scenario = stage.scenario({ arqon: 200, bun: 100 });
  const results = await measureLoad(scenario, targets, { rounds: 2 });
  assert.deepEqual(stage.turns, [
    ...["arqon started", "bun started"],
    ...["plain on arqon", "plain on bun", "batched on arqon"],
    ...["plain on bun", "plain on arqon", "batched on arqon"],
  ]);
  await stage.assertEnded();
  assert.deepEqual(results.rows.map((row) => [row.case, row.target, row.ratio]), [
    ["plain", "arqon", 2],
    ["plain", "bun", 1],
    ["batched", "arqon", 2],
  ]);
  assert.deepEqual(results.omitted, [
    { case: "batched", target: "bun", kind: "cannot", why: "no batch" },
  ]);
  assert.equal(failureOf(results), undefined);
  const table = renderTable(scenario, results);
  assert.match(table, /batched +arqon +200 +2\.00/);
  assert.match(table, /bun: cannot: no batch \(batched\)/);
});

Deno.test("each process serves its first case as a warm-up, which is not measured", async () => {
  const stage = new Stage();
  const targets = [stage.target("arqon", ["echo", "batch"]), stage.target("bun", ["echo"])];
  const scenario = stage.scenario({});
  const results = await measureLoad(scenario, targets, { rounds: 1, warm: 3 });
  assert.deepEqual(stage.turns, [
    ...["arqon started", "bun started"],
    ...["plain on arqon for 3 s", "plain on bun for 3 s"],
    ...["plain on arqon", "plain on bun", "batched on arqon"],
  ]);
  assert.deepEqual(results.rows.map(({ rounds }) => rounds.length), [1, 1, 1]);
  assert.throws(() => warmSeconds("-1"), /--warm expects a whole number of seconds, got "-1"/);
  await stage.assertEnded();
});

Deno.test("a scenario of memory starts a new process for each measurement", async () => {
  const stage = new Stage();
  await measureLoad(stage.scenario({}, true), [stage.target("arqon", ["echo"])], { rounds: 2 });
  assert.equal(stage.turns.filter((turn) => turn === "arqon started").length, 2);
  await stage.assertEnded();
});

Deno.test("an unavailable target gives a row and no failure; a failing or lossy target gives a failure", async () => {
  const stage = new Stage();
  const scenario = stage.scenario({});
  const bare = stage.target("bun", ["echo"]);
  const absent = (error: Error): Target => ({
    ...bare,
    id: "socketio",
    start: () => Promise.reject(error),
  });
  const not_here = await measureLoad(
    scenario,
    [bare, absent(new TargetUnavailable("apt install socketio"))],
    { rounds: 1 },
  );
  assert.match(renderTable(scenario, not_here), /socketio: not here: apt install socketio/);
  assert.equal(failureOf(not_here), undefined);
  const failed = await measureLoad(scenario, [absent(new Error("broken"))], { rounds: 1 });
  assert.match(failureOf(failed) ?? "", /socketio gave no figures: broken/);
  const lost = await measureLoad(scenario, [stage.target("nats-ws", ["echo"])], { rounds: 2 });
  assert.match(failureOf(lost) ?? "", /plain on nats-ws: 6 lost/);
  await stage.assertEnded();
});

Deno.test("--quick replaces defaults, and every scenario lists its options", () => {
  for (const one of LOAD_SCENARIOS) {
    const quick = optionsWith(one, true);
    for (const [name, value] of Object.entries(one.quick)) assert.deepEqual(quick[name], value);
    for (const values of [quick, optionsWith(one, false)]) {
      assert.ok(one.cases(values).length > 0, one.name);
    }
    assert.ok(one.columns.some(([key]) => key === one.headline), one.name);
  }
});
