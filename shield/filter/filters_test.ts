/** The filters of a process: one for each text, within their limits. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type ArqonError, writeEnvelope } from "@arqon/proto";
import { MessageView } from "../../shared/filter/message_view.ts";
import { RoomClassEntry } from "../../shared/config/schema_durable.ts";
import { compileClass, DEFAULT_CLASS } from "../../shared/rooms/room_class.ts";
import { type Identity, tokenlessIdentity } from "../auth/identity.ts";
import { classFilter, type Filter } from "./filter.ts";
import { Filters } from "./filters.ts";

const LIMITS = { filter_chars: 100, filter_steps: 100, filters_per_room: 2, filters_per_tenant: 3 };

Deno.test("one text is one filter of a tenant, which is dropped with its last subscriber", () => {
  const filters = new Filters(LIMITS);
  const first = filters.of("t", "true")!;
  filters.hold("t", "a", first);
  assert.equal(filters.of("t", "true"), first);
  assert.notEqual(filters.of("other", "true"), first);
  assert.equal(filters.of("t", ""), undefined);
  filters.hold("t", "b", first);
  assert.equal(filters.size, 1);
  filters.release("t", "a", first);
  filters.release("t", "b", first);
  assert.equal(filters.size, 0);
  assert.notEqual(filters.of("t", "true"), first);
});

Deno.test("equal filters of SUBs that are judged at once are one, paid once", () => {
  const filters = new Filters(LIMITS);
  const spent: number[] = [];
  filters.shares.spend = (_tenant_id, steps) => void spent.push(steps);
  // Policies judge both, then both are held.
  const first = filters.of("t", "true")!;
  const second = filters.of("t", "true")!;
  for (const filter of [first, second]) {
    filters.requireRoom("t", "a", filter);
    filters.hold("t", "a", filter);
  }
  assert.equal(first, second);
  assert.equal(spent.length, 1);
  filters.requireRoom("t", "a", filters.of("t", "false")!);
});

Deno.test("a filter that is refused is paid, too", () => {
  const filters = new Filters({ ...LIMITS, filter_chars: 1_024 }, {}, () => 0);
  const reasons = Array.from({ length: 300 }, (_, n) => {
    try {
      filters.of("t", `${n} == ${"x".repeat(1_000)}`);
    } catch (error) {
      return (error as ArqonError).reason;
    }
  });
  assert.deepEqual([reasons[0], reasons.at(-1)], ["invalid-filter", "rate-limited"]);
});

Deno.test("a reducer's event for a role or a user is delivered to a client without a token, too", () => {
  const reduced = RoomClassEntry.parse({ room: "a", durable: true, reducer: "r" });
  const filter = classFilter(compileClass(reduced, "t", "config"), () => {})!;
  const who = {
    tenant_id: "t",
    user_id: "pusher:1.2",
    role: "user",
    issuer: "arqon:pusher",
  } as const;
  const counts = { match: 0, no_match: 0, error: 0, cost: 0 };
  const isDelivered = (to: string) => {
    const envelope = writeEnvelope({ room_id: "a", headers: { "x-to": to } });
    return filter.of(tokenlessIdentity(who)).lets(new MessageView(envelope, counts));
  };
  const to = ["role:user", "user:pusher:1.2", "role:admin", "user:ann"];
  assert.deepEqual(to.filter(isDelivered), ["role:user", "user:pusher:1.2"]);
});

Deno.test("events of a room's program reach each of many users, without taking the tenant's share", () => {
  const reduced = RoomClassEntry.parse({ room: "a", durable: true, reducer: "r" });
  const room_class = compileClass(reduced, "t", "config");
  const filters = new Filters(LIMITS, {}, () => 0);
  const room = { tenant_id: "t", room_id: "a", room_class, noted: undefined };
  const identities = Array.from(
    { length: 1_000 },
    (_, at) => tokenlessIdentity({ tenant_id: "t", user_id: `u${at}`, role: "user", issuer: "i" }),
  );
  // As many as a room that ticks has in five seconds.
  for (let at = 0; at < 100; at++) {
    const to = at % 2 === 0 ? undefined : `user:u${at}`;
    const headers = to === undefined ? {} : { "x-to": to };
    const envelope = writeEnvelope({ room_id: "a", headers, event: { type: "tick" } });
    const judge = filters.sent(room, { envelope, offset: at + 1, origin: undefined });
    const receivers = identities.filter((identity) => !judge.withholds({ identity }));
    judge.end();
    assert.equal(receivers.length, to === undefined ? 1_000 : 1, `event ${at}`);
  }
});

Deno.test("history of a room's program is judged as its live events are: at no cost, and for nobody by an absent claim", () => {
  const reduced = RoomClassEntry.parse({ room: "a", durable: true, reducer: "r" });
  const room_class = compileClass(reduced, "t", "config");
  const filters = new Filters(LIMITS);
  const token = tokenlessIdentity({ tenant_id: "t", user_id: "ann", role: "user", issuer: "i" });
  const counts = { match: 0, no_match: 0, error: 0, cost: 0 };
  const passes = (identity: Identity, to: string) => {
    const filter = filters.ofClass(room_class, identity)!;
    const headers = { "x-to": to };
    const envelope = writeEnvelope({ room_id: "a", headers, event: { type: "tick" } });
    const view = new MessageView(envelope, counts);
    const judge = filters.sent({ tenant_id: "t", room_id: "a", room_class, noted: undefined }, {
      envelope,
      offset: 1,
      origin: undefined,
    });
    const is_read = filter.lets(view);
    assert.equal(!judge.withholds({ identity }), is_read, to);
    assert.equal(view.spent_steps, 0, to);
    return is_read;
  };
  assert.deepEqual(["user:ann", "role:user", "user:bob"].map((to) => passes(token, to)), [
    ...[true, true, false],
  ]);
  const odd = { ...token, claims: { sub: "ann", role: ["admin"] } };
  assert.deepEqual(["role:admin", "user:ann"].map((to) => passes(odd, to)), [false, true]);
  const without = { ...token, claims: { sub: "ann" } };
  assert.equal(passes(without, "role:undefined"), false);
  const unread = new MessageView(Uint8Array.of(0xff), counts);
  assert.equal(filters.ofClass(room_class, token)!.lets(unread), false);
});

Deno.test("changed limits apply to the next SUB, and steps to the next message", () => {
  const limits = { ...LIMITS };
  const filters = new Filters(limits);
  const envelope = writeEnvelope({ room_id: "a", message_id: "m" });
  const counts = { match: 0, no_match: 0, error: 0, cost: 0 };
  const filter = filters.of("t", "[1, 2, 3].all(x, x > 0)")!;
  filters.hold("t", "a", filter);
  assert.equal(filter.lets(new MessageView(envelope, counts)), true);
  limits.filter_steps = 5;
  assert.equal(filter.lets(new MessageView(envelope, counts)), false);
  assert.equal(counts.cost, 1);
  limits.filter_chars = 5;
  assert.throws(() => filters.of("t", filter.program.text), /23 characters, at most 5/);
  limits.filters_per_room = 1;
  assert.throws(() => filters.requireRoom("t", "a", filters.of("t", "true")!), /a has 1/);
});

Deno.test("rooms and tenants stay within their limits, whichever subscribers come and go", () => {
  const step = fc.record({
    room: fc.constantFrom("a", "b", "c"),
    text: fc.constantFrom("true", "false", "1 == 1", "2 == 2", "3 == 3"),
    who: fc.nat(5),
    leaves: fc.boolean(),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
    const filters = new Filters(LIMITS);
    const held = new Map<string, { room: string; filter: Filter }>();
    for (const { room, text, who, leaves } of steps) {
      const key = `${who} ${room}`;
      const before = held.get(key);
      const wanted = leaves ? undefined : filters.of("t", text);
      try {
        if (wanted !== undefined) filters.requireRoom("t", room, wanted, before?.filter);
      } catch {
        continue;
      }
      filters.hold("t", room, wanted);
      filters.release("t", room, before?.filter);
      if (wanted === undefined) held.delete(key);
      else held.set(key, { room, filter: wanted });
      const all = [...held.values()];
      const different = (some: typeof all) =>
        new Set(some.map(({ filter }) => filter.program.text)).size;
      assert.equal(filters.size, different(all));
      assert(different(all) <= 3);
      for (const one of ["a", "b", "c"]) {
        assert(different(all.filter(({ room }) => room === one)) <= 2);
      }
    }
    for (const { room, filter } of held.values()) filters.release("t", room, filter);
    assert.equal(filters.size, 0);
  }));
});

Deno.test("the filter of a class is compiled once and charged; an invalid one passes nothing", () => {
  const paid: number[] = [];
  const pay = (steps: number) => void paid.push(steps);
  const one = { ...DEFAULT_CLASS, filter: 'type == "a"' };
  const first = classFilter(one, pay);
  assert.equal(classFilter(one, pay), first);
  assert.deepEqual(paid, [8 * one.filter.length]);
  // A newer version of ArqonBus may have stored this one.
  const newer = classFilter({ ...DEFAULT_CLASS, filter: "true || newer(1)" }, pay)!;
  const envelope = writeEnvelope({ room_id: "a", message_id: "m" });
  const counts = { match: 0, no_match: 0, error: 0, cost: 0 };
  const identity = { tenant_id: "t", claims: {} } as Identity;
  assert.equal(newer.of(identity).lets(new MessageView(envelope, counts)), false);
});
