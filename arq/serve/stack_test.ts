// The output of `docker compose` about a stack, in the forms of its versions, and the files of the stack.
import assert from "node:assert/strict";
import { parse } from "yaml";
import { parseServices, readStack, shieldPorts, stackText, withMissing } from "./stack.ts";
import { pulledCompose, STACK_FILE, stackFiles } from "./stack_files.ts";

const SHIELD = {
  Service: "shield",
  State: "running",
  Health: "healthy",
  ExitCode: 0,
  Publishers: [
    { URL: "0.0.0.0", TargetPort: 4000, PublishedPort: 4100, Protocol: "tcp" },
    { URL: "127.0.0.1", TargetPort: 4001, PublishedPort: 4001, Protocol: "tcp" },
    { URL: "", TargetPort: 4002, PublishedPort: 0, Protocol: "tcp" },
  ],
};
const KEYS = { Service: "keys", State: "exited", Health: "", ExitCode: 0, Publishers: null };
const WANTED = { port: 4000, ops_port: 4001, admin_port: 4002 };

Deno.test("services are read from a list or from an object on each line, and from nothing else", () => {
  const list = parseServices(JSON.stringify([SHIELD, KEYS]));
  const lines = parseServices(`${JSON.stringify(SHIELD)}\n${JSON.stringify(KEYS)}\n`);
  assert.deepEqual(lines, list);
  assert.deepEqual(list, [
    {
      service: "shield",
      state: "running",
      health: "healthy",
      by: "docker",
      ports: { "4000": 4100, "4001": 4001 },
    },
    { service: "keys", state: "exited", exit_code: 0, health: "none", ports: {} },
  ]);
  for (const text of ["", "[]", "null", "7", "no such file", '{"Service":1}', "[null,[]]"]) {
    assert.deepEqual(parseServices(text), [], text);
  }
  assert.deepEqual(shieldPorts(list, WANTED), { ...WANTED, port: 4100 });
  assert.deepEqual(shieldPorts([], WANTED), WANTED);
});

Deno.test("a service without a container is missing, not left out", () => {
  const all = withMissing(parseServices(JSON.stringify(KEYS)), ["nats", "keys", ""]);
  assert.deepEqual(all.map(({ service, state }) => `${service} ${state}`), [
    "keys exited",
    "nats missing",
  ]);
  assert.equal(
    stackText(all),
    "  service  state       health  address\n  keys     exited (0)\n  nats     missing\n",
  );
});

Deno.test("without Docker there is nothing to report about a stack", async () => {
  const env = { PATH: "/nowhere" };
  assert.equal(await readStack("/x/compose.yaml", new AbortController().signal, env), undefined);
});

Deno.test("the included stack has every file that it mounts, and builds nothing", () => {
  const files = stackFiles("1.2.3");
  const { services } = parse(files.get(STACK_FILE) ?? "", { merge: true });
  const paths = [...files.keys()];
  for (const [name, service] of Object.entries<Record<string, unknown>>(services)) {
    assert.ok(!("build" in service) && !("pull_policy" in service), name);
    assert.match(String(service["image"]), /:(?!.*dev)[\w.${}:-]+$/, name);
    for (const volume of (service["volumes"] ?? []) as string[]) {
      const source = volume.split(":")[0] ?? "";
      if (!source.startsWith("./")) continue;
      const path = source.slice(2);
      assert.ok(paths.some((one) => one === path || one.startsWith(`${path}/`)), source);
    }
  }
  assert.match(String(services.shield.image), /\$\{ARQON_VERSION:-1\.2\.3\}$/);
  assert.equal(pulledCompose("a:\n  b:\n    image: x\n", "1"), "a:\n  b:\n    image: x\n");
});
