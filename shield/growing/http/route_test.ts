/** One request as a growing message, beside the ends of others. `tests/growing_test.ts` has whole requests. */
import assert from "node:assert/strict";
import type { ScannedEnvelope } from "@arqon/proto";
import { writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../../shared/config/load.ts";
import { roomSubject } from "../../../shared/subjects/subject.ts";
import { ann } from "../../auth/testing/identity.ts";
import type { ClientCall } from "../../http/route.ts";
import { EMPTY_ACK } from "../../message/request_ref.ts";
import { createStats } from "../../stats/stats.ts";
import { TenantTable } from "../../stats/tenant_stats.ts";
import { testSpine } from "../../testing/spine.ts";
import { growingRoute, type GrowingRouteContext } from "./route.ts";

const STARTED_MS = 2_000;
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));

/** A request whose body is open, to a Shield that accepts every command. */
function begun() {
  const { spine, ...engine } = testSpine();
  const names: string[] = [];
  const context: GrowingRouteContext = {
    spine,
    limits: configFrom({}).limits,
    query_token: false,
    now: () => 0,
    stats: createStats(),
    tenants: new TenantTable(),
    rates: { take: () => {} },
    requireNotRevoked: () => {},
    path: {},
    growing: {
      answer(_caller, { command }: ScannedEnvelope) {
        names.push(command!.name);
        const answer = { seq: 0, started_ms: STARTED_MS, idle_ms: 60_000, outcome: "finished" };
        return Promise.resolve({ ...EMPTY_ACK, request_id: 0, result: encode(answer) });
      },
    },
  };
  const body = new TransformStream<Uint8Array, Uint8Array>();
  const url = new URL("http://127.0.0.1/v1/rooms/r/streams?id=a1");
  const request = new Request(url, { method: "POST", body: body.readable });
  const client = { identity: ann, remote_ip: "" };
  const call = { request, client, url, names: { room: "r" } } as unknown as ClientCall;
  const answered = growingRoute(context).answer(call);
  const writer = body.writable.getWriter();
  return {
    answered,
    writer,
    names,
    engine,
    /** Another Shield publishes the end of a message with that id. */
    async end(started_ms: number) {
      const data = encode({ op: "end", id: "a1", started_ms, outcome: "stopped", reason: "" });
      const event = { type: "growing", data, content_type: "application/json" };
      const envelope = writeEnvelope({ room_id: "r~growing", event });
      spine.publish(roomSubject("in", ann.tenant_id, "r~growing"), envelope);
      await spine.flush();
    },
  };
}

Deno.test("the repeated end of an earlier message with the same id ends no request", async () => {
  const { answered, writer, names, engine, end } = begun();
  await writer.write(new TextEncoder().encode("a"));
  await end(STARTED_MS - 1);
  await writer.close();
  assert.equal((await answered).status, 200);
  assert.deepEqual(names, ["growing.start", "growing.append", "growing.finish"]);
  await engine[Symbol.asyncDispose]();
});

Deno.test("the end of the message itself ends its request in the middle of the body", async () => {
  const { answered, writer, engine, end } = begun();
  await writer.write(new TextEncoder().encode("a"));
  const refused = assert.rejects(answered, { reason: "growing-ended" });
  await end(STARTED_MS);
  await refused;
  await writer.abort().catch(() => {});
  await engine[Symbol.asyncDispose]();
});
