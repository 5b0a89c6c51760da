/**
 * A program that times what the schema step adds to a message: the gate of a Shield as the message path calls
 * it, with its schemas registered and mapped on an embedded Spine; the validation alone; and protobuf-es
 * decoding the same bytes. Prints JSON; `governance_validate.ts` starts it.
 */
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { fromBinary } from "@bufbuild/protobuf";
import { configFrom } from "../../shared/config/load.ts";
import { Registry } from "../../shared/metrics/metrics.ts";
import { openEmbedded } from "../../shared/spine/embedded/embedded.ts";
import { roomSubject } from "../../shared/subjects/subject.ts";
import { NO_CANDIDATES } from "../../shield/mirror/diff.ts";
import { compileMessage } from "../../shield/schema/validation/message_schema.ts";
import type { SchemaGate } from "../../shield/schema/gate.ts";
import { register } from "../../shield/schema/registry/register.ts";
import { SetWorker } from "../../shield/schema/registry/set_work.ts";
import { startSchemas } from "../../shield/schema/start.ts";
import { openSchemaStore } from "../../shield/schema/registry/store.ts";
import { openSettings } from "../../shield/settings/settings.ts";
import { errorLog, until } from "../measure/brains.ts";
import {
  type Edition,
  EDITIONS,
  FEED,
  feedMessage,
  feedRegistry,
  feedUpload,
  SIZES,
} from "./governance_feed.ts";
import { type CallTimes, timeCalls } from "./governance_timing.ts";

/** The plan of the measurement. */
export interface ValidatePlan {
  readonly rounds: number;
  /** Time of one measurement in ms. */
  readonly for_ms: number;
}

/** The times of one size under one edition in one round. */
export interface ValidateRound {
  readonly edition: Edition;
  readonly size_bytes: number;
  /** Times of the gate, which is what a message costs more. */
  readonly gate: CallTimes;
  readonly validate: CallTimes;
  readonly decode: CallTimes;
}

/** Number of different messages of a size that take turns. */
const MESSAGES = 16;
/** Fewest calls of a turn: a p99 needs a hundred, a median fewer. */
const GATE_CALLS = 100;
const OTHER_CALLS = 30;
const LIMITS = { headers: 64, header_bytes: 16_384, field_bytes: 256 };
const ALLOW = { unknown_fields: "allow" } as const;

interface Step {
  readonly edition: Edition;
  readonly size_bytes: number;
  measure(for_ms: number): ValidateRound;
}

function scanned(room_id: string, data: Uint8Array): ScannedEnvelope {
  const event = { type: "position", data, content_type: "application/protobuf" };
  return scanEnvelope(writeEnvelope({ room_id, event }), LIMITS);
}

/** The schema check of a Shield, with every edition registered and in force. */
async function openGate(): Promise<SchemaGate> {
  const log = errorLog("bench");
  const now = Date.now;
  const spine = openEmbedded({ log, now });
  const mappings = EDITIONS.map((edition) => ({
    subject: `in.t.${edition}.r.*`,
    schema_id: edition,
    message: FEED,
  }));
  const config = configFrom({ platform: { registry: { mappings } } });
  const store = await openSchemaStore(spine, config.platform.registry.kv_bucket);
  for (const edition of EDITIONS) {
    const by = { by: "bench", now_ms: now(), versions_max: 10 };
    const bytes = feedUpload(edition);
    await register({ store, work: new SetWorker().work }, {
      schema_id: edition,
      bytes,
      compatibility: "NONE",
      ...by,
    });
  }
  const registry = new Registry();
  const settings = await openSettings({ spine, log, registry, now });
  await settings.ready;
  const candidates = NO_CANDIDATES;
  const random = (size_bytes: number) => crypto.getRandomValues(new Uint8Array(size_bytes));
  const { gate } = await startSchemas({
    config,
    spine,
    settings,
    candidates,
    log,
    registry,
    now,
    random,
  });
  const good = scanned("feed", feedMessage(200));
  const passes = (edition: Edition) =>
    gate.check(roomSubject("in", edition, "feed"), edition, good) === undefined;
  await until(() => EDITIONS.every(passes), "the gate has every schema");
  return gate;
}

function step(
  gate: SchemaGate,
  edition: Edition,
  size_bytes: number,
): Step {
  const registry = feedRegistry(edition);
  const desc = registry.getMessage(FEED)!;
  const schema = compileMessage(registry, FEED);
  if (schema.has_rules !== (edition !== "none")) throw new Error(`${edition}: rules got lost`);
  const data = Array.from({ length: MESSAGES }, (_, index) => feedMessage(size_bytes, index * 50));
  const envelopes = data.map((bytes) => scanned("feed", bytes));
  const subject = roomSubject("in", edition, "feed");
  const check = (index: number) => {
    const refusal = gate.check(subject, edition, envelopes[index % MESSAGES]!);
    if (refusal !== undefined) throw refusal.error;
  };
  const validate = (index: number) => {
    const found = schema.validate(data[index % MESSAGES]!, ALLOW);
    if (found.total > 0) throw new Error(JSON.stringify(found.violations));
  };
  const decode = (index: number) => void fromBinary(desc, data[index % MESSAGES]!);
  return {
    edition,
    size_bytes,
    measure: (for_ms) => ({
      edition,
      size_bytes,
      gate: timeCalls({ for_ms, calls_min: GATE_CALLS }, check),
      validate: timeCalls({ for_ms, calls_min: OTHER_CALLS }, validate),
      decode: timeCalls({ for_ms, calls_min: OTHER_CALLS }, decode),
    }),
  };
}

if (import.meta.main) {
  const { rounds, for_ms }: ValidatePlan = JSON.parse(Deno.args[0] ?? "{}");
  const gate = await openGate();
  const steps = EDITIONS.flatMap((edition) => SIZES.map((size) => step(gate, edition, size)));
  // The optimising compiler must have seen every row before anything counts.
  for (const { measure } of steps) measure(for_ms);
  const results: ValidateRound[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const { measure } of steps) results.push(measure(for_ms));
  }
  console.log(JSON.stringify(results));
  Deno.exit(0);
}
