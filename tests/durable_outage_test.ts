/** A room whose log is deleted on a real NATS, on the wire. `tests/model/faults_nats_test.ts` kills NATS. */
import assert from "node:assert/strict";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-deno";
import { seen } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { DurableClient, numbers } from "./peers/durable_client.ts";
import { type NatsServer, startNats } from "./harness/nats_server.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const open = (bus: TestBus) => DurableClient.open(bus.url, bus.token);

/** As an operator would by mistake. */
async function deleteLogs(nats: NatsServer): Promise<void> {
  const connection = await connect({ servers: nats.url });
  const manager = await jetstreamManager(connection);
  const names: string[] = [];
  for await (const name of manager.streams.names()) if (name.startsWith("LOG_")) names.push(name);
  assert.ok(names.length > 0, "there is no log");
  for (const name of names) await manager.streams.delete(name);
  await connection.close();
}

/** Publishes until it is accepted. */
async function publishAnyhow(client: DurableClient, room: string, data: unknown): Promise<number> {
  const { offset } = await seen(
    "the log is available again",
    () => client.pub(room, data),
    (answer) => {
      if (answer.code !== 0) assert.equal(answer.reason, "log-unavailable");
      return answer.code === 0;
    },
  );
  return offset as number;
}

Deno.test("a log deleted under a running Shield: live subscribers are notified and continue", async () => {
  await using nats = await startNats({ jetstream: true });
  await using bus = await startLocalBus(`[nats]\nurls = ["${nats.url}"]\n${durableRooms("log-*")}`);
  using publisher = await open(bus);
  using reader = await open(bus);
  const { epoch } = await reader.join("log-1");
  const offsets = await publisher.fill("log-1", numbers(0, 5));
  await reader.receives(offsets);
  await deleteLogs(nats);
  const offset = await publishAnyhow(publisher, "log-1", "of the new log");
  const { signal } = await reader.next();
  assert.deepEqual([signal?.kind, signal?.reason], ["GAP", "epoch-changed"]);
  const more = await publishAnyhow(publisher, "log-1", "more");
  let next = await reader.next();
  // A Shield that checks the new log before its first message has already reported that loss.
  if (next.offset === offset) {
    assert.equal(next.data, "of the new log");
    next = await reader.next();
  }
  assert.deepEqual([next.data, next.offset], ["more", more]);
  using back = await open(bus);
  const answer = await back.join("log-1", { after_offset: offsets[4], epoch });
  assert.deepEqual([answer.recovered, answer.reason], [false, "epoch-changed"]);
  assert.notEqual(answer.epoch, epoch);
  assert.equal(answer.offset, more);
});
