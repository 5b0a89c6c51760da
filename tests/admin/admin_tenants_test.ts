/**
 * The authorization of all routes of the admin API, on a real bus with `[admin] operator_tenants`: admins of other
 * tenants may use only what belongs to their tenant. `openapi_test.ts` has a bus on which every admin may use all.
 * `shield/admin/routing/admin_scope_test.ts` tests the scopes.
 */
import assert from "node:assert/strict";
import { listedRoutes } from "../../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { adminRequests, moduleHash, sendRequest, withoutUnknown } from "./admin_requests.ts";
import type { AdminRequest, RequestOf } from "./admin_requests.ts";
import { type AdminAnswer, AdminClient } from "../peers/admin_client.ts";
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";
import { openText, type RawClient } from "../peers/raw_client.ts";

const OPERATORS = `[admin]
operator_tenants = ["ops"]
[[rooms]]
room = "logged-*"
durable = true
[usage]
enabled = true
`;

const nameOf = ({ method, template }: { method: string; template: string }) =>
  `${method} ${template}`;
const SCOPES = new Map(
  listedRoutes(SHIELD_CAPABILITIES).map((route) => [nameOf(route), route.scope]),
);

/** An admin of a tenant that sends the listed requests. */
interface Asking {
  readonly client: AdminClient;
  /** Status and reason; the content of an endless answer is not awaited. */
  send(method: string, request: AdminRequest): Promise<[number, string]>;
}

async function askingFor(bus: TestBus, tenant: string): Promise<Asking> {
  const token = await bus.tokenFor({ role: "admin", tenant, user: `${tenant}-admin` });
  return {
    client: new AdminClient(bus.admin_url, token),
    async send(method, request) {
      const response = await sendRequest(bus.admin_url, token, method, request);
      if (!response.ok) return [response.status, (await response.json()).reason];
      await response.body?.cancel();
      return [response.status, ""];
    },
  };
}

/** Everything that the requests may change of a tenant, and of the bus. */
async function stateOf(operator: Asking, tenant: string): Promise<unknown[]> {
  const paths = [
    ...["policies", "mirror/diff", "revocations", "bans"].map((of) => `/v1/${of}?tenant=${tenant}`),
    ...["mirror", "mappings", "rooms"].map((of) => `/v1/tenants/${tenant}/${of}`),
    ...["messages", "state"].map((of) => `/v1/rooms/${tenant}/logged-1/${of}`),
    ...["/v1/schemas", "/v1/log"],
  ];
  const { total } = await operator.client.read(`/v1/connections?tenant=${tenant}`);
  const read = await Promise.all(paths.map((path) => operator.client.read(path)));
  const [registered, levels] = read.splice(-2);
  const schemas = registered.schemas.map(({ here: _, ...schema }: { here: unknown }) => schema);
  return [total, ...read, schemas, levels];
}

async function clientOf(bus: TestBus, tenant: string): Promise<RawClient> {
  const client = await openText(bus.url, await bus.tokenFor({ tenant, user: `${tenant}-user` }));
  client.send({ op: "sub", room: `${tenant}-lobby`, id: 1 });
  client.send({ op: "pub", room: `${tenant}-lobby`, type: "chat", data: 1, id: 2 });
  for (let frames = 0; frames < 3; frames++) await client.json();
  return client;
}

/** Creates something of each kind in a tenant, which others must not reach. */
async function furnish(operator: Asking, all: readonly RequestOf[], tenant: string) {
  for (const request of all) {
    if (!["PUT", "POST"].includes(request.method)) continue;
    if (/reset|rollback|drain|log|check|validate/.test(request.template)) continue;
    if (request.status !== 200) continue;
    const [status] = await operator.send(request.method, request.about(tenant));
    assert.equal(status, 200, nameOf(request));
  }
  const body = { tenant, name: "all", sha256: await moduleHash() };
  const [status] = await operator.send("POST", { path: "/v1/policies/deploy", body });
  assert.equal(status, 200);
}

Deno.test("the list of requests has every route of the tables, and nothing else", async () => {
  const asked = (await adminRequests()).map(nameOf);
  assert.deepEqual(asked.toSorted(), [...SCOPES.keys()].sort());
  assert.equal(new Set(asked).size, asked.length);
});

/** The expected answer for an admin of acme that asks about `tenant`. */
function expected(request: RequestOf, tenant: "acme" | "globex"): [number, string] | number {
  const scope = SCOPES.get(nameOf(request));
  if (scope === "bus") return [403, "role-forbidden"];
  const names_none = ["/v1/tenants", "/v1/connections/{connection}"].includes(request.template);
  if (tenant === "acme" || scope === "shared" || names_none) return request.status;
  return [403, "tenant-mismatch"];
}

