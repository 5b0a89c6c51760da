/** Which route a request takes, and what is checked before a handler runs: scope, tenant, method, body. */
import assert from "node:assert/strict";
import { AdminRouter } from "./admin_router.ts";
import { type AdminCall, AdminTable, inBody } from "./admin_routes.ts";
import type { Admin } from "./admin_scope.ts";
import { readBytes } from "../../../shared/listeners/request_body.ts";
import { askPart, operator, tenantAdmin } from "./testing/admin.ts";
import { keptLog } from "../../testing/spine.ts";

const { log, lines } = keptLog();
/** What handlers have done, latest last. */
const done: string[] = [];
const context = { log };

const note = (what: string) => (_: unknown, call: AdminCall) => {
  done.push(`${what} ${call.tenant}`.trim());
  return Response.json({ what, names: call.names });
};

/** What every route has to declare. */
const about = { id: "x", summary: "x", answer: undefined };

/** A body that is the tenant's name. */
const TENANT = {
  schema: {},
  read: async (request: Request) => ({
    tenant: new TextDecoder().decode(await readBytes(request, 64)),
  }),
};

const TABLE = new AdminTable<typeof context>("x", {
  "POST /v1/forgotten": { ...about, handle: note("forgotten") },
  "PUT /v1/forgotten/{tenant}": { ...about, handle: note("forgotten") },
  "PUT /v1/large": { ...about, scope: "bus", handle: note("large") },
  "GET /v1/nowhere": { ...about, scope: "tenant-in-path", handle: note("nowhere") },
  "GET /v1/things/special": { ...about, scope: "shared", handle: note("special") },
  "GET /v1/things/{thing}": { ...about, scope: "bus", handle: note("thing") },
  "DELETE /v1/things/{thing}": { ...about, scope: "shared", handle: note("delete") },
  "GET /v1/tenants/{tenant}/x": { ...about, scope: "tenant-in-path", handle: note("x") },
  "POST /v1/named": {
    ...about,
    ...inBody(TENANT, async (_, call, { tenant }) => await note(`named ${tenant}`)(_, call)),
  },
  "GET /v1/broken": {
    ...about,
    scope: "shared",
    handle() {
      throw new TypeError("secret detail");
    },
  },
});

/** Another part: it has a path below `/v1/things` that could also be the name of a thing. */
const OTHER = new AdminTable<typeof context>("x", {
  "GET /v1/things/list": { ...about, scope: "own", handle: note("list") },
});

const ROUTER = new AdminRouter([...TABLE.serve(context), ...OTHER.serve(context)]);

async function ask(admin: Admin, method: string, path: string, body?: BodyInit) {
  const init = body === undefined ? { method } : { method, body };
  const request = new Request(`http://admin${path}`, init);
  const before = done.length;
  const response = await ROUTER.answer(request, admin);
  const { reason = "", ...rest } = await response.json();
  return { status: response.status, reason, rest, request, response, did: done.slice(before) };
}

const ACME = tenantAdmin("acme");

Deno.test("a route that declares nothing is for operators, whatever its path contains", async () => {
  const requests = [["POST", "/v1/forgotten"], ["PUT", "/v1/forgotten/acme"]] as const;
  for (const [method, path] of requests) {
    const { status, reason, did } = await ask(ACME, method, path);
    assert.deepEqual([status, reason, did], [403, "role-forbidden", []], path);
    assert.equal((await ask(operator(), method, path)).status, 200);
  }
  // A route that declares its tenant in the path, but has no such path parameter, names no tenant.
  assert.equal((await ask(ACME, "GET", "/v1/nowhere")).reason, "tenant-mismatch");
});

Deno.test("a large body is refused before a byte of it is read if the admin may not send it", async () => {
  let pulled = 0;
  const body = new ReadableStream({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(65_536));
    },
  }, { highWaterMark: 0 });
  const { status, request, did } = await ask(ACME, "PUT", "/v1/large", body);
  assert.deepEqual([status, request.bodyUsed, pulled, did], [403, false, 0, []]);
});

