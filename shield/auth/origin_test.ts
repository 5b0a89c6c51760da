/** The Origin allow-list on plain requests, without browsers. */
import assert from "node:assert/strict";
import { isOriginAllowed, requireOrigin } from "./origin.ts";

const those = (...allowed_origins: string[]) => ({ allowed_origins });
const allowed = those("https://app.example.com", "http://localhost:*", "https://Cased.example");

Deno.test("requests without an Origin are not browsers and pass, also with an empty list", () => {
  assert.ok(isOriginAllowed(null, those()));
  requireOrigin(new Request("http://shield/"), those());
});

Deno.test("an origin in the list passes, exactly or by its prefix", () => {
  const pass = [
    "https://app.example.com",
    "HTTPS://APP.EXAMPLE.COM",
    "http://localhost:3000",
    "https://cased.example",
  ];
  for (const origin of pass) assert.ok(isOriginAllowed(origin, allowed), origin);
});

Deno.test("every other origin is refused", () => {
  const refuse = [
    "",
    "null",
    "http://app.example.com",
    "https://app.example.com:8443",
    "https://app.example.com.evil.com",
    "https://evil.com/https://app.example.com",
    "https://xapp.example.com",
    "http://localhost",
  ];
  for (const origin of refuse) assert.ok(!isOriginAllowed(origin, allowed), origin);
  assert.ok(!isOriginAllowed("https://app.example.com", those()));
  assert.ok(
    isOriginAllowed("null", those("null")),
    "sandboxed pages pass only if they are in the list",
  );
  assert.ok(isOriginAllowed("https://any.example", those("*")));
});

Deno.test("a refusal names the origin, quoted and cut", () => {
  const headers = { origin: `https://"evil".example/${"x".repeat(1_000)}` };
  const request = new Request("http://shield/", { headers });
  assert.throws(() => requireOrigin(request, allowed), (error: Error) => {
    assert.match(error.message, /^Origin not allowed: "https:\/\/\\"evil\\"\.example\/x+"$/);
    return error.message.length < 300;
  });
  assert.throws(() => requireOrigin(request, allowed), { reason: "origin-not-allowed", code: 403 });
});
