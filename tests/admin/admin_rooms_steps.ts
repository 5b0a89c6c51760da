/**
 * What the admin API shows of a room and does in it: its log, its state, its lock, kicks, bans, messages of the admin,
 * and the samples from before the first query. Only the steps; `admin_cluster_test.ts` runs them on two Shields and a
 * Brain.
 */
import assert from "node:assert/strict";
import { insist, until } from "../../shared/testing/until.ts";
import type { Issuer, ServerProcess } from "../harness/cluster.ts";
import { logged } from "../harness/server_state.ts";
import { AdminClient } from "../peers/admin_client.ts";
import { enforce } from "../peers/policy_admin.ts";
import { answered, ask, openText, type RawClient } from "../peers/raw_client.ts";

/** Two Shields. */
interface World {
  readonly issuer: Issuer;
  readonly one: ServerProcess;
  readonly two: ServerProcess;
  /** An operator at the first Shield. */
  readonly admin: AdminClient;
}

/** A client of the second Shield, in these rooms with presence. */
async function join({ issuer, two }: World, sub: string, rooms: readonly string[] = []) {
  const client = await openText(two.socket_url, await issuer.tokenFor({ sub }));
  for (const room of rooms) await ask(client, { op: "sub", room, presence: true });
  return client;
}

/** The next matching frame; others are skipped. */
// deno-lint-ignore no-explicit-any -- whatever JSON there is; the test says what it expects
async function next(client: RawClient, isMeant: (frame: any) => boolean): Promise<any> {
  for (;;) {
    const frame = await client.json();
    if (isMeant(frame)) return frame;
  }
}

const KEPT = "/v1/rooms/acme/kept-1";

async function stored(world: World): Promise<void> {
  const { admin } = world;
  const empty = await admin.read(KEPT);
  assert.equal(empty.stored.messages, 0);
  assert.deepEqual([empty.stored.first_offset, empty.stored.last_offset], [undefined, 0]);
  using ann = await join(world, "ann");
  const offsets: number[] = [];
  for (let n = 1; n <= 8; n++) {
    const pub = { op: "pub", room: "kept-1", type: "chat", data: { n }, ack: true };
    offsets.push((await ask(ann, pub)).offset);
    // Messages of other rooms share the log, and its offsets.
    await ask(ann, { op: "pub", room: "kept-2", type: "chat", data: { n }, ack: true });
  }
  const { stored } = await admin.read(KEPT);
  assert.equal(stored.messages, 5, "as many as the class keeps, however many the log still has");
  assert.deepEqual([stored.first_offset, stored.last_offset], [offsets[3], offsets[7]]);
  const page = await admin.read(`${KEPT}/messages?reverse=true&limit=2`);
  assert.deepEqual(page.messages.map(({ data }: { data: { n: number } }) => data.n), [8, 7]);
  assert.deepEqual([page.offset, page.epoch, page.more], [offsets[7], stored.epoch, true]);
  const older = await admin.read(`${KEPT}/messages?reverse=true&before=${offsets[4]}`);
  assert.deepEqual(older.messages.map(({ offset }: { offset: number }) => offset), [offsets[3]]);
  assert.equal(older.more, false);
  const plain = await admin.get("/v1/rooms/acme/lobby/messages");
  assert.deepEqual([plain.status, plain.body.reason], [400, "not-durable"]);
  assert.equal((await admin.read("/v1/rooms/acme/lobby")).stored, undefined);
  const wrong = await admin.get(`${KEPT}/messages?color=red`);
  assert.deepEqual([wrong.status, wrong.body.reason], [400, "unknown-field"]);
}

