/**
 * One client that sends at full speed, on every kind of socket, with limits by default and tight: it
 * never has more than its share of a turn of the event loop, also when it goes on after a close and
 * comes back, and a clean client gets all its answers meanwhile. Counted in turns, not in time.
 */
import assert from "node:assert/strict";
import { encodePing } from "@arqon/proto";
import { startProgram } from "../bench/measure/line_program.ts";
import type { Program } from "../bench/measure/line_program.ts";
import type { Flood, FloodPlan } from "../bench/sockets/flood_child.ts";
import { SERVER_FLAGS } from "../shared/process/deno_command.ts";
import { pace } from "../shared/testing/pace.ts";
import { TURN_BYTES, TURN_FRAMES } from "../shared/turns/turns.ts";
import type { Counted } from "./flood_bus.ts";
import { openBinary } from "./peers/raw_client.ts";

const ROUND_TRIPS = 40;
/** Between two of them: the clean client is below the tight rate. */
const PACE_MS = 15;
/** Frames of the flood that have to come for a case to say anything. */
const FLOOD_FRAMES = 200;
/** The share of one turn and that of the next, which may begin before the count does. */
const SHARES = 2;
/** Of the floods' largest frame, which may be the last of a share. */
const FRAME_BYTES = 201_000;
const FLOODS: readonly Flood[] = ["small", "big", "echo", "pings", "garbage"];
const SET_CONSTANTS =
  new URL(import.meta.resolve("../shared/config/testing/set_constants.ts")).pathname;
const TIGHT = `
[limits]
messages_per_second = 100
bytes_per_second = 100_000
#constant limits.rate_refusals = 50
`;

interface Bus extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  /** Since it was asked last. */
  counted(): Promise<Counted>;
}

async function startCountingBus(websocket: string, limits: string): Promise<Bus> {
  const dir = await Deno.makeTempDir();
  const config_file = `${dir}/arqon.toml`;
  const config = `[server]\nhost = "127.0.0.1"\nwebsocket = "${websocket}"\ndrain_ms = 0\n` +
    `[ops]\nhost = "127.0.0.1"\n${limits}`;
  await Deno.writeTextFile(config_file, config);
  const ports = { port: 0, ops_port: 0, admin_port: 0 };
  const program = startProgram("tests/flood_bus.ts", {
    flags: [...SERVER_FLAGS, "--ignore-env", "-A", `--preload=${SET_CONSTANTS}`],
    args: [JSON.stringify({ state_dir: dir, ...ports, config_file })],
  });
  const { url = "", token = "" } = await program.hear<Record<string, string>>();
  return {
    url,
    token,
    async counted() {
      await program.say("count");
      return await program.hear<Counted>();
    },
    async [Symbol.asyncDispose]() {
      await program[Symbol.asyncDispose]();
      await Deno.remove(dir, { recursive: true });
    },
  };
}

function startFlood({ url, token }: Bus, flood: Flood): Program {
  const plan: FloodPlan = { url, token, flood };
  return startProgram("bench/sockets/flood_child.ts", {
    flags: ["--allow-net"],
    args: [JSON.stringify(plan)],
  });
}

async function floodOf(bus: Bus, flood: Flood): Promise<void> {
  using clean = await openBinary(bus.url, bus.token);
  await bus.counted();
  await using flooding = startFlood(bus, flood);
  await flooding.hear();
  let seen: Counted = { frames: 0, bytes: 0, all: -ROUND_TRIPS };
  for (let asked = 0; asked < ROUND_TRIPS || seen.all < FLOOD_FRAMES; asked++) {
    await pace(PACE_MS);
    clean.send(encodePing(new Uint8Array([asked & 0xff])));
    for (;;) {
      const { kind } = await clean.frame();
      assert.notEqual(kind, "err");
      if (kind === "pong") break;
    }
    const { frames, bytes, all } = await bus.counted();
    seen = {
      frames: Math.max(seen.frames, frames),
      bytes: Math.max(seen.bytes, bytes),
      all: seen.all + all,
    };
  }
  assert(seen.frames <= SHARES * TURN_FRAMES, `${seen.frames} frames in a turn`);
  const bytes_max = SHARES * (TURN_BYTES + FRAME_BYTES);
  assert(seen.bytes <= bytes_max, `${seen.bytes} bytes in a turn`);
}

for (const websocket of ["native", "own"]) {
  for (const [name, limits] of [["default", ""], ["tight", TIGHT]] as const) {
    Deno.test(`a flood has its share of a turn: ${websocket} sockets, ${name} limits`, async (t) => {
      await using bus = await startCountingBus(websocket, limits);
      for (const flood of FLOODS) await t.step(flood, () => floodOf(bus, flood));
    });
  }
}
