/**
 * Random orders of calls by changing programs, trims, forks, deployments, rollbacks, and removals that are killed at
 * any write. At any time each log can be folded, and every deployed or previous module is stored. In the end nothing is
 * stored that nobody needs.
 */
import assert from "node:assert/strict";
import { ArqonError, readEnvelope } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import {
  decodeDeployment,
  DEPLOYMENTS_BUCKET,
} from "../../../shared/records/reducer_deployment.ts";
import { decodeRecord } from "../../../shared/records/reducer_record.ts";
import { seeded } from "../../../shared/testing/seeded.ts";
import { decodeBatch } from "../log/batch.ts";
import { loadModule, loadProgram, programOf, type RunnableProgram } from "../log/program.ts";
import { forkRoom } from "../room/fork.ts";
import type { RoomParts } from "../room/loaded_room.ts";
import { trimRoom } from "../past_service.ts";
import { deploy, rollBack, storeModule } from "../testing/deploys.ts";
import { DyingBrain } from "../testing/dying_parts.ts";
import { callAt, partsOf, placeOf } from "../testing/lone_room.ts";
import { ENGINES, messagesOf, type WorldBrain } from "../testing/reducer_world.ts";
import { HOUR_MS, Remover } from "../testing/remover.ts";
import { variantOf } from "../testing/variants.ts";
import { ReducerHost } from "../thread/host.ts";
import { shownBy } from "../visible/shown.ts";
import { SETTLE_MS } from "./module_removal.ts";
import { builtReducer } from "../../../shared/testing/reducers.ts";

const counter = builtReducer("counter");
const HISTORY = { history_snapshots: 3, history_bytes: 4_194_304 };
const STEPS = 80;
const VARIANTS = 30;
const CLASS = ["t", "counter"];

class History {
  readonly #brain: WorldBrain;
  readonly #parts: RoomParts;
  readonly #random: () => number;
  readonly #programs: readonly RunnableProgram[];
  /** What each room has counted. */
  readonly #totals = new Map([["counter-0", 0]]);

