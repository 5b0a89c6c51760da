/**
 * Room logs on the real logs of both Spine engines, while what comes live is lost, repeated and swapped
 * on its last step: all subscribers of all Shields see every message once and in order.
 */
import assert from "node:assert/strict";
import { openEmbedded } from "../../../shared/spine/embedded/embedded.ts";
import { watched } from "../../../shared/spine/nats/testing/nats_harness.ts";
import { Registry } from "../../../shared/metrics/metrics.ts";
import type { Position } from "../../fanout/entry.ts";
import type { DurableLog } from "../../../shared/spine/contract/durable_log.ts";
import type { Spine, SpineMessage } from "../../../shared/spine/contract/spine.ts";
import { roomSubject } from "../../../shared/subjects/subject.ts";
import { startNats } from "../../../tests/harness/nats_server.ts";
import { DEFAULT_CLASS } from "../../../shared/rooms/room_class.ts";
import { keptLog } from "../../testing/spine.ts";
import { SYSTEM_CLOCK } from "../log/clock.ts";
import { RoomLog } from "./room_log.ts";
import { createDurableStats } from "../log/stats.ts";
import { TailCache } from "../log/tail_cache.ts";
import { seeded } from "../../../shared/testing/seeded.ts";

const RETENTION = { history_size: 1_000, history_ttl_seconds: 3_600, replicas: undefined };
const LIMITS = {
  recovery_messages: 10_000,
  recovery_bytes: 16_777_216,
  log_cache_bytes: 20_000,
};

/** One Shield's part in the room. */
class Side implements Disposable {
  readonly room: RoomLog;
  readonly registry = new Registry();
  readonly subscribers: { readonly after: number; readonly seen: number[] }[] = [];
  readonly gaps: string[] = [];
  readonly #unsubscribe: () => void;
  #held: SpineMessage | undefined;

  constructor(spine: Spine, log: DurableLog, readonly random: () => number) {
    const stats = createDurableStats(this.registry);
    const clock = SYSTEM_CLOCK;
    this.room = new RoomLog({
      ...{ tenant_id: "acme", room_id: "a", log, limits: LIMITS, stats, clock },
      cache: new TailCache({ limits: LIMITS, clock, stats }),
      class_of: () => ({ ...DEFAULT_CLASS, ...RETENTION, durable: true }),
      logger: keptLog().log,
      onEntry: ({ offset }) => this.subscribers.forEach(({ seen }) => seen.push(offset)),
      onGap: (reason) => this.gaps.push(reason),
    });
    const subject = roomSubject("in", "acme", "a");
    const subscription = spine.subscribe(subject, (message) => this.#spoil(message));
    this.#unsubscribe = () => subscription.unsubscribe();
  }

  /** One in ten is lost, one is repeated, one comes after the next. */
  #spoil(message: SpineMessage): void {
    const luck = Math.floor(this.random() * 10);
    if (luck === 0) return;
    if (luck === 1 && this.#held === undefined) return void (this.#held = message);
    this.room.receive(message);
    if (luck === 2) this.room.receive(message);
    if (this.#held !== undefined) this.room.receive(this.#held);
    this.#held = undefined;
  }

  async enter(position: Position | undefined): Promise<void> {
    const entry_point = await this.room.enter(position);
    const after = position === undefined ? entry_point.position().offset : position.after;
    assert.equal(
      entry_point.recovered,
      position === undefined ? undefined : true,
      entry_point.reason,
    );
    const seen: number[] = [];
    const { cursor } = entry_point;
    for (let entry = cursor.next(); entry !== undefined; entry = cursor.next()) {
      seen.push(entry.offset);
    }
    this.subscribers.push({ after, seen });
  }

  [Symbol.dispose](): void {
    this.#unsubscribe();
    this.room.close();
  }
}

async function seesEverything(spine: Spine): Promise<void> {
  const log = await spine.log("acme", RETENTION);
  const random = seeded(6);
  using first = new Side(spine, log, random);
  using second = new Side(spine, log, random);
  const sides = [first, second];
  const payload = new Uint8Array(50);
  const offsets = [(await log.append("a", payload)).offset];
  await spine.flush();
  for (const { room } of sides) room.start();
  const entering: Promise<void>[] = [];
  for (let round = 0; round < 60; round++) {
    const appends = Array.from({ length: 10 }, (_, n) => log.append(n < 7 ? "a" : "b", payload));
    for (const side of sides) {
      const after = offsets[Math.floor(random() * offsets.length)] ?? 0;
      const position = random() < 0.2 ? undefined : { after, epoch: side.room.epoch };
      entering.push(side.enter(position));
    }
    const appended = await Promise.all(appends);
    offsets.push(...appended.slice(0, 7).map(({ offset }) => offset));
  }
  await Promise.all(entering);
  for (const side of sides) {
    await side.room.verify();
    assert.deepEqual(side.gaps, []);
    assert.equal(side.room.offset, offsets.at(-1));
    for (const { after, seen } of side.subscribers) {
      assert.deepEqual(seen, offsets.filter((offset) => offset > after));
    }
    assert.match(await side.registry.metrics(), /gap_fills_total\{outcome="filled"\} [1-9]/);
  }
}

Deno.test("on the embedded log every subscriber sees each message once and in order", async () => {
  const spine = openEmbedded({ log: keptLog().log, now: Date.now });
  await seesEverything(spine);
  await spine.drain();
});

Deno.test("on a NATS log every subscriber sees each message once and in order", async () => {
  await using nats = await startNats({ jetstream: true });
  await using engine = await watched(nats.port);
  await seesEverything(engine.spine);
});
