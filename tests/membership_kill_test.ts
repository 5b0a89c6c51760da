/**
 * The journal of members over SIGKILL of an embedded bus with members: replayed, and compared with the present members.
 * The focus `members` of `walks/` kills Shields and Brains while members come and go; `shield/presence/stays_test.ts`
 * and `brain/membership/` have changes without a Brain.
 */
import assert from "node:assert/strict";
import { until } from "../shared/testing/until.ts";
import { killableEmbedded } from "./kills/killable_embedded.ts";
import { Player } from "./membership/played.ts";
import { HttpPeer } from "./peers/http_peer.ts";
import { ask, openText } from "./peers/raw_client.ts";

type Client = Awaited<ReturnType<typeof openText>>;

const ROOM = "stage-1";
const TABLES = `
[presence]
#constant presence.heartbeat_ms = 200
#constant presence.down_ms = 2_000
#constant presence.brain_timeout_ms = 900
[[rooms]]
room = "stage-*"
membership = "journal"
history_size = 10_000
`;

/** The journal, replayed: throws at an inconsistency. */
async function played(peer: HttpPeer) {
  const player = new Player();
  for (let after = 0;;) {
    const path = `rooms/${ROOM}~members/messages?limit=1000&after=${after}`;
    const { status, body } = await peer.call("GET", path);
    assert.equal(status, 200, JSON.stringify(body));
    for (const { type, data, offset } of body.messages) {
      after = offset;
      player.take(type, JSON.stringify(data));
    }
    if (!body.more) break;
  }
  const { inside, causes, entries, problems } = player.end();
  assert.deepEqual(problems, []);
  return { users: [...inside.values()].toSorted(), causes, entries };
}

async function enter(url: string, token: string): Promise<Client> {
  const client = await openText(`${url.replace("http", "ws")}/v1/socket`, token);
  await ask(client, { op: "sub", room: ROOM, presence: true });
  return client;
}

Deno.test("members of a killed embedded bus have left, once it has restarted", async () => {
  await using bus = await killableEmbedded(TABLES);
  const { urls: [url = ""], token } = bus;
  const peer = new HttpPeer(url, token);
  const first = await enter(url, token);
  await until("it is in the journal", async () => (await played(peer)).entries === 2);
  await bus.killOne(0);
  first.socket.close();
  await until("it has left", async () => (await played(peer)).entries === 4);
  assert.deepEqual((await played(peer)).causes, ["node-lost"]);
  using _again = await enter(url, token);
  await until("another one", async () => (await played(peer)).entries === 6);
});
