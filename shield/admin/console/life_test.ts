/** The console's question about a message, made from a form, and its address. */
import assert from "node:assert/strict";
import { lifeOf, lifeOfConnection, outcomeText, outcomeTone, questionOf } from "./life.js";

/** Absent members are undefined. */
const life = (tenant: string, one: object) => lifeOf(tenant, one as Parameters<typeof lifeOf>[1]);
const text = (one: object) => outcomeText(one as Parameters<typeof outcomeText>[0]);

Deno.test("life of a message: it needs one id, or a user or connection; else the form says what is missing", () => {
  const of = (values: object) => questionOf(values, 1_000_000);
  assert.deepEqual(of({ message_id: "m1", user: "ann", minutes: "5" }), {
    query: { message_id: "m1", user: "ann" },
  });
  assert.deepEqual(of({ user: "ann", room: "hall", minutes: "5" }), {
    query: { user: "ann", room: "hall", since_ms: 700_000 },
  });
  assert.deepEqual(of({ user: "ann", room: "hall" }).query?.since_ms, 400_000);
  assert.deepEqual(of({ connection: "c1" }), { query: { connection: "c1" } });
  assert.match(of({}).lacks ?? "", /^Name a message by/);
  assert.match(of({ message_id: "m1", twist: "t" }).lacks ?? "", /one of its ids/);
  assert.match(of({ offset: "3" }).lacks ?? "", /name the room/);
  assert.match(of({ user: "ann", connection: "c1" }).lacks ?? "", /not both/);
});

Deno.test("life of a message: its address has the most specific id, as text", () => {
  const all = { room: "a&b", offset: 7, message_id: "m1", twist: "t", trace: "r" };
  assert.equal(life("acme", all), "#/why?tenant=acme&room=a%26b&offset=7");
  const by_id = { ...all, offset: null };
  assert.equal(life("acme", by_id), "#/why?tenant=acme&room=a%26b&message_id=m1");
  assert.equal(life("acme", { room: "a", trace: "r" }), "#/why?tenant=acme&trace=r");
  assert.equal(life("acme", { room: "a", message_id: null }), undefined);
  assert.equal(lifeOfConnection("acme", "c&1"), "#/why?tenant=acme&connection=c%261");
  assert.equal(lifeOfConnection("acme", "c1", "a b"), "#/why?tenant=acme&room=a+b&connection=c1");
});

Deno.test("life of a message: an outcome is shown as text, an unknown one by its name", () => {
  const echo = outcomeText({ state: "left_out", why: "echo" });
  assert.equal(echo, "left out: the client published it and subscribed without echo");
  assert.equal(text({ state: "not_subscribed", why: "never" }), "not subscribed: never");
  assert.equal(text({ state: "later" }), "later");
  const tones = ["sent", "behind", "left_out"].map((state) => outcomeTone({ state }));
  assert.deepEqual(tones, ["ok", "warn", "bad"]);
});

Deno.test("life of a message: the last seconds of a killed Shield are reported as lost", () => {
  const outcome = { state: "unknown", why: "killed", from_ms: 1_000, until_ms: 5_000 };
  assert.match(text(outcome), /this Shield was killed and its ledger of those seconds is lost \(/);
  assert.match(text({ ...outcome, why: "silent" }), /^unknown: this Shield is unreachable/);
  assert.match(text({ state: "unknown", from_ms: 1_000 }), /^unknown: the ledger begins/);
});
