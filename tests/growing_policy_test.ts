/**
 * Policies that judge growing messages (`on_append`), on a running bus: text that they release, hold back, replace and
 * stop, and their faults.
 */
import assert from "node:assert/strict";
import { connect, type Connection } from "@arqon/sdk";
import { openStream, stopStream, stream } from "@arqon/sdk/streams";
import { refusedWith } from "../sdk/typescript/testing/scripted_peer.ts";
import { binary, guestText } from "../shield/policy/testing/guests.ts";
import { until } from "../shared/testing/until.ts";
import { Received, stored } from "./growing/received.ts";
import { cutAnywhere } from "./growing/judged_cases.ts";
import { startLocalBus, startLocalShield, type TestBus } from "./harness/local_bus.ts";
import { createIssuer } from "./harness/cluster.ts";
import { startNats } from "./harness/nats_server.ts";
import { type PolicyAdmin, policyAdmin } from "./peers/policy_admin.ts";
import { AdminClient } from "./peers/admin_client.ts";
import { durableRooms } from "../shared/testing/room_classes.ts";

const ROOMS = `
[policy]
# What loops is refused by its fuel. No verdict is late because the machine is busy.
stall_ms = 60_000
${durableRooms("chat-*")}
`;
const MASK = new URL("../policies/build/phrase_mask.wasm", import.meta.url);
const on_append = (body: string, more = "") =>
  binary(guestText({ hook: "on_append", abi: 2, body, more }));
/** Holds everything back as long as allowed. */
const HOLDS = on_append(
  "(call $add_header (i32.const 0) (i32.const 7) (i32.const 16) (i32.const 1)) (i32.const 0)",
  '(data (i32.const 0) "release") (data (i32.const 16) "0")',
);
/** Refuses text whose first byte is "!". */
const STOPS = on_append(
  `(if (i32.eq (i32.load8_u (i32.add (call $get_payload) (i32.const 4))) (i32.const 33))
    (then (call $reject (i32.const 403) (i32.const 0) (i32.const 6)))) (i32.const 0)`,
  '(data (i32.const 0) "rather")',
);
/** Never ends. */
const LOOPS = on_append("(loop $again (br $again)) (i32.const 0)");

async function deploy(
  admin: PolicyAdmin,
  bytes: Uint8Array<ArrayBuffer>,
  binding: Readonly<Record<string, unknown>>,
): Promise<void> {
  const uploaded = await admin.upload(bytes);
  assert.equal(uploaded.status, 200, JSON.stringify(uploaded.body));
  assert.deepEqual(uploaded.body["hooks"], ["on_append"]);
  const deployed = await admin.post("deploy", { sha256: uploaded.body["sha256"], ...binding });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
}

const open = async (bus: TestBus, user: string): Promise<Connection> =>
  await connect({ url: bus.url, token: await bus.tokenFor({ user }) });

/**
 * Held-back text when a message ends: it is delivered, unless a policy refuses it, and never where nobody may have it.
 */
async function ended(ann: Connection, bob: Connection): Promise<void> {
  const room = ann.room("chat-mask-ends");
  using received = new Received(bob.room("chat-mask-ends"));
  const held = async (id: string) => {
    const out = await openStream(room, { id });
    await out.write("ask for project fal");
    await until("the released part is received", () => received.of(id)?.text === "ask for ");
    return out;
  };
  await (await held("finished")).finish();
  await until("the rest is received", () => received.of("finished")?.state === "finished");
  assert.equal(received.of("finished")?.text, "ask for project fal");
  await held("stopped");
  await stopStream(bob.room("chat-mask-ends"), "stopped");
  await until("the rest is received", () => received.of("stopped")?.state === "stopped");
  assert.equal(received.of("stopped")?.text, "ask for project fal");
  await (await held("dropped")).abort("no", { keep: false });
  await until("its end is received", () => received.of("dropped")?.state === "aborted");
  assert.equal(received.of("dropped")?.text, "ask for ");
  const texts = (await stored(room)).map((message) => message.text());
  assert.deepEqual(texts, ["ask for project fal", "ask for project fal"]);
}

/** A policy ends a message: readers keep what they have, its producer gets the reason. */
async function stops(ann: Connection, bob: Connection): Promise<void> {
  const room = ann.room("chat-stop");
  using received = new Received(bob.room("chat-stop"));
  const source = (async function* () {
    yield "so far";
    await until("it is received", () => received.of("a")?.text === "so far");
    yield "! and no further";
  })();
  await assert.rejects(stream(room, source, { id: "a" }), (error) => {
    const { reason, message } = error as { reason: string; message: string };
    // The end may be received before the answer.
    assert.ok(["policy-rejected", "growing-ended"].includes(reason), message);
    return /rather/.test(message);
  });
  await until("the end is received", () => received.of("a")?.state === "aborted");
  assert.equal(received.of("a")?.text, "so far");
  assert.match(received.of("a")?.reason ?? "", /rather/);
  const [message] = await stored(room);
  assert.equal(message?.text(), "so far");
  assert.equal(message?.headers["x-arqon-growing"], "aborted");
  const late = room.command("growing.append", { id: "a", seq: 2, text: "x" });
  await assert.rejects(late, refusedWith("growing-ended"));
}

