/** Server-sent events in Python's `httpx-sse`, which makes an event of each blank line once there was an id. */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";
import { pythonPackages } from "../tasks/checkout/programs.ts";
import { StreamedCommand } from "../tasks/checkout/streamed_command.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { EventReader } from "./peers/event_reader.ts";
import { HttpPeer } from "./peers/http_peer.ts";

const PYTHON = `
import json, sys
import httpx
from httpx_sse import connect_sse
url, token = sys.argv[1:]
with httpx.Client(timeout=None, headers={"Authorization": f"Bearer {token}"}) as client:
    with connect_sse(client, "GET", url) as source:
        for event in source.iter_sse():
            print(json.dumps([event.event, event.data]), flush=True)
`;

Deno.test("a heartbeat is no event for httpx-sse", async () => {
  const bin = await pythonPackages("sse_httpx", ["httpx==0.28.1", "httpx-sse==0.4.3"]);
  await using bus = await startLocalBus(`[server]\nheartbeat_ms = 1_000\n${durableRooms("kept*")}`);
  const url = `${bus.http_url}/v1/rooms/kept/events`;
  await using python = StreamedCommand.start(
    [`${bin}/python`, "-c", PYTHON, url, bus.token],
    { stderr: "inherit" },
  );
  const events = () => python.lines.map((line): [string, string] => JSON.parse(line));
  await until("it is subscribed", () => events().length >= 2);
  using beside = await EventReader.open(url, { token: bus.token });
  const peer = new HttpPeer(bus.http_url, bus.token);
  const publish = (data: number) => peer.done("POST", "rooms/kept/messages", { type: "t", data });
  await publish(1);
  void beside.rest().catch(() => {});
  await until("three heartbeats", () => beside.comments >= 3);
  await publish(2);
  await until("both messages", () => events().at(-1)?.[1].includes('"data":2') === true);
  const names = events().map(([name, data]) => `${name} ${data === "" ? "empty" : "full"}`);
  const messages = ["message full", "message full"];
  assert.deepEqual(names, ["welcome full", "subscribed full", ...messages]);
});
