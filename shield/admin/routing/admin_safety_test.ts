/** Requests from pages of other sites are refused; requests from tools and from the console's pages pass. */
import assert from "node:assert/strict";
import { ArqonError } from "@arqon/proto";
import { requireOwnSite, withSafety } from "./admin_safety.ts";

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
