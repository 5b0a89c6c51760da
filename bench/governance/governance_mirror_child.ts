/**
 * A program that times mirroring on the message path of a Shield: `publish` of events with trace ids
 * on an embedded Spine, with the mirror that `start.ts` makes and a subscriber of each side. Prints
 * JSON; `governance_mirror.ts` starts it.
 */
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { randomPool, traceId } from "../../shared/ids.ts";
import { isSampled } from "../../shared/sampling.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { subjectPattern } from "../../shared/subjects/subject.ts";
import { PLAIN_ROOMS } from "../../shield/durable/log/logs.ts";
import { NO_BANS } from "../../shield/auth/bans.ts";
import { startMirror } from "../../shield/mirror/start.ts";
import { tokenlessCaller } from "../../shield/message/caller.ts";
import { publish } from "../../shield/message/pipeline.ts";
import type { MessagePath, Publisher } from "../../shield/message/pipeline.ts";
import { NO_OVERSEER } from "../../shield/policy/overseer.ts";
import { NO_SCHEMAS } from "../../shield/schema/gate.ts";
import { openSettings } from "../../shield/settings/settings.ts";
import { errorLog, until } from "../measure/brains.ts";
import { percentile } from "../measure/open_loop.ts";

/** The plan of the measurement. */
export interface MirrorPlan {
  readonly rounds: number;
  /** Messages of one row in one round. */
  readonly messages: number;
}

/** The figures of one row in one round. */
export interface MirrorRound {
  readonly row: string;
  readonly mirrored: number;
  /** Mean time of `publish` of one message over turns of `TURN` messages, for which its sender waits. */
  readonly publish_p50_us: number;
  readonly publish_p99_us: number;
  /** Processor time of a message with everything that follows: copies, delivery on both sides. */
  readonly cpu_us: number;
  /** Elapsed time of the same. */
  readonly whole_us: number;
}

/** The rows: name, and the share of a rule about every message; undefined for no mirroring at all. */
const ROWS: readonly (readonly [name: string, percent: number | undefined])[] = [
  ["no mirroring", undefined],
  ["0 %", 0],
  ["10 %", 0.1],
  ["100 %", 1],
];
/** Messages between two turns of the event loop, as if they had come in one read. */
const TURN = 64;
const PAYLOAD_BYTES = 200;
const TENANT = "acme";
const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };

const random = randomPool((bytes) => crypto.getRandomValues(bytes));

const PUBLISHER: Publisher = {
  origin: undefined,
  caller: tokenlessCaller(
    { tenant_id: TENANT, user_id: "bench", role: "user", issuer: "bench" },
    "c1",
  ),
};

interface Row {
  readonly name: string;
  readonly percent: number | undefined;
  readonly path: MessagePath;
  readonly heard: { primary: number; shadow: number };
}

async function open(name: string, percent: number | undefined): Promise<Row> {
  const log = errorLog("bench");
  const now = Date.now;
  const spine = openEmbedded({ log, now });
  const registry = new Registry();
  const settings = await openSettings({ spine, log, registry, now });
  await settings.ready;
  const rules = percent === undefined ? [] : [{ prefix: `in.t.${TENANT}.*`, percent }];
  const mirroring = { enabled: percent !== undefined, rules };
  const config = configFrom({ platform: { mirroring } });
  const { mirror } = startMirror({
    ...{ config, spine, settings, node_id: "bench", log, registry, now },
  });
  const heard = { primary: 0, shadow: 0 };
  spine.subscribe(subjectPattern("in.>"), () => void heard.primary++);
  spine.subscribe(subjectPattern("shadow.in.>"), () => void heard.shadow++);
  const path: MessagePath = {
    ...{ spine, mirror, now, random, signatures: { of: () => [] } },
    ...{ overseer: NO_OVERSEER, bans: NO_BANS, schemas: NO_SCHEMAS, ...PLAIN_ROOMS },
  };
  return { name, percent, path, heard };
}

function envelopes(count: number): ScannedEnvelope[] {
  const event = { type: "bench", data: new Uint8Array(PAYLOAD_BYTES) };
  return Array.from({ length: count }, () => {
    const trace_id = traceId(random);
    return scanEnvelope(writeEnvelope({ trace_id, room_id: "lobby", event }), LIMITS);
  });
}

/** Processor time of this process, in µs. */
function spentUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

async function round(row: Row, messages: readonly ScannedEnvelope[]): Promise<MirrorRound> {
  const { path, heard, percent = 0 } = row;
  const mirrored = messages.filter(({ trace_id }) => isSampled(trace_id, percent)).length;
  heard.primary = 0;
  heard.shadow = 0;
  const turns = new Float64Array(Math.floor(messages.length / TURN));
  const began_us = spentUs();
  const began_ms = performance.now();
  for (let turn = 0; turn < turns.length; turn++) {
    const turn_ms = performance.now();
    for (let index = turn * TURN; index < (turn + 1) * TURN; index++) {
      publish(path, PUBLISHER, messages[index]!);
    }
    turns[turn] = performance.now() - turn_ms;
    await setImmediate();
  }
  const isDone = () => heard.primary === messages.length && heard.shadow === mirrored;
  for (let waits = 0; !isDone() && waits < 10_000; waits++) await setImmediate();
  const elapsed_ms = performance.now() - began_ms;
  const cpu_us = (spentUs() - began_us) / messages.length;
  await until(isDone, `${row.name}: every message and copy arrives`);
  const sorted = turns.sort();
  const us = (fraction: number) => percentile(sorted, fraction) * 1_000 / TURN;
  return {
    row: row.name,
    mirrored,
    publish_p50_us: us(0.5),
    publish_p99_us: us(0.99),
    cpu_us,
    whole_us: elapsed_ms * 1_000 / messages.length,
  };
}

if (import.meta.main) {
  const plan: MirrorPlan = JSON.parse(Deno.args[0] ?? "{}");
  const rows: Row[] = [];
  for (const [name, percent] of ROWS) rows.push(await open(name, percent));
  const count = Math.ceil(plan.messages / TURN) * TURN;
  // The optimising compiler must have seen every row before anything counts.
  for (const row of rows) await round(row, envelopes(count));
  const results: MirrorRound[] = [];
  for (let index = 0; index < plan.rounds; index++) {
    const messages = envelopes(count);
    for (const row of rows) results.push(await round(row, messages));
  }
  console.log(JSON.stringify(results));
  Deno.exit(0);
}
