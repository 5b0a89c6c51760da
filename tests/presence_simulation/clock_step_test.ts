/** A process whose wall clock is set considers nobody silent, in either direction, in any phase of its heartbeat. */
import assert from "node:assert/strict";
import { presenceConfig } from "../../shield/presence/testing/port.ts";
import type { Schedule } from "./schedule.ts";
import { World } from "./world.ts";

/** The minimum of the configuration: one lost heartbeat must not count as a death. */
const SETTINGS = { brain_timeout_ms: 3_000, down_ms: 3_000 };

const SCHEDULE: Schedule = {
  ...{ seed: 7, orderly: false, shields: 2, brains: 2, tenants: 1, rooms: 1 },
  ...{ config_name: "default", config: presenceConfig(SETTINGS), wire: true, frozen: true },
  ...{ skew_ms: {}, quiet_ms: 0, actions: [] },
};
const STEPS_MS = [2_000, 3_000, 4_000, 5_000, 20_000, 7_200_000].flatMap((ms) => [ms, -ms]);
/** Within a heartbeat. */
const PHASES_MS = [0, 400, 800, 1_200];

for (const step_ms of STEPS_MS) {
  Deno.test(`a clock that is set by ${step_ms} ms makes no Brain and no Shield silent`, () => {
    for (const phase_ms of PHASES_MS) {
      for (const id of ["b0", "s0"]) {
        const world = new World(SCHEDULE);
        const run = (ms: number) => world.timeline.runUntil(world.now() + ms);
        for (const one of world.ids()) world.start(one, 0);
        run(20_000 + phase_ms);
        const lost: string[] = [];
        const look = () => {
          for (const { life, machine } of world.brains.values()) {
            if (machine.brains.length !== 2) lost.push(`${life.id} lost a Brain`);
            if (machine.writers.up !== 2) lost.push(`${life.id} lost a Shield`);
          }
          for (const { life, machine } of world.shields.values()) {
            if (machine.brains().length !== 2) lost.push(`${life.id} lost a Brain`);
          }
        };
        look();
        assert.deepEqual(lost, [], "before the step");
        world.setClock(id, step_ms);
        for (let at = 0; at < 400; at++) {
          run(25);
          look();
        }
        assert.deepEqual([...new Set(lost)], [], `${id}, ${phase_ms} ms after a heartbeat`);
      }
    }
  });
}