async function state(world: World): Promise<void> {
  const { admin } = world;
  using ann = await join(world, "ann", ["kept-1"]);
  const set = (key: string, value: unknown) =>
    ask(ann, { op: "cmd", room: "kept-1", name: "room.set", data: { key, value } });
  await set("topic", "<b>news</b>");
  await set("big", { list: [1, 2, 3] });
  await set("topic", "weather");
  const { lock: none } = await admin.read(KEPT);
  assert.equal(none, null);
  const { result } = await ask(ann, {
    op: "cmd",
    room: "kept-1",
    name: "room.lock",
    data: { ttl_ms: 60_000 },
  });
  const shown = await admin.read(`${KEPT}/state`);
  const { version } = result;
  assert.deepEqual([shown.version, shown.key_count, shown.truncated], [version, 2, false]);
  assert.deepEqual(shown.keys, [
    { key: "topic", size_bytes: 9, version: version - 1 },
    { key: "big", size_bytes: 16, version: version - 2 },
  ]);
  assert.deepEqual([shown.lock.user_id, shown.lock.fence], ["ann", result.fence]);
  assert.ok(shown.lock.until_ms > Date.now());
  assert.deepEqual((await admin.read(KEPT)).lock, shown.lock);
  assert.doesNotMatch(JSON.stringify(shown), /weather/, "values only when they are asked for");
  const one = await admin.read(`${KEPT}/state?key=big`);
  assert.deepEqual([one.key, one.value, one.version], ["big", { list: [1, 2, 3] }, version]);
  const gone = await admin.get(`${KEPT}/state?key=nothing`);
  assert.deepEqual([gone.status, gone.body.reason], [404, "not-found"]);
  const never = await admin.read("/v1/rooms/acme/never/state");
  assert.deepEqual([never.version, never.keys, never.lock], [0, [], null]);
}

async function kicks(world: World): Promise<void> {
  const { admin, one } = world;
  using bob = await join(world, "bob", ["lobby"]);
  const { members } = await admin.until(
    "/v1/rooms/acme/lobby",
    "bob is no member",
    ({ body }) => body.member_count === 1 ? body : undefined,
  );
  const { connection_id } = members[0];
  const kick = { connection_id, reason: "too loud" };
  assert.equal((await admin.ask("POST", "/v1/rooms/acme/lobby/kick", kick)).status, 200);
  const { signal } = await next(bob, ({ signal }) => signal !== undefined);
  assert.deepEqual([signal.kind, signal.reason], ["DISCONNECT", "too loud"]);
  // A kicked user may return at once.
  await ask(bob, { op: "sub", room: "lobby" });
  await logged(one, /by=root msg="an operator's room.kick"/);
  for (
    const [body, text] of [
      [{}, /either user_id or connection_id/],
      [{ user_id: "bob", connection_id }, /either user_id or connection_id/],
      [{ user_id: "bob", reason: "x".repeat(257) }, /reason: /],
      [{ user: "bob" }, /user/],
    ] as const
  ) {
    const refused = await admin.ask("POST", "/v1/rooms/acme/lobby/kick", body);
    assert.equal(refused.status, 400);
    assert.match(refused.body.detail, text);
  }
}

