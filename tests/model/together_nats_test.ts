/**
 * As `together_test.ts`, on NATS: messages arrive at one Shield, and their readers are connected to another; with two
 * Brains.
 */
import { connect } from "@nats-io/transport-deno";
import { startLocalBus } from "../harness/local_bus.ts";
import { startNats } from "../harness/nats_server.ts";
import { startValkey } from "../harness/valkey_server.ts";
import { Receiver } from "../hooks/receiver.ts";
import { startOtlpReceiver } from "../otlp/receiver.ts";
import { natsRows } from "./factors.ts";
import { answersOf, configOf, groundOf, runRows } from "./run.ts";
import { startShadowConsumer } from "./shadow_consumer.ts";

Deno.test("each pair of capabilities behaves as the model of the bus, over NATS", async () => {
  await using receiver = new Receiver();
  receiver.answer = answersOf();
  const rows = natsRows();
  await using collector = await startOtlpReceiver();
  await using valkey = await startValkey();
  await using nats = await startNats({ jetstream: true });
  const config = `${
    configOf(rows, receiver, { quota_url: valkey.url, otlp_url: collector.url })
  }[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = 60_000\napi = true\n`;
  await using bus = await startLocalBus(config);
  await using entry = await startLocalBus(config);
  const connection = await connect({ servers: nats.url });
  await using _connection = { [Symbol.asyncDispose]: () => connection.close() };
  const consumer = await startShadowConsumer(connection);
  const ground = await groundOf(bus, entry, receiver);
  await runRows({ ...ground, collector, nats: connection, shadowsOf: consumer.shadowsOf }, rows);
});