Deno.test("a tenant that is named in a body is read, and checked, before the handler runs", async () => {
  const refused = await ask(ACME, "POST", "/v1/named", "globex");
  assert.deepEqual([refused.status, refused.reason, refused.did], [403, "tenant-mismatch", []]);
  assert.deepEqual((await ask(ACME, "POST", "/v1/named", "acme")).did, ["named acme"]);
  assert.deepEqual((await ask(operator(), "POST", "/v1/named", "globex")).did, ["named globex"]);
  const large = await ask(ACME, "POST", "/v1/named", "x".repeat(65));
  assert.deepEqual([large.status, large.did], [413, []]);
});

Deno.test("the tenant of a path is decoded once, and the decoded tenant is checked", async () => {
  const own = await ask(ACME, "GET", "/v1/tenants/%61cme/x");
  assert.deepEqual([own.status, own.did], [200, ["x acme"]]);
  for (const path of ["%2561cme", "a%2Fb", "%zz", "globex", "acme%20"]) {
    const { reason, did } = await ask(ACME, "GET", `/v1/tenants/${path}/x`);
    assert.deepEqual([reason, did], ["tenant-mismatch", []], path);
  }
  const wrong = await ask(operator(), "GET", "/v1/tenants/%2561cme/x");
  assert.deepEqual([wrong.status, wrong.reason, wrong.did], [400, "invalid-settings", []]);
});

Deno.test("a literal path wins, and leaves other methods to the path with names", async () => {
  const scopes = async (method: string, path: string) =>
    (await ask(ACME, method, path)).did.join() || "refused";
  assert.equal(await scopes("GET", "/v1/things/special"), "special");
  assert.equal(await scopes("DELETE", "/v1/things/special"), "delete");
  assert.equal(await scopes("GET", "/v1/things/other"), "refused");
  const { status, response } = await ask(ACME, "PATCH", "/v1/things/special");
  assert.deepEqual([status, response.headers.get("allow")], [405, "GET, DELETE"]);
  assert.equal((await ask(ACME, "constructor", "/v1/things/special")).status, 405);
  assert.equal((await ask(operator(), "GET", "/v1/things/a/b")).status, 404);
  const { rest } = await ask(operator(), "GET", "/v1/things/a%20b");
  assert.deepEqual(rest.names, { thing: "a b" });
  assert.ok(ROUTER.has("/v1/things/x") && !ROUTER.has("/v1/things"));
  assert.ok(!ROUTER.has("/v1/thingsXspecial"));
});

Deno.test("a path may belong to two parts, each with its own methods", async () => {
  const listed = await ask(ACME, "GET", "/v1/things/list");
  assert.deepEqual([listed.did, listed.rest.names], [["list"], {}], "of its own template");
  const removed = await ask(ACME, "DELETE", "/v1/things/list");
  assert.deepEqual([removed.did, removed.rest.names], [["delete"], { thing: "list" }]);
  const { response } = await ask(ACME, "PUT", "/v1/things/list");
  assert.equal(response.headers.get("allow"), "GET, DELETE");
  const twice = [...OTHER.serve(context), ...OTHER.serve(context)];
  assert.throws(() => new AdminRouter(twice), /GET \/v1\/things\/list: two routes/);
});

Deno.test("a part answers errors that only it knows", async () => {
  const known = new AdminTable<typeof context>("x", {
    "GET /v1/limited": {
      ...about,
      scope: "shared",
      handle() {
        throw new RangeError("of this part");
      },
    },
  }, (error) => error instanceof RangeError ? new Response(null, { status: 409 }) : undefined);
  const request = new Request("http://admin/v1/limited");
  assert.equal((await askPart(known, context, request)).status, 409);
});

Deno.test("a handler that fails gives a 500 without its message, which is in the log", async () => {
  const { status, reason, rest } = await ask(ACME, "GET", "/v1/broken");
  assert.deepEqual([status, reason], [500, "internal"]);
  assert.doesNotMatch(JSON.stringify(rest), /secret/);
  assert.match(lines.join(""), /secret detail.*admin request failed/);
});
