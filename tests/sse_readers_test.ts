/** Server-sent events with third-party software: nginx and HAProxy in between, and Chromium's EventSource. */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { startLocalBus, type TestBus } from "./harness/local_bus.ts";
import { runInChild } from "./harness/child_scenarios.ts";
import { sampleAt } from "./harness/server_state.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { type Proxy, startHaproxy, startNginx } from "./proxies/proxies.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[server]
drain_ms = 500
${durableRooms("kept*", "history_size = 1_000")}
`;

const portOf = (bus: TestBus) => Number(new URL(bus.http_url).port);

async function comesThrough(bus: TestBus, proxy: Proxy): Promise<void> {
  const peer = new HttpPeer(bus.http_url, bus.token);
  const url = `http://127.0.0.1:${proxy.port}/v1/rooms/kept/events`;
  using reader = await EventReader.open(url, { token: bus.token });
  await reader.until("subscribed");
  for (const n of [1, 2, 3]) {
    await peer.done("POST", "rooms/kept/messages", { type: "t", data: n });
    assert.equal((await reader.until("message")).data.data, n);
  }
}

Deno.test("events through nginx, which would hold answers back, and through HAProxy", async () => {
  await using bus = await startLocalBus(CONFIG);
  await using nginx = await startNginx(portOf(bus));
  await comesThrough(bus, nginx);
  await using haproxy = await startHaproxy(portOf(bus), "forwarded-for");
  await comesThrough(bus, haproxy);
});

Deno.test("a proxy that buffers answers shows by the missing welcome", async () => {
  await using bus = await startLocalBus(CONFIG);
  const lines = "proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;";
  await using nginx = await startNginx(portOf(bus), false, lines);
  const service = new HttpPeer(bus.http_url, await bus.tokenFor({ role: "service" }));
  const token = await bus.tokenFor({ user: "zoe" });
  const url = `http://127.0.0.1:${nginx.port}/v1/rooms/r/events`;
  // The header of the answer waits, too: nothing arrives before the end.
  let has_come = false;
  const reading = EventReader.open(url, { token }).then((reader) => {
    has_come = true;
    return reader.rest();
  });
  const present = async () => {
    const { body } = await service.call("POST", "rooms/r/kick", { user_id: "zoe" });
    return body.code === 0;
  };
  const streams = async () => await sampleAt(bus.ops_url, "shield_event_streams") === 1;
  await until("the stream is open", streams);
  await service.done("POST", "rooms/r/messages", { type: "t", data: 1 });
  const has_come_before_the_end = has_come;
  await until("it is put out", present);
  // The room's report of the kick may arrive before the kick.
  const events = (await reading).filter(({ data }) => data.type !== "ROOM_UPDATE");
  const names = events.map(({ name }) => name);
  assert.deepEqual(names, ["welcome", "subscribed", "message", "signal", "closed"]);
  assert.equal(has_come_before_the_end, false);
});

Deno.test("events in Chromium", (t) => runInChild(t, "tests/events_child.ts"));