/** A bus of operators, all requests, its operator, and an admin of the tenant acme. */
async function operated() {
  const bus = await startLocalBus(OPERATORS);
  const operator = await askingFor(bus, "ops");
  const acme = await askingFor(bus, "acme");
  const all = await adminRequests();
  return { bus, all, operator, acme, [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() };
}

/** The requests of acme's admin about a tenant that are answered otherwise than expected. */
async function wrongOf(
  { all, acme }: Pick<Awaited<ReturnType<typeof operated>>, "all" | "acme">,
  tenant: "acme" | "globex",
): Promise<string[]> {
  const wrong: string[] = [];
  for (const request of all) {
    // Lists without a filter refuse an unknown parameter.
    const about = request.about(tenant);
    const sent = tenant === "acme" ? withoutUnknown(request, about) : about;
    const [status, reason] = await acme.send(request.method, sent);
    const wanted = expected(request, tenant);
    const got = typeof wanted === "number" ? status : [status, reason];
    if (String(got) !== String(wanted)) wrong.push(`${nameOf(request)}: ${status} ${reason}`);
  }
  return wrong;
}

Deno.test("an admin of another tenant is refused everything that is not its own, and changes nothing", async () => {
  await using scene = await operated();
  const { bus, all, operator } = scene;
  await furnish(operator, all, "globex");
  using globex = await clientOf(bus, "globex");
  const before = await stateOf(operator, "globex");
  assert.deepEqual(await wrongOf(scene, "globex"), []);
  assert.deepEqual(await stateOf(operator, "globex"), before);
  globex.send({ op: "pub", room: "globex-lobby", type: "chat", data: 2, id: 9 });
  assert.ok((await globex.json()).op !== "err", "its client is still there");
});

Deno.test("an admin of one tenant does all that is its own, and no more", async () => {
  await using scene = await operated();
  const { all, operator, acme } = scene;
  const register = all.find((one) => nameOf(one) === "PUT /v1/schemas/{schema}")!;
  assert.equal((await operator.send("PUT", register.about("acme")))[0], 200);
  assert.deepEqual(await wrongOf(scene, "acme"), []);
  assert.deepEqual((await acme.client.read("/v1/access")).operator, false);
  assert.deepEqual((await operator.client.read("/v1/access")).operator, true);
});

Deno.test("lists show an admin of one tenant that tenant only, counts included", async () => {
  await using scene = await operated();
  const { bus, all, operator, acme } = scene;
  for (const tenant of ["globex", "acme"]) await furnish(operator, all, tenant);
  using _acme = await clientOf(bus, "acme");
  using _globex = await clientOf(bus, "globex");
  const paths = all.filter((one) => SCOPES.get(nameOf(one)) === "own" && one.method === "GET")
    .map(({ template }) => template).filter((template) => !template.includes("{"))
    // These always concern one tenant: `tests/why_test.ts`, `tests/usage_test.ts`, and `arq/arq_why_test.ts`.
    .filter((template) => !["/v1/why", "/v1/usage", "/v1/rooms/stored"].includes(template))
    // No rollout is active here; `tests/rollout_test.ts` has some.
    .filter((template) => template !== "/v1/rollouts");
  assert.equal(paths.length, 12);
  const shown = new Map<string, AdminAnswer["body"]>();
  for (const path of paths) {
    const body = await acme.client.read(path);
    assert.doesNotMatch(JSON.stringify(body), /globex/, path);
    // No module is in quarantine here; `shield/policy/admin_api_test.ts` has some.
    const has_nothing = path === "/v1/policies/quarantine";
    const all = JSON.stringify(await operator.client.read(path));
    assert.equal(/globex|everyones/.test(all), !has_nothing, path);
    shown.set(path, body);
  }
  const [row] = shown.get("/v1/tenants").tenants;
  assert.equal(shown.get("/v1/tenants").tenants.length, 1);
  assert.deepEqual([row.tenant_id, row.connections, row.rooms], ["acme", 1, 1]);
  assert.equal(row.ingress_messages, 2, "sent by its client, and published there by the operator");
  assert.equal(shown.get("/v1/connections").total, 1);
  assert.equal(shown.get("/v1/rooms").rooms.length, 1);
  const { tenants, modules } = shown.get("/v1/policies");
  assert.deepEqual([tenants.length, modules], [1, undefined], "modules are everybody's");
  assert.deepEqual(shown.get("/v1/schemas").schemas.length, 1, "it is mapped to it");
  await operator.send("DELETE", { path: "/v1/tenants/acme/mappings" });
  assert.deepEqual((await acme.client.read("/v1/schemas")).schemas, [], "globex still is");
  const { here } = await acme.client.read("/v1/schemas/everyones");
  assert.equal(here, null, "what others have mapped is theirs");
});

Deno.test("another tenant's connection is not found, and not ended", async () => {
  await using scene = await operated();
  const { bus, operator, acme } = scene;
  using globex = await clientOf(bus, "globex");
  using own = await clientOf(bus, "acme");
  const idOf = async (tenant: string): Promise<string> =>
    (await operator.client.read(`/v1/connections?tenant=${tenant}`)).connections[0].connection_id;
  const foreign = await idOf("globex");
  for (const method of ["GET", "DELETE"]) {
    const there = await acme.client.ask(method, `/v1/connections/${foreign}`);
    const nowhere = await acme.client.ask(method, "/v1/connections/c-none");
    assert.equal(there.status, 404);
    const shown = JSON.stringify(there.body).replaceAll(foreign, "c-none");
    assert.deepEqual(JSON.parse(shown), nowhere.body, "as if there were none");
  }
  const path = `/v1/connections/${await idOf("acme")}`;
  assert.equal((await acme.client.read(path)).tenant_id, "acme");
  assert.equal((await acme.client.ask("DELETE", path)).status, 204);
  assert.equal((await own.closed()).code, 1008);
  assert.equal((await operator.client.read("/v1/connections?tenant=globex")).total, 1);
  globex.send({ op: "pub", room: "globex-lobby", type: "chat", data: 2, id: 9 });
  assert.ok((await globex.json()).op !== "err");
});

Deno.test("no other way of writing another tenant's name gets through", async () => {
  await using scene = await operated();
  const { operator, acme } = scene;
  const rule = '{"prefix":"in.t.globex.r.*","percent":1}';
  const user = (text: string) => `{${text},"user":"ann"}`;
  const table: [method: string, path: string, body: string | undefined, status: number][] = [
    ["PUT", "/v1/tenants/%67lobex/mirror", rule, 403],
    ["PUT", "/v1/tenants/%2567lobex/mirror", rule, 403],
    ["PUT", "/v1/tenants/acme%2F..%2Fglobex/mirror", rule, 403],
    ["PUT", "/v1/tenants/acme/../globex/mirror", rule, 403],
    ["PUT", "/v1/tenants/acme%00/mirror", rule, 403],
    ["PUT", "/v1/tenants/ACME/mirror", rule, 403],
    ["PUT", "/v1/tenants/*/mirror", rule, 403],
    // Its own tenant, with a rule about another one: the content of a rule is checked, too.
    ["PUT", "/v1/tenants/%61cme/mirror", rule, 400],
    ["GET", "/v1/policies/logs", undefined, 403],
    ["GET", "/v1/policies/logs?tenant=", undefined, 403],
    ["GET", "/v1/policies?tenant=acme&tenant=globex", undefined, 403],
    ["GET", "/v1/policies?tenant=globex&tenant=acme", undefined, 403],
    ["GET", "/v1/connections?t%65nant=globex", undefined, 403],
    ["DELETE", "/v1/policies/words", undefined, 403],
    ["GET", "/v1/mirror/explain", undefined, 403],
    ["GET", "/v1/mirror/explain?subject=in.t.*.r.lobby", undefined, 403],
    ["GET", "/v1/mirror/explain?subject=in.t.acme.r.a&subject=in.t.globex.r.a", undefined, 403],
    ["GET", "/v1/rooms/globex/a/tail", undefined, 403],
    ["GET", "/v1/rooms/%67lobex/a", undefined, 403],
    ["GET", "/v1/rooms/globex/logged-1/messages", undefined, 403],
    ["GET", "/v1/rooms/globex/a/state?key=x", undefined, 403],
    ["POST", "/v1/rooms/globex/a/messages", '{"type":"chat"}', 403],
    ["POST", "/v1/rooms/globex/a/ban?tenant=acme", '{"user_id":"ann","scope":"tenant"}', 403],
    ["POST", "/v1/rooms/globex/a/kick", '{"user_id":"ann"}', 403],
    ["GET", "/v1/bans?tenant=globex", undefined, 403],
    ["DELETE", "/v1/bans?user=ann", undefined, 403],
    ["DELETE", "/v1/bans?tenant=acme&tenant=globex&user=ann", undefined, 403],
    ["POST", "/v1/revocations", user('"tenant":"acme","tenant":"globex"'), 400],
    ["POST", "/v1/revocations", user('"tenant":"globex","tenant":"acme"'), 400],
    ["POST", "/v1/revocations", user('"tenant":"acme"'), 200],
    ["POST", "/v1/revocations", user('"tenant":["globex"]'), 400],
    ["POST", "/v1/policies/reset", '{"tenant":"globex"}', 403],
    ["POST", "/v1/policies/reset", '{"tenant":"globex","__proto__":{"tenant":"acme"}}', 400],
  ];
  for (const [method, path, body, status] of table) {
    const answer = await acme.client.ask(method, path, body);
    assert.equal(answer.status, status, `${method} ${path} ${body}: ${answer.body.detail}`);
  }
  const { revocations } = await operator.client.read("/v1/revocations");
  assert.deepEqual(revocations.map(({ tenant }: { tenant: string }) => tenant), ["acme"]);
  assert.deepEqual((await operator.client.read("/v1/tenants/globex/mirror")).version, 0);
});
