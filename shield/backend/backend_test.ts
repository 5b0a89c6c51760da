/** What a backend of the process finds in a room's log. */
import assert from "node:assert/strict";
import { writeEnvelope } from "@arqon/proto";
import { configFrom } from "../../shared/config/load.ts";
import { tenantClass, testDurable } from "../durable/testing/durable.ts";
import { createBackend } from "./capability.ts";

for (const others of [[], [{ room: "other", durable: true }]]) {
  Deno.test(`a backend finds what it published while its room was durable, beside ${others.length} durable classes`, async () => {
    await using test = testDurable(others);
    test.classes.setTenant("acme", [tenantClass("log-*", { durable: true })]);
    const log = await test.durable.logs.of("acme");
    const envelope = { room_id: "log-a", sender_id: "bridge", event: { type: "order" } };
    for (const message_id of ["1", "2"]) {
      await log.append("log-a", writeEnvelope({ ...envelope, message_id }));
    }
    test.classes.setTenant("acme", []);
    const { spine, durable: { logs }, classes } = test;
    const given = { operations: { context: {} }, logs, rooms: { classes } };
    const parts = given as unknown as Parameters<typeof createBackend>[1];
    const who = { tenant_id: "acme", user_id: "bridge", issuer: "arqon:bridge" };
    const backend = createBackend({ config: configFrom({}), now: Date.now, spine }, parts, who);
    const pages = await Array.fromAsync(backend.storedBack("log-a"));
    const found = pages.flatMap(({ messages }) => messages);
    assert.deepEqual(found.map(({ message_id, sender }) => [message_id, sender]), [
      ["2", "bridge"],
      ["1", "bridge"],
    ]);
  });
}
