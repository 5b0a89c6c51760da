/** The judge of `chaos:why` on a small world of its own: what is right passes, what is not is named. */
import assert from "node:assert/strict";
import { judge } from "./judge.ts";
import type { Answer, Outcome } from "./answer.ts";
import type { Known, Said, Sitting, Stay } from "./known.ts";

const SINCE_MS = 1_000_000;
const SENT_MS = SINCE_MS + 100_000;
const ASKED_MS = SENT_MS + 60_000;

const stayOf = (more: Partial<Stay> = {}): Stay => ({
  ...{ room_id: "hall-0", asked_ms: SENT_MS - 50_000, no_echo: false },
  ...{ acked_ms: SENT_MS - 49_000, left_ms: undefined, ...more },
});

const sittingOf = (more: Partial<Sitting> = {}): Sitting => ({
  ...{ tenant_id: "acme", user_id: "bob", connection_id: "c1", node_id: "shield-0" },
  ...{ opened_ms: SENT_MS - 60_000, stays: [stayOf()], got: new Map(), gaps: [] },
  ...{ ended_ms: undefined, code: 0, ...more },
});

const SAID: Said = {
  ...{ id: "m", tenant_id: "acme", room_id: "hall-0", by: "c9", number: 1, key: "" },
  ...{ sent_ms: SENT_MS, answered_ms: SENT_MS + 10, code: 0, reason: "", offset: 0 },
};

const GOT = new Map([["m", SENT_MS + 5]]);
const SENT: Outcome = { state: "sent", at_ms: SENT_MS + 4 };
const NEVER: Outcome = { state: "not_subscribed", why: "never" };

/** The problems with an outcome that is told of a connection; `undefined`: none is told. */
function problemsOf(
  sitting: Sitting,
  outcome: Outcome | undefined,
  more: {
    readonly said?: Partial<Said>;
    readonly since_ms?: number;
    /** Up to when its Shield, which was killed, had written. */
    readonly until_ms?: number;
    /** Its Shield, which is there, was too late with one of its answers. */
    readonly is_late?: true;
    readonly known?: Partial<Known>;
  } = {},
): string[] {
  const said = { ...SAID, ...more.said };
  const known = { sittings: [sitting], said: new Map([["m", said]]), hits: [], ...more.known };
  const { node_id, connection_id, user_id, ended_ms, code } = sitting;
  const ended = ended_ms === undefined ? {} : { ended: { at_ms: ended_ms, code } };
  const { until_ms } = more;
  const lost = until_ms === undefined ? {} : { lost: { until_ms } };
  const life = { node_id, life_ms: SINCE_MS, since_ms: SINCE_MS };
  const former = until_ms === undefined ? {} : { former: [{ ...life, until_ms }] };
  const answer: Answer = {
    messages: [{ room_id: "hall-0", message_id: "m", duplicate: false, heard: [{ node_id }] }],
    connections: outcome === undefined
      ? []
      : [{ node_id, connection_id, user_id, ...ended, ...lost, outcomes: [outcome] }],
    ledgers: until_ms === undefined ? [{ node_id, since_ms: more.since_ms ?? SINCE_MS }] : [],
    ...former,
    nodes: { answered: [node_id], silent: [] },
    ...(more.is_late ? { former: [], nodes: { answered: [], silent: [node_id] } } : {}),
  };
  const times = { asked_ms: ASKED_MS, answered_ms: ASKED_MS + 10 };
  const question = { said, tenant_id: "acme", user_id: "bob", by_offset: false, ...times };
  return judge(known, question, answer).problems;
}

const isRight = (...of: Parameters<typeof problemsOf>) => assert.deepEqual(problemsOf(...of), []);
const isWrong = (what: RegExp, ...of: Parameters<typeof problemsOf>) =>
  assert.match(problemsOf(...of).join("\n"), what);

Deno.test("what came is told as sent, at its time, by each Shield that has a ledger of then", () => {
  const came = sittingOf({ got: GOT });
  isRight(came, SENT);
  isWrong(/the client has got it/, came, { state: "left_out", why: "slow_reader" });
  isWrong(/the client has got it/, came, NEVER);
  isWrong(/was published at/, came, { state: "sent", at_ms: SENT_MS - 5_000 });
  isWrong(/the room has no log/, came, { state: "caught_up" });
  isWrong(/is missing/, came, undefined);
  isRight(came, undefined, { since_ms: ASKED_MS - 1_000 });
});

Deno.test("what did not come is not told as sent, but for what went with a connection", () => {
  isWrong(/lived on/, sittingOf(), SENT);
  isWrong(/never asked/, sittingOf({ stays: [] }), SENT);
  isRight(sittingOf({ stays: [] }), NEVER);
  const ended = { ended_ms: SENT_MS + 1_000, code: 1006 };
  isRight(sittingOf(ended), SENT);
  const later = { ...SAID, id: "later", number: 2 };
  const known = { said: new Map([["m", SAID], ["later", later]]) };
  const got = new Map([["later", SENT_MS + 500]]);
  isWrong(/later came/, sittingOf({ ...ended, got }), SENT, { known });
  isRight(sittingOf(ended), { state: "queued", why: "1006" });
  isWrong(/is open/, sittingOf(), { state: "queued", why: "1006" });
  isRight(sittingOf(), { state: "queued" });
});

