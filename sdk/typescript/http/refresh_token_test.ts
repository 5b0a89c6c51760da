/** The token that requests go with after a REFRESH, as the codec writes it. */
import assert from "node:assert/strict";
import { encodePing, encodeRefresh } from "@arqon/proto";
import { refreshToken } from "./http_socket.ts";

Deno.test("the token of a REFRESH equals the encoded one, for any length and id", () => {
  for (const request_id of [0, 1, 127, 128, 300, 2 ** 31, 2 ** 53 - 1]) {
    for (const length of [5, 127, 128, 2_000, 16_384]) {
      const token = `a.b.${"c".repeat(length - 4)}`;
      assert.equal(refreshToken(encodeRefresh({ request_id, token })), token);
    }
  }
  assert.equal(refreshToken(encodePing(new Uint8Array([0x12, 1, 65]))), undefined);
  assert.equal(refreshToken(new Uint8Array([6])), undefined);
  assert.equal(refreshToken(new Uint8Array([6, 8, 255])), undefined);
});
