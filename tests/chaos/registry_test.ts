/** The registry finds who was told of strangers, and of leaves that were none. */
import assert from "node:assert/strict";
import type { Member } from "../../sdk/typescript/mod.ts";
import { Registry } from "./registry.ts";

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
    /ann of acme \(c1 on s0, open\) has left.*first at 86\.1 s \[eve on no Shield/,
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
