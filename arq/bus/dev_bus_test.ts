/**
 * Finding a development bus among files of any content, with an HTTP server and files in memory. `main_test.ts` runs a
 * real bus.
 */
import assert from "node:assert/strict";
import fc from "fast-check";
import { type DevBus, findDevBus, findDevKey, parseDevBus } from "./dev_bus.ts";
import { freePort } from "../../tests/harness/free_ports.ts";

const signal = new AbortController().signal;

function announcement(ops_url: string, rest: Partial<DevBus> = {}): DevBus {
  return {
    url: "ws://127.0.0.1:4000/v1/socket",
    ops_url,
    admin_url: "http://127.0.0.1:4002",
    token: "a.b.c",
    tenant: "default",
    issuer: "arqon-dev",
    audience: "arqon",
    key_file: "/nowhere",
    started_ms: 1,
    ...rest,
  };
}

function folder(files: Record<string, string>) {
  return {
    read: (path: string) => {
      const text = files[path];
      return text === undefined
        ? Promise.reject(new Deno.errors.NotFound(path))
        : Promise.resolve(new TextEncoder().encode(text));
    },
    list: (path: string) =>
      Promise.resolve(
        Object.keys(files).filter((name) => name.startsWith(`${path}/`)).map((name) =>
          name.slice(path.length + 1)
        ),
      ),
  };
}

Deno.test("any file content is parsed as an announcement or ignored", () => {
  fc.assert(fc.property(fc.string(), (text) => assert.equal(parseDevBus(text), undefined)));
  fc.assert(fc.property(fc.json(), (text) => assert.equal(parseDevBus(text), undefined)));
  const bus = announcement("http://x");
  assert.deepEqual(parseDevBus(JSON.stringify(bus)), bus);
  assert.equal(parseDevBus(JSON.stringify({ ...bus, key_file: 7 })), undefined);
});

Deno.test("the latest matching bus that answers wins; a nearer folder comes first", async () => {
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    (request) => new Response(null, { status: request.url.endsWith("/health/live") ? 200 : 404 }),
  );
  const alive = `http://127.0.0.1:${server.addr.port}`;
  const dead = `http://127.0.0.1:${freePort()}`;
  const text = (ops_url: string, started_ms: number, url = "ws://a") =>
    JSON.stringify(announcement(ops_url, { started_ms, url }));
  const files = folder({
    "/far/dev/1.json": text(alive, 9, "ws://far"),
    "/near/dev/1.json": text(alive, 1, "ws://old"),
    "/near/dev/2.json": text(alive, 2, "ws://new"),
    "/near/dev/3.json": text(dead, 3, "ws://killed"),
    "/near/dev/4.json": "{",
    "/near/dev/readme.txt": text(alive, 5, "ws://text"),
  });
  const state_dirs = ["/none", "/near", "/far"];
  assert.equal((await findDevBus({ files, state_dirs, signal }))?.url, "ws://new");
  const old = await findDevBus({ files, state_dirs, signal }, (bus) => bus.url === "ws://old");
  assert.equal(old?.url, "ws://old");
  const none = await findDevBus({ files, state_dirs, signal }, (bus) => bus.url === "ws://killed");
  assert.equal(none, undefined);
});

Deno.test("the development key is found without a running bus", async () => {
  const files = folder({ "/far/dev-key.json": "key" });
  const found = await findDevKey({ files, state_dirs: ["/near", "/far"] });
  assert.deepEqual(found, { path: "/far/dev-key.json", text: "key" });
  assert.equal(await findDevKey({ files, state_dirs: ["/near"] }), undefined);
});
