/** The registry finds who was told of strangers, and of leaves that were none. */
import assert from "node:assert/strict";
import type { Member } from "../../sdk/typescript/mod.ts";
import { Registry } from "./registry.ts";
import type { ConnectionRecord } from "./registry.ts";

const member = (connection_id: string, user_id: string, joined_ms = 1): Member => (
  { connection_id, user_id, meta: null, joined_ms }
);
const NOTHING = { joined: [], updated: [], left: [] };
const EVE = { user_id: "eve", tenant_id: "acme", room_id: "lobby" };

/** Ann is connected and in the lobby since 1. */
function withAnn(never_down_before_ms: number | undefined) {
  let now_ms = 1_000;
  const registry = new Registry(never_down_before_ms, () => now_ms);
  const ann = { connection_id: "c1", tenant_id: "acme", user_id: "ann", node_id: "s0" };
  const record = registry.opened(ann);
  const members = new Map([["c1", member("c1", "ann")]]);
  record.stays.set("lobby", { members });
  const annLeft = (joined_ms = 1) =>
    registry.heard({ ...EVE, changes: { ...NOTHING, left: [member("c1", "ann", joined_ms)] } });
  const pass = (ms: number) => now_ms += ms;
  return { registry, record, members, annLeft, pass };
}

Deno.test("members that are nobody, somebody else or of another tenant are found", () => {
  const { registry } = withAnn(undefined);
  registry.heard({ ...EVE, changes: { ...NOTHING, joined: [member("c1", "ann")] } });
  assert.deepEqual(registry.violations, []);
  for (
    const [joined, tenant_id, text] of [
      [member("c2", "ann"), "acme", /c2\), which is nobody/],
      [member("c1", "bob"), "acme", /bob \(c1\), which is ann of acme/],
      [member("c1", "ann"), "zeta", /ann \(c1\), which is ann of acme/],
    ] as const
  ) {
    registry.heard({ ...EVE, tenant_id, changes: { ...NOTHING, joined: [joined] } });
    assert.match(registry.violations.at(-1) ?? "", text);
  }
  assert.equal(registry.violations.length, 3);
});

Deno.test("an id is one connection's, or that of one which has moved to another Shield", () => {
  const { registry } = withAnn(undefined);
  const ann = { connection_id: "c1", tenant_id: "acme", user_id: "ann", node_id: "s1" };
  registry.opened(ann);
  assert.deepEqual(registry.violations, []);
  for (const other of [{ user_id: "bob" }, { tenant_id: "zeta" }, {}]) {
    registry.opened({ ...ann, node_id: "s0", ...other });
    registry.opened({ ...ann, node_id: "s0", ...other });
  }
  assert.equal(registry.violations.length, 6, registry.violations.join());
});

