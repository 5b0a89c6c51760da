/** Imports from the kernel of a capability. */
import assert from "node:assert/strict";
import { ROOT } from "../checkout/source_files.ts";
import { checkArrows, checkLines, checkLists, checkNames, checkPairs } from "./house_rules.ts";
import type { Module } from "./layer_rules.ts";
import { parsed } from "./sources.ts";

const module = (path: string, ...targets: string[]): Module => ({
  path,
  imports: targets.map((target, index) => ({ specifier: "./x.ts", target, line: index + 1 })),
});

const MODULES = [
  module("shield/message/pipeline.ts", "shield/journal/journal.ts", "shield/rates/rates.ts"),
  module("shield/message/testing/path.ts", "shield/journal/journal.ts"),
  module("shield/message/pipeline_test.ts", "shield/journal/journal.ts"),
  module("shield/policy/pool/pool.ts", "shield/journal/journal.ts"),
  module("arq/main.ts", "shield/journal/journal.ts"),
];

Deno.test("an import of a capability in the kernel is named; tests may import one", () => {
  assert.deepEqual(checkArrows(MODULES).map(({ path, line }) => `${path}:${line}`), [
    "shield/message/pipeline.ts:1",
  ]);
});

Deno.test("an entry of a list is a capability, by its folder or by another name", () => {
  const targets = [
    "shield/sse/sse.ts",
    "brain/reducers/x.ts",
    "shield/ledger/x.ts",
    "shield/http/x.ts",
  ];
  const arrows = checkArrows([module("shield/message/pipeline.ts", ...targets)]);
  assert.deepEqual(arrows.map(({ line }) => line), [1, 2, 3]);
});

Deno.test("a capability imports only those of its pairs, and an unused pair is named", () => {
  const pairs = { journal: ["mirror"], policies: ["usage"] };
  const modules = [
    module("shield/journal/journal.ts", "shield/mirror/rules.ts", "shield/quota/quota.ts"),
    module("shield/journal/terms_test.ts", "shield/policy/start.ts"),
  ];
  assert.deepEqual(checkPairs(modules, pairs).map(({ message }) => message), [
    "journal does not build on quota (shield/quota/quota.ts): let the kernel hand it over",
    "no import needs policies -> usage",
  ]);
});

Deno.test("a list names capabilities by their capability.ts; programs and tests pass it to the kernel", () => {
  const list = "shield/capabilities.ts";
  const lists = (path: string, target: string) =>
    checkLists([module(path, target)]).map(({ message }) => message).join();
  assert.equal(lists(list, "shield/journal/capability.ts"), "");
  assert.deepEqual(checkArrows([module(list, "shield/journal/capability.ts")]), []);
  assert.match(lists(list, "shield/journal/start.ts"), /names a capability.ts, and not/);
  for (const path of ["shield/main.ts", "shield/http/http_test.ts", "arq/serve/servers.ts"]) {
    assert.equal(lists(path, list), "");
  }
  assert.match(lists("shield/server.ts", list), /is handed to the kernel/);
});

Deno.test("a literal of the kernel that names a capability's command, metric, route or room is named", () => {
  const files = Object.entries({
    "shield/durable/capability.ts": `const own = { "history.get": 1, "room.values": 2 };`,
    "shield/auth/authorize.ts": `
      name.startsWith("history.");
      /^(?:room\\.)?values$/.test(name);
      /^[a-z.]+$/.test(name);
      const grant = "presence", key = "usage", path = "/v1/tenants", file = "/console/";`,
    "shield/stats/stats.ts": `
      const metrics = ["shield_filtered_messages_total", "shield_rooms"];
      const route = \`\${ROOM}/presence\`, room = "x~members", other = "x~reducer";`,
    "shield/stats/stats_test.ts": `"history.get";`,
    "shared/subjects/subject.ts": `"journal.t.x";`,
    "brain/inspect.ts": `read("brain_presence_members"); read("brain_rooms");`,
    "brain/rooms/commands/room_commands.ts": `const own = { "room.get": 1, "room.ban": 2 };`,
    "shield/http/http_commands.ts": `const commands = ["room.get", "room.ban", "room."];`,
  });
  const found = checkNames(files.map(([path, text]) => ({ path, tree: () => parsed(path, text) })));
  assert.deepEqual(
    found.map(({ path, line, message }) => `${path}:${line} ${message.split(" ")[0]}`),
    [
      `shield/auth/authorize.ts:2 "history."`,
      "shield/auth/authorize.ts:3 /^(?:room\\.)?values$/",
      `shield/stats/stats.ts:3 "x~members"`,
      `shield/stats/stats.ts:3 "x~reducer"`,
      `shield/stats/stats.ts:2 "shield_filtered_messages_total"`,
      "shield/stats/stats.ts:3 }/presence`",
      `brain/inspect.ts:1 "brain_presence_members"`,
      `shield/http/http_commands.ts:1 "room.get"`,
    ],
  );
});

Deno.test("a capability or kernel with too many lines is named; programs and tests do not count", () => {
  const paths = ["message/a.ts", "message/a_test.ts", "journal/b.ts", "main.ts", "supervisor/c.ts"];
  const files = [...paths.map((path) => `shield/${path}`), "shield/capabilities.ts", "brain/d.ts"]
    .map((path) => ({ path, lines: 10 }));
  const most = { "kernel/shield": 10, "kernel/brain": 10 };
  assert.deepEqual(checkLines(files, most), []);
  const wrong = checkLines(files, { ...most, "kernel/shield": 9, journal: 9 });
  assert.deepEqual(wrong.map(({ message }) => message), [
    "kernel/shield has 10 lines, at most 9: let go of some first",
    "journal has 10 lines, at most 9: let go of some first",
  ]);
});

Deno.test("docs/architecture.md links every folder of the servers", async () => {
  const page = await Deno.readTextFile(`${ROOT}docs/architecture.md`);
  for (const root of ["shared", "shield", "brain"]) {
    const folders = (await Array.fromAsync(Deno.readDir(`${ROOT}${root}`))).filter((one) =>
      one.isDirectory && one.name !== "testing"
    );
    const missing = folders.filter(({ name }) => !page.includes(`(../${root}/${name}/)`));
    assert.deepEqual(missing.map(({ name }) => name), [], `folders of ${root}/`);
  }
});
