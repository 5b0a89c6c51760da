/** The admin API as requests and answers, over a real registry on the embedded Spine. */
import assert from "node:assert/strict";
import {
  adminRequest,
  askJson,
  askPart,
  operator,
  tenantAdmin,
} from "../admin/routing/testing/admin.ts";
import { POLICY_ROUTES } from "./admin_api.ts";
import { documentBytes } from "./chain/chain.ts";
import { sha256Hex } from "../../shared/sha256.ts";
import { startApi } from "./testing/admin_api.ts";
import { BAD_MODULE, binding, tinyModule } from "./testing/modules.ts";

const MODULES = "/v1/policies/modules";
const DEPLOY = "/v1/policies/deploy";
const ROLLBACK = "/v1/policies/rollback";

Deno.test("an upload returns a module's hash and hooks, or is refused with a sentence", async () => {
  await using api = await startApi();
  const bytes = tinyModule(1, ["on_connect", "on_message"]);
  const taken = await api.ask("PUT", MODULES, bytes, "application/wasm; x=y");
  assert.equal(taken.status, 200);
  assert.deepEqual(taken.body, {
    sha256: await sha256Hex(bytes),
    hooks: ["on_connect", "on_message"],
    size_bytes: bytes.length,
  });
  const table: [body: Uint8Array | string, type: string, code: number, reason: string][] = [
    [BAD_MODULE, "application/wasm", 400, "invalid-policy"],
    [new Uint8Array(0), "application/wasm", 400, "invalid-policy"],
    [bytes, "application/octet-stream", 415, "unsupported-media-type"],
    [new Uint8Array(1_048_576 + 65_537), "application/wasm", 413, "too-large"],
  ];
  for (const [body, type, code, reason] of table) {
    const refused = await api.ask("PUT", MODULES, body, type);
    assert.deepEqual([refused.status, refused.body.reason], [code, reason]);
    assert.equal(refused.headers.get("content-type"), "application/problem+json");
  }
  const refused = await api.ask("PUT", MODULES, BAD_MODULE, "application/wasm");
  assert.equal(refused.body.detail, "Invalid policy: the bytes are not a WebAssembly module");
  assert.equal(await api.one.registry.store.module(await sha256Hex(BAD_MODULE)), undefined);
});

Deno.test("an upload without an announced length is cut off at the limit", async () => {
  await using api = await startApi();
  let sent = 0;
  let cancelled = false;
  const endless = new ReadableStream<Uint8Array>({
    pull: (controller) => {
      sent += 65_536;
      controller.enqueue(new Uint8Array(65_536));
    },
    cancel: () => void (cancelled = true),
  });
  const refused = await api.ask("PUT", MODULES, endless, "application/wasm");
  assert.equal(refused.body.reason, "too-large");
  assert.ok(cancelled && sent < 2_000_000, `${sent} bytes were read`);
});

Deno.test("a deployment returns what is in force here and what is stored", async () => {
  await using api = await startApi();
  const sha256 = await api.upload(1, ["on_connect", "on_message"]);
  const plain = await api.ask("POST", DEPLOY, { tenant: "acme", name: "p", sha256 });
  assert.equal(plain.status, 200, JSON.stringify(plain.body));
  const policy = binding({ sha256, hooks: ["on_connect", "on_message"] });
  assert.deepEqual(plain.body.policies, [policy]);
  assert.deepEqual([plain.body.tenant, plain.body.version, plain.body.by], ["acme", 1, "ops"]);
  assert.equal(plain.body.change, "deploy p");
  assert.deepEqual([plain.body.here.state, plain.body.here.enforced_version], ["active", 1]);
  assert.deepEqual(api.one.registry.chainFor("acme", "on_message", "r", "k"), [policy]);
  assert.deepEqual(api.one.registry.chainFor("other", "on_message", "r", "k"), []);
  const special = { order: -5, mode: "observe", percent: 0.25 };
  const full = { ...policy, name: "q", room: "chat-*", hooks: ["on_message"], ...special };
  const second = await api.ask("POST", DEPLOY, { tenant: "acme", ...full });
  assert.deepEqual(second.body.policies, [full, policy]);
  const again = await api.ask("POST", DEPLOY, { tenant: "acme", ...full });
  assert.deepEqual([again.body.version, again.body.revision], [2, second.body.revision]);
  assert.ok(api.lines.some((line) => /tenant_id=acme version=1 .*by=ops/.test(line)));
});