Deno.test("the leave of somebody who is there all the time is found, once it is sure", () => {
  const { registry, annLeft, pass } = withAnn(20_000);
  pass(86_100);
  annLeft();
  registry.settle();
  assert.deepEqual(registry.violations, []);
  pass(15_000);
  registry.settle();
  assert.equal(registry.violations.length, 1);
  assert.match(
    registry.violations[0] ?? "",
    /ann of acme \(c1 on s0, open\) has left.*first at 86\.1 s \[eve, nowhere/,
  );
});

Deno.test("a leave is right when the connection ended, left, was not let in or may have been down", () => {
  const cases: ((run: ReturnType<typeof withAnn>) => void)[] = [
    ({ record, annLeft }) => {
      annLeft();
      record.closed_ms = 1_001;
    },
    ({ record, annLeft }) => {
      annLeft();
      record.stays.delete("lobby");
    },
    ({ annLeft }) => annLeft(7),
    ({ members, annLeft }) => {
      members.clear();
      annLeft();
    },
    ({ registry, annLeft }) => {
      registry.silenced("s0", 20_000);
      annLeft();
    },
  ];
  for (const happens of cases) {
    const run = withAnn(20_000);
    happens(run);
    run.registry.settle(true);
    assert.deepEqual(run.registry.violations, []);
  }
});

/** Ann, and what others are told of her on connections of their own. */
function withWatchers() {
  const run = withAnn(20_000);
  const { registry, pass } = run;
  const ann = [member("c1", "ann")];
  const comes = (user_id: string, connection_id: string, node_id: string) =>
    registry.opened({ connection_id, tenant_id: "acme", user_id, node_id });
  const tell = (on: ConnectionRecord, changes: { joined: Member[] } | { left: Member[] }) =>
    registry.heard({ ...EVE, user_id: on.user_id, on, changes: { ...NOTHING, ...changes } });
  const isThere = (on: ConnectionRecord) => {
    pass(1);
    tell(on, { joined: ann });
  };
  const isGone = (on: ConnectionRecord) => tell(on, { left: ann });
  return { ...run, comes, isThere, isGone };
}

Deno.test("a Shield that has not heard of a member yet does not say that it left", () => {
  const { registry, pass, comes, isThere, isGone } = withWatchers();
  isThere(comes("eve", "e1", "s0"));
  pass(4_999);
  const on = comes("eve", "e2", "s1");
  const bob = comes("bob", "b1", "s1");
  pass(199);
  // It hears of ann just now; eve's list was under way.
  isThere(bob);
  isGone(on);
  registry.settle(true);
  assert.deepEqual(registry.violations, []);
  assert.deepEqual(registry.late, ["eve, on s1 for 0.2 s, at 5.2 s: ann"]);
});

Deno.test("a client that comes to a Shield is told a wrong leave when that Shield knew better", () => {
  type Watchers = ReturnType<typeof withWatchers>;
  const cases: Record<string, (run: Watchers) => ConnectionRecord> = {
    "it had told somebody else": ({ comes, isThere }) => {
      isThere(comes("bob", "b1", "s1"));
      return comes("eve", "e2", "s1");
    },
    "it had told the client itself": ({ comes, isThere }) => {
      const on = comes("eve", "e2", "s1");
      isThere(on);
      return on;
    },
    "it had told the client, who had left and come back": ({ comes, isThere, isGone }) => {
      const on = comes("eve", "e2", "s1");
      isGone(on);
      isThere(on);
      return on;
    },
    "it had all the time to hear of it": ({ comes, pass }) => {
      pass(20_000);
      return comes("eve", "e2", "s1");
    },
    "the client had come long ago": ({ comes, pass }) => {
      const on = comes("eve", "e2", "s1");
      pass(10_000);
      return on;
    },
    "the member is its own": ({ registry, comes }) => {
      registry.opened({ connection_id: "c1", tenant_id: "acme", user_id: "ann", node_id: "s1" });
      return comes("eve", "e2", "s1");
    },
  };
  for (const [name, happens] of Object.entries(cases)) {
    const run = withWatchers();
    run.isThere(run.comes("eve", "e1", "s0"));
    const on = happens(run);
    const { stays } = run.registry.find("c1") as ConnectionRecord;
    stays.set("lobby", { members: run.members });
    run.isGone(on);
    run.registry.settle(true);
    assert.equal(run.registry.violations.length, 1, name);
    assert.match(run.registry.violations[0] ?? "", /has left, which was there.*eve, on s1/);
  }
});

Deno.test("a stay of which its member was told ends with the room, the connection, or not when it moves", () => {
  const { registry, record, pass } = withAnn(undefined);
  const told = (room_id: string, on: ConnectionRecord, joined_ms = 1) => {
    const changes = { ...NOTHING, joined: [member("c1", "ann", joined_ms)] };
    registry.heard({ user_id: "ann", tenant_id: "acme", room_id, on, changes });
  };
  const seen = () =>
    registry.told.map(({ room, node_id, joined_ms, told_ms, end, ended_ms }) => [
      ...[room, node_id, joined_ms, told_ms, end, ended_ms],
    ]);
  told("lobby", record);
  told("stage", record);
  pass(1);
  registry.ended(record, "left", "lobby");
  told("lobby", record, 2);
  pass(1);
  registry.ended(record, "lost");
  const ann = { connection_id: "c1", tenant_id: "acme", user_id: "ann", node_id: "s1" };
  told("stage", registry.opened(ann));
  assert.deepEqual(seen(), [
    ["acme/lobby", "s0", 1, 1_000, "left", 1_001],
    ["acme/stage", "s1", 1, 1_002, undefined, Infinity],
    ["acme/lobby", "s0", 2, 1_001, "lost", 1_002],
  ]);
});
