/** Each rule of the layers is violated once here and must report it; valid imports must pass. */
import assert from "node:assert/strict";
import { checkLayers, checkPins, type Import, LAYERS } from "./layer_rules.ts";

const bare = new Set(["@arqon/proto", "@arqon/sdk", "zod", "@bufbuild/protobuf"]);

function check(path: string, specifier: string, target: string): string[] {
  const item: Import = { specifier, target, line: 3 };
  return checkLayers([{ path, imports: [item] }], bare).map((violation) => violation.message);
}

Deno.test("imports of lower layers are allowed", () => {
  assert.deepEqual(check("shared/logs/log.ts", "@arqon/proto", "proto/mod.ts"), []);
  assert.deepEqual(check("shield/main.ts", "../shared/ids.ts", "shared/ids.ts"), []);
  assert.deepEqual(check("brain/main.ts", "./server.ts", "brain/server.ts"), []);
  assert.deepEqual(check("sdk/typescript/mod.ts", "@arqon/proto", "proto/mod.ts"), []);
  assert.deepEqual(
    check("arq/commands/dev/serve.ts", "../../../shield/server.ts", "shield/server.ts"),
    [],
  );
  assert.deepEqual(check("tests/harness/bus.ts", "../../brain/server.ts", "brain/server.ts"), []);
  assert.deepEqual(
    check("proto/wire_test.ts", "@bufbuild/protobuf", "npm:/@bufbuild/protobuf@2"),
    [],
  );
});

Deno.test("every forbidden direction between two layers is reported", () => {
  for (const [from, allowed] of Object.entries(LAYERS)) {
    for (const to of Object.keys(LAYERS).filter((layer) => !allowed.includes(layer))) {
      const specifier = to === "proto" ? "@arqon/proto" : `../${to}/x.ts`;
      const messages = check(`${from}/a.ts`, specifier, `${to}/x.ts`);
      assert.match(messages.join("\n"), new RegExp(`${from} must not import ${to}`));
    }
  }
});

Deno.test("the two servers never import each other", () => {
  assert.equal(check("shield/server.ts", "../../brain/server.ts", "brain/server.ts").length, 1);
  assert.equal(
    check("brain/server.ts", "../shield/fanout/hub.ts", "shield/fanout/hub.ts").length,
    1,
  );
  assert.equal(
    check("brain/tap_test.ts", "../shield/fanout/hub.ts", "shield/fanout/hub.ts").length,
    1,
  );
});

Deno.test("a test may start the servers of tests/, its source may not", () => {
  const target = "tests/harness/nats_server.ts";
  assert.deepEqual(
    check("shared/spine/nats/nats_test.ts", "../../../tests/harness/nats_server.ts", target),
    [],
  );
  assert.deepEqual(
    check("sdk/typescript/a_test.ts", "../../shared/testing/until.ts", "shared/testing/until.ts"),
    [],
  );
  assert.equal(
    check("sdk/typescript/a_test.ts", "../../shared/log/log.ts", "shared/log/log.ts").length,
    1,
  );
  assert.equal(
    check("shared/spine/nats/nats.ts", "../../../tests/harness/nats_server.ts", target).length,
    1,
  );
});

Deno.test("only the SDK's Protobuf entry may import that package, and no module of the SDK imports the entry", () => {
  const specifier = "@bufbuild/protobuf";
  const target = "npm:/@bufbuild/protobuf@2.17.0";
  assert.deepEqual(check("sdk/typescript/protobuf.ts", specifier, target), []);
  assert.equal(check("sdk/typescript/protobuf.ts", "zod", "npm:/zod@4.6.7").length, 1);
  assert.equal(check("sdk/typescript/room/codec.ts", specifier, target).length, 1);
  assert.match(
    check("sdk/typescript/mod.ts", "./protobuf.ts", "sdk/typescript/protobuf.ts").join(),
    /would load a package/,
  );
});