Deno.test("an invalid deployment is refused before anything is written", async () => {
  await using api = await startApi();
  const sha256 = await api.upload(1);
  const good = { tenant: "acme", name: "p", sha256 };
  const table: [body: unknown, code: number, detail: RegExp][] = [
    [{ ...good, sha256: "0".repeat(64) }, 404, /module 0+ has not been uploaded/],
    [{ ...good, hooks: ["on_connect"] }, 400, /does not export arqon_on_connect/],
    [{ ...good, name: "a b" }, 400, /name: expected/],
    [{ ...good, tenant: "" }, 400, /tenant: expected/],
    [{ ...good, room: "a.*" }, 400, /room: expected/],
    [{ ...good, percent: 2 }, 400, /percent/],
    [{ ...good, order: "first" }, 400, /order/],
    [{ ...good, mode: "maybe" }, 400, /mode/],
    [{ ...good, colour: "red" }, 400, /colour/],
    ["{", 400, /not JSON/],
    ["x".repeat(20_000), 413, /16384 bytes/],
  ];
  for (const [body, code, detail] of table) {
    const { status, body: problem } = await api.ask("POST", DEPLOY, body);
    assert.equal(status, code, JSON.stringify(problem));
    assert.match(problem.detail, detail);
  }
  const typed = await api.ask("POST", DEPLOY, JSON.stringify(good), "text/plain");
  assert.equal(typed.status, 415);
  assert.equal((await api.one.registry.store.read("acme")).revision, 0);
});

Deno.test("a listing has the chain, its history and this node's state", async () => {
  await using api = await startApi();
  const empty = await api.ask("GET", "/v1/policies?tenant=acme");
  assert.deepEqual([empty.body.version, empty.body.policies, empty.body.here], [0, [], null]);
  const sha256 = await api.upload(1);
  await api.ask("POST", DEPLOY, { tenant: "acme", name: "p", sha256 });
  await api.ask("POST", DEPLOY, { tenant: "acme", name: "q", sha256, order: 3 });
  const { body } = await api.ask("GET", "/v1/policies?tenant=acme");
  assert.equal(body.policies.length, 2);
  assert.deepEqual(body.history[1].policies, ["p"]);
  assert.deepEqual(Object.keys(body.history[1].modules), ["p"]);
  assert.match(body.history[1].modules.p, /^[0-9a-f]{64}$/);
  assert.deepEqual([body.here.state, body.here.enforced_version], ["active", 2]);
  const all = await api.ask("GET", "/v1/policies");
  assert.deepEqual([all.body.ready, all.body.modules, all.body.truncated], [true, 1, false]);
  assert.deepEqual(all.body.tenants.map((one: { tenant: string }) => one.tenant), ["acme"]);
  for (const query of ["tenant=", "tenant=a.b", "tenant=a&tenant=b"]) {
    assert.equal((await api.ask("GET", `/v1/policies?${query}`)).status, 400);
  }
});

Deno.test("a rollback restores an earlier version, step by step or by number; a removal removes a policy", async () => {
  await using api = await startApi();
  for (const [at, name] of ["a", "b", "a"].entries()) {
    const sha256 = await api.upload(at);
    await api.ask("POST", DEPLOY, { tenant: "acme", name, sha256, order: at });
  }
  const running = () =>
    api.one.registry.chainFor("acme", "on_message", "r", "k").map(({ order }) => order);
  assert.deepEqual(running(), [1, 2]);
  const back = await api.ask("POST", ROLLBACK, { tenant: "acme" });
  assert.deepEqual([back.body.version, back.body.restores], [4, 2]);
  assert.deepEqual(running(), [0, 1]);
  await api.ask("POST", ROLLBACK, { tenant: "acme", version: 3 });
  assert.deepEqual(running(), [1, 2]);
  const gone = await api.ask("DELETE", "/v1/policies/a?tenant=acme");
  assert.deepEqual([gone.status, gone.body.change], [200, "remove a"]);
  assert.deepEqual(running(), [1]);
  await api.ask("DELETE", "/v1/policies/b?tenant=acme");
  assert.deepEqual(running(), []);
  const { state, enforced_version, policies } = api.one.registry.tenant("acme")!;
  assert.deepEqual([state, enforced_version, policies], ["active", 7, 0]);
  const word = /component=overseer .*tenant_id=acme .*in force/;
  assert.ok(api.one.lines.some((line) => word.test(line)));
  const refused: [string, string, unknown?][] = [
    ["DELETE", "/v1/policies/a?tenant=acme"],
    ["DELETE", "/v1/policies/b?tenant=other"],
    ["POST", ROLLBACK, { tenant: "acme", version: 77 }],
    ["POST", ROLLBACK, { tenant: "other" }],
  ];
  for (const [method, path, body] of refused) {
    const answer = await api.ask(method, path, body);
    assert.deepEqual([answer.status, answer.body.reason], [404, "policy-unknown"], path);
  }
});

