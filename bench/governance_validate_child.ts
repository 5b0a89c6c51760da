/**
 * A program that times what the schema step adds to a message: the gate of a Shield as the message
 * path asks it, with its schemas registered and mapped on an embedded Spine, the validation alone,
 * and protobuf-es decoding the same bytes. Prints JSON; `governance_validate.ts` starts it.
 */
import { scanEnvelope, writeEnvelope } from "@arqon/proto";
import type { ScannedEnvelope } from "@arqon/proto";
import { fromBinary } from "@bufbuild/protobuf";
import { openEmbedded } from "../shared/spine/embedded.ts";
import { roomSubject } from "../shared/subject.ts";
import { compileMessage } from "../shield/schema/message_schema.ts";
import { testSchemas, until } from "../shield/schema/test_registry.ts";
import { errorLog } from "./brains.ts";
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

/** What is asked for. */
export interface ValidatePlan {
  readonly rounds: number;
  /** Time of one measurement. */
  readonly for_ms: number;
}

/** One size under one edition, one round. */
export interface ValidateRound {
  readonly edition: Edition;
  readonly size_bytes: number;
  /** Of the gate: what is added to a message. */
  readonly gate: CallTimes;
  readonly validate: CallTimes;
  readonly decode: CallTimes;
}

/** Different messages of a size that take turns. */
const MESSAGES = 16;
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

async function openGate() {
  const spine = openEmbedded({ log: errorLog("bench"), now: Date.now });
  const mappings = EDITIONS.map((edition) => ({
    subject: `in.t.${edition}.r.*`,
    schema_id: edition,
    message: FEED,
  }));
  const { schemas, push } = await testSchemas(spine, { mappings });
  for (const edition of EDITIONS) await push(edition, feedUpload(edition));
  const good = scanned("feed", feedMessage(200));
  const passes = (edition: Edition) =>
    schemas.gate.check(roomSubject("in", edition, "feed"), edition, good) === undefined;
  await until(() => EDITIONS.every(passes), "the gate has every schema");
  return schemas.gate;
}

function step(
  gate: Awaited<ReturnType<typeof openGate>>,
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
      gate: timeCalls(for_ms, check),
      validate: timeCalls(for_ms, validate),
      decode: timeCalls(for_ms, decode),
    }),
  };
}

if (import.meta.main) {
  const { rounds, for_ms }: ValidatePlan = JSON.parse(Deno.args[0] ?? "{}");
  const gate = await openGate();
  const steps = EDITIONS.flatMap((edition) => SIZES.map((size) => step(gate, edition, size)));
  // Warm: the engine's optimising compiler has seen every row before anything counts.
  for (let count = 0; count < 2; count++) for (const { measure } of steps) measure(for_ms);
  const results: ValidateRound[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const { measure } of steps) results.push(measure(for_ms));
  }
  console.log(JSON.stringify(results));
  Deno.exit(0);
}