Deno.test("arq contains texts of a deployment and no module of it; no other layer does", () => {
  const text = "deploy/compose/shield.toml";
  assert.deepEqual(check("arq/serve/a.ts", `../../${text}`, text), []);
  assert.deepEqual(check("arq/serve/a.ts", "../../compose.yaml", "compose.yaml"), []);
  assert.equal(check("shield/a.ts", `../${text}`, text).length, 1);
  const code = "deploy/docker/health.ts";
  assert.match(check("arq/a.ts", `../${code}`, code).join(), /arq must not import deploy/);
});

Deno.test("nothing imports a test file", () => {
  assert.match(
    check("shield/server.ts", "./connection/limits_test.ts", "shield/connection/limits_test.ts")
      .join(),
    /must not import a test/,
  );
});

Deno.test("modules that serve only tests may use packages, and only tests may use them", () => {
  const support = "proto/testing/arbitraries.ts";
  assert.deepEqual(check(support, "@bufbuild/protobuf", "npm:/@bufbuild/protobuf@2"), []);
  assert.deepEqual(check("proto/wire_test.ts", "./testing/arbitraries.ts", support), []);
  assert.equal(check("proto/wire.ts", "./testing/arbitraries.ts", support).length, 1);
  assert.deepEqual(check("tests/a.ts", "../proto/testing/arbitraries.ts", support), []);
  assert.equal(
    check("shield/a.ts", "./auth/testing/issuer.ts", "shield/auth/testing/issuer.ts").length,
    1,
  );
  assert.deepEqual(
    check("shield/a_test.ts", "./auth/testing/issuer.ts", "shield/auth/testing/issuer.ts"),
    [],
  );
  assert.deepEqual(
    check("tasks/test/test.ts", "./test_summary.ts", "tasks/test/test_summary.ts"),
    [],
  );
});

Deno.test("only relative paths, bare specifiers from deno.json and node: are allowed", () => {
  for (const specifier of ["npm:zod@4", "jsr:@std/assert", "https://deno.land/x.ts", "lodash"]) {
    assert.match(check("shared/a.ts", specifier, "npm:/zod@4").join(), /neither relative nor/);
  }
  assert.deepEqual(check("shared/a.ts", "zod", "npm:/zod@4"), []);
  assert.deepEqual(check("shared/a.ts", "node:sqlite", "node:sqlite"), []);
});

Deno.test("other members import the protocol by its name", () => {
  assert.match(
    check("shared/a.ts", "../proto/error.ts", "proto/error.ts").join(),
    /as "@arqon\/proto"/,
  );
  assert.deepEqual(check("tests/a.ts", "../proto/error.ts", "proto/error.ts"), []);
});

Deno.test("modules for browsers import neither packages nor the Protobuf runtime", () => {
  assert.match(check("proto/wire.ts", "zod", "npm:/zod@4").join(), /runs in browsers/);
  assert.match(check("sdk/typescript/a.ts", "node:fs", "node:fs").join(), /runs in browsers/);
  const generated = "proto/gen/arqon/descriptors.ts";
  assert.match(
    check("proto/control.ts", "./gen/arqon/descriptors.ts", generated).join(),
    /Protobuf runtime/,
  );
  assert.deepEqual(check(generated, "@bufbuild/protobuf", "npm:/@bufbuild/protobuf@2"), []);
});

Deno.test("a folder without a layer is reported", () => {
  assert.match(check("extra/a.ts", "./b.ts", "extra/b.ts").join(), /is in no layer/);
});

Deno.test("a dependency without one exact version is reported", () => {
  assert.deepEqual(
    checkPins({
      a: "./proto/mod.ts",
      b: "npm:zod@4.6.7",
      c: "npm:@bufbuild/protobuf@2.17.0/wire",
      d: "npm:typescript@7.1.0-dev.20261021.1",
    }),
    [],
  );
  const loose = ["npm:zod", "npm:zod@4", "npm:zod@^4.6.7", "npm:@a/b@~1.2.3", "jsr:@std/a@1.0.0"];
  for (const target of loose) assert.equal(checkPins({ a: target }).length, 1, target);
});