/** A policy that fails releases nothing; one that holds back too much ends the message. */
async function failsClosed(ann: Connection, bob: Connection): Promise<void> {
  const loops = ann.room("chat-loop");
  using received = new Received(bob.room("chat-loop"));
  await loops.command("growing.start", { id: "a" });
  for (let time = 0; time < 2; time++) {
    const looping = loops.command("growing.append", { id: "a", seq: 1, text: "secret" });
    await assert.rejects(looping, refusedWith("policy-fault"));
  }
  const { text, seq } = (await loops.command("growing.get", { id: "a" }))
    .json<{ text: string; seq: number }>()!;
  assert.deepEqual({ text, seq }, { text: "", seq: 0 });
  await loops.command("growing.abort", { id: "a" });
  assert.deepEqual(received.pieces("a").join(""), "");
  const holds = ann.room("chat-hold");
  await holds.command("growing.start", { id: "b" });
  await holds.command("growing.append", { id: "b", seq: 1, text: "x".repeat(64) });
  const more = holds.command("growing.append", { id: "b", seq: 2, text: "x" });
  await assert.rejects(more, refusedWith("message-too-large"));
  const finishing = holds.command("growing.finish", { id: "b" });
  await assert.rejects(finishing, refusedWith("growing-unknown"));
  assert.deepEqual(await stored(holds), []);
}

Deno.test("policies check growing messages before anybody receives them", async (t) => {
  await using bus = await startLocalBus(ROOMS, { constants: { growing: { held_bytes: 64 } } });
  const admin = await policyAdmin(bus);
  const tenant = "default";
  await deploy(admin, await Deno.readFile(MASK), { tenant, name: "mask", room: "chat-mask*" });
  await deploy(admin, STOPS, { tenant, name: "stops", room: "chat-stop" });
  await deploy(admin, HOLDS, { tenant, name: "holds", room: "chat-hold" });
  await deploy(admin, LOOPS, { tenant, name: "loops", room: "chat-loop" });
  await using ann = await open(bus, "ann");
  await using bob = await open(bus, "bob");
  const cut = () => cutAnywhere([ann], bob, "chat-mask", 25);
  await t.step("however a text is cut, no reader has a phrase", cut);
  await t.step("held-back text at the end of a message", () => ended(ann, bob));
  await t.step("a policy stops a message", () => stops(ann, bob));
  await t.step("a policy that cannot decide releases nothing", () => failsClosed(ann, bob));
});

Deno.test("held-back text of an abandoned message is dropped at its end", async () => {
  await using bus = await startLocalBus(`${ROOMS}[growing]\n#constant growing.idle_ms = 8_000\n`);
  const admin = await policyAdmin(bus);
  const binding = { tenant: "default", name: "mask" };
  await deploy(admin, await Deno.readFile(MASK), binding);
  await using ann = await open(bus, "ann");
  const room = ann.room("chat-left");
  using received = new Received(room);
  await room.command("growing.start", { id: "left" });
  await room.command("growing.append", { id: "left", seq: 1, text: "The Geheim" });
  await until("it was abandoned", () => received.of("left")?.state === "aborted");
  assert.equal(received.of("left")?.text, "The Geheim");
  assert.deepEqual((await stored(room)).map((message) => message.text()), ["The Geheim"]);
});

Deno.test("text is held back on every Shield", async () => {
  await using nats = await startNats({ jetstream: true });
  await using issuer = await createIssuer();
  const config =
    `[nats]\nurls = ["${nats.url}"]\nrequest_timeout_ms = 60_000\n${ROOMS}${issuer.config}`;
  await using one = await startLocalShield(config, 'node_id = "one"');
  await using two = await startLocalShield(config, 'node_id = "two"');
  const admin = await policyAdmin({
    admin_url: one.ready["admin_url"] ?? "",
    tokenFor: ({ role = "user", user = "" } = {}) => issuer.tokenFor({ role, sub: user }),
  });
  await deploy(admin, await Deno.readFile(MASK), { tenant: "acme", name: "mask", room: "chat-*" });
  const token = await issuer.tokenFor();
  const at = (url: string | undefined) => connect({ url: url ?? "", token });
  await using first = await at(one.ready.url);
  await using second = await at(two.ready.url);
  const root = await issuer.tokenFor({ role: "admin", sub: "root" });
  const other = new AdminClient(two.ready.admin_url ?? "", root);
  await until("both enforce it", async () => {
    return (await other.get("/v1/policies?tenant=acme")).body.here?.state === "active";
  });
  await cutAnywhere([first, second], second, "chat-mask", 15);
});