Deno.test("a policy may have the name of a route and can still be removed", async () => {
  await using api = await startApi();
  const sha256 = await api.upload(1);
  for (const name of ["deploy", "logs", "a:b=c~"]) {
    await api.ask("POST", DEPLOY, { tenant: "acme", name, sha256 });
    const path = `/v1/policies/${encodeURIComponent(name)}?tenant=acme`;
    const { status, body } = await api.ask("DELETE", path);
    assert.equal(status, 200, JSON.stringify(body));
  }
  assert.equal((await api.ask("DELETE", "/v1/policies/%?tenant=acme")).status, 400);
});

Deno.test("an unreadable document is a 409 until it is reset", async () => {
  await using api = await startApi();
  const sha256 = await api.upload(1);
  const deploy = { tenant: "acme", name: "p", sha256 };
  await api.ask("POST", DEPLOY, deploy);
  const stored = await api.one.registry.store.read("acme");
  const refused = await api.ask("POST", "/v1/policies/reset", { tenant: "acme" });
  assert.deepEqual([refused.status, refused.body.reason], [409, "policy-conflict"]);
  // A document as a later version of ArqonBus might write it.
  const later = JSON.parse(new TextDecoder().decode(documentBytes(stored.document)));
  await api.one.registry.store.change("acme", () => ({ ...later, format: 2 }));
  for (const path of [DEPLOY, ROLLBACK]) {
    const body = path === DEPLOY ? deploy : { tenant: "acme" };
    assert.equal((await api.ask("POST", path, body)).status, 409, path);
  }
  assert.equal((await api.ask("GET", "/v1/policies?tenant=acme")).status, 409);
  const reset = await api.ask("POST", "/v1/policies/reset", { tenant: "acme" });
  assert.deepEqual([reset.status, reset.body.here.state], [200, "active"]);
  assert.equal((await api.ask("POST", DEPLOY, deploy)).status, 200);
});

Deno.test("log lines are followed while the connection is open", async () => {
  await using api = await startApi();
  const response = await api.request("GET", "/v1/policies/logs?tenant=acme");
  assert.equal(response.headers.get("content-type"), "application/x-ndjson");
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  await reader.read();
  api.followers.publish("acme", [{ name: "p", level: 2, message: "seen" }]);
  const { value } = await reader.read();
  assert.equal(JSON.parse(new TextDecoder().decode(value)).message, "seen");
  await reader.cancel();
  assert.equal(api.followers.size, 0);
  assert.equal((await api.ask("GET", "/v1/policies/logs")).status, 400);
});

Deno.test("without following, the remembered lines come at once, and the answer ends", async () => {
  await using api = await startApi();
  const path = "/v1/policies/logs?tenant=acme&follow=false";
  const none = await api.request("GET", path);
  assert.deepEqual([none.status, await none.text()], [200, ""]);
  api.memory.remember("acme", [{ name: "p", level: 2, message: "kept" }]);
  api.memory.remember("other", [{ name: "q", level: 2, message: "not acme's" }]);
  const response = await api.request("GET", path);
  assert.equal(response.headers.get("content-type"), "application/x-ndjson");
  const lines = (await response.text()).trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ policy, message }) => [policy, message]), [["p", "kept"]]);
  for (const wrong of ["follow=no", "follow=", "follow=false&follow=false"]) {
    const { status, body } = await api.ask("GET", `/v1/policies/logs?tenant=acme&${wrong}`);
    assert.deepEqual([status, body.reason], [400, "invalid-settings"], wrong);
  }
});

Deno.test("other paths are 404, other methods 405 with the allowed ones", async () => {
  await using api = await startApi();
  const table: [method: string, path: string, status: number, allow: string | null][] = [
    ["GET", "/v1/policies/a/b", 404, null],
    ["GET", "/v1/policies/", 404, null],
    ["POST", "/v1/policies", 405, "GET"],
    ["GET", "/v1/policies/deploy", 405, "DELETE, POST"],
    ["PATCH", "/v1/policies/bad-words", 405, "DELETE"],
  ];
  for (const [method, path, status, allow] of table) {
    const answer = await api.ask(method, path);
    assert.deepEqual([answer.status, answer.headers.get("allow")], [status, allow], path);
  }
});

Deno.test("an internal error of the check is a 500 with details in the log, not in the answer", async () => {
  await using api = await startApi();
  const context = { ...api.context, check: () => Promise.reject(new TypeError("secret detail")) };
  const request = adminRequest("PUT", MODULES, tinyModule(1), "application/wasm");
  const response = await askPart(POLICY_ROUTES, context, request);
  assert.equal(response.status, 500);
  assert.doesNotMatch(await response.text(), /secret/);
  assert.ok(api.lines.some((line) => /level=error .*secret detail/.test(line)));
});

