/**
 * Every route of the admin API, on a real bus: unknown input is refused, and nothing is changed then.
 * `admin_tenants_test.ts` has authorization.
 */
import assert from "node:assert/strict";
import { adminOpenApi, listedRoutes } from "../../shield/description/admin_api.ts";
import { SHIELD_CAPABILITIES } from "../../shield/capabilities.ts";
import { adminRequests, withoutUnknown } from "./admin_requests.ts";
import type { AdminRequest, RequestOf } from "./admin_requests.ts";
import { startLocalBus, type TestBus } from "../harness/local_bus.ts";

const DURABLE = '[[rooms]]\nroom = "logged-*"\ndurable = true\n[usage]\nenabled = true\n';

/** A request as sent. */
interface Sent {
  readonly path: string;
  readonly type: string;
  readonly body: BodyInit | null;
}

function sentAs({ path, body, type = "application/json" }: AdminRequest): Sent {
  if (body === undefined) return { path, type, body: null };
  return { path, type, body: body instanceof Uint8Array ? body : JSON.stringify(body) };
}

/** The JSON of a body with its first member repeated at the end. */
function withRepetition(body: object): string {
  const text = JSON.stringify(body);
  const [name, value] = Object.entries(body)[0] ?? [];
  return `${text.slice(0, -1)},${JSON.stringify(name)}:${JSON.stringify(value)}}`;
}

/** Variants of the request that must be refused. */
function spoiled(about: AdminRequest): Sent[] {
  const right = sentAs(about);
  const [bare = "", query = ""] = about.path.split("?");
  const also = (more: string) => ({
    ...right,
    path: `${bare}?${query}${query === "" ? "" : "&"}${more}`,
  });
  const all: Sent[] = [also("dry_run=1"), also("%64ry_run"), also("Tenant=acme")];
  if (query !== "") all.push(also(query));
  // A payload that is validated against a schema is no order: it is checked like a message.
  if (right.type === "application/json" && about.body && !/validate/.test(bare)) {
    all.push({ ...right, body: withRepetition(about.body) });
  }
  return all;
}

function send(bus: TestBus, token: string, method: string, { path, type, body }: Sent) {
  const headers = { authorization: `Bearer ${token}`, "content-type": type };
  return fetch(`${bus.admin_url}${path}`, { method, headers, body });
}

/** The problem with the answer to an invalid request; undefined: it was refused for the right reason. */
async function unexpected(response: Response): Promise<string | undefined> {
  if (response.status !== 400) {
    await response.body?.cancel();
    return String(response.status);
  }
  const { reason, detail } = await response.json();
  // Bodies about policies have their own reason, a room's history has those of clients.
  const reasons = ["invalid-settings", "malformed-body", "unknown-field", "repeated-field"];
  const words = /"dry_run"|"Tenant"|expected once|occurs twice|: (after|limit)$/;
  const is_expected = reasons.includes(reason) && words.test(detail);
  return is_expected ? undefined : `${reason}: ${detail}`;
}

/** The problem with the answer to the valid request, sent after all invalid ones. */
async function undone({ method, status }: RequestOf, response: Response) {
  if (method !== "DELETE" || response.status !== 200) await response.body?.cancel();
  else {
    const { lifted, changed } = await response.json();
    if (lifted === false || changed === false) return "it was removed before";
  }
  return response.status === status ? undefined : `${response.status} instead of ${status}`;
}

Deno.test("every route refuses unknown and repeated parameters and repeated members, and does nothing", async () => {
  await using bus = await startLocalBus(DURABLE);
  const token = await bus.tokenFor({ role: "admin", tenant: "acme", user: "root" });
  const wrong: string[] = [];
  for (const request of await adminRequests()) {
    const about = withoutUnknown(request, request.about("acme"));
    const note = (path: string, what: string | undefined) => {
      if (what !== undefined) wrong.push(`${request.method} ${path}: ${what}`);
    };
    for (const sent of spoiled(about)) {
      note(sent.path, await unexpected(await send(bus, token, request.method, sent)));
    }
    note(about.path, await undone(request, await send(bus, token, request.method, sentAs(about))));
  }
  assert.deepEqual(wrong, []);
  const description = await fetch(`${bus.admin_url}/v1/openapi.json?x=1`);
  assert.equal((await description.json()).reason, "invalid-settings");
});

Deno.test("the description has exactly each route's parameters", () => {
  const { paths } = adminOpenApi(SHIELD_CAPABILITIES) as {
    paths: Record<string, Record<string, { parameters?: { name: string; in: string }[] }>>;
  };
  for (const { template, method, query } of listedRoutes(SHIELD_CAPABILITIES)) {
    const described = (paths[template]?.[method.toLowerCase()]?.parameters ?? [])
      .filter((one) => one.in === "query").map(({ name }) => name);
    assert.deepEqual(described.sort(), query.toSorted(), `${method} ${template}`);
  }
});

/** The status and reason of a request with this Host header, which `fetch` would not send. */
async function askedAs(url: string, host: string, path: string): Promise<string> {
  const { hostname, port } = new URL(url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  // As sent by a browser that was led here by a DNS name: for its page it is the same site.
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host}`,
    `Origin: http://${host}`,
    "Sec-Fetch-Site: same-origin",
    "Connection: close",
  ];
  await connection.write(new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
  const text = await new Response(connection.readable).text();
  const reason = /"reason":"([a-z-]+)"/.exec(text)?.[1] ?? "";
  return `${text.split(" ")[1]} ${reason}`.trim();
}

Deno.test("a page whose name leads to the admin listener gets nothing but a refusal", async () => {
  await using bus = await startLocalBus('[admin]\nallowed_hosts = ["bus.internal"]\n');
  const { port } = new URL(bus.admin_url);
  for (const path of ["/", "/console/", "/v1/openapi.json", "/v1/status", "/none"]) {
    for (const host of ["evil.example", `evil.example:${port}`, `127.0.0.1.evil.example:${port}`]) {
      assert.equal(await askedAs(bus.admin_url, host, path), "403 host-not-allowed", path);
    }
  }
  for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `bus.internal:${port}`]) {
    assert.equal(await askedAs(bus.admin_url, host, "/console/"), "200", host);
    assert.equal(await askedAs(bus.admin_url, host, "/v1/status"), "401 token-missing", host);
  }
});