  constructor(brain: WorldBrain, parts: RoomParts, seed: number) {
    this.#brain = brain;
    this.#parts = parts;
    this.#random = seeded(seed);
    const [entry] = configFrom({ reducers: [{ name: "counter", file: "counter" }] }).reducers;
    this.#programs = Array.from(
      { length: VARIANTS },
      (_, at) =>
        programOf(entry!, variantOf(counter, seed * VARIANTS + at), brain.spine.payload_bytes_max),
    );
  }

  #below = (most: number) => Math.floor(this.#random() * most);
  #one = <T>(of: readonly T[]): T => of[this.#below(of.length)]!;
  #room = () => this.#one([...this.#totals.keys()]);

  async #deployed() {
    const stored = await (await this.#brain.spine.keyValue(DEPLOYMENTS_BUCKET)).get(CLASS);
    return stored && decodeDeployment(stored.value);
  }

  /** The wanted program of the class; sometimes the one a Brain with a stale view has. */
  async #program(): Promise<RunnableProgram> {
    const { current: { module } } = await this.#deployed() ?? { current: { module: "" } };
    const wanted = this.#programs.find((one) => one.module === module);
    return wanted === undefined || this.#below(4) === 0 ? this.#one(this.#programs) : wanted;
  }

  async call(room_id: string, program?: RunnableProgram): Promise<void> {
    const own = { command: "add", data: "1", id: "", history: HISTORY };
    try {
      const request = { ...own, program: program ?? await this.#program() };
      const { answer } = JSON.parse(await callAt(placeOf(room_id), this.#parts, request));
      this.#totals.set(room_id, this.#totals.get(room_id)! + 1);
      assert.equal(answer, this.#totals.get(room_id), room_id);
    } catch (error) {
      // A removal that a dead process left is not started again.
      assert.ok(
        error instanceof ArqonError && error.reason === "brain-unavailable",
        error as Error,
      );
    }
  }

  async #recordOf(room_id: string) {
    const stored = await this.#parts.records.get(["t", room_id]);
    return stored && decodeRecord(stored.value);
  }

  /** Whether a fork reads another room's past. */
  async #isRead(): Promise<boolean> {
    const records = [...this.#totals.keys()].map((room_id) => this.#recordOf(room_id));
    return (await Promise.all(records)).some((one) => one?.fork && one.snapshot === "");
  }

  async #deploy(): Promise<void> {
    const { bytes } = this.#one(this.#programs);
    await storeModule(this.#brain, bytes);
    await deploy(this.#brain, "counter", bytes);
  }

  async #rollBack(): Promise<void> {
    if ((await this.#deployed())?.before.length) await rollBack(this.#brain, "counter");
  }

  async trim(room_id: string, keep: number): Promise<void> {
    const record = await this.#recordOf(room_id);
    if (record === undefined || await this.#isRead()) return;
    const at = placeOf(room_id);
    const own = { limits: HISTORY, program: record.program?.id ?? "0".repeat(64) };
    if (keep === 0) await trimRoom(at, undefined, this.#parts, { ...own, shown: shownBy([]) });
    else await (await this.#parts.openLog("t")).trim(at.log_room_id, keep);
  }

  async #fork(): Promise<void> {
    const source = this.#room();
    const room_id = `counter-${this.#totals.size}`;
    if (this.#totals.get(source) === 0) return;
    const request = { action: "fork", source, with_timers: true } as const;
    await forkRoom(placeOf(room_id), placeOf(source), request, this.#parts);
    this.#totals.set(room_id, this.#totals.get(source)!);
  }

  /** Removes unused modules, or dies at one of its writes. */
  async remove(writes = Infinity): Promise<void> {
    const dying = new DyingBrain(writes);
    const remover = await Remover.open(this.#brain, [], (options) => ({
      ...options,
      records: dying.dying(options.records),
      deployments: dying.dying(options.deployments),
      objects: dying.dying(options.objects),
    }));
    for (const ms of [HOUR_MS, HOUR_MS, SETTLE_MS, HOUR_MS, SETTLE_MS]) await remover.after(ms);
  }

  async step(): Promise<void> {
    switch (this.#below(8)) {
      case 0:
        return await this.#deploy();
      case 1:
        return await this.#rollBack();
      case 2:
        return await this.trim(this.#room(), this.#below(4));
      case 3:
        return await (this.#totals.size < 6 ? this.#fork() : this.call(this.#room()));
      case 4:
        return await this.remove(this.#below(8));
      default:
        return await this.call(this.#room());
    }
  }

  /** Everything needed is stored; returns the needed modules. */
  async whole(): Promise<Set<string>> {
    const { objects } = this.#parts;
    const needed = new Set<string>();
    const { current, before } = await this.#deployed() ?? { current: { module: "" }, before: [] };
    for (const { module } of [current, ...before].filter((one) => one.module !== "")) {
      await loadModule(objects, module);
      needed.add(module);
    }
    for (const room_id of this.#totals.keys()) {
      const named = (await messagesOf(this.#brain, `${room_id}~reducer`)).flatMap(({ payload }) => {
        const batch = decodeBatch(readEnvelope(payload).event?.data ?? new Uint8Array());
        return batch.entries.length > 0 ? [batch.program] : [];
      });
      const { program } = await this.#recordOf(room_id) ?? {};
      for (const id of new Set([...named, ...program ? [program.id] : []])) {
        needed.add((await loadProgram(objects, id)).module);
      }
    }
    return needed;
  }

  async end(): Promise<void> {
    const last = (await this.#deployed())?.current.module;
    const program = this.#programs.find(({ module }) => module === last) ?? this.#programs[0]!;
    await this.remove();
    for (const room_id of this.#totals.keys()) await this.call(room_id, program);
    for (const room_id of this.#totals.keys()) await this.trim(room_id, 0);
    await this.remove();
    const stored = (await this.#parts.objects.list()).map(({ name }) => name)
      .filter((name) => name.startsWith("module-"));
    assert.deepEqual(
      new Set(stored),
      new Set([...await this.whole()].map((one) => `module-${one}`)),
    );
  }
}

Deno.test("whatever happens to rooms and deployments, required modules are kept, and no others", async () => {
  for (let seed = 1; seed <= 12; seed++) {
    await using world = await ENGINES["embedded"]!({ modules: {} });
    const host = new ReducerHost(() => {});
    world.defer(() => Promise.resolve(host.end()));
    const brain = await world.start("a");
    const history = new History(brain, await partsOf(brain, host), seed);
    try {
      for (let step = 0; step < STEPS; step++) {
        await history.step();
        await history.whole();
      }
      await history.end();
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
  }
});
