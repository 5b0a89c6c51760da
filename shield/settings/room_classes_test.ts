/**
 * The class that applies to a room, from any source; the required retention of a tenant's log; notifications of
 * changes.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { matchesRoomPattern } from "@arqon/proto";
import { RoomClasses } from "../../shared/rooms/classes.ts";
import { DEFAULT_CLASS, type OwnedClass } from "../../shared/rooms/room_class.ts";
import { configClasses, tenantClasses } from "./testing/room_classes.ts";

const named = ({ source, tenant, pattern }: OwnedClass) => `${source} ${tenant} ${pattern}`;

Deno.test("without classes every room has the default class", () => {
  const classes = new RoomClasses([]);
  assert.equal(classes.of("acme", "lobby"), DEFAULT_CLASS);
  assert.deepEqual(classes.explain("acme", "lobby"), [DEFAULT_CLASS]);
  assert.equal(classes.retentionOf("acme"), undefined);
  assert.deepEqual([classes.size, classes.has_durable, classes.list()], [0, false, []]);
});

Deno.test("the default class equals a class without options", () => {
  const classes = new RoomClasses(configClasses({ room: "*" }));
  const { pattern: _, source: __, ...given } = classes.of("acme", "lobby");
  const { pattern: ___, source: ____, ...defaults } = DEFAULT_CLASS;
  assert.deepEqual(given, defaults);
});

Deno.test("the longest pattern wins, exact before prefix, from any source", () => {
  const classes = new RoomClasses(configClasses(
    { room: "*" },
    { room: "chat-*" },
    { room: "chat-1" },
    { tenant: "acme", room: "chat-1*" },
    { tenant: "acme", room: "*" },
  ));
  classes.setTenant("acme", tenantClasses({ room: "chat-*" }, { room: "chat-22*" }));
  const of = (tenant: string, room: string) => named(classes.of(tenant, room) as OwnedClass);
  assert.equal(of("acme", "chat-1"), "config * chat-1");
  assert.equal(of("acme", "chat-11"), "config acme chat-1*");
  assert.equal(of("acme", "chat-2"), "tenant acme chat-*");
  assert.equal(of("acme", "chat-22"), "tenant acme chat-22*");
  assert.equal(of("acme", "lobby"), "config acme *");
  assert.equal(of("globex", "chat-11"), "config * chat-*");
  assert.equal(of("globex", "lobby"), "config * *");
  assert.deepEqual(classes.explain("acme", "chat-1").map(named), [
    "config * chat-1",
    "config acme chat-1*",
    "tenant acme chat-*",
    "config * chat-*",
    "config acme *",
    "config * *",
    "default * ",
  ]);
});

Deno.test("for one pattern, the tenant's own class comes first, then the config for the tenant, then for all", () => {
  const classes = new RoomClasses(configClasses({ room: "a*" }, { tenant: "acme", room: "a*" }));
  classes.setTenant("acme", tenantClasses({ room: "a*" }));
  const first = () => named(classes.of("acme", "a") as OwnedClass);
  assert.equal(first(), "tenant acme a*");
  classes.setTenant("acme", []);
  assert.equal(first(), "config acme a*");
  assert.equal(named(classes.of("globex", "a") as OwnedClass), "config * a*");
});

Deno.test("an absent option of the class has its default, not a shorter pattern's value", () => {
  const classes = new RoomClasses(configClasses(
    { room: "*", durable: true, echo: false },
    { room: "chat-*", max_members: 5 },
  ));
  const { durable, echo, max_members } = classes.of("acme", "chat-1");
  assert.deepEqual([durable, echo, max_members], [false, true, 5]);
});

const word = fc.string({ unit: fc.constantFrom("a", "b"), minLength: 1, maxLength: 5 });
const pattern = fc.oneof(word, word.map((text) => `${text}*`), fc.constant("*"));
const rooms = fc.uniqueArray(pattern, { maxLength: 8 });

Deno.test("`of` agrees with explain, and explain with the meaning of patterns", () => {
  fc.assert(fc.property(rooms, rooms, rooms, word, (any, config, own, room) => {
    const classes = new RoomClasses(configClasses(
      ...any.map((text) => ({ room: text })),
      ...config.map((text) => ({ room: text, tenant: "acme" })),
    ));
    classes.setTenant("acme", tenantClasses(...own.map((text) => ({ room: text }))));
    const explained = classes.explain("acme", room);
    assert.equal(classes.of("acme", room), explained[0]);
    const expected = [...any, ...config, ...own].filter((text) => matchesRoomPattern(text, room));
    const patterns = explained.slice(0, -1).map((one) => one.pattern);
    assert.deepEqual(patterns.toSorted(), expected.toSorted());
    const literal = patterns.map((text) =>
      text.replace("*", "").length + (text.endsWith("*") ? 0 : 1)
    );
    assert.deepEqual(literal, literal.toSorted((a, b) => b - a));
  }));
});

Deno.test("a class is one object for all of its rooms, while it does not change", () => {
  const classes = new RoomClasses([]);
  const changed: (string | undefined)[] = [];
  const stop = classes.onChange((tenant_id) => void changed.push(tenant_id));
  classes.setTenant("acme", tenantClasses({ room: "a*" }, { room: "b*", echo: false }));
  const a = classes.of("acme", "a1");
  const b = classes.of("acme", "b1");
  assert.equal(classes.of("acme", "a2"), a);
  classes.setTenant("acme", tenantClasses({ room: "a*" }, { room: "b*", echo: false }));
  assert.deepEqual(changed, ["acme"], "nothing has changed");
  classes.setTenant("acme", tenantClasses({ room: "a*" }, { room: "b*", echo: true }));
  assert.deepEqual(changed, ["acme", "acme"]);
  assert.equal(classes.of("acme", "a1"), a);
  assert.notEqual(classes.of("acme", "b1"), b);
  classes.setTenant("globex", []);
  stop();
  classes.setTenant("acme", []);
  assert.deepEqual(changed, ["acme", "acme"], "the listener was removed");
  assert.equal(classes.of("acme", "a1"), DEFAULT_CLASS);
});

Deno.test("a log's retention is the largest of the durable classes that can apply", () => {
  const classes = new RoomClasses(configClasses(
    { room: "big*", durable: true, history_size: 5_000, history_ttl_seconds: 10 },
    { room: "old*", durable: true, history_size: 10, history_ttl_seconds: 1_000, replicas: 1 },
    { room: "not*", history_size: 100_000 },
    { room: "five*", tenant: "five", durable: true, history_size: 1, replicas: 5 },
  ));
  assert.ok(classes.has_durable);
  const most = { history_size: 5_000, history_ttl_seconds: 1_000, replicas: undefined };
  assert.deepEqual(classes.retentionOf("acme"), most);
  assert.deepEqual(classes.retentionOf("five"), {
    ...most,
    history_ttl_seconds: 86_400,
    replicas: 5,
  });
  classes.setTenant("acme", tenantClasses({ room: "big*", history_size: 9_000 }));
  assert.deepEqual(
    classes.retentionOf("acme"),
    { history_size: 10, history_ttl_seconds: 1_000, replicas: 1 },
    "the tenant has made the larger class not durable",
  );
  classes.setTenant("acme", tenantClasses({ room: "big*" }, { room: "old*" }));
  assert.equal(classes.retentionOf("acme"), undefined);
  assert.deepEqual(classes.retentionOf("globex"), most);
});

Deno.test("fewer replicas than a cluster's default never reduce them, three and more apply", () => {
  const replicasOf = (...all: (number | undefined)[]) =>
    new RoomClasses(configClasses(...all.map((replicas, at) => ({
      room: `r${at}`,
      durable: true,
      ...(replicas === undefined ? {} : { replicas }),
    })))).retentionOf("acme")?.replicas;
  assert.equal(replicasOf(1, 1), 1);
  assert.equal(replicasOf(1, undefined), undefined);
  assert.equal(replicasOf(3, undefined, 1), 3);
  assert.equal(replicasOf(3, 5), 5);
});