Deno.test("a reason needs its cause: an echo, a gap, a kick, an end, a lost ledger", () => {
  const open = sittingOf();
  isWrong(/no echo/, open, { state: "left_out", why: "echo" });
  isRight(sittingOf({ stays: [stayOf({ no_echo: true })] }), { state: "left_out", why: "echo" }, {
    said: { by: "c1" },
  });
  isWrong(/no gap/, open, { state: "not_heard" });
  const gaps = [{ room_id: "hall-0", at_ms: SENT_MS + 2_000 }];
  isRight(sittingOf({ gaps }), { state: "not_heard" });
  isWrong(/leaves nothing out/, open, { state: "left_out", why: "conflated" });
  isWrong(/it was subscribed/, open, {
    state: "not_subscribed",
    why: "kick",
    until_ms: SENT_MS - 1,
  });
  const kicked = sittingOf({ stays: [stayOf({ left_ms: SENT_MS - 1_000 })] });
  const kick = { state: "not_subscribed", why: "kick", until_ms: SENT_MS - 1_001 };
  isWrong(/there was no kick/, kicked, kick);
  const whose = { tenant_id: "acme", user_id: "bob", room_id: "hall-0" };
  const hits = [{ kind: "kick" as const, ...whose, asked_ms: SENT_MS - 1_100 }];
  isRight(kicked, kick, { known: { hits } });
  const refusal = { state: "not_subscribed", why: "refused", until_ms: SENT_MS - 1 };
  isRight(sittingOf({ stays: [stayOf({ acked_ms: undefined })] }), refusal);
  isWrong(/none was refused/, kicked, refusal);
  isWrong(/it was connected/, open, { state: "not_connected", until_ms: SENT_MS - 1 });
  const gone = sittingOf({ ended_ms: SENT_MS - 20_000, code: 4403 });
  isRight(gone, { state: "not_connected", until_ms: SENT_MS - 20_001, why: "banned" });
  isWrong(/the ledger goes back/, open, { state: "unknown" });
  isRight(open, { state: "unknown" }, { since_ms: SENT_MS + 1_000 });
});

Deno.test("why, judge: a Shield that was late with one answer is told by the others, and has no stored ledger", () => {
  const came = sittingOf({ got: GOT });
  isRight(came, SENT, { is_late: true });
  isWrong(/the client has got it/, came, NEVER, { is_late: true });
  isWrong(/nothing of shield-0/, { ...came, opened_ms: SINCE_MS - 1 }, SENT, { is_late: true });
});

Deno.test("of two copies of a message a client has got one, and need not have got the other", () => {
  const bob = sittingOf({ got: GOT });
  const copy = { room_id: "hall-0", message_id: "m", duplicate: false };
  const heard = [{ node_id: "shield-0" }];
  const row = { node_id: "shield-0", connection_id: "c1", user_id: "bob" };
  const problemsWith = (...outcomes: Outcome[]) => {
    const answer: Answer = {
      messages: [{ ...copy, heard }, { ...copy, heard }],
      connections: [{ ...row, outcomes }],
      ledgers: [{ node_id: "shield-0", since_ms: SINCE_MS }],
      nodes: { answered: ["shield-0"], silent: [] },
    };
    const times = { asked_ms: ASKED_MS, answered_ms: ASKED_MS + 10 };
    const question = { said: SAID, tenant_id: "acme", user_id: "bob", by_offset: false, ...times };
    const known = { sittings: [bob], said: new Map([["m", SAID]]), hits: [] };
    return judge(known, question, answer).problems;
  };
  assert.deepEqual(problemsWith(SENT, { state: "not_heard" }), []);
  assert.deepEqual(problemsWith({ state: "not_heard" }, SENT), []);
  assert.equal(problemsWith({ state: "not_heard" }, NEVER).length, 2);
  assert.equal(problemsWith(SENT, NEVER).length, 1);
});

Deno.test("a refused message was heard by nobody, another user's connection is a stranger's", () => {
  isWrong(/refused/, sittingOf(), NEVER, { said: { code: 403, reason: "policy-rejected" } });
  isRight(sittingOf(), NEVER, { said: { code: 503, reason: "log-unavailable" } });
  const bob = sittingOf({ got: GOT });
  const ann = { ...sittingOf(), user_id: "ann" };
  isWrong(/is ann of acme/, bob, SENT, { known: { sittings: [ann] } });
});

Deno.test("why, judge: what a killed Shield had written is told, and of the rest that it is gone", () => {
  const sitting = sittingOf({ got: GOT, ended_ms: SENT_MS + 9_000 });
  const gone: Outcome = { state: "unknown", why: "killed", from_ms: SENT_MS - 1_000 };
  isRight(sitting, gone, { until_ms: SENT_MS - 1_000 });
  isRight(sitting, SENT, { until_ms: SENT_MS + 1_000 });
  isWrong(/is stored up to/, sitting, { ...gone, from_ms: SENT_MS + 20_000 }, {
    until_ms: SENT_MS + 20_000,
  });
  isWrong(/its Shield is there/, sitting, gone);
  isWrong(/is missing/, sitting, undefined, { until_ms: SENT_MS });
  isRight(sitting, undefined, { until_ms: SENT_MS - 60_000 });
});
