/** A growing message whose room is erased by one Shield while another is about to store it. */
import assert from "node:assert/strict";
import { durableRooms } from "../../shared/testing/room_classes.ts";
import { createIssuer } from "../harness/cluster.ts";
import { startLocalShield } from "../harness/local_bus.ts";
import { startNats } from "../harness/nats_server.ts";
import { deadlyHook, Receiver } from "../hooks/receiver.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { DurableClient } from "../peers/durable_client.ts";

for (const engine of ["embedded", "nats"]) {
  Deno.test(`${engine}: a message that is erased while a Shield asks whether it may end does not stay`, async () => {
    await using nats = engine === "nats" ? await startNats({ jetstream: true }) : undefined;
    await using receiver = new Receiver();
    await using issuer = await createIssuer();
    const config =
      `${nats === undefined ? "" : `[nats]\nurls = ["${nats.url}"]\n`}${issuer.config}` +
      `${durableRooms("deadly")}${deadlyHook(receiver.url)}`;
    await using one = await startLocalShield(config);
    await using second = nats === undefined ? undefined : await startLocalShield(config);
    const role = await issuer.tokenFor({ tenant_id: "default", role: "admin" });
    const admin = new AdminClient(one.ready["admin_url"] ?? "", role);
    const token = await issuer.tokenFor({ tenant_id: "default" });
    using client = await DurableClient.open((second ?? one).socket_url, token);
    const growing = async (name: string, data: object) =>
      await client.ask({ op: "cmd", room: "deadly", name: `growing.${name}`, data });
    await growing("start", { id: "g" });
    await growing("append", { id: "g", seq: 1, text: "secret" });
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<Response>();
    receiver.answer = () => (asked.resolve(), answer.promise);
    const finished = growing("finish", { id: "g", seq: 1 });
    await asked.promise;
    const erased = await admin.ask("POST", "/v1/data/erase", { tenant: "default", room: "deadly" });
    assert.equal(erased.status, 200, erased.text);
    answer.resolve(Response.json({ allow: true }));
    assert.notEqual((await finished).code, 0);
    const { text } = await admin.ask("GET", "/v1/data?tenant=default&room=deadly");
    assert.deepEqual(JSON.parse(text).stores, []);
  });
}
