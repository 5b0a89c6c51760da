/** A token's refusal says what is wrong in plain words, and names no library. */
import assert from "node:assert/strict";
import { errors } from "@panva/jose";
import { tokenRefusal } from "./token_refusal.ts";

Deno.test("a refusal gives the reason, and neither the token nor a library", () => {
  const cases: [Error, string, RegExp][] = [
    [new errors.JWSSignatureVerificationFailed("eyJ"), "token-signature", /signature is not by/],
    [new errors.JWSInvalid("eyJ"), "token-malformed", /not a signed JWT/],
    [new errors.JOSEAlgNotAllowed("eyJ"), "token-algorithm", /algorithm that its issuer/],
    [new errors.JWKSMultipleMatchingKeys("eyJ"), "token-unknown-key", /no key, or several/],
  ];
  for (const [error, reason, text] of cases) {
    const refusal = tokenRefusal(error) ?? assert.fail(reason);
    assert.equal(refusal.reason, reason);
    assert.match(refusal.message, text);
    assert.doesNotMatch(refusal.message, /jose|eyJ/i);
  }
});
