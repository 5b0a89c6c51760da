/** Centrifugo's server API with its unchanged library for Python, `cent`, which decodes answers with its own types. */
import assert from "node:assert/strict";
import { startLocalBus } from "./harness/local_bus.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const VENV = `${ROOT}.arqon/cent_python`;
const KEY = "a key of a backend";
const CONFIG = `
[centrifugo]
enabled = true

[[centrifugo.api_keys]]
tenant = "default"
key_file = "${secretFile(KEY)}"

[[rooms]]
room = "log:*"
durable = true
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
import { secretFile } from "../shared/config/testing/secret_file.ts";

async function must(program: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args }).output();
  assert.ok(success, `${program}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

Deno.test("Centrifugo's library for Python works with the bus as with its own server", async () => {
  await must("python3", "-m", "venv", VENV);
  await must(`${VENV}/bin/pip`, "install", "--quiet", "cent==5.2.0");
  await using bus = await startLocalBus(CONFIG);
  const url = new URL("/api", bus.http_url).href;
  const output = await must(`${VENV}/bin/python`, "-c", PROGRAM, url, KEY);
  assert.equal(output, "108\nunauthorized\n");
});
