/** Centrifugo's server API with its unchanged library for Python, `cent`, which decodes answers with its own types. */
import assert from "node:assert/strict";
import { must, pythonPackages } from "../tasks/checkout/programs.ts";
import { startLocalBus } from "./harness/local_bus.ts";
import { apiKey, KEY } from "./peers/centrifugo_peer.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const CONFIG = `
[centrifugo]
enabled = true
${apiKey()}
${durableRooms("log:*")}
`;
const PROGRAM = `
import sys
from cent import *
url, key = sys.argv[1:]
client = Client(url, key)
one = client.publish(PublishRequest(channel="log:a", data={"n": 1}, tags={"lang": "en"}))
again = BroadcastRequest(channels=["log:a", "x" * 65], data=[2], idempotency_key="k")
ok, refused = client.broadcast(again).responses
page = client.history(HistoryRequest(channel="log:a", limit=10))
assert [p.data for p in page.publications] == [{"n": 1}, [2]], page
assert (ok.result.offset, one.epoch) == (page.offset, page.epoch), (ok, one, page)
assert refused.error.code == 107, refused
assert client.presence(PresenceRequest(channel="log:a")).presence == {}
assert client.channels(ChannelsRequest()).channels == {}
assert client.info(InfoRequest()).nodes[0].num_clients == 0
client.unsubscribe(UnsubscribeRequest(user="ann", channel="log:a"))
client.disconnect(DisconnectRequest(user="ann"))
stats = PresenceStatsRequest(channel="log:a")
done = client.batch(BatchRequest(requests=[PublishRequest(channel="log:a", data=3), stats]))
assert done.replies[1].num_users == 0, done
try:
    client.history_remove(HistoryRemoveRequest(channel="log:a"))
except CentApiResponseError as error:
    print(error.code)
try:
    Client(url, "wrong").info(InfoRequest())
except CentUnauthorizedError:
    print("unauthorized")
`;

Deno.test("Centrifugo's library for Python works with the bus as with its own server", async () => {
  const bin = await pythonPackages("cent_python", ["cent==5.2.0"]);
  await using bus = await startLocalBus(CONFIG);
  const url = new URL("/api", bus.http_url).href;
  const { stdout } = await must(`${bin}/python`, ["-c", PROGRAM, url, KEY]);
  assert.equal(stdout, "108\nunauthorized\n");
});