async function bans(world: World): Promise<void> {
  const { admin, issuer, one } = world;
  using bob = await join(world, "bob", ["lobby"]);
  const began_ms = Date.now();
  const out = { user_id: "bob", scope: "room", ttl_ms: 3_600_000, reason: "spam" };
  assert.equal((await admin.ask("POST", "/v1/rooms/acme/lobby/ban", out)).status, 200);
  await next(bob, ({ signal }) => signal?.kind === "BAN");
  const [row] = await admin.until(
    "/v1/bans?tenant=acme",
    "the ban is not listed",
    ({ body }) => body.bans.length === 1 ? body.bans : undefined,
  );
  const { until_ms, created_ms, ...rest } = row;
  assert.deepEqual(rest, {
    tenant_id: "acme",
    user_id: "bob",
    scope: "room",
    room_id: "lobby",
    reason: "spam",
    by: "root",
  });
  assert.ok(until_ms - created_ms === 3_600_000 && created_ms > began_ms - 60_000);
  const all = { user_id: "bob", scope: "tenant" };
  assert.equal((await admin.ask("POST", "/v1/rooms/acme/lobby/ban", all)).status, 200);
  assert.equal((await bob.closed()).code, 4403);
  const listed = await admin.until(
    "/v1/bans?user=bob",
    "the second ban is not listed",
    ({ body }) => body.total === 2 ? body.bans : undefined,
  );
  const scopes = listed.map((ban: Record<string, unknown>) => [ban.scope, ban.until_ms === 0]);
  assert.deepEqual(scopes, [["tenant", true], ["room", false]], "of the whole tenant first");
  assert.equal((await admin.read("/v1/bans?room=lobby")).total, 1);
  assert.equal((await admin.read("/v1/bans?tenant=other")).total, 0);
  const cut = await admin.read("/v1/bans?limit=1");
  assert.deepEqual([cut.bans.length, cut.total, cut.truncated], [1, 2, true]);
  const claims = { role: "admin", sub: "chief", tenant_id: "other" };
  const other = new AdminClient(one.ready.admin_url ?? "", await issuer.tokenFor(claims));
  assert.equal((await other.read("/v1/bans")).total, 0, "what is another tenant's is not counted");
  const foreign = await other.ask("DELETE", "/v1/bans?tenant=acme&user=bob");
  assert.deepEqual([foreign.status, foreign.body.reason], [403, "tenant-mismatch"]);

  const lift = (query: string) => admin.ask("DELETE", `/v1/bans?tenant=acme&user=bob${query}`);
  assert.equal((await lift("")).body.lifted, true);
  assert.equal((await lift("")).body.lifted, false, "there is none any more");
  await logged(one, /msg="an operator lifted a ban"/);
  // As soon as this Shield knows it.
  using back = await insist("bob gets in", () => join(world, "bob"));
  const sub = { op: "sub", room: "lobby" };
  assert.equal((await answered(back, sub)).reason, "room-banned");
  assert.equal((await lift("&room=lobby")).body.lifted, true);
  await until("the room lets bob in", async () => (await answered(back, sub)).code === 0);
  assert.equal((await admin.read("/v1/bans")).total, 0);
  const bad = await admin.ask("POST", "/v1/rooms/acme/lobby/ban", { user_id: "", scope: "room" });
  assert.match(bad.body.detail, /user_id: expected a user id of 1 to 128 bytes/);
}

async function publishes(world: World): Promise<void> {
  const { admin, issuer, one } = world;
  using ann = await join(world, "ann", ["kept-1", "lobby"]);
  const message = { type: "notice", data: { text: "<b>hello</b>" } };
  const answer = await admin.ask("POST", `${KEPT}/messages`, message);
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const received = await next(ann, ({ op, type }) => op === "msg" && type === "notice");
  assert.deepEqual([received.data, received.sender, received.offset], [
    message.data,
    "root",
    answer.body.offset,
  ]);
  assert.equal(received.headers["x-arqon-admin"], "acme", "who hears it knows what it is");
  assert.equal(answer.body.epoch, (await admin.read(KEPT)).stored.epoch);
  const data = { base64: "AQID" };
  const plain = { type: "note", data, content_type: "application/octet-stream" };
  const elsewhere = await admin.ask("POST", "/v1/rooms/acme/lobby/messages", plain);
  assert.deepEqual([elsewhere.status, elsewhere.body.offset], [200, undefined]);
  const note = await next(ann, ({ type }) => type === "note");
  assert.deepEqual([note.data, note.content_type], [data, plain.content_type]);
  await logged(one, /msg="an operator published in a room"/);
  const exact = ' {"data":12345678901234567890,"type":"exact"}';
  assert.equal((await admin.ask("POST", `${KEPT}/messages`, exact)).status, 200);
  const raw = await admin.get(`${KEPT}/messages?reverse=true&limit=1`);
  assert.match(raw.text, /"data":12345678901234567890/, "what was written is what is stored");

  // A client cannot present its message as an admin's.
  const headers = { "x-arqon-admin": "acme" };
  ann.send({ op: "pub", room: "lobby", type: "forged", data: 1, headers });
  const forged = await next(ann, ({ type }) => type === "forged");
  assert.equal(forged.headers["x-arqon-admin"], undefined);

  // Messages of the admin take the normal path: the token, policies and schemas may refuse them.
  const grants = [{ room: "kept-*", actions: ["publish"] }];
  const token = await issuer.tokenFor({ role: "admin", sub: "narrow", grants });
  const narrow = new AdminClient(one.ready.admin_url ?? "", token);
  const refused = await narrow.ask("POST", "/v1/rooms/acme/lobby/messages", message);
  assert.deepEqual([refused.status, refused.body.reason], [403, "not-granted"]);
  assert.equal((await narrow.ask("POST", `${KEPT}/messages`, message)).status, 200);
  const admin_url = one.ready.admin_url ?? "";
  const operator = { admin_url, tokenFor: () => issuer.tokenFor({ role: "admin", sub: "root" }) };
  await enforce(operator, "bad_words", { tenant: "acme", name: "words", room: "lobby" });
  const bad = { type: "chat", data: { text: "malware" } };
  const rejected = await admin.ask("POST", "/v1/rooms/acme/lobby/messages", bad);
  assert.deepEqual([rejected.status, rejected.body.reason], [403, "policy-rejected"]);
  for (
    const [body, status, text] of [
      [{ data: 1 }, 400, /type: /],
      [{ type: "chat", data: 1, headers: {} }, 400, /headers/],
      ["{", 400, /JSON/],
      [{ type: "chat", data: "x".repeat(300_000) }, 413, /too large/i],
    ] as const
  ) {
    const wrong = await admin.ask("POST", `${KEPT}/messages`, body);
    assert.equal(wrong.status, status, JSON.stringify(wrong.body));
    assert.match(wrong.body.detail, text);
  }
}

