/**
 * Records of a newer ArqonBus are considered neither damaged nor absent, for every kind that is stored with or without
 * a format.
 */
import assert from "node:assert/strict";
import { decodeRecord as decodeLife } from "../brain/rooms/lives/room_lives.ts";
import { decodeDocument } from "../brain/rooms/store/stored_document.ts";
import { decodeRecord as decodeGrowing } from "../shield/growing/record.ts";
import { parseDocument } from "../shield/policy/chain/chain.ts";
import { decodeSchedule } from "../shield/schedules/schedule.ts";
import { decodeSchemaRecord } from "../shield/schema/registry/store.ts";
import { decodeRecord as decodeStream } from "../shield/streams/record.ts";
import { decodeRollout } from "../shared/rollout/rollout.ts";
import { decodeFold } from "../shared/usage/fold.ts";
import { decodeMinute } from "../shared/usage/minute.ts";
import { decodeBook } from "../shared/usage/price_book.ts";
import { decodeBan } from "../shared/records/bans.ts";
import { decodeBusSchemas } from "../shared/records/bus_schemas.ts";
import { readDeadLetter, readHookDocument, readPosition } from "../shared/records/hook_document.ts";
import { decodeDeployment } from "../shared/records/reducer_deployment.ts";
import { decodePoints } from "../shared/records/reducer_points.ts";
import { decodeRecord as decodeReduced, decodeRemoval } from "../shared/records/reducer_record.ts";
import { decodeRevocation } from "../shared/records/revocations.ts";
import { onNewer, readStored, unlessNewer } from "../shared/records/stored.ts";
import { decodeSettings } from "../shared/records/tenant_settings.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const NEWER = bytes('{"format":99}');

/** Decoders that throw, by the name of their records. */
const THROW: Readonly<Record<string, () => unknown>> = {
  room: () => decodeDocument(bytes('{"format":99}\n'), 1),
  life: () => decodeLife(NEWER),
  growing: () => decodeGrowing(NEWER),
  schedule: () => decodeSchedule(NEWER),
  stream: () => decodeStream(NEWER),
  minute: () => decodeMinute(bytes('{"v":99}')),
  fold: () => decodeFold("hour", bytes('{"v":99}')),
  "price book": () => decodeBook(bytes('{"v":99}')),
  ban: () => decodeBan(NEWER),
  revocation: () => decodeRevocation(NEWER),
  hook: () => readHookDocument(NEWER),
  position: () => readPosition(NEWER),
  dead: () => readDeadLetter(NEWER),
  deployment: () => decodeDeployment(NEWER),
  points: () => decodePoints(NEWER),
  reduced: () => decodeReduced(NEWER),
  removal: () => decodeRemoval(NEWER),
};
/** Decoders that return what is wrong. */
const SAY: Readonly<Record<string, () => object>> = {
  policies: () => parseDocument(NEWER),
  schema: () => decodeSchemaRecord(NEWER),
  rollout: () => decodeRollout(NEWER),
  schemas: () => decodeBusSchemas(NEWER),
  settings: () => decodeSettings("acme", NEWER),
};

for (const [name, read] of Object.entries(THROW)) {
  Deno.test(`stored: a newer ${name} is refused, and counted`, () => {
    const records: string[] = [];
    using _listening = onNewer((record) => records.push(record));
    assert.throws(read, { reason: "incompatible-version", code: 503 });
    assert.equal(records.length, 1);
    assert.equal(unlessNewer(read), "newer");
  });
}

for (const [name, read] of Object.entries(SAY)) {
  Deno.test(`stored: of newer ${name} the problem says so, and it is counted`, () => {
    const records: string[] = [];
    using _listening = onNewer((record) => records.push(record));
    assert.match(JSON.stringify(read()), /"problem":"[^"]*a newer ArqonBus has stored/);
    assert.equal(records.length, 1);
  });
}

Deno.test("stored: damaged records are ignored, and known formats are read", () => {
  const schema = { safeParse: (value: unknown) => ({ data: value }) } as never;
  assert.equal(readStored(bytes("{"), schema, "x"), undefined);
  assert.equal(readStored(bytes("7"), schema, "x"), 7);
  assert.deepEqual(readStored(bytes('{"format":2}'), schema, "x", 2), { format: 2 });
});
