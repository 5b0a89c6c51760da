/**
 * Requests from pages of other sites, and to foreign host names, are refused; those of tools and of the console's pages
 * pass. Answers without an end stop with their reader's token.
 */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import {
  endingWith,
  requireOwnName,
  requireOwnSite,
  withoutEnd,
  withSafety,
} from "./admin_safety.ts";
import { configFrom } from "../../../shared/config/load.ts";

const HOST = "127.0.0.1:4002";

function passes(headers: Record<string, string>, path = "/v1/status", method = "GET"): boolean {
  const request = new Request(`http://${HOST}${path}`, { method, headers });
  try {
    requireOwnSite(request, path);
    return true;
  } catch (error) {
    assert.ok(error instanceof ArqonError && error.reason === "origin-not-allowed");
    return false;
  }
}

Deno.test("tools and the listener's own pages pass", () => {
  assert.ok(passes({}));
  assert.ok(passes({ origin: `http://${HOST}`, "sec-fetch-site": "same-origin" }));
  assert.ok(passes({ "sec-fetch-site": "none" }));
  assert.ok(passes({ host: "admin.example", origin: "https://admin.example" }), "behind TLS");
});

Deno.test("pages of other sites are refused, whatever they request", () => {
  const near = ["http://127.0.0.1:4000", "http://127.0.0.1", "http://127.0.0.1:4002.evil.example"];
  for (const origin of ["https://evil.example", "null", ...near, "file://", `ftp://${HOST}`, ""]) {
    assert.equal(passes({ origin }), false, origin);
    assert.equal(passes({ origin }, "/v1/drain", "POST"), false, origin);
  }
  for (const site of ["cross-site", "same-site"]) {
    assert.equal(passes({ "sec-fetch-site": site }), false, site);
    assert.equal(passes({ "sec-fetch-site": site }, "/console/main.js"), false, site);
  }
});

Deno.test("a link from another site opens the console, and nothing else", () => {
  const opening = { "sec-fetch-mode": "navigate", "sec-fetch-dest": "document" };
  const link = { "sec-fetch-site": "cross-site", ...opening };
  assert.ok(passes(link, "/console/"));
  assert.ok(passes(link, "/"));
  assert.equal(passes(link, "/v1/cluster"), false);
  assert.equal(passes(link, "/console/", "POST"), false);
  assert.equal(passes({ ...link, "sec-fetch-dest": "iframe" }, "/console/"), false);
});

Deno.test("every answer forbids storing, framing and content sniffing", () => {
  const page = "script-src 'self'; frame-ancestors 'none'";
  const answers = [withSafety(Response.json({})), withSafety(new Response("<html>"), page)];
  for (const { headers } of answers) {
    assert.equal(headers.get("cache-control"), "no-store");
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.equal(headers.get("x-frame-options"), "DENY");
    assert.match(headers.get("content-security-policy") ?? "", /frame-ancestors 'none'/);
    assert.equal(headers.get("access-control-allow-origin"), null);
  }
  const policies = answers.map(({ headers }) => headers.get("content-security-policy"));
  assert.match(policies[0] ?? "", /^default-src 'none'; frame-ancestors/);
  assert.equal(policies[1], page);
});

// Which host names the admin listener accepts, and which it refuses.

const { admin: BY_DEFAULT } = configFrom({});
const { admin: NAMED } = configFrom({
  admin: { host: "Admin-1.internal", allowed_hosts: ["bus.example.com", "Console.Example.com"] },
});

const of = (host: string) => new Request("http://127.0.0.1:4002/v1/status", { headers: { host } });

function reason(host: string, names = BY_DEFAULT): string {
  try {
    requireOwnName(of(host), names);
    return "";
  } catch (error) {
    assert.ok(error instanceof ArqonError && error.code === 403, String(error));
    assert.doesNotMatch(error.message, /\p{C}/u);
    return error.reason;
  }
}

Deno.test("loopback, addresses and the configured names are its own, with any port", () => {
  const loopback = "localhost LOCALHOST:4002 localhost. console.localhost:80 [::1]:4002";
  const addresses = "127.0.0.1 127.0.0.1:4002 127.1 [::ffff:127.0.0.1] 10.1.2.3:4002 [2001:db8::1]";
  for (const host of `${loopback} ${addresses}`.split(" ")) assert.equal(reason(host), "", host);
  const bus = "bus.example.com BUS.example.com:8443 bus.example.com.";
  for (const host of `${bus} console.example.com admin-1.internal:4002`.split(" ")) {
    assert.equal(reason(host, NAMED), "", host);
  }
});

Deno.test("every other name is refused", () => {
  const names =
    "evil.example|evil.example:4002|bus.example.com|localhost.evil.example|evillocalhost";
  const hidden = "127.0.0.1.evil.example|127.0.0.1.nip.io|localhost@evil.example";
  const parts = ["#", "/", "?", "\\"].map((sign) => `evil.example${sign}localhost`);
  const broken = "localhost evil.example|localhost, evil.example|localhost:4002:4002|[::1|*|";
  for (const host of [...`${names}|${hidden}|${broken}`.split("|"), ...parts]) {
    assert.equal(reason(host), "host-not-allowed", host);
  }
  const others = "sub.bus.example.com xbus.example.com example.com 127.0.0.1.internal";
  for (const host of others.split(" ")) assert.equal(reason(host, NAMED), "host-not-allowed", host);
});

Deno.test("a request without the header is checked by its URL", () => {
  requireOwnName(new Request("http://127.0.0.1:4002/"), BY_DEFAULT);
  assert.throws(() => requireOwnName(new Request("http://evil.example/"), BY_DEFAULT), ArqonError);
});

Deno.test("a name in the configuration has no scheme, port or wildcard", () => {
  const problem = /admin\.allowed_hosts\[0\]: .*expected a name such as/;
  const wrong = ["https://a.example", "a.example:443", "*", "*.example.com", "", "a b", "a..b"];
  for (const name of wrong) {
    assert.throws(() => configFrom({ admin: { allowed_hosts: [name] } }), problem, name);
  }
});

// Answers without an end of their own, whose reader's token ends.

/** An answer that says one line and then nothing; whether its source was cancelled. */
function silent() {
  const source = { cancelled: false };
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new Uint8Array([10])),
    cancel: () => void (source.cancelled = true),
  });
  return { source, body };
}

Deno.test("a silent answer ends within a second after its token, and so does its source", async () => {
  let is_over = false;
  const { source, body } = silent();
  const reader = endingWith(withoutEnd(new Response(body)), () => assert.equal(is_over, false))
    .body!.getReader();
  assert.equal((await reader.read()).value?.length, 1);
  is_over = true;
  assert.deepEqual(await reader.read(), { done: true, value: undefined });
  assert.equal(source.cancelled, true);
});

Deno.test("what comes after the token's end is not sent", async () => {
  const { source, body } = silent();
  const reader = endingWith(withoutEnd(new Response(body)), () => assert.fail()).body!.getReader();
  assert.equal((await reader.read()).done, true);
  assert.equal(source.cancelled, true);
});

Deno.test("an answer that its reader leaves ends its source; an export is as it was", async () => {
  const { source, body } = silent();
  await endingWith(withoutEnd(new Response(body)), () => {}).body!.cancel();
  assert.equal(source.cancelled, true);
  const lines = new Response("{}\n", { headers: { "content-type": "application/x-ndjson" } });
  assert.equal(endingWith(lines, () => assert.fail()), lines);
});