/** Every process reports its samples from before the first query, and later ones. */
async function minutes({ admin, one, two }: World): Promise<void> {
  const found = await admin.until(
    "/v1/cluster/history",
    "no process has two samples",
    ({ body }) =>
      body.nodes.length === 3 &&
        body.nodes.every(({ samples }: { samples: unknown[] }) => samples.length >= 2)
        ? body
        : undefined,
  );
  assert.equal(found.every_ms, 5_000);
  for (const { samples, kind, node_id } of found.nodes) {
    assert.ok(samples.length <= 61);
    const ages = samples.map(({ age_ms }: { age_ms: number }) => age_ms);
    assert.deepEqual(ages, ages.toSorted((a: number, b: number) => b - a), "the oldest first");
    const first = samples[0];
    const last = samples.at(-1);
    const between_ms = last.uptime_ms - first.uptime_ms;
    assert.ok(
      Math.abs(first.age_ms - last.age_ms - between_ms) < 2_000,
      `${node_id} ${between_ms}`,
    );
    assert.ok(last.rss_bytes > 1e7 && last.cpu_seconds >= first.cpu_seconds);
    assert.equal(typeof last.connections, kind === "shield" ? "number" : "undefined");
  }
  const { node_id } = two.ready;
  const own = await admin.read(`/v1/cluster/history?node=${node_id}`);
  assert.deepEqual(own.nodes.map((node: { node_id: string }) => node.node_id), [node_id]);
  const { totals } = (await admin.read(`/v1/cluster?node=${node_id}`)).nodes[0];
  const newest = await admin.until(
    `/v1/cluster/history?node=${node_id}`,
    "the samples stand still",
    ({ body }) => {
      const sample = body.nodes[0].samples.at(-1);
      return sample.ingress_messages >= totals.ingress_messages ? sample : undefined;
    },
  );
  assert.deepEqual(newest.rejects, totals.rejects);
  assert.equal((await admin.get("/v1/cluster/history?node=nobody")).status, 404);
  assert.doesNotMatch(one.log(), /no sample was taken/);
}

/** The class of its rooms, for the Shields' configuration. */
export const KEPT_ROOMS = '[[rooms]]\nroom = "kept-*"\ndurable = true\nhistory_size = 5\n';

/** A room is shown with its content, and operated. */
export const ROOM_STEPS = { stored, state, kicks, bans, publishes, minutes };