Deno.test("a module that is swept during its deployment is stored again", async () => {
  await using api = await startApi();
  const sha256 = await api.upload(1);
  const { store } = api.one.registry;
  const change = store.change.bind(store);
  // This runs between the check of the module and the document that names it.
  store.change = async (...args) => {
    await store.deleteModule(sha256);
    return await change(...args);
  };
  const deployed = await api.ask("POST", DEPLOY, { tenant: "acme", name: "a", sha256, room: "*" });
  assert.equal(deployed.status, 200, JSON.stringify(deployed.body));
  assert.deepEqual(await store.module(sha256), tinyModule(1));
});

Deno.test("an operator, and the tenant whose policies name it, can download a module", async () => {
  await using api = await startApi();
  const mine = await api.upload(1);
  const theirs = await api.upload(2);
  await api.ask("POST", DEPLOY, { tenant: "acme", name: "p", sha256: mine });
  await api.ask("POST", DEPLOY, { tenant: "globex", name: "p", sha256: theirs });
  const get = (sha256: string, tenant: string, as = operator()) => {
    const request = new Request(`http://admin${MODULES}/${sha256}?tenant=${tenant}`);
    return askPart(POLICY_ROUTES, api.context, request, as);
  };
  const acme = tenantAdmin("acme");
  const own = await get(mine, "acme", acme);
  assert.deepEqual([own.status, own.headers.get("content-type")], [200, "application/wasm"]);
  assert.deepEqual(await own.bytes(), tinyModule(1));
  await api.ask("DELETE", "/v1/policies/p?tenant=acme");
  assert.equal((await get(mine, "acme", acme)).status, 200, "its history names it");
  assert.equal((await get(theirs, "acme")).status, 200, "an operator sees all");
  for (const sha256 of [theirs, "0".repeat(64), "x"]) {
    const refused = await get(sha256, "acme", acme);
    assert.deepEqual([refused.status, (await refused.json()).reason], [404, "policy-unknown"]);
  }
  const foreign = await get(theirs, "globex", acme);
  assert.deepEqual([foreign.status, (await foreign.json()).reason], [403, "tenant-mismatch"]);
});

Deno.test("a module in quarantine is listed and reported where policies name it, and operators release it", async () => {
  await using api = await startApi();
  const sha256 = await api.upload(7);
  const named = { tenant: "acme", name: "p" };
  await api.ask("POST", "/v1/policies/deploy", { ...named, sha256 });
  const other = "f".repeat(64);
  api.quarantine.add(sha256, "wedge");
  api.quarantine.add(other, "crash");
  const entry = (sha256: string, why: string) => ({ sha256, why, at_ms: 1_000, node: "shield-1" });
  const all = await api.ask("GET", "/v1/policies/quarantine");
  const modules = [entry(sha256, "wedge"), entry(other, "crash")];
  assert.deepEqual(all.body, { modules, truncated: false });
  const chain = await api.ask("GET", "/v1/policies?tenant=acme");
  assert.deepEqual(chain.body.quarantined, [{ name: "p", ...entry(sha256, "wedge") }]);
  const mine = tenantAdmin("acme");
  const asOwn = async (method: string, path: string) => {
    const request = adminRequest(method, path);
    const { status, body } = await askJson(POLICY_ROUTES, api.context, request, mine);
    return [status, body];
  };
  const [status, own] = await asOwn("GET", "/v1/policies/quarantine");
  assert.deepEqual([status, own.modules], [200, [entry(sha256, "wedge")]]);
  const [foreign] = await asOwn("GET", "/v1/policies/quarantine?tenant=globex");
  assert.equal(foreign, 403);
  const named_one = await api.ask("GET", "/v1/policies/quarantine?tenant=acme");
  assert.deepEqual(named_one.body.modules, [entry(sha256, "wedge")]);
  const path = `/v1/policies/quarantine/${sha256}`;
  assert.equal((await asOwn("DELETE", path))[0], 403, "the module's tenant may not");
  const released = await api.ask("DELETE", path);
  assert.deepEqual([released.status, released.body], [200, { sha256, released: true }]);
  assert.equal((await api.ask("DELETE", path)).status, 404);
  assert.deepEqual((await api.ask("GET", "/v1/policies?tenant=acme")).body.quarantined, []);
  assert.ok(api.lines.some((line) => line.includes("released") && line.includes("by=ops")));
});
